//! Events of the client protocols whose data is a JSON object and nothing more to it.

use std::fmt::Display;
use std::io::Write as _;

use serde_json::Value;

use crate::sse;

/// Appends an event with this data.
pub(in crate::protocol) fn push(out: &mut Vec<u8>, data: &Value) {
    sse::encode(out, None, None, data.to_string().as_bytes());
}

/// Appends an event whose data is `head` and the text, such as `{"token":"..."}`: what comes with
/// every token, and so is built without a `Value`.
pub(in crate::protocol) fn push_text(out: &mut Vec<u8>, head: &str, text: &str) {
    out.extend_from_slice(b"data: ");
    out.extend_from_slice(head.as_bytes());
    push_json_string(out, text);
    out.extend_from_slice(b"}\n\n");
}

/// Appends `text` as a JSON string.
pub(in crate::protocol) fn push_json_string(out: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(out, text).expect("a Vec takes every write");
}

pub(in crate::protocol) fn push_number(out: &mut Vec<u8>, number: impl Display) {
    write!(out, "{number}").expect("a Vec takes every write");
}
