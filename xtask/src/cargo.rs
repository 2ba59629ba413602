//! How this project calls cargo: always for the same packages, so that nothing is built twice.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use xshell::{Shell, cmd};

/// Everything that builds for the host. For another selection of packages cargo unifies features
/// differently and rebuilds shared dependencies: minutes for the bundler, more for llama.cpp.
pub(crate) const HOST: [&str; 3] = ["--workspace", "--exclude", "streamgate-edge"];
pub(crate) const WASM: [&str; 2] = ["--target", "wasm32-unknown-unknown"];

/// Builds the program that bundles the Worker and returns its path. `cargo run` would do both, but
/// does not accept `--workspace`.
pub(crate) fn bundler(sh: &Shell) -> Result<PathBuf> {
    cmd!(sh, "cargo build {HOST...} --bin streamgate-bundle").run()?;
    Ok(target_dir(sh)?.join("debug/streamgate-bundle"))
}

/// As reported by cargo, which honours `CARGO_TARGET_DIR` and `build.target-dir`.
pub(crate) fn target_dir(sh: &Shell) -> Result<PathBuf> {
    let metadata = cmd!(sh, "cargo metadata --format-version 1 --no-deps").quiet().read()?;
    let metadata: serde_json::Value = serde_json::from_str(&metadata)?;
    Ok(metadata["target_directory"].as_str().context("cargo reported no target directory")?.into())
}
