//! JSON read front to back, for the bytes that come with every token.
//!
//! The caller of [`Reader`] names what it expects next; texts and numbers are handed over on the way,
//! and all else is skipped, as is a value of an unexpected type. It builds nothing and allocates
//! nothing: texts are borrowed from the bytes they came in, and one with escapes is decoded into a
//! buffer of the caller's.
//!
//! It takes what RFC 8259 defines and nothing else, with two bounds of its own: the whole text is
//! UTF-8, and what is skipped is nested at most [`NESTING_MAX`] deep. Of equal names in an object
//! the caller sees each, in order.
//!
//! A request is read with it too, but into types of serde's: `values`.

mod halves;
mod lenient;
mod nesting;
mod shape;
mod values;

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use serde_json::{Map, Value};

pub(crate) use halves::Halves;
pub(crate) use lenient::holds_content;
pub(crate) use nesting::Nesting;
pub(crate) use shape::Shape;
pub(crate) use values::{Error, Wrong, read, read_bytes};

/// How deep lists and objects nest that are skipped.
pub(crate) const NESTING_MAX: u32 = 128;

/// An object of these members. To be collected, they would be sorted first, by code that is compiled
/// anew for each iterator.
pub(crate) fn object(members: impl Iterator<Item = (String, Value)>) -> Map<String, Value> {
    let mut object = Map::new();
    object.extend(members);
    object
}

/// Reads one JSON text.
#[derive(Clone, Debug)]
pub(crate) struct Reader<'a> {
    text: &'a str,
    at: usize,
}

/// A string of the text, its escapes not decoded yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Text<'a> {
    /// What stands between the quotes.
    raw: &'a str,
    /// Where that begins.
    at: usize,
    escaped: bool,
    /// No escape is half of a surrogate pair.
    decodable: bool,
}

/// A whole number of the text that is not negative, as it stands there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Number<'a> {
    digits: &'a str,
    /// Where they begin.
    at: usize,
}

/// The text is no JSON, or not what was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed {
    expected: &'static str,
    /// Where, in bytes.
    at: usize,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {} at byte {}", self.expected, self.at)
    }
}

impl<'a> Reader<'a> {
    /// A reader of these bytes, which must be UTF-8.
    pub(crate) fn new(bytes: &'a [u8]) -> Result<Self, Malformed> {
        match str::from_utf8(bytes) {
            Ok(text) => Ok(Self { text, at: 0 }),
            Err(error) => Err(Malformed { expected: "UTF-8", at: error.valid_up_to() }),
        }
    }

    /// Reads an object; `member` reads the value of each name.
    #[inline]
    pub(crate) fn object(
        &mut self,
        mut member: impl FnMut(&mut Self, &str) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        self.members(|reader, name| match name {
            Text { raw, escaped: false, .. } => member(reader, raw),
            Text { decodable: true, .. } => member(reader, &name.into_cow()),
            Text { .. } => Err(reader.expected("a name of whole characters")),
        })
    }

    /// Reads a list; `element` reads each of its elements.
    #[inline]
    pub(crate) fn list(
        &mut self,
        mut element: impl FnMut(&mut Self) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        self.pass(b'[', "a list")?;
        if self.next_is(b']') {
            return Ok(());
        }
        loop {
            element(self)?;
            if self.next_is(b']') {
                return Ok(());
            }
            self.pass(b',', "a comma or the list's end")?;
        }
    }

    /// Whether a list comes next.
    pub(crate) fn is_list(&mut self) -> bool {
        self.peek() == Some(b'[')
    }

    /// Whether an object comes next.
    pub(crate) fn is_object(&mut self) -> bool {
        self.peek() == Some(b'{')
    }

    /// Skips a value of any kind, but hands over a string.
    pub(crate) fn text_or_skip(&mut self) -> Result<Option<Text<'a>>, Malformed> {
        match self.peek() {
            Some(b'"') => self.string().map(Some),
            _ => self.skip().map(|()| None),
        }
    }

    /// Skips a value of any kind, but hands over a whole number that is not negative.
    pub(crate) fn number_or_skip(&mut self) -> Result<Option<Number<'a>>, Malformed> {
        self.blanks();
        let at = self.at;
        self.skip()?;
        let digits = &self.text[at..self.at];
        let is_whole = digits.bytes().all(|byte| byte.is_ascii_digit());
        Ok(is_whole.then_some(Number { digits, at }))
    }

    /// Checks a value by reading it, and gives a reader that stands before it: to be read again
    /// once all around it is known to be sound.
    pub(crate) fn checked(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<(), Malformed>,
    ) -> Result<Self, Malformed> {
        let before = self.clone();
        read(self)?;
        Ok(before)
    }

    /// Skips a value of any kind, and gives it as it stands there.
    pub(crate) fn raw(&mut self) -> Result<&'a str, Malformed> {
        self.blanks();
        let start = self.at;
        self.skip()?;
        Ok(&self.text[start..self.at])
    }

    /// What was read since `earlier`, a reader of the same text.
    pub(crate) fn since(&self, earlier: &Self) -> &'a str {
        &self.text[earlier.at..self.at]
    }

    /// Skips a value of any kind.
    pub(crate) fn skip(&mut self) -> Result<(), Malformed> {
        self.skip_nested(NESTING_MAX)
    }

    /// Makes sure that nothing more comes.
    pub(crate) fn end(&mut self) -> Result<(), Malformed> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.expected("the end")),
        }
    }
}

impl<'a> Text<'a> {
    /// Whether there is nothing in it.
    pub(crate) fn is_empty(self) -> bool {
        self.raw.is_empty()
    }

    /// Whether it is this word, written plainly.
    pub(crate) fn is(self, word: &str) -> bool {
        self.raw == word
    }

    /// The text; decoded into `scratch` where it has escapes.
    #[inline]
    pub(crate) fn decode<'s>(self, scratch: &'s mut String) -> &'s str
    where
        'a: 's,
    {
        if !self.escaped {
            return self.raw;
        }
        scratch.clear();
        self.decode_onto(scratch);
        scratch
    }

    /// The text; owned where it has escapes.
    pub(crate) fn into_cow(self) -> Cow<'a, str> {
        if !self.escaped {
            return Cow::Borrowed(self.raw);
        }
        let mut text = String::with_capacity(self.raw.len());
        self.decode_onto(&mut text);
        Cow::Owned(text)
    }

    /// A string whose opening quote was passed, and what follows from its closing quote on.
    fn inside(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let body = Body::of(bytes, 0).ok()?;
        let (raw, rest) = bytes.split_at(body.bytes);
        Some((body.text(str::from_utf8(raw).ok()?, 0), rest))
    }

    /// The `json` in which it stands, with `value` in its place.
    pub(crate) fn replaced_in(self, json: &[u8], value: &str) -> Vec<u8> {
        let Range { start, end } = self.range();
        [&json[..start - 1], value.as_bytes(), &json[end + 1..]].concat()
    }

    fn range(self) -> Range<usize> {
        self.at..self.at + self.raw.len()
    }

    fn decode_onto(self, text: &mut String) {
        let mut rest = self.raw;
        while let Some(plain) = memchr::memchr(b'\\', rest.as_bytes()) {
            text.push_str(&rest[..plain]);
            let (decoded, bytes) = escape(&rest.as_bytes()[plain..]).expect("it was read before");
            text.push(decoded.unwrap_or(char::REPLACEMENT_CHARACTER));
            rest = &rest[plain + bytes..];
        }
        text.push_str(rest);
    }
}

impl Number<'_> {
    /// Its value; `None` where it is beyond what a `u64` holds.
    pub(crate) fn value(self) -> Option<u64> {
        self.digits.parse().ok()
    }

    fn range(self) -> Range<usize> {
        self.at..self.at + self.digits.len()
    }
}

impl<'a> Reader<'a> {
    /// Reads an object; `member` reads the value of each name, of which escapes are not decoded yet.
    #[inline]
    pub(crate) fn members(
        &mut self,
        mut member: impl FnMut(&mut Self, Text<'a>) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        self.pass(b'{', "an object")?;
        if self.next_is(b'}') {
            return Ok(());
        }
        loop {
            let name = self.string()?;
            self.pass(b':', "a colon")?;
            member(self, name)?;
            if self.next_is(b'}') {
                return Ok(());
            }
            self.pass(b',', "a comma or the object's end")?;
        }
    }

    fn skip_nested(&mut self, nesting_left: u32) -> Result<(), Malformed> {
        let within = nesting_left.checked_sub(1);
        match (self.peek(), within) {
            (Some(b'"'), _) => self.string().map(drop),
            (Some(b'n'), _) => self.literal("null"),
            (Some(b't'), _) => self.literal("true"),
            (Some(b'f'), _) => self.literal("false"),
            (Some(b'{'), Some(left)) => self.members(|reader, _| reader.skip_nested(left)),
            (Some(b'['), Some(left)) => self.list(|reader| reader.skip_nested(left)),
            (Some(b'{' | b'['), None) => Err(self.expected("less nesting")),
            _ => self.number(),
        }
    }

    #[inline]
    fn string(&mut self) -> Result<Text<'a>, Malformed> {
        self.pass(b'"', "a string")?;
        let start = self.at;
        let rest = &self.text[start..];
        let plain = plain_bytes(rest.as_bytes());
        let body = match rest.as_bytes().get(plain) {
            Some(b'"') => Body::plain(plain),
            _ => Body::of(rest.as_bytes(), plain)
                .map_err(|Malformed { expected, at }| Malformed { expected, at: start + at })?,
        };
        self.at += body.bytes + 1;
        Ok(body.text(&rest[..body.bytes], start))
    }

    /// RFC 8259, section 6: `number = [ minus ] int [ frac ] [ exp ]`.
    fn number(&mut self) -> Result<(), Malformed> {
        let bytes = self.text.as_bytes();
        if bytes.get(self.at) == Some(&b'-') {
            self.at += 1;
        }
        match bytes.get(self.at) {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.digits()?,
            _ => return Err(self.expected("a value")),
        }
        if bytes.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = bytes.get(self.at) {
            self.at += 1;
            if let Some(b'+' | b'-') = bytes.get(self.at) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), Malformed> {
        let rest = &self.text.as_bytes()[self.at..];
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += digits;
        if digits > 0 { Ok(()) } else { Err(self.expected("a digit")) }
    }

    #[inline]
    fn literal(&mut self, word: &'static str) -> Result<(), Malformed> {
        if !self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            return Err(self.expected("a value"));
        }
        self.at += word.len();
        Ok(())
    }

    /// Takes this byte, after any blanks.
    #[inline]
    fn pass(&mut self, byte: u8, expected: &'static str) -> Result<(), Malformed> {
        if self.next_is(byte) { Ok(()) } else { Err(self.expected(expected)) }
    }

    /// Takes this byte if it comes next, after any blanks.
    #[inline]
    fn next_is(&mut self, byte: u8) -> bool {
        let is = self.peek() == Some(byte);
        self.at += usize::from(is);
        is
    }

    /// The byte after any blanks.
    #[inline]
    fn peek(&mut self) -> Option<u8> {
        self.blanks();
        self.text.as_bytes().get(self.at).copied()
    }

    #[inline]
    fn blanks(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.text.as_bytes().get(self.at) {
            self.at += 1;
        }
    }

    #[cold]
    fn expected(&self, expected: &'static str) -> Malformed {
        Malformed { expected, at: self.at }
    }
}

/// What stands between the quotes of a string.
struct Body {
    bytes: usize,
    escaped: bool,
    decodable: bool,
}

impl Body {
    #[inline]
    fn plain(bytes: usize) -> Self {
        Self { bytes, escaped: false, decodable: true }
    }

    /// The body that `bytes` begins with, which must go on with a quote; so many first ones are known
    /// to be plain. RFC 8259, section 7.
    fn of(bytes: &[u8], plain: usize) -> Result<Self, Malformed> {
        let mut body = Self::plain(plain);
        loop {
            body.bytes += plain_bytes(&bytes[body.bytes..]);
            match bytes.get(body.bytes) {
                Some(b'"') => return Ok(body),
                Some(b'\\') => body.add_escape(&bytes[body.bytes..])?,
                _ => return Err(Malformed { expected: "the string's end", at: body.bytes }),
            }
        }
    }

    fn add_escape(&mut self, bytes: &[u8]) -> Result<(), Malformed> {
        let Some((decoded, bytes)) = escape(bytes) else {
            return Err(Malformed { expected: "an escape", at: self.bytes });
        };
        self.escaped = true;
        self.decodable &= decoded.is_some();
        self.bytes += bytes;
        Ok(())
    }

    fn text<'a>(&self, raw: &'a str, at: usize) -> Text<'a> {
        Text { raw, at, escaped: self.escaped, decodable: self.decodable }
    }
}

/// The escape that `bytes` begins with, and its length; `None` in place of the character: half of a
/// surrogate pair.
fn escape(bytes: &[u8]) -> Option<(Option<char>, usize)> {
    let decoded = match bytes.get(1)? {
        b'n' => '\n',
        b'"' => '"',
        b'\\' => '\\',
        b'/' => '/',
        b't' => '\t',
        b'r' => '\r',
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'u' => return unicode_escape(bytes),
        _ => return None,
    };
    Some((Some(decoded), 2))
}

/// RFC 8259, section 7: a character outside the Basic Multilingual Plane is two escapes.
fn unicode_escape(bytes: &[u8]) -> Option<(Option<char>, usize)> {
    let high = code_unit(bytes)?;
    if !(0xD800..0xDC00).contains(&high) {
        return Some((char::from_u32(high), 6));
    }
    match bytes.get(6..).and_then(code_unit) {
        Some(low @ 0xDC00..=0xDFFF) => {
            let beyond = ((high - 0xD800) << 10) + (low - 0xDC00);
            Some((char::from_u32(0x1_0000 + beyond), 12))
        }
        _ => Some((None, 6)),
    }
}

/// The UTF-16 code unit of the `\uXXXX` that `bytes` begins with.
fn code_unit(bytes: &[u8]) -> Option<u32> {
    let digits = bytes.strip_prefix(b"\\u")?.first_chunk::<4>()?;
    digits.iter().try_fold(0, |unit, &digit| Some(unit << 4 | char::from(digit).to_digit(16)?))
}

/// How many bytes from the first on are neither a quote nor a backslash nor a control character.
#[inline]
fn plain_bytes(bytes: &[u8]) -> usize {
    let (words, rest) = bytes.as_chunks::<8>();
    for (number, word) in words.iter().enumerate() {
        let marked = marks(u64::from_le_bytes(*word));
        if marked != 0 {
            return 8 * number + marked.trailing_zeros() as usize / 8;
        }
    }
    let plain = rest.iter().take_while(|byte| !matches!(byte, b'"' | b'\\' | 0..0x20)).count();
    8 * words.len() + plain
}

/// Marks the highest bit of each byte that is not plain. Only the lowest mark is sure: a byte that
/// borrows from the next may mark that one too.
#[inline]
fn marks(word: u64) -> u64 {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    let zeros = |word: u64| word.wrapping_sub(ONES) & !word;
    let quotes = zeros(word ^ (ONES * b'"' as u64));
    let backslashes = zeros(word ^ (ONES * b'\\' as u64));
    let controls = word.wrapping_sub(ONES * 0x20) & !word;
    (quotes | backslashes | controls) & (ONES * 0x80)
}

#[cfg(test)]
mod tests;
