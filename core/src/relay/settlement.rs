//! How an answer went: said once, last, for the log, the accounts and the store.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::access::Caller;
use crate::chat::Usage;
use crate::history::Exchange;
use crate::limit::learned::LearnedLimit;
use crate::limit::parameter::Parameters;
use crate::limit::{Limit, Terms};
use crate::protocol::End;
use crate::target::Target;

/// One call to one target.
#[derive(Clone, Debug)]
pub struct AttemptRecord {
    /// Whom.
    pub target: Arc<Target>,
    /// The limit sent; `None`: the target was not called.
    pub limits: Option<CallLimits>,
    /// What was left out of what the request asked for, because the target does not take it.
    pub left_out: Parameters,
    /// As a stream or as one whole answer.
    pub stream: bool,
    /// When, after the request came.
    pub began: Duration,
    /// For how long.
    pub took: Duration,
    /// How it ended.
    pub end: End,
}

impl fmt::Display for AttemptRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let way = if self.stream { "stream" } else { "whole" };
        let outcome = match &self.end {
            End::Finished(_) => "finished",
            End::Cancelled => "cancelled",
            End::Failed(failure) => failure.reason.code(),
        };
        write!(f, "{} {way} {outcome} {} ms", self.target, self.took.as_millis())?;
        match self.left_out.is_empty() {
            true => Ok(()),
            false => write!(f, " without {}", self.left_out.names()),
        }
    }
}

/// The limit sent with a call, and what it follows from.
#[derive(Clone, Copy, Debug)]
pub struct CallLimits {
    /// What bounds the answer.
    pub terms: Terms,
    /// The limit sent; `None`: the provider's own default.
    pub limit: Option<Limit>,
}

impl CallLimits {
    /// The limit sent, in tokens.
    pub(super) fn max_output(&self) -> Option<u32> {
        self.limit.map(|limit| limit.max_output)
    }
}

/// How an answer went.
#[derive(Clone, Debug)]
pub struct Settlement {
    /// What later requests may refer to, where the client's protocol has that.
    pub exchange: Option<Box<Exchange>>,
    /// Who sent the request.
    pub caller: Option<Caller>,
    /// How it ended.
    pub end: End,
    /// Every call made, in order.
    pub attempts: Vec<AttemptRecord>,
    /// Whose content was delivered; `None` where none was.
    pub served_by: Option<Arc<Target>>,
    /// Whether what was delivered is a closing message instead of a model's answer.
    pub fallback: bool,
    /// The provider's count, or an estimate marked as one.
    pub usage: Usage,
    /// Events with content that were delivered.
    pub chunks: u64,
    /// Events of the upstream that could not be read and were skipped.
    pub skipped: u64,
    /// From the request to its first content.
    pub first_content: Option<Duration>,
    /// From the request to its end.
    pub took: Duration,
    /// What is known of limits since this answer's refusals: rows to be kept.
    pub learned: Vec<LearnedLimit>,
}

impl Settlement {
    /// What bounded the answer that was delivered, and the limit that was asked for: those of the
    /// target that served it, else of the last that was called; `None` where none was called.
    pub fn bounds(&self) -> Option<(&Terms, Option<Limit>)> {
        let serves = |attempt: &&AttemptRecord| {
            self.served_by.as_ref().is_some_and(|target| Arc::ptr_eq(target, &attempt.target))
        };
        let called = || self.attempts.iter().rev().filter(|attempt| attempt.limits.is_some());
        let limits = called().find(serves).or_else(|| called().next())?.limits.as_ref()?;
        Some((&limits.terms, limits.limit))
    }
}
