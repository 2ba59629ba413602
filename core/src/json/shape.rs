//! The shape of a stream's objects.
//!
//! What a provider sends for each token is the same object again with another text in it. Once one
//! was read, the next is known by its bytes: if what stands around the text is equal and the text is
//! well-formed, then reading it would find the same values around that text, for what a reader makes
//! of JSON up to a string and after it does not depend on what the string says. The same holds for a
//! number that counts the objects, and for a text that pads them.

use std::ops::Range;

use super::{Number, Text};

/// The longest object that is remembered, in bytes.
const OBJECT_BYTES_MAX: usize = 4 * 1024;

/// Recognises objects that differ from one that was read in a text alone.
#[derive(Debug, Default)]
pub(crate) struct Shape {
    object: Vec<u8>,
    /// What may differ, in order; empty: nothing was learned.
    holes: Vec<Hole>,
}

#[derive(Debug)]
struct Hole {
    range: Range<usize>,
    filling: Filling,
}

#[derive(Clone, Copy, Debug)]
enum Filling {
    Text,
    Padding,
    Number,
}

impl Shape {
    /// Remembers an object that was read, by the text in it that others may have another of.
    ///
    /// `padding` is a text without a meaning that some providers add at random, `number` one by which
    /// they count their objects.
    pub(crate) fn learn(
        &mut self,
        object: &[u8],
        text: Text<'_>,
        padding: Option<Text<'_>>,
        number: Option<Number<'_>>,
    ) {
        self.holes.clear();
        if object.len() > OBJECT_BYTES_MAX {
            return;
        }
        self.object.clear();
        self.object.extend_from_slice(object);
        let holes = [
            Some((text.range(), Filling::Text)),
            padding.map(|padding| (padding.range(), Filling::Padding)),
            number.map(|number| (number.range(), Filling::Number)),
        ];
        let holes = holes.into_iter().flatten().map(|(range, filling)| Hole { range, filling });
        self.holes.extend(holes);
        self.holes.sort_unstable_by_key(|hole| hole.range.start);
    }

    /// The text of an object that is like the one learned in all else.
    pub(crate) fn recognise<'a>(&self, object: &'a [u8]) -> Option<Text<'a>> {
        let (mut rest, mut at, mut found) = (object, 0, None);
        for Hole { range, filling } in &self.holes {
            rest = rest.strip_prefix(&self.object[at..range.start])?;
            at = range.end;
            rest = match filling {
                Filling::Number => after_number(rest)?,
                Filling::Padding => Text::inside(rest)?.1,
                Filling::Text => {
                    let (text, after) = Text::inside(rest)?;
                    found = Some(text);
                    after
                }
            };
        }
        found.filter(|text| text.decodable && rest == &self.object[at..])
    }
}

/// What follows the whole number that `bytes` begins with. RFC 8259, section 6: no zeros before it.
fn after_number(bytes: &[u8]) -> Option<&[u8]> {
    let digits = bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let is_number = digits == 1 || (digits > 1 && bytes[0] != b'0');
    is_number.then(|| &bytes[digits..])
}

#[cfg(test)]
mod tests;
