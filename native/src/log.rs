//! The log: where it goes, and the lines of requests and answers. Nothing is logged per token.

use std::io::IsTerminal;

use streamgate_core::protocol::Protocol;
use streamgate_core::relay::{Call, End, Field, Settlement};
use tracing::Value;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// How lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum LogFormat {
    /// For a person.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// Logs to stderr from now on. `filter` is a level, or several by module.
pub(crate) fn start(filter: &str, format: LogFormat) -> Result<(), String> {
    let filter: Targets = filter.parse().map_err(|error| format!("`{filter}`: {error}"))?;
    let layer = fmt::layer().with_writer(std::io::stderr).with_target(false);
    let layer = match format {
        LogFormat::Text => layer.compact().with_ansi(std::io::stderr().is_terminal()).boxed(),
        LogFormat::Json => layer.json().flatten_event(true).boxed(),
    };
    tracing_subscriber::registry()
        .with(layer.with_filter(filter))
        .try_init()
        .map_err(|error| error.to_string())
}

/// Writes one line: the `$own` fields, and of core's `$fields` those with the names given, for
/// `tracing` wants names that are constants.
macro_rules! line {
    ($level:ident, $message:literal, $fields:expr, { $($own:ident = $value:expr,)* } $($name:ident)*) => {
        tracing::$level!(
            $($own = $value,)*
            $($name = typed($fields, stringify!($name)),)*
            $message
        )
    };
}

/// Says what a call asks of a target, and what bounds its answer.
pub(crate) fn call(stream_id: &str, call: &Call) {
    if !tracing::enabled!(tracing::Level::INFO) {
        return;
    }
    let fields = call.log_fields();
    line!(info, "request", &fields, { stream_id = stream_id, }
        target attempt streaming user plan plan_max_tokens model_max_tokens requested_max_tokens
        max_tokens term);
}

/// Says that the client is being answered.
pub(crate) fn stream_created(stream_id: &str) {
    tracing::info!(stream_id, "stream created");
}

/// Says how an answer went.
pub(crate) fn answer(stream_id: &str, client: Protocol, model: &str, settlement: &Settlement) {
    if !tracing::enabled!(tracing::Level::WARN) {
        return;
    }
    let fields = settlement.log_fields();
    macro_rules! answer {
        ($level:ident) => {
            line!($level, "answer", &fields, {
                stream_id = stream_id, client = client.name(), model = model,
            }
            user plan success end model_used fallback_used chunk_count input_tokens output_tokens
            usage_estimated processing_time_ms first_content_ms attempts skipped_events detail)
        };
    }
    match settlement.end {
        End::Failed(_) => answer!(warn),
        End::Finished(_) | End::Cancelled => answer!(info),
    }
}

/// A field's value as what it is: a number, a truth or a text. `None`: this line has no such field.
fn typed(fields: &[Field], name: &str) -> Option<Box<dyn Value>> {
    let (_, text) = fields.iter().find(|(field, _)| *field == name)?;
    // A name such as 007 is no number.
    if let Some(number) = text.parse::<u64>().ok().filter(|number| number.to_string() == *text) {
        return Some(Box::new(number));
    }
    match text.parse::<bool>() {
        Ok(truth) => Some(Box::new(truth)),
        Err(_) => Some(Box::new(text.clone())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use streamgate_core::config::Config;
    use streamgate_core::failure::Reason;
    use streamgate_core::gateway::{Arrival, Client, Gateway};

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// What `write` logs, as JSON.
    fn logged(write: impl FnOnce()) -> serde_json::Value {
        let lines = Lines::default();
        let writer = lines.clone();
        let layer = fmt::layer().with_writer(move || writer.clone()).with_target(false);
        let layer = layer.json().flatten_event(true);
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), write);
        let bytes = lines.0.lock().unwrap();
        serde_json::from_slice(&bytes).unwrap()
    }

    #[track_caller]
    fn check_names(line: &serde_json::Value, fields: &[Field]) {
        for (name, _) in fields {
            assert!(line.get(name).is_some(), "{name} is not in {line}");
        }
    }

    fn settlement() -> Settlement {
        Settlement {
            caller: None,
            end: End::Failed(Reason::Cut.into()),
            attempts: Vec::new(),
            served_by: None,
            fallback: true,
            usage: streamgate_core::chat::Usage::default(),
            chunks: 12,
            skipped: 1,
            first_content: Some(Duration::from_millis(3)),
            took: Duration::from_millis(40),
            learned: Vec::new(),
        }
    }

    #[test]
    fn an_answers_line_has_every_field_of_core() {
        let settlement = settlement();
        let line = logged(|| answer("s1", Protocol::Token, "auto", &settlement));
        check_names(&line, &settlement.log_fields());
        assert_eq!((&line["level"], &line["client"]), (&"WARN".into(), &"token".into()));
        assert_eq!(line["chunk_count"], 12);
        assert_eq!(line["success"], false);
    }

    #[test]
    fn a_calls_line_has_every_field_of_core() {
        let gateway = Gateway::new(Config::embedded());
        let arrival = Arrival {
            caller: None,
            own_keys: Ok(Vec::new()),
            now: Default::default(),
            unix_seconds: 0,
            random: 0,
            headers: Vec::new(),
        };
        let body = br#"{"message": "hello"}"#;
        let mut answer = gateway.answer(Client::streaming(Protocol::Token), body, &arrival);
        let streamgate_core::answer::Output::Call(made) = answer.poll() else {
            panic!("expected a call");
        };
        let line = logged(|| call("s1", &made));
        check_names(&line, &made.log_fields());
        assert_eq!((&line["target"], &line["plan"]), (&"local/tiny".into(), &"none".into()));
    }
}
