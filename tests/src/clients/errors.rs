//! The kinds of errors that a client's users meet, and how it reports each: the table `[errors]` of
//! its file.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Case, Script};

/// The provider's message, unless something more specific replaces it.
pub(super) const MESSAGE: &str = "The engine is on fire.";

/// When it may be asked again, in seconds: later than a client would by itself.
pub(super) const RETRY_AFTER: u64 = 1;

/// One kind of error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    /// 401: the gateway does not know the key.
    BadKey,
    /// 404: the gateway does not know the model.
    UnknownModel,
    /// 400, in the provider's words.
    Rejected,
    /// 400: the conversation exceeds the context.
    TooLong,
    /// 429, with [`RETRY_AFTER`].
    RateLimited,
    /// 503.
    Overloaded,
    /// An error in a stream, after content; a 500 for what is not streamed.
    Broken,
    /// A stream that stops after content, or a body that is not all there.
    Cut,
}

impl Kind {
    const ALL: [Self; 8] = [
        Self::BadKey,
        Self::UnknownModel,
        Self::Rejected,
        Self::TooLong,
        Self::RateLimited,
        Self::Overloaded,
        Self::Broken,
        Self::Cut,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::BadKey => "bad_key",
            Self::UnknownModel => "unknown_model",
            Self::Rejected => "rejected",
            Self::TooLong => "too_long",
            Self::RateLimited => "rate_limited",
            Self::Overloaded => "overloaded",
            Self::Broken => "broken",
            Self::Cut => "cut",
        }
    }
}

/// How one client reports them.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Errors {
    /// A command for `sh`.
    run: String,
    /// Whether the command fails.
    #[serde(default = "yes")]
    fails: bool,
    /// Whether it waits as long as `Retry-After` has it, where it tries again by itself.
    #[serde(default = "yes")]
    waits: bool,
    /// The longest it may take, with all its retries.
    seconds_max: Option<u64>,
    /// What it prints of each kind.
    prints: BTreeMap<Kind, Vec<String>>,
}

const fn yes() -> bool {
    true
}

impl Errors {
    /// A case of every kind.
    pub(super) fn cases(&self) -> Result<Vec<Case>, String> {
        Kind::ALL.iter().map(|kind| self.case(*kind)).collect()
    }

    fn case(&self, kind: Kind) -> Result<Case, String> {
        let prints = self.prints.get(&kind);
        let prints = prints.ok_or_else(|| format!("[errors.prints] lacks {}", kind.name()))?;
        Ok(Case {
            name: format!("error_{}", kind.name()),
            run: self.run.clone(),
            provider: Script { error: Some(kind), ..Script::default() },
            fails: self.fails,
            upstreams: None,
            overflows: kind == Kind::TooLong,
            waits: self.waits && kind == Kind::RateLimited,
            seconds_max: self.seconds_max,
            prints: prints.clone(),
            skip: None,
        })
    }
}
