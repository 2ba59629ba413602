//! Quotas: how many requests and tokens a user has in a minute, and how many answers at the same
//! time. Pure arithmetic: natively it runs in memory, at the edge in a Durable Object per user.
//!
//! Requests and tokens are bounded by the generic cell rate algorithm (ITU-T I.371): each costs its
//! share of a minute, and a user may be ahead of the clock by a minute at most. So a minute's worth
//! may come at once, and after that at the plan's rate. Tokens are charged as they are delivered,
//! for nobody knows before how many an answer has: an answer that is longer than what was left makes
//! the user wait until the minute has caught up.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Plan;
use crate::failure::{Failure, Reason};
use crate::time::Instant;

/// What the rates are for.
const PERIOD: Duration = Duration::from_secs(60);

/// How long an answer counts as under way that is not heard of: whoever delivers it may be gone.
pub(super) const LEASE: Duration = Duration::from_secs(60);

/// When to try again for an answer to end: nobody knows when one will.
const STREAM_RETRY: Duration = Duration::from_secs(1);

/// Answers of one user under way at the same time, however many the plan allows.
const LEASES_MAX: usize = 10_000;

/// Users whose use is remembered: twice as many, the least recent are forgotten first.
const USERS_MAX: usize = 50_000;

/// What a plan bounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allowance {
    /// Requests in a minute.
    pub requests_per_minute: Option<NonZeroU32>,
    /// Tokens in a minute.
    pub tokens_per_minute: Option<NonZeroU32>,
    /// Answers under way at the same time.
    pub concurrent_streams: Option<NonZeroU32>,
}

/// What an answer does with its user's quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuotaOp {
    /// The answer: a random number.
    pub lease: u64,
    /// What the user may use.
    pub allowance: Allowance,
    /// What it does.
    pub act: Act,
}

/// What an answer does with its user's quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Act {
    /// It wants to begin; its prompt has so many tokens.
    Begin(u32),
    /// It goes on, and cost so many tokens more, or fewer than was thought.
    Charge(i64),
    /// It is over, and cost so many tokens more, or fewer than was thought.
    End(i64),
}

/// Why an answer must not begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Denial {
    /// What is used up.
    pub quota: Quota,
    /// When it is not, in microseconds from now.
    retry_after_us: u64,
}

/// What can be used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Quota {
    /// Requests in a minute.
    Requests,
    /// Tokens in a minute.
    Tokens,
    /// Answers under way at the same time.
    Streams,
}

/// What one user has used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Use {
    requests: Rate,
    tokens: Rate,
    /// Answers under way, and until when they are believed to be.
    leases: Vec<(u64, Instant)>,
}

/// A rate that is kept on average, by the generic cell rate algorithm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Rate {
    /// When everything admitted so far is paid for, in nanoseconds after the clock's origin.
    paid_ns: u64,
}

impl Allowance {
    /// Whether nothing is bounded.
    pub fn is_unbounded(&self) -> bool {
        *self == Self::default()
    }
}

impl From<&Plan> for Allowance {
    fn from(plan: &Plan) -> Self {
        Self {
            requests_per_minute: plan.requests_per_minute,
            tokens_per_minute: plan.tokens_per_minute,
            concurrent_streams: plan.concurrent_streams,
        }
    }
}

impl Rate {
    /// How long after `now` so much more can be admitted. Who asks for more than a minute's worth is
    /// admitted when nothing else is unpaid, and pays for all of it.
    fn wait(&self, now: Instant, cost: u32, per_minute: NonZeroU32) -> Duration {
        let cost = cost_ns(cost.min(per_minute.get()).into(), per_minute);
        let paid = self.paid_ns.max(ns(now)).saturating_add(cost);
        let ahead = paid.saturating_sub(ns(now));
        Duration::from_nanos(ahead.saturating_sub(PERIOD.as_nanos() as u64))
    }

    fn charge(&mut self, now: Instant, cost: i64, per_minute: NonZeroU32) {
        let ns_cost = cost_ns(cost.unsigned_abs(), per_minute);
        self.paid_ns = if cost < 0 {
            self.paid_ns.saturating_sub(ns_cost)
        } else {
            self.paid_ns.max(ns(now)).saturating_add(ns_cost)
        };
    }
}

fn ns(at: Instant) -> u64 {
    at.as_micros().saturating_mul(1000)
}

/// What so many cost, of so many in a minute; rounded down, so that as many do fit into one.
fn cost_ns(cost: u64, per_minute: NonZeroU32) -> u64 {
    let ns = u128::from(cost) * PERIOD.as_nanos() / u128::from(per_minute.get());
    u64::try_from(ns).unwrap_or(u64::MAX)
}

impl Use {
    /// Enters what an answer does. Only its beginning can be denied, and then nothing is counted.
    pub fn apply(&mut self, op: &QuotaOp, now: Instant) -> Result<(), Denial> {
        self.leases.retain(|(_, until)| now < *until);
        let QuotaOp { lease, allowance, act } = op;
        match act {
            Act::Begin(prompt_tokens) => {
                self.admit(allowance, *prompt_tokens, now)?;
                self.charge_request(allowance, now);
                self.charge_tokens(allowance, (*prompt_tokens).into(), now);
                self.hold(*lease, allowance, now);
            }
            Act::Charge(tokens) => {
                self.charge_tokens(allowance, *tokens, now);
                self.hold(*lease, allowance, now);
            }
            Act::End(tokens) => {
                self.charge_tokens(allowance, *tokens, now);
                self.leases.retain(|(held, _)| held != lease);
            }
        }
        Ok(())
    }

    /// Of all that is used up, what stays so the longest.
    fn admit(&self, allowance: &Allowance, tokens: u32, now: Instant) -> Result<(), Denial> {
        let wait = |rate: &Rate, cost, per_minute: Option<NonZeroU32>| {
            per_minute.map_or(Duration::ZERO, |per_minute| rate.wait(now, cost, per_minute))
        };
        let streams_max = |max: NonZeroU32| (max.get() as usize).min(LEASES_MAX);
        let full =
            allowance.concurrent_streams.is_some_and(|max| self.leases.len() >= streams_max(max));
        let waits = [
            (if full { STREAM_RETRY } else { Duration::ZERO }, Quota::Streams),
            (wait(&self.tokens, tokens, allowance.tokens_per_minute), Quota::Tokens),
            (wait(&self.requests, 1, allowance.requests_per_minute), Quota::Requests),
        ];
        match waits.into_iter().max_by_key(|(wait, _)| *wait) {
            Some((wait, quota)) if !wait.is_zero() => Err(Denial::new(quota, wait)),
            _ => Ok(()),
        }
    }

    fn charge_request(&mut self, allowance: &Allowance, now: Instant) {
        if let Some(per_minute) = allowance.requests_per_minute {
            self.requests.charge(now, 1, per_minute);
        }
    }

    fn charge_tokens(&mut self, allowance: &Allowance, tokens: i64, now: Instant) {
        if let Some(per_minute) = allowance.tokens_per_minute {
            self.tokens.charge(now, tokens, per_minute);
        }
    }

    fn hold(&mut self, lease: u64, allowance: &Allowance, now: Instant) {
        if allowance.concurrent_streams.is_none() {
            return;
        }
        let until = now + LEASE;
        if let Some(held) = self.leases.iter_mut().find(|(held, _)| *held == lease) {
            held.1 = until;
        } else if self.leases.len() < LEASES_MAX {
            self.leases.push((lease, until));
        }
    }
}

impl Denial {
    fn new(quota: Quota, retry_after: Duration) -> Self {
        // Rounded up: whoever comes back then is to be let in.
        let us = retry_after.as_nanos().div_ceil(1000);
        Self { quota, retry_after_us: u64::try_from(us).unwrap_or(u64::MAX) }
    }

    /// How long it lasts.
    pub fn retry_after(&self) -> Duration {
        Duration::from_micros(self.retry_after_us)
    }
}

impl From<Denial> for Failure {
    fn from(denial: Denial) -> Self {
        let mut failure = Self::from(match denial.quota {
            Quota::Requests => Reason::RequestQuota,
            Quota::Tokens => Reason::TokenQuota,
            Quota::Streams => Reason::StreamQuota,
        });
        failure.retry_after = Some(denial.retry_after());
        failure
    }
}

/// What all users of a process have used. Cheap to clone: clones share it.
#[derive(Clone, Debug, Default)]
pub struct Quotas(Arc<Mutex<Generations>>);

/// Who was heard of since the last change of generations, and who before it.
#[derive(Debug, Default)]
struct Generations {
    young: HashMap<Arc<str>, Use>,
    old: HashMap<Arc<str>, Use>,
}

impl Quotas {
    /// Enters what an answer of `user` does.
    pub fn apply(&self, user: &Arc<str>, op: &QuotaOp, now: Instant) -> Result<(), Denial> {
        self.generations().of(user).apply(op, now)
    }

    /// A lock that a panic cannot poison for good: every use is a valid one.
    fn generations(&self) -> MutexGuard<'_, Generations> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Generations {
    fn of(&mut self, user: &Arc<str>) -> &mut Use {
        if !self.young.contains_key(user) {
            let known = self.old.remove(user).unwrap_or_default();
            if self.young.len() >= USERS_MAX {
                self.old = std::mem::take(&mut self.young);
            }
            self.young.insert(user.clone(), known);
        }
        self.young.entry(user.clone()).or_default()
    }
}

#[cfg(test)]
mod tests;
