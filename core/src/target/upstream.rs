//! What answers for a provider: an HTTP API of some protocol, or an engine in this process.

use serde::Deserialize;
use serde::de::{Deserializer, Error as _};

/// What answers for a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upstream {
    /// An HTTP API.
    Http(ProviderProtocol),
    /// An engine in this process, which exchanges events and no bytes.
    Local,
}

/// A protocol that faces a provider: requests are written, answers read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProviderProtocol {
    /// OpenAI Chat Completions.
    OpenAi,
    /// OpenAI Responses.
    Responses,
    /// Anthropic Messages.
    Anthropic,
    /// Google's Gemini API.
    Gemini,
    /// Ollama's chat.
    Ollama,
}

/// In the order in which the error for an unknown name lists them.
const UPSTREAMS: [Upstream; 6] = [
    Upstream::Http(ProviderProtocol::OpenAi),
    Upstream::Http(ProviderProtocol::Responses),
    Upstream::Http(ProviderProtocol::Anthropic),
    Upstream::Http(ProviderProtocol::Gemini),
    Upstream::Http(ProviderProtocol::Ollama),
    Upstream::Local,
];

const NAMES: [&str; UPSTREAMS.len()] = {
    let mut names = [""; UPSTREAMS.len()];
    let mut index = 0;
    while index < UPSTREAMS.len() {
        names[index] = UPSTREAMS[index].name();
        index += 1;
    }
    names
};

impl Upstream {
    /// The name in configurations and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Http(protocol) => protocol.name(),
            Self::Local => "local",
        }
    }

    /// Whether a call must bound its answer, even without a limit from the client or its plan.
    pub(crate) const fn needs_limit(self) -> bool {
        match self {
            Self::Http(ProviderProtocol::Anthropic) => true,
            Self::Http(
                ProviderProtocol::OpenAi
                | ProviderProtocol::Responses
                | ProviderProtocol::Gemini
                | ProviderProtocol::Ollama,
            )
            | Self::Local => false,
        }
    }
}

impl ProviderProtocol {
    /// The name in configurations and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::Responses => "responses",
            Self::Anthropic => "anthropic",
            Self::Gemini => "gemini",
            Self::Ollama => "ollama",
        }
    }
}

impl<'de> Deserialize<'de> for Upstream {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let name = String::deserialize(from)?;
        let upstream = UPSTREAMS.into_iter().find(|upstream| upstream.name() == name);
        upstream.ok_or_else(|| D::Error::unknown_variant(&name, &NAMES))
    }
}
