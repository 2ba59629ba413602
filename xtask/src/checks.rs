//! How each gate is checked: mostly a cargo command, sometimes a look at what it built.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use xshell::{Cmd, Shell, cmd};

use crate::cargo::{self, HOST, WASM};
use crate::wasm;

/// A paid plan takes 10 MB, a free one 3; a small Worker starts sooner.
const WORKER_GZIPPED_BYTES_MAX: usize = 600 * 1024;

/// How a check ended that did not fail, with a note for the summary.
pub(crate) enum Verdict {
    Passed(String),
    Skipped(&'static str),
}

pub(crate) fn fmt(sh: &Shell) -> Result<Verdict> {
    succeeds(cmd!(sh, "cargo fmt --all --check"))
}

pub(crate) fn deny(sh: &Shell) -> Result<Verdict> {
    succeeds(cmd!(sh, "cargo deny check licenses bans sources"))
}

/// The database lies on a code host that not every machine can reach.
pub(crate) fn advisories(sh: &Shell) -> Result<Verdict> {
    if cmd!(sh, "cargo deny fetch db").ignore_stderr().run().is_err() {
        return Ok(Verdict::Skipped("the advisory database is out of reach"));
    }
    succeeds(cmd!(sh, "cargo deny check advisories"))
}

/// Core's library as a module of its own. It exports nothing, so `cdylib` alone would be empty and
/// import nothing whatever core does: `rlib` makes its functions reachable, and the linker is told
/// to keep them.
pub(crate) fn core_imports(sh: &Shell) -> Result<Verdict> {
    let crate_types = ["--lib", "--crate-type", "cdylib,rlib"];
    let keep_all = ["--", "-C", "link-arg=--no-gc-sections"];
    cmd!(sh, "cargo rustc --package streamgate-core {WASM...} {crate_types...} {keep_all...}")
        .run()?;

    let module = cargo::target_dir(sh)?.join("wasm32-unknown-unknown/debug/streamgate_core.wasm");
    let module = fs::read(&module).with_context(|| module.display().to_string())?;
    let imports = wasm::imports(&module)?;
    ensure!(imports.is_empty(), "core imports {}", imports.join(", "));
    Ok(Verdict::Passed(String::new()))
}

pub(crate) fn clippy(sh: &Shell) -> Result<Verdict> {
    succeeds(cmd!(sh, "cargo clippy {HOST...} --all-targets -- -D warnings"))
}

pub(crate) fn clippy_edge(sh: &Shell) -> Result<Verdict> {
    succeeds(cmd!(sh, "cargo clippy --package streamgate-edge {WASM...} -- -D warnings"))
}

pub(crate) fn doc(sh: &Shell) -> Result<Verdict> {
    succeeds(cmd!(sh, "cargo doc {HOST...} --no-deps").env("RUSTDOCFLAGS", "-D warnings"))
}

pub(crate) fn edge(sh: &Shell) -> Result<Verdict> {
    let bundler = cargo::bundler(sh)?;
    cmd!(sh, "{bundler}").run()?;
    let files = sh.read_dir("target/edge")?;
    let ships =
        |path: &PathBuf| path.extension().is_some_and(|kind| kind == "js" || kind == "wasm");
    let bytes = wasm::gzipped_bytes(files.into_iter().filter(ships))?;
    ensure!(
        bytes <= WORKER_GZIPPED_BYTES_MAX,
        "the Worker is {bytes} bytes after gzip, more than {WORKER_GZIPPED_BYTES_MAX}"
    );
    Ok(Verdict::Passed(format!("{} KB after gzip", bytes / 1024)))
}

/// `--tests` also unites the features that only tests ask for, so that tests later start the very
/// binary they were built beside.
pub(crate) fn build(sh: &Shell) -> Result<Verdict> {
    succeeds(cmd!(sh, "cargo build {HOST...} --bins --tests"))
}

/// Streams what `cargo test` prints, and adds up the counts of its many suites.
pub(crate) fn test(sh: &Shell, filter: &str) -> Result<Verdict> {
    let filter = Some(filter).filter(|filter| !filter.is_empty());
    let command = cmd!(sh, "cargo test {HOST...} --no-fail-fast {filter...}");
    println!("$ {command}");
    let mut child = Command::from(command).stdout(Stdio::piped()).spawn()?;
    let stdout = child.stdout.take().context("stdout was piped")?;

    let mut counts = TestCounts::default();
    for line in BufReader::new(stdout).lines() {
        let line = line?;
        println!("{line}");
        counts.add(&line);
    }
    ensure!(child.wait()?.success(), "{} tests passed, {} failed", counts.passed, counts.failed);
    ensure!(counts.passed > 0, "no test has a name that contains {:?}", filter.unwrap_or_default());
    Ok(Verdict::Passed(format!("{} tests passed, {} failed", counts.passed, counts.failed)))
}

fn succeeds(command: Cmd) -> Result<Verdict> {
    command.run()?;
    Ok(Verdict::Passed(String::new()))
}

#[derive(Default)]
struct TestCounts {
    passed: u64,
    failed: u64,
}

impl TestCounts {
    /// Reads `test result: ok. 12 passed; 0 failed; ...`; other lines count nothing.
    fn add(&mut self, line: &str) {
        let Some(result) = line.strip_prefix("test result: ") else { return };
        let words: Vec<&str> = result.split([' ', ';']).collect();
        let before = |noun| {
            let at = words.iter().position(|&word| word == noun)?;
            words.get(at.checked_sub(1)?)?.parse::<u64>().ok()
        };
        self.passed += before("passed").unwrap_or(0);
        self.failed += before("failed").unwrap_or(0);
    }
}

#[cfg(test)]
mod tests {
    use super::TestCounts;

    #[test]
    fn adds_up_what_every_suite_counted() {
        let mut counts = TestCounts::default();
        for line in [
            "running 3 tests",
            "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s",
            "test one ... ok",
            "test result: FAILED. 2 passed; 3 failed; 0 ignored; 0 measured; 7 filtered out; finished in 1.25s",
        ] {
            counts.add(line);
        }
        assert_eq!((counts.passed, counts.failed), (14, 3));
    }
}
