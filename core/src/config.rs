//! The configuration both shells read: one TOML text, secrets by name.
//!
//! A key that is not known, or a value that cannot be, is an error that names the line, the key
//! and what was expected. What a shell is given here has been checked: every target names a
//! provider that exists, every duration is above zero.

mod headers;
mod store;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use store::{Store, StoreUrl};

use serde::Deserialize;
use serde::de::{Deserializer, Error as _};
use toml::Spanned;

use crate::access::{Auth, AuthEntry, Plan};
use crate::failure::{Failure, Reason};
use crate::health;
use crate::protocol::{DIALECTS, Dialect, Protocol};

/// The model name under which native serves its embedded model.
pub const EMBEDDED_MODEL: &str = "tiny";

/// Everything that is configured.
#[derive(Clone, Debug)]
pub struct Config {
    /// The model for requests that name none.
    pub default_model: Option<String>,
    /// Where the native server listens; `None` where the text does not say.
    pub listen: Option<String>,
    /// Whether the native server may listen for other machines though there is no `auth`.
    pub open: bool,
    /// Who is let in; `None`: everybody.
    pub auth: Option<Auth>,
    /// What keeps what outlives the process; `None` keeps nothing.
    pub store: Option<Store>,
    /// Providers by name.
    pub providers: BTreeMap<String, Arc<Provider>>,
    /// Models by the names clients use.
    pub models: BTreeMap<String, Model>,
    /// The five deadlines and the two courtesies.
    pub timeouts: Timeouts,
    /// What happens when a target fails.
    pub fallback: Fallback,
    /// Bounds on bytes.
    pub limits: Limits,
}

/// An upstream.
#[derive(Clone, Debug)]
pub struct Provider {
    /// Its name in the configuration.
    pub name: String,
    /// What it speaks.
    pub protocol: Protocol,
    /// Scheme, host and path before the protocol's own paths, without a slash at the end; empty
    /// for `local`.
    pub base_url: String,
    /// The key it is called with.
    pub api_key: ApiKey,
    /// Whether users may give a key of their own, which is then used in place of `api_key`.
    pub user_keys: bool,
    /// Whose key `api_key` is, and who says where it is called.
    pub chosen_by: ChosenBy,
    /// Where a `local` provider's model files are.
    pub models_dir: Option<String>,
    /// How it is asked to go on with an answer that broke.
    pub continuation: Continuation,
    /// How it differs from others of its protocol; `None`: as its base URL says.
    pub dialect: Option<&'static Dialect>,
    /// What else its calls say, by lower-case name.
    pub headers: Vec<(String, String)>,
    /// Whether it can stream; else it is asked for whole answers only.
    pub stream: bool,
}

impl Provider {
    /// How it differs from others of its protocol.
    pub(crate) fn dialect(&self) -> &'static Dialect {
        self.dialect.unwrap_or_else(|| Dialect::at(&self.base_url))
    }
}

/// Who chose how a provider is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChosenBy {
    /// The operator.
    Operator,
    /// The user gave the key.
    User,
    /// The user gave the key and the base URL, so only the public internet may be reached.
    UserWithUrl,
}

/// A key for a provider.
#[derive(Clone, PartialEq, Eq)]
pub enum ApiKey {
    /// None is needed.
    None,
    /// The key itself.
    Set(String),
    /// The configuration names a variable that is not set.
    Unset {
        /// The variable's name.
        env: String,
    },
    /// There is none to be used, for this reason.
    Unusable(Box<Failure>),
}

impl ApiKey {
    /// `text` without the key, should it be in there: some providers repeat it in their errors.
    pub(crate) fn hide_in(&self, text: &str) -> String {
        match self {
            Self::Set(key) => text.replace(key.as_str(), "***"),
            Self::None | Self::Unset { .. } | Self::Unusable(_) => text.to_owned(),
        }
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Set(_) => f.write_str("Set(..)"),
            Self::Unset { env } => write!(f, "Unset({env})"),
            Self::Unusable(failure) => write!(f, "Unusable({failure})"),
        }
    }
}

/// What a name that clients use stands for.
#[derive(Clone, Debug)]
pub struct Model {
    /// The upstreams to try, in order; never empty.
    pub targets: Vec<Arc<Target>>,
}

/// One upstream model.
#[derive(Clone, Debug)]
pub struct Target {
    /// Who serves it.
    pub provider: Arc<Provider>,
    /// Its name there.
    pub model: String,
    /// The operator's word on the longest answer, in tokens; overrides the catalogue.
    pub max_output_tokens: Option<u32>,
    /// The operator's word on the context window, in tokens; overrides the catalogue.
    pub context_window: Option<u32>,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.provider.name, self.model)
    }
}

/// Deadlines of one attempt (`total`: of the whole answer), and when a waiting client hears of us.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Timeouts {
    /// Until the connection stands.
    #[serde(deserialize_with = "seconds")]
    pub connect: Duration,
    /// From the call until the response's first byte.
    #[serde(deserialize_with = "seconds")]
    pub first_byte: Duration,
    /// From the call until the first content.
    #[serde(deserialize_with = "seconds")]
    pub first_content: Duration,
    /// From the call until a whole answer, one that is not streamed, has come.
    #[serde(deserialize_with = "seconds")]
    pub whole: Duration,
    /// From one sign of life of the upstream to the next, once there is content.
    #[serde(deserialize_with = "seconds")]
    pub between_tokens: Duration,
    /// From the request to the end of its answer.
    #[serde(deserialize_with = "seconds")]
    pub total: Duration,
    /// How long the response's head waits for content before it is sent with a heartbeat.
    #[serde(deserialize_with = "seconds")]
    pub head: Duration,
    /// How long a stream is silent before a heartbeat.
    #[serde(deserialize_with = "seconds")]
    pub heartbeat: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            first_byte: Duration::from_secs(15),
            first_content: Duration::from_secs(30),
            whole: Duration::from_secs(120),
            between_tokens: Duration::from_secs(20),
            total: Duration::from_secs(600),
            head: Duration::from_secs(10),
            heartbeat: Duration::from_secs(15),
        }
    }
}

/// What happens when a target fails.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Fallback {
    /// What happens to an answer that breaks after its first content.
    pub midstream: Midstream,
    /// What a model that continues an answer is told, as the user; nothing if empty.
    pub instruction: String,
    /// What a client gets when no target is left; `None` leaves it to the client's protocol: a
    /// message where the protocol can mark it as a fallback, else an error.
    pub exhausted: Option<Exhausted>,
    /// How long the first content may take before the next target is started too; zero is never.
    #[serde(deserialize_with = "seconds_or_zero")]
    pub hedge_after: Duration,
    /// How often targets that failed in passing are asked again when none is left.
    pub retries: u32,
    /// How long the first such wait is; each doubles, with jitter. A target's `Retry-After` counts
    /// instead.
    #[serde(deserialize_with = "seconds")]
    pub backoff: Duration,
    /// The longest such wait: who asks for a longer one is not asked again.
    #[serde(deserialize_with = "seconds")]
    pub wait: Duration,
    /// When a failing target is left alone.
    pub breaker: health::Settings,
}

impl Default for Fallback {
    fn default() -> Self {
        Self {
            midstream: Midstream::Continue,
            instruction: String::new(),
            exhausted: None,
            hedge_after: Duration::ZERO,
            retries: 2,
            backoff: Duration::from_millis(250),
            wait: Duration::from_secs(10),
            breaker: health::Settings::default(),
        }
    }
}

/// What happens to an answer that breaks after its first content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Midstream {
    /// The next target goes on with it.
    Continue,
    /// It fails with a typed error.
    Stop,
}

/// How a provider is asked to go on with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Continuation {
    /// The answer so far is the last message, the assistant's, and the model goes on with it.
    Prefill,
    /// The answer so far is the assistant's message, and the configured instruction follows.
    Ask,
    /// It is not asked.
    Stop,
}

/// What a client gets when no target is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Exhausted {
    /// An answer that says what is wrong and what can be done.
    Message,
    /// A typed error.
    Error,
}

/// Bounds on bytes.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// The largest request body a client may send.
    #[serde(deserialize_with = "bytes")]
    pub request_bytes: usize,
    /// The largest single event, or whole answer, an upstream may send.
    #[serde(deserialize_with = "bytes")]
    pub event_bytes: usize,
    /// The longest text of one answer.
    #[serde(deserialize_with = "bytes")]
    pub answer_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { request_bytes: 1 << 20, event_bytes: 16 << 20, answer_bytes: 64 << 20 }
    }
}

/// Why a configuration cannot be used: one text that names the line, the key and what was
/// expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error(String);

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

impl Config {
    /// Reads a configuration. `secret` finds a secret by its name.
    pub fn parse(text: &str, secret: impl Fn(&str) -> Option<String>) -> Result<Self, Error> {
        let file: File = toml::from_str(text).map_err(|e| Error(e.to_string().trim().into()))?;
        file.resolve(text, &secret)
    }

    /// What native serves when there is no configuration at all: the embedded model, under its
    /// name and as `auto`.
    pub fn embedded() -> Self {
        Self::parse(EMBEDDED, |_| None).expect("the built-in configuration is valid")
    }
}

const EMBEDDED: &str = r#"
default_model = "auto"

[providers.local]
protocol = "local"

[models.auto]
targets = ["local/tiny"]

[models.tiny]
targets = ["local/tiny"]
"#;

/// The text as written, before it is checked as a whole.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    default_model: Option<Spanned<String>>,
    #[serde(default)]
    server: Server,
    store: Option<Spanned<store::Entry>>,
    #[serde(default)]
    providers: BTreeMap<String, Spanned<ProviderEntry>>,
    #[serde(default)]
    models: BTreeMap<String, Spanned<ModelEntry>>,
    #[serde(default)]
    plans: BTreeMap<String, Plan>,
    auth: Option<Spanned<AuthEntry>>,
    #[serde(default)]
    timeouts: Timeouts,
    #[serde(default)]
    fallback: Fallback,
    #[serde(default)]
    limits: Limits,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Server {
    listen: Option<String>,
    open: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ProviderEntry {
    protocol: UpstreamProtocol,
    base_url: Option<Spanned<String>>,
    api_key: Option<Spanned<ApiKeyEntry>>,
    models_dir: Option<String>,
    continuation: Option<Continuation>,
    dialect: Option<Spanned<String>>,
    stream: Option<bool>,
    #[serde(default)]
    headers: BTreeMap<String, Spanned<String>>,
}

/// The protocols an upstream may speak, by their configured names.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum UpstreamProtocol {
    OpenAi,
    Responses,
    Anthropic,
    Gemini,
    Ollama,
    Local,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeyEntry {
    /// The variable's name.
    pub(crate) env: String,
}

/// `{ env = "NAME" }`, `{ user = true }`, or both.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ApiKeyEntry {
    env: Option<String>,
    #[serde(default)]
    user: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ModelEntry {
    targets: Spanned<Vec<Spanned<String>>>,
    max_output_tokens: Option<std::num::NonZeroU32>,
    context_window: Option<std::num::NonZeroU32>,
}

impl File {
    fn resolve(self, text: &str, secret: &dyn Fn(&str) -> Option<String>) -> Result<Config, Error> {
        let providers = self
            .providers
            .into_iter()
            .map(|(name, entry)| {
                let provider = entry.as_ref().resolve(&name, entry.span().start, text, secret)?;
                Ok((name, Arc::new(provider)))
            })
            .collect::<Result<BTreeMap<_, _>, Error>>()?;
        let models = self
            .models
            .into_iter()
            .map(|(name, entry)| Ok((name, entry.into_inner().resolve(text, &providers)?)))
            .collect::<Result<BTreeMap<_, _>, Error>>()?;
        let plan = |(name, plan): (String, Plan)| (name.clone(), Arc::new(Plan { name, ..plan }));
        let plans = self.plans.into_iter().map(plan).collect();
        let auth = self.auth.map(|entry| {
            let start = entry.span().start;
            entry.into_inner().resolve(text, start, &plans, self.store.is_some(), secret)
        });
        if models.is_empty() {
            return Err(Error("there is no model: expected at least one [models.NAME]".into()));
        }
        let store = self.store.map(|entry| store::resolve(entry, text, secret)).transpose()?;
        if let Some(provider) = providers.values().find(|provider| provider.user_keys)
            && store.as_ref().is_none_or(|store| store.master_keys.is_none())
        {
            return Err(Error(format!(
                "providers.{}.api_key: users' keys are kept in the store, sealed; expected \
                 [store] with url and master_key",
                provider.name
            )));
        }
        Ok(Config {
            default_model: default_model(self.default_model, text, &models)?,
            listen: self.server.listen,
            open: self.server.open,
            auth: auth.transpose()?,
            store,
            providers,
            models,
            timeouts: self.timeouts,
            fallback: self.fallback,
            limits: self.limits,
        })
    }
}

/// The named one, else `auto`, else the only one.
fn default_model(
    named: Option<Spanned<String>>,
    text: &str,
    models: &BTreeMap<String, Model>,
) -> Result<Option<String>, Error> {
    let Some(named) = named else {
        let only = models.keys().next().filter(|_| models.len() == 1);
        return Ok(models.get_key_value("auto").map(|(name, _)| name).or(only).cloned());
    };
    if models.contains_key(named.get_ref()) {
        return Ok(Some(named.into_inner()));
    }
    let what = format!("there is no model `{}`", named.get_ref());
    Err(at(text, named.span().start, "default_model", &what, &one_of(models.keys())))
}

impl ProviderEntry {
    fn resolve(
        &self,
        name: &str,
        start: usize,
        text: &str,
        secret: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Provider, Error> {
        let key = format!("providers.{name}");
        let protocol = match self.protocol {
            UpstreamProtocol::OpenAi => Protocol::OpenAi,
            UpstreamProtocol::Responses => Protocol::Responses,
            UpstreamProtocol::Anthropic => Protocol::Anthropic,
            UpstreamProtocol::Gemini => Protocol::Gemini,
            UpstreamProtocol::Ollama => Protocol::Ollama,
            UpstreamProtocol::Local => Protocol::Local,
        };
        let local = protocol == Protocol::Local;
        let base_url = match &self.base_url {
            Some(url) if local => {
                let what = "a local provider has no base_url";
                return Err(at(text, url.span().start, &key, what, "only protocol and models_dir"));
            }
            Some(url) => http_url(url, text, &format!("{key}.base_url"))?,
            None if local => String::new(),
            None => return Err(at(text, start, &key, "base_url is missing", "an http(s) URL")),
        };
        let (api_key, user_keys) = match &self.api_key {
            None => (ApiKey::None, false),
            Some(entry) if entry.get_ref().env.is_none() && !entry.get_ref().user => {
                let key = format!("{key}.api_key");
                let expected = "{ env = \"NAME\" }, { user = true }, or both";
                return Err(at(text, entry.span().start, &key, "it names no key", expected));
            }
            Some(entry) => (entry.get_ref().resolve(name, secret), entry.get_ref().user),
        };
        let models_dir = self.models_dir.clone();
        let dialect = self.dialect(protocol, text, &key)?;
        let goes_on = match protocol {
            Protocol::Local => true,
            Protocol::OpenAi => dialect.unwrap_or_else(|| Dialect::at(&base_url)).goes_on(),
            _ => false,
        };
        let by_provider = if goes_on { Continuation::Prefill } else { Continuation::Ask };
        let continuation = self.continuation.unwrap_or(by_provider);
        Ok(Provider {
            name: name.into(),
            protocol,
            base_url,
            api_key,
            user_keys,
            chosen_by: ChosenBy::Operator,
            models_dir,
            continuation,
            dialect,
            headers: headers::read(&self.headers, text, &format!("{key}.headers"))?,
            stream: self.stream.unwrap_or(true),
        })
    }

    fn dialect(
        &self,
        protocol: Protocol,
        text: &str,
        key: &str,
    ) -> Result<Option<&'static Dialect>, Error> {
        let Some(written) = &self.dialect else { return Ok(None) };
        let name = written.get_ref();
        let found = Dialect::named(name).filter(|_| protocol == Protocol::OpenAi);
        found.map(Some).ok_or_else(|| {
            let key = format!("{key}.dialect");
            let (what, expected) = match protocol {
                Protocol::OpenAi => {
                    let names = DIALECTS.iter().map(|dialect| dialect.name.to_owned());
                    let names: Vec<_> = names.collect();
                    (format!("there is no dialect `{name}`"), one_of(names.iter()))
                }
                _ => ("it is known of `openai` alone".into(), "none".into()),
            };
            at(text, written.span().start, &key, &what, &expected)
        })
    }
}

impl ApiKeyEntry {
    fn resolve(&self, provider: &str, secret: &dyn Fn(&str) -> Option<String>) -> ApiKey {
        let Some(env) = &self.env else { return ApiKey::Unusable(no_key_of_your_own(provider)) };
        match secret(env) {
            Some(value) if !value.trim().is_empty() => ApiKey::Set(value.trim().into()),
            _ => ApiKey::Unset { env: env.clone() },
        }
    }
}

/// Why a provider that is called with users' own keys is not called for one who gave none.
fn no_key_of_your_own(provider: &str) -> Box<Failure> {
    let detail = format!(
        "{provider} is called with your own key, and you have given none: expected one by PUT \
         /v1/provider-keys/{provider}."
    );
    Box::new(Failure::new(Reason::UserKeyMissing, detail))
}

/// The URL without its last slashes.
pub(crate) fn http_url(url: &Spanned<String>, text: &str, key: &str) -> Result<String, Error> {
    let value = url.get_ref().trim_end_matches('/');
    let host = value.strip_prefix("https://").or_else(|| value.strip_prefix("http://"));
    match host {
        Some(host) if !host.is_empty() && !host.contains(char::is_whitespace) => Ok(value.into()),
        _ => {
            let what = format!("`{}` is not a URL", url.get_ref());
            Err(at(text, url.span().start, key, &what, "http://HOST... or https://HOST..."))
        }
    }
}

impl ModelEntry {
    fn resolve(
        self,
        text: &str,
        providers: &BTreeMap<String, Arc<Provider>>,
    ) -> Result<Model, Error> {
        let (max_output_tokens, context_window) =
            (self.max_output_tokens.map(Into::into), self.context_window.map(Into::into));
        let start = self.targets.span().start;
        let targets = self
            .targets
            .into_inner()
            .iter()
            .map(|written| {
                let (provider, model) = target(written, text, providers)?;
                Ok(Arc::new(Target { provider, model, max_output_tokens, context_window }))
            })
            .collect::<Result<Vec<_>, Error>>()?;
        if targets.is_empty() {
            return Err(at(text, start, "targets", "the list is empty", "\"PROVIDER/MODEL\""));
        }
        Ok(Model { targets })
    }
}

/// The provider and the model in "PROVIDER/MODEL"; the model may hold more slashes.
fn target(
    written: &Spanned<String>,
    text: &str,
    providers: &BTreeMap<String, Arc<Provider>>,
) -> Result<(Arc<Provider>, String), Error> {
    let start = written.span().start;
    let value = written.get_ref();
    let Some((provider, model)) = value.split_once('/').filter(|(_, model)| !model.is_empty())
    else {
        let what = format!("`{value}` is not a target");
        return Err(at(text, start, "targets", &what, "\"PROVIDER/MODEL\""));
    };
    let Some(provider) = providers.get(provider) else {
        let what = format!("there is no provider `{provider}`");
        return Err(at(text, start, "targets", &what, &one_of(providers.keys())));
    };
    Ok((provider.clone(), model.into()))
}

pub(crate) fn at(text: &str, offset: usize, key: &str, what: &str, expected: &str) -> Error {
    let line = text.bytes().take(offset).filter(|&b| b == b'\n').count() + 1;
    Error(format!("line {line}: {key}: {what}; expected {expected}"))
}

pub(crate) fn one_of<'a>(names: impl Iterator<Item = &'a String>) -> String {
    let names: Vec<_> = names.map(|name| format!("`{name}`")).collect();
    match names.as_slice() {
        [] => "one to be configured".into(),
        [only] => only.clone(),
        several => format!("one of {}", several.join(", ")),
    }
}

/// A duration written in seconds, whole or not, or zero.
pub(crate) fn seconds_or_zero<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    let value = f64::deserialize(from)?;
    Duration::try_from_secs_f64(value)
        .map_err(|_| D::Error::custom(format!("{value} is no duration: expected seconds, or 0")))
}

/// A duration written in seconds, whole or not, above zero.
pub(crate) fn seconds<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    let value = f64::deserialize(from)?;
    Duration::try_from_secs_f64(value).ok().filter(|duration| !duration.is_zero()).ok_or_else(
        || D::Error::custom(format!("{value} is no duration: expected seconds above 0")),
    )
}

/// A count of bytes above zero.
fn bytes<'de, D: Deserializer<'de>>(from: D) -> Result<usize, D::Error> {
    let value = i64::deserialize(from)?;
    usize::try_from(value)
        .ok()
        .filter(|&bytes| bytes > 0)
        .ok_or_else(|| D::Error::custom(format!("{value} is no size: expected bytes above 0")))
}

#[cfg(test)]
mod tests;
