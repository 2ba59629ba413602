//! The wire protocols. One file each, holding both roles: a protocol can face the client (parse a
//! request, write an answer) and can face a provider (write a request, read an answer).
//!
//! What a provider sends is read into [`Event`]s. What cannot be read is told apart: broken bytes
//! among good ones are [`Unreadable::Garbage`], an error the provider reports is
//! [`Unreadable::Error`].

use std::borrow::Cow;
use std::sync::Arc;

use self::body::Body;
use self::call_names::CallNames;
use self::calls::Calls;
use crate::chat::{ChatRequest, Event, FinishReason, Media, MediaKind, Message, Part, Role, Usage};
use crate::config::Target;
use crate::failure::{Failure, Reason};
use crate::json::{Halves, Shape};
use crate::sse::Framing;

mod anthropic;
mod body;
mod call_names;
mod calls;
mod content;
mod gemini;
#[cfg(test)]
mod meaning;
mod notebook;
mod ollama;
mod openai;
mod responses;
mod session;
mod token;
mod ui_message;
#[cfg(test)]
mod vectors;

pub use self::openai::{DIALECTS, Dialect};

/// A protocol by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// OpenAI Chat Completions, as client and as provider.
    OpenAi,
    /// OpenAI Responses, as client and as provider.
    Responses,
    /// Anthropic Messages, as client and as provider.
    Anthropic,
    /// The `token` events of `POST /chat/stream`, as client.
    Token,
    /// The `notebook` events of `POST /chat/execute/stream`, as client.
    Notebook,
    /// The `content` events of `POST /api/chat/stream`, as client.
    Content,
    /// The `session` events of `POST /api/ai/chat/stream`, as client.
    Session,
    /// The AI SDK's UI message stream, as client.
    UiMessage,
    /// Google's Gemini API, as provider.
    Gemini,
    /// Ollama's chat, as provider.
    Ollama,
    /// A model in this process: no bytes, as provider.
    Local,
}

/// An HTTP call to a provider, ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpCall {
    /// Always a POST to this URL.
    pub url: String,
    /// Headers by lower-case name.
    pub headers: Vec<(Cow<'static, str>, String)>,
    /// The JSON body.
    pub body: Vec<u8>,
}

impl HttpCall {
    fn new(url: String, headers: Vec<(&'static str, String)>, body: Vec<u8>) -> Self {
        let headers = headers.into_iter().map(|(name, value)| (name.into(), value)).collect();
        Self { url, headers, body }
    }
}

/// What a provider is asked.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// Who is asked.
    pub target: &'a Target,
    /// For what.
    pub request: &'a ChatRequest,
    /// What the request's original is written in.
    pub client: Protocol,
    /// As a stream, or as one whole answer.
    pub stream: bool,
    /// The longest answer, in tokens; with `None` the provider's own default holds.
    pub max_output: Option<u32>,
}

impl<'a> Ask<'a> {
    /// The request as the client wrote it, if it wrote it in the target's own protocol, and the
    /// messages that were added since.
    fn original(&self) -> Option<(Body<'a>, &'a [Message])> {
        let original = self.request.original.as_ref()?;
        (self.client == self.target.provider.protocol)
            .then(|| (Body::read(&original.body), &self.request.messages[original.messages..]))
    }
}

/// What one event of a provider's stream was, beside the [`Event`]s read from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The stream goes on.
    More,
    /// The stream says that it is over.
    Done,
}

/// Why bytes of a provider were not an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// Not of this protocol; says what was found and expected.
    Garbage(String),
    /// An error the provider reports in place of an answer.
    Error(Failure),
}

/// Where read events go.
pub type Sink<'s> = dyn FnMut(Event<'_>) + 's;

/// How large a buffer is kept for the texts of a stream's next event, in bytes.
const TEXT_BYTES_KEPT_MAX: usize = 16 * 1024;

/// What reading a stream keeps from one event to the next: buffers, what spares it from reading the
/// same again, and what later events rest on.
#[derive(Debug, Default)]
pub struct Memory {
    /// Where texts are decoded that cannot be borrowed from the bytes they came in.
    text: String,
    /// What the last event looked like that said nothing but a text.
    shape: Shape,
    /// What such a text is.
    kind: TextKind,
    /// Halves of characters.
    halves: Halves,
    /// What Anthropic's deltas refer to.
    blocks: anthropic::Blocks,
    /// The tool calls so far.
    calls: Calls,
    /// The calls that later events refer to by their places among other items.
    placed_calls: responses::Calls,
}

/// Which part of an answer a text is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum TextKind {
    #[default]
    Answer,
    Reasoning,
    Refusal,
}

impl Memory {
    /// The data of an event that could not be read, in whole characters: see [`Halves`].
    pub(crate) fn join_halves(&mut self, data: &[u8]) -> Option<Vec<u8>> {
        self.halves.join(data)
    }

    fn trim(&mut self) {
        if self.text.capacity() > TEXT_BYTES_KEPT_MAX {
            self.text = String::new();
        }
    }
}

impl TextKind {
    fn event(self, text: &str) -> Event<'_> {
        match self {
            Self::Answer => Event::Text(text.into()),
            Self::Reasoning => Event::Reasoning(text.into()),
            Self::Refusal => Event::Refusal(text.into()),
        }
    }
}

impl Protocol {
    /// Its name in configurations and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::Responses => "responses",
            Self::Anthropic => "anthropic",
            Self::Token => "token",
            Self::Notebook => "notebook",
            Self::Content => "content",
            Self::Session => "session",
            Self::UiMessage => "ui-message",
            Self::Gemini => "gemini",
            Self::Ollama => "ollama",
            Self::Local => "local",
        }
    }

    /// Reads a client's request.
    pub fn parse_request(self, body: &[u8]) -> Result<ChatRequest, Failure> {
        match self {
            Self::OpenAi => openai::parse_request(body),
            Self::Responses => responses::parse_request(body),
            Self::Anthropic => anthropic::parse_request(body),
            Self::Token => token::parse_request(body),
            Self::Notebook => notebook::parse_request(body),
            Self::Content => content::parse_request(body),
            Self::Session => session::parse_request(body),
            Self::UiMessage => ui_message::parse_request(body),
            Self::Gemini | Self::Ollama | Self::Local => unspoken(self),
        }
    }

    /// How a provider's stream is cut into events.
    pub const fn framing(self) -> Framing {
        match self {
            Self::Ollama => Framing::Lines,
            _ => Framing::Events,
        }
    }

    /// Writes a call to a provider.
    pub fn http_call(self, ask: &Ask<'_>) -> Result<HttpCall, Failure> {
        let mut call = match self {
            Self::OpenAi => openai::http_call(ask),
            Self::Responses => responses::http_call(ask),
            Self::Anthropic => anthropic::http_call(ask),
            Self::Gemini => gemini::http_call(ask),
            Self::Ollama => ollama::http_call(ask),
            _ => unspoken(self),
        }?;
        let own = ask.target.provider.headers.iter();
        call.headers.extend(own.map(|(name, value)| (name.clone().into(), value.clone())));
        Ok(call)
    }

    /// Reads the data of one event of a provider's stream, whose `memory` is its own.
    ///
    /// [`Event::Start`] may come with the first event only.
    pub fn read_event(
        self,
        data: &[u8],
        memory: &mut Memory,
        sink: &mut Sink<'_>,
    ) -> Result<Step, Unreadable> {
        memory.trim();
        match self {
            Self::OpenAi => openai::read_event(data, memory, sink),
            Self::Responses => responses::read_event(data, memory, sink),
            Self::Anthropic => anthropic::read_event(data, memory, sink),
            Self::Gemini => gemini::read_event(data, memory, sink),
            Self::Ollama => ollama::read_event(data, memory, sink),
            _ => Err(Unreadable::Garbage("no such stream".into())),
        }
    }

    /// Reads a provider's whole, non-streaming answer.
    pub fn read_whole(self, body: &[u8], sink: &mut Sink<'_>) -> Result<(), Unreadable> {
        match self {
            Self::OpenAi => openai::read_whole(body, sink),
            Self::Responses => responses::read_whole(body, sink),
            Self::Anthropic => anthropic::read_whole(body, sink),
            Self::Gemini => gemini::read_whole(body, sink),
            Self::Ollama => ollama::read_whole(body, sink),
            _ => Err(Unreadable::Garbage("no such answer".into())),
        }
    }

    /// The message in a provider's error answer; empty where there is none.
    pub fn error_message(self, body: &[u8]) -> String {
        match self {
            Self::OpenAi | Self::Responses | Self::Anthropic | Self::Gemini | Self::Ollama => {
                openai::error_message(body)
            }
            _ => String::new(),
        }
    }

    /// Whether a call must say how long an answer may be, though nobody asked for a bound.
    pub const fn needs_limit(self) -> bool {
        matches!(self, Self::Anthropic)
    }

    /// Whether a client of this protocol can tell a fallback message from a model's answer.
    pub const fn marks_fallback(self) -> bool {
        matches!(self, Self::Token | Self::Session)
    }

    /// Whether it can tell a client that another way than the first had to be taken.
    pub const fn tells_warnings(self) -> bool {
        matches!(self, Self::Session)
    }

    /// Headers of its streams that no other protocol's have.
    pub(crate) const fn stream_headers(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::UiMessage => ui_message::STREAM_HEADERS,
            _ => &[],
        }
    }

    /// The media type of its error bodies.
    pub(crate) const fn error_media_type(self) -> &'static str {
        match self {
            Self::UiMessage => "text/plain; charset=utf-8",
            _ => "application/json",
        }
    }
}

fn unspoken<T>(protocol: Protocol) -> Result<T, Failure> {
    Err(Failure::new(Reason::Internal, format!("{protocol:?} is not spoken in this role")))
}

/// The failure of a part that cannot be told in a protocol. Input is never dropped: the model would
/// answer something else than what was asked.
fn untold(part: &Part, protocol: &str) -> Failure {
    let kind = match part {
        Part::Text(_) => "text",
        Part::Media(Media { kind: MediaKind::Image, .. }) => "image",
        Part::Media(Media { kind: MediaKind::Audio, .. }) => "audio",
        Part::Media(Media { kind: MediaKind::File, .. }) => "file",
        Part::Reasoning { .. } => "reasoning",
        Part::Refusal(_) => "refusal",
        Part::ToolCall { .. } => "tool call",
        Part::ToolResult { .. } => "tool result",
        Part::Other(kind) => kind,
    };
    let detail =
        format!("A part of a message ({kind}) cannot be told in the protocol `{protocol}`.");
    Failure::new(Reason::Untold, detail)
}

/// How an answer ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The model, or the closing message, came to its end.
    Finished(FinishReason),
    /// The client left or asked to stop.
    Cancelled,
    /// It failed, with the first cause.
    Failed(Failure),
}

/// What a client's protocol says about the answer as a whole, known before its first byte.
#[derive(Clone, Debug)]
pub struct Opening {
    /// Our name for the answer.
    pub id: String,
    /// Seconds since 1970.
    pub created: u64,
    /// The model's name to show until the provider gives its own.
    pub model: String,
    /// What the client asked.
    pub request: Arc<ChatRequest>,
}

impl Opening {
    /// The conversation by the client's name for it; a new one is named as its first answer.
    fn conversation(&self) -> String {
        self.request.conversation.clone().unwrap_or_else(|| self.id.clone())
    }
}

/// What a client's protocol says about the answer as a whole, known at its end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Closing<'a> {
    /// How it ended.
    pub(crate) end: &'a End,
    /// What it said is a closing message, not a model's answer.
    pub(crate) fallback: bool,
}

/// An answer collected for a client that does not stream.
#[derive(Clone, Debug, Default)]
pub(crate) struct Collected {
    /// The answer's text.
    pub(crate) text: String,
    /// What the model thought aloud.
    pub(crate) reasoning: String,
    /// The text in which it declined.
    pub(crate) refusal: String,
    /// Its tool calls, by index.
    pub(crate) tool_calls: Vec<CollectedCall>,
    /// Why it stopped.
    pub(crate) finish: Option<FinishReason>,
    /// What it cost.
    pub(crate) usage: Option<Usage>,
    /// Which other ways than the first had to be taken.
    pub(crate) warnings: Vec<String>,
}

/// One tool call, its fragments joined.
#[derive(Clone, Debug, Default)]
pub(crate) struct CollectedCall {
    /// Its identifier.
    pub(crate) id: String,
    /// The tool's name.
    pub(crate) name: String,
    /// The arguments as JSON text.
    pub(crate) arguments: String,
}

impl Collected {
    /// Adds one event.
    pub(crate) fn add(&mut self, event: &Event<'_>) {
        match event {
            Event::Start { .. } | Event::Prompt(_) => {}
            Event::Text(text) => self.text.push_str(text),
            Event::Reasoning(text) => self.reasoning.push_str(text),
            Event::Refusal(text) => self.refusal.push_str(text),
            Event::ToolCall(call) => {
                // Bounded by the answer's own bytes: an index names at most the next call.
                let index = (call.index as usize).min(self.tool_calls.len());
                if index == self.tool_calls.len() {
                    self.tool_calls.push(CollectedCall::default());
                }
                let whole = &mut self.tool_calls[index];
                whole.id.push_str(call.id.as_deref().unwrap_or(""));
                whole.name.push_str(call.name.as_deref().unwrap_or(""));
                whole.arguments.push_str(&call.arguments);
            }
            Event::Usage(usage) => self.usage = Some(*usage),
            Event::Finish(reason) => self.finish = Some(*reason),
            Event::Warning(text) => self.warnings.push(text.clone().into_owned()),
        }
    }
}

/// Writes answers in a client's protocol.
#[derive(Debug)]
pub(crate) enum Writer {
    /// OpenAI Chat Completions.
    OpenAi(openai::Writer),
    /// OpenAI Responses.
    Responses(responses::Writer),
    /// Anthropic Messages.
    Anthropic(anthropic::Writer),
    /// `token` events.
    Token(token::Writer),
    /// `notebook` events.
    Notebook(notebook::Writer),
    /// `content` events.
    Content(content::Writer),
    /// `session` events.
    Session(session::Writer),
    /// The AI SDK's UI message stream.
    UiMessage(ui_message::Writer),
}

impl Writer {
    /// A writer for one answer.
    pub(crate) fn new(protocol: Protocol, opening: Opening) -> Self {
        match protocol {
            Protocol::Anthropic => Self::Anthropic(anthropic::Writer::new(opening)),
            Protocol::Token => Self::Token(token::Writer::new(opening)),
            Protocol::Responses => Self::Responses(responses::Writer::new(opening)),
            Protocol::Notebook => Self::Notebook(notebook::Writer::new(&opening)),
            Protocol::Content => Self::Content(content::Writer::new(&opening)),
            Protocol::Session => Self::Session(session::Writer::new(&opening)),
            Protocol::UiMessage => Self::UiMessage(ui_message::Writer::new(opening)),
            Protocol::OpenAi | Protocol::Gemini | Protocol::Ollama | Protocol::Local => {
                Self::OpenAi(openai::Writer::new(opening))
            }
        }
    }

    /// Writes what a stream says before its provider was asked; most say nothing.
    pub(crate) fn open(&self, out: &mut Vec<u8>) {
        match self {
            Self::Notebook(writer) => writer.open(out),
            Self::Session(writer) => writer.open(out),
            _ => {}
        }
    }

    /// Notes these whole frames of the provider's, which were handed on as they came: what is
    /// written next joins them.
    pub(crate) fn forwarded(&mut self, frames: &[u8]) {
        match self {
            Self::OpenAi(writer) => writer.forwarded(),
            Self::Responses(writer) => writer.forwarded(frames),
            Self::Anthropic(writer) => writer.forwarded(frames),
            _ => {}
        }
    }

    /// Writes one event of a stream.
    pub(crate) fn event(&mut self, out: &mut Vec<u8>, event: &Event<'_>) {
        match self {
            Self::OpenAi(writer) => writer.event(out, event),
            Self::Responses(writer) => writer.event(out, event),
            Self::Anthropic(writer) => writer.event(out, event),
            Self::Token(writer) => writer.event(out, event),
            Self::Notebook(writer) => writer.event(out, event),
            Self::Content(writer) => writer.event(out, event),
            Self::Session(writer) => writer.event(out, event),
            Self::UiMessage(writer) => writer.event(out, event),
        }
    }

    /// Writes the end of a stream that has begun: its end mark, or the failure.
    pub(crate) fn end(&mut self, out: &mut Vec<u8>, closing: &Closing<'_>) {
        match self {
            Self::OpenAi(writer) => writer.end(out, closing),
            Self::Responses(writer) => writer.end(out, closing),
            Self::Anthropic(writer) => writer.end(out, closing),
            Self::Token(writer) => writer.end(out, closing),
            Self::Notebook(writer) => writer.end(out, closing),
            Self::Content(writer) => writer.end(out, closing),
            Self::Session(writer) => writer.end(out, closing),
            Self::UiMessage(writer) => writer.end(out, closing),
        }
    }

    /// Writes a whole answer.
    pub(crate) fn whole(&self, out: &mut Vec<u8>, answer: &Collected) {
        match self {
            Self::OpenAi(writer) => writer.whole(out, answer),
            Self::Responses(writer) => writer.whole(out, answer),
            Self::Anthropic(writer) => writer.whole(out, answer),
            Self::Token(writer) => writer.whole(out, answer),
            Self::Notebook(writer) => writer.whole(out, answer),
            Self::Content(writer) => writer.whole(out, answer),
            Self::Session(writer) => writer.whole(out, answer),
            Self::UiMessage(writer) => writer.whole(out, answer),
        }
    }
}

/// The body of an error answer in a client's protocol; `id` is our name for the answer.
pub(crate) fn error_body(protocol: Protocol, failure: &Failure, id: Option<&str>) -> Vec<u8> {
    match protocol {
        Protocol::Anthropic => anthropic::error_body(failure, id),
        Protocol::Token => token::error_body(failure),
        Protocol::Notebook => notebook::error_body(failure),
        Protocol::Content => content::error_body(failure),
        Protocol::Session => session::error_body(failure),
        Protocol::UiMessage => ui_message::error_body(failure),
        Protocol::OpenAi
        | Protocol::Responses
        | Protocol::Gemini
        | Protocol::Ollama
        | Protocol::Local => openai::error_body(failure),
    }
}

/// Reads a JSON request, naming the field that is wrong.
pub(crate) fn parse_json<'a, T: serde::Deserialize<'a>>(body: &'a [u8]) -> Result<T, Failure> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        let inner = error.into_inner();
        if inner.is_data() && path != "." {
            Failure::new(Reason::InvalidRequest, format!("{path}: {inner}")).at(path)
        } else if inner.is_data() {
            Failure::new(Reason::InvalidRequest, inner.to_string())
        } else {
            Failure::new(Reason::InvalidRequest, format!("The body is not valid JSON: {inner}"))
        }
    })?;
    json.end().map_err(|error| {
        Failure::new(Reason::InvalidRequest, format!("The body is not valid JSON: {error}"))
    })?;
    Ok(value)
}

/// The one message of a client that sends no conversation.
fn user_message(text: String) -> Result<Message, Failure> {
    if text.trim().is_empty() {
        let detail = "message: expected a text that is not empty";
        return Err(Failure::new(Reason::InvalidRequest, detail).at("message"));
    }
    Ok(Message::text(Role::User, text))
}

/// Appends `text` as a JSON string.
fn push_json_string(out: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(out, text).expect("a Vec takes every write");
}
