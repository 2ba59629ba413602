//! The log on stderr. Serving threads hand their records to a thread that formats and writes them,
//! so that logging costs a request next to nothing and never blocks it.
//!
//! Core's records and what this shell and its libraries log through `tracing` take the same way.

mod line;
mod writer;

use std::io::IsTerminal;
use std::sync::OnceLock;

use streamgate_core::log::{Level, Record};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use line::LineFormat;
use writer::Queue;

/// The target that a filter knows core's records by.
const TARGET: &str = "streamgate";

/// How lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum LogFormat {
    /// For a person.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

static LOG: OnceLock<Log> = OnceLock::new();

struct Log {
    queue: Queue,
    /// The least urgent level that is logged.
    verbosity: Option<Level>,
}

/// Keeps the log running. Dropping it writes what is still queued, also while a panic unwinds.
#[derive(Debug)]
pub(crate) struct Guard(Queue);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.flush();
    }
}

/// Logs to stderr from now on. `filter` is a level, or several by module.
pub(crate) fn start(filter: &str, format: LogFormat) -> Result<Guard, String> {
    let filter: Targets = filter.parse().map_err(|error| format!("`{filter}`: {error}"))?;
    let ansi = std::io::stderr().is_terminal();
    let line_format = match format {
        LogFormat::Text => LineFormat::Text { ansi },
        LogFormat::Json => LineFormat::Json,
    };
    let queue = writer::start(std::io::stderr(), line_format)
        .map_err(|error| format!("no thread can be started: {error}"))?;
    let verbosity =
        Level::ALL.into_iter().rfind(|level| filter.would_enable(TARGET, &tracing_level(*level)));
    let writer = queue.clone();
    let layer = fmt::layer().with_writer(move || writer.clone()).with_target(false);
    let layer = match format {
        LogFormat::Text => layer.compact().with_ansi(ansi).boxed(),
        LogFormat::Json => layer.json().flatten_event(true).boxed(),
    };
    tracing_subscriber::registry()
        .with(layer.with_filter(filter))
        .try_init()
        .map_err(|error| error.to_string())?;
    let guard = Guard(queue.clone());
    LOG.get_or_init(|| Log { queue, verbosity });
    Ok(guard)
}

/// The least urgent level that is logged, of core's records; `None`: none is.
pub(crate) fn verbosity() -> Option<Level> {
    LOG.get().and_then(|log| log.verbosity)
}

/// Logs a record of core's.
pub(crate) fn write(record: Record) {
    if let Some(log) = LOG.get()
        && Some(record.level) <= log.verbosity
    {
        log.queue.push(record);
    }
}

fn tracing_level(level: Level) -> tracing::Level {
    match level {
        Level::Error => tracing::Level::ERROR,
        Level::Warn => tracing::Level::WARN,
        Level::Info => tracing::Level::INFO,
        Level::Debug => tracing::Level::DEBUG,
    }
}
