//! Who may ask, and how much: credentials, plans and quotas.
//!
//! It decides; it fetches no key set, asks no store and counts for no other process: what is needed
//! comes out of [`Admission`] and goes back in, as with the relay. Where no `[auth]` is configured
//! everybody may ask, and nobody is bounded.

mod admission;
mod credentials;
mod key;
mod key_set;
mod known_keys;
mod meter;
pub mod quota;
mod settings;
mod signature;
mod token;
mod user_name;

use std::num::NonZeroU32;
use std::sync::Arc;

use serde::Deserialize;

pub use admission::{Access, Admission, Output};
pub use credentials::Credentials;
pub use key::{Digest, KEY_RANDOM_BYTES, Key};
pub use key_set::KEY_SET_BYTES_MAX;
pub(crate) use key_set::KEY_SET_TIME_MAX;
pub(crate) use meter::Meter;
pub use settings::Auth;
pub(crate) use settings::AuthEntry;
pub use user_name::{InvalidUserName, UserName};

/// What a user may use. Each bound is optional.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Its name in the configuration.
    #[serde(skip)]
    pub name: String,
    /// The longest answer, in tokens.
    pub max_output_tokens: Option<NonZeroU32>,
    /// Requests that are answered in a minute.
    pub requests_per_minute: Option<NonZeroU32>,
    /// Tokens of prompts and answers in a minute.
    pub tokens_per_minute: Option<NonZeroU32>,
    /// Answers under way at the same time.
    pub concurrent_streams: Option<NonZeroU32>,
}

/// Who asks.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The user's name, by the operator or by who signed the token.
    pub user: UserName,
    /// What the user may use; `None`: anything.
    pub plan: Option<Arc<Plan>>,
}

impl Caller {
    /// The longest answer the plan allows, in tokens.
    pub fn max_output_tokens(&self) -> Option<u32> {
        Some(self.plan.as_ref()?.max_output_tokens?.get())
    }
}
