//! What an answer tells of itself to its user's quota: that it wants to begin, what it cost while it
//! flows, and that it is over.

use std::sync::Arc;
use std::time::Duration;

use super::Caller;
use super::quota::{Act, Allowance, LEASE, QuotaOp};
use crate::time::Instant;

/// Tokens are charged when there are so many,
const BATCH_TOKENS: u64 = 64;
/// or when the last charge is so long ago.
const BATCH_TIME: Duration = Duration::from_secs(1);

/// How often an answer is heard of that costs nothing meanwhile: it holds its place among those
/// that are under way.
const RENEW: Duration = Duration::from_secs(LEASE.as_secs() / 3);

/// Meters one answer.
#[derive(Debug)]
pub(crate) struct Meter {
    user: Arc<str>,
    allowance: Allowance,
    lease: u64,
    stage: Stage,
    /// Tokens of the prompt, at a guess.
    prompt: u32,
    /// Tokens that were charged so far.
    charged: u64,
    /// When they were.
    at: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Nobody has asked yet whether the answer may begin.
    New,
    /// It is not known whether it may.
    Asked,
    /// It may.
    Running,
    /// Nothing more is told.
    Over,
}

impl Meter {
    /// A meter for an answer to `caller`, if the plan bounds what is metered. `lease` is random.
    pub(crate) fn new(caller: &Caller, lease: u64, prompt: u32, now: Instant) -> Option<Self> {
        let allowance = Allowance::from(&**caller.plan.as_ref()?);
        (!allowance.is_unbounded()).then(|| Self {
            user: caller.user.shared(),
            allowance,
            lease,
            stage: Stage::New,
            prompt,
            charged: 0,
            at: now,
        })
    }

    /// Whose quota it is.
    pub(crate) fn user(&self) -> Arc<str> {
        self.user.clone()
    }

    /// Whether the answer may begin is known now. Returns whether it was not before.
    pub(crate) fn answered(&mut self, may_begin: bool) -> bool {
        let is_news = self.stage == Stage::Asked;
        if is_news {
            self.stage = if may_begin { Stage::Running } else { Stage::Over };
        }
        is_news
    }

    /// What is to be told of an answer that has had so many tokens.
    pub(crate) fn goes_on(&mut self, now: Instant, answer_tokens: u32) -> Option<QuotaOp> {
        match self.stage {
            Stage::New => {
                self.stage = Stage::Asked;
                self.charged = self.prompt.into();
                self.at = now;
                Some(self.op(Act::Begin(self.prompt)))
            }
            Stage::Running => {
                let cost = u64::from(self.prompt) + u64::from(answer_tokens);
                let uncharged = cost.saturating_sub(self.charged);
                let silent = now.since(self.at);
                let is_due = uncharged >= BATCH_TOKENS
                    || silent >= RENEW
                    || (uncharged > 0 && silent >= BATCH_TIME);
                is_due.then(|| {
                    self.at = now;
                    let act = Act::Charge(self.correct(cost));
                    self.op(act)
                })
            }
            Stage::Asked | Stage::Over => None,
        }
    }

    /// What is to be told of an answer that is over and cost so many tokens, prompt and all.
    pub(crate) fn over(&mut self, cost: u64) -> Option<QuotaOp> {
        let heard_of = matches!(self.stage, Stage::Asked | Stage::Running);
        self.stage = Stage::Over;
        heard_of.then(|| {
            let act = Act::End(self.correct(cost));
            self.op(act)
        })
    }

    /// When there is something to tell at the latest.
    pub(crate) fn due(&self) -> Option<Instant> {
        (self.stage == Stage::Running).then(|| self.at + RENEW)
    }

    /// What was charged becomes `cost`; returns the difference.
    fn correct(&mut self, cost: u64) -> i64 {
        let difference = i128::from(cost) - i128::from(self.charged);
        self.charged = cost;
        i64::try_from(difference).unwrap_or(i64::MAX)
    }

    fn op(&self, act: Act) -> QuotaOp {
        QuotaOp { lease: self.lease, allowance: self.allowance, act }
    }
}

#[cfg(test)]
mod tests;
