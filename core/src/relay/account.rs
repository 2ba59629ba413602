//! The books of one answer: what each attempt cost and how it ended, the first cause of failure,
//! and whose content was delivered. What becomes of all that is the [`Settlement`].

use std::sync::Arc;
use std::time::Duration;

use super::attempt::Attempt;
use super::delivery::Delivered;
use super::{AttemptRecord, End, Settlement};
use crate::access::Caller;
use crate::chat::Usage;
use crate::failure::{Failure, Reason, Who};
use crate::limit::parameter::Parameters;
use crate::target::Target;
use crate::time::Instant;

pub(super) struct Account {
    caller: Option<Caller>,
    began: Instant,
    attempts: Vec<AttemptRecord>,
    /// The first failure: what is reported when everything failed.
    cause: Option<Failure>,
    /// The last failure, until another way is taken.
    lost: Option<Failure>,
    /// When each target that asked for a wait may be called again.
    ready: Vec<(Arc<Target>, Instant)>,
    /// What the attempts so far cost.
    pub(super) spent: Usage,
    served_by: Option<Arc<Target>>,
    skipped: u64,
}

impl Account {
    pub(super) fn new(caller: Option<Caller>, began: Instant) -> Self {
        Self {
            caller,
            began,
            attempts: Vec::new(),
            cause: None,
            lost: None,
            ready: Vec::new(),
            spent: Usage::default(),
            served_by: None,
            skipped: 0,
        }
    }

    /// Something failed: reported in the end, if it is the first. What a provider reports in its own
    /// words takes precedence over an answer without any. That a conversation is too long
    /// for one target is no cause any more when another fails, or has a larger window.
    pub(super) fn record_failure(&mut self, failure: Failure) {
        self.lost = Some(failure.clone());
        let window = |failure: &Failure| failure.overflow.map(|overflow| overflow.window);
        match &mut self.cause {
            Some(cause) if cause.reason == Reason::ContextLength => {
                if failure.reason != Reason::ContextLength || window(cause) < window(&failure) {
                    *cause = failure;
                }
            }
            Some(cause) if is_silence(cause.reason) && is_reported(failure.reason) => {
                *cause = failure;
            }
            cause => drop(cause.get_or_insert(failure)),
        }
    }

    /// The last failure since the last call of this function.
    pub(super) fn take_failure(&mut self) -> Option<Failure> {
        self.lost.take()
    }

    /// The first cause, not the last symptom. Of all targets that asked for a wait the soonest to be
    /// ready counts; what the client has to change itself does not get better by waiting.
    pub(super) fn cause(&self, now: Instant) -> Failure {
        let cause = self.cause.clone().unwrap_or_else(|| Reason::Internal.into());
        if cause.reason.row().who == Who::Client {
            return cause;
        }
        let soonest = self.ready.iter().map(|(_, at)| *at).min();
        Failure { retry_after: soonest.map(|at| at.since(now)), ..cause }
    }

    /// Notes when a target asks to be called again, in place of what it asked before.
    fn note_wait(&mut self, target: &Arc<Target>, failure: &Failure, now: Instant) {
        self.ready.retain(|(known, _)| !Arc::ptr_eq(known, target));
        self.ready.extend(failure.retry_after.map(|wait| (target.clone(), now + wait)));
    }

    /// The client was given content of this target; the first is remembered.
    pub(super) fn served(&mut self, target: &Arc<Target>) {
        self.served_by.get_or_insert_with(|| target.clone());
    }

    /// The answer was finished by this target.
    pub(super) fn finished(&mut self, target: &Arc<Target>) {
        self.served_by = Some(target.clone());
    }

    /// Adds what an attempt cost: the provider's own count, else an estimate, also of an answer that
    /// finished without content; without an answer, nothing.
    pub(super) fn charge(&mut self, attempt: &Attempt, input_tokens: u32, delivered: &Delivered) {
        let answered = attempt.reading.content || attempt.reading.has_finished();
        // What came since is not the attempt's own if it lost a hedge.
        let estimate = || match answered {
            false => Usage::default(),
            true => Usage {
                // Only the first of several answers is read.
                output_tokens: delivered
                    .tokens(attempt.plan.bytes_before, attempt.plan.text_before)
                    .likely
                    .saturating_mul(attempt.plan.copies),
                estimated: true,
                ..attempt.reading.prompt.unwrap_or(Usage { input_tokens, ..Usage::default() })
            },
        };
        self.spent.add(&attempt.reading.usage.unwrap_or_else(estimate));
    }

    /// An attempt ended.
    pub(super) fn close(&mut self, attempt: &Attempt, end: End, now: Instant) {
        if let End::Failed(failure) = &end {
            self.note_wait(&attempt.plan.target, failure, now);
        }
        self.skipped += attempt.reading.skipped;
        self.attempts.push(AttemptRecord {
            target: attempt.plan.target.clone(),
            limits: Some(attempt.plan.limits),
            left_out: attempt.plan.left_out,
            stream: attempt.plan.stream,
            began: attempt.began.since(self.began),
            took: now.since(attempt.began),
            end,
        });
    }

    /// A target was not called at all.
    pub(super) fn uncalled(
        &mut self,
        target: &Arc<Target>,
        stream: bool,
        failure: Failure,
        now: Instant,
    ) {
        self.attempts.push(AttemptRecord {
            target: target.clone(),
            limits: None,
            left_out: Parameters::default(),
            stream,
            began: now.since(self.began),
            took: Duration::ZERO,
            end: End::Failed(failure.clone()),
        });
        self.note_wait(target, &failure, now);
        self.record_failure(failure);
    }

    /// How many answers of this target stopped coming.
    pub(super) fn stalls(&self, target: &Arc<Target>) -> usize {
        let is_stall = |end: &End| matches!(end, End::Failed(failure) if failure.reason == Reason::BetweenTokensTimeout);
        let attempts = self.attempts.iter().filter(|attempt| Arc::ptr_eq(&attempt.target, target));
        attempts.filter(|attempt| is_stall(&attempt.end)).count()
    }

    /// Closes the books.
    pub(super) fn settle(
        &mut self,
        end: End,
        fallback: bool,
        delivered: &Delivered,
        now: Instant,
    ) -> Settlement {
        Settlement {
            exchange: None,
            caller: self.caller.clone(),
            end,
            attempts: std::mem::take(&mut self.attempts),
            served_by: self.served_by.take(),
            fallback,
            usage: self.spent,
            chunks: delivered.chunks,
            skipped: self.skipped,
            first_content: delivered.first.map(|first| first.since(self.began)),
            took: now.since(self.began),
            learned: Vec::new(),
        }
    }
}

/// Whether nothing is known of a failure but that no answer came.
fn is_silence(reason: Reason) -> bool {
    matches!(reason, Reason::Empty | Reason::Garbage)
}

/// Whether it is a failure that providers report themselves.
fn is_reported(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::Unauthorized
            | Reason::Payment
            | Reason::Forbidden
            | Reason::ModelUnavailable
            | Reason::RateLimited
            | Reason::Overloaded
            | Reason::ServerError
            | Reason::InBand
            | Reason::Rejected
            | Reason::ContextLength
            | Reason::TooManyTokens
    )
}
