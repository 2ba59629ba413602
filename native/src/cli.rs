//! The command line: what can be asked of the program, and what it answers the shell with.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::configuration::Configuration;
use crate::log::{self, LogFormat};
use crate::provider_keys::{self, Rotated};
use crate::serve;
use crate::startup::StartupError;
use crate::{check, keys, models};

/// It could not be done: the port is in use, or a checked file is not fine.
const EXIT_FAILED: u8 = 1;
/// It was asked wrongly: the arguments, or the configuration. clap uses the same code.
const EXIT_MISUSED: u8 = 2;

const EXIT_CODES: &str = "\
Exit codes:
  0  done; also after Ctrl-C
  1  it could not be done: the port is in use, a checked file is not fine
  2  it was asked wrongly: the arguments, or the configuration";

/// One server in front of language models, local and remote, so that no token stream breaks.
///
/// Without a command it serves; without a configuration file it serves a small built-in model.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100, after_help = EXIT_CODES, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: Serve,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the chat page and the API [default]
    Serve(Serve),
    /// List the configured models: what answers them, what is there and what is missing
    #[command(
        after_help = "Missing models are listed with the command that gets them; the exit code is 0 all the same."
    )]
    Models {
        #[command(flatten)]
        source: Source,
        /// List the known limits instead, in tokens, and the source of each
        #[arg(long)]
        limits: bool,
    },
    /// Check a configuration or a GGUF model file
    #[command(after_help = "The exit code is 0 if every file is fine, else 1.")]
    Check {
        /// streamgate.toml files, GGUF files, or both
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Make, list and revoke the API keys that users ask with
    #[command(
        after_help = "Keys are kept in the [store] as hashes. Without a store `create` prints the row to \
                      add to [auth] keys instead; with a Worker's, each prints the command that has \
                      wrangler do it in the D1 database.",
        mut_arg("config", |config| config.global(true))
    )]
    Keys {
        #[command(subcommand)]
        command: keys::Command,
        #[command(flatten)]
        source: Source,
    },
    /// Look after the keys for providers that users have given
    #[command(mut_arg("config", |config| config.global(true)))]
    ProviderKeys {
        #[command(subcommand)]
        command: ProviderKeys,
        #[command(flatten)]
        source: Source,
    },
}

#[derive(Debug, Subcommand)]
enum ProviderKeys {
    /// Seal every saved key with the current master key
    #[command(after_help = ROTATION)]
    Rotate,
}

const ROTATION: &str = "\
To change the master key:
  1. in [store], let previous_master_key name the variable of the old key and master_key that of a
     new one, such as `openssl rand -base64 32` makes, and restart the server: both keys open now
  2. run this: it may run beside the server, and again
  3. take the old key away

It does not reach a Worker's D1 database: there a key is sealed anew when it is used.

The exit code is 1 if a saved key cannot be opened with either; such keys stay as they are.";

/// Where the configuration comes from.
#[derive(Debug, Args)]
struct Source {
    /// The configuration to read; else ./streamgate.toml if it is there, else the built-in model
    #[arg(long, value_name = "FILE", env = "STREAMGATE_CONFIG_FILE")]
    config: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct Serve {
    #[command(flatten)]
    source: Source,
    /// Where to listen, such as 127.0.0.1:8000; port 0 takes a free one. Overrides server.listen
    #[arg(long, value_name = "ADDR", env = "STREAMGATE_LISTEN")]
    listen: Option<String>,
    /// Let other machines ask though the configuration has no [auth]: for a server behind a proxy
    /// that keeps others out. The same as server.open = true
    #[arg(long)]
    open: bool,
    /// Threads that serve; as many as the machine has cores unless given
    #[arg(long, value_name = "N")]
    threads: Option<std::num::NonZeroUsize>,
    /// How long running answers may go on after Ctrl-C or SIGTERM
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    drain: u64,
    /// What to log: error, warn, info, debug, trace, also by module as in `info,hyper=debug`
    #[arg(long, value_name = "LEVEL", default_value = "info", env = "STREAMGATE_LOG")]
    log: String,
    /// How to log
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT", env = "STREAMGATE_LOG_FORMAT")]
    log_format: LogFormat,
}

/// Does what the command line asks.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match cli.command {
        None => serve(&cli.serve),
        Some(Command::Serve(serve_arguments)) => serve(&serve_arguments),
        Some(Command::Models { source, limits }) => list_models(&source, limits),
        Some(Command::Check { files }) => {
            let faulty = files.iter().filter(|file| !check::file(file)).count();
            if faulty == 0 { ExitCode::SUCCESS } else { ExitCode::from(EXIT_FAILED) }
        }
        Some(Command::Keys { command, source }) => keys(&command, &source),
        Some(Command::ProviderKeys { command: ProviderKeys::Rotate, source }) => rotate(&source),
    }
}

fn serve(arguments: &Serve) -> ExitCode {
    let logging = match log::start(&arguments.log, arguments.log_format) {
        Ok(logging) => logging,
        Err(what) => return misused(&format!("--log: {what}")),
    };
    let configuration = match Configuration::load(arguments.source.config.as_deref()) {
        Ok(configuration) => configuration,
        Err(what) => return misused(&what),
    };
    let plan = serve::Plan {
        listen: arguments.listen.clone(),
        open: arguments.open,
        threads: arguments.threads,
        drain_max: Duration::from_secs(arguments.drain),
    };
    let served = serve::run(configuration, &plan);
    // The log comes before the error that ended it.
    drop(logging);
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => failed(&why),
    }
}

fn rotate(source: &Source) -> ExitCode {
    let rotated = match Configuration::load(source.config.as_deref()) {
        Ok(configuration) => provider_keys::rotate(&configuration.config),
        Err(what) => return misused(&what),
    };
    match rotated {
        Ok(Rotated { resealed, left, broken }) => {
            println!("sealed anew: {resealed}; left as they were: {}", left + broken.len());
            broken.iter().for_each(|broken| eprintln!("error: {broken}"));
            if broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(EXIT_FAILED) }
        }
        Err(why) => failed(&why),
    }
}

fn list_models(source: &Source, limits: bool) -> ExitCode {
    let config = match Configuration::load(source.config.as_deref()) {
        Ok(configuration) => configuration.config,
        Err(what) => return misused(&what),
    };
    let listing = if limits { models::limits(&config) } else { Ok(models::listing(&config)) };
    match listing {
        Ok(listing) => {
            print!("{listing}");
            ExitCode::SUCCESS
        }
        Err(why) => failed(&why),
    }
}

fn keys(command: &keys::Command, source: &Source) -> ExitCode {
    let configuration = Configuration::load(source.config.as_deref());
    let done = configuration
        .map_err(StartupError::Config)
        .and_then(|configuration| keys::run(command, &configuration.config));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => failed(&why),
    }
}

fn failed(why: &StartupError) -> ExitCode {
    match why {
        StartupError::Config(what) => misused(what),
        StartupError::Io(what) => {
            eprintln!("error: {what}");
            ExitCode::from(EXIT_FAILED)
        }
    }
}

fn misused(what: &str) -> ExitCode {
    eprintln!("error: {what}");
    ExitCode::from(EXIT_MISUSED)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn serving_needs_no_command() {
        let cli = Cli::parse_from(["streamgate", "--listen", "127.0.0.1:0"]);
        assert!(cli.command.is_none());
        assert_eq!(cli.serve.listen.as_deref(), Some("127.0.0.1:0"));
    }
}
