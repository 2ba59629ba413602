//! Errors in the shapes that client protocols share.

use serde_json::{Value, json};

use crate::failure::Failure;

/// `{"type": "error", "message": "..."}`, as an event of several client protocols.
pub(in crate::protocol) fn event(failure: &Failure) -> Value {
    json!({"type": "error", "message": failure.message()})
}

/// The body of an error answer in these protocols: the event, with the failure's code beside it.
pub(in crate::protocol) fn event_body(failure: &Failure) -> Vec<u8> {
    let mut body = event(failure);
    body["code"] = failure.reason.code().into();
    body.to_string().into_bytes()
}
