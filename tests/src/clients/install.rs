//! Where the pinned programs are.

use std::path::PathBuf;

use crate::gateway::{built, root};

/// The folder of the programs installed by this name, to be first on the PATH.
///
/// # Errors
///
/// When it is not there, with the command that installs it.
pub(super) fn programs(name: &str) -> Result<PathBuf, String> {
    let folder = match name {
        "sdk" => root().join("target/venv/bin"),
        "node" => root().join("target/clients/node/node_modules/.bin"),
        venv => root().join("target/clients").join(venv).join("bin"),
    };
    let remedy = if name == "sdk" { "./x test" } else { "cargo xtask clients" };
    built(folder, &format!("`{remedy}` installs it"))
}
