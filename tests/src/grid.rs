//! Every client protocol against every provider protocol: what arrives must mean the same.
//!
//! `vectors/PROVIDER/CASE.stream` and `CASE.whole` say one thing in each provider's words, as its
//! reference shows them. A client of each protocol asks for it, through the core, the built server and
//! the Worker, and what it reads is held against the one [`Meaning`] of the case, less what its
//! protocol cannot carry.

mod clients;
mod meaning;
mod on_core;
mod over_http;
mod vectors;

use std::fmt;

pub use self::clients::CLIENTS;
pub use self::meaning::Meaning;
pub use self::on_core::on_core;
pub use self::over_http::Grid;
pub use self::vectors::PROVIDERS;

use self::clients::Client;
use self::vectors::Provider;

/// What is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Case {
    /// Plain text.
    Text,
    /// Two tool calls in parallel, after some text.
    Tools,
    /// A thought, then text.
    Reasoning,
    /// Text that ends at the limit of tokens.
    Length,
    /// An error: in mid-answer where it is streamed, else in its place.
    Error,
}

impl Case {
    /// Every one there is.
    pub const ALL: [Self; 5] =
        [Self::Text, Self::Tools, Self::Reasoning, Self::Length, Self::Error];

    /// Its name in files and tests.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Tools => "tools",
            Self::Reasoning => "reasoning",
            Self::Length => "length",
            Self::Error => "error",
        }
    }
}

/// One field of the grid.
#[derive(Clone, Copy, Debug)]
pub struct Pair {
    /// Who asks.
    pub client: &'static Client,
    /// Who is asked.
    pub provider: &'static Provider,
    /// For what.
    pub case: Case,
    /// As a stream, or as one whole answer.
    pub stream: bool,
}

impl Pair {
    /// The whole grid.
    pub fn all() -> impl Iterator<Item = Self> {
        CLIENTS.iter().flat_map(|client| {
            PROVIDERS.iter().flat_map(move |provider| {
                Case::ALL.into_iter().flat_map(move |case| {
                    let ways = client.ways.iter();
                    ways.map(move |&stream| Self { client, provider, case, stream })
                })
            })
        })
    }

    /// The model that stands for the provider and the case.
    fn model(&self) -> String {
        format!("{}-{}", self.provider.protocol, self.case.name())
    }

    /// Holds what the client got against what it should have.
    fn check(&self, status: u16, body: &[u8]) -> Result<(), String> {
        let got = match self.stream {
            true if status == 200 => (self.client.read_stream)(body)?,
            _ => (self.client.read_whole)(body)?,
        };
        let told = || format!("status {status}:\n{}", String::from_utf8_lossy(body));
        if (status == 200) != (self.stream || self.case != Case::Error) {
            return Err(format!("a wrong status: {}", told()));
        }
        let expected = Meaning::of(self.case, self.stream).carried_by(self.client);
        if got != expected {
            return Err(format!("expected {expected:?}\ngot      {got:?}\n{}", told()));
        }
        if self.forwards() && body != self.provider.stream(self.case) {
            return Err(format!("the provider's frames were changed: {}", told()));
        }
        Ok(())
    }

    /// Whether the client must get the provider's very bytes.
    fn forwards(&self) -> bool {
        let same = self.client.protocol == self.provider.protocol;
        same && self.stream && self.case != Case::Error
    }
}

impl fmt::Display for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let way = if self.stream { "stream" } else { "whole" };
        let Self { client, provider, case, .. } = self;
        write!(f, "{}::{}::{}::{way}", client.protocol, provider.protocol, case.name())
    }
}

/// The configuration whose models are what [`Pair::model`] names.
fn config_text(base: &str) -> String {
    let mut text = String::from(
        "[fallback]\nexhausted = \"error\"\nretries = 0\nmidstream = \"stop\"\n\
         [fallback.breaker]\nfailures_max = 1000000\n",
    );
    for provider in PROVIDERS {
        for case in Case::ALL {
            let (protocol, case) = (provider.protocol, case.name());
            text += &format!(
                "[providers.{protocol}-{case}]\nprotocol = \"{protocol}\"\n\
                 base_url = \"{base}/{protocol}/{case}\"\n\
                 [models.{protocol}-{case}]\ntargets = [\"{protocol}-{case}/fake-1\"]\n"
            );
        }
    }
    text
}
