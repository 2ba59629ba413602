//! What reading a section of the configuration takes, below the modules that own one: errors that
//! name the line, the key and what was expected, and the values that several sections share.

mod values;

use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _};
use toml::Spanned;

pub(crate) use values::read;

/// Why a configuration cannot be used: one text that names the line, the key and what was
/// expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error(String);

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

impl Error {
    /// An error about the text as a whole.
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }
}

impl From<toml::de::Error> for Error {
    fn from(error: toml::de::Error) -> Self {
        Self(error.to_string().trim().into())
    }
}

/// A secret, by the name of its variable: `{ env = "NAME" }`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SecretName {
    pub(crate) env: String,
}

/// The text of a configuration, and the secrets it names.
pub(crate) struct Document<'a> {
    text: &'a str,
    secret: &'a dyn Fn(&str) -> Option<String>,
}

impl<'a> Document<'a> {
    pub(crate) fn new(text: &'a str, secret: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self { text, secret }
    }

    /// The secret of this name; `None` if it is not set.
    pub(crate) fn secret(&self, name: &str) -> Option<String> {
        (self.secret)(name)
    }

    /// An error at a byte `offset` of the text.
    pub(crate) fn at(&self, offset: usize, key: &str, what: &str, expected: &str) -> Error {
        let line = line(self.text, offset);
        Error(format!("line {line}: {key}: {what}; expected {expected}"))
    }

    /// The URL without trailing slashes.
    pub(crate) fn http_url(&self, url: &Spanned<String>, key: &str) -> Result<String, Error> {
        let value = url.get_ref().trim_end_matches('/');
        let host = value.strip_prefix("https://").or_else(|| value.strip_prefix("http://"));
        match host {
            Some(host) if !host.is_empty() && !host.contains(char::is_whitespace) => {
                Ok(value.into())
            }
            _ => {
                let what = format!("`{}` is not a URL", url.get_ref());
                Err(self.at(url.span().start, key, &what, "http://HOST... or https://HOST..."))
            }
        }
    }
}

/// The line of a byte `offset`, counted from one.
fn line(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|&b| b == b'\n').count() + 1
}

/// The names of which one is expected.
pub(crate) fn one_of<'a>(names: impl Iterator<Item = &'a String>) -> String {
    let names: Vec<_> = names.map(|name| format!("`{name}`")).collect();
    match names.as_slice() {
        [] => "one to be configured".into(),
        [only] => only.clone(),
        several => format!("one of {}", several.join(", ")),
    }
}

/// A duration written in seconds, whole or not, or zero.
pub(crate) fn seconds_or_zero<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    let value = f64::deserialize(from)?;
    Duration::try_from_secs_f64(value)
        .map_err(|_| D::Error::custom(format!("{value} is not a duration: expected seconds, or 0")))
}

/// A duration written in seconds, whole or not, above zero.
pub(crate) fn seconds<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    let value = f64::deserialize(from)?;
    Duration::try_from_secs_f64(value).ok().filter(|duration| !duration.is_zero()).ok_or_else(
        || D::Error::custom(format!("{value} is not a duration: expected seconds above 0")),
    )
}

/// A count of bytes above zero.
pub(crate) fn bytes<'de, D: Deserializer<'de>>(from: D) -> Result<usize, D::Error> {
    let value = i64::deserialize(from)?;
    usize::try_from(value)
        .ok()
        .filter(|&bytes| bytes > 0)
        .ok_or_else(|| D::Error::custom(format!("{value} is not a size: expected bytes above 0")))
}
