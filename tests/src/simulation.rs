//! Streams by the million: scripts of clients, providers and faults drive the pure core in virtual
//! time, a reference model says what must come out, and the six promises are held against every
//! step.
//!
//! ```text
//!  seed, bytes of a fuzzer, ──► Choices ──► Script ──┬──► world ──► core ──► Outcome ─┐
//!  every short combination                           └──► model ───────────► Expected ┴─► agree?
//! ```
//!
//! [`check`] judges one script. [`search`] judges those of many seeds on all cores; what it finds it
//! shrinks, and one number replays it.

pub mod choices;
pub mod model;
pub mod promises;
pub mod provider;
pub mod reader;
pub mod script;
pub mod splice;
pub mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use streamgate_core::relay;

use choices::Choices;
use model::{End, Expected};
use script::Script;
use world::Outcome;

/// Seeds a thread takes at a time.
const BATCH: u64 = 1000;
/// How many simpler scripts are tried for a failure.
const SHRINK_TRIES: u32 = 20_000;

/// What many scripts came to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// Scripts played.
    pub streams: u64,
    /// Of them, those whose outcome the model knew.
    pub decided: u64,
}

/// Plays a script, and says how a promise was broken or the model contradicted. `Ok`: whether the
/// model knew the outcome.
pub fn check(script: &Script) -> Result<bool, String> {
    let play = AssertUnwindSafe(|| world::play(script));
    let outcome = catch_unwind(play).unwrap_or_else(|_| Err("the core panicked".into()))?;
    let Some(expected) = model::expect(script) else { return Ok(false) };
    agree(script, &outcome, &expected)?;
    Ok(true)
}

/// Plays the script of a seed, and explains what is wrong with it.
pub fn check_seed(seed: u64) -> Result<bool, String> {
    let mut choices = Choices::seeded(seed);
    let script = Script::any(&mut choices);
    check(&script).map_err(|why| {
        let values: Vec<u32> = choices.made().iter().map(|choice| choice.value).collect();
        let (script, why_short) = shrink(values, &why);
        format!("SEED={seed}\n{why}\n\nshrunk to:\n{script}{why_short}")
    })
}

/// Plays the scripts of so many seeds from `first` on, on all cores; the first failure ends it.
pub fn search(first: u64, streams: u64) -> Result<Tally, String> {
    let (next, decided) = (AtomicU64::new(first), AtomicU64::new(0));
    let failure = Mutex::new(None);
    let failed = || failure.lock().unwrap_or_else(PoisonError::into_inner);
    let work = || {
        while failed().is_none() {
            let start = next.fetch_add(BATCH, Ordering::Relaxed);
            for seed in start..(start + BATCH).min(first + streams) {
                match check_seed(seed) {
                    Ok(known) => drop(decided.fetch_add(u64::from(known), Ordering::Relaxed)),
                    Err(why) => {
                        failed().get_or_insert(why);
                        return;
                    }
                }
            }
            if start + BATCH >= first + streams {
                return;
            }
        }
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    let found = failed().take();
    match found {
        Some(why) => Err(why),
        None => Ok(Tally { streams, decided: decided.into_inner() }),
    }
}

/// Plays every script that `draw` can make.
pub fn exhaust(draw: impl Fn(&mut Choices<'_>) -> Script) -> Result<Tally, String> {
    let mut tally = Tally::default();
    let mut values = Vec::new();
    loop {
        let mut choices = Choices::given(&values);
        let script = draw(&mut choices);
        let known = check(&script).map_err(|why| format!("{script}{why}"))?;
        tally.streams += 1;
        tally.decided += u64::from(known);
        match Choices::after(choices.made()) {
            Some(next) => values = next,
            None => return Ok(tally),
        }
    }
}

/// A simpler script that fails as well, and how.
fn shrink(mut values: Vec<u32>, why: &str) -> (Script, String) {
    let mut found = (Script::any(&mut Choices::given(&values)), why.to_owned());
    let mut tries = 0..SHRINK_TRIES;
    loop {
        let better = simpler(&values).take_while(|_| tries.next().is_some()).find_map(|values| {
            let script = Script::any(&mut Choices::given(&values));
            let why = check(&script).err()?;
            Some((values, (script, why)))
        });
        match better {
            Some(better) => (values, found) = better,
            None => return found,
        }
    }
}

/// Lists that are shorter or smaller, the boldest steps first.
fn simpler(values: &[u32]) -> impl Iterator<Item = Vec<u32>> + '_ {
    let without = [16, 8, 4, 2, 1].into_iter().flat_map(move |length| {
        let starts = 0..values.len().saturating_sub(length - 1);
        starts.map(move |start| [&values[..start], &values[start + length..]].concat())
    });
    let smaller = (0..values.len()).filter(|at| values[*at] > 0).flat_map(move |at| {
        [0, values[at] / 2, values[at] - 1].into_iter().map(move |value| {
            let mut smaller = values.to_vec();
            smaller[at] = value;
            smaller
        })
    });
    without.chain(smaller.filter(move |smaller| smaller != values))
}

/// Whether what came is what had to come; a client that left has seen the beginning of it.
fn agree(script: &Script, outcome: &Outcome, expected: &Expected) -> Result<(), String> {
    let Some((_, settlement)) = &outcome.settlement else { return Err("not settled".into()) };
    let head = outcome.head.map_or(0, |(_, status)| status);
    let text = if settlement.fallback { "" } else { outcome.read.text.as_str() };
    let known = script.client.pauses.is_none();
    let ends = match (&settlement.end, expected.end) {
        (relay::End::Cancelled, _) => {
            expected.text.starts_with(text) && expected.calls.starts_with(&outcome.calls)
        }
        (relay::End::Finished(_), End::Finished) => !settlement.fallback,
        (relay::End::Finished(_), End::Message) => settlement.fallback,
        (relay::End::Failed(failure), End::Failed(status)) => {
            failure.status() == status && (head == status || head == 200)
        }
        _ => false,
    };
    let cancelled = matches!(settlement.end, relay::End::Cancelled);
    let usage = &settlement.usage;
    let cost = (!usage.estimated).then_some((usage.input_tokens, usage.output_tokens));
    let same = cancelled
        || (text == expected.text && outcome.calls == expected.calls && cost == expected.cost);
    if (ends && same) || !known {
        return Ok(());
    }
    let Outcome { calls, .. } = outcome;
    let end = &settlement.end;
    Err(format!("expected {expected:#?}\ncame {end:?} ({head}), {text:?}, {cost:?}, {calls:#?}"))
}
