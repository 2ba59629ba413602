//! Characters cut in two.
//!
//! In JSON a character beyond the Basic Multilingual Plane can be two escapes, a surrogate pair
//! (RFC 8259, section 7). Some providers cut their text between the two, so that one event ends with
//! the first half and another begins with the second: neither is a text of whole characters.

use super::{Malformed, NESTING_MAX, Reader, Text};

/// How an escaped code unit is written: `\uD83D`.
const ESCAPE_BYTES: usize = 6;
/// What log probabilities repeat of a text is no text of its own.
const REPETITIONS: &str = "logprobs";

type Escape = [u8; ESCAPE_BYTES];

/// Joins the halves, from one JSON text of a stream to the next.
#[derive(Debug, Default)]
pub(crate) struct Halves {
    /// The first half that the texts so far ended with.
    first: Option<Escape>,
}

/// A half and where it stands in the JSON, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Half {
    /// At the end of a text: it waits for the second.
    First(usize, Escape),
    /// At the beginning of a text.
    Second(usize),
}

impl Halves {
    /// The JSON with what it says in whole characters: second halves with their first ones, first
    /// halves taken out until the next. `None` where no half can be joined or kept.
    pub(crate) fn join(&mut self, json: &[u8]) -> Option<Vec<u8>> {
        let halves = find(json).ok().filter(|halves| !halves.is_empty())?;
        let mut whole = Vec::with_capacity(json.len() + halves.len() * ESCAPE_BYTES);
        let (mut from, mut first) = (0, None);
        for half in halves {
            match half {
                Half::Second(at) => {
                    whole.extend_from_slice(&json[from..at]);
                    whole.extend_from_slice(&self.first?);
                    from = at;
                }
                Half::First(at, escape) => {
                    whole.extend_from_slice(&json[from..at]);
                    from = at + ESCAPE_BYTES;
                    // Some say the same text twice; two different ones could not be told apart.
                    if first.replace(escape).is_some_and(|other| other != escape) {
                        return None;
                    }
                }
            }
        }
        whole.extend_from_slice(&json[from..]);
        self.first = first;
        Some(whole)
    }
}

/// The halves that texts begin or end with, in order.
fn find(json: &[u8]) -> Result<Vec<Half>, Malformed> {
    let mut halves = Vec::new();
    let mut reader = Reader::new(json)?;
    texts(&mut reader, NESTING_MAX, &mut |text| halves.extend(text.halves()))?;
    Ok(halves)
}

/// Every text of a value, but not names.
fn texts<'a>(
    reader: &mut Reader<'a>,
    nesting_left: u32,
    sink: &mut dyn FnMut(Text<'a>),
) -> Result<(), Malformed> {
    let Some(left) = nesting_left.checked_sub(1) else { return reader.skip() };
    match reader.peek() {
        Some(b'"') => reader.string().map(sink),
        Some(b'[') => reader.list(|element| texts(element, left, sink)),
        Some(b'{') => reader.object(|value, name| match name {
            REPETITIONS => value.skip(),
            _ => texts(value, left, sink),
        }),
        _ => reader.skip(),
    }
}

impl Text<'_> {
    fn halves(self) -> impl Iterator<Item = Half> {
        let bytes = if self.decodable { &[] } else { self.raw.as_bytes() };
        let second = bytes.first_chunk().filter(|escape| is_half(escape, SECOND));
        let first = bytes.last_chunk().filter(|escape| is_half(escape, FIRST) && self.ends_open());
        let end = self.at + self.raw.len() - if first.is_some() { ESCAPE_BYTES } else { 0 };
        let second = second.map(|_| Half::Second(self.at));
        second.into_iter().chain(first.map(|escape| Half::First(end, *escape)))
    }

    /// Whether the backslash of a last escape is none that is escaped itself.
    fn ends_open(self) -> bool {
        let before = &self.raw.as_bytes()[..self.raw.len() - ESCAPE_BYTES];
        before.iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 0
    }
}

const FIRST: std::ops::Range<u32> = 0xD800..0xDC00;
const SECOND: std::ops::Range<u32> = 0xDC00..0xE000;

fn is_half(escape: &Escape, halves: std::ops::Range<u32>) -> bool {
    super::code_unit(escape).is_some_and(|unit| halves.contains(&unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes of each text in turn; `-` where nothing can be joined.
    #[track_caller]
    fn check(texts: &[&str], expected: &[&str]) {
        let mut halves = Halves::default();
        let joined = texts.iter().map(|text| halves.join(text.as_bytes()));
        let joined =
            joined.map(|whole| whole.map_or("-".into(), |w| String::from_utf8(w).unwrap()));
        assert_eq!(joined.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn two_halves_are_one_character() {
        check(
            &[r#"{"a":{"b":["x\ud83d"]},"c":1}"#, r#"{"a":{"b":["\uDE00y"]},"c":1}"#],
            &[r#"{"a":{"b":["x"]},"c":1}"#, r#"{"a":{"b":["\ud83d\uDE00y"]},"c":1}"#],
        );
    }

    #[test]
    fn one_event_may_end_a_character_and_begin_another() {
        check(
            &[r#"["\ud83d"]"#, r#"["\ude00\ud83d"]"#, r#"["\ude01"]"#],
            &[r#"[""]"#, r#"["\ud83d\ude00"]"#, r#"["\ud83d\ude01"]"#],
        );
    }

    #[test]
    fn a_text_that_is_said_twice_is_joined_twice() {
        check(
            &[r#"["\ud83d","\ud83d"]"#, r#"["\ude00","\ude00"]"#],
            &[r#"["",""]"#, r#"["\ud83d\ude00","\ud83d\ude00"]"#],
        );
        check(&[r#"["\ud83d","\ud83c"]"#], &["-"]);
    }

    #[test]
    fn a_half_without_its_other_is_nothing() {
        check(&[r#"["\ude00"]"#], &["-"]);
        check(
            &[r#"["\ud83d"]"#, r#"["\ude00"]"#, r#"["\ude00"]"#],
            &[r#"[""]"#, r#"["\ud83d\ude00"]"#, "-"],
        );
    }

    #[test]
    fn what_is_whole_or_only_looks_like_a_half_is_left() {
        check(
            &[r#"["\ud83d\ude00"]"#, r#"["\\ud83d"]"#, r#"{"\u0061":null}"#, "nonsense", r#"["x"#],
            &["-", "-", "-", "-", "-"],
        );
        check(&[r#"{"logprobs":{"content":[{"token":"\ud83d"}]}}"#], &["-"]);
    }
}
