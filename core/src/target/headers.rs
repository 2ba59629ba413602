//! The headers an operator adds to the calls of a provider.

use std::collections::BTreeMap;

use toml::Spanned;

use crate::toml::{Document, Error};

/// How many there may be.
const HEADERS_MAX: usize = 32;

/// Headers that are written for every call.
const WRITTEN: [&str; 13] = [
    "accept",
    "accept-encoding",
    "connection",
    "content-length",
    "content-type",
    "expect",
    "host",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
];

/// Headers that hold a key.
const KEYS: [&str; 5] =
    ["authorization", "api-key", "proxy-authorization", "x-api-key", "x-goog-api-key"];

/// Checks them; names become lower case.
pub(super) fn read(
    entries: &BTreeMap<String, Spanned<String>>,
    document: &Document<'_>,
    key: &str,
) -> Result<Vec<(String, String)>, Error> {
    if entries.len() > HEADERS_MAX {
        let start = entries.values().next().map_or(0, |value| value.span().start);
        let expected = format!("at most {HEADERS_MAX}");
        return Err(document.at(start, key, "there are too many headers", &expected));
    }
    let check = |(name, value): (&String, &Spanned<String>)| {
        let lower = name.to_ascii_lowercase();
        match fault(&lower, value.get_ref()) {
            None => Ok((lower, value.get_ref().clone())),
            Some((what, expected)) => {
                let key = format!("{key}.{name}");
                Err(document.at(value.span().start, &key, what, expected))
            }
        }
    };
    entries.iter().map(check).collect()
}

/// What is wrong with a header, and what was expected. RFC 9110, sections 5.1 and 5.5.
fn fault(name: &str, value: &str) -> Option<(&'static str, &'static str)> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let is_text = |byte: u8| byte == b'\t' || (b' '..=b'~').contains(&byte);
    if name.is_empty() || !name.bytes().all(is_token) {
        Some(("not a header name", "letters, digits and dashes"))
    } else if KEYS.contains(&name) {
        Some(("a key belongs in a secret", "api_key = { env = \"NAME\" }"))
    } else if WRITTEN.contains(&name) {
        Some(("this header is set on every call", "another one"))
    } else if !value.bytes().all(is_text) {
        Some(("not a header value", "printable ASCII"))
    } else {
        None
    }
}
