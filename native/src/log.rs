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

/// Writes one line: of `$fields` those with the names given, which must be constants to `tracing`.
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
        target attempt streaming plan plan_max_tokens model_max_tokens requested_max_tokens
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
                stream_id = stream_id, client = name(client), model = model,
            }
            success end model_used fallback_used chunk_count input_tokens output_tokens
            usage_estimated processing_time_ms first_content_ms attempts skipped_events detail)
        };
    }
    match settlement.end {
        End::Failed(_) => answer!(warn),
        End::Finished(_) | End::Cancelled => answer!(info),
    }
}

/// What a client speaks, as it is called in paths and configurations.
fn name(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::OpenAi => "openai",
        Protocol::Token => "token",
        Protocol::Local => "local",
    }
}

/// A field's value as what it is: a number, a truth or a text. `None`: this line has no such field.
fn typed(fields: &[Field], name: &str) -> Option<Box<dyn Value>> {
    let (_, text) = fields.iter().find(|(field, _)| *field == name)?;
    if let Ok(number) = text.parse::<u64>() {
        return Some(Box::new(number));
    }
    match text.parse::<bool>() {
        Ok(truth) => Some(Box::new(truth)),
        Err(_) => Some(Box::new(text.clone())),
    }
}
