//! How each gate is checked: mostly a cargo command, sometimes an inspection of what it built.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use xshell::{Cmd, Shell, cmd};

use crate::cargo::{self, HOST, WASM};
use crate::wasm;

/// Cloudflare allows more; a small Worker starts sooner. Half of the code of ours is core's, of which what
/// serde derives for requests and configuration takes the most; an eighth is the `worker` crate and
/// what it stands on.
const WORKER_GZIPPED_BYTES_MAX: usize = 690_000;

/// The result of a check that did not fail, with a note for the summary.
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

/// The database is on a code host that not every machine can reach.
pub(crate) fn advisories(sh: &Shell) -> Result<Verdict> {
    if cmd!(sh, "cargo deny fetch db").ignore_stderr().run().is_err() {
        return Ok(Verdict::Skipped("the advisory database cannot be reached"));
    }
    succeeds(cmd!(sh, "cargo deny check advisories"))
}

/// Core's library as a module of its own. It exports nothing, so a plain `cdylib` would be empty and
/// import nothing, whatever core does: `rlib` makes its functions reachable, and the linker option
/// keeps them.
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

/// With a toolchain and a target directory of its own. The shells are left to clippy's
/// `incompatible_msrv`: llama.cpp would be built once more for them.
pub(crate) fn minimum_rust(sh: &Shell) -> Result<Verdict> {
    const VERSION: &str = env!("CARGO_PKG_RUST_VERSION");
    let toolchain = ["toolchain", "install", VERSION, "--profile", "minimal", "--no-self-update"];
    let is_installed = || cmd!(sh, "rustup run {VERSION} rustc --version").quiet().ignore_stdout();
    if is_installed().ignore_stderr().run().is_err()
        && cmd!(sh, "rustup {toolchain...}").run().is_err()
    {
        return Ok(Verdict::Skipped("the oldest supported Rust cannot be installed"));
    }
    let target = cargo::target_dir(sh)?.join("msrv");
    let packages = ["--package", "streamgate-core", "--package", "streamgate-tests"];
    cmd!(sh, "rustup run {VERSION} cargo check {packages...} --target-dir {target}").run()?;
    Ok(Verdict::Passed(format!("Rust {VERSION}")))
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

/// Everything up to the upload, which needs an account.
pub(crate) fn deploy(sh: &Shell) -> Result<Verdict> {
    let dry_run = cmd!(sh, "wrangler deploy --dry-run");
    succeeds(dry_run.env("CI", "1").env("WRANGLER_SEND_METRICS", "false"))
}

/// `--tests` includes the features that only tests enable, so that tests later start exactly the
/// binary built here.
pub(crate) fn build(sh: &Shell) -> Result<Verdict> {
    succeeds(cmd!(sh, "cargo build {HOST...} --bins --tests"))
}

/// Streams the output of `cargo test`, and adds up the counts of its suites.
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
    ensure!(counts.passed > 0, "no test name contains {:?}", filter.unwrap_or_default());
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
    /// Reads `test result: ok. 12 passed; 0 failed; ...`; ignores other lines.
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
    fn the_counts_of_all_suites_are_added_up() {
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
