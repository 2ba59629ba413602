//! `[providers.NAME]`: an upstream and how it is called.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use toml::Spanned;

use super::{Error, at, headers, http_url, one_of};
use crate::failure::{Failure, Reason};
use crate::protocol::{DIALECTS, Dialect, Protocol};

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

/// The text as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
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

/// `{ env = "NAME" }`, `{ user = true }`, or both.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ApiKeyEntry {
    env: Option<String>,
    #[serde(default)]
    user: bool,
}

impl Entry {
    pub(super) fn resolve(
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
        let base_url = self.base_url(start, text, &key)?;
        let (api_key, user_keys) = self.api_key(name, text, &key, secret)?;
        let dialect = self.dialect(text, &key)?;
        Ok(Provider {
            name: name.into(),
            protocol,
            continuation: self.continuation(dialect, &base_url),
            base_url,
            api_key,
            user_keys,
            chosen_by: ChosenBy::Operator,
            models_dir: self.models_dir.clone(),
            dialect,
            headers: headers::read(&self.headers, text, &format!("{key}.headers"))?,
            stream: self.stream.unwrap_or(true),
        })
    }

    fn base_url(&self, start: usize, text: &str, key: &str) -> Result<String, Error> {
        let local = matches!(self.protocol, UpstreamProtocol::Local);
        match &self.base_url {
            Some(url) if local => {
                let what = "a local provider has no base_url";
                Err(at(text, url.span().start, key, what, "only protocol and models_dir"))
            }
            Some(url) => http_url(url, text, &format!("{key}.base_url")),
            None if local => Ok(String::new()),
            None => Err(at(text, start, key, "base_url is missing", "an http(s) URL")),
        }
    }

    /// The key, and whether users may give their own.
    fn api_key(
        &self,
        name: &str,
        text: &str,
        key: &str,
        secret: &dyn Fn(&str) -> Option<String>,
    ) -> Result<(ApiKey, bool), Error> {
        let Some(written) = &self.api_key else { return Ok((ApiKey::None, false)) };
        let entry = written.get_ref();
        if entry.env.is_none() && !entry.user {
            let key = format!("{key}.api_key");
            let expected = "{ env = \"NAME\" }, { user = true }, or both";
            return Err(at(text, written.span().start, &key, "it names no key", expected));
        }
        Ok((entry.resolve(name, secret), entry.user))
    }

    fn continuation(&self, dialect: Option<&'static Dialect>, base_url: &str) -> Continuation {
        let goes_on = match self.protocol {
            UpstreamProtocol::Local => true,
            UpstreamProtocol::OpenAi => dialect.unwrap_or_else(|| Dialect::at(base_url)).goes_on(),
            UpstreamProtocol::Responses
            | UpstreamProtocol::Anthropic
            | UpstreamProtocol::Gemini
            | UpstreamProtocol::Ollama => false,
        };
        let by_provider = if goes_on { Continuation::Prefill } else { Continuation::Ask };
        self.continuation.unwrap_or(by_provider)
    }

    fn dialect(&self, text: &str, key: &str) -> Result<Option<&'static Dialect>, Error> {
        let Some(written) = &self.dialect else { return Ok(None) };
        let name = written.get_ref();
        let (what, expected) = match (self.protocol, Dialect::named(name)) {
            (UpstreamProtocol::OpenAi, Some(dialect)) => return Ok(Some(dialect)),
            (UpstreamProtocol::OpenAi, None) => {
                let names: Vec<_> =
                    DIALECTS.iter().map(|dialect| dialect.name.to_owned()).collect();
                (format!("there is no dialect `{name}`"), one_of(names.iter()))
            }
            _ => ("it is known of `openai` alone".into(), "none".into()),
        };
        Err(at(text, written.span().start, &format!("{key}.dialect"), &what, &expected))
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
