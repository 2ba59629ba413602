//! Real clients against the server: coding agents and frameworks, too large for every run of CI.

use anyhow::Result;
use xshell::{Shell, cmd};

use crate::cargo::HOST;
use crate::install;
use crate::requirements::{self, Requirement, Source};

const NODE: &str = "target/clients/node";
const NODE_LOCKFILE: &str = "tests/clients/package-lock.json";
/// Environments of Python, apart because they need different versions of the same packages. Each is
/// pinned by `tests/clients/NAME.txt`.
const VENVS: [&str; 3] = ["aider", "frameworks", "llama-index"];

static PROGRAMS: &[&Requirement] = &[
    &Requirement {
        name: "coding agents from npm",
        is_installed: |sh| requirements::is_stamped(sh, NODE, NODE_LOCKFILE),
        source: Source::Workspace { tool: "npm install", install: install_node_programs },
    },
    &Requirement {
        name: "aider and Python frameworks",
        is_installed: |sh| VENVS.iter().all(|name| is_installed(sh, name)),
        source: Source::Workspace { tool: "pip install", install: install_venvs },
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
    // Most of the time they wait, for a retry or for each other's programs to load.
    let test = ["--test", "clients", "--", "--include-ignored", "--test-threads=6"];
    cmd!(sh, "cargo test {HOST...} {test...} {filter...}").run()?;
    Ok(())
}

/// In a folder of its own: the workspace's own packages are not rebuilt for it.
fn install_node_programs(sh: &Shell) -> Result<()> {
    sh.create_dir(NODE)?;
    for file in ["package.json", "package-lock.json", ".npmrc"] {
        sh.copy_file(format!("tests/clients/{file}"), NODE)?;
    }
    // Not `npm ci`: it fails where a registry lacks an optional package of another platform. The
    // lockfile's hashes hold all the same.
    cmd!(sh, "npm install --prefix {NODE} --loglevel=error").run()?;
    requirements::stamp(sh, NODE, NODE_LOCKFILE)
}

fn install_venvs(sh: &Shell) -> Result<()> {
    for name in VENVS.iter().filter(|name| !is_installed(sh, name)) {
        requirements::install_venv(sh, &venv(name), &pins(name))?;
    }
    Ok(())
}

fn is_installed(sh: &Shell, name: &str) -> bool {
    requirements::is_venv(sh, &venv(name), &pins(name))
}

fn venv(name: &str) -> String {
    format!("target/clients/{name}")
}

fn pins(name: &str) -> String {
    format!("tests/clients/{name}.txt")
}
