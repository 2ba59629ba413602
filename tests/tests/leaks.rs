//! What many streams leave behind in the native server: nothing. Linux only, for it looks into
//! `/proc`.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "these are tests")]

use std::fs;
use std::time::{Duration, Instant};

use streamgate_tests::answer::Ending;
use streamgate_tests::client::{self, Goodbye};
use streamgate_tests::run::Stage;
use streamgate_tests::scenario::{Client, Leave, Runner, Scenario};
use tokio::sync::Mutex;
use tokio::task::JoinSet;

/// How many streams there are, after those that fill the caches: of connections, of the allocator.
const STREAMS: usize = 10_000;
const STREAMS_FIRST: usize = 2_000;
/// How many at once.
const AT_ONCE: usize = 20;
/// Connections to a provider that are kept for the next call, at most. A leak would be thousands.
const KEPT_MAX: usize = 500;
/// How long the server may take to let go of the last, and to end.
const SETTLE_TIME_MAX: Duration = Duration::from_secs(60);
/// How much its memory may grow, in KiB: what is left of a task would be more, 300 bytes per stream.
const GROWTH_KIB_MAX: u64 = 2 * 1024;

/// The tests of this file: what one measures the other would disturb.
static ALONE: Mutex<()> = Mutex::const_new(());

const SILENT: &str = r#"
why = "Streams that nobody waits for are let go of (F48, F49)."
[[provider.a]]
stream = ["Hello ", { stall = true }]
again = true
[expect]
"#;

const SHORT: &str = r#"
why = "A stream that is over costs no memory (F54)."
[[provider.a]]
stream = ["Hello", { finish = "stop" }, { done = true }]
again = true
[expect]
"#;

#[tokio::test]
async fn abandoned_streams_leave_nothing() {
    let leave = Some(Leave::Texts(1));
    check(SILENT, &Client { leave, ..Client::default() }, &Ending::Left).await;
}

#[tokio::test]
async fn streams_that_are_over_leave_nothing() {
    check(SHORT, &Client::default(), &Ending::Complete).await;
}

/// Connections, memory, and what still runs: as many as there were.
async fn check(scenario: &str, client: &Client, ending: &Ending) {
    let _alone = ALONE.lock().await;
    let scenario = Scenario::parse("leaks", scenario).unwrap();
    let mut stage = Stage::set(&scenario, Runner::Native).await.unwrap();
    let pid = stage.gateway.pid().unwrap();
    let kept = if *ending == Ending::Left { 0 } else { KEPT_MAX };
    let sockets_max = sockets(pid) + kept;

    ask(&stage, client, ending, STREAMS_FIRST).await;
    settle(pid, sockets_max).await;
    let memory_kib = resident_kib(pid);
    ask(&stage, client, ending, STREAMS).await;
    settle(pid, sockets_max).await;
    let grown_kib = resident_kib(pid).saturating_sub(memory_kib);
    assert!(grown_kib < GROWTH_KIB_MAX, "{STREAMS} streams left {grown_kib} KiB");
    // It waits for answers that run, and logs that it does.
    stage.gateway.stop(SETTLE_TIME_MAX).await.unwrap();
    assert_eq!(stage.gateway.line_with(&["running answers".into()]), None);
}

/// Waits until no more sockets are open than that.
async fn settle(pid: u32, sockets_max: usize) {
    let patience = Instant::now() + SETTLE_TIME_MAX;
    while sockets(pid) > sockets_max && Instant::now() < patience {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let open = sockets(pid);
    assert!(open <= sockets_max, "{open} sockets are open: expected {sockets_max} at most");
}

/// Asks so often, a few times at once.
async fn ask(stage: &Stage, client: &Client, ending: &Ending, count: usize) {
    let mut clients = JoinSet::new();
    for _ in 0..AT_ONCE {
        let (addr, client, ending) = (stage.gateway.addr, client.clone(), ending.clone());
        clients.spawn(async move {
            for _ in 0..count / AT_ONCE {
                let asked = client::ask(addr, &client, Goodbye::Fin, Instant::now());
                assert_eq!(asked.await.unwrap().ending, ending);
            }
        });
    }
    while let Some(done) = clients.join_next().await {
        done.unwrap();
    }
}

fn sockets(pid: u32) -> usize {
    let files = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    let is_socket = |file: &fs::DirEntry| {
        fs::read_link(file.path()).is_ok_and(|to| to.to_string_lossy().starts_with("socket:"))
    };
    files.filter_map(Result::ok).filter(is_socket).count()
}

fn resident_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
