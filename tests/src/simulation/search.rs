//! Looks for what fails: through all cases there are, or through those of many seeds on all cores.
//! What is found is shrunk.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use super::choices::Choices;

/// Seeds a thread takes at a time.
const BATCH: u64 = 1000;
/// How many simpler cases are tried for a failure.
const SHRINK_TRIES: u32 = 20_000;

/// Something that can be drawn, and judged.
pub trait Case: Sized + fmt::Display {
    /// The case that these choices make.
    fn draw(choices: &mut Choices<'_>) -> Self;

    /// What is wrong with what comes of it; `Ok` is whether the exact outcome was known.
    fn check(&self) -> Result<bool, String>;
}

/// What many cases came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Cases played.
    pub played: u64,
    /// Of them, those of which it was known exactly what must come.
    pub known: u64,
}

/// Plays the case of a seed, and explains what is wrong with it.
pub fn replay<C: Case>(seed: u64) -> Result<bool, String> {
    let mut choices = Choices::seeded(seed);
    let case = C::draw(&mut choices);
    check(&case).map_err(|why| {
        let values: Vec<u32> = choices.made().iter().map(|choice| choice.value).collect();
        let (shrunk, shrunk_why) = shrink(values, case, why.clone());
        format!("SEED={seed}\n{why}\n\nshrunk to\n{shrunk}{shrunk_why}")
    })
}

/// Plays the cases of so many seeds from `first` on, on all cores. The first failure ends it.
pub fn search<C: Case>(first: u64, count: u64) -> Result<Tally, String> {
    let (next, known) = (AtomicU64::new(first), AtomicU64::new(0));
    let failure = Mutex::new(None);
    let failed = || failure.lock().unwrap_or_else(PoisonError::into_inner);
    let work = || {
        while failed().is_none() {
            let start = next.fetch_add(BATCH, Ordering::Relaxed);
            let end = (start + BATCH).min(first + count);
            for seed in start..end {
                match replay::<C>(seed) {
                    Ok(is_known) => known.fetch_add(u64::from(is_known), Ordering::Relaxed),
                    Err(why) => return drop(failed().replace(why)),
                };
            }
            if end == first + count {
                return;
            }
        }
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    let found = failed().take();
    found.map_or(Ok(Tally { played: count, known: known.into_inner() }), Err)
}

/// Plays every case that `draw` can make.
pub fn exhaust<C: Case>(draw: impl Fn(&mut Choices<'_>) -> C) -> Result<Tally, String> {
    let mut tally = Tally::default();
    let mut values = Vec::new();
    loop {
        let mut choices = Choices::given(&values);
        let case = draw(&mut choices);
        let is_known = check(&case).map_err(|why| format!("{case}{why}"))?;
        tally.played += 1;
        tally.known += u64::from(is_known);
        match Choices::after(choices.made()) {
            Some(next) => values = next,
            None => return Ok(tally),
        }
    }
}

fn check<C: Case>(case: &C) -> Result<bool, String> {
    catch_unwind(AssertUnwindSafe(|| case.check())).unwrap_or_else(|_| Err("it panicked".into()))
}

/// A simpler case that fails as well, and how.
fn shrink<C: Case>(mut values: Vec<u32>, case: C, why: String) -> (C, String) {
    let mut found = (case, why);
    let mut tries = 0..SHRINK_TRIES;
    loop {
        let better = simpler(&values).take_while(|_| tries.next().is_some()).find_map(|values| {
            let case = C::draw(&mut Choices::given(&values));
            let why = check(&case).err()?;
            Some((values, (case, why)))
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
        let starts = 0..(values.len() + 1).saturating_sub(length);
        starts.map(move |start| [&values[..start], &values[start + length..]].concat())
    });
    let smaller = (0..values.len()).filter(|at| values[*at] > 0).flat_map(move |at| {
        [0, values[at] / 2, values[at] - 1].into_iter().map(move |value| {
            let mut smaller = values.to_vec();
            smaller[at] = value;
            smaller
        })
    });
    without.chain(smaller)
}
