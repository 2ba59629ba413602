//! Real clients against the server: coding agents and frameworks, too large for every run of CI.

use anyhow::Result;
use xshell::{Shell, cmd};

use crate::cargo::HOST;
use crate::install;
use crate::requirements::{self, Requirement, Source};

const NODE: &str = "target/clients/node";
const NODE_LOCKFILE: &str = "tests/clients/package-lock.json";
const AIDER: &str = "target/clients/aider";
const AIDER_PINS: &str = "tests/clients/aider.txt";

static PROGRAMS: &[&Requirement] = &[
    &Requirement {
        name: "coding agents from npm",
        is_installed: |sh| requirements::is_stamped(sh, NODE, NODE_LOCKFILE),
        source: Source::Workspace { tool: "npm ci", install: install_node_programs },
    },
    &Requirement {
        name: "aider",
        is_installed: |sh| requirements::is_venv(sh, AIDER, AIDER_PINS),
        source: Source::Workspace {
            tool: "pip install",
            install: |sh| requirements::install_venv(sh, AIDER, AIDER_PINS),
        },
    },
];

/// Runs the clients whose tests' names contain `filter`, or all.
///
/// # Errors
///
/// When something cannot be installed, or a test fails; its own output has been printed by then.
pub(crate) fn run(sh: &Shell, filter: Option<&str>) -> Result<()> {
    install::ensure(sh, &[requirements::NATIVE, requirements::CLIENTS, PROGRAMS].concat())?;
    cmd!(sh, "cargo build {HOST...} --bins").run()?;
    let test = ["--test", "clients", "--", "--include-ignored"];
    cmd!(sh, "cargo test {HOST...} {test...} {filter...}").run()?;
    Ok(())
}

/// In a folder of its own: the workspace's own packages are not rebuilt for it.
fn install_node_programs(sh: &Shell) -> Result<()> {
    sh.create_dir(NODE)?;
    for file in ["package.json", "package-lock.json", ".npmrc"] {
        sh.copy_file(format!("tests/clients/{file}"), NODE)?;
    }
    cmd!(sh, "npm ci --prefix {NODE} --loglevel=error").run()?;
    requirements::stamp(sh, NODE, NODE_LOCKFILE)
}
