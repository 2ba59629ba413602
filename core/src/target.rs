//! The upstreams to call: a target is a model of a provider, and a model's name stands for the
//! targets to try.

mod dialect;
mod headers;
mod model;
mod pattern;
mod provider;
mod upstream;

use std::fmt;
use std::sync::Arc;

use serde::Deserialize;

use crate::failure::Failure;
use crate::limit::catalogue;

pub use dialect::{DIALECTS, Dialect};
pub(crate) use dialect::{EffortField, Instructions, Prefix, Thought};
pub(crate) use model::ModelEntry;
pub use pattern::Pattern;
pub(crate) use provider::ProviderEntry;
pub use upstream::{ProviderProtocol, Upstream};

/// What a model's name means to clients.
#[derive(Clone, Debug)]
pub struct Model {
    /// The upstreams to try, in order; never empty.
    pub targets: Vec<Arc<Target>>,
}

/// One upstream model.
#[derive(Clone, Debug)]
pub struct Target {
    /// The provider that serves the model.
    pub provider: Arc<Provider>,
    /// Its name there.
    pub model: String,
    /// The configured bound on an answer, in tokens; overrides the catalogue.
    pub max_output_tokens: Option<u32>,
    /// The configured context window, in tokens; overrides the catalogue.
    pub context_window: Option<u32>,
    /// What the catalogue has of it, looked up once.
    pub listed: Option<catalogue::Facts>,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.provider.name, self.model)
    }
}

/// An upstream.
#[derive(Clone, Debug)]
pub struct Provider {
    /// Its name in the configuration.
    pub name: String,
    /// What answers for it.
    pub upstream: Upstream,
    /// Scheme, host and path before the protocol's own paths, without a slash at the end; empty
    /// for `local`.
    pub base_url: String,
    /// The key it is called with.
    pub api_key: ApiKey,
    /// Whether users may give a key of their own, which is then used in place of `api_key`.
    pub user_keys: bool,
    /// Who chose the key and the base URL.
    pub chosen_by: ChosenBy,
    /// Where a `local` provider's model files are.
    pub models_dir: Option<String>,
    /// How it is asked to continue an answer that broke off.
    pub continuation: Continuation,
    /// How it differs from others of its protocol; `None`: by its base URL.
    pub dialect: Option<&'static Dialect>,
    /// Further headers of its calls, by lower-case name.
    pub headers: Vec<(String, String)>,
    /// Whether it can stream; if not, it is sent non-streaming requests only.
    pub stream: bool,
    /// By what a native server calls it.
    pub transport: Transport,
    /// The proxy it is called through; `None`: the environment's, where the transport has proxies.
    pub proxy: Option<String>,
}

/// By what a native server calls a provider. A Worker calls each by its platform's `fetch`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Transport {
    /// HTTP/1.1, with the least work per token.
    #[default]
    SansIo,
    /// `reqwest`: HTTP/2 where the server speaks it, and proxies.
    Reqwest,
}

impl Provider {
    /// Whether it is sent a streaming request, given what is wanted: an engine only streams.
    pub(crate) fn streams(&self, wanted: bool) -> bool {
        match self.upstream {
            Upstream::Http(_) => wanted && self.stream,
            Upstream::Local => true,
        }
    }

    /// Whether it accepts non-streaming requests.
    pub(crate) fn answers_whole(&self) -> bool {
        matches!(self.upstream, Upstream::Http(_))
    }

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

/// How a provider is asked to continue an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Continuation {
    /// The answer so far is the last message, the assistant's, and the model continues it.
    Prefill,
    /// The answer so far is the assistant's message, and the configured instruction follows.
    Ask,
    /// It is not asked to.
    Stop,
}
