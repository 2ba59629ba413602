//! Errors that keep the program from starting.

/// Why the program cannot start. Each holds a text for the operator.
#[derive(Debug)]
pub(crate) enum StartupError {
    /// The arguments or the configuration are wrong.
    Config(String),
    /// The environment is: a port is taken, a file unreadable, a database unreachable.
    Io(String),
}
