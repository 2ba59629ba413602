//! The log: one JSON object a line, core's records. Nothing is logged per token.

use streamgate_core::failure::Failure;
use streamgate_core::log::{Field, Level, Record};
use worker::console_log;

/// An error that keeps every request from being answered.
pub(crate) fn configuration(failure: &Failure) {
    fault(Level::Error, "misconfigured", failure);
}

/// A failed query.
pub(crate) fn store(failure: &Failure) {
    fault(Level::Warn, "the store", failure);
}

/// A failed write that no request waits for.
pub(crate) fn not_kept(failure: &Failure) {
    fault(Level::Warn, "not saved", failure);
}

/// A warning that this Worker has no authentication.
pub(crate) fn open() {
    let detail =
        "no [auth]: whoever reaches this Worker can use every configured model and its keys";
    write(&Record::new(Level::Warn, "open").with(Field::Detail, detail));
}

fn fault(level: Level, message: &'static str, failure: &Failure) {
    write(&Record::new(level, message).with(Field::Detail, failure.message().to_owned()));
}

/// Writes a record. The platform adds the time.
pub(crate) fn write(record: &Record) {
    console_log!("{}", String::from_utf8_lossy(&record.to_json(None)));
}
