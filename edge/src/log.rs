//! The log: core's records, one JSON object per line.

use streamgate_core::failure::Failure;
use streamgate_core::log::{Field, Level, Record};

use crate::wire::Wire;

/// Says why no request can be answered.
pub(crate) fn configuration(wire: &Wire, detail: &str) {
    failed(wire, Level::Error, "misconfigured", detail);
}

/// Says that everybody may ask.
pub(crate) fn open(wire: &Wire) {
    let detail =
        "no [auth]: whoever reaches this Worker can use every configured model and its keys";
    failed(wire, Level::Warn, "open", detail);
}

/// Says why there are no new keys for tokens.
pub(crate) fn keys(wire: &Wire, why: &str) {
    failed(wire, Level::Warn, "no new keys for tokens", why);
}

/// Says what the store could not do.
pub(crate) fn store(wire: &Wire, failure: &Failure) {
    failed(wire, Level::Warn, "the store", failure.message());
}

/// Says why nobody's key could be looked up.
pub(crate) fn lookup(wire: &Wire, failure: &Failure) {
    failed(wire, Level::Error, "keys cannot be looked up", failure.message());
}

/// Says that a user's quota could not be asked, so that an answer went uncounted.
pub(crate) fn quota(wire: &Wire, stream_id: &str) {
    let quota = Record::new(Level::Warn, "quota not asked");
    record(wire, &quota.with(Field::StreamId, stream_id.to_owned()));
}

/// Logs a record of core's. The platform adds the time.
pub(crate) fn record(wire: &Wire, record: &Record) {
    wire.log(&String::from_utf8_lossy(&record.to_json(None)));
}

fn failed(wire: &Wire, level: Level, message: &'static str, detail: &str) {
    record(wire, &Record::new(level, message).with(Field::Detail, detail.to_owned()));
}
