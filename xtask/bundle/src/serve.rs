//! Runs the bundle on this machine: wrangler around workerd, with the configuration of a file.

use std::path::Path;

use anyhow::{Context as _, Result};
use xshell::{Shell, cmd};

const PORT: &str = "8787";

/// Serves until it is interrupted.
///
/// The Worker's secrets come from the environment or, if there is one, from the file `.dev.vars`.
pub(crate) fn run(sh: &Shell, config: &Path) -> Result<()> {
    let text = sh
        .read_file(config)
        .with_context(|| format!("the Worker needs a configuration: {}", config.display()))?;
    let wrangler = super::npm_tool(sh, "wrangler")?;
    let variable = format!("STREAMGATE_CONFIG:{text}");

    println!("serving http://localhost:{PORT} with {}", config.display());
    cmd!(sh, "{wrangler} dev --local --ip 127.0.0.1 --port {PORT} --var {variable}")
        .env("CLOUDFLARE_INCLUDE_PROCESS_ENV", "true")
        // No questions and no reports: what a terminal would ask here has one right answer.
        .env("CI", "1")
        .env("WRANGLER_SEND_METRICS", "false")
        .quiet()
        .run()?;
    Ok(())
}
