//! Where the configuration comes from: the file given on the command line, `streamgate.toml` in the
//! working directory, or the built-in one.

use std::path::{Path, PathBuf};

use streamgate_core::config::Config;

/// The file that is read if none is given.
const DEFAULT_FILE: &str = "streamgate.toml";

/// A configuration, and where it comes from.
#[derive(Debug)]
pub(crate) struct Configuration {
    /// What is configured.
    pub(crate) config: Config,
    /// The file; `None` for the built-in one.
    pub(crate) file: Option<PathBuf>,
}

impl Configuration {
    /// Reads the given file, else the default one if it exists, else the built-in configuration. The
    /// error is a text for the operator.
    pub(crate) fn load(named: Option<&Path>) -> Result<Self, String> {
        let default = Path::new(DEFAULT_FILE);
        match named.or_else(|| default.exists().then_some(default)) {
            Some(path) => {
                let text = std::fs::read_to_string(path).map_err(|e| unreadable(path, &e))?;
                Ok(Self { config: parse(path, &text)?, file: Some(path.to_owned()) })
            }
            None => Ok(Self { config: Config::embedded(), file: None }),
        }
    }
}

/// Parses a configuration. Secrets come from the environment.
pub(crate) fn parse(path: &Path, text: &str) -> Result<Config, String> {
    let secret = |name: &str| std::env::var(name).ok();
    Config::parse(text, secret).map_err(|error| format!("{}: {error}", path.display()))
}

fn unreadable(path: &Path, error: &std::io::Error) -> String {
    format!("{} cannot be read: {error}", path.display())
}
