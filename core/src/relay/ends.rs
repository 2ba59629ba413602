//! How attempts end, and what follows: the next rung, a continuation, or the end of the answer.

use std::fmt;

use super::attempt::{Attempt, Plan};
use super::continuation::Way;
use super::{Downstream, End, Exhausted, Midstream, Output, Relay};
use crate::chat::{Event, FinishReason};
use crate::failure::{Failure, Reason, Retry, Who};
use crate::target::{ApiKey, ChosenBy, Target};

/// How often one answer is continued.
const CONTINUATIONS_MAX: u32 = 4;

impl Relay {
    /// The attempt at this index finished the answer.
    pub(super) fn complete(&mut self, index: usize, client: &mut dyn Downstream) {
        let mut attempt = self.live.swap_remove(index);
        self.charge(&attempt);
        let mut delivery = self.delivered.to(client);
        let finish = attempt.reading.deliver_end(&self.account.spent, &mut delivery);
        self.close(&attempt, End::Finished(finish));
        self.cancel_live();
        self.account.finished(&attempt.plan.target);
        self.settle(End::Finished(finish), false);
    }

    /// The attempt at this index failed.
    pub(super) fn fail(&mut self, index: usize, mut failure: Failure, client: &mut dyn Downstream) {
        let attempt = self.live.swap_remove(index);
        let plan = &attempt.plan;
        hide_key(&mut failure, &plan.target.provider.api_key);
        blame_user(&mut failure, &plan.target);
        let again =
            self.apply_limits(&attempt, &mut failure) || self.leave_out(&attempt, &failure, client);
        if !self.job.client.is_spoken_by(plan.target.provider.upstream) {
            failure.drop_original_body();
        }
        self.charge(&attempt);
        self.close(&attempt, End::Failed(failure.clone()));
        if again {
            return self.begin(plan.index, plan.stream, plan.continues, client);
        }
        self.account.record_failure(failure.clone());
        if self.delivered.has_content() {
            self.account.served(&plan.target);
            return self.continue_answer(&attempt, &failure, client);
        }
        self.next_rung(&attempt, &failure, client);
    }

    /// Nothing has been delivered, so everything may be tried that the failure leaves open.
    fn next_rung(&mut self, attempt: &Attempt, failure: &Failure, client: &mut dyn Downstream) {
        let plan = &attempt.plan;
        let streamed = plan.stream && plan.target.provider.answers_whole();
        let retry = failure.reason.row().retry;
        if retry == Retry::Later {
            self.ladder.allow_retry(plan.index, failure, self.now);
        }
        match retry {
            Retry::Never => {
                self.cancel_live();
                self.settle_failed();
            }
            Retry::Unstreamed if streamed => self.begin(plan.index, false, None, client),
            Retry::Unstreamed | Retry::NextTarget | Retry::Later if !self.live.is_empty() => {
                self.emit_warning(format_args!("Another model is still answering"), client);
            }
            Retry::Unstreamed | Retry::NextTarget | Retry::Later => self.call_next(client),
        }
    }

    /// An answer broke off, or the attempt to continue it failed.
    fn continue_answer(
        &mut self,
        attempt: &Attempt,
        failure: &Failure,
        client: &mut dyn Downstream,
    ) {
        let stops = self.job.fallback.midstream == Midstream::Stop
            || !self.delivered.can_continue()
            || matches!(failure.reason, Reason::TotalTimeout | Reason::AnswerTooLong);
        if stops {
            return self.settle_failed();
        }
        let plan = &attempt.plan;
        let broke = plan.continues.is_none() || attempt.reading.content;
        if broke {
            self.continuations += 1;
            if self.continuations > CONTINUATIONS_MAX {
                return self.settle_failed();
            }
            self.ladder.continue_after(plan.index, self.may_continue(plan, failure));
        } else if let Some(way) = self.way_after_rejection(attempt, failure) {
            return self.begin(plan.index, plan.stream, Some(way), client);
        } else if failure.reason.row().retry == Retry::Later {
            self.ladder.allow_retry(plan.index, failure, self.now);
        }
        self.call_next(client);
    }

    /// Whether a target whose answer broke off may continue it itself. A stall takes its whole deadline
    /// each time, and an answer that began anew is paid for as a whole: one such break is enough.
    fn may_continue(&self, plan: &Plan, failure: &Failure) -> bool {
        match (plan.continues, failure.reason) {
            (Some(Way::Anew), _) => false,
            (_, Reason::BetweenTokensTimeout) => self.account.stalls(&plan.target) < 2,
            _ => true,
        }
    }

    /// How the target is asked once more that rejected a continuation: it may take no conversation
    /// that ends with an answer.
    fn way_after_rejection(&self, attempt: &Attempt, failure: &Failure) -> Option<Way> {
        let way = attempt.plan.continues.filter(|_| failure.reason == Reason::Rejected)?;
        way.after_rejection(&self.job.fallback.instruction)
    }

    /// The client left, or asked to stop.
    pub(super) fn hangup(&mut self) {
        if let Some(attempt) = self.live.first().filter(|attempt| attempt.reading.content) {
            self.account.finished(&attempt.plan.target);
        }
        self.cancel_live();
        self.settle(End::Cancelled, false);
    }

    /// No target is left.
    pub(super) fn exhausted(&mut self, client: &mut dyn Downstream) {
        if self.delivered.has_content() || self.job.exhausted == Exhausted::Error {
            return self.settle_failed();
        }
        self.emit_warning(format_args!("No model is left to ask"), client);
        let cause = self.account.cause(self.now);
        let apology = format!("Sorry, no model can answer right now. {}", cause.message());
        let mut delivery = self.delivered.to(client);
        delivery.content(self.now, &Event::Text(apology.into()), false);
        delivery.event(&Event::Finish(FinishReason::Stop));
        delivery.event(&Event::Usage(self.account.spent));
        self.settle(End::Finished(FinishReason::Stop), true);
    }

    /// Reports what failed since the last call, together with what is tried now.
    pub(super) fn emit_warning(&mut self, now: fmt::Arguments<'_>, client: &mut dyn Downstream) {
        let Some(failure) = self.account.take_failure() else { return };
        client.event(&Event::Warning(format!("{now}: {}", failure.message()).into()));
    }

    pub(super) fn cancel_live(&mut self) {
        self.close_live(&End::Cancelled);
    }

    pub(super) fn close_live(&mut self, end: &End) {
        for attempt in std::mem::take(&mut self.live) {
            self.charge(&attempt);
            self.close(&attempt, end.clone());
        }
    }

    /// Records an attempt's end and what it means for its target's health; stops its call unless
    /// that has ended by itself.
    fn close(&mut self, attempt: &Attempt, end: End) {
        let target = &attempt.plan.target;
        match &end {
            End::Finished(_) | End::Cancelled | End::Failed(_) if attempt.over => {}
            End::Finished(_) if !attempt.reading.is_cut() => {
                self.actions.push_back(Output::Release { attempt: attempt.id });
            }
            End::Finished(_) | End::Cancelled | End::Failed(_) => {
                self.actions.push_back(Output::Cancel { attempt: attempt.id });
            }
        }
        match &end {
            End::Finished(_) => self.job.health.succeeded(target),
            End::Failed(failure) if failure.reason.row().who != Who::Client => {
                self.job.health.failed(target, self.now, failure.retry_after);
            }
            End::Failed(_) | End::Cancelled => {}
        }
        self.account.close(attempt, end, self.now);
    }

    fn charge(&mut self, attempt: &Attempt) {
        self.account.charge(attempt, self.bounds.input_tokens(), &self.delivered);
    }

    /// Everything failed: the first cause is reported, not the last symptom. What a continuation
    /// wrote and the splice still holds back is dropped: a missing end is reported as one, but a
    /// repeated text could not be recognised by the client.
    pub(super) fn settle_failed(&mut self) {
        self.settle(End::Failed(self.account.cause(self.now)), false);
    }

    pub(super) fn settle(&mut self, end: End, fallback: bool) {
        self.settled = true;
        let mut settlement = self.account.settle(end, fallback, &self.delivered, self.now);
        settlement.learned = self.bounds.take_learned();
        self.actions.push_back(Output::Settle(Box::new(settlement)));
    }
}

/// A key that a user gave is that user's to replace, not the operator's.
fn blame_user(failure: &mut Failure, target: &Target) {
    let by_key =
        matches!(failure.reason, Reason::Unauthorized | Reason::Payment | Reason::Forbidden);
    if by_key && target.provider.chosen_by != ChosenBy::Operator {
        failure.reason = Reason::UserKeyRefused;
    }
}

/// Removes the key from what a provider sent: some repeat it in their errors.
fn hide_key(failure: &mut Failure, key: &ApiKey) {
    failure.detail = key.hide_in(&failure.detail);
    if let Some(original) = &mut failure.original
        && let Ok(text) = std::str::from_utf8(&original.body)
    {
        original.body = key.hide_in(text).into_bytes();
    }
}
