//! The texts of a stream, which most of its events consist of: decoded into a buffer that is used
//! again, and recognised instead of read where an event differs from the one before in its text
//! alone.

use crate::chat::Event;
use crate::json::{Number, Shape, Text};
use crate::protocol::Sink;

/// How large a buffer is kept for the next event, in bytes.
const BUFFER_BYTES_KEPT_MAX: usize = 16 * 1024;

/// What reading texts keeps from one event to the next.
#[derive(Debug, Default)]
pub(in crate::protocol) struct Texts {
    /// Where texts are decoded that cannot be borrowed from the bytes they came in.
    pub(in crate::protocol) buffer: String,
    /// What the last event looked like that consisted of a text.
    shape: Shape,
    /// Which part of the answer such a text is.
    kind: TextKind,
}

/// Which part of an answer a text is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::protocol) enum TextKind {
    #[default]
    Answer,
    Reasoning,
    Refusal,
}

impl Texts {
    /// Reads an event that differs from the last one learned in its text alone; `false`: it does
    /// not.
    pub(in crate::protocol) fn recognise(&mut self, data: &[u8], sink: &mut Sink<'_>) -> bool {
        trim(&mut self.buffer);
        let Some(text) = self.shape.recognise(data) else { return false };
        sink(self.kind.event(text.decode(&mut self.buffer)));
        true
    }

    /// Learns an event that consists of `text`, some `padding` and a `number` in the stream.
    pub(in crate::protocol) fn learn(
        &mut self,
        data: &[u8],
        (kind, text): (TextKind, Text<'_>),
        padding: Option<Text<'_>>,
        number: Option<Number<'_>>,
    ) {
        self.kind = kind;
        self.shape.learn(data, text, padding, number);
    }
}

/// Gives back what one long text made a buffer take.
pub(in crate::protocol) fn trim(buffer: &mut String) {
    if buffer.capacity() > BUFFER_BYTES_KEPT_MAX {
        *buffer = String::new();
    }
}

impl TextKind {
    pub(in crate::protocol) fn event(self, text: &str) -> Event<'_> {
        match self {
            Self::Answer => Event::Text(text.into()),
            Self::Reasoning => Event::Reasoning(text.into()),
            Self::Refusal => Event::Refusal(text.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_buffer_that_one_long_text_grew_is_given_back() {
        let mut usual = String::with_capacity(BUFFER_BYTES_KEPT_MAX);
        let kept = usual.capacity();
        trim(&mut usual);
        assert_eq!(usual.capacity(), kept);
        let mut grown = String::with_capacity(kept + 1);
        trim(&mut grown);
        assert_eq!(grown.capacity(), 0);
    }
}
