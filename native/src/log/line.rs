//! A record as a line, in the form in which `tracing` writes the others.

use std::fmt::Write;
use std::time::SystemTime;

use streamgate_core::log::{Level, Record, Value};

/// How a record is written.
#[derive(Clone, Copy, Debug)]
pub(super) enum LineFormat {
    /// For a person, in colours where the terminal has them.
    Text { ansi: bool },
    /// One JSON object.
    Json,
}

impl LineFormat {
    /// Appends the line of a record that was made at `time`.
    pub(super) fn write(self, out: &mut Vec<u8>, time: SystemTime, record: &Record) {
        let timestamp = humantime::format_rfc3339_micros(time).to_string();
        match self {
            Self::Json => out.extend(record.to_json(Some(&timestamp))),
            Self::Text { ansi } => out.extend(text(&timestamp, record, ansi).into_bytes()),
        }
        out.push(b'\n');
    }
}

fn text(timestamp: &str, record: &Record, ansi: bool) -> String {
    let paint = |code: &'static str| if ansi { code } else { "" };
    let (dim, italic, plain) = (paint("\x1b[2m"), paint("\x1b[3m"), paint("\x1b[0m"));
    let (colour, level) = (paint(colour(record.level)), record.level.as_str());
    let message = record.message;
    let mut line = format!("{dim}{timestamp}{plain} {colour}{level:>5}{plain} {message}");
    for (field, value) in &record.fields {
        let name = field.name();
        // Writing to a string cannot fail. A text is quoted, so that it cannot end the line.
        let _ = match value {
            Value::Count(_) | Value::Flag(_) => {
                write!(line, " {italic}{name}{plain}{dim}={plain}{value}")
            }
            Value::Text(text) => write!(line, " {italic}{name}{plain}{dim}={plain}{text:?}"),
        };
    }
    line
}

/// The colours that `tracing` gives its levels.
fn colour(level: Level) -> &'static str {
    match level {
        Level::Error => "\x1b[31m",
        Level::Warn => "\x1b[33m",
        Level::Info => "\x1b[32m",
        Level::Debug => "\x1b[34m",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    use streamgate_core::log::Field;

    #[track_caller]
    fn check(format: LineFormat, expected: &str) {
        let record = Record::new(Level::Info, "answer")
            .with(Field::Model, "a\n\"b\"")
            .with(Field::ChunkCount, 12u64)
            .with(Field::Success, true);
        let time = SystemTime::UNIX_EPOCH + Duration::from_micros(1_795_912_384_000_007);
        let mut line = Vec::new();
        format.write(&mut line, time, &record);
        assert_eq!(String::from_utf8(line).unwrap(), expected);
    }

    #[test]
    fn as_text() {
        check(
            LineFormat::Text { ansi: false },
            "2026-11-29T00:33:04.000007Z  INFO answer model=\"a\\n\\\"b\\\"\" chunk_count=12 \
             success=true\n",
        );
    }

    #[test]
    fn as_json() {
        check(
            LineFormat::Json,
            "{\"timestamp\":\"2026-11-29T00:33:04.000007Z\",\"level\":\"INFO\",\
             \"message\":\"answer\",\"model\":\"a\\n\\\"b\\\"\",\"chunk_count\":12,\
             \"success\":true}\n",
        );
    }

    #[test]
    fn in_colours() {
        let record = Record::new(Level::Warn, "answer");
        assert_eq!(text("T", &record, true), "\x1b[2mT\x1b[0m \x1b[33m WARN\x1b[0m answer");
    }
}
