//! The native server, as built by Cargo.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use tokio::process::Command;

use super::{KEPT, built, root, write};
use crate::scenario::SECRETS;

pub(super) fn command(folder: &Path, config: Option<&str>) -> Result<Command, String> {
    let mut command = Command::new(program()?);
    command.args(["serve", "--listen", "127.0.0.1:0"]);
    if let Some(config) = config {
        command.arg("--config").arg(write(folder.join("streamgate.toml"), config)?);
    }
    // All of it: no line may hold a secret.
    command.envs(SECRETS).env("STREAMGATE_LOG", "trace").env("STREAMGATE_LOG_FORMAT", "json");
    command.current_dir(folder.join(KEPT));
    Ok(command)
}

/// The address in the line `listening on http://ADDR`.
pub(super) fn addr(line: &str) -> Option<SocketAddr> {
    line.split_once("listening on http://")?.1.trim().parse().ok()
}

/// `STREAMGATE_BIN`, or the server beside the running test.
pub fn program() -> Result<PathBuf, String> {
    built(place(), "build it with `cargo build -p streamgate`")
}

fn place() -> PathBuf {
    if let Some(path) = std::env::var_os("STREAMGATE_BIN") {
        return path.into();
    }
    let name = format!("streamgate{}", std::env::consts::EXE_SUFFIX);
    let test = std::env::current_exe().unwrap_or_default();
    match test.parent().and_then(Path::parent) {
        Some(profile) => profile.join(name),
        None => root().join("target/debug").join(name),
    }
}
