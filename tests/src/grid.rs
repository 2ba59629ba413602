//! Every client protocol against every provider protocol: what arrives must mean the same.
//!
//! `vectors/PROVIDER/CASE.stream` and `CASE.whole` say one thing in each provider's words, as its
//! reference shows them. A client of each protocol asks for it, through the core, the built server and
//! the Worker. What the provider is asked is held against what the client asked, and what the client
//! reads against the one [`Meaning`] of the case, less what its protocol cannot carry.

mod asked;
mod case;
mod clients;
mod meaning;
mod on_core;
mod over_http;
mod providers;
pub(crate) mod vectors;

use std::fmt;

use serde_json::Value;

pub(crate) use self::asked::Asked;
pub use self::case::Case;
pub use self::clients::CLIENTS;
pub use self::meaning::Meaning;
pub use self::on_core::on_core;
pub use self::over_http::Grid;
pub use self::providers::PROVIDERS;
pub(crate) use self::providers::Provider;

use self::clients::Client;
use crate::provider::wire::Request;

/// One field of the grid.
#[derive(Clone, Copy, Debug)]
pub struct Pair {
    /// Who asks.
    pub client: &'static Client,
    /// Who is asked.
    pub provider: &'static Provider,
    /// For what.
    pub case: Case,
    /// Streaming, or not.
    pub stream: bool,
}

/// What a client was answered.
#[derive(Debug, Default)]
struct Answer {
    status: u16,
    retry_after: Option<String>,
    body: Vec<u8>,
}

impl Pair {
    /// The whole grid: every case that the client can ask for and the provider can say.
    pub fn all() -> impl Iterator<Item = Self> {
        let pairs = CLIENTS.iter().flat_map(|client| {
            PROVIDERS.iter().flat_map(move |provider| {
                Case::ALL.into_iter().flat_map(move |case| {
                    let ways = client.ways.iter();
                    ways.map(move |&stream| Self { client, provider, case, stream })
                })
            })
        });
        pairs.filter(|pair| pair.client.can_ask(pair.case) && !pair.provider.lacks(pair.case))
    }

    /// The model that stands for the provider and the case.
    fn model(&self) -> String {
        let Self { client, provider, case, .. } = self;
        match case {
            Case::Limited => {
                format!("{}-limited-{}-{}", provider.protocol, client.protocol, self.way())
            }
            _ => format!("{}-{}", provider.protocol, case.name()),
        }
    }

    /// What the client wants.
    fn asked(&self) -> Asked {
        let text = format!("Hi from {self}");
        let asked = Asked { model: "fake-1".into(), stream: self.stream, text, ..Asked::default() };
        self.case.ask(asked, self.client.asks)
    }

    fn path(&self) -> String {
        self.client.path(self.stream, &self.model())
    }

    fn request(&self) -> Value {
        (self.client.request)(&self.model(), &self.asked())
    }

    /// Compares what the provider was sent, and what the client received, with what is expected.
    fn check(&self, requests: &[Request], answer: &Answer) -> Result<(), String> {
        let received = || {
            let body = String::from_utf8_lossy(&answer.body);
            format!("status {}, retry after {:?}:\n{body}", answer.status, answer.retry_after)
        };
        self.check_requests(requests).map_err(|wrong| format!("{wrong}\n{}", received()))?;
        let expected = Meaning::of(self);
        let status = self.status(&expected);
        let retry_after = (status == 429).then(|| vectors::RETRY_AFTER.to_owned());
        if answer.status != status || answer.retry_after != retry_after {
            return Err(format!(
                "expected status {status}, retry after {retry_after:?}: {}",
                received()
            ));
        }
        let got = match self.stream && status == 200 {
            true => (self.client.read_stream)(&answer.body),
            false => (self.client.read_whole)(&answer.body),
        };
        let got = got.map_err(|wrong| format!("{wrong}\n{}", received()))?;
        if !got.is(&expected) {
            return Err(format!("expected {expected:?}\ngot      {got:?}\n{}", received()));
        }
        if self.forwards(&expected) && answer.body != self.provider.vector(self.case, "stream") {
            return Err(format!("the provider's frames were changed: {}", received()));
        }
        Ok(())
    }

    fn check_requests(&self, requests: &[Request]) -> Result<(), String> {
        let wanted = self.asked();
        // Some providers are always sent a limit.
        let read = |request| match (self.provider.read)(request) {
            asked if wanted.limit.is_none() => Asked { limit: None, ..asked },
            asked => asked,
        };
        let asked: Vec<_> = requests.iter().map(read).collect();
        let expected = if self.provider.can_carry(self.case) { vec![wanted] } else { vec![] };
        if asked == expected {
            return Ok(());
        }
        let bodies = requests.iter().map(|request| String::from_utf8_lossy(&request.body));
        let bodies = bodies.collect::<Vec<_>>().join("\n");
        Err(format!("the provider should be asked {expected:?}\nwas asked {asked:?}\n{bodies}"))
    }

    /// An error is a status only while nothing has been sent.
    fn status(&self, expected: &Meaning) -> u16 {
        let begun = self.stream && (self.client.opens_at_once || !expected.text.is_empty());
        match (&expected.error, self.case) {
            (None, _) => 200,
            (Some(_), _) if begun => 200,
            (Some(_), Case::Limited) => 429,
            (Some(_), Case::Error) => 502,
            (Some(_), _) => 400,
        }
    }

    /// Whether the client must get the provider's very bytes.
    fn forwards(&self, expected: &Meaning) -> bool {
        let same = self.client.protocol == self.provider.protocol;
        same && self.stream && expected.error.is_none()
    }

    const fn way(&self) -> &'static str {
        if self.stream { "stream" } else { "whole" }
    }
}

impl fmt::Display for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { client, provider, case, .. } = self;
        write!(f, "{}::{}::{}::{}", client.protocol, provider.protocol, case.name(), self.way())
    }
}

/// The configuration whose models are what [`Pair::model`] names. A provider that is limited is one
/// for each pair: a failure that one client causes would keep others from calling it.
fn config_text(base: &str) -> String {
    let mut text = String::from(
        "[fallback]\nexhausted = \"error\"\nretries = 0\nmidstream = \"stop\"\n\
         [fallback.breaker]\nfailures_max = 1000000\n",
    );
    let mut models = Vec::new();
    for pair in Pair::all() {
        let model = pair.model();
        if models.contains(&model) {
            continue;
        }
        let (protocol, case) = (pair.provider.protocol, pair.case.name());
        text += &format!(
            "[providers.{model}]\nprotocol = \"{protocol}\"\n\
             base_url = \"{base}/{protocol}/{case}\"\n\
             [models.{model}]\ntargets = [\"{model}/fake-1\"]\n"
        );
        models.push(model);
    }
    text
}
