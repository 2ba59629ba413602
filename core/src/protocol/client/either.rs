//! Fields of requests that take one of two forms. Unlike serde's untagged enums these keep the path of
//! what is wrong inside of them, so that an error names it.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};

/// A text, or a list or an object: `T` knows which.
pub(in crate::protocol) enum TextOr<T> {
    Text(String),
    Other(T),
}

/// A list of one kind, or an object of another.
pub(in crate::protocol) enum ListOr<T, U> {
    List(Vec<T>),
    Object(U),
}

/// One object, or a list of them.
pub(in crate::protocol) type OneOrMany<T> = ListOr<T, T>;

/// What may be there in place of a text.
pub(in crate::protocol) trait Form {
    /// For errors.
    const NAME: &'static str;
}

impl<T> Form for Vec<T> {
    const NAME: &'static str = "a list";
}

impl<T> OneOrMany<T> {
    pub(in crate::protocol) fn into_vec(self) -> Vec<T> {
        match self {
            Self::List(list) => list,
            Self::Object(one) => vec![one],
        }
    }
}

impl From<TextOr<Self>> for Vec<String> {
    fn from(texts: TextOr<Self>) -> Self {
        match texts {
            TextOr::Text(text) => vec![text],
            TextOr::Other(texts) => texts,
        }
    }
}

impl<'de, T: Deserialize<'de> + Form> Deserialize<'de> for TextOr<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Forms<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de> + Form> Visitor<'de> for Forms<T> {
            type Value = TextOr<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a string or {}", T::NAME)
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(TextOr::Text(text.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
                T::deserialize(SeqAccessDeserializer::new(list)).map(TextOr::Other)
            }

            fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(object)).map(TextOr::Other)
            }
        }

        deserializer.deserialize_any(Forms(PhantomData))
    }
}

impl<'de, T: Deserialize<'de>, U: Deserialize<'de>> Deserialize<'de> for ListOr<T, U> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Forms<T, U>(PhantomData<(T, U)>);

        impl<'de, T: Deserialize<'de>, U: Deserialize<'de>> Visitor<'de> for Forms<T, U> {
            type Value = ListOr<T, U>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object or a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(list)).map(ListOr::List)
            }

            fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<Self::Value, A::Error> {
                U::deserialize(MapAccessDeserializer::new(object)).map(ListOr::Object)
            }
        }

        deserializer.deserialize_any(Forms(PhantomData))
    }
}
