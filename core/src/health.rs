//! A circuit breaker per target, shared by all answers of one process or isolate.
//!
//! ```text
//!            failures_max in a row
//!   closed ────────────────────────► open ──its time is over──► probing
//!     ▲ ▲                             ▲                          │  │
//!     │ └── success                   └───────── failure ────────┘  │
//!     └────────────────── success ──────────────────────────────────┘
//! ```
//!
//! In addition, a target is not called before the time in its `Retry-After`.
//!
//! A local model has no breaker, nor has a target that is called as a user chose, with the user's
//! own key: its failures are no evidence about the calls of others.
//!
//! A target whose limit was learned, or whose window was too small, did nothing wrong: callers do
//! not report those, nor what a client cancelled.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Deserialize;

use crate::target::{ChosenBy, Target, Upstream};
use crate::time::Instant;
use crate::toml::seconds;

/// The longest cooldown, however often a target fails.
const COOLDOWN_MAX: Duration = Duration::from_secs(300);

/// When a breaker opens, and for how long.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Failures in a row that open a target's breaker.
    pub failures_max: std::num::NonZeroU32,
    /// How long it is open the first time; it doubles while the target keeps failing.
    #[serde(deserialize_with = "seconds")]
    pub cooldown: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        let failures_max = std::num::NonZeroU32::new(5).expect("five is not zero");
        Self { failures_max, cooldown: Duration::from_secs(10) }
    }
}

/// The breakers of all targets. Cheap to clone: clones share them.
#[derive(Clone, Debug, Default)]
pub struct Health {
    settings: Settings,
    breakers: Arc<Mutex<HashMap<String, Breaker>>>,
}

#[derive(Debug, Default)]
struct Breaker {
    /// Failures since the last success.
    failures: u32,
    /// Times it opened since the last success.
    opened: u32,
    /// Until when it is open.
    until: Option<Instant>,
    /// The time of the target's `Retry-After`.
    not_before: Option<Instant>,
    /// When the probing call began, while one is under way.
    probing: Option<Instant>,
}

impl Health {
    /// Breakers with these settings, all closed.
    pub fn new(settings: Settings) -> Self {
        Self { settings, breakers: Arc::default() }
    }

    /// Whether `target` may be called at `now`; if not, when it may.
    ///
    /// After a cooldown one call probes; another probe is let in when the first has not reported
    /// for a cooldown.
    pub fn admit(&self, target: &Target, now: Instant) -> Result<(), Instant> {
        if !has_breaker(target) {
            return Ok(());
        }
        let mut breakers = self.breakers();
        let Some(breaker) = breakers.get_mut(&target.to_string()) else { return Ok(()) };
        if let Some(at) = breaker.not_before.filter(|at| now < *at) {
            return Err(breaker.until.map_or(at, |until| until.max(at)));
        }
        match (breaker.until, breaker.probing) {
            (None, _) => Ok(()),
            (Some(until), _) if now < until => Err(until),
            (Some(_), Some(since)) if now < since + self.settings.cooldown => {
                Err(since + self.settings.cooldown)
            }
            (Some(_), _) => {
                breaker.probing = Some(now);
                Ok(())
            }
        }
    }

    /// `target` gave an answer.
    pub fn succeeded(&self, target: &Target) {
        if has_breaker(target) {
            self.breakers().remove(&target.to_string());
        }
    }

    /// `target` failed at `now`, with this `Retry-After`.
    pub fn failed(&self, target: &Target, now: Instant, retry_after: Option<Duration>) {
        if !has_breaker(target) {
            return;
        }
        let mut breakers = self.breakers();
        let breaker = breakers.entry(target.to_string()).or_default();
        breaker.failures = breaker.failures.saturating_add(1);
        let was_probing = breaker.probing.take().is_some();
        if was_probing || breaker.failures >= self.settings.failures_max.get() {
            let factor = 1 << breaker.opened.min(16);
            let cooldown = self.settings.cooldown.saturating_mul(factor).min(COOLDOWN_MAX);
            breaker.opened = breaker.opened.saturating_add(1);
            breaker.until = breaker.until.max(Some(now + cooldown));
        }
        if let Some(wait) = retry_after {
            breaker.not_before = Some(now + wait.min(COOLDOWN_MAX));
        }
    }

    /// The lock, ignoring poison: a breaker is valid at every moment.
    fn breakers(&self) -> MutexGuard<'_, HashMap<String, Breaker>> {
        self.breakers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn has_breaker(target: &Target) -> bool {
    match target.provider.upstream {
        Upstream::Http(_) => target.provider.chosen_by == ChosenBy::Operator,
        Upstream::Local => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    const AT: fn(u64) -> Instant = |seconds| Instant::from_millis(seconds * 1000);

    fn target() -> Arc<Target> {
        let text = "[providers.p]\nprotocol = \"openai\"\nbase_url = \"http://p\"\n\
                    [models.m]\ntargets = [\"p/m\"]";
        Config::parse(text, |_| None).unwrap().models["m"].targets[0].clone()
    }

    #[test]
    fn opens_after_failures_in_a_row_and_closes_after_a_probe() {
        let (health, target) = (Health::default(), target());
        for second in 0..4 {
            health.failed(&target, AT(second), None);
            assert_eq!(health.admit(&target, AT(second)), Ok(()));
        }
        health.failed(&target, AT(4), None);
        assert_eq!(health.admit(&target, AT(5)), Err(AT(14)));
        assert_eq!(health.admit(&target, AT(14)), Ok(()), "one probe");
        assert_eq!(health.admit(&target, AT(15)), Err(AT(24)), "and no other");
        health.succeeded(&target);
        assert_eq!(health.admit(&target, AT(15)), Ok(()));
    }

    #[test]
    fn a_failed_probe_opens_for_twice_as_long() {
        let (health, target) = (Health::default(), target());
        (0..5).for_each(|_| health.failed(&target, AT(0), None));
        assert_eq!(health.admit(&target, AT(10)), Ok(()));
        health.failed(&target, AT(11), None);
        assert_eq!(health.admit(&target, AT(12)), Err(AT(31)));
    }

    #[test]
    fn a_success_forgets_failures() {
        let (health, target) = (Health::default(), target());
        for _ in 0..9 {
            (0..4).for_each(|_| health.failed(&target, AT(0), None));
            health.succeeded(&target);
        }
        assert_eq!(health.admit(&target, AT(0)), Ok(()));
    }

    #[test]
    fn a_retry_after_is_obeyed_up_to_a_bound() {
        let (health, target) = (Health::default(), target());
        health.failed(&target, AT(0), Some(Duration::from_secs(7)));
        assert_eq!(health.admit(&target, AT(6)), Err(AT(7)));
        assert_eq!(health.admit(&target, AT(7)), Ok(()));
        health.failed(&target, AT(8), Some(Duration::from_secs(1_000_000)));
        assert_eq!(health.admit(&target, AT(9)), Err(AT(308)));
    }
}
