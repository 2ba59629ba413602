//! The project's tasks: `cargo xtask run`, `test`, `edge`, `clients`, `mutants`, `bench`.
//!
//! Each installs what it needs first, after listing it; none ever prompts. Whether something must be
//! rebuilt is left to cargo.

mod cargo;
mod checks;
mod clients;
mod gates;
mod install;
mod mutants;
mod report;
mod requirements;
mod wasm;

use std::env;
use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::path::{self, Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};
use clap::Parser;
use xshell::{Cmd, Shell, cmd};

/// The tasks of streamgate. Each installs what it needs, after listing it.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", max_term_width = 100)]
enum Task {
    /// Serve on http://localhost:8000: the chat page, the API and a small built-in model
    Run {
        /// Build with optimisations: slower to build, faster to serve
        #[arg(long)]
        release: bool,
        /// Also build a GPU backend of llama.cpp: cuda, metal or vulkan
        #[arg(long, value_name = "LIST")]
        features: Option<String>,
        /// For `streamgate serve`, such as `-- --config streamgate.toml`
        #[arg(last = true, value_name = "ARGS")]
        args: Vec<OsString>,
    },
    /// Run every gate that CI runs, in order, up to the first that fails
    Test {
        /// Run only the tests whose name contains this, without the other gates
        filter: Option<String>,
        /// Run only this gate of --list; may be repeated
        #[arg(long, value_name = "GATE", conflicts_with = "filter")]
        only: Vec<String>,
        /// Print the gates and exit
        #[arg(long)]
        list: bool,
    },
    /// Build the Worker into target/edge
    Edge {
        /// Then run it at http://localhost:8787, in Cloudflare's own runtime
        #[arg(long)]
        serve: bool,
        /// Its configuration; streamgate.toml by default
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Change core in small ways and see whether its tests notice: a sample of such mutants
    Mutants {
        /// Which part of all mutants, as N/PARTS
        #[arg(long, default_value = mutants::SHARD)]
        shard: String,
    },
    /// Run real coding agents and frameworks against the server: minutes, and 3 GB to install
    Clients {
        /// Run only the tests whose name contains this, such as `codex` or `::too_long`
        filter: Option<String>,
    },
    /// Run the benchmarks: time and allocations per chunk, here and in peers
    Bench {
        /// For `cargo bench`, such as `--bench relay`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGS")]
        args: Vec<OsString>,
    },
}

fn main() -> ExitCode {
    match perform(Task::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The chain of causes, without a backtrace: a command failed, not our code.
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn perform(task: Task) -> Result<()> {
    let sh = workspace_shell()?;
    match task {
        Task::Run { release, features, args } => run(&sh, release, features, args),
        Task::Test { list: true, .. } => {
            gates::list();
            Ok(())
        }
        Task::Test { filter, only, .. } => gates::run(&sh, filter.as_deref(), &only),
        Task::Edge { serve, config } => edge(&sh, serve, config),
        Task::Mutants { shard } => mutants::run(&sh, &shard),
        Task::Clients { filter } => clients::run(&sh, filter.as_deref()),
        Task::Bench { args } => bench(&sh, args),
    }
}

fn run(sh: &Shell, release: bool, features: Option<String>, args: Vec<OsString>) -> Result<()> {
    install::ensure(sh, requirements::NATIVE)?;
    let release = release.then_some("--release");
    let features = features.map(|list| format!("--features={list}"));
    replace_by(cmd!(
        sh,
        "cargo run --package streamgate {release...} {features...} -- serve {args...}"
    ))
}

fn edge(sh: &Shell, serve: bool, config: Option<PathBuf>) -> Result<()> {
    install::ensure(sh, requirements::EDGE)?;
    let serve = serve.then_some("--serve");
    let config = config.map(path::absolute).transpose()?;
    let config = config.map(|file| ["--config".into(), file]).into_iter().flatten();
    let bundler = cargo::bundler(sh)?;
    replace_by(cmd!(sh, "{bundler} {serve...} {config...}"))
}

fn bench(sh: &Shell, args: Vec<OsString>) -> Result<()> {
    replace_by(cmd!(sh, "cargo bench --package streamgate-tests {args...}"))
}

/// Becomes the command, so that a signal sent to this process reaches the server itself.
fn replace_by(command: Cmd) -> Result<()> {
    eprintln!("$ {command}");
    Err(Command::from(command).exec()).context("cannot be started")
}

/// A shell at the root of the workspace that prefers the project's own tools to the machine's.
fn workspace_shell() -> Result<Shell> {
    let root = root();
    let sh = Shell::new()?;
    sh.change_dir(&root);
    let own = [root.join("node_modules/.bin"), root.join(requirements::TOOLS).join("bin")];
    let inherited = env::var_os("PATH").unwrap_or_default();
    sh.set_var("PATH", env::join_paths(own.into_iter().chain(env::split_paths(&inherited)))?);
    Ok(sh)
}

/// Set by cargo at run time; a binary started by hand uses the path it was built at.
fn root() -> PathBuf {
    let package = env::var_os("CARGO_MANIFEST_DIR").unwrap_or(env!("CARGO_MANIFEST_DIR").into());
    let package = Path::new(&package);
    package.parent().unwrap_or(package).to_path_buf()
}
