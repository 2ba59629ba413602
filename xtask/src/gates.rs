//! What must hold before a change goes in: one row each, cheap ones first.

use std::time::Instant;

use anyhow::{Result, bail};
use xshell::Shell;

use crate::checks::{self, Verdict};
use crate::install;
use crate::needs::{self, Need};
use crate::report::Report;

pub(crate) struct Gate {
    pub(crate) name: &'static str,
    about: &'static str,
    needs: &'static [&'static [&'static Need]],
    run: fn(&Shell, filter: &str) -> Result<Verdict>,
}

static GATES: &[Gate] = &[
    Gate {
        name: "fmt",
        about: "every Rust file is formatted",
        needs: &[&[&needs::RUSTFMT]],
        run: |sh, _| checks::fmt(sh),
    },
    Gate {
        name: "deny",
        about: "what we depend on: its licences, its sources, what we banned",
        needs: &[&[&needs::CARGO_DENY]],
        run: |sh, _| checks::deny(sh),
    },
    Gate {
        name: "advisories",
        about: "no dependency has a known vulnerability",
        needs: &[&[&needs::CARGO_DENY]],
        run: |sh, _| checks::advisories(sh),
    },
    Gate {
        name: "imports",
        about: "core builds for wasm and asks its host for nothing",
        needs: &[&[&needs::WASM_TARGET]],
        run: |sh, _| checks::core_imports(sh),
    },
    Gate {
        name: "clippy",
        about: "clippy has no warning, for this machine",
        needs: &[needs::NATIVE, &[&needs::CLIPPY]],
        run: |sh, _| checks::clippy(sh),
    },
    Gate {
        name: "clippy-edge",
        about: "clippy has no warning, for the Worker",
        needs: &[&[&needs::WASM_TARGET, &needs::CLIPPY]],
        run: |sh, _| checks::clippy_edge(sh),
    },
    Gate {
        name: "doc",
        about: "the documentation builds, and its links lead somewhere",
        needs: &[needs::NATIVE],
        run: |sh, _| checks::doc(sh),
    },
    Gate {
        name: "edge",
        about: "the Worker builds, and is small",
        needs: &[needs::EDGE],
        run: |sh, _| checks::edge(sh),
    },
    Gate {
        name: "build",
        about: "the server and all tests build",
        needs: &[needs::NATIVE],
        run: |sh, _| checks::build(sh),
    },
    Gate {
        name: "test",
        about: "all tests pass: core, server, Worker, real clients, a browser",
        needs: &[needs::NATIVE, needs::EDGE, needs::CLIENTS],
        run: checks::test,
    },
];

/// Prints every gate's name and what it checks.
pub(crate) fn list() {
    for gate in GATES {
        println!("{:12}{}", gate.name, gate.about);
    }
}

/// Runs the gates in order, up to the first that fails, and sums up.
///
/// # Errors
///
/// The gate that failed; its own output has been shown by then.
pub(crate) fn run(sh: &Shell, filter: Option<&str>, only: &[String]) -> Result<()> {
    let gates = select(filter, only)?;
    install::ensure(sh, &needs_of(&gates))?;
    if let Some(chromium) = needs::chromium() {
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

/// With a filter, the tests and what they run; else the gates named, or all.
fn select(filter: Option<&str>, only: &[String]) -> Result<Vec<&'static Gate>> {
    let names = || GATES.iter().map(|gate| gate.name);
    if let Some(unknown) = only.iter().find(|&name| names().all(|known| known != name)) {
        bail!("no gate is called {unknown}; there are {}", names().collect::<Vec<_>>().join(", "));
    }
    let is_wanted = |gate: &&Gate| match filter {
        Some(_) => ["edge", "build", "test"].contains(&gate.name),
        None => only.is_empty() || only.iter().any(|name| name == gate.name),
    };
    Ok(GATES.iter().filter(is_wanted).collect())
}

fn needs_of(gates: &[&Gate]) -> Vec<&'static Need> {
    let mut needs: Vec<&Need> = Vec::new();
    for &need in gates.iter().flat_map(|gate| gate.needs).copied().flatten() {
        if needs.iter().all(|known| known.name != need.name) {
            needs.push(need);
        }
    }
    needs
}
