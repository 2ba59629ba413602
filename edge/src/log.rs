//! The log: one JSON object a line, the same fields as native's. Nothing is logged per token.

use serde_json::Value;
use streamgate_core::failure::Failure;
use streamgate_core::protocol::Protocol;
use streamgate_core::relay::{Call, Field, Settlement};

use crate::wire::Wire;

/// Says why no request can be answered.
pub(crate) fn configuration(wire: &Wire, detail: &str) {
    wire.log(&line("misconfigured", [("detail", detail.to_owned())]));
}

/// Says that everybody may ask.
pub(crate) fn open(wire: &Wire) {
    let detail =
        "no [auth]: whoever reaches this Worker can use every configured model and its keys";
    wire.log(&line("open", [("detail", detail.to_owned())]));
}

/// Says why there are no new keys for tokens.
pub(crate) fn keys(wire: &Wire, why: &str) {
    wire.log(&line("no new keys for tokens", [("detail", why.to_owned())]));
}

/// Says what the store could not do.
pub(crate) fn store(wire: &Wire, failure: &Failure) {
    wire.log(&line("the store", [("detail", failure.message().to_owned())]));
}

/// Says why nobody's key could be looked up.
pub(crate) fn lookup(wire: &Wire, failure: &Failure) {
    wire.log(&line("keys cannot be looked up", [("detail", failure.message().to_owned())]));
}

/// Says that a user's quota could not be asked, so that an answer went uncounted.
pub(crate) fn quota(wire: &Wire, stream_id: &str) {
    wire.log(&line("quota not asked", [("stream_id", stream_id.to_owned())]));
}

/// Says what a call asks of a target, and what bounds its answer.
pub(crate) fn call(wire: &Wire, stream_id: &str, call: &Call) {
    let own = [("stream_id", stream_id.to_owned())];
    wire.log(&line("request", own.into_iter().chain(call.log_fields())));
}

/// Says that the client is being answered.
pub(crate) fn stream_created(wire: &Wire, stream_id: &str) {
    wire.log(&line("stream created", [("stream_id", stream_id.to_owned())]));
}

/// Says how an answer went.
pub(crate) fn answer(
    wire: &Wire,
    stream_id: &str,
    client: Protocol,
    model: &str,
    settlement: &Settlement,
) {
    let own = [
        ("stream_id", stream_id.to_owned()),
        ("client", client.name().to_owned()),
        ("model", model.to_owned()),
    ];
    wire.log(&line("answer", own.into_iter().chain(settlement.log_fields())));
}

fn line(message: &str, fields: impl IntoIterator<Item = Field>) -> String {
    let mut line = format!("{{\"message\":{}", Value::from(message));
    for (name, value) in fields {
        line.push_str(&format!(",{}:{}", Value::from(name), typed(value)));
    }
    line.push('}');
    line
}

/// A field's value as what it is: a number, a truth or a text.
fn typed(text: String) -> Value {
    // A name such as 007 is no number.
    if let Some(number) = text.parse::<u64>().ok().filter(|number| number.to_string() == text) {
        return number.into();
    }
    text.parse::<bool>().map_or_else(|_| text.into(), Value::from)
}
