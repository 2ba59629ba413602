//! A request read into types of serde's, with the path of what is wrong in it.
//!
//! There is one deserializer for all of them, and it takes a struct from an object only. So the code
//! that serde derives for a type is compiled once and without what would read it from a list; in a
//! Worker, that is most of what a request costs in size.

use std::borrow::Cow;
use std::fmt::{self, Display};
use std::iter;

use serde::de::value::{BorrowedStrDeserializer, MapDeserializer};
use serde::de::{
    self, Deserialize, DeserializeSeed, Deserializer, Expected, IntoDeserializer, MapAccess,
    SeqAccess, Unexpected, Visitor,
};
use serde::forward_to_deserialize_any;

use super::{Malformed, NESTING_MAX, Reader};

/// By this name, [`RawValue`](serde_json::value::RawValue) is given a value as it is written.
const RAW_VALUE: &str = "$serde_json::private::RawValue";

/// Reads a JSON text.
pub(crate) fn read<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, Error> {
    let mut values = Values { reader: Reader { text, at: 0 }, nesting_left: NESTING_MAX };
    let value = T::deserialize(&mut values)?;
    values.reader.end()?;
    Ok(value)
}

/// Reads a JSON text of these bytes.
pub(crate) fn read_bytes<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Error> {
    read(Reader::new(bytes)?.text)
}

/// Why a text was not read.
#[derive(Debug)]
pub(crate) struct Error(Box<Wrong>);

/// What is wrong.
#[derive(Debug)]
pub(crate) enum Wrong {
    /// The text is not JSON.
    Json(Malformed),
    /// A value is not what was expected.
    Value {
        /// Where it is, such as `messages[0].role`; empty if it is the whole text.
        path: String,
        /// What was found, and what was expected.
        what: String,
    },
}

impl Error {
    pub(crate) fn into_wrong(self) -> Wrong {
        *self.0
    }

    /// The error as one within the value of this name.
    #[cold]
    fn in_member(mut self, name: &str) -> Self {
        if let Wrong::Value { path, .. } = &mut *self.0 {
            let dot = if path.is_empty() || path.starts_with('[') { "" } else { "." };
            *path = [name, dot, path].concat();
        }
        self
    }

    #[cold]
    fn in_element(self, index: usize) -> Self {
        self.in_member(&format!("[{index}]"))
    }
}

impl From<Malformed> for Error {
    #[cold]
    fn from(malformed: Malformed) -> Self {
        Self(Box::new(Wrong::Json(malformed)))
    }
}

impl Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.0 {
            Wrong::Json(malformed) => malformed.fmt(f),
            Wrong::Value { what, .. } => f.write_str(what),
        }
    }
}

impl std::error::Error for Error {}

impl de::Error for Error {
    #[cold]
    fn custom<T: Display>(what: T) -> Self {
        Self(Box::new(Wrong::Value { path: String::new(), what: what.to_string() }))
    }

    /// JSON's name for serde's unit is null.
    #[cold]
    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let found: &dyn Display = if found == Unexpected::Unit { &"null" } else { &found };
        Self::custom(format_args!("invalid type: {found}, expected {expected}"))
    }
}

struct Values<'de> {
    reader: Reader<'de>,
    nesting_left: u32,
}

impl<'de> Values<'de> {
    fn text(&mut self) -> Result<Cow<'de, str>, Error> {
        Ok(self.reader.string()?.into_cow())
    }

    /// Begins an object or a list.
    fn begin(&mut self, bracket: u8, expected: &'static str) -> Result<(), Error> {
        if !self.reader.next_is(bracket) {
            return Err(self.other_than(expected));
        }
        match self.nesting_left.checked_sub(1) {
            Some(left) => self.nesting_left = left,
            None => return Err(self.reader.expected("less nesting").into()),
        }
        Ok(())
    }

    /// Whether there is another member or element; passes what is before it, or the end.
    fn has_next(&mut self, is_first: bool, bracket: u8) -> Result<bool, Error> {
        if self.reader.next_is(bracket) {
            self.nesting_left += 1;
            return Ok(false);
        }
        if !is_first {
            self.reader.pass(b',', "a comma or the end")?;
        }
        Ok(true)
    }

    #[cold]
    fn other_than(&mut self, expected: &'static str) -> Error {
        match self.deserialize_any(Other(expected)) {
            Ok(never) => match never {},
            Err(error) => error,
        }
    }

    fn number(&mut self) -> Result<Number, Error> {
        let before = self.reader.clone();
        self.reader.number()?;
        let digits = self.reader.since(&before);
        if let Ok(number) = digits.parse() {
            return Ok(Number::Unsigned(number));
        }
        if let Ok(number) = digits.parse() {
            return Ok(Number::Signed(number));
        }
        match digits.parse() {
            Ok(number) if f64::is_finite(number) => Ok(Number::Float(number)),
            _ => Err(before.expected("a number within the range of a double").into()),
        }
    }
}

enum Number {
    Unsigned(u64),
    Signed(i64),
    Float(f64),
}

/// Accepts no value: the error names the one that was found.
struct Other(&'static str);

enum Never {}

impl Visitor<'_> for Other {
    type Value = Never;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl<'de> Deserializer<'de> for &mut Values<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.reader.peek() {
            Some(b'"') => match self.text()? {
                Cow::Borrowed(text) => visitor.visit_borrowed_str(text),
                Cow::Owned(text) => visitor.visit_string(text),
            },
            Some(b'{') => self.deserialize_map(visitor),
            Some(b'[') => self.deserialize_seq(visitor),
            Some(b'n') => {
                self.reader.literal("null")?;
                visitor.visit_unit()
            }
            Some(b't') => {
                self.reader.literal("true")?;
                visitor.visit_bool(true)
            }
            Some(b'f') => {
                self.reader.literal("false")?;
                visitor.visit_bool(false)
            }
            _ => match self.number()? {
                Number::Unsigned(number) => visitor.visit_u64(number),
                Number::Signed(number) => visitor.visit_i64(number),
                Number::Float(number) => visitor.visit_f64(number),
            },
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.reader.peek() == Some(b'n') {
            self.reader.literal("null")?;
            return visitor.visit_none();
        }
        visitor.visit_some(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.begin(b'[', "a sequence")?;
        visitor.visit_seq(Elements { values: self, count: 0 })
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.begin(b'{', "a map")?;
        visitor.visit_map(Members { values: self, name: None })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.begin(b'{', "an object")?;
        visitor.visit_map(Members { values: self, name: None })
    }

    /// A word: no other enum is needed.
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        if self.reader.peek() != Some(b'"') {
            return Err(self.other_than("a string"));
        }
        visitor.visit_enum(self.text()?.as_ref().into_deserializer())
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        if name != RAW_VALUE {
            return visitor.visit_newtype_struct(self);
        }
        let raw = BorrowedStrDeserializer::new(self.reader.raw()?);
        visitor.visit_map(MapDeserializer::new(iter::once((name, raw))))
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.reader.skip()?;
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct tuple tuple_struct identifier
    }
}

/// What is in a list, from the opening bracket on.
struct Elements<'v, 'de> {
    values: &'v mut Values<'de>,
    count: usize,
}

impl<'de> SeqAccess<'de> for Elements<'_, 'de> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Error> {
        if !self.values.has_next(self.count == 0, b']')? {
            return Ok(None);
        }
        self.count += 1;
        match seed.deserialize(&mut *self.values) {
            Ok(element) => Ok(Some(element)),
            Err(error) => Err(error.in_element(self.count - 1)),
        }
    }
}

/// What is in an object, from the opening bracket on.
struct Members<'v, 'de> {
    values: &'v mut Values<'de>,
    /// Of the last one.
    name: Option<Cow<'de, str>>,
}

impl<'de> Members<'_, 'de> {
    fn next_name(&mut self) -> Result<Option<&str>, Error> {
        if !self.values.has_next(self.name.is_none(), b'}')? {
            return Ok(None);
        }
        let name = self.values.text()?;
        self.values.reader.pass(b':', "a colon")?;
        Ok(Some(self.name.insert(name)))
    }
}

impl<'de> MapAccess<'de> for Members<'_, 'de> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Error> {
        match self.next_name()? {
            Some(name) => seed.deserialize(name.into_deserializer()).map(Some),
            None => Ok(None),
        }
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Error> {
        let value = seed.deserialize(&mut *self.values);
        value.map_err(|error| error.in_member(self.name.as_deref().unwrap_or_default()))
    }
}
