//! The project's chores: `cargo xtask run`, `test`, `edge`, `bench`.
//!
//! Each first makes sure of what it needs, says what it is about to install before it does, asks
//! nothing, and does nothing twice. What a chore builds is cargo's business, not ours.

mod cargo;
mod checks;
mod gates;
mod install;
mod needs;
mod report;
mod wasm;

use std::env;
use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::path::{self, Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};
use clap::Parser;
use xshell::{Cmd, Shell, cmd};

/// The chores of streamgate. Each installs what it needs, and says so first.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", max_term_width = 100)]
enum Task {
    /// Serve on http://localhost:8000: the chat page, the API and a small built-in model
    Run {
        /// Build for real use: slower to build, faster to serve
        #[arg(long)]
        release: bool,
        /// Also build a GPU backend of llama.cpp: cuda, metal or vulkan
        #[arg(long, value_name = "LIST")]
        features: Option<String>,
        /// For `streamgate serve`, such as `-- --config streamgate.toml`
        #[arg(last = true, value_name = "ARGS")]
        args: Vec<OsString>,
    },
    /// Check everything that CI checks: every gate in order, up to the first that fails
    Test {
        /// Run only the tests whose name contains this, without the other gates
        filter: Option<String>,
        /// Run only this gate of --list; may be given more than once
        #[arg(long, value_name = "GATE", conflicts_with = "filter")]
        only: Vec<String>,
        /// Print the gates and do nothing
        #[arg(long)]
        list: bool,
    },
    /// Build the Worker into target/edge
    Edge {
        /// Then run it at http://localhost:8787, in Cloudflare's own runtime
        #[arg(long)]
        serve: bool,
        /// What to run it with, streamgate.toml unless given
        #[arg(long, value_name = "FILE", requires = "serve")]
        config: Option<PathBuf>,
    },
    /// Measure: what a chunk costs us in time and allocations, and what it costs our peers
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
            // The chain of causes, without a backtrace: what failed is a command, not our code.
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
        Task::Bench { args } => bench(&sh, args),
    }
}

fn run(sh: &Shell, release: bool, features: Option<String>, args: Vec<OsString>) -> Result<()> {
    install::ensure(sh, needs::NATIVE)?;
    let release = release.then_some("--release");
    let features = features.map(|list| format!("--features={list}"));
    replace_by(cmd!(
        sh,
        "cargo run --package streamgate {release...} {features...} -- serve {args...}"
    ))
}

fn edge(sh: &Shell, serve: bool, config: Option<PathBuf>) -> Result<()> {
    install::ensure(sh, needs::EDGE)?;
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
    Err(Command::from(command).exec()).context("it could not be started")
}

/// A shell at the root of the workspace that prefers the project's own tools to the machine's.
fn workspace_shell() -> Result<Shell> {
    let root = root();
    let sh = Shell::new()?;
    sh.change_dir(&root);
    let own = [root.join("node_modules/.bin"), root.join(needs::TOOLS).join("bin")];
    let inherited = env::var_os("PATH").unwrap_or_default();
    sh.set_var("PATH", env::join_paths(own.into_iter().chain(env::split_paths(&inherited)))?);
    Ok(sh)
}

/// Cargo says at run time where this package lies; a binary started by hand remembers it.
fn root() -> PathBuf {
    let package = env::var_os("CARGO_MANIFEST_DIR").unwrap_or(env!("CARGO_MANIFEST_DIR").into());
    let package = Path::new(&package);
    package.parent().unwrap_or(package).to_path_buf()
}
