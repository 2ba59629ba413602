//! Values of whichever type they come in.
//!
//! Providers and their imitators are looser than their specifications, and one odd field must not
//! cost what stands beside it. So each of these takes any value: it converts what has one clear
//! meaning, and skips the rest. Only what is not JSON is an error, and a content text with half a
//! character, whose other half comes with the next event.

use super::{Malformed, NESTING_MAX, Reader, Text};

/// Members that name or describe what they stand beside, in every protocol.
const DESCRIPTIONS: [&str; 5] = ["id", "object", "role", "status", "type"];

/// Whether a value that was read before holds content.
pub(crate) fn holds_content(json: &str) -> bool {
    let read = Reader::new(json.as_bytes()).and_then(|mut reader| reader.holds_content(""));
    read.unwrap_or(false)
}

impl<'a> Reader<'a> {
    /// A text of whole characters: a string, or a number or a boolean as it is written.
    #[inline]
    pub(crate) fn text(&mut self) -> Result<Option<Text<'a>>, Malformed> {
        match self.word()? {
            Some(Text { decodable: false, .. }) => Err(self.expected("a text of whole characters")),
            text => Ok(text),
        }
    }

    /// A name or an identifier: as a text, and where characters are halved, they are replaced.
    #[inline]
    pub(crate) fn word(&mut self) -> Result<Option<Text<'a>>, Malformed> {
        match self.peek() {
            Some(b'"') => self.string().map(Some),
            Some(b'{' | b'[' | b'n') => self.skip().map(|()| None),
            _ => self.written().map(Some),
        }
    }

    /// A word that means something only as a string, and not as an empty one: a number is no
    /// reason to finish.
    pub(crate) fn code(&mut self) -> Result<Option<Text<'a>>, Malformed> {
        self.text_or_skip().map(|text| text.filter(|text| !text.is_empty()))
    }

    /// JSON within a string, or the object or list itself.
    pub(crate) fn json_text(&mut self) -> Result<Option<Text<'a>>, Malformed> {
        match self.peek() {
            Some(b'{' | b'[') => self.written().map(Some),
            Some(b'"') => self.text(),
            _ => self.skip().map(|()| None),
        }
    }

    /// A count, perhaps written as a fraction or in a string. `None` where it counts nothing that
    /// there can be: a negative number, or one beyond 2^32.
    pub(crate) fn count(&mut self) -> Result<Option<u32>, Malformed> {
        let Some(Text { raw, .. }) = self.word()? else { return Ok(None) };
        let rounded = |number: f64| {
            let number = number.round();
            (0.0..=f64::from(u32::MAX)).contains(&number).then_some(number as u32)
        };
        Ok(raw.parse().ok().or_else(|| raw.parse().ok().and_then(rounded)))
    }

    /// A place in a list. A fraction is none.
    pub(crate) fn place(&mut self) -> Result<Option<u32>, Malformed> {
        Ok(self.word()?.and_then(|text| text.raw.parse().ok()))
    }

    /// `true` or `false`, perhaps in a string.
    pub(crate) fn flag(&mut self) -> Result<Option<bool>, Malformed> {
        Ok(self.word()?.and_then(|text| text.raw.parse().ok()))
    }

    /// An error that is reported, as written: an object or a string with something in it.
    pub(crate) fn error(&mut self) -> Result<Option<&'a str>, Malformed> {
        let raw = self.raw()?;
        let inner = raw.get(1..raw.len().saturating_sub(1)).unwrap_or("").trim();
        Ok((raw.starts_with(['{', '"']) && !inner.is_empty()).then_some(raw))
    }

    /// Skips the value of an unknown member; whether it holds content. Where the name only describes
    /// what stands beside it, it holds none.
    pub(crate) fn holds_content(&mut self, name: &str) -> Result<bool, Malformed> {
        self.holds_nested(name, NESTING_MAX)
    }

    /// The content of an unknown value is in its texts: flags and numbers describe it.
    fn holds_nested(&mut self, name: &str, nesting_left: u32) -> Result<bool, Malformed> {
        let mut holds = false;
        match (self.peek(), nesting_left.checked_sub(1)) {
            (Some(b'"'), _) => holds = !self.string()?.is_empty(),
            (Some(b'{'), Some(left)) => self.members(|value, name| {
                holds |= value.holds_nested(name.raw, left)?;
                Ok(())
            })?,
            (Some(b'['), Some(left)) => self.list(|value| {
                holds |= value.holds_nested("", left)?;
                Ok(())
            })?,
            _ => self.skip_nested(nesting_left)?,
        }
        Ok(holds && !DESCRIPTIONS.contains(&name))
    }

    /// What `read` makes of an object.
    #[inline]
    pub(crate) fn if_object<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, Malformed>,
    ) -> Result<Option<T>, Malformed> {
        self.only(b'{', read)
    }

    /// What `read` makes of a list.
    #[inline]
    pub(crate) fn if_list<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, Malformed>,
    ) -> Result<Option<T>, Malformed> {
        self.only(b'[', read)
    }

    #[inline]
    fn only<T>(
        &mut self,
        first: u8,
        read: impl FnOnce(&mut Self) -> Result<T, Malformed>,
    ) -> Result<Option<T>, Malformed> {
        match self.peek() == Some(first) {
            true => read(self).map(Some),
            false => self.skip().map(|()| None),
        }
    }

    /// A value as it is written, taken for a text.
    fn written(&mut self) -> Result<Text<'a>, Malformed> {
        self.blanks();
        let at = self.at;
        let raw = self.raw()?;
        Ok(Text { raw, at, escaped: false, decodable: true })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Row = (&'static str, Option<&'static str>, Option<&'static str>, Option<u32>);

    /// Each row: a value, and the text, the JSON and the count in it.
    #[test]
    fn takes_what_has_a_clear_meaning() {
        let rows: &[Row] = &[
            (r#""a""#, Some("a"), Some("a"), None),
            (r#""""#, Some(""), Some(""), None),
            (r#""12""#, Some("12"), Some("12"), Some(12)),
            ("12", Some("12"), None, Some(12)),
            ("14.5", Some("14.5"), None, Some(15)),
            ("2.0", Some("2.0"), None, Some(2)),
            ("1e3", Some("1e3"), None, Some(1000)),
            ("-3", Some("-3"), None, None),
            ("4294967296", Some("4294967296"), None, None),
            ("1e400", Some("1e400"), None, None),
            ("true", Some("true"), None, None),
            ("null", None, None, None),
            (r#"{"a": 1}"#, None, Some(r#"{"a": 1}"#), None),
            ("[1]", None, Some("[1]"), None),
        ];
        for (json, text, inner, count) in rows {
            let read = || Reader::new(json.as_bytes()).unwrap();
            let own = |text: Option<Text<'_>>| text.map(|text| text.into_cow().into_owned());
            assert_eq!(own(read().text().unwrap()).as_deref(), *text, "{json}");
            assert_eq!(own(read().json_text().unwrap()).as_deref(), *inner, "{json}");
            assert_eq!(read().count().unwrap(), *count, "{json}");
        }
    }

    #[test]
    fn only_an_error_with_something_in_it_is_one() {
        let is_error =
            |json: &str| Reader::new(json.as_bytes()).unwrap().error().unwrap().is_some();
        for json in ["null", "false", r#""""#, "{}", "{ }", "[]", "0", "7", r#"" ""#] {
            assert!(!is_error(json), "{json}");
        }
        for json in [r#""boom""#, r#"{"message":"boom"}"#] {
            assert!(is_error(json), "{json}");
        }
    }

    #[test]
    fn a_text_is_content_unless_it_describes_another() {
        let holds = |json: &str| Reader::new(json.as_bytes()).unwrap().holds_content("x").unwrap();
        let nothing = [
            "null",
            "7",
            "true",
            r#""""#,
            "[]",
            "{}",
            "[null,{}]",
            r#"{"a":{"b":[""]}}"#,
            r#"{"type":"image","id":"i1","status":"done"}"#,
            r#"{"expires_at":1}"#,
        ];
        for json in nothing {
            assert!(!holds(json), "{json}");
        }
        for json in [r#""a""#, r#"["a"]"#, r#"{"data":"AAAA"}"#, r#"{"type":"x","a":[{"b":"c"}]}"#]
        {
            assert!(holds(json), "{json}");
        }
        let deep = format!("{}1{}", "[".repeat(200), "]".repeat(200));
        assert!(Reader::new(deep.as_bytes()).unwrap().holds_content("x").is_err());
    }

    #[test]
    fn what_is_no_json_stays_an_error() {
        for json in ["", "{", "nul", "01x", "\"a", "[1"] {
            let mut reader = Reader::new(json.as_bytes()).unwrap();
            let read = reader.text().and_then(|_| reader.end());
            assert!(read.is_err(), "{json}");
        }
    }
}
