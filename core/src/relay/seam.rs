//! Where the answer of one attempt joins what was delivered before it.

use super::continuation::Way;
use crate::failure::{Failure, Reason};
use crate::splice::Splice;

/// The seam of an attempt that completes a broken answer. Each attempt has its own: while a hedge runs,
/// two targets may have been asked in different ways.
#[derive(Debug)]
pub(super) enum Seam {
    /// The target continues, and may repeat the end of what was delivered.
    Continued(Splice),
    /// The target answers anew, and must repeat all of it.
    Anew(Repetition),
}

/// How much of what was delivered a new answer has repeated.
#[derive(Debug)]
pub(super) struct Repetition {
    delivered: usize,
    repeated: usize,
    differs: bool,
}

impl Seam {
    /// The seam after `delivered`.
    pub(super) fn new(way: Way, delivered: &str) -> Self {
        match way {
            Way::Prefill | Way::Instruct => Self::Continued(Splice::new(delivered)),
            Way::Anew => {
                Self::Anew(Repetition { delivered: delivered.len(), repeated: 0, differs: false })
            }
        }
    }

    /// What is certainly new of the next text; `answer` begins with what was delivered.
    pub(super) fn push<'t>(&'t mut self, answer: &str, text: &'t str) -> &'t str {
        match self {
            Self::Continued(splice) => splice.push(text),
            Self::Anew(repetition) => repetition.push(answer, text),
        }
    }

    /// No more text comes: what is new of the text still held back.
    pub(super) fn finish(&mut self) -> &str {
        match self {
            Self::Continued(splice) => splice.finish(),
            Self::Anew(repetition) => {
                repetition.differs |= repetition.is_open();
                ""
            }
        }
    }

    /// Fails if what came is another answer than the one that was delivered: the two cannot be joined.
    pub(super) fn check(&self) -> Result<(), Failure> {
        match self {
            Self::Anew(repetition) if repetition.differs => Err(another_answer()),
            Self::Continued(_) | Self::Anew(_) => Ok(()),
        }
    }

    /// Fails if an answer that ends here is another one.
    pub(super) fn check_end(&self) -> Result<(), Failure> {
        match self {
            Self::Anew(repetition) if repetition.is_open() => Err(another_answer()),
            Self::Continued(_) | Self::Anew(_) => self.check(),
        }
    }
}

impl Repetition {
    fn push<'t>(&mut self, answer: &str, text: &'t str) -> &'t str {
        let left = &answer.as_bytes()[self.repeated..self.delivered];
        let compared = left.len().min(text.len());
        self.differs |= left[..compared] != text.as_bytes()[..compared];
        if self.differs {
            return "";
        }
        self.repeated += compared;
        &text[compared..]
    }

    fn is_open(&self) -> bool {
        self.repeated < self.delivered
    }
}

fn another_answer() -> Failure {
    Failure::new(Reason::Cut, "Begun anew, the answer is another than the one that broke.")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each row: delivered, an answer that begins anew, what is new of it, and whether it is the same
    /// answer so far, and as a whole.
    #[test]
    fn an_answer_that_begins_anew_repeats_all_of_it_or_is_another() {
        let rows = [
            ("Hello wör", "Hello wörld.", "ld.", true, true),
            ("Hello wör", "Hello wör", "", true, true),
            ("Hello wör", "Hello", "", true, false),
            ("Hello wör", "", "", true, false),
            ("Hello wör", "Hello there", "", false, false),
            ("Hello wör", "Hello wôrld", "", false, false),
            ("Hi", "wor", "", false, false),
        ];
        for (delivered, answer, expected, so_far, whole) in rows {
            for chars in [1, 2, 3, 100] {
                let (mut seam, mut text) = (Seam::new(Way::Anew, delivered), delivered.to_owned());
                for piece in answer.chars().collect::<Vec<_>>().chunks(chars) {
                    let piece = String::from_iter(piece);
                    let new = seam.push(&text, &piece).to_owned();
                    text.push_str(&new);
                }
                let row = format!("{delivered:?} {answer:?} by {chars}");
                assert_eq!(&text[delivered.len()..], expected, "{row}");
                assert_eq!(seam.check().is_ok(), so_far, "{row}");
                assert_eq!(seam.check_end().is_ok(), whole, "{row}");
                assert_eq!(seam.finish(), "", "{row}");
                assert_eq!(seam.check().is_ok(), whole, "{row}");
            }
        }
    }
}
