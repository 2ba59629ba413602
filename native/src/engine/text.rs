//! Turns the bytes of tokens into the text of an answer: whole characters only, and nothing of a
//! stop string.
//!
//! A token may hold part of a character, and a stop string may span tokens. Both are held back
//! until decided, and never more than that: fewer than four bytes of a character and less than
//! the longest stop string.

use std::mem;

/// What one token added to the answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Added {
    /// Text that is ready to be sent; empty while a character or a stop string is undecided.
    Text(String),
    /// A stop string is complete; `text` is what stood before it and was not sent yet.
    Stopped {
        /// The last text of the answer.
        text: String,
        /// The stop string that ended it.
        stop: String,
    },
}

/// The tail of an answer that is not sent yet.
#[derive(Debug, Default)]
pub(super) struct Text {
    /// The bytes of an unfinished character.
    partial: Vec<u8>,
    /// Whole characters that may begin a stop string.
    held: String,
    stops: Vec<String>,
}

impl Text {
    /// Empty stop strings stop nothing.
    pub(super) fn new(stops: Vec<String>) -> Self {
        let stops = stops.into_iter().filter(|stop| !stop.is_empty()).collect();
        Self { stops, ..Self::default() }
    }

    /// Takes the bytes of the next token.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Added {
        self.partial.extend_from_slice(bytes);
        self.take_whole_characters();
        if let Some((start, stop)) = self.first_stop() {
            let stop = self.stops[stop].clone();
            self.held.truncate(start);
            self.partial.clear();
            return Added::Stopped { text: mem::take(&mut self.held), stop };
        }
        let ready = self.held.len() - self.undecided();
        let undecided = self.held.split_off(ready);
        Added::Text(mem::replace(&mut self.held, undecided))
    }

    /// The rest of an answer that ended without a stop string; an unfinished character becomes
    /// one U+FFFD.
    pub(super) fn finish(&mut self) -> String {
        if !mem::take(&mut self.partial).is_empty() {
            self.held.push(char::REPLACEMENT_CHARACTER);
        }
        mem::take(&mut self.held)
    }

    /// Moves the whole characters of `partial` to `held`; a sequence that can never become a
    /// character is one U+FFFD, as in the WHATWG decoder.
    fn take_whole_characters(&mut self) {
        let mut taken = 0;
        for chunk in self.partial.utf8_chunks() {
            self.held.push_str(chunk.valid());
            taken += chunk.valid().len();
            let invalid = chunk.invalid();
            if invalid.is_empty() || may_be_completed(invalid, &self.partial[taken..]) {
                break;
            }
            self.held.push(char::REPLACEMENT_CHARACTER);
            taken += invalid.len();
        }
        self.partial.drain(..taken);
    }

    /// Where the stop string that is complete first begins, and which it is. Completion decides,
    /// not the beginning, so that the answer does not depend on how the text fell into tokens.
    fn first_stop(&self) -> Option<(usize, usize)> {
        let found = self.stops.iter().enumerate().filter_map(|(index, stop)| {
            self.held.find(stop.as_str()).map(|start| (start + stop.len(), start, index))
        });
        found.min().map(|(_, start, index)| (start, index))
    }

    /// Length of the longest end of `held` that begins a stop string.
    fn undecided(&self) -> usize {
        let begun = |stop: &String| {
            let longest = self.held.len().min(stop.len() - 1);
            (1..=longest)
                .rev()
                .find(|&n| self.held.as_bytes().ends_with(&stop.as_bytes()[..n]))
                .unwrap_or(0)
        };
        // A stop string's prefix may end inside a character only where `held` would too, so the
        // cut is always between characters.
        self.stops.iter().map(begun).max().unwrap_or(0)
    }
}

/// Whether `invalid` is the end of the bytes and the beginning of a character.
fn may_be_completed(invalid: &[u8], rest: &[u8]) -> bool {
    invalid.len() == rest.len()
        && str::from_utf8(invalid).is_err_and(|error| error.error_len().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pushes `pieces` and returns the texts sent, joined, and the stop string met.
    fn run(stops: &[&str], pieces: &[&[u8]]) -> (String, Option<String>) {
        let mut text = Text::new(stops.iter().map(ToString::to_string).collect());
        let mut sent = String::new();
        for piece in pieces {
            match text.push(piece) {
                Added::Text(more) => sent.push_str(&more),
                Added::Stopped { text, stop } => return (sent + &text, Some(stop)),
            }
        }
        (sent + &text.finish(), None)
    }

    /// Checks `bytes` whole, split at every byte, and byte by byte.
    fn check(stops: &[&str], bytes: &[u8], expected: &str, stop: Option<&str>) {
        let expected = (expected.to_string(), stop.map(str::to_string));
        assert_eq!(run(stops, &[bytes]), expected, "whole");
        for at in 0..=bytes.len() {
            let (head, tail) = bytes.split_at(at);
            assert_eq!(run(stops, &[head, tail]), expected, "split at {at}");
        }
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(run(stops, &single), expected, "byte by byte");
    }

    #[test]
    fn characters_are_whole_wherever_tokens_end() {
        let text = "aé漢😀 e\u{301}\u{200d}🇩🇪";
        check(&[], text.as_bytes(), text, None);
    }

    #[test]
    fn nothing_is_sent_of_an_unfinished_character() {
        let mut text = Text::new(vec![]);
        for byte in &"😀".as_bytes()[..3] {
            assert_eq!(text.push(&[*byte]), Added::Text(String::new()));
        }
        assert_eq!(text.push(&"😀".as_bytes()[3..]), Added::Text("😀".into()));
    }

    #[test]
    fn broken_bytes_become_one_replacement_each() {
        check(&[], b"a\xffb", "a\u{fffd}b", None);
        check(&[], b"a\xe6\xbcb", "a\u{fffd}b", None);
        check(&[], b"\xf0\x9f\x98", "\u{fffd}", None);
        check(&[], b"\xc3\xc3\xa9", "\u{fffd}é", None);
        check(&[], b"\xed\xa0\x80", "\u{fffd}\u{fffd}\u{fffd}", None);
        check(&[], b"ok\xf0\x9f", "ok\u{fffd}", None);
    }

    #[test]
    fn a_stop_string_never_leaks() {
        check(&["\nUser:"], b"Hi.\nUser: and more", "Hi.", Some("\nUser:"));
        check(&["END"], b"E EN END", "E EN ", Some("END"));
        check(&["aab"], b"aaab", "a", Some("aab"));
        check(&["漢字"], "x漢漢字".as_bytes(), "x漢", Some("漢字"));
        check(&["END", "XY"], b"aXEXY", "aXE", Some("XY"));
    }

    #[test]
    fn what_only_began_a_stop_string_is_sent() {
        check(&["END"], b"the EN", "the EN", None);
        check(&["\n\n"], b"a\nb\n", "a\nb\n", None);
        check(&["漢字"], "漢".as_bytes(), "漢", None);
        check(&["é"], b"\xc3\xa8", "è", None);
    }

    #[test]
    fn the_stop_string_that_is_complete_first_wins() {
        check(&["bcd", "c"], b"abcd", "ab", Some("c"));
        check(&["bc", "c"], b"abcd", "a", Some("bc"));
    }

    #[test]
    fn only_the_undecided_end_is_held_back() {
        let mut text = Text::new(vec!["STOP".into()]);
        assert_eq!(text.push(b"hello S"), Added::Text("hello ".into()));
        assert_eq!(text.push(b"T"), Added::Text(String::new()));
        assert_eq!(text.push(b"Ay"), Added::Text("STAy".into()));
    }

    #[test]
    fn an_empty_stop_string_stops_nothing() {
        check(&[""], b"text", "text", None);
    }
}
