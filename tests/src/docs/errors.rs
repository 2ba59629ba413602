//! The error reference: the table of failures, written out, with a remedy for each code. Remedies are
//! the page's own text; the rest is generated.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use streamgate_core::failure::{Retry, Row, TABLE, Who};

use super::{expect, read_text, tables};

/// The reference, below the root.
const PAGE: &str = "docs/reference/errors.md";

const INTRODUCTION: &str = "\
# Error reference

Generated from `core/src/failure.rs`, except for the last column; `UPDATE_EXPECT=1 cargo test -p streamgate-tests --test
docs` rewrites it, and a test compares it.

A failure before the first content is an HTTP response with the status below, in the error shape of the client's
[protocol](../protocols/README.md); after the first content it is an error event that ends the stream. *Then* is what
the gateway does before a client sees the failure:

| then | |
|---|---|
| unstreamed | the same target is called again without streaming, then the next one |
| next | the next target is called |
| later | the next target is called; if none is left, this one again after its `Retry-After` or a backoff |
| final | the client gets the failure at once |
";

/// In what order, and under which heading, the failures stand.
const PARTIES: [(Who, &str); 4] = [
    (Who::Client, "For the client to fix"),
    (Who::Operator, "For the operator to fix"),
    (Who::Provider, "At the provider, or on the way to it"),
    (Who::Gateway, "In the gateway"),
];

/// Compares the page with the table of failures, or rewrites it.
///
/// # Errors
///
/// How they differ, or which code has no remedy.
pub fn check() -> Result<(), String> {
    let page = read_text(PAGE)?;
    let remedies: BTreeMap<_, _> = tables(&page)
        .into_iter()
        .flat_map(|(_, rows)| rows)
        .filter_map(|cells| {
            Some((cells.first()?.trim_matches('`').to_owned(), cells.get(4)?.clone()))
        })
        .collect();
    expect(PAGE, &render(&remedies))?;
    let is_missing = |row: &&Row| remedies.get(row.code).is_none_or(String::is_empty);
    match TABLE.iter().find(is_missing) {
        Some(row) => Err(format!("{PAGE}: write a remedy for {}", row.code)),
        None => Ok(()),
    }
}

fn render(remedies: &BTreeMap<String, String>) -> String {
    let mut page = INTRODUCTION.to_owned();
    for (party, heading) in PARTIES {
        page += &format!(
            "\n## {heading}\n\n| code | status | then | meaning | remedy |\n|---|---|---|---|---|\n"
        );
        for row in TABLE.iter().filter(|row| row.who == party) {
            let remedy = remedies.get(row.code).map_or("", String::as_str);
            let Row { code, status, text, .. } = row;
            let then = then(row.retry);
            let _ = writeln!(page, "| `{code}` | {status} | {then} | {text} | {remedy} |");
        }
    }
    page
}

fn then(retry: Retry) -> &'static str {
    match retry {
        Retry::Unstreamed => "unstreamed",
        Retry::NextTarget => "next",
        Retry::Later => "later",
        Retry::Never => "final",
    }
}
