//! Where a script's choices come from: one generator of scripts, fed from a seed, from a fuzzer's
//! bytes, from a list being shrunk, or from an odometer that turns through all of them.

/// A source of choices, which remembers what was chosen.
///
/// Zero is always the simplest choice, and what an exhausted source gives: so a shorter list with
/// smaller numbers is a simpler script.
#[derive(Clone, Debug)]
pub struct Choices<'a> {
    source: Source<'a>,
    made: Vec<Choice>,
}

/// One choice that was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// What was chosen, below `bound`.
    pub value: u32,
    /// How many there were to choose from.
    pub bound: u32,
}

#[derive(Clone, Debug)]
enum Source<'a> {
    Seed(Random),
    Bytes(&'a [u8]),
    Given(&'a [u32]),
}

impl<'a> Choices<'a> {
    /// Choices that look random, the same for the same seed.
    pub fn seeded(seed: u64) -> Self {
        Self::of(Source::Seed(Random::new(seed)))
    }

    /// One byte a choice.
    pub fn from_bytes(bytes: &'a [u8]) -> Self {
        Self::of(Source::Bytes(bytes))
    }

    /// These choices, each brought below its bound.
    pub fn given(values: &'a [u32]) -> Self {
        Self::of(Source::Given(values))
    }

    fn of(source: Source<'a>) -> Self {
        Self { source, made: Vec::new() }
    }

    /// A number from 0 up to but not including `bound`.
    pub fn below(&mut self, bound: u32) -> u32 {
        let value = match &mut self.source {
            Source::Seed(random) => random.below(bound),
            Source::Bytes(bytes) => next(bytes).map_or(0, |byte| u32::from(byte) % bound),
            Source::Given(values) => next(values).map_or(0, |value| value % bound),
        };
        self.made.push(Choice { value, bound });
        value
    }

    /// One of `all`; the first is the simplest.
    pub fn pick<T: Copy>(&mut self, all: &[T]) -> T {
        let bound = u32::try_from(all.len()).expect("a list of choices is short");
        all[self.below(bound) as usize]
    }

    /// `true` once in `n` times.
    pub fn once_in(&mut self, n: u32) -> bool {
        self.below(n) == n - 1
    }

    /// What was chosen so far.
    pub fn made(&self) -> &[Choice] {
        &self.made
    }

    /// The choices that come after `made` when every combination is tried in order; `None` after
    /// the last.
    pub fn after(made: &[Choice]) -> Option<Vec<u32>> {
        let turns = made.iter().rposition(|choice| choice.value + 1 < choice.bound)?;
        let mut values: Vec<u32> = made[..=turns].iter().map(|choice| choice.value).collect();
        values[turns] += 1;
        Some(values)
    }
}

fn next<T: Copy>(list: &mut &[T]) -> Option<T> {
    let (first, rest) = list.split_first()?;
    *list = rest;
    Some(*first)
}

/// Splitmix64: a small generator whose every seed is a good one.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The sequence of this seed.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub const fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`.
    pub const fn below(&mut self, bound: u32) -> u32 {
        // The high half of the product: no division, and no bias that a test could notice.
        (((self.bits() >> 32) * bound as u64) >> 32) as u32
    }
}
