//! The keys and values of a header, and what the vocabulary among them must be.

use std::collections::{HashMap, HashSet};
use std::io::Read;

use super::reader::Reader;
use super::{EngineError, LAYERS_MAX, broken};

/// More keys than any model has.
pub(super) const KEYS_MAX: u64 = 1 << 16;
/// More items than any array of a model has (vocabularies reach 262,144).
const ARRAY_ITEMS_MAX: u64 = 1 << 24;
const DEFAULT_ALIGNMENT: u64 = 32;
const TOKENS: &str = "tokenizer.ggml.tokens";

/// A value of the header. Arrays are kept only where a check needs their items.
#[derive(Debug)]
enum Value {
    Integer(i128),
    Float(f64),
    Bool,
    Text(String),
    /// An array of integers with at most one item per layer.
    Integers(Vec<i128>),
    /// Any other array.
    Array,
}

/// The types of values, by their numbers in the file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Unsigned(u64),
    Signed(u64),
    Float32,
    Float64,
    Bool,
    Text,
    Array,
}

impl Kind {
    fn from_number(number: u32) -> Option<Self> {
        Some(match number {
            0 => Self::Unsigned(1),
            1 => Self::Signed(1),
            2 => Self::Unsigned(2),
            3 => Self::Signed(2),
            4 => Self::Unsigned(4),
            5 => Self::Signed(4),
            6 => Self::Float32,
            7 => Self::Bool,
            8 => Self::Text,
            9 => Self::Array,
            10 => Self::Unsigned(8),
            11 => Self::Signed(8),
            12 => Self::Float64,
            _ => return None,
        })
    }

    /// Size of a value; 0 where it varies.
    fn bytes(self) -> u64 {
        match self {
            Self::Unsigned(bytes) | Self::Signed(bytes) => bytes,
            Self::Float32 => 4,
            Self::Float64 => 8,
            Self::Bool => 1,
            Self::Text | Self::Array => 0,
        }
    }
}

/// All keys of a header.
pub(super) struct Keys {
    values: HashMap<String, Value>,
    /// The texts of the vocabulary's tokens, if it is an array of texts without repetition.
    tokens: Option<HashSet<Vec<u8>>>,
}

impl Keys {
    pub(super) fn read<R: Read>(reader: &mut Reader<R>, count: u64) -> Result<Self, EngineError> {
        let mut keys = Self { values: HashMap::new(), tokens: None };
        for _ in 0..count {
            let key = reader.text()?;
            let value = keys.read_value(reader, &key)?;
            if keys.values.insert(key.clone(), value).is_some() {
                return Err(broken(format!("`{key}` occurs twice")));
            }
        }
        Ok(keys)
    }

    fn read_value<R: Read>(
        &mut self,
        reader: &mut Reader<R>,
        key: &str,
    ) -> Result<Value, EngineError> {
        let kind = read_kind(reader, key)?;
        match kind {
            Kind::Unsigned(_) | Kind::Signed(_) => Ok(Value::Integer(read_integer(reader, kind)?)),
            Kind::Float32 => Ok(Value::Float(f32::from_le_bytes(reader.array()?).into())),
            Kind::Float64 => Ok(Value::Float(f64::from_le_bytes(reader.array()?))),
            Kind::Bool => reader.skip(1).map(|()| Value::Bool),
            Kind::Text => Ok(Value::Text(String::from_utf8_lossy(&reader.string()?).into_owned())),
            Kind::Array => self.read_array(reader, key),
        }
    }

    fn read_array<R: Read>(
        &mut self,
        reader: &mut Reader<R>,
        key: &str,
    ) -> Result<Value, EngineError> {
        let kind = read_kind(reader, key)?;
        let count = reader.count("array length", ARRAY_ITEMS_MAX)?;
        match kind {
            Kind::Array => return Err(broken(format!("`{key}` is an array of arrays"))),
            Kind::Text if key == TOKENS => self.read_tokens(reader, count)?,
            Kind::Text => {
                for _ in 0..count {
                    let length = reader.u64()?;
                    reader.skip(length)?;
                }
            }
            Kind::Unsigned(_) | Kind::Signed(_) if count <= LAYERS_MAX => {
                let items = (0..count).map(|_| read_integer(reader, kind));
                return items.collect::<Result<_, _>>().map(Value::Integers);
            }
            _ => reader.skip(count * kind.bytes())?,
        }
        Ok(Value::Array)
    }

    fn read_tokens<R: Read>(
        &mut self,
        reader: &mut Reader<R>,
        count: u64,
    ) -> Result<(), EngineError> {
        let mut tokens = HashSet::new();
        for index in 0..count {
            let mut token = reader.string()?;
            // As llama.cpp reads them: up to a NUL, and with a name for those that are empty.
            token.truncate(token.iter().position(|&byte| byte == 0).unwrap_or(token.len()));
            if token.is_empty() {
                token = format!("[EMPTY_{index}]").into_bytes();
            }
            if !tokens.insert(token) {
                return Err(broken(format!("token {index} repeats an earlier one")));
            }
        }
        self.tokens = Some(tokens);
        Ok(())
    }

    pub(super) fn text(&self, key: &str) -> Result<&str, EngineError> {
        match self.values.get(key) {
            Some(Value::Text(text)) => Ok(text),
            Some(_) => Err(broken(format!("`{key}` is not a text"))),
            None => Err(broken(format!("`{key}` is missing"))),
        }
    }

    /// An integer that must not be negative.
    pub(super) fn integer(&self, key: &str) -> Result<Option<u64>, EngineError> {
        match self.values.get(key) {
            None => Ok(None),
            Some(Value::Integer(value)) => not_negative(key, *value).map(Some),
            Some(_) => Err(broken(format!("`{key}` is not an integer"))),
        }
    }

    /// One integer, or one per layer.
    pub(super) fn integers(&self, key: &str) -> Result<Option<Vec<u64>>, EngineError> {
        match self.values.get(key) {
            None => Ok(None),
            Some(Value::Integer(value)) => Ok(Some(vec![not_negative(key, *value)?])),
            Some(Value::Integers(values)) if !values.is_empty() => values
                .iter()
                .map(|value| not_negative(key, *value))
                .collect::<Result<_, _>>()
                .map(Some),
            Some(_) => Err(broken(format!("`{key}` is not an integer per layer"))),
        }
    }

    pub(super) fn float(&self, key: &str) -> Result<Option<f64>, EngineError> {
        match self.values.get(key) {
            None => Ok(None),
            Some(Value::Float(value)) => Ok(Some(*value)),
            Some(_) => Err(broken(format!("`{key}` is not a float"))),
        }
    }

    /// Fails on a value under `prefix` that is not a number: llama.cpp computes on with it and
    /// aborts later.
    pub(super) fn check_floats(&self, prefix: &str) -> Result<(), EngineError> {
        let infinite = self.values.iter().find(|(key, value)| {
            key.starts_with(prefix) && matches!(value, Value::Float(float) if !float.is_finite())
        });
        match infinite {
            Some((key, _)) => Err(broken(format!("`{key}` is not a finite number"))),
            None => Ok(()),
        }
    }

    /// The alignment of the tensors, in bytes.
    pub(super) fn alignment(&self) -> Result<u64, EngineError> {
        match self.integer("general.alignment")? {
            None => Ok(DEFAULT_ALIGNMENT),
            Some(alignment) if alignment.is_power_of_two() && alignment <= 1 << 20 => Ok(alignment),
            Some(alignment) => Err(broken(format!("alignment {alignment}"))),
        }
    }

    /// Checks that the tokenizer is one that never leaves the vocabulary.
    pub(super) fn check_vocabulary(&self) -> Result<(), EngineError> {
        let tokenizer = self.text("tokenizer.ggml.model")?;
        if matches!(tokenizer, "none" | "no_vocab" | "bert") {
            return Err(broken(format!("tokenizer `{tokenizer}` cannot write text")));
        }
        let tokens =
            self.tokens.as_ref().ok_or_else(|| broken(format!("`{TOKENS}` is missing")))?;
        if tokens.is_empty() {
            return Err(broken("the vocabulary is empty"));
        }
        // SentencePiece falls back to bytes, and llama.cpp throws where one is not a token.
        let byte_missing = |byte: &u32| !tokens.contains(format!("<0x{byte:02X}>").as_bytes());
        if tokenizer == "llama" && (0..256).any(|byte| byte_missing(&byte)) {
            return Err(broken("the vocabulary does not hold every byte"));
        }
        self.check_special_ids(tokens.len())
    }

    fn check_special_ids(&self, vocabulary: usize) -> Result<(), EngineError> {
        let is_id = |key: &str| key.starts_with("tokenizer.ggml.") && key.ends_with("_token_id");
        for key in self.values.keys().filter(|key| is_id(key)) {
            // All ones stand for "none".
            match self.integer(key)? {
                Some(id) if id >= vocabulary as u64 && id != u64::from(u32::MAX) => {
                    return Err(broken(format!("`{key}` is {id}, the vocabulary {vocabulary}")));
                }
                Some(_) | None => {}
            }
        }
        Ok(())
    }
}

fn read_kind<R: Read>(reader: &mut Reader<R>, key: &str) -> Result<Kind, EngineError> {
    let number = reader.u32()?;
    Kind::from_number(number).ok_or_else(|| broken(format!("`{key}` has the type {number}")))
}

fn read_integer<R: Read>(reader: &mut Reader<R>, kind: Kind) -> Result<i128, EngineError> {
    Ok(match kind {
        Kind::Unsigned(1) => u8::from_le_bytes(reader.array()?).into(),
        Kind::Unsigned(2) => u16::from_le_bytes(reader.array()?).into(),
        Kind::Unsigned(4) => u32::from_le_bytes(reader.array()?).into(),
        Kind::Unsigned(_) => u64::from_le_bytes(reader.array()?).into(),
        Kind::Signed(1) => i8::from_le_bytes(reader.array()?).into(),
        Kind::Signed(2) => i16::from_le_bytes(reader.array()?).into(),
        Kind::Signed(4) => i32::from_le_bytes(reader.array()?).into(),
        _ => i64::from_le_bytes(reader.array()?).into(),
    })
}

fn not_negative(key: &str, value: i128) -> Result<u64, EngineError> {
    u64::try_from(value).map_err(|_| broken(format!("`{key}` is {value}")))
}
