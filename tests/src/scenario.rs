//! A scenario as data: what is configured, what the client does, what each provider does, and what
//! must come out. `scenarios/README.md` describes the files.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::script::Call;
use crate::step::{Hex, MODEL};

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

/// What the client does. Without anything it asks the model `m` for a stream of chat chunks.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Client {
    /// `POST` unless given.
    pub method: Option<String>,
    /// `/v1/chat/completions` unless given.
    pub path: Option<String>,
    /// Request headers.
    pub headers: BTreeMap<String, String>,
    /// Fields that are added to the path's usual body, or replace them.
    pub with: Map<String, Value>,
    /// The body in place of the usual one.
    pub body: Option<Value>,
    /// The body as it is, JSON or not.
    pub raw: Option<String>,
    /// The body as it is, in hexadecimal, blanks ignored.
    pub hex: Option<Hex>,
    /// Makes the user's message a text of so many bytes.
    pub filler: Option<usize>,
    /// When it stops reading for a while.
    pub pause: Option<Pause>,
    /// When the client leaves; it stays to the end unless given.
    pub leave: Option<Leave>,
}

/// When a client stops reading, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pause {
    /// After so many events with text.
    pub texts: usize,
    /// For so many milliseconds.
    pub ms: u64,
}

/// When the client leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Leave {
    /// After so many events with text.
    Texts(usize),
    /// So many milliseconds after its request.
    Ms(u64),
}

impl Leave {
    /// Whether so many events with text are enough.
    pub fn is_after(self, texts: usize) -> bool {
        matches!(self, Self::Texts(enough) if texts >= enough)
    }
}

/// The path and the protocol a client speaks there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// OpenAI Chat Completions.
    Chat,
    /// `token` events.
    Token,
    /// `notebook` events.
    Notebook,
    /// `content` events.
    Content,
    /// `session` events.
    Session,
    /// The AI SDK's UI message stream.
    UiMessage,
    /// Nothing that streams.
    Other,
}

impl Client {
    /// The HTTP method.
    pub fn method(&self) -> &str {
        self.method.as_deref().unwrap_or("POST")
    }

    /// The path.
    pub fn path(&self) -> &str {
        self.path.as_deref().unwrap_or("/v1/chat/completions")
    }

    /// What is spoken at the path.
    pub fn protocol(&self) -> Protocol {
        match self.path().split('?').next().unwrap_or_default() {
            "/v1/chat/completions" => Protocol::Chat,
            "/chat/stream" => Protocol::Token,
            "/chat/execute/stream" | "/chat/execute" => Protocol::Notebook,
            "/api/chat/stream" => Protocol::Content,
            "/api/ai/chat/stream" | "/api/ai/chat" => Protocol::Session,
            "/api/chat" => Protocol::UiMessage,
            _ => Protocol::Other,
        }
    }

    /// The credentials it sends: its own, and its key for a provider.
    fn secrets(&self) -> Vec<String> {
        const HEADERS: [&str; 4] = ["authorization", "x-api-key", "api-key", "x-goog-api-key"];
        let headers = HEADERS.iter().filter_map(|name| self.headers.get(*name));
        let headers = headers.filter_map(|text| text.rsplit(' ').next());
        let key = self.body.as_ref().and_then(|body| body["key"].as_str());
        // What is shorter may stand anywhere by chance.
        headers.chain(key).filter(|text| text.len() >= 8).map(str::to_owned).collect()
    }

    /// The request's body as it is sent.
    pub fn body_bytes(&self) -> Vec<u8> {
        if let Some(raw) = &self.raw {
            return raw.clone().into_bytes();
        }
        if let Some(Hex(bytes)) = &self.hex {
            return bytes.to_vec();
        }
        if self.method() == "GET" {
            return Vec::new();
        }
        self.json().to_string().into_bytes()
    }

    /// Whether it asks for a stream of events.
    pub fn wants_stream(&self) -> bool {
        match self.protocol() {
            Protocol::Chat => self.json()["stream"] == true,
            Protocol::Notebook | Protocol::Session => self.path().contains("/stream"),
            Protocol::Token | Protocol::Content | Protocol::UiMessage => true,
            Protocol::Other => false,
        }
    }

    fn json(&self) -> Value {
        let mut body = self.body.clone().unwrap_or_else(|| self.usual_body());
        if let Value::Object(fields) = &mut body {
            fields.extend(self.with.clone());
        }
        body
    }

    fn usual_body(&self) -> Value {
        let message = match self.filler {
            Some(bytes) => "abcdefg ".chars().cycle().take(bytes).collect(),
            None => String::from("Hi"),
        };
        match self.protocol() {
            Protocol::Token | Protocol::Content | Protocol::Session => {
                json!({ "message": message, "model": "m" })
            }
            Protocol::Notebook => {
                json!({ "session_id": "s1", "message": message, "model_override": "m" })
            }
            Protocol::UiMessage => json!({
                "id": "chat-1",
                "model": "m",
                "messages": [{
                    "id": "u1",
                    "role": "user",
                    "parts": [{ "type": "text", "text": message }],
                }],
                "trigger": "submit-message",
            }),
            Protocol::Chat | Protocol::Other => json!({
                "model": "m",
                "stream": true,
                "messages": [{ "role": "user", "content": message }],
            }),
        }
    }
}

/// What must come out. What is not said is not checked, but for what every answer must keep; see
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
    /// Prompt and completion tokens, told exactly once.
    pub usage: Option<[u64; 2]>,
    /// No usage is told.
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
    /// Each provider's calls for this request; where no request says, one per script in all.
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

/// The key every provider is called with, unless its scenario says otherwise.
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
    /// What nobody may be told: the configuration's secrets, and those clients send.
    pub fn secrets(&self) -> Vec<String> {
        let configured = SECRETS.iter().map(|(_, value)| (*value).to_owned());
        configured.chain(self.exchanges().flat_map(|exchange| exchange.client.secrets())).collect()
    }

    /// Reads a scenario file.
    pub fn load(path: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        Self::parse(&name, &text).map_err(|why| format!("{}: {why}", path.display()))
    }

    /// Reads a scenario.
    pub fn parse(name: &str, text: &str) -> Result<Self, String> {
        let mut scenario: Self = toml::from_str(text).map_err(|error| error.to_string())?;
        scenario.name = name.into();
        scenario.validate()?;
        Ok(scenario)
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
        if self.runners.contains(&Runner::Core) && self.then.iter().any(|then| then.restart) {
            return Err("then: the core is no program that could be started again".into());
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

    /// Whether it says how soon something must be seen, so that nothing should run beside it.
    pub fn is_timed(&self) -> bool {
        self.exchanges().any(|exchange| exchange.expect.is_timed())
    }

    /// The gateway's configuration, with the providers at these base URLs.
    pub fn config_text(&self, base_urls: &HashMap<String, String>) -> String {
        let mut config = self.usual_config();
        merge(&mut config, &self.config);
        fill_in(&mut config, base_urls);
        toml::to_string(&config).expect("a table that was read from TOML can be written")
    }

    /// Each provider by its name, the model `m` that tries them in order, errors as errors, and no
    /// second round: what is tried again is said by the scenario.
    fn usual_config(&self) -> toml::Table {
        let mut providers = toml::Table::new();
        let mut targets = Vec::new();
        for name in self.provider.keys() {
            let base_url = format!("{{{name}}}");
            let provider = json!({
                "protocol": "openai",
                "base_url": base_url,
                "api_key": { "env": PROVIDER_KEY },
            });
            providers.insert(name.clone(), table(provider));
            targets.push(format!("{name}/{MODEL}"));
        }
        let mut config = toml::Table::new();
        config.insert("providers".into(), providers.into());
        config.insert("fallback".into(), table(json!({ "exhausted": "error", "retries": 0 })));
        if !self.config.contains_key("models") {
            config.insert("models".into(), table(json!({ "m": { "targets": targets } })));
        }
        config
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

fn table(json: Value) -> toml::Value {
    toml::Value::try_from(json).expect("there is no null in it")
}

/// Adds what `more` has, table by table.
fn merge(base: &mut toml::Table, more: &toml::Table) {
    for (key, value) in more {
        match (base.get_mut(key), value) {
            (Some(toml::Value::Table(base)), toml::Value::Table(more)) => merge(base, more),
            _ => {
                base.insert(key.clone(), value.clone());
            }
        }
    }
}

/// Puts the URL of provider `a` where a text says `{a}`, and its port where it says `{a:port}`.
fn fill_in(config: &mut toml::Table, base_urls: &HashMap<String, String>) {
    for (_, value) in config.iter_mut() {
        match value {
            toml::Value::Table(table) => fill_in(table, base_urls),
            toml::Value::String(text) => {
                for (name, url) in base_urls {
                    *text = text.replace(&format!("{{{name}}}"), url);
                    *text = text.replace(&format!("{{{name}:port}}"), port(url));
                }
            }
            _ => {}
        }
    }
}

fn port(url: &str) -> &str {
    let address = url.split_once("://").map_or(url, |(_, rest)| rest);
    let host = address.split('/').next().unwrap_or_default();
    host.rsplit_once(':').map_or("", |(_, port)| port)
}

/// All scenario files of a folder, by name.
pub fn files(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut paths: Vec<_> = std::fs::read_dir(folder)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &str = r#"
        why = "w"
        [[provider.a]]
        answer = { text = "x" }
        [[provider.b]]
        answer = { text = "x" }
        [expect]
    "#;

    #[test]
    fn the_configuration_follows_from_the_providers() {
        let scenario =
            Scenario::parse("n", &format!("{TWO}\n[config.timeouts]\nfirst_byte = 0.2")).unwrap();
        let urls = HashMap::from([("a".into(), "http://x/v1".into()), ("b".into(), "y".into())]);
        let config: toml::Table = scenario.config_text(&urls).parse().unwrap();
        assert_eq!(config["providers"]["a"]["base_url"].as_str(), Some("http://x/v1"));
        assert_eq!(config["timeouts"]["first_byte"].as_float(), Some(0.2));
        assert_eq!(config["models"]["m"]["targets"][1].as_str(), Some("b/fake-1"));
    }

    #[test]
    fn mistakes_are_named() {
        for (text, why) in [
            ("why = 'w'\nexpct = 1\n[expect]", "expct"),
            ("why = 'w'\n[expect]\nsaw.a = []", "no provider a"),
            ("why = 'w'\n[expect]\n[[then]]\nexpect.calls.b = 1", "no provider b"),
            ("why = 'w'\n[[provider.a]]\n[expect]", "provider.a, call 1: needs one of"),
            ("why = 'w'\n[expect]\n[[then]]\nrestart = true", "the core is no program"),
            ("[expect]", "why"),
        ] {
            let said = Scenario::parse("n", text).unwrap_err();
            assert!(said.contains(why), "{text}: {said}");
        }
    }

    #[test]
    fn the_end_follows_from_what_is_asked_and_expected() {
        let end = |more: &str| {
            let scenario = Scenario::parse("n", &format!("{TWO}{more}")).unwrap();
            scenario.exchanges().next().unwrap().end()
        };
        assert_eq!(end(""), End::Done);
        assert_eq!(end("status = 404"), End::Refused);
        assert_eq!(end("[client.with]\nstream = false"), End::Whole);
        assert_eq!(end("[client.leave]\nms = 5"), End::Left);
    }
}
