//! The protocols that clients speak.

pub(super) mod either;
pub(super) mod open_calls;
pub(super) mod settings;

use std::borrow::Cow;

use super::{
    anthropic, completions, content, gemini, notebook, ollama, openai, responses, session, token,
    ui_message,
};
use crate::chat::ChatRequest;
use crate::failure::Failure;
use crate::history::History;
use crate::sse::Framing;
use crate::target::{ProviderProtocol, Upstream};

/// A protocol that faces the client: its requests are read, its answers written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientProtocol {
    /// OpenAI Chat Completions.
    OpenAi,
    /// OpenAI Responses.
    Responses,
    /// Anthropic Messages.
    Anthropic,
    /// The `token` events of `POST /chat/stream`.
    Token,
    /// The `notebook` events of `POST /chat/execute/stream`.
    Notebook,
    /// The `content` events of `POST /api/chat/stream`.
    Content,
    /// The `session` events of `POST /api/ai/chat/stream`.
    Session,
    /// The AI SDK's UI message stream.
    UiMessage,
    /// Ollama's chat.
    Ollama,
    /// Ollama's completion of one prompt.
    OllamaGenerate,
    /// Google's Gemini API, its streams as server-sent events.
    Gemini,
    /// The same, its streams as one JSON list.
    GeminiArray,
    /// OpenAI's completion of one prompt.
    Completions,
}

/// What is particular to a protocol.
struct Facts {
    name: &'static str,
    marks_fallback: bool,
    supports_warnings: bool,
    streams_overflow: bool,
    framing: Framing,
    stream_media_type: &'static str,
    heartbeat: &'static [u8],
    stream_headers: &'static [(&'static str, &'static str)],
    forwarded_headers: &'static [&'static str],
    error_media_type: &'static str,
}

/// Opts in to features of OpenAI's that are in beta.
const OPENAI_BETA: &[&str] = &["openai-beta"];

impl ClientProtocol {
    const fn facts(self) -> Facts {
        match self {
            Self::OpenAi => Facts { forwarded_headers: OPENAI_BETA, ..Facts::of("openai") },
            Self::Responses => Facts {
                forwarded_headers: OPENAI_BETA,
                streams_overflow: true,
                ..Facts::of("responses")
            },
            Self::Anthropic => {
                Facts { forwarded_headers: &["anthropic-beta"], ..Facts::of("anthropic") }
            }
            Self::Token => Facts { marks_fallback: true, ..Facts::of("token") },
            Self::Notebook => Facts::of("notebook"),
            Self::Content => Facts::of("content"),
            Self::Session => {
                Facts { marks_fallback: true, supports_warnings: true, ..Facts::of("session") }
            }
            Self::UiMessage => Facts {
                stream_headers: ui_message::STREAM_HEADERS,
                error_media_type: "text/plain; charset=utf-8",
                ..Facts::of("ui-message")
            },
            Self::Ollama => Facts::of_lines("ollama"),
            Self::OllamaGenerate => Facts::of_lines("ollama-generate"),
            // Google's SDKs read no comments: a blank line means nothing to anybody.
            Self::Gemini => Facts { heartbeat: b"\n", ..Facts::of("gemini") },
            Self::GeminiArray => {
                Facts { stream_media_type: "application/json", ..Facts::of_lines("gemini-array") }
            }
            Self::Completions => Facts::of("completions"),
        }
    }

    /// The name in logs.
    pub const fn name(self) -> &'static str {
        self.facts().name
    }

    /// Whether an upstream speaks it too: then requests and frames pass through as they are.
    pub const fn is_spoken_by(self, upstream: Upstream) -> bool {
        let Upstream::Http(provider) = upstream else { return false };
        match self {
            Self::OpenAi => matches!(provider, ProviderProtocol::OpenAi),
            Self::Responses => matches!(provider, ProviderProtocol::Responses),
            Self::Anthropic => matches!(provider, ProviderProtocol::Anthropic),
            Self::Ollama => matches!(provider, ProviderProtocol::Ollama),
            Self::Gemini | Self::GeminiArray => matches!(provider, ProviderProtocol::Gemini),
            Self::Token
            | Self::Notebook
            | Self::Content
            | Self::Session
            | Self::UiMessage
            | Self::OllamaGenerate
            | Self::Completions => false,
        }
    }

    /// The body of a user's request with what it refers to in place of its references to what was
    /// answered here.
    pub(crate) fn resolve<'b>(
        self,
        body: &'b [u8],
        history: &History,
        user: &str,
        now: u64,
    ) -> Cow<'b, [u8]> {
        if self != Self::Responses {
            return body.into();
        }
        responses::resolve(body, history, user, now).map_or(body.into(), Cow::Owned)
    }

    /// Reads a request.
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
            Self::Ollama => ollama::parse_chat(body),
            Self::OllamaGenerate => ollama::parse_generate(body),
            Self::Gemini | Self::GeminiArray => gemini::parse_request(body),
            Self::Completions => completions::parse_request(body),
        }
    }

    /// Reads a request whose tokens are to be counted.
    pub(crate) fn parse_counted(self, body: &[u8]) -> Result<ChatRequest, Failure> {
        match self {
            Self::Anthropic => anthropic::parse_counted(body),
            Self::Gemini => gemini::parse_counted(body),
            other => other.parse_request(body),
        }
    }

    /// What the number of a request's tokens is called.
    pub(crate) fn count_field(self) -> &'static str {
        match self {
            Self::Gemini | Self::GeminiArray => gemini::COUNT,
            _ => anthropic::COUNT,
        }
    }

    /// The protocol that a request's body is in: a path may serve two.
    pub(crate) fn of_body(self, body: &[u8]) -> Self {
        match self {
            Self::UiMessage if ollama::is_chat(body) => Self::Ollama,
            other => other,
        }
    }

    /// The response to a request that has no messages, in a protocol where that is one: to load a
    /// model, or to unload it. Here models come and go by themselves.
    pub(crate) fn loaded(self, body: &[u8], model: &str, now: u64) -> Option<Vec<u8>> {
        let form = match self {
            Self::Ollama => ollama::Form::Chat,
            Self::OllamaGenerate => ollama::Form::Generate,
            Self::OpenAi
            | Self::Responses
            | Self::Anthropic
            | Self::Token
            | Self::Notebook
            | Self::Content
            | Self::Session
            | Self::UiMessage
            | Self::Gemini
            | Self::GeminiArray
            | Self::Completions => return None,
        };
        let reason = if ollama::is_unload(body) { "unload" } else { "load" };
        Some(ollama::loaded(form, model, now, reason).to_string().into_bytes())
    }

    /// Whether a client can distinguish a fallback message from a model's answer.
    pub const fn marks_fallback(self) -> bool {
        self.facts().marks_fallback
    }

    /// Whether its streams carry warnings, such as that another target is tried.
    pub const fn supports_warnings(self) -> bool {
        self.facts().supports_warnings
    }

    /// Whether a conversation that is too long is reported to a streaming client within the stream,
    /// with status 200: the only place where Codex looks for it, and where OpenAI reports it.
    pub(crate) const fn streams_overflow(self) -> bool {
        self.facts().streams_overflow
    }

    /// How its streams are cut into events.
    pub const fn framing(self) -> Framing {
        self.facts().framing
    }

    /// The media type of its streams.
    pub(crate) const fn stream_media_type(self) -> &'static str {
        self.facts().stream_media_type
    }

    /// What a stream's client is sent when there is nothing else to send: no part of the answer.
    pub(crate) const fn heartbeat(self) -> &'static [u8] {
        self.facts().heartbeat
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

impl Facts {
    /// What most are like.
    const fn of(name: &'static str) -> Self {
        Self {
            name,
            marks_fallback: false,
            supports_warnings: false,
            streams_overflow: false,
            framing: Framing::Events,
            stream_media_type: "text/event-stream",
            heartbeat: b": waiting\n\n",
            stream_headers: &[],
            forwarded_headers: &[],
            error_media_type: "application/json",
        }
    }

    /// What those are like whose streams are JSON texts, a line each. Before a JSON text, blanks are
    /// no part of it; a blank line would be none.
    const fn of_lines(name: &'static str) -> Self {
        Self {
            framing: Framing::Lines,
            stream_media_type: "application/x-ndjson",
            heartbeat: b" ",
            ..Self::of(name)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_what_logs_call_the_protocol() {
        let names = [
            (ClientProtocol::OpenAi, "openai"),
            (ClientProtocol::Responses, "responses"),
            (ClientProtocol::Anthropic, "anthropic"),
            (ClientProtocol::Token, "token"),
            (ClientProtocol::Notebook, "notebook"),
            (ClientProtocol::Content, "content"),
            (ClientProtocol::Session, "session"),
            (ClientProtocol::UiMessage, "ui-message"),
            (ClientProtocol::Ollama, "ollama"),
            (ClientProtocol::OllamaGenerate, "ollama-generate"),
            (ClientProtocol::Gemini, "gemini"),
            (ClientProtocol::GeminiArray, "gemini-array"),
            (ClientProtocol::Completions, "completions"),
        ];
        for (protocol, name) in names {
            assert_eq!(protocol.name(), name);
        }
    }

    #[test]
    fn a_body_is_an_object_and_text_throughout() {
        let rows: [(ClientProtocol, &[u8], &str); 3] = [
            (
                ClientProtocol::OpenAi,
                b"{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"unread\":\"\xff\"}",
                "not UTF-8 at byte 54",
            ),
            (
                ClientProtocol::Anthropic,
                b"{\"max_tokens\":1,\"messages\":[{\"role\":\"user\",\"content\":\"x\",\"unread\":\"\xff\"}]}",
                "not UTF-8",
            ),
            (ClientProtocol::Token, br#"["hi", null, null]"#, "expected an object"),
        ];
        for (protocol, body, expected) in rows {
            let failure = protocol.parse_request(body).unwrap_err();
            assert!(failure.message().contains(expected), "{protocol:?}: {failure}");
            assert_eq!(failure.status(), 400, "{protocol:?}");
        }
        assert!(ClientProtocol::Token.parse_request(br#" {"message": "hi"}"#).is_ok());
    }
}
