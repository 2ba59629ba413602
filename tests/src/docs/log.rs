//! The log reference: the table of fields, written out.

use std::fmt::Write as _;

use streamgate_core::log::{FIELDS, Level};

use super::expect;

/// The reference, below the root.
const PAGE: &str = "docs/reference/log.md";

const INTRODUCTION: &str = "\
# Log reference

Generated from `core/src/log.rs`; `UPDATE_EXPECT=1 cargo test -p streamgate-tests --test docs` rewrites it, and a test
compares it.

Every answer has exactly one line, `answer`, at INFO, or at WARN if it failed; nothing is logged per token. At DEBUG
there is also a line per call to a provider (`request`), with the limits that apply to it. Natively the log goes to
stderr, as text or with `--log-format json` as one JSON object per line; `--log` sets the level. At the edge each line
is JSON, without a timestamp: the platform adds its own.

```json
{\"level\":\"INFO\",\"message\":\"answer\",\"stream_id\":\"chatcmpl-1\",\"user_id\":\"ada\",\"plan\":\"pro\",\"client\":\"openai\",\"success\":true,\"end\":\"stop\"}
```

A line has `level`, `message` and those of the fields below that apply and are known; unknown values are omitted.
";

/// Compares the page with core's tables, or rewrites it.
///
/// # Errors
///
/// How they differ.
pub fn check() -> Result<(), String> {
    let levels: Vec<_> = Level::ALL.iter().map(|level| level.as_str()).collect();
    let mut page = format!("{INTRODUCTION}Levels: {}.\n", levels.join(", "));
    page += "\n| field | meaning |\n|---|---|\n";
    for (name, meaning) in FIELDS {
        let _ = writeln!(page, "| `{name}` | {meaning} |");
    }
    expect(PAGE, &page)
}
