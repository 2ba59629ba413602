//! The answer to a client, written in its protocol: as a stream, or whole.

pub(super) mod collected;
pub(super) mod error;
pub(super) mod frame;
pub(super) mod too_long;

use std::sync::Arc;
use std::time::Duration;

use super::{
    ClientProtocol, Collected, anthropic, completions, content, gemini, notebook, ollama, openai,
    responses, session, token, ui_message,
};
use crate::chat::{ChatRequest, Event, FinishReason};
use crate::failure::Failure;
use crate::history::Exchange;

/// How an answer ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The model, or the closing message, came to its end.
    Finished(FinishReason),
    /// The client disconnected, or asked to stop.
    Cancelled,
    /// It failed, with the first cause.
    Failed(Failure),
}

/// What is known of an answer before its first byte.
#[derive(Clone, Debug)]
pub struct AnswerMeta {
    /// Our name for the answer.
    pub id: String,
    /// Seconds since 1970.
    pub created: u64,
    /// The model's name to show until the provider gives its own.
    pub model: String,
    /// The client's request.
    pub request: Arc<ChatRequest>,
}

impl AnswerMeta {
    /// The conversation by the client's name for it; a new one is named as its first answer.
    pub(super) fn conversation(&self) -> String {
        self.request.conversation.clone().unwrap_or_else(|| self.id.clone())
    }
}

/// What is known of an answer at its end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AnswerEnd<'a> {
    /// How it ended.
    pub(crate) end: &'a End,
    /// The text is a fallback message, not a model's answer.
    pub(crate) fallback: bool,
    /// How long it took.
    pub(crate) times: Times,
}

/// How long an answer took, from the request on.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Times {
    /// To its first content, if it had any.
    pub(crate) first_content: Option<Duration>,
    /// To its end.
    pub(crate) end: Duration,
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
    /// Ollama's chat and its completions.
    Ollama(ollama::Writer),
    /// Google's Gemini API.
    Gemini(gemini::Writer),
    /// OpenAI's completions.
    Completions(completions::Writer),
}

impl Writer {
    /// A writer for one answer.
    pub(crate) fn new(protocol: ClientProtocol, opening: AnswerMeta) -> Self {
        match protocol {
            ClientProtocol::Anthropic => Self::Anthropic(anthropic::Writer::new(opening)),
            ClientProtocol::Token => Self::Token(token::Writer::new(opening)),
            ClientProtocol::Responses => Self::Responses(responses::Writer::new(opening)),
            ClientProtocol::Notebook => Self::Notebook(notebook::Writer::new(&opening)),
            ClientProtocol::Content => Self::Content(content::Writer::new(&opening)),
            ClientProtocol::Session => Self::Session(session::Writer::new(&opening)),
            ClientProtocol::UiMessage => Self::UiMessage(ui_message::Writer::new(opening)),
            ClientProtocol::OpenAi => Self::OpenAi(openai::Writer::new(opening)),
            ClientProtocol::Ollama => {
                Self::Ollama(ollama::Writer::new(ollama::Form::Chat, opening))
            }
            ClientProtocol::OllamaGenerate => {
                Self::Ollama(ollama::Writer::new(ollama::Form::Generate, opening))
            }
            ClientProtocol::Gemini => {
                Self::Gemini(gemini::Writer::new(gemini::Form::Events, opening))
            }
            ClientProtocol::GeminiArray => {
                Self::Gemini(gemini::Writer::new(gemini::Form::List, opening))
            }
            ClientProtocol::Completions => Self::Completions(completions::Writer::new(opening)),
        }
    }

    /// Writes what a stream begins with before its provider was called; in most protocols nothing.
    pub(crate) fn open(&self, out: &mut Vec<u8>) {
        match self {
            Self::Notebook(writer) => writer.open(out),
            Self::Session(writer) => writer.open(out),
            Self::OpenAi(_)
            | Self::Responses(_)
            | Self::Anthropic(_)
            | Self::Token(_)
            | Self::Content(_)
            | Self::UiMessage(_)
            | Self::Ollama(_)
            | Self::Gemini(_)
            | Self::Completions(_) => {}
        }
    }

    /// Writes whole frames of a provider of the same protocol as they came: what is written next joins
    /// them.
    pub(crate) fn forward(&mut self, out: &mut Vec<u8>, frames: &[u8]) {
        match self {
            Self::OpenAi(writer) => writer.forwarded(),
            Self::Responses(writer) => writer.forwarded(frames),
            Self::Anthropic(writer) => writer.forwarded(frames),
            Self::Ollama(writer) => writer.forwarded(frames),
            Self::Gemini(writer) => return writer.forward(out, frames),
            // No provider speaks these.
            Self::Token(_)
            | Self::Notebook(_)
            | Self::Content(_)
            | Self::Session(_)
            | Self::UiMessage(_)
            | Self::Completions(_) => {}
        }
        out.extend_from_slice(frames);
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
            Self::Ollama(writer) => writer.event(out, event),
            Self::Gemini(writer) => writer.event(out, event),
            Self::Completions(writer) => writer.event(out, event),
        }
    }

    /// Writes the end of a stream that has begun: its end mark, or the failure.
    pub(crate) fn end(&mut self, out: &mut Vec<u8>, closing: &AnswerEnd<'_>) {
        match self {
            Self::OpenAi(writer) => writer.end(out, closing),
            Self::Responses(writer) => writer.end(out, closing),
            Self::Anthropic(writer) => writer.end(out, closing),
            Self::Token(writer) => writer.end(out, closing),
            Self::Notebook(writer) => writer.end(out, closing),
            Self::Content(writer) => writer.end(out, closing),
            Self::Session(writer) => writer.end(out, closing),
            Self::UiMessage(writer) => writer.end(out, closing),
            Self::Ollama(writer) => writer.end(out, closing),
            Self::Gemini(writer) => writer.end(out, closing),
            Self::Completions(writer) => writer.end(out, closing),
        }
    }

    /// What later requests may refer to, of an answer that is over: of a stream what was written, else
    /// what was `collected`.
    pub(crate) fn exchange(&self, collected: &Collected) -> Option<Exchange> {
        let Self::Responses(writer) = self else { return None };
        writer.exchange(collected)
    }

    /// Writes a non-streaming answer, and how long it took.
    pub(crate) fn write_complete(&self, out: &mut Vec<u8>, answer: &Collected, times: Times) {
        match self {
            Self::OpenAi(writer) => writer.write_complete(out, answer),
            Self::Responses(writer) => writer.write_complete(out, answer),
            Self::Anthropic(writer) => writer.write_complete(out, answer),
            Self::Token(writer) => writer.write_complete(out, answer),
            Self::Notebook(writer) => writer.write_complete(out, answer),
            Self::Content(writer) => writer.write_complete(out, answer),
            Self::Session(writer) => writer.write_complete(out, answer),
            Self::UiMessage(writer) => writer.write_complete(out, answer),
            Self::Ollama(writer) => writer.write_complete(out, answer, times),
            Self::Gemini(writer) => writer.write_complete(out, answer),
            Self::Completions(writer) => writer.write_complete(out, answer),
        }
    }
}

/// The body of an error answer in a client's protocol; `id` is our name for the answer.
pub(crate) fn error_body(protocol: ClientProtocol, failure: &Failure, id: Option<&str>) -> Vec<u8> {
    match protocol {
        ClientProtocol::Anthropic => anthropic::error_body(failure, id),
        ClientProtocol::Token => token::error_body(failure),
        ClientProtocol::Notebook | ClientProtocol::Session => error::event_body(failure),
        ClientProtocol::Content => content::error_body(failure),
        ClientProtocol::UiMessage => ui_message::error_body(failure),
        ClientProtocol::Ollama | ClientProtocol::OllamaGenerate => ollama::error_body(failure),
        ClientProtocol::Gemini | ClientProtocol::GeminiArray => gemini::error_body(failure),
        ClientProtocol::Completions => openai::error_body(failure, &too_long::COMPLETIONS),
        ClientProtocol::OpenAi => openai::error_body(failure, &too_long::OPENAI),
        ClientProtocol::Responses => openai::error_body(failure, &too_long::RESPONSES),
    }
}
