//! The wire protocols. One file each, holding both roles: a protocol can face the client (parse a
//! request, write an answer) and can face a provider (write a request, read an answer).
//!
//! What a provider sends is read into [`Event`]s. What cannot be read is told apart: broken bytes
//! among good ones are [`ReadError::Malformed`], an error the provider reports is
//! [`ReadError::Provider`].

use std::borrow::Cow;

use self::body::Body;
use self::call_names::CallNames;
use self::calls::Calls;
use crate::chat::{ChatRequest, Event, Media, MediaKind, Message, Part, Role};
use crate::failure::{Failure, Reason};
use crate::json::{Halves, Shape};
use crate::sse::Framing;
use crate::target::Target;

mod anthropic;
mod body;
mod call_names;
mod calls;
mod collected;
mod content;
mod error;
mod frame;
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
mod writer;

pub(crate) use self::collected::{Collected, CollectedCall};
pub use self::error::error_message;
pub use self::openai::{DIALECTS, Dialect};
pub(crate) use self::writer::{AnswerEnd, Writer, error_body};
pub use self::writer::{AnswerMeta, End};

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
pub struct ProviderRequest<'a> {
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

impl<'a> ProviderRequest<'a> {
    /// The request as the client wrote it, if it wrote it in the target's own protocol, and the
    /// messages that were added since.
    fn original(&self) -> Option<(Body<'a>, &'a [Message])> {
        let original = self.request.original.as_ref()?;
        (self.client == self.target.provider.protocol)
            .then(|| (Body::read(&original.body), &self.request.messages[original.messages..]))
    }

    /// The client's own headers, where the provider speaks its protocol. Those that the operator set
    /// are the operator's.
    fn forwarded_headers(&self) -> impl Iterator<Item = (Cow<'static, str>, String)> {
        let provider = &self.target.provider;
        let original = self.request.original.iter().filter(|_| self.client == provider.protocol);
        original
            .flat_map(|original| &original.headers)
            .filter(|(name, _)| provider.headers.iter().all(|(set, _)| set != name))
            .map(|(name, value)| (Cow::Borrowed(*name), value.clone()))
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
pub enum ReadError {
    /// Not of this protocol; says what was found and expected.
    Malformed(String),
    /// An error the provider reports in place of an answer.
    Provider(Failure),
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
    /// What is particular to it.
    const fn facts(self) -> Facts {
        match self {
            Self::OpenAi => Facts { forwarded_headers: OPENAI_BETA, ..Facts::of("openai") },
            Self::Responses => Facts { forwarded_headers: OPENAI_BETA, ..Facts::of("responses") },
            Self::Anthropic => Facts {
                needs_limit: true,
                forwarded_headers: &["anthropic-beta"],
                ..Facts::of("anthropic")
            },
            Self::Token => Facts { marks_fallback: true, ..Facts::of("token") },
            Self::Notebook => Facts::of("notebook"),
            Self::Content => Facts::of("content"),
            Self::Session => {
                Facts { marks_fallback: true, tells_warnings: true, ..Facts::of("session") }
            }
            Self::UiMessage => Facts {
                stream_headers: ui_message::STREAM_HEADERS,
                error_media_type: "text/plain; charset=utf-8",
                ..Facts::of("ui-message")
            },
            Self::Gemini => Facts::of("gemini"),
            Self::Ollama => Facts { framing: Framing::Lines, ..Facts::of("ollama") },
            Self::Local => Facts::of("local"),
        }
    }

    /// Its name in configurations and logs.
    pub const fn name(self) -> &'static str {
        self.facts().name
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
        self.facts().framing
    }

    /// Writes a call to a provider.
    pub fn http_call(self, ask: &ProviderRequest<'_>) -> Result<HttpCall, Failure> {
        let mut call = match self {
            Self::OpenAi => openai::http_call(ask),
            Self::Responses => responses::http_call(ask),
            Self::Anthropic => anthropic::http_call(ask),
            Self::Gemini => gemini::http_call(ask),
            Self::Ollama => ollama::http_call(ask),
            Self::Token
            | Self::Notebook
            | Self::Content
            | Self::Session
            | Self::UiMessage
            | Self::Local => unspoken(self),
        }?;
        call.headers.extend(ask.forwarded_headers());
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
    ) -> Result<Step, ReadError> {
        memory.trim();
        match self {
            Self::OpenAi => openai::read_event(data, memory, sink),
            Self::Responses => responses::read_event(data, memory, sink),
            Self::Anthropic => anthropic::read_event(data, memory, sink),
            Self::Gemini => gemini::read_event(data, memory, sink),
            Self::Ollama => ollama::read_event(data, memory, sink),
            Self::Token
            | Self::Notebook
            | Self::Content
            | Self::Session
            | Self::UiMessage
            | Self::Local => unread(self),
        }
    }

    /// Reads a provider's whole, non-streaming answer.
    pub fn read_whole(self, body: &[u8], sink: &mut Sink<'_>) -> Result<(), ReadError> {
        match self {
            Self::OpenAi => openai::read_whole(body, sink),
            Self::Responses => responses::read_whole(body, sink),
            Self::Anthropic => anthropic::read_whole(body, sink),
            Self::Gemini => gemini::read_whole(body, sink),
            Self::Ollama => ollama::read_whole(body, sink),
            Self::Token
            | Self::Notebook
            | Self::Content
            | Self::Session
            | Self::UiMessage
            | Self::Local => unread(self),
        }
    }

    /// Whether a call must say how long an answer may be, though nobody asked for a bound.
    pub const fn needs_limit(self) -> bool {
        self.facts().needs_limit
    }

    /// Whether a client of this protocol can tell a fallback message from a model's answer.
    pub const fn marks_fallback(self) -> bool {
        self.facts().marks_fallback
    }

    /// Whether it can tell a client that another way than the first had to be taken.
    pub const fn tells_warnings(self) -> bool {
        self.facts().tells_warnings
    }

    /// Headers of its streams that no other protocol's have.
    pub(crate) const fn stream_headers(self) -> &'static [(&'static str, &'static str)] {
        self.facts().stream_headers
    }

    /// Headers of a client's request that a provider of the same protocol is sent too.
    pub(crate) const fn forwarded_headers(self) -> &'static [&'static str] {
        self.facts().forwarded_headers
    }

    /// The media type of its error bodies.
    pub(crate) const fn error_media_type(self) -> &'static str {
        self.facts().error_media_type
    }
}

/// By which OpenAI's clients ask for what is not settled yet.
const OPENAI_BETA: &[&str] = &["openai-beta"];

/// What is particular to a protocol.
struct Facts {
    name: &'static str,
    framing: Framing,
    needs_limit: bool,
    marks_fallback: bool,
    tells_warnings: bool,
    stream_headers: &'static [(&'static str, &'static str)],
    forwarded_headers: &'static [&'static str],
    error_media_type: &'static str,
}

impl Facts {
    /// What most are like.
    const fn of(name: &'static str) -> Self {
        Self {
            name,
            framing: Framing::Events,
            needs_limit: false,
            marks_fallback: false,
            tells_warnings: false,
            stream_headers: &[],
            forwarded_headers: &[],
            error_media_type: "application/json",
        }
    }
}

fn unspoken<T>(protocol: Protocol) -> Result<T, Failure> {
    Err(Failure::new(Reason::Internal, format!("{protocol:?} is not spoken in this role")))
}

fn unread<T>(protocol: Protocol) -> Result<T, ReadError> {
    unspoken(protocol).map_err(ReadError::Provider)
}

/// The failure of a part that cannot be told in a protocol. What a message says is never dropped: the
/// model would answer something else than what was asked. Earlier thoughts may be, where a provider
/// takes back only its own.
fn unsupported(part: &Part, protocol: &str) -> Failure {
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
    Failure::new(Reason::Unsupported, detail)
}

/// Reads a JSON request, an object, naming the field that is wrong.
pub(crate) fn parse_json<'a, T: serde::Deserialize<'a>>(body: &'a [u8]) -> Result<T, Failure> {
    // Fields that nobody reads here may be read elsewhere.
    let text = str::from_utf8(body).map_err(|error| {
        let detail = format!("The body is not UTF-8 at byte {}.", error.valid_up_to());
        Failure::new(Reason::InvalidRequest, detail)
    })?;
    let mut json = serde_json::Deserializer::from_str(text);
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
    // To serde the list of its values is an object too.
    if !text.trim_start().starts_with('{') {
        return Err(Failure::new(Reason::InvalidRequest, "The body is a list: expected an object"));
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_an_object_and_text_throughout() {
        let rows: [(Protocol, &[u8], &str); 3] = [
            (
                Protocol::OpenAi,
                b"{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"unread\":\"\xff\"}",
                "not UTF-8 at byte 54",
            ),
            (
                Protocol::Anthropic,
                b"{\"max_tokens\":1,\"messages\":[{\"role\":\"user\",\"content\":\"x\",\"unread\":\"\xff\"}]}",
                "not UTF-8",
            ),
            (Protocol::Token, br#"["hi", null, null]"#, "expected an object"),
        ];
        for (protocol, body, expected) in rows {
            let failure = protocol.parse_request(body).unwrap_err();
            assert!(failure.message().contains(expected), "{protocol:?}: {failure}");
            assert_eq!(failure.status(), 400, "{protocol:?}");
        }
        assert!(Protocol::Token.parse_request(br#" {"message": "hi"}"#).is_ok());
    }
}
