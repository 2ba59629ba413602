//! Why the program cannot do what it was started for.

/// Why the program cannot start.
#[derive(Debug)]
pub(crate) enum StartupError {
    /// The arguments or the configuration ask for what cannot be.
    Config(String),
    /// The machine does not allow it: a port, a file, a database.
    Io(String),
}
