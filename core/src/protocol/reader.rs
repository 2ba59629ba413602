//! The answer of a provider, read in its protocol as a stream.

pub(super) mod calls;
pub(crate) mod loose;
pub(crate) mod reported;
pub(super) mod retry_hint;
pub(super) mod texts;

use super::{ReadError, Sink, Step, anthropic, gemini, ollama, openai, responses};
use crate::target::ProviderProtocol;

/// Reads the stream of one answer.
#[derive(Debug)]
pub enum StreamReader {
    /// OpenAI Chat Completions.
    OpenAi(openai::StreamReader),
    /// OpenAI Responses.
    Responses(responses::StreamReader),
    /// Anthropic Messages.
    Anthropic(anthropic::StreamReader),
    /// Google's Gemini API.
    Gemini(gemini::StreamReader),
    /// Ollama's chat.
    Ollama(ollama::StreamReader),
}

impl StreamReader {
    /// A reader for one answer.
    pub fn new(protocol: ProviderProtocol) -> Self {
        match protocol {
            ProviderProtocol::OpenAi => Self::OpenAi(openai::StreamReader::default()),
            ProviderProtocol::Responses => Self::Responses(responses::StreamReader::default()),
            ProviderProtocol::Anthropic => Self::Anthropic(anthropic::StreamReader::default()),
            ProviderProtocol::Gemini => Self::Gemini(gemini::StreamReader::default()),
            ProviderProtocol::Ollama => Self::Ollama(ollama::StreamReader::default()),
        }
    }

    /// Reads the data of the next event. [`Event::Start`](crate::chat::Event::Start) comes with the
    /// first one, if at all.
    pub fn read(&mut self, data: &[u8], sink: &mut Sink<'_>) -> Result<Step, ReadError> {
        match self {
            Self::OpenAi(reader) => reader.read(data, sink),
            Self::Responses(reader) => reader.read(data, sink),
            Self::Anthropic(reader) => reader.read(data, sink),
            Self::Gemini(reader) => reader.read(data, sink),
            Self::Ollama(reader) => reader.read(data, sink),
        }
    }

    /// The event that was read last as a client of the same protocol must see it, if that is not as
    /// it came: whether it finishes an answer `with_calls`.
    pub(crate) fn amended(&self, data: &[u8], with_calls: bool) -> Option<Vec<u8>> {
        match self {
            Self::OpenAi(reader) if with_calls || reader.has_blank_finish() => {
                openai::amended(data, with_calls)
            }
            Self::Anthropic(reader) if with_calls || reader.has_blank_stop() => {
                anthropic::amended(data, with_calls)
            }
            Self::OpenAi(_)
            | Self::Anthropic(_)
            | Self::Responses(_)
            | Self::Gemini(_)
            | Self::Ollama(_) => None,
        }
    }
}
