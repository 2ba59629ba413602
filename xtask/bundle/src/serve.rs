//! Runs the bundle on this machine: wrangler around workerd.

use std::path::Path;

use anyhow::Result;
use xshell::{Shell, cmd};

const PORT: &str = "8787";

/// Serves until it is interrupted.
///
/// The Worker's secrets come from the environment or, if there is one, from the file `.dev.vars`.
pub(crate) fn run(sh: &Shell, config: &Path) -> Result<()> {
    let wrangler = super::npm_tool(sh, "wrangler")?;
    println!("serving http://localhost:{PORT} with {}", config.display());
    cmd!(sh, "{wrangler} dev --local --ip 127.0.0.1 --port {PORT}")
        // No questions and no reports: what a terminal would ask here has one right answer.
        .env("CI", "1")
        .env("WRANGLER_SEND_METRICS", "false")
        .quiet()
        .run()?;
    Ok(())
}
