//! How this project calls cargo: the same packages every time, so that nothing is built twice.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use xshell::{Shell, cmd};

/// All that builds for this machine. For another choice of packages cargo unites other features of
/// what they share, and builds it again: minutes for the bundler, more for llama.cpp.
pub(crate) const HOST: [&str; 3] = ["--workspace", "--exclude", "streamgate-edge"];
pub(crate) const WASM: [&str; 2] = ["--target", "wasm32-unknown-unknown"];

/// Builds the program that bundles the Worker, and says where it is. `cargo run` would do both,
/// but takes no `--workspace`.
pub(crate) fn bundler(sh: &Shell) -> Result<PathBuf> {
    cmd!(sh, "cargo build {HOST...} --bin streamgate-bundle").run()?;
    Ok(target_dir(sh)?.join("debug/streamgate-bundle"))
}

/// As cargo says it, so that `CARGO_TARGET_DIR` and `build.target-dir` are obeyed.
pub(crate) fn target_dir(sh: &Shell) -> Result<PathBuf> {
    let metadata = cmd!(sh, "cargo metadata --format-version 1 --no-deps").quiet().read()?;
    let metadata: serde_json::Value = serde_json::from_str(&metadata)?;
    Ok(metadata["target_directory"].as_str().context("cargo names no target directory")?.into())
}
