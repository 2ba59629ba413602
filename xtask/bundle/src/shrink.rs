//! wasm-opt, which takes half a minute: not again for a module that it has seen.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use sha2::{Digest as _, Sha256};
use xshell::{Shell, cmd};

/// What every Worker runtime has. It must cover what rustc emits, or wasm-opt refuses.
const FEATURES: [&str; 8] = [
    "--enable-bulk-memory",
    "--enable-exception-handling",
    "--enable-multivalue",
    "--enable-mutable-globals",
    "--enable-nontrapping-float-to-int",
    "--enable-reference-types",
    "--enable-sign-ext",
    "--enable-simd",
];
const OPTIONS: [&str; 2] = ["-Oz", "--strip-debug"];
const VERSION: &str = "node_modules/binaryen/package.json";

/// Makes a module small, unless `to` is what came of the same module before.
pub(crate) fn run(sh: &Shell, from: &Path, to: &Path) -> Result<()> {
    let stamp_file = from.with_extension("shrunk");
    let stamp = stamp(sh, from)?;
    if sh.path_exists(to) && sh.read_file(&stamp_file).is_ok_and(|known| known == stamp) {
        return Ok(());
    }
    let wasm_opt = super::npm_tool(sh, "wasm-opt")?;
    cmd!(sh, "{wasm_opt} {OPTIONS...} {FEATURES...} {from} -o {to}").run()?;
    sh.write_file(stamp_file, stamp)?;
    Ok(())
}

/// All that the result depends on.
fn stamp(sh: &Shell, module: &Path) -> Result<String> {
    let mut stamp = String::new();
    for byte in Sha256::digest(sh.read_binary_file(module)?) {
        write!(stamp, "{byte:02x}")?;
    }
    let package = serde_json::from_str::<serde_json::Value>(&sh.read_file(VERSION)?)?;
    let version = package["version"].as_str().with_context(|| VERSION.to_owned())?;
    writeln!(stamp, " {version} {} {}", OPTIONS.join(" "), FEATURES.join(" "))?;
    Ok(stamp)
}
