//! Mutants of core: a sample of small changes to its code, each of which some test must notice.

use anyhow::Result;
use xshell::{Shell, cmd};

use crate::install;
use crate::requirements::{CARGO_MUTANTS, MUTANTS_OUT};

/// The part of all mutants that one run takes unless another is named: some ninety.
pub(crate) const SHARD: &str = "3/40";

/// How long the tests of one mutant may take: one that never ends is caught.
const TEST_SECONDS_MAX: &str = "300";

/// Runs the unit tests and, on core alone, the scenarios and the grid against each mutant of a shard.
///
/// # Errors
///
/// When a mutant survives: it changes nothing that can be observed, or a test is missing.
pub(crate) fn run(sh: &Shell, shard: &str) -> Result<()> {
    install::ensure(sh, &[&CARGO_MUTANTS])?;
    let mutated = ["--package", "streamgate-core", "--sharding", "round-robin", "--shard", shard];
    let tested = ["--test-package", "streamgate-core,streamgate-tests"];
    // cargo-mutants would test core alone without a mutant, where these targets do not exist.
    let unmutated = ["--baseline", "skip", "--timeout", TEST_SECONDS_MAX];
    // For building as for testing: all other targets would be linked anew for each mutant.
    let targets = ["--lib", "--test=scenarios", "--test=grid"];
    // What needs a built shell is left out: core alone is built anew for each mutant.
    let on_core = ["--skip", "native::", "--skip", "worker::"];
    // Tests that fail anyway would notice every mutant.
    let packages = ["--package", "streamgate-core", "--package", "streamgate-tests"];
    cmd!(sh, "cargo test --quiet {packages...} {targets...} -- {on_core...}").run()?;
    let targets = targets.map(|target| format!("--cargo-arg={target}"));
    cmd!(
        sh,
        "cargo mutants {mutated...} {tested...} {unmutated...} {targets...} --output {MUTANTS_OUT} -- -- {on_core...}"
    )
    .run()?;
    Ok(())
}
