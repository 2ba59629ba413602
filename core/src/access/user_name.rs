//! A user's name, checked once where it comes in.

use std::fmt;
use std::ops::Deref;
use std::str::FromStr;
use std::sync::Arc;

/// The longest name, in bytes.
const BYTES_MAX: usize = 256;

/// A user's name: short enough to count by, and safe to write to a log. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserName(Arc<str>);

/// Why a text is no user's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidUserName;

impl UserName {
    /// The name as a key that is shared.
    pub(crate) fn shared(&self) -> Arc<str> {
        self.0.clone()
    }
}

impl FromStr for UserName {
    type Err = InvalidUserName;

    fn from_str(text: &str) -> Result<Self, InvalidUserName> {
        let is_one = (1..=BYTES_MAX).contains(&text.len()) && !text.contains(char::is_control);
        if is_one { Ok(Self(text.into())) } else { Err(InvalidUserName) }
    }
}

impl Deref for UserName {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

impl fmt::Display for InvalidUserName {
    /// What was expected.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "1 to {BYTES_MAX} bytes without control characters")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_short_and_of_one_line() {
        for name in ["a", "ada@example.com", "Žluťoučký kůň", &"x".repeat(BYTES_MAX)] {
            assert_eq!(&*name.parse::<UserName>().unwrap(), name);
        }
        for text in ["", "a\nb", "\u{7f}", &"x".repeat(BYTES_MAX + 1)] {
            assert_eq!(text.parse::<UserName>(), Err(InvalidUserName), "{text:?}");
        }
    }
}
