//! The shape of a stream's objects.
//!
//! What a provider sends for each token is the same object again with another text in it. Once one
//! was read, the next is known by its bytes: if what stands around the text is equal and the text is
//! well-formed, then reading it would find the same values around that text, for what a reader makes
//! of JSON up to a string and after it does not depend on what the string says.

use std::ops::Range;

use super::Text;

/// The longest object that is remembered, in bytes.
const OBJECT_BYTES_MAX: usize = 4 * 1024;

/// Recognises objects that differ from one that was read in a text alone.
#[derive(Debug, Default)]
pub(crate) struct Shape {
    object: Vec<u8>,
    holes: Option<Holes>,
}

/// What may differ.
#[derive(Debug)]
struct Holes {
    text: Range<usize>,
    padding: Option<Range<usize>>,
}

impl Shape {
    /// Remembers an object that was read, by the text in it that others may have another of.
    ///
    /// `padding` is a text without a meaning that some providers add behind it, at random.
    pub(crate) fn learn(&mut self, object: &[u8], text: Text<'_>, padding: Option<Text<'_>>) {
        self.holes = None;
        if object.len() > OBJECT_BYTES_MAX {
            return;
        }
        self.object.clear();
        self.object.extend_from_slice(object);
        let text = text.range();
        let padding = padding.map(Text::range).filter(|padding| text.end < padding.start);
        self.holes = Some(Holes { text, padding });
    }

    /// The text of an object that is like the one learned in all else.
    pub(crate) fn recognise<'a>(&self, object: &'a [u8]) -> Option<Text<'a>> {
        let Holes { text, padding } = self.holes.as_ref()?;
        let (before, after) = (&self.object[..text.start], text.end);
        let (text, rest) = Text::inside(object.strip_prefix(before)?)?;
        let ends_alike = match padding {
            None => rest == &self.object[after..],
            Some(padding) => {
                let rest = rest.strip_prefix(&self.object[after..padding.start])?;
                let (_, rest) = Text::inside(rest)?;
                rest == &self.object[padding.end..]
            }
        };
        (ends_alike && text.decodable).then_some(text)
    }
}

#[cfg(test)]
mod tests;
