//! The canonical vocabulary: what a client asks and what an answer is made of, in no protocol's
//! words. Protocols translate to and from it; nothing here knows a wire format.

mod original;

use std::borrow::Cow;

use serde_json::{Value, json};

use crate::json;

pub use original::Original;
pub(crate) use original::{Piece, Place};

/// One request for an answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ChatRequest {
    /// The model by the name the client used; `None` means the default one.
    pub model: Option<String>,
    /// The conversation, oldest first; never empty once parsed. Edited by [`Self::insert`],
    /// [`Self::replace`] and [`Self::append`], so that the original is too.
    pub messages: Vec<Message>,
    /// Whether the client reads a stream of events or one complete answer.
    pub stream: bool,
    /// Whether a streaming client asked for the usage.
    pub include_usage: bool,
    /// The longest answer the client wants, in tokens.
    pub max_output_tokens: Option<u32>,
    /// How the next token is chosen.
    pub sampling: Sampling,
    /// Texts that end the answer and are not part of it.
    pub stop: Vec<String>,
    /// What the model may call.
    pub tools: Vec<Tool>,
    /// Those of the tools that the client has in another form than a function's, by the function's
    /// name; see `protocol/responses/tools.rs`.
    pub tool_forms: Vec<(String, ToolForm)>,
    /// Whether the client names them by their first name, functions: it reads one call at a time,
    /// without an identifier.
    pub functions: bool,
    /// Whether it must call one; `None` leaves it to the provider.
    pub tool_choice: Option<ToolChoice>,
    /// Whether it may call several at once; `None` leaves it to the provider.
    pub parallel_tool_calls: Option<bool>,
    /// The form of the answer's text; `None` is free text.
    pub format: Option<Format>,
    /// How much the model thinks before it answers; `None` leaves it to the provider.
    pub effort: Option<Effort>,
    /// What requests that begin alike share, so that a provider finds them in its cache.
    pub cache_key: Option<String>,
    /// The conversation this message belongs to, by the name the client gave it.
    pub conversation: Option<String>,
    /// The request as the client wrote it.
    pub original: Option<Original>,
}

/// How the next token is chosen; what is `None` is left to the provider or the model.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sampling {
    /// 0 is greedy; 1 leaves the model's distribution as it is.
    pub temperature: Option<f64>,
    /// Keep the likeliest tokens up to this total probability, 0 to 1.
    pub top_p: Option<f64>,
    /// Keep this many of the likeliest tokens.
    pub top_k: Option<u32>,
    /// -2 to 2; above 0 makes a token less likely the more often it occurred.
    pub frequency_penalty: Option<f64>,
    /// -2 to 2; above 0 makes a token less likely once it occurred.
    pub presence_penalty: Option<f64>,
    /// Equal seeds give equal answers where the model can.
    pub seed: Option<i64>,
}

/// Something the model may call; the client carries it out.
#[derive(Clone, Debug, PartialEq)]
pub struct Tool {
    /// Its name.
    pub name: String,
    /// What it does and when to call it.
    pub description: Option<String>,
    /// The JSON Schema of its arguments, an object; `None` where it takes none.
    pub parameters: Option<Value>,
    /// Whether the arguments must follow the schema exactly.
    pub strict: Option<bool>,
}

/// What a function is to a client that has other tools too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolForm {
    /// How it is called.
    pub kind: ToolKind,
    /// Its own name.
    pub name: String,
    /// What that is a name in.
    pub namespace: Option<String>,
}

impl ToolForm {
    /// A function's own.
    pub(crate) fn function(name: String) -> Self {
        Self { kind: ToolKind::Function, name, namespace: None }
    }
}

/// How a client's tool is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToolKind {
    /// With arguments.
    Function,
    /// With a text.
    Custom,
    /// It finds tools.
    Search,
    /// It runs a command.
    Shell,
}

/// Whether the model must call a tool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToolChoice {
    /// As it sees fit.
    Auto,
    /// It must not.
    None,
    /// At least one.
    Required,
    /// The one of this name.
    Tool(String),
}

/// The form of an answer's text.
#[derive(Clone, Debug, PartialEq)]
pub enum Format {
    /// Any JSON object.
    Json,
    /// JSON that follows a schema.
    Schema {
        /// The schema's name.
        name: String,
        /// What it is for.
        description: Option<String>,
        /// The JSON Schema.
        schema: Value,
        /// Whether it must be followed exactly.
        strict: Option<bool>,
    },
}

/// How much a model thinks before it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// Not at all.
    None,
    /// As little as it can.
    Minimal,
    /// A little.
    Low,
    /// Some.
    Medium,
    /// Much.
    High,
    /// More than that.
    XHigh,
    /// As much as it can.
    Max,
    /// So many tokens at most.
    Budget(u32),
}

impl Effort {
    /// The level where there is none above `high`.
    #[must_use]
    pub const fn up_to_high(self) -> Self {
        match self {
            Self::XHigh | Self::Max => Self::High,
            Self::None
            | Self::Minimal
            | Self::Low
            | Self::Medium
            | Self::High
            | Self::Budget(_) => self,
        }
    }

    /// By OpenAI's names, which others share. A budget of tokens becomes the nearest level; no
    /// provider documents the numbers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Minimal => "minimal",
            Self::Low | Self::Budget(..=2048) => "low",
            Self::Medium | Self::Budget(2049..=12_288) => "medium",
            Self::High | Self::Budget(_) => "high",
            Self::XHigh => "xhigh",
            Self::Max => "max",
        }
    }
}

/// One message of the conversation.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// Whose message it is.
    pub role: Role,
    /// In order; may be empty.
    pub parts: Vec<Part>,
}

/// The author of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The operator's instruction.
    System,
    /// The developer's instruction; models without that notion take it as the operator's.
    Developer,
    /// The person.
    User,
    /// The model.
    Assistant,
    /// The results of tool calls: every part is a [`Part::ToolResult`].
    Tool,
}

/// A part of a message.
#[derive(Clone, Debug, PartialEq)]
pub enum Part {
    /// Text.
    Text(String),
    /// An image, a sound or a file.
    Media(Media),
    /// The model's reasoning.
    Reasoning {
        /// The reasoning's text.
        text: String,
        /// The provider's signature, without which it rejects its own reasoning.
        signature: Option<String>,
    },
    /// The text in which the model declined.
    Refusal(String),
    /// A call the model made.
    ToolCall {
        /// Its identifier.
        id: String,
        /// The tool's name.
        name: String,
        /// The arguments as JSON text.
        arguments: String,
    },
    /// What a call gave.
    ToolResult {
        /// The call's identifier.
        id: String,
        /// What it gave: texts and media.
        parts: Vec<Self>,
        /// Whether the call failed.
        is_error: bool,
    },
    /// A part that only the client's own protocol has, by its type there. It is in the
    /// original body, and no provider of another protocol can be sent it.
    Other(String),
}

/// An image, a sound or a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Media {
    /// What it is.
    pub kind: MediaKind,
    /// Where it is.
    pub source: MediaSource,
    /// Such as `image/png`; `None` where unknown.
    pub media_type: Option<String>,
    /// The level of detail of an image, by OpenAI's names: `low`, `high`, `auto`.
    pub detail: Option<String>,
    /// A file's name.
    pub name: Option<String>,
}

/// What a medium is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaKind {
    /// A picture.
    Image,
    /// A sound.
    Audio,
    /// A document.
    File,
}

/// Where a medium is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MediaSource {
    /// For the provider to fetch.
    Url(String),
    /// Here, in base64.
    Data(String),
    /// At the provider, by its name there.
    Id(String),
}

impl Media {
    /// The medium at a place, without further details.
    pub fn new(kind: MediaKind, source: MediaSource) -> Self {
        Self { kind, source, media_type: None, detail: None, name: None }
    }

    /// The medium at a URL; in it, if it is a `data:` one (RFC 2397).
    pub fn at(kind: MediaKind, url: &str) -> Self {
        let inline = url.strip_prefix("data:").and_then(|rest| rest.split_once(";base64,"));
        match inline {
            Some((media_type, data)) => Self {
                media_type: Some(media_type.to_owned()),
                ..Self::new(kind, MediaSource::Data(data.to_owned()))
            },
            None => Self::new(kind, MediaSource::Url(url.to_owned())),
        }
    }

    /// Its URL: a `data:` one where it is here, by default of this media type; `None` where only a
    /// provider knows it.
    pub fn url(&self, media_type: &str) -> Option<Cow<'_, str>> {
        match &self.source {
            MediaSource::Url(url) => Some(url.into()),
            MediaSource::Data(data) => {
                let media_type = self.media_type.as_deref().unwrap_or(media_type);
                Some(format!("data:{media_type};base64,{data}").into())
            }
            MediaSource::Id(_) => None,
        }
    }
}

impl Message {
    /// A message of plain text.
    pub fn text(role: Role, text: impl Into<String>) -> Self {
        Self { role, parts: vec![Part::Text(text.into())] }
    }

    /// Whether it is an instruction rather than part of the conversation.
    pub(crate) fn instructs(&self) -> bool {
        matches!(self.role, Role::System | Role::Developer)
    }

    /// The text, parts joined without a separator; `None` where there is a part that is not text.
    pub fn as_text(&self) -> Option<Cow<'_, str>> {
        match self.parts.as_slice() {
            [] => Some(Cow::Borrowed("")),
            [Part::Text(text)] => Some(Cow::Borrowed(text)),
            parts => parts
                .iter()
                .map(|part| {
                    let Part::Text(text) = part else { return None };
                    Some(text.as_str())
                })
                .collect::<Option<String>>()
                .map(Cow::Owned),
        }
    }
}

impl Part {
    /// The arguments of a tool call as an object, whatever the model wrote: one malformed call in the
    /// history must not block the conversation. Nothing and null become an empty object; other
    /// values and broken JSON become its only member.
    pub fn arguments(&self) -> Option<Value> {
        let Self::ToolCall { arguments, .. } = self else { return None };
        let text = arguments.trim();
        let value = match json::read(text) {
            Ok(value @ Value::Object(_)) => value,
            Ok(Value::Null) => json!({}),
            Ok(value) => json!({"arguments": value}),
            Err(_) if text.is_empty() => json!({}),
            Err(_) => json!({"arguments": text}),
        };
        Some(value)
    }
}

/// One step of an answer. Text is borrowed from the bytes it came in wherever that is possible.
#[derive(Clone, Debug, PartialEq)]
pub enum Event<'a> {
    /// The provider's name for the answer and for the model that gives it.
    Start {
        /// The provider's identifier of this answer.
        id: Cow<'a, str>,
        /// The model as the provider names it.
        model: Cow<'a, str>,
    },
    /// More of the answer's text.
    Text(Cow<'a, str>),
    /// More of the model's reasoning before its answer.
    Reasoning(Cow<'a, str>),
    /// More of the text in which the model declines.
    Refusal(Cow<'a, str>),
    /// More of one tool call.
    ToolCall(ToolCall<'a>),
    /// Content that only the provider's own protocol has, by its name there: a sound, an image, a
    /// step of a tool of the provider's. It is in the provider's own bytes; a client of another
    /// protocol is given the rest of the answer.
    Other(Cow<'a, str>),
    /// Tokens of the prompt by the provider's own count, where that comes before the answer; the
    /// answer is not counted in it.
    Prompt(Usage),
    /// What the answer cost so far, by the provider's own count, its prompt included.
    Usage(Usage),
    /// The model stopped, and why.
    Finish(FinishReason),
    /// The gateway had to take another way than the first; a sentence for a person.
    Warning(Cow<'a, str>),
}

impl Event<'_> {
    /// How many bytes of the answer it has.
    pub(crate) fn content_bytes(&self) -> usize {
        match self {
            Self::Text(text) | Self::Reasoning(text) | Self::Refusal(text) => text.len(),
            Self::ToolCall(call) => call.arguments.len(),
            Self::Start { .. }
            | Self::Other(_)
            | Self::Prompt(_)
            | Self::Usage(_)
            | Self::Finish(_)
            | Self::Warning(_) => 0,
        }
    }

    /// The event with texts of its own, to be kept.
    pub(crate) fn into_owned(self) -> Event<'static> {
        fn own(text: Cow<'_, str>) -> Cow<'static, str> {
            Cow::Owned(text.into_owned())
        }
        match self {
            Self::Start { id, model } => Event::Start { id: own(id), model: own(model) },
            Self::Text(text) => Event::Text(own(text)),
            Self::Reasoning(text) => Event::Reasoning(own(text)),
            Self::Refusal(text) => Event::Refusal(own(text)),
            Self::ToolCall(call) => Event::ToolCall(ToolCall {
                index: call.index,
                id: call.id.map(own),
                name: call.name.map(own),
                arguments: own(call.arguments),
            }),
            Self::Other(name) => Event::Other(own(name)),
            Self::Prompt(usage) => Event::Prompt(usage),
            Self::Usage(usage) => Event::Usage(usage),
            Self::Finish(reason) => Event::Finish(reason),
            Self::Warning(text) => Event::Warning(own(text)),
        }
    }

    /// Whether a person or a program would notice it: an empty delta is not content.
    pub fn is_content(&self) -> bool {
        match self {
            Self::Text(text) | Self::Reasoning(text) | Self::Refusal(text) => !text.is_empty(),
            Self::ToolCall(_) | Self::Other(_) => true,
            Self::Start { .. }
            | Self::Prompt(_)
            | Self::Usage(_)
            | Self::Finish(_)
            | Self::Warning(_) => false,
        }
    }
}

/// A fragment of a tool call; fragments of one call share their index.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolCall<'a> {
    /// Which of the parallel calls.
    pub index: u32,
    /// Its identifier, in the first fragment; empty where the provider has none for it.
    pub id: Option<Cow<'a, str>>,
    /// The tool's name, in the first fragment.
    pub name: Option<Cow<'a, str>>,
    /// More of the arguments: JSON text that is complete only when all fragments are joined.
    pub arguments: Cow<'a, str>,
}

/// Why a model stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FinishReason {
    /// It came to its end, or to a stop sequence.
    Stop,
    /// It met the limit of tokens.
    Length,
    /// It waits for the results of its tool calls.
    ToolCalls,
    /// A filter of the provider cut it.
    ContentFilter,
}

impl FinishReason {
    /// The name used in logs and by the protocols that follow OpenAI's.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
            Self::ToolCalls => "tool_calls",
            Self::ContentFilter => "content_filter",
        }
    }
}

/// Tokens read and written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Tokens of the prompt, those that came from a cache or went into one included.
    pub input_tokens: u32,
    /// Tokens of the answer, reasoning included.
    pub output_tokens: u32,
    /// Of the prompt's tokens, those that came from a cache.
    pub cached_tokens: u32,
    /// Of the prompt's tokens, those that were written to a cache.
    pub cache_write_tokens: u32,
    /// Of the answer's tokens, those of reasoning.
    pub reasoning_tokens: u32,
    /// `false` where the provider counted, `true` where we did.
    pub estimated: bool,
}

impl Usage {
    /// Adds what another attempt at the same answer cost.
    pub(crate) fn add(&mut self, other: &Self) {
        for (sum, more) in [
            (&mut self.input_tokens, other.input_tokens),
            (&mut self.output_tokens, other.output_tokens),
            (&mut self.cached_tokens, other.cached_tokens),
            (&mut self.cache_write_tokens, other.cache_write_tokens),
            (&mut self.reasoning_tokens, other.reasoning_tokens),
        ] {
            *sum = sum.saturating_add(more);
        }
        self.estimated |= other.estimated;
    }

    /// Tokens in all.
    pub const fn total_tokens(&self) -> u32 {
        self.input_tokens.saturating_add(self.output_tokens)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each row: what a model wrote as a call's arguments, and the object that stands for it.
    #[test]
    fn arguments_are_an_object() {
        let rows = [
            (r#"{"a":1}"#, json!({"a": 1})),
            (" ", json!({})),
            ("null", json!({})),
            ("[1]", json!({"arguments": [1]})),
            (r#"{"a":"#, json!({"arguments": "{\"a\":"})),
        ];
        for (arguments, expected) in rows {
            let (id, name, arguments) = (String::new(), String::new(), arguments.to_owned());
            assert_eq!(Part::ToolCall { id, name, arguments }.arguments(), Some(expected));
        }
    }
}
