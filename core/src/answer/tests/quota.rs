//! Answers to users whose quota is metered: nobody is called before it admits them, it hears what
//! they cost while they flow, and in the end what they did cost.

use super::*;
use crate::access::quota::{Act, Allowance, Use};
use crate::access::{Caller, Plan};

/// An answer to ada, who has so many tokens in a minute.
fn bench(says: Option<Result<(), Denial>>) -> Bench {
    let tokens_per_minute = std::num::NonZeroU32::new(600);
    let plan = Plan { name: "pro".into(), tokens_per_minute, ..Plan::default() };
    let caller = Caller { user: "ada".parse().unwrap(), plan: Some(Arc::new(plan)) };
    let arrival = Arrival {
        caller: Some(caller),
        own_keys: Ok(Vec::new()),
        now: Instant::ZERO,
        unix_seconds: 1_700_000_000,
        random: 7,
        headers: Vec::new(),
    };
    let gateway = Gateway::new(Config::parse(CONFIG, |_| None).unwrap());
    let mut bench = Bench::with(gateway.answer(
        Client::new(ClientProtocol::OpenAi),
        STREAM.as_bytes(),
        &arrival,
    ));
    bench.quota_says = says;
    bench.drain();
    bench
}

fn check(mut bench: Bench, script: &[Step<'_>], expected: &[&str]) {
    script.iter().for_each(|step| bench.step(step));
    bench.log.retain(|line| !line.starts_with("wait") && !line.starts_with("body"));
    assert_eq!(bench.log, expected, "\ngot:\n{}\n", bench.log.join("\n"));
}

fn denial() -> Denial {
    let allowance =
        Allowance { tokens_per_minute: std::num::NonZeroU32::new(600), ..Allowance::default() };
    let mut used = Use::default();
    let mut begin = |tokens| {
        used.apply(&QuotaOp { lease: 1, allowance, act: Act::Begin(tokens) }, Instant::ZERO)
    };
    begin(600).unwrap();
    begin(65).unwrap_err()
}

#[test]
fn the_quota_is_told_what_flows_and_in_the_end_what_it_was() {
    let long = HI.replace("Hi", &"token ".repeat(100));
    check(
        bench(Some(Ok(()))),
        &[HeadOf(0, 200, SSE), Bytes(0, &long), Bytes(0, STOP), Bytes(0, USAGE), Bytes(0, DONE)],
        &[
            "quota of ada: Begin(5)",
            "call 0 a/gpt-4-turbo stream",
            "head 200 text/event-stream",
            "quota of ada: Charge(150)",
            "release 0",
            "quota of ada: End(-150)",
            "settle stop [a/gpt-4-turbo stream finished 0 ms]",
        ],
    );
}

#[test]
fn who_is_denied_calls_nobody_and_learns_when_to_come_back() {
    check(
        bench(Some(Err(denial()))),
        &[],
        &[
            "quota of ada: Begin(5)",
            "head 429 application/json retry-after 7",
            "settle token_quota_exceeded []",
        ],
    );
}

#[test]
fn a_client_that_leaves_gives_back_what_it_did_not_use() {
    check(
        bench(Some(Ok(()))),
        &[Hangup],
        &[
            "quota of ada: Begin(5)",
            "call 0 a/gpt-4-turbo stream",
            "cancel 0",
            "quota of ada: End(-5)",
            "settle cancelled [a/gpt-4-turbo stream cancelled 0 ms]",
        ],
    );
}

#[test]
fn a_client_that_leaves_before_it_is_admitted_calls_nobody() {
    let mut bench = bench(None);
    bench.step(&Hangup);
    bench.answer.entered(bench.now, Ok(()));
    bench.drain();
    check(bench, &[], &["quota of ada: Begin(5)", "quota of ada: End(-5)", "settle cancelled []"]);
}

#[test]
fn a_quota_that_does_not_answer_ends_with_the_answers_own_time() {
    check(
        bench(None),
        &[After(99_999), After(1)],
        &[
            "quota of ada: Begin(5)",
            "head 200 text/event-stream",
            "quota of ada: End(-5)",
            "settle total_timeout []",
        ],
    );
}

#[test]
fn what_flows_slowly_is_told_after_a_second() {
    let hello = HI.replace("Hi", "Hi there");
    let mut bench = bench(Some(Ok(())));
    [HeadOf(0, 200, SSE), Bytes(0, &hello), After(1000)].iter().for_each(|step| bench.step(step));
    assert!(bench.log.contains(&"quota of ada: Charge(2)".to_owned()), "{:?}", bench.log);
}
