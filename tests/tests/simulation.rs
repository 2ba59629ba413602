//! The simulator: what it holds is in `streamgate_tests::simulation`.
//!
//! ```text
//! cargo test -p streamgate-tests --test simulation                         what CI runs
//! STREAMS=10000000 cargo test --release -p streamgate-tests --test simulation
//! SEED=1234 cargo test -p streamgate-tests --test simulation               one script again
//! ```
//!
//! `STREAMS` is how many random scripts are played, `FIRST` the first of their seeds.

use std::env;
use std::time::Instant;

use streamgate_tests::simulation::script::Script;
use streamgate_tests::simulation::{check_seed, exhaust, search};

/// What CI plays.
const STREAMS: u64 = 1_000_000;

fn number(name: &str) -> Option<u64> {
    let value = env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name}={value} is no number")))
}

#[test]
fn every_short_script() {
    if number("SEED").is_some() {
        return;
    }
    let began = Instant::now();
    let tally = exhaust(Script::short).unwrap_or_else(|why| panic!("{why}"));
    println!("{tally:?} in {:?}", began.elapsed());
}

#[test]
fn every_short_stream() {
    if number("SEED").is_some() {
        return;
    }
    let began = Instant::now();
    for frames in 0..=4 {
        let tally = exhaust(|choices| Script::short_stream(choices, frames));
        let tally = tally.unwrap_or_else(|why| panic!("{why}"));
        println!("{frames} frames: {tally:?} in {:?}", began.elapsed());
    }
}

#[test]
fn random_scripts() {
    if let Some(seed) = number("SEED") {
        check_seed(seed).unwrap_or_else(|why| panic!("{why}"));
        return;
    }
    let (first, streams) = (number("FIRST").unwrap_or(0), number("STREAMS").unwrap_or(STREAMS));
    let began = Instant::now();
    let tally = search(first, streams).unwrap_or_else(|why| panic!("{why}"));
    let took = began.elapsed();
    println!("{tally:?} in {took:?}, {:.0} a second", streams as f64 / took.as_secs_f64());
}
