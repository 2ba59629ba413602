//! What all requests of a gateway share: its configuration, and what was learned while it served.

mod answer;

use std::sync::Arc;

use crate::access::quota::{Denial, QuotaOp, Quotas};
use crate::access::{Access, Admission, Credentials};
use crate::config::Config;
use crate::health::Health;
use crate::history::History;
use crate::limit::learned::Learned;
use crate::log::Level;
use crate::time::Instant;

pub use crate::reply::Reply;
pub use crate::request::Client;
pub use answer::Arrival;

/// What is the same for every request. Cheap to clone: clones share it.
#[derive(Clone, Debug)]
pub struct Gateway {
    config: Arc<Config>,
    health: Health,
    learned: Learned,
    access: Access,
    quotas: Quotas,
    history: History,
    verbosity: Option<Level>,
}

impl Gateway {
    /// A gateway of this configuration.
    pub fn new(config: Config) -> Self {
        let health = Health::new(config.fallback.breaker.clone());
        let access = Access::new(config.auth.clone());
        let config = Arc::new(config);
        Self {
            config,
            health,
            learned: Learned::default(),
            access,
            quotas: Quotas::default(),
            history: History::default(),
            verbosity: Some(Level::Info),
        }
    }

    /// The same gateway, whose requests log nothing less urgent than that; `None`: nothing at all.
    pub fn with_verbosity(self, verbosity: Option<Level>) -> Self {
        Self { verbosity, ..self }
    }

    /// Whether records of that level are wanted: others need not even be built.
    pub(crate) fn logs(&self, level: Level) -> bool {
        Some(level) <= self.verbosity
    }

    /// What is configured.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The breakers of all targets.
    pub(crate) fn health(&self) -> &Health {
        &self.health
    }

    /// The limits that providers named: a shell that has a store restores them from there.
    pub fn learned(&self) -> &Learned {
        &self.learned
    }

    /// What was answered, for requests that refer to it.
    pub(crate) fn history(&self) -> &History {
        &self.history
    }

    /// Begins to let a request in, which came at `now`, `unix_now` seconds after 1970.
    pub(crate) fn admit(
        &self,
        credentials: &Credentials,
        now: Instant,
        unix_now: u64,
    ) -> Admission {
        self.access.admit(credentials, now, unix_now)
    }

    /// Applies what an answer does to its user's quota, which this gateway keeps in memory. A shell
    /// whose users come to many gateways keeps it where they all do.
    pub fn apply(&self, user: &Arc<str>, op: &QuotaOp, now: Instant) -> Result<(), Denial> {
        self.quotas.apply(user, op, now)
    }
}
