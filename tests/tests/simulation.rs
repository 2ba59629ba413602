//! The simulator: what it holds is in `streamgate_tests::simulation`.
//!
//! ```text
//! cargo test -p streamgate-tests --test simulation                               what CI runs
//! STREAMS=10000000 cargo test -r -p streamgate-tests --test simulation           ten million
//! SEED=1234 cargo test -p streamgate-tests --test simulation                     a seed again
//! ```
//!
//! `STREAMS` is how many random scripts, and seams, are played; `FIRST` is the first of their seeds.

use std::env;
use std::time::Instant;

use streamgate_tests::simulation::choices::Random;
use streamgate_tests::simulation::fuzz;
use streamgate_tests::simulation::script::Script;
use streamgate_tests::simulation::search::{Case, Tally, exhaust, replay, search};
use streamgate_tests::simulation::splice::Seam;

/// What CI plays.
const STREAMS: u64 = 1_000_000;
/// How often each fuzz target runs without a fuzzer.
const FUZZED: u32 = 8_000;

#[test]
fn every_short_script() {
    if number("SEED").is_none() {
        report(|| exhaust(Script::short));
    }
}

#[test]
fn every_short_stream() {
    if number("SEED").is_none() {
        (0..=4)
            .for_each(|frames| report(|| exhaust(|choices| Script::short_stream(choices, frames))));
    }
}

#[test]
fn random_scripts() {
    random::<Script>();
}

#[test]
fn random_seams() {
    random::<Seam>();
}

/// What `fuzz/` does for as long as one likes, for a moment.
#[test]
fn what_fuzzers_do() {
    let mut random = Random::new(number("SEED").unwrap_or(0));
    for (name, target) in fuzz::TARGETS {
        for _ in 0..FUZZED {
            let bytes = fuzz::seeds::draw(name, &mut random);
            let run = std::panic::catch_unwind(|| target(&bytes));
            assert!(run.is_ok(), "{name} fails on {bytes:?}");
        }
    }
}

fn random<C: Case>() {
    match number("SEED") {
        Some(seed) => drop(replay::<C>(seed).unwrap_or_else(|why| panic!("{why}"))),
        None => report(|| {
            search::<C>(number("FIRST").unwrap_or(0), number("STREAMS").unwrap_or(STREAMS))
        }),
    }
}

fn report(play: impl FnOnce() -> Result<Tally, String>) {
    let began = Instant::now();
    let Tally { played, known } = play().unwrap_or_else(|why| panic!("{why}"));
    let took = began.elapsed();
    let rate = played as f64 / took.as_secs_f64();
    println!("{played} played, {known} known exactly, in {took:.1?}: {rate:.0} a second");
}

fn number(name: &str) -> Option<u64> {
    let value = env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name}={value} is no number")))
}
