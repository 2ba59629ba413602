//! One typed record per log line, built here so that both shells write the same line. Nothing is
//! logged per token.
//!
//! Every answer gives exactly one record at [`Level::Info`], or at [`Level::Warn`] if it failed,
//! which carries all that is known of it; what happens on the way is [`Level::Debug`]. A value that
//! is not known is left out: nothing is written as "none".

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::access::Caller;
use crate::limit::{Limit, Terms};
use crate::protocol::{AnswerMeta, ClientProtocol, End};
use crate::relay::{Call, Settlement};

/// How urgent a record is, the most urgent first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// The gateway cannot do its work.
    Error,
    /// Something failed, here or at a provider.
    Warn,
    /// What an operator wants to see of normal operation.
    Info,
    /// What happens within an answer.
    Debug,
}

impl Level {
    /// Every level, the most urgent first.
    pub const ALL: [Self; 4] = [Self::Error, Self::Warn, Self::Info, Self::Debug];

    /// Its name in a log line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "ERROR",
            Self::Warn => "WARN",
            Self::Info => "INFO",
            Self::Debug => "DEBUG",
        }
    }
}

macro_rules! fields {
    ($($field:ident $name:literal $meaning:literal;)*) => {
        /// What a value in a record is.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Field {
            $(#[doc = $meaning] $field,)*
        }

        /// Every field a record can have: its name and what it means, in the order of [`Field`].
        pub static FIELDS: &[(&str, &str)] = &[$(($name, $meaning),)*];
    };
}

fields! {
    StreamId           "stream_id"            "The answer's identifier, also in the response's `x-stream-id` header.";
    UserId             "user_id"              "The user who asked; absent where no `[auth]` is configured.";
    SessionId          "session_id"           "The client's own name for the conversation, if it sent one.";
    Client             "client"               "The protocol that the client speaks.";
    Model              "model"                "The configured model that was asked for.";
    Streaming          "streaming"            "Whether a stream was asked for rather than one complete response.";
    Plan               "plan"                 "The user's plan.";
    PlanMaxTokens      "plan_max_tokens"      "The longest answer the plan allows, in tokens.";
    ModelMaxTokens     "model_max_tokens"     "The longest answer the called model can give, in tokens.";
    RequestedMaxTokens "requested_max_tokens" "The longest answer the client asked for, in tokens.";
    MaxTokens          "max_tokens"           "The limit sent to the provider, in tokens; absent where the provider's default applies.";
    Term               "term"                 "Which limit decided `max_tokens`: requested, plan, model, learned or context.";
    Success            "success"              "Whether a model's answer reached its end.";
    End                "end"                  "How the answer ended: a finish reason, `cancelled`, or an error code.";
    Detail             "detail"               "What exactly failed.";
    ModelUsed          "model_used"           "The target whose content was delivered, as provider/model.";
    FallbackUsed       "fallback_used"        "Whether it took more than the first attempt, or a closing message instead of an answer.";
    ChunkCount         "chunk_count"          "Events with content that were delivered.";
    InputTokens        "input_tokens"         "Tokens of the prompt.";
    OutputTokens       "output_tokens"        "Tokens of the answer.";
    UsageEstimated     "usage_estimated"      "Whether the token counts are our estimate rather than the provider's.";
    FirstContentMs     "first_content_ms"     "From the request to its first content, in milliseconds.";
    ProcessingTimeMs   "processing_time_ms"   "From the request to its end, in milliseconds.";
    Attempts           "attempts"             "Every call made: target, way, outcome, duration, and what the request asked for that was left out because the target does not take it.";
    SkippedEvents      "skipped_events"       "Events of the provider that could not be read and were skipped.";
    Target             "target"               "The target of one call, as provider/model.";
    Attempt            "attempt"              "The number of one call within its answer, from 0.";
    Url                "url"                  "The address that was asked.";
    Count              "count"                "How many.";
}

impl Field {
    /// Its name in a log line.
    pub fn name(self) -> &'static str {
        FIELDS[self as usize].0
    }
}

/// The value of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A number.
    Count(u64),
    /// Whether something is so.
    Flag(bool),
    /// A text.
    Text(Cow<'static, str>),
}

impl From<u64> for Value {
    fn from(count: u64) -> Self {
        Self::Count(count)
    }
}

impl From<u32> for Value {
    fn from(count: u32) -> Self {
        Self::Count(count.into())
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

impl From<&'static str> for Value {
    fn from(text: &'static str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(Cow::Owned(text))
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => count.fmt(f),
            Self::Flag(flag) => flag.fmt(f),
            Self::Text(text) => text.fmt(f),
        }
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Count(count) => serializer.serialize_u64(*count),
            Self::Flag(flag) => serializer.serialize_bool(*flag),
            Self::Text(text) => serializer.serialize_str(text),
        }
    }
}

/// One line of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// How urgent it is.
    pub level: Level,
    /// What happened.
    pub message: &'static str,
    /// What is known of it, in the order it is written.
    pub fields: Vec<(Field, Value)>,
}

impl Record {
    /// A record without fields.
    pub fn new(level: Level, message: &'static str) -> Self {
        Self { level, message, fields: Vec::new() }
    }

    /// The same record with one more field.
    pub fn with(mut self, field: Field, value: impl Into<Value>) -> Self {
        self.fields.push((field, value.into()));
        self
    }

    /// The same record with one more field, if its value is known.
    pub fn with_known(self, field: Field, value: Option<impl Into<Value>>) -> Self {
        match value {
            Some(value) => self.with(field, value),
            None => self,
        }
    }

    /// The value of a field.
    pub fn get(&self, field: Field) -> Option<&Value> {
        self.fields.iter().find(|(own, _)| *own == field).map(|(_, value)| value)
    }

    /// The record as one JSON object, without a line's end. `timestamp` is RFC 3339; `None` where
    /// the platform adds its own.
    pub fn to_json(&self, timestamp: Option<&str>) -> Vec<u8> {
        serde_json::to_vec(&Line { timestamp, record: self }).unwrap_or_default()
    }

    fn with_caller(self, caller: Option<&Caller>) -> Self {
        let plan = caller.and_then(|caller| caller.plan.as_ref());
        self.with_known(Field::UserId, caller.map(|caller| String::from(&*caller.user)))
            .with_known(Field::Plan, plan.map(|plan| plan.name.clone()))
            .with_known(Field::PlanMaxTokens, caller.and_then(Caller::max_output_tokens))
    }

    /// With what bounded one call's answer.
    fn with_bounds(self, terms: &Terms, limit: Option<Limit>) -> Self {
        self.with_known(Field::ModelMaxTokens, terms.model)
            .with_known(Field::RequestedMaxTokens, terms.requested)
            .with_known(Field::MaxTokens, limit.map(|limit| limit.max_output))
            .with_known(Field::Term, limit.map(|limit| limit.term.as_str()))
    }
}

struct Line<'a> {
    timestamp: Option<&'a str>,
    record: &'a Record,
}

impl Serialize for Line<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { timestamp, record } = self;
        let mut line = serializer.serialize_map(None)?;
        if let Some(timestamp) = timestamp {
            line.serialize_entry("timestamp", timestamp)?;
        }
        line.serialize_entry("level", record.level.as_str())?;
        line.serialize_entry("message", record.message)?;
        for (field, value) in &record.fields {
            line.serialize_entry(field.name(), value)?;
        }
        line.end()
    }
}

/// What a record contains of an answer that its settlement does not.
#[derive(Clone, Debug)]
pub(crate) struct Answered {
    pub(crate) stream_id: String,
    pub(crate) session: Option<String>,
    pub(crate) client: ClientProtocol,
    /// Empty where the request named none that is configured.
    pub(crate) model: String,
    pub(crate) streaming: bool,
}

impl Answered {
    /// What is known of an answer when it begins.
    pub(crate) fn of(client: ClientProtocol, meta: &AnswerMeta) -> Self {
        Self {
            stream_id: meta.id.clone(),
            session: meta.request.conversation.clone(),
            client,
            model: meta.model.clone(),
            streaming: meta.request.stream,
        }
    }
}

/// The level of the record of an answer that ended so.
pub fn answer_level(end: &End) -> Level {
    match end {
        End::Finished(_) | End::Cancelled => Level::Info,
        End::Failed(_) => Level::Warn,
    }
}

/// How an answer went: the one record that every answer has.
pub(crate) fn answer(answered: &Answered, settlement: &Settlement) -> Record {
    let Answered { stream_id, session, client, model, streaming } = answered;
    let (end, detail) = match &settlement.end {
        End::Finished(reason) => (reason.as_str(), None),
        End::Cancelled => ("cancelled", None),
        End::Failed(failure) => (failure.reason.code(), Some(failure.message().to_owned())),
    };
    let level = answer_level(&settlement.end);
    let finished = matches!(settlement.end, End::Finished(_));
    let record = Record { level, message: "answer", fields: Vec::with_capacity(FIELDS.len()) }
        .with(Field::StreamId, stream_id.clone())
        .with_caller(settlement.caller.as_ref())
        .with_known(Field::SessionId, session.clone())
        .with(Field::Client, client.name())
        .with_known(Field::Model, Some(model.clone()).filter(|model| !model.is_empty()))
        .with(Field::Streaming, *streaming);
    let record = match settlement.bounds() {
        Some((terms, limit)) => record.with_bounds(terms, limit),
        None => record,
    };
    let record = record
        .with(Field::Success, finished && !settlement.fallback)
        .with(Field::End, end)
        .with_known(Field::Detail, detail);
    with_delivery(record, settlement)
}

/// With what was delivered, what it cost and how long it took.
fn with_delivery(record: Record, settlement: &Settlement) -> Record {
    let attempts: Vec<_> = settlement.attempts.iter().map(ToString::to_string).collect();
    let attempts = Some(attempts.join("; ")).filter(|attempts| !attempts.is_empty());
    let usage = &settlement.usage;
    record
        .with_known(Field::ModelUsed, settlement.served_by.as_ref().map(ToString::to_string))
        .with(Field::FallbackUsed, settlement.fallback || settlement.attempts.len() > 1)
        .with(Field::ChunkCount, settlement.chunks)
        .with(Field::InputTokens, usage.input_tokens)
        .with(Field::OutputTokens, usage.output_tokens)
        .with(Field::UsageEstimated, usage.estimated)
        .with_known(Field::FirstContentMs, settlement.first_content.map(milliseconds))
        .with(Field::ProcessingTimeMs, milliseconds(settlement.took))
        .with_known(Field::Attempts, attempts)
        .with_known(Field::SkippedEvents, Some(settlement.skipped).filter(|count| *count > 0))
}

/// A call that is about to be made: who asked, and what bounds its answer.
pub fn call(stream_id: &str, call: &Call) -> Record {
    Record::new(Level::Debug, "request")
        .with(Field::StreamId, stream_id.to_owned())
        .with(Field::Target, call.target.to_string())
        .with(Field::Attempt, call.attempt.number())
        .with(Field::Streaming, call.stream)
        .with_caller(call.caller.as_ref())
        .with_bounds(&call.terms, call.limit)
}

/// The client is being answered.
pub fn stream_created(stream_id: &str) -> Record {
    Record::new(Level::Debug, "stream created").with(Field::StreamId, stream_id.to_owned())
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
