//! `[providers.NAME]` as written.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

use super::{
    ApiKey, ChosenBy, Continuation, DIALECTS, Dialect, Provider, ProviderProtocol, Transport,
    Upstream, headers,
};
use crate::failure::{Failure, Reason};
use crate::toml::{Document, Error, one_of};

/// The text as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProviderEntry {
    #[serde(rename = "protocol")]
    upstream: Upstream,
    base_url: Option<Spanned<String>>,
    api_key: Option<Spanned<ApiKeyEntry>>,
    models_dir: Option<String>,
    continuation: Option<Continuation>,
    dialect: Option<Spanned<String>>,
    stream: Option<bool>,
    transport: Option<Spanned<Transport>>,
    proxy: Option<Spanned<String>>,
    #[serde(default)]
    headers: BTreeMap<String, Spanned<String>>,
}

/// `{ env = "NAME" }`, `{ user = true }`, or both.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ApiKeyEntry {
    env: Option<String>,
    #[serde(default)]
    user: bool,
}

impl ProviderEntry {
    pub(crate) fn resolve(
        &self,
        name: &str,
        start: usize,
        document: &Document<'_>,
    ) -> Result<Provider, Error> {
        let key = format!("providers.{name}");
        let base_url = self.base_url(start, document, &key)?;
        let (api_key, user_keys) = self.api_key(name, document, &key)?;
        let dialect = self.dialect(document, &key)?;
        let (transport, proxy) = self.transport(document, &key)?;
        Ok(Provider {
            name: name.into(),
            upstream: self.upstream,
            continuation: self.continuation(dialect, &base_url),
            base_url,
            api_key,
            user_keys,
            chosen_by: ChosenBy::Operator,
            models_dir: self.models_dir.clone(),
            dialect,
            headers: headers::read(&self.headers, document, &format!("{key}.headers"))?,
            stream: self.stream.unwrap_or(true),
            transport,
            proxy,
        })
    }

    /// How it is called, and through which proxy.
    fn transport(
        &self,
        document: &Document<'_>,
        key: &str,
    ) -> Result<(Transport, Option<String>), Error> {
        let transport = match (self.upstream, &self.transport) {
            (Upstream::Local, Some(written)) => {
                let (key, expected) = (format!("{key}.transport"), "only protocol and models_dir");
                let what = "a local provider is not called over HTTP";
                return Err(document.at(written.span().start, &key, what, expected));
            }
            (Upstream::Http(_), Some(written)) => *written.get_ref(),
            (Upstream::Http(_) | Upstream::Local, None) => Transport::default(),
        };
        let Some(proxy) = &self.proxy else { return Ok((transport, None)) };
        let key = format!("{key}.proxy");
        match transport {
            Transport::Reqwest => Ok((transport, Some(document.http_url(proxy, &key)?))),
            Transport::SansIo => {
                let (what, expected) =
                    ("the transport has no proxies", "transport = \"reqwest\" beside it");
                Err(document.at(proxy.span().start, &key, what, expected))
            }
        }
    }

    fn base_url(&self, start: usize, document: &Document<'_>, key: &str) -> Result<String, Error> {
        match (self.upstream, &self.base_url) {
            (Upstream::Local, Some(url)) => {
                let what = "a local provider has no base_url";
                Err(document.at(url.span().start, key, what, "only protocol and models_dir"))
            }
            (Upstream::Local, None) => Ok(String::new()),
            (Upstream::Http(_), Some(url)) => document.http_url(url, &format!("{key}.base_url")),
            (Upstream::Http(_), None) => {
                Err(document.at(start, key, "base_url is missing", "an http(s) URL"))
            }
        }
    }

    /// The key, and whether users may give their own.
    fn api_key(
        &self,
        name: &str,
        document: &Document<'_>,
        key: &str,
    ) -> Result<(ApiKey, bool), Error> {
        let Some(written) = &self.api_key else { return Ok((ApiKey::None, false)) };
        let entry = written.get_ref();
        if entry.env.is_none() && !entry.user {
            let key = format!("{key}.api_key");
            let expected = "{ env = \"NAME\" }, { user = true }, or both";
            return Err(document.at(written.span().start, &key, "it names no key", expected));
        }
        Ok((entry.resolve(name, document), entry.user))
    }

    fn continuation(&self, dialect: Option<&'static Dialect>, base_url: &str) -> Continuation {
        let continues = match self.upstream {
            Upstream::Local => true,
            Upstream::Http(ProviderProtocol::OpenAi) => {
                dialect.unwrap_or_else(|| Dialect::at(base_url)).continues()
            }
            Upstream::Http(
                ProviderProtocol::Responses
                | ProviderProtocol::Anthropic
                | ProviderProtocol::Gemini
                | ProviderProtocol::Ollama,
            ) => false,
        };
        let by_provider = if continues { Continuation::Prefill } else { Continuation::Ask };
        self.continuation.unwrap_or(by_provider)
    }

    fn dialect(
        &self,
        document: &Document<'_>,
        key: &str,
    ) -> Result<Option<&'static Dialect>, Error> {
        let Some(written) = &self.dialect else { return Ok(None) };
        let name = written.get_ref();
        let speaks_openai = self.upstream == Upstream::Http(ProviderProtocol::OpenAi);
        let (what, expected) = match Dialect::named(name) {
            _ if !speaks_openai => ("only protocol `openai` has dialects".into(), "none".into()),
            Some(dialect) => return Ok(Some(dialect)),
            None => {
                let names: Vec<_> =
                    DIALECTS.iter().map(|dialect| dialect.name.to_owned()).collect();
                (format!("there is no dialect `{name}`"), one_of(names.iter()))
            }
        };
        Err(document.at(written.span().start, &format!("{key}.dialect"), &what, &expected))
    }
}

impl ApiKeyEntry {
    fn resolve(&self, provider: &str, document: &Document<'_>) -> ApiKey {
        let Some(env) = &self.env else { return ApiKey::Unusable(no_key_of_your_own(provider)) };
        match document.secret(env) {
            Some(value) if !value.trim().is_empty() => ApiKey::Set(value.trim().into()),
            _ => ApiKey::Unset { env: env.clone() },
        }
    }
}

/// The failure where a provider requires the user's own key, and none is set.
fn no_key_of_your_own(provider: &str) -> Box<Failure> {
    let detail = format!(
        "{provider} requires your own key, and none is set: set one with PUT \
         /v1/provider-keys/{provider}."
    );
    Box::new(Failure::new(Reason::UserKeyMissing, detail))
}
