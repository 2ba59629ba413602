//! What a request shows to prove who asks.

use std::fmt;

use crate::failure::{Failure, Reason};

/// The longest credential that is looked at, in bytes: tokens are smaller.
const CREDENTIAL_BYTES_MAX: usize = 8 * 1024;

/// Headers that hold a bare key: Anthropic's clients, Azure's and Google's send these.
const KEY_HEADERS: [&str; 3] = ["x-api-key", "api-key", "x-goog-api-key"];

/// The keys and tokens of a request, each once, in the order in which they are tried. Never logged.
///
/// A client may send several: its own cached token in one header, and the key it was configured with
/// in another. One that is good is enough.
#[derive(Clone, Default)]
pub struct Credentials(Vec<String>);

impl Credentials {
    /// What stands in the headers, which `header` finds by their lower-case names.
    pub fn read<S: AsRef<str>>(header: impl Fn(&'static str) -> Option<S>) -> Self {
        let bearer = header("authorization").and_then(|value| secret(bearer(value.as_ref())?));
        let bare = KEY_HEADERS.iter().filter_map(|&name| secret(header(name)?.as_ref()));
        let mut secrets = Vec::new();
        for secret in bearer.into_iter().chain(bare) {
            if !secrets.contains(&secret) {
                secrets.push(secret);
            }
        }
        Self(secrets)
    }

    /// The same with a key that stands elsewhere.
    pub(crate) fn or_key(mut self, key: Option<&str>) -> Self {
        if let Some(key) = key.and_then(secret).filter(|key| !self.0.contains(key)) {
            self.0.push(key);
        }
        self
    }

    /// The keys and tokens themselves.
    pub(super) fn secrets(&self) -> impl Iterator<Item = Result<&str, Failure>> {
        self.0.iter().map(|secret| match secret.len() {
            ..=CREDENTIAL_BYTES_MAX => Ok(secret.as_str()),
            _ => {
                let detail = format!("The credential is longer than {CREDENTIAL_BYTES_MAX} bytes.");
                Err(Failure::new(Reason::CredentialsInvalid, detail))
            }
        })
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "Credentials(none)" } else { "Credentials(..)" })
    }
}

fn secret(text: &str) -> Option<String> {
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// The token of `Bearer TOKEN` (RFC 6750, section 2.1); schemes are case-insensitive.
fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.trim_start().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(headers: &[(&str, &'static str)]) -> Credentials {
        Credentials::read(|name| headers.iter().find(|(n, _)| *n == name).map(|(_, v)| *v))
    }

    fn secrets(headers: &[(&str, &'static str)]) -> Vec<String> {
        read(headers).secrets().map(|secret| secret.unwrap().to_owned()).collect()
    }

    #[test]
    fn every_clients_way_to_send_a_key_is_read() {
        for (header, value) in [
            ("authorization", "Bearer abc"),
            ("authorization", "bearer  abc "),
            ("x-api-key", "abc"),
            ("api-key", "abc"),
            ("x-goog-api-key", "abc"),
        ] {
            assert_eq!(secrets(&[(header, value)]), ["abc"], "{header}");
        }
    }

    #[test]
    fn what_is_no_credential_is_missing() {
        for value in ["", "Bearer", "Bearer ", "Basic YTpi", "abc"] {
            assert!(secrets(&[("authorization", value)]).is_empty(), "{value}");
        }
        assert_eq!(secrets(&[("authorization", "Basic YTpi"), ("x-api-key", "abc")]), ["abc"]);
    }

    #[test]
    fn each_of_several_is_read_once() {
        let all = [("authorization", "Bearer a"), ("x-api-key", "b"), ("api-key", "a")];
        assert_eq!(secrets(&all), ["a", "b"]);
        for (key, expected) in [(Some("c"), 3), (Some("b"), 2), (Some(" "), 2), (None, 2)] {
            assert_eq!(read(&all).or_key(key).secrets().count(), expected, "{key:?}");
        }
    }

    #[test]
    fn one_that_is_too_long_is_not_looked_at() {
        let long: &'static str = Box::leak("x".repeat(CREDENTIAL_BYTES_MAX + 1).into_boxed_str());
        let credentials = read(&[("x-api-key", long)]);
        let failure = credentials.secrets().next().unwrap().unwrap_err();
        assert_eq!(failure.reason, Reason::CredentialsInvalid);
    }

    #[test]
    fn it_is_never_shown() {
        assert!(!format!("{:?}", read(&[("x-api-key", "abc")])).contains("abc"));
    }
}
