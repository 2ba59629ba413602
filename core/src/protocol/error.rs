//! Errors in the shapes that protocols share: read from a provider's answer, and written for a
//! client.

use serde_json::{Value, json};

use crate::failure::Failure;

/// Longest error detail taken from a provider, in bytes.
const MESSAGE_BYTES_MAX: usize = 2000;

/// The message in an error answer, by the shapes providers use: `{"error": {"message"}}`,
/// `{"error": "..."}`, `{"message"}`, `{"detail"}`; empty where there is none.
pub fn error_message(body: &[u8]) -> String {
    let Ok(value) = serde_json::from_slice::<Value>(body) else { return String::new() };
    let first = value.as_array().and_then(|list| list.first()).unwrap_or(&value);
    let error = first.get("error").unwrap_or(first);
    let message = [error.get("message"), error.get("detail"), Some(error)]
        .into_iter()
        .flatten()
        .find_map(Value::as_str)
        .unwrap_or("");
    message[..message.floor_char_boundary(MESSAGE_BYTES_MAX)].to_owned()
}

/// `{"type": "error", "message": "..."}`, as an event of several client protocols.
pub(super) fn event(failure: &Failure) -> Value {
    json!({"type": "error", "message": failure.message()})
}

/// The body of an error answer in these protocols: the event, with the failure's code beside it.
pub(super) fn event_body(failure: &Failure) -> Vec<u8> {
    let mut body = event(failure);
    body["code"] = failure.reason.code().into();
    body.to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each row: an error answer, and the message found in it.
    #[test]
    fn finds_the_message_of_an_error_answer() {
        let rows = [
            (r#"{"error":{"message":"a","code":1}}"#, "a"),
            (r#"{"error":"b"}"#, "b"),
            (r#"{"message":"c"}"#, "c"),
            (r#"{"detail":"d"}"#, "d"),
            (r#"[{"error":{"message":"e"}}]"#, "e"),
            (r#"{"object":"error"}"#, ""),
            ("<html>", ""),
            ("", ""),
        ];
        for (body, message) in rows {
            assert_eq!(error_message(body.as_bytes()), message, "{body}");
        }
        let long = format!(r#"{{"error":"{}"}}"#, "ä".repeat(MESSAGE_BYTES_MAX));
        assert!(error_message(long.as_bytes()).len() <= MESSAGE_BYTES_MAX);
    }
}
