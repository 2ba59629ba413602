//! The canonical vocabulary: what a client asks and what an answer is made of, in no protocol's
//! words. Protocols translate to and from it; nothing here knows a wire format.

use std::borrow::Cow;

use serde_json::{Map, Value};

/// One request for an answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ChatRequest {
    /// The model by the name the client used; `None` means the default one.
    pub model: Option<String>,
    /// The conversation, oldest first; never empty once parsed.
    pub messages: Vec<Message>,
    /// Whether the client reads a stream of events or one whole answer.
    pub stream: bool,
    /// Whether a streaming client asked to be told the usage.
    pub include_usage: bool,
    /// The longest answer the client wants, in tokens.
    pub max_output_tokens: Option<u32>,
    /// How the next token is chosen.
    pub sampling: Sampling,
    /// Texts that end the answer and are not part of it.
    pub stop: Vec<String>,
    /// Fields that only the client's own protocol knows, by their wire names. They travel on when
    /// the provider speaks the same protocol, and nowhere else.
    pub rest: Map<String, Value>,
}

/// How the next token is chosen; what is `None` is left to the provider or the model.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sampling {
    /// 0 is greedy; 1 leaves the model's distribution as it is.
    pub temperature: Option<f64>,
    /// Keep the likeliest tokens up to this total probability, 0 to 1.
    pub top_p: Option<f64>,
    /// -2 to 2; above 0 makes a token less likely the more often it occurred.
    pub frequency_penalty: Option<f64>,
    /// -2 to 2; above 0 makes a token less likely once it occurred.
    pub presence_penalty: Option<f64>,
    /// Equal seeds give equal answers where the model can.
    pub seed: Option<i64>,
}

/// One message of the conversation.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said.
    pub content: Content,
    /// Fields that only the client's own protocol knows, by their wire names.
    pub rest: Map<String, Value>,
}

impl Message {
    /// A message of plain text.
    pub fn text(role: Role, text: impl Into<String>) -> Self {
        Self { role, content: Content::Text(text.into()), rest: Map::new() }
    }
}

/// Who speaks.
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
    /// The result of a tool call.
    Tool,
}

/// What a message says.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// Nothing, as in an assistant message that only calls tools.
    Nothing,
    /// Plain text.
    Text(String),
    /// Several parts, in order.
    Parts(Vec<Part>),
}

/// A part of a message.
#[derive(Clone, Debug, PartialEq)]
pub enum Part {
    /// Text.
    Text(String),
    /// Anything else, as the client's own protocol writes it.
    Other(Value),
}

impl Content {
    /// The text, parts joined without a separator; `None` where there is a part that is not text.
    pub fn as_text(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Nothing => Some(Cow::Borrowed("")),
            Self::Text(text) => Some(Cow::Borrowed(text)),
            Self::Parts(parts) => parts
                .iter()
                .map(|part| match part {
                    Part::Text(text) => Some(text.as_str()),
                    Part::Other(_) => None,
                })
                .collect::<Option<String>>()
                .map(Cow::Owned),
        }
    }

    /// Bytes of text in it; other parts count nothing.
    pub fn text_bytes(&self) -> usize {
        match self {
            Self::Nothing => 0,
            Self::Text(text) => text.len(),
            Self::Parts(parts) => parts
                .iter()
                .map(|part| match part {
                    Part::Text(text) => text.len(),
                    Part::Other(_) => 0,
                })
                .sum(),
        }
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
    /// More of what the model thinks aloud before it answers.
    Reasoning(Cow<'a, str>),
    /// More of the text in which the model declines.
    Refusal(Cow<'a, str>),
    /// More of one tool call.
    ToolCall(ToolCall<'a>),
    /// What the answer cost so far, by the provider's own count.
    Usage(Usage),
    /// The model stopped, and why.
    Finish(FinishReason),
}

impl Event<'_> {
    /// Whether a person or a program would notice it: an empty delta is not content.
    pub fn is_content(&self) -> bool {
        match self {
            Self::Text(text) | Self::Reasoning(text) | Self::Refusal(text) => !text.is_empty(),
            Self::ToolCall(_) => true,
            Self::Start { .. } | Self::Usage(_) | Self::Finish(_) => false,
        }
    }
}

/// A fragment of a tool call; fragments of one call share their index.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolCall<'a> {
    /// Which of the parallel calls.
    pub index: u32,
    /// Its identifier, in the first fragment.
    pub id: Option<Cow<'a, str>>,
    /// The tool's name, in the first fragment.
    pub name: Option<Cow<'a, str>>,
    /// More of the arguments, a JSON text that is whole only when all fragments are joined.
    pub arguments: Cow<'a, str>,
}

/// Why a model stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FinishReason {
    /// It had no more to say, or met a stop text.
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
    /// Tokens of the prompt.
    pub input_tokens: u32,
    /// Tokens of the answer.
    pub output_tokens: u32,
    /// Of the prompt's tokens, those that came from a cache.
    pub cached_tokens: u32,
    /// `false` where the provider counted, `true` where we did.
    pub estimated: bool,
}

impl Usage {
    /// Tokens in all.
    pub const fn total_tokens(&self) -> u32 {
        self.input_tokens.saturating_add(self.output_tokens)
    }
}
