//! A scenario as data: what is configured, what the client does, what each provider does, and what
//! must come out. `scenarios/README.md` describes the files.

mod client;
mod config;
mod files;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use crate::script::Call;

pub use self::client::{Client, Leave, Pause, Protocol};
pub use self::files::files;

/// One scenario file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// The file's name without its extension.
    #[serde(skip)]
    pub name: String,
    /// What would be broken if it failed, in one sentence.
    pub why: String,
    /// Where it runs; everywhere unless given.
    #[serde(default = "Runner::all")]
    pub runners: Vec<Runner>,
    /// Additions to the configuration that follows from the providers.
    #[serde(default)]
    pub config: toml::Table,
    /// What the client asks first.
    #[serde(default)]
    pub client: Client,
    /// The scripts of each provider, one per call.
    #[serde(default)]
    pub provider: BTreeMap<String, Vec<Call>>,
    /// What must come out of that.
    pub expect: Expect,
    /// What is asked after it, of the same gateway.
    #[serde(default)]
    pub then: Vec<Then>,
    /// Lines of the shell's log: each is there, with at least these fields.
    #[serde(default)]
    pub logged: Vec<Value>,
}

/// A further request.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Then {
    /// How many milliseconds after the answer before is over.
    pub wait: u64,
    /// After that, the gateway is killed and started again.
    pub restart: bool,
    /// While the answer before may be under way: `wait` counts from its request.
    pub meanwhile: bool,
    /// What the client does.
    pub client: Client,
    /// What must come out.
    pub expect: Expect,
}

/// One request of a scenario.
#[derive(Clone, Copy, Debug)]
pub struct Exchange<'a> {
    /// How long after the answer before is over; or after its request.
    pub wait: Duration,
    /// Whether the gateway is started anew before.
    pub restart: bool,
    /// Whether it is made while the answer before may be under way.
    pub meanwhile: bool,
    /// What the client does.
    pub client: &'a Client,
    /// What must come out.
    pub expect: &'a Expect,
}

/// What a scenario is run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Runner {
    /// The machine of `streamgate-core`, in virtual time.
    Core,
    /// The built server, over HTTP.
    Native,
    /// The built Worker in workerd, over HTTP.
    Worker,
}

impl Runner {
    /// What a store is called there, in its configuration.
    pub fn store_url(self) -> &'static str {
        match self {
            Self::Core | Self::Native => "sqlite:streamgate.db",
            Self::Worker => "d1:DB",
        }
    }

    /// Every one there is.
    pub fn all() -> Vec<Self> {
        vec![Self::Core, Self::Native, Self::Worker]
    }
}

impl fmt::Display for Runner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Core => "core",
            Self::Native => "native",
            Self::Worker => "worker",
        })
    }
}

/// What must come out. Only what is given is checked, and what holds for every answer; see
/// [`check`](crate::check::check).
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Expect {
    /// The HTTP status: 200 unless given.
    pub status: Option<u16>,
    /// Response headers.
    pub headers: BTreeMap<String, String>,
    /// How the answer ends. Unless given it is what the client asked for: a refusal where `status`
    /// is an error, `left` where the client leaves, else `done` for a stream and `whole` without.
    pub end: Option<End>,
    /// The text, all of it.
    pub text: Option<String>,
    /// Something that stands in the text.
    pub text_has: Option<String>,
    /// The length of the text in bytes.
    pub text_bytes: Option<usize>,
    /// The finish reason.
    pub finish: Option<String>,
    /// Prompt and completion tokens, reported exactly once.
    pub usage: Option<[u64; 2]>,
    /// No usage is reported.
    pub no_usage: bool,
    /// The fields of the error, in band or as a refusal.
    pub error: Option<ErrorFields>,
    /// All events in order; each must contain what is given here.
    pub events: Option<Vec<Value>>,
    /// What stands in the body somewhere.
    pub has: Vec<String>,
    /// What stands nowhere in the body.
    pub lacks: Vec<String>,
    /// The first text comes at least so many milliseconds before the last.
    pub grows_over_ms: Option<u64>,
    /// The first text comes so many milliseconds after the request at most.
    pub first_text_within_ms: Option<u64>,
    /// The answer ends so many milliseconds after the request at most.
    pub within_ms: Option<u64>,
    /// Each provider's calls for this request; where no request has any, one per script in all.
    pub calls: BTreeMap<String, usize>,
    /// What each provider saw, call by call.
    pub saw: BTreeMap<String, Vec<Saw>>,
    /// Providers that could not send on while the client did not read, and how many bytes they had
    /// sent by then at most.
    pub slowed: BTreeMap<String, usize>,
    /// Every call still open when the client left is closed so many milliseconds later at most.
    pub upstream_closed_within_ms: Option<u64>,
}

/// How an answer ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum End {
    /// A stream with its finish and its done marker, each once.
    Done,
    /// A stream whose last event is an error, without finish and done marker.
    Error,
    /// A JSON answer.
    Whole,
    /// A JSON error with an error status.
    Refused,
    /// Any other body.
    Text,
    /// The client left.
    Left,
}

/// The fields of an error.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ErrorFields {
    /// `code`.
    pub code: Option<String>,
    /// `type`.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// `param`.
    pub param: Option<String>,
    /// What stands in `message`.
    pub message_has: Option<String>,
}

/// What a provider saw in one call.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Saw {
    /// It came so many milliseconds after the client's request at least.
    pub after_ms: Option<u64>,
    /// The path.
    pub path: Option<String>,
    /// Headers.
    pub headers: BTreeMap<String, String>,
    /// Fields of the body; objects within may have more fields.
    pub body: Option<Value>,
    /// Fields the body does not have.
    pub lacks: Vec<String>,
}

/// The key every provider is called with, unless its scenario sets another.
const PROVIDER_KEY: &str = "PROVIDER_KEY";

/// The secrets that a scenario's configuration can name, as `{ env = "PROVIDER_KEY" }`, and their
/// values. No client and no log may see them.
pub const SECRETS: [(&str, &str); 4] = [
    (PROVIDER_KEY, "sk-test-1234567890-abcdefghijklmnop"),
    ("JWT_SECRET", "hs-test-0123456789-abcdefghijklmnopqrstuv"),
    ("MASTER_KEY", "bWFzdGVyLWtleS10aGF0LWlzLTMyLWJ5dGVzLWxvbmc="),
    ("NEXT_MASTER_KEY", "bmV4dC1tYXN0ZXIta2V5LW9mLTMyLWJ5dGVzLWxvbmc="),
];

/// The secret of that name.
pub fn secret(name: &str) -> Option<String> {
    let found = SECRETS.iter().find(|(known, _)| *known == name);
    found.map(|(_, value)| (*value).to_owned())
}

impl Scenario {
    /// What nobody may see: the configuration's secrets, and those that clients send.
    pub fn secrets(&self) -> Vec<String> {
        let configured = SECRETS.iter().map(|(_, value)| (*value).to_owned());
        configured.chain(self.exchanges().flat_map(|exchange| exchange.client.secrets())).collect()
    }

    fn validate(&self) -> Result<(), String> {
        for (provider, calls) in &self.provider {
            for (index, call) in calls.iter().enumerate() {
                let place = format!("provider.{provider}, call {}", index + 1);
                call.validate().map_err(|why| format!("{place}: {why}"))?;
                if call.is_unreachable() && calls.len() > 1 {
                    return Err(format!("{place}: who cannot be reached has no other script"));
                }
                if call.again && index + 1 < calls.len() {
                    return Err(format!("{place}: again is for the last script"));
                }
            }
        }
        let expects = self.exchanges().map(|exchange| exchange.expect);
        let mut named = expects.flat_map(|expect| {
            expect.calls.keys().chain(expect.saw.keys()).chain(expect.slowed.keys())
        });
        if let Some(name) = named.find(|name| !self.provider.contains_key(*name)) {
            return Err(format!("expect: there is no provider {name}"));
        }
        if self.then.iter().any(|then| then.restart && then.meanwhile) {
            return Err("then: a gateway that is started again has no answer under way".into());
        }
        Ok(())
    }

    /// Its requests, in order.
    pub fn exchanges(&self) -> impl Iterator<Item = Exchange<'_>> {
        let (client, expect) = (&self.client, &self.expect);
        let wait = Duration::ZERO;
        let first = Exchange { wait, restart: false, meanwhile: false, client, expect };
        let more = self.then.iter().map(|then| Exchange {
            wait: Duration::from_millis(then.wait),
            restart: then.restart,
            meanwhile: then.meanwhile,
            client: &then.client,
            expect: &then.expect,
        });
        std::iter::once(first).chain(more)
    }

    /// Its requests by those that are made while the others are under way.
    pub fn groups(&self) -> Vec<Vec<Exchange<'_>>> {
        let mut groups: Vec<Vec<_>> = Vec::new();
        for exchange in self.exchanges() {
            match groups.last_mut() {
                Some(group) if exchange.meanwhile => group.push(exchange),
                _ => groups.push(vec![exchange]),
            }
        }
        groups
    }

    /// Whether it bounds how soon something must be seen, so that nothing should run beside it.
    pub fn is_timed(&self) -> bool {
        self.exchanges().any(|exchange| exchange.expect.is_timed())
    }
}

impl Exchange<'_> {
    /// How its answer ends.
    pub fn end(&self) -> End {
        if let Some(end) = self.expect.end {
            end
        } else if self.client.leave.is_some() {
            End::Left
        } else if self.expect.status.is_some_and(|status| status >= 400) {
            End::Refused
        } else if self.client.wants_stream() {
            End::Done
        } else {
            End::Whole
        }
    }
}

impl Expect {
    fn is_timed(&self) -> bool {
        let times = [self.upstream_closed_within_ms, self.grows_over_ms, self.first_text_within_ms];
        times.iter().any(Option::is_some)
    }
}

#[cfg(test)]
mod tests;
