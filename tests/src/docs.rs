//! Runs the examples in `docs/protocols`.
//!
//! A page's ` ```sh ` block calls the built server with `curl`. Above it are the configuration, a
//! ` ```toml ` block, and the provider's response, a link into `tests/vectors`; a page without its
//! own uses those of `README.md`. Below it are the request that the provider received, an optional
//! ` ```http ` block, and the output of `curl`, a ` ```text ` block. `…` replaces what differs from run
//! to run (identifiers, times).
//!
//! Also checks that [`links`] resolve and that the references agree with what they document.

pub mod configuration;
pub mod errors;
pub mod links;
pub mod log;
pub(crate) mod page;
mod provider;
mod setup;

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

use self::page::{Example, Page};
use self::provider::Provider;
use self::setup::Setup;
use crate::gateway::{Gateway, root};
use crate::scenario::Runner;

/// The address that a page's commands call.
const ADDR: &str = "localhost:8000";

/// Every page.
pub fn pages() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder()).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    let mut pages: Vec<_> =
        paths.filter(|path| path.extension().is_some_and(|e| e == "md")).collect();
    pages.sort();
    pages
}

/// Runs every example of a page; with `UPDATE_EXPECT=1` in the environment, records the results
/// instead of comparing them.
///
/// # Errors
///
/// If a result differs from the page, or an example cannot be run.
pub async fn check(path: &Path) -> Result<(), String> {
    let common = read(&folder().join("README.md"))?;
    let page = read(path)?;
    let mut blocks = Vec::new();
    for example in page.examples(&common)? {
        let came = run(&example).await;
        let [asked, printed] = came.map_err(|wrong| format!("{}: {wrong}", example.command))?;
        blocks.extend(example.asked.into_iter().map(|block| (block, asked.clone())));
        blocks.push((example.printed, printed));
    }
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        let updated = page.with(&blocks);
        return std::fs::write(path, updated)
            .map_err(|error| format!("{}: {error}", path.display()));
    }
    let wrong = blocks.iter().filter(|(block, came)| page.text(block) != came);
    let wrong: Vec<_> =
        wrong.map(|(block, came)| format!("expected\n{}\ngot\n{came}", page.text(block))).collect();
    match wrong.as_slice() {
        [] => Ok(()),
        wrong => Err(format!("{}\n(UPDATE_EXPECT=1 records it)", wrong.join("\n"))),
    }
}

/// The text of a page, by its path below the root.
fn read_text(page: &str) -> Result<String, String> {
    std::fs::read_to_string(root().join(page)).map_err(|error| format!("{page}: {error}"))
}

/// Compares a page with its generated text; with `UPDATE_EXPECT=1` writes it.
fn expect(page: &str, generated: &str) -> Result<(), String> {
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        let written = std::fs::write(root().join(page), generated);
        return written.map_err(|error| format!("{page}: {error}"));
    }
    let text = read_text(page)?;
    let differs = text.lines().zip(generated.lines()).find(|(is, should)| is != should);
    let differs = differs.or((text != generated).then_some(("another length", "")));
    match differs {
        None => Ok(()),
        Some((is, should)) => {
            Err(format!("{page} is out of date (UPDATE_EXPECT=1 rewrites it):\n- {is}\n+ {should}"))
        }
    }
}

/// The rows of a page's tables as cells, each table by the heading above it, without its head.
fn tables(page: &str) -> Vec<(String, Vec<Vec<String>>)> {
    let mut heading = "";
    let mut tables = Vec::new();
    for paragraph in page.split("\n\n").map(str::trim) {
        if paragraph.starts_with('#') {
            heading = paragraph.trim_start_matches('#').trim();
        } else if paragraph.starts_with('|') {
            tables.push((heading.to_owned(), paragraph.lines().skip(2).map(cells).collect()));
        }
    }
    tables
}

fn cells(row: &str) -> Vec<String> {
    let row = row.trim_start_matches('|').trim_end_matches('|');
    row.split('|').map(|cell| cell.trim().to_owned()).collect()
}

fn folder() -> PathBuf {
    root().join("docs/protocols")
}

fn read(path: &Path) -> Result<Page, String> {
    let text = std::fs::read_to_string(path);
    text.map(Page::new).map_err(|error| format!("{}: {error}", path.display()))
}

/// The request that the provider received, and the command's output. Each example has a server of
/// its own, so that a failure in one opens no breaker in the next.
async fn run(example: &Example) -> Result<[String; 2], String> {
    let provider = Provider::start(example.vector).await?;
    let setup = Setup::of(&example.config, provider.addr)?;
    let gateway = Gateway::start(Runner::Native, Some(&setup.config)).await?;
    let printed = print(&example.command, &gateway).await;
    let printed = printed.map_err(|wrong| format!("{wrong}\n{}", gateway.log()))?;
    let asked = provider.asked().iter().map(|request| setup.show(request)).collect();
    Ok([asked, printed].map(|text: String| canonical(&text)))
}

async fn print(command: &str, gateway: &Gateway) -> Result<String, String> {
    if !command.contains(ADDR) {
        return Err(format!("it does not call {ADDR}"));
    }
    let command = command.replace(ADDR, &gateway.addr.to_string());
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(command).stdin(Stdio::null()).kill_on_drop(true);
    let output = shell.output().await.map_err(|error| error.to_string())?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        return Err(format!("ended with {}: {stderr}", output.status));
    }
    let text = String::from_utf8(output.stdout).map_err(|error| error.to_string())?;
    Ok(format!("{}\n", text.replace('\r', "").trim_end()))
}

/// Prefixes of what differs from run to run: our identifiers, times.
const VARIABLE: [&str; 5] = ["chatcmpl-", "resp_", "msg_", "\"created\":", "\"created_at\":"];

/// In hexadecimal digits; a provider's own identifiers are left alone.
const ID_LENGTH: usize = 32;

/// The text with `…` for what differs from run to run, and without the header `date`.
fn canonical(text: &str) -> String {
    let is_kept = |line: &&str| !line.starts_with("date: ");
    let mut text: String = text.split_inclusive('\n').filter(is_kept).collect();
    for before in VARIABLE {
        let mut parts = text.split(before);
        let mut replaced = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let rest = part.trim_start_matches(|c: char| c.is_ascii_hexdigit());
            let length = part.len() - rest.len();
            let is_variable = length == ID_LENGTH || (before.ends_with(':') && length > 0);
            replaced += before;
            replaced += &if is_variable { format!("…{rest}") } else { part.to_owned() };
        }
        text = replaced;
    }
    without_times(&text)
}

/// The text with `…` for the times that Ollama's answers have.
fn without_times(text: &str) -> String {
    let mut shown = String::new();
    let mut rest = text;
    while let Some(at) = TIMES.iter().filter_map(|name| rest.find(name)).min() {
        let value = at + rest[at..].find("\":").map_or(0, |colon| colon + 2);
        let is_end = |c: char| matches!(c, ',' | '}' | '\n');
        let end = value + rest[value..].find(is_end).unwrap_or(rest.len() - value);
        shown += &rest[..value];
        shown += if rest[value..end].starts_with('"') { "\"…\"" } else { "…" };
        rest = &rest[end..];
    }
    shown + rest
}

/// Fields whose values are times, of this century.
const TIMES: [&str; 4] = [
    "\"created_at\":\"20",
    "\"eval_duration\":",
    "\"prompt_eval_duration\":",
    "\"total_duration\":",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_between_runs_is_replaced() {
        let line =
            "{\"created_at\":\"2025-07-07T20:22:19Z\",\"eval_count\":7,\"total_duration\":48}\n";
        let shown = "{\"created_at\":\"…\",\"eval_count\":7,\"total_duration\":…}\n";
        assert_eq!(canonical(line), shown);
        let id = "0123456789abcdef0123456789abcdef";
        let text = format!(
            "x-stream-id: chatcmpl-{id}\ndate: today\n{{\"id\":\"msg_{id}_0\",\"created\":17,\"model\":\"chatcmpl-1\"}}\n"
        );
        let expected = "x-stream-id: chatcmpl-…\n{\"id\":\"msg_…_0\",\"created\":…,\"model\":\"chatcmpl-1\"}\n";
        assert_eq!(canonical(&text), expected);
    }
}
