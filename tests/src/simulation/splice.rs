//! The rule by which a continuation joins what was delivered, in its simplest form, and scripts of
//! one seam: any answer, any cut, any repetition.

use std::fmt;

use streamgate_core::splice::{OVERLAP_CHARS_MIN, Splice, TAIL_BYTES_MAX};

use super::choices::Choices;
use super::search::Case;

/// What of `continuation` is new after `delivered`: all of it but the longest overlap, if that is
/// long enough or all that was delivered. Of an unfinished continuation that may still be
/// repeating, nothing is.
pub fn join<'t>(delivered: &str, continuation: &'t str, finished: bool) -> &'t str {
    let mut starts = (0..delivered.len()).filter(|at| delivered.is_char_boundary(*at));
    let may_repeat = |at: usize| {
        delivered.len() - at > continuation.len() && delivered[at..].starts_with(continuation)
    };
    if !finished && starts.any(may_repeat) {
        return "";
    }
    let overlap = (0..=delivered.len().min(continuation.len()))
        .rev()
        .filter(|length| continuation.is_char_boundary(*length))
        .find(|length| delivered.ends_with(&continuation[..*length]))
        .unwrap_or(0);
    let chars = continuation[..overlap].chars().count();
    let counts = overlap == delivered.len() || chars >= OVERLAP_CHARS_MIN;
    &continuation[if counts { overlap } else { 0 }..]
}

/// One seam: an answer that broke, and how a model continued it.
#[derive(Clone, Debug)]
pub struct Seam {
    /// The answer, had it not broken.
    pub whole: String,
    /// How much of it was delivered, in bytes.
    pub cut: usize,
    /// Where in it the continuation begins, in bytes.
    pub from: usize,
    /// In pieces of how many characters the continuation comes.
    pub piece: usize,
}

/// The texts an answer is made of: phrases that repeat, characters of one to four bytes, and what
/// looks alike.
const PHRASES: [&str; 14] = [
    "a",
    "b",
    " ",
    "ab",
    "ha ",
    "é",
    "三",
    "😀",
    "👩‍🚀",
    "the same ",
    "\n- item",
    "e\u{301}",
    "0",
    "tail",
];

impl Seam {
    fn any(choices: &mut Choices<'_>) -> Self {
        let phrases = choices.pick(&[2, 6, 14]);
        let count = choices.below(40);
        let mut whole: String =
            (0..count).map(|_| PHRASES[choices.below(phrases) as usize]).collect();
        if choices.once_in(512) {
            whole = whole.repeat(1 + TAIL_BYTES_MAX / whole.len().max(1));
        }
        let place = |choices: &mut Choices<'_>, end: usize| {
            let at = choices.below(u32::try_from(end).unwrap_or(u32::MAX).saturating_add(1));
            whole.floor_char_boundary(at as usize)
        };
        let cut = place(choices, whole.len());
        let from = place(choices, cut);
        let piece = 1 + choices.below(20) as usize;
        Self { cut, from, piece, whole }
    }

    /// Joins it as the relay does.
    fn joined(&self) -> String {
        let (delivered, mut rest) = (&self.whole[..self.cut], &self.whole[self.from..]);
        let mut splice = Splice::new(delivered);
        let mut joined = delivered.to_owned();
        while !rest.is_empty() {
            let end = rest.char_indices().nth(self.piece).map_or(rest.len(), |(at, _)| at);
            let (piece, after) = rest.split_at(end);
            joined.push_str(splice.push(piece));
            rest = after;
        }
        joined.push_str(splice.finish());
        joined
    }

    fn judge(&self) -> Result<bool, String> {
        let (delivered, continuation) = (&self.whole[..self.cut], &self.whole[self.from..]);
        let joined = self.joined();
        // What lies further back is not compared.
        let tail = delivered.ceil_char_boundary(delivered.len().saturating_sub(TAIL_BYTES_MAX));
        let expected = format!("{delivered}{}", join(&delivered[tail..], continuation, true));
        if joined != expected {
            return Err(format!("joined   {joined:?}\nexpected {expected:?}"));
        }
        if self.is_decidable() && joined != self.whole {
            return Err(format!("joined   {joined:?}\nis not the answer"));
        }
        Ok(self.is_decidable())
    }

    /// Whether the repetition can be distinguished from the answer's own words: it is long enough, or all
    /// that was delivered, and no longer one fits as well.
    fn is_decidable(&self) -> bool {
        let (delivered, continuation) = (&self.whole[..self.cut], &self.whole[self.from..]);
        let repeated = self.cut - self.from;
        let longest = (0..=self.cut.min(continuation.len()))
            .rev()
            .find(|length| delivered.as_bytes().ends_with(&continuation.as_bytes()[..*length]));
        let chars = delivered[self.from..].chars().count();
        let counts = repeated == 0 || self.from == 0 || chars >= OVERLAP_CHARS_MIN;
        counts && longest == Some(repeated) && repeated <= TAIL_BYTES_MAX
    }
}

impl Case for Seam {
    fn draw(choices: &mut Choices<'_>) -> Self {
        Self::any(choices)
    }

    /// Known is what a seam must come to where the repetition can be distinguished.
    fn check(&self) -> Result<bool, String> {
        self.judge()
    }
}

impl fmt::Display for Seam {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { whole, cut, from, piece } = self;
        writeln!(f, "delivered {:?}", &whole[..*cut])?;
        writeln!(f, "continued {:?}, {piece} characters at a time", &whole[*from..])
    }
}
