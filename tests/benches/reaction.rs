//! How soon the built shells react to an interrupted provider stream and to a client's disconnect.
//!
//! ```text
//! cargo build --release -p streamgate && cargo xtask edge
//! cargo xtask bench --bench reaction
//! ROUNDS=30 cargo xtask bench --bench reaction -- native
//! ```
//!
//! A shell adds no wait (F68): its first token should arrive as soon as the provider's. After an
//! interruption the next provider's first token should arrive as soon as from that provider alone,
//! plus 5 ms; a call should be closed 100 ms after its client disconnects, in every state that
//! `scenarios/client_leaves_*.toml` covers. Times are real, so the machine should be idle.

use std::env;
use std::error::Error;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use streamgate_tests::answer::{self, Event};
use streamgate_tests::check::Seen;
use streamgate_tests::client::{self, Goodbye};
use streamgate_tests::run::Stage;
use streamgate_tests::scenario::{self, Protocol, Runner, Scenario};

/// Interruptions per run.
const BREAKS: usize = 300;
/// Disconnects per state.
const ROUNDS: usize = 10;

/// A provider that cuts its stream, and one that takes a while for its first token. It then pauses,
/// so that a token held back for more would arrive visibly late.
const BREAK: &str = r#"
why = "A break is taken over at once."

[config.fallback.breaker]
failures_max = 1000000

[[provider.a]]
stream = ["One ", { wait = 20 }, { cut = true }]
again = true

[[provider.b]]
stream = [{ wait = 20 }, "two", { wait = 100 }, " three", { finish = "stop" }, { done = true }]
again = true

[expect]
"#;

type Fallible<T> = Result<T, Box<dyn Error>>;

fn main() -> Fallible<()> {
    let chosen: Vec<String> = env::args().skip(1).filter(|name| !name.starts_with('-')).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    println!("{:8}{:44}{:>8}{:>10}{:>10}{:>10}", "", "", "samples", "p50 ms", "p99 ms", "max ms");
    for runner in [Runner::Native, Runner::Worker] {
        if chosen.is_empty() || chosen.contains(&runner.to_string()) {
            runtime.block_on(takeovers(runner))?;
            runtime.block_on(goodbyes(runner))?;
        }
    }
    Ok(())
}

/// A provider's first token: called directly, and after another was interrupted.
async fn takeovers(runner: Runner) -> Fallible<()> {
    let scenario = Scenario::parse("break", BREAK)?;
    let stage = Stage::set(&scenario, runner).await?;
    let addr = |name| stage.provider_addr(name).ok_or("there is no such provider");
    let (a, b) = (addr("a")?, addr("b")?);
    let (mut direct, mut through) = (Vec::new(), Vec::new());
    let (mut alone, mut after_break) = (Vec::new(), Vec::new());
    for _ in 0..BREAKS {
        direct.push(first_text(a, &scenario).await?);
        alone.push(first_text(b, &scenario).await?);
        let seen = stage.play(&scenario.client).await?;
        let broke = seen.calls["a"].last().and_then(|call| call.ended).ok_or("a did not break")?;
        let texts = texts(&seen.answer)?;
        through.push(texts.first().map(|text| text.at).unwrap_or_default());
        let next = texts.get(1).ok_or_else(|| format!("b was not heard:\n{seen}"))?;
        after_break.push(next.at.saturating_sub(broke));
    }
    print(runner, "first token at once: asked directly", &mut direct);
    print(runner, "first token at once: through the shell", &mut through);
    print(runner, "first token after 20 ms: asked directly", &mut alone);
    print(runner, "first token after 20 ms: after a break", &mut after_break);
    Ok(())
}

/// A provider's own time to its first token.
async fn first_text(provider: SocketAddr, scenario: &Scenario) -> Fallible<Duration> {
    let asked = client::ask(provider, &scenario.client, Goodbye::Fin, Instant::now()).await?;
    Ok(texts(&asked)?.first().ok_or("the provider sent nothing")?.at)
}

fn texts(answer: &answer::Answer) -> Fallible<Vec<Event>> {
    let events = answer::events(answer, Protocol::Chat)?;
    Ok(events.into_iter().filter(Event::has_text).collect())
}

/// From the client's disconnect to the close of each call.
async fn goodbyes(runner: Runner) -> Fallible<()> {
    let rounds = env::var("ROUNDS").map_or(Ok(ROUNDS), |rounds| rounds.parse())?;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let mut all = Vec::new();
    let files = scenario::files(&folder)?;
    let scenarios: Vec<_> =
        files.iter().map(|path| Scenario::load_all(path)).collect::<Result<_, _>>()?;
    for scenario in scenarios.into_iter().flatten() {
        let is_asked = scenario.expect.upstream_closed_within_ms.is_some();
        if !is_asked || !scenario.runners.contains(&runner) {
            continue;
        }
        let mut closes = Vec::new();
        for _ in 0..rounds {
            let stage = Stage::set(&scenario, runner).await?;
            closes.extend(until_closed(&stage.play(&scenario.client).await?)?);
        }
        all.extend_from_slice(&closes);
        print(runner, &scenario.name, &mut closes);
    }
    print(runner, "a call's close after its client left", &mut all);
    Ok(())
}

/// How long each call that was open at the disconnect stayed open.
fn until_closed(seen: &Seen) -> Fallible<Vec<Duration>> {
    let left = seen.answer.ended;
    let open = seen.calls.values().flatten().filter(|call| call.ended.is_none());
    open.map(|call| match call.closed {
        Some(closed) => Ok(closed.saturating_sub(left)),
        None => Err(format!("a call was left open:\n{seen}").into()),
    })
    .collect()
}

fn print(runner: Runner, what: &str, times: &mut [Duration]) {
    times.sort_unstable();
    let ms = |share: f64| {
        let place = (times.len() as f64 * share).ceil() as usize;
        let time = times.get(place.clamp(1, times.len().max(1)) - 1);
        time.map_or(f64::NAN, |time| time.as_secs_f64() * 1000.0)
    };
    let (runner, count) = (runner.to_string(), times.len());
    println!("{runner:8}{what:44}{count:8}{:10.1}{:10.1}{:10.1}", ms(0.5), ms(0.99), ms(1.0));
}
