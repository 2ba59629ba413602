//! Joins a continued answer to what was already delivered.
//!
//! A model that continues after a break may repeat some of what the client already has: nothing, the
//! last words, or the answer from its beginning. [`Splice`] drops the longest text that ends the
//! delivered part and begins the continuation. Text is held back only while it still matches, so a
//! continuation that repeats nothing passes at its first differing character.
//!
//! The rule where nothing can decide: an overlap counts from [`OVERLAP_CHARS_MIN`] characters on,
//! or when it is all that was delivered; a shorter one is taken for the answer's own next words
//! ("ha" after "ha ha"). Of several overlaps the longest counts. A repetition that begins more than
//! [`TAIL_BYTES_MAX`] bytes before the break is not recognised.

/// How much of the delivered text is compared, in bytes.
pub const TAIL_BYTES_MAX: usize = 8 * 1024;
/// The shortest overlap that is taken for a repetition, in characters.
pub const OVERLAP_CHARS_MIN: usize = 8;

/// The seam between a delivered text and its continuation.
#[derive(Debug)]
pub struct Splice {
    /// The end of what was delivered.
    tail: String,
    /// Whether `tail` is all of it.
    complete: bool,
    /// The continuation so far, held back.
    held: String,
    /// Where in `tail` a match of `held` begins that is not yet at the tail's end.
    pending: Vec<usize>,
    /// The longest overlap that is certain, in bytes.
    overlap: usize,
    decided: bool,
}

impl Splice {
    /// A seam after `delivered`.
    pub fn new(delivered: &str) -> Self {
        let cut = delivered.len().saturating_sub(TAIL_BYTES_MAX);
        let tail = &delivered[delivered.ceil_char_boundary(cut)..];
        Self {
            tail: tail.to_owned(),
            complete: tail.len() == delivered.len(),
            held: String::new(),
            pending: tail.char_indices().map(|(at, _)| at).collect(),
            overlap: 0,
            decided: tail.is_empty(),
        }
    }

    /// Takes more of the continuation and returns what is certainly new.
    pub fn push<'t>(&'t mut self, text: &'t str) -> &'t str {
        if self.decided {
            return text;
        }
        let before = self.held.len();
        self.held.push_str(text);
        self.match_from(before);
        if self.pending.is_empty() { self.decide() } else { "" }
    }

    /// The continuation is over: returns what is new of the text still held back.
    pub fn finish(&mut self) -> &str {
        if self.decided { "" } else { self.decide() }
    }

    /// Keeps the matches that still hold for the bytes from `before` on; a match that reaches the end
    /// of the tail is an overlap.
    fn match_from(&mut self, before: usize) {
        let (tail, held) = (self.tail.as_bytes(), self.held.as_bytes());
        let mut overlap = self.overlap;
        self.pending.retain(|&start| {
            let left = tail.len() - start;
            let compared = left.min(held.len());
            if tail[start + before..start + compared] != held[before..compared] {
                return false;
            }
            if compared == left {
                overlap = overlap.max(left);
            }
            compared < left
        });
        self.overlap = overlap;
    }

    fn decide(&mut self) -> &str {
        self.decided = true;
        let overlap = &self.held[..self.overlap];
        let is_all = self.complete && self.overlap == self.tail.len();
        let counts = is_all || overlap.chars().count() >= OVERLAP_CHARS_MIN;
        &self.held[if counts { self.overlap } else { 0 }..]
    }
}

#[cfg(test)]
mod tests;
