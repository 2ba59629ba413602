//! Clients that are not ours: the official SDKs and a browser, started as programs of their own.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use crate::gateway::{built, root};
use crate::grid::{Grid, PROVIDERS};
use crate::scenario::{Runner, Scenario};

/// Longer than a browser takes for all its checks on a heavily loaded machine.
const CLIENT_TIME_MAX: Duration = Duration::from_secs(900);

/// What real clients talk to: models that answer, that answer whole, that break.
pub fn scenario() -> Result<Scenario, String> {
    Scenario::load(&root().join("tests/sdk/stage.toml"))
}

/// A Python with the official SDK.
pub fn python() -> Result<PathBuf, String> {
    built(
        root().join("target/venv/bin/python"),
        "make it with `python3 -m venv target/venv && \
         target/venv/bin/pip install -r tests/requirements.txt`",
    )
}

/// Node, for scripts that need this package.
pub fn node(package: &str) -> Result<PathBuf, String> {
    built(root().join("node_modules").join(package), "install it with `npm ci`")?;
    Ok(PathBuf::from("node"))
}

/// Runs a script of ours in `program` with these arguments.
///
/// # Errors
///
/// When it fails or takes too long, with all that it printed.
pub async fn run(program: &Path, script: &str, args: &[&str]) -> Result<(), String> {
    let script = root().join(script);
    let mut command = Command::new(program);
    command.arg(&script).args(args).current_dir(root());
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(CLIENT_TIME_MAX, command.output())
        .await
        .map_err(|_| format!("{} takes longer than {CLIENT_TIME_MAX:?}", script.display()))?
        .map_err(|error| format!("{}: {error}", program.display()))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!(
        "{} ended with {}:\n{}{}",
        script.display(),
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    ))
}

/// Runs a script against a shell with the providers of [`scenario`] behind it.
pub async fn run_on_stage(runner: Runner, program: &Path, script: &str) -> Result<(), String> {
    let stage = crate::run::Stage::set(&scenario()?, runner).await?;
    let ran = run(program, script, &[&stage.gateway.url()]).await;
    ran.map_err(|output| format!("{output}\n--- gateway ---\n{}", stage.gateway.log()))
}

/// Runs a script against a shell with every provider of the grid behind it.
pub async fn run_on_grid(runner: Runner, program: &Path, script: &str) -> Result<(), String> {
    let grid = Grid::start(runner).await?;
    let url = grid.gateway().url();
    let providers = PROVIDERS.iter().map(|provider| provider.protocol);
    let args: Vec<_> = std::iter::once(url.as_str()).chain(providers).collect();
    let ran = run(program, script, &args).await;
    ran.map_err(|output| format!("{output}\n--- gateway ---\n{}", grid.gateway().log()))
}
