//! What a request shows to prove who asks.

use std::fmt;

use crate::failure::{Failure, Reason};

/// The longest credential that is looked at, in bytes: tokens are smaller.
const CREDENTIAL_BYTES_MAX: usize = 8 * 1024;

/// Headers that hold a bare key: Anthropic's clients, Azure's and Google's send these.
const KEY_HEADERS: [&str; 3] = ["x-api-key", "api-key", "x-goog-api-key"];

/// What a request shows, as it came. Never shown in turn.
#[derive(Clone, Default)]
pub struct Credentials(Option<String>);

impl Credentials {
    /// What stands in the headers, which `header` finds by their lower-case names.
    pub fn read<S: AsRef<str>>(header: impl Fn(&'static str) -> Option<S>) -> Self {
        let bearer = header("authorization").and_then(|value| secret(bearer(value.as_ref())?));
        let bare = || KEY_HEADERS.iter().find_map(|&name| secret(header(name)?.as_ref()));
        Self(bearer.or_else(bare))
    }

    /// The key or the token itself.
    pub(super) fn secret(&self) -> Result<&str, Failure> {
        match &self.0 {
            None => Err(Reason::CredentialsMissing.into()),
            Some(secret) if secret.len() > CREDENTIAL_BYTES_MAX => {
                let detail = format!("The credential is longer than {CREDENTIAL_BYTES_MAX} bytes.");
                Err(Failure::new(Reason::CredentialsInvalid, detail))
            }
            Some(secret) => Ok(secret),
        }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Credentials(..)" } else { "Credentials(none)" })
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

    #[test]
    fn every_clients_way_to_send_a_key_is_read() {
        for (header, value) in [
            ("authorization", "Bearer abc"),
            ("authorization", "bearer  abc "),
            ("x-api-key", "abc"),
            ("api-key", "abc"),
            ("x-goog-api-key", "abc"),
        ] {
            assert_eq!(read(&[(header, value)]).secret(), Ok("abc"), "{header}");
        }
    }

    #[test]
    fn what_is_no_credential_is_missing() {
        for value in ["", "Bearer", "Bearer ", "Basic YTpi", "abc"] {
            let failure = read(&[("authorization", value)]).secret().unwrap_err();
            assert_eq!(failure.reason, Reason::CredentialsMissing, "{value}");
        }
        let both = read(&[("authorization", "Basic YTpi"), ("x-api-key", "abc")]);
        assert_eq!(both.secret(), Ok("abc"));
    }

    #[test]
    fn one_that_is_too_long_is_not_looked_at() {
        let long: &'static str = Box::leak("x".repeat(CREDENTIAL_BYTES_MAX + 1).into_boxed_str());
        let failure = read(&[("x-api-key", long)]).secret().unwrap_err();
        assert_eq!(failure.reason, Reason::CredentialsInvalid);
    }

    #[test]
    fn it_is_never_shown() {
        assert!(!format!("{:?}", read(&[("x-api-key", "abc")])).contains("abc"));
    }
}
