//! The configuration both shells read: one TOML text, secrets by name.
//!
//! A key that is not known, or a value that cannot be, is an error that names the line, the key
//! and what was expected. What a shell is given here has been checked: every target names a
//! provider that exists, every duration is above zero.
//!
//! Each section belongs to the module that acts by it, which reads it by means of [`crate::toml`];
//! this module is on top of them all and only assembles, so none of them uses it.

mod exposure;

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

pub use exposure::{Exposure, Reach};

use serde::Deserialize;
use toml::Spanned;

use crate::access::{Auth, AuthEntry, Plan};
use crate::limit::ByteLimits;
use crate::relay::{Fallback, Timeouts};
use crate::store::{Store, StoreEntry};
use crate::target::{Model, ModelEntry, Pattern, Provider, ProviderEntry, Target};
use crate::toml::{self as document, Document, Error, one_of};

/// The model name under which native serves its embedded model.
pub const EMBEDDED_MODEL: &str = "tiny";

/// Everything that is configured.
#[derive(Clone, Debug)]
pub struct Config {
    /// The model for requests that name none.
    pub default_model: Option<String>,
    /// Where the native server listens; `None` for the default.
    pub listen: Option<String>,
    /// Whether the native server may listen for other machines though there is no `auth`.
    pub open: bool,
    /// Who is admitted; `None`: everybody.
    pub auth: Option<Arc<Auth>>,
    /// What outlives the process is kept here; `None`: nothing is.
    pub store: Option<Store>,
    /// Providers by name.
    pub providers: BTreeMap<String, Arc<Provider>>,
    /// Models by the names clients use.
    pub models: BTreeMap<String, Model>,
    /// Further models by how their names begin, the longest beginning first.
    pub patterns: Vec<Pattern>,
    /// The five deadlines and the two courtesies.
    pub timeouts: Timeouts,
    /// What happens when a target fails.
    pub fallback: Fallback,
    /// Bounds on bytes.
    pub limits: ByteLimits,
}

impl Config {
    /// Reads a configuration. `secret` finds a secret by its name.
    pub fn parse(text: &str, secret: impl Fn(&str) -> Option<String>) -> Result<Self, Error> {
        let file: File = document::read(text)?;
        file.resolve(&Document::new(text, &secret))
    }

    /// The model that a name stands for: the one that has it, else the one of which it has the longest
    /// beginning.
    pub fn model(&self, name: &str) -> Option<Cow<'_, Model>> {
        let pattern = || self.patterns.iter().find_map(|pattern| pattern.model(name));
        let named = self.models.get(name).or_else(|| self.models.get(&*other_tag(name)));
        named.map(Cow::Borrowed).or_else(|| pattern().map(Cow::Owned))
    }

    /// The targets of all models and patterns.
    pub fn targets(&self) -> impl Iterator<Item = &Arc<Target>> {
        let named = self.models.values().flat_map(|model| &model.targets);
        named.chain(self.patterns.iter().flat_map(Pattern::targets))
    }

    /// What native serves when there is no configuration at all: the embedded model, under its
    /// name and as `auto`.
    pub fn embedded() -> Self {
        Self::parse(EMBEDDED, |_| None).expect("the built-in configuration is valid")
    }
}

/// Ollama's clients add this tag to names that have none, or leave it out.
const TAG: &str = ":latest";

/// The same name with the tag, or without.
fn other_tag(name: &str) -> Cow<'_, str> {
    name.strip_suffix(TAG).map_or_else(|| format!("{name}{TAG}").into(), Cow::Borrowed)
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

/// The text as written, before it is validated.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    default_model: Option<Spanned<String>>,
    #[serde(default)]
    server: Server,
    store: Option<Spanned<StoreEntry>>,
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
    limits: ByteLimits,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Server {
    listen: Option<String>,
    open: bool,
}

impl File {
    fn resolve(self, document: &Document<'_>) -> Result<Config, Error> {
        let mut providers = BTreeMap::new();
        for (name, entry) in self.providers {
            let provider = entry.as_ref().resolve(&name, entry.span().start, document)?;
            providers.insert(name, Arc::new(provider));
        }
        let (models, patterns) = models(&self.models, document, &providers)?;
        let plan = |(name, plan): (String, Plan)| (name.clone(), Arc::new(Plan { name, ..plan }));
        let mut plans = BTreeMap::new();
        plans.extend(self.plans.into_iter().map(plan));
        let auth = self.auth.map(|entry| {
            let start = entry.span().start;
            entry.into_inner().resolve(document, start, &plans, self.store.is_some())
        });
        if models.is_empty() && patterns.is_empty() {
            return Err(Error::new("there is no model: expected at least one [models.NAME]"));
        }
        let store = self.store.map(|entry| entry.into_inner().resolve(document)).transpose()?;
        if let Some(provider) = providers.values().find(|provider| provider.user_keys)
            && store.as_ref().is_none_or(|store| store.master_keys.is_none())
        {
            return Err(Error::new(format!(
                "providers.{}.api_key: users' keys are kept in the store, sealed; expected \
                 [store] with url and master_key",
                provider.name
            )));
        }
        Ok(Config {
            default_model: default_model(self.default_model, document, &models)?,
            listen: self.server.listen,
            open: self.server.open,
            auth: auth.transpose()?.map(Arc::new),
            store,
            providers,
            models,
            patterns,
            timeouts: self.timeouts,
            fallback: self.fallback,
            limits: self.limits,
        })
    }
}

/// The models by their names and aliases, and the patterns.
fn models(
    entries: &BTreeMap<String, Spanned<ModelEntry>>,
    document: &Document<'_>,
    providers: &BTreeMap<String, Arc<Provider>>,
) -> Result<(BTreeMap<String, Model>, Vec<Pattern>), Error> {
    let (mut models, mut patterns) = (BTreeMap::new(), Vec::new());
    for (name, entry) in entries {
        let (start, entry) = (entry.span().start, entry.get_ref());
        let aliases = entry.aliases.iter().map(|alias| (alias.get_ref(), alias.span().start));
        for (name, at) in [(name, start)].into_iter().chain(aliases) {
            let is_taken = at != start && entries.contains_key(name);
            match Pattern::new(name, entry.resolve(name, document, providers)?) {
                Ok(pattern) => patterns.push(pattern),
                Err(model) if !name.contains('*') && !is_taken && !models.contains_key(name) => {
                    models.insert(name.clone(), model);
                }
                Err(_) => {
                    let what = format!("`{name}` is no name, or another model's");
                    let expected = "a name of its own, with `*` at its end if at all";
                    return Err(document.at(at, "models", &what, expected));
                }
            }
        }
    }
    patterns.sort_by_key(|pattern| Reverse(pattern.prefix_bytes()));
    Ok((models, patterns))
}

/// The named one, else `auto`, else the only one.
fn default_model(
    named: Option<Spanned<String>>,
    document: &Document<'_>,
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
    Err(document.at(named.span().start, "default_model", &what, &one_of(models.keys())))
}

#[cfg(test)]
mod tests;
