//! How an answer went: said once, last, for the log, the accounts and the store.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::Call;
use crate::access::Caller;
use crate::chat::Usage;
use crate::limit::learned::LearnedLimit;
use crate::protocol::End;
use crate::target::Target;

/// One call to one target.
#[derive(Clone, Debug)]
pub struct AttemptRecord {
    /// Whom.
    pub target: Arc<Target>,
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
        write!(f, "{} {way} {outcome} {} ms", self.target, self.took.as_millis())
    }
}

/// How an answer went.
#[derive(Clone, Debug)]
pub struct Settlement {
    /// Who asked.
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

/// A name and a value of a structured log line.
pub type Field = (&'static str, String);

fn who(caller: Option<&Caller>) -> [Field; 2] {
    let user = caller.map_or("none", |caller| &caller.user);
    let plan = caller.and_then(|caller| caller.plan.as_ref());
    let plan = plan.map_or("none", |plan| &plan.name);
    [("user", user.to_owned()), ("plan", plan.to_owned())]
}

impl Settlement {
    /// The log line of a finished answer, the same on both shells.
    pub fn log_fields(&self) -> Vec<Field> {
        let (end, detail) = match &self.end {
            End::Finished(reason) => (reason.as_str(), String::new()),
            End::Cancelled => ("cancelled", String::new()),
            End::Failed(failure) => (failure.reason.code(), failure.message().to_owned()),
        };
        let model_used = self.served_by.as_ref().map_or_else(|| "none".into(), |t| t.to_string());
        let attempts: Vec<_> = self.attempts.iter().map(ToString::to_string).collect();
        let [user, plan] = who(self.caller.as_ref());
        let mut fields = vec![
            ("success", (!self.fallback && matches!(self.end, End::Finished(_))).to_string()),
            ("end", end.to_owned()),
            ("model_used", model_used),
            ("fallback_used", (self.fallback || self.attempts.len() > 1).to_string()),
            ("chunk_count", self.chunks.to_string()),
            ("input_tokens", self.usage.input_tokens.to_string()),
            ("output_tokens", self.usage.output_tokens.to_string()),
            ("usage_estimated", self.usage.estimated.to_string()),
            ("processing_time_ms", self.took.as_millis().to_string()),
            ("attempts", attempts.join("; ")),
            user,
            plan,
        ];
        if let Some(first) = self.first_content {
            fields.push(("first_content_ms", first.as_millis().to_string()));
        }
        if self.skipped > 0 {
            fields.push(("skipped_events", self.skipped.to_string()));
        }
        if !detail.is_empty() {
            fields.push(("detail", detail));
        }
        fields
    }
}

impl Call {
    /// The log line of a call that is about to be made: who, and how long an answer may be and why.
    pub fn log_fields(&self) -> Vec<Field> {
        let tokens = |tokens: Option<u32>| tokens.map_or_else(|| "none".into(), |n| n.to_string());
        let [user, plan] = who(self.caller.as_ref());
        vec![
            ("target", self.target.to_string()),
            ("attempt", self.attempt.to_string()),
            ("streaming", self.stream.to_string()),
            user,
            plan,
            ("plan_max_tokens", tokens(self.terms.plan)),
            ("model_max_tokens", tokens(self.terms.model)),
            ("requested_max_tokens", tokens(self.terms.requested)),
            (
                "max_tokens",
                self.limit.map_or_else(|| "provider's".into(), |l| l.max_output.to_string()),
            ),
            ("term", self.limit.map_or_else(|| "none".into(), |limit| limit.term.to_string())),
        ]
    }
}
