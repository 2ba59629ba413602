//! A configuration read into types of serde's. The `toml` crate parses it, but is slow to compile and
//! large where it reads types: each would be read from a list too, and from a date.

use std::fmt::{self, Display};
use std::slice;

use serde::Deserialize;
use serde::de::value::StrDeserializer;
use serde::de::{
    self, DeserializeSeed, Deserializer, Error as _, IntoDeserializer, MapAccess, SeqAccess,
    Unexpected, Visitor,
};
use serde::forward_to_deserialize_any;
use serde_spanned::de::{SpannedDeserializer, is_spanned};
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};
use toml::map;

use super::Error;

/// Reads a configuration's text.
pub(crate) fn read<T: for<'a> Deserialize<'a>>(text: &str) -> Result<T, Error> {
    let table = DeTable::parse(text)?;
    let root = Spanned::new(table.span(), DeValue::Table(table.into_inner()));
    T::deserialize(Value(&root)).map_err(|wrong| wrong.error(text))
}

/// What is wrong, and where in the text.
#[derive(Debug)]
struct Wrong {
    what: String,
    /// The keys that lead to it.
    path: String,
    at: Option<usize>,
}

impl Wrong {
    fn error(self, text: &str) -> Error {
        let line = super::line(text, self.at.unwrap_or(0));
        let colon = if self.path.is_empty() { "" } else { ": " };
        Error(format!("line {line}: {}{colon}{}", self.path, self.what))
    }

    /// It is here, unless it is further inside.
    #[cold]
    fn or_at(mut self, at: usize) -> Self {
        self.at.get_or_insert(at);
        self
    }

    /// It is in the value of this key.
    #[cold]
    fn in_member(mut self, key: &str) -> Self {
        let dot = if self.path.is_empty() { "" } else { "." };
        self.path = [key, dot, &self.path].concat();
        self
    }
}

impl Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Wrong {}

impl de::Error for Wrong {
    #[cold]
    fn custom<T: Display>(what: T) -> Self {
        Self { what: what.to_string(), path: String::new(), at: None }
    }
}

#[derive(Clone, Copy)]
struct Value<'v>(&'v Spanned<DeValue<'v>>);

impl Value<'_> {
    #[cold]
    fn other_than(self, expected: &str) -> Wrong {
        let found = self.0.get_ref().type_str();
        Wrong::custom(format_args!("invalid type: {found}, expected {expected}"))
    }
}

impl<'de> Deserializer<'de> for Value<'_> {
    type Error = Wrong;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match self.0.get_ref() {
            DeValue::String(text) => visitor.visit_str(text),
            DeValue::Integer(it) => match i64::from_str_radix(it.as_str(), it.radix()) {
                Ok(number) => visitor.visit_i64(number),
                Err(_) => Err(Wrong::custom("the number is too large")),
            },
            DeValue::Float(it) => match it.as_str().parse() {
                Ok(number) => visitor.visit_f64(number),
                Err(_) => Err(Wrong::custom("the number is too large")),
            },
            DeValue::Boolean(it) => visitor.visit_bool(*it),
            DeValue::Datetime(_) => Err(Wrong::invalid_type(Unexpected::Other("date"), &visitor)),
            DeValue::Array(elements) => visitor.visit_seq(Elements(elements.iter())),
            DeValue::Table(_) => self.deserialize_map(visitor),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        let DeValue::Table(table) = self.0.get_ref() else {
            return Err(self.other_than("a table"));
        };
        visitor.visit_map(Members { rest: table.iter(), last: None })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        if is_spanned(name) {
            return visitor.visit_map(SpannedDeserializer::new(self, self.0.span()));
        }
        self.deserialize_map(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_some(self)
    }

    /// A word: no other enum is needed.
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        let DeValue::String(word) = self.0.get_ref() else {
            return Err(self.other_than("a string"));
        };
        visitor.visit_enum(word.as_ref().into_deserializer())
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct newtype_struct seq tuple tuple_struct identifier ignored_any
    }
}

impl IntoDeserializer<'_, Wrong> for Value<'_> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

struct Elements<'v>(slice::Iter<'v, Spanned<DeValue<'v>>>);

impl<'de> SeqAccess<'de> for Elements<'_> {
    type Error = Wrong;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Wrong> {
        let Some(element) = self.0.next() else { return Ok(None) };
        match seed.deserialize(Value(element)) {
            Ok(value) => Ok(Some(value)),
            Err(wrong) => Err(wrong.or_at(element.span().start)),
        }
    }
}

type Member<'v> = (&'v Spanned<DeString<'v>>, &'v Spanned<DeValue<'v>>);

struct Members<'v> {
    rest: map::Iter<'v, Spanned<DeString<'v>>, Spanned<DeValue<'v>>>,
    last: Option<Member<'v>>,
}

impl<'de> MapAccess<'de> for Members<'_> {
    type Error = Wrong;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Wrong> {
        self.last = self.rest.next();
        let Some((key, _)) = self.last else { return Ok(None) };
        match seed.deserialize(StrDeserializer::new(key.get_ref())) {
            Ok(name) => Ok(Some(name)),
            Err(wrong) => Err(Wrong::or_at(wrong, key.span().start)),
        }
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Wrong> {
        let (key, value) = self.last.expect("a value comes after its key");
        let at = value.span().start;
        seed.deserialize(Value(value)).map_err(|wrong| wrong.or_at(at).in_member(key.get_ref()))
    }
}
