//! The configuration both shells read: one TOML text, secrets by name.
//!
//! A key that is not known, or a value that cannot be, is an error that names the line, the key
//! and what was expected. What a shell is given here has been checked: every target names a
//! provider that exists, every duration is above zero.

mod headers;
mod model;
mod provider;
mod settings;
mod store;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

pub use model::{Model, Target};
pub use provider::{ApiKey, ChosenBy, Continuation, Provider};
pub use settings::{Exhausted, Fallback, Limits, Midstream, Timeouts};
pub(crate) use settings::{seconds, seconds_or_zero};
pub use store::{Store, StoreUrl};

use serde::Deserialize;
use toml::Spanned;

use crate::access::{Auth, AuthEntry, Plan};

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
    providers: BTreeMap<String, Spanned<provider::Entry>>,
    #[serde(default)]
    models: BTreeMap<String, Spanned<model::Entry>>,
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
pub(crate) struct KeyEntry {
    /// The variable's name.
    pub(crate) env: String,
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

#[cfg(test)]
mod tests;
