//! What must hold before a change is merged, one row each, cheap ones first.

use std::time::Instant;

use anyhow::{Result, bail};
use xshell::Shell;

use crate::checks::{self, Verdict};
use crate::install;
use crate::report::Report;
use crate::requirements::{self, Requirement};

pub(crate) struct Gate {
    pub(crate) name: &'static str,
    about: &'static str,
    requires: &'static [&'static [&'static Requirement]],
    run: fn(&Shell, filter: &str) -> Result<Verdict>,
}

static GATES: &[Gate] = &[
    Gate {
        name: "fmt",
        about: "every Rust file is formatted",
        requires: &[&[&requirements::RUSTFMT]],
        run: |sh, _| checks::fmt(sh),
    },
    Gate {
        name: "deny",
        about: "dependencies: their licences, their sources, the banned ones",
        requires: &[&[&requirements::CARGO_DENY]],
        run: |sh, _| checks::deny(sh),
    },
    Gate {
        name: "advisories",
        about: "no dependency has a known vulnerability",
        requires: &[&[&requirements::CARGO_DENY]],
        run: |sh, _| checks::advisories(sh),
    },
    Gate {
        name: "imports",
        about: "core builds for wasm and imports nothing but memory",
        requires: &[&[&requirements::WASM_TARGET]],
        run: |sh, _| checks::core_imports(sh),
    },
    Gate {
        name: "msrv",
        about: "core and the tests compile with the oldest supported Rust",
        requires: &[],
        run: |sh, _| checks::minimum_rust(sh),
    },
    Gate {
        name: "clippy",
        about: "clippy has no warning, native",
        requires: &[requirements::NATIVE, &[&requirements::CLIPPY]],
        run: |sh, _| checks::clippy(sh),
    },
    Gate {
        name: "clippy-edge",
        about: "clippy has no warning, Worker",
        requires: &[&[&requirements::WASM_TARGET, &requirements::CLIPPY]],
        run: |sh, _| checks::clippy_edge(sh),
    },
    Gate {
        name: "doc",
        about: "the API documentation builds, without broken links",
        requires: &[requirements::NATIVE],
        run: |sh, _| checks::doc(sh),
    },
    Gate {
        name: "edge",
        about: "the Worker builds, within its size limit",
        requires: &[requirements::EDGE],
        run: |sh, _| checks::edge(sh),
    },
    Gate {
        name: "deploy",
        about: "wrangler would deploy the Worker that was built",
        requires: &[requirements::EDGE],
        run: |sh, _| checks::deploy(sh),
    },
    Gate {
        name: "build",
        about: "the server and all tests build",
        requires: &[requirements::NATIVE],
        run: |sh, _| checks::build(sh),
    },
    Gate {
        name: "test",
        about: "all tests pass: core, server, Worker, real clients, a browser",
        requires: &[requirements::NATIVE, requirements::EDGE, requirements::CLIENTS],
        run: checks::test,
    },
];

/// Prints every gate's name and what it checks.
pub(crate) fn list() {
    for gate in GATES {
        println!("{:12}{}", gate.name, gate.about);
    }
}

/// Runs the gates in order, up to the first that fails, and prints a summary.
///
/// # Errors
///
/// The gate that failed; its own output has been printed by then.
pub(crate) fn run(sh: &Shell, filter: Option<&str>, only: &[String]) -> Result<()> {
    let gates = select(filter, only)?;
    install::ensure(sh, &requirements_of(&gates))?;
    if let Some(chromium) = requirements::chromium() {
        sh.set_var("CHROMIUM", chromium);
    }

    let mut report = Report::default();
    for gate in &gates {
        println!("\n=== {}: {}", gate.name, gate.about);
        let start = Instant::now();
        let verdict = (gate.run)(sh, filter.unwrap_or_default());
        report.add(gate.name, start.elapsed(), &verdict);
        if let Err(error) = verdict {
            report.print();
            return Err(error.context(format!("gate {} failed", gate.name)));
        }
    }
    report.print();
    Ok(())
}

/// With a filter, the tests and what they run; otherwise the named gates, or all.
fn select(filter: Option<&str>, only: &[String]) -> Result<Vec<&'static Gate>> {
    let names = || GATES.iter().map(|gate| gate.name);
    if let Some(unknown) = only.iter().find(|&name| names().all(|known| known != name)) {
        bail!("unknown gate {unknown}; expected one of {}", names().collect::<Vec<_>>().join(", "));
    }
    let is_wanted = |gate: &&Gate| match filter {
        Some(_) => ["edge", "build", "test"].contains(&gate.name),
        None => only.is_empty() || only.iter().any(|name| name == gate.name),
    };
    Ok(GATES.iter().filter(is_wanted).collect())
}

fn requirements_of(gates: &[&Gate]) -> Vec<&'static Requirement> {
    let mut requirements: Vec<&Requirement> = Vec::new();
    for &required in gates.iter().flat_map(|gate| gate.requires).copied().flatten() {
        if requirements.iter().all(|known| known.name != required.name) {
            requirements.push(required);
        }
    }
    requirements
}
