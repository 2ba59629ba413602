//! The deadlines of an answer: the nearest one, and what happens when it has passed.

use super::attempt::{Attempt, Progress};
use super::{Downstream, End, Relay};
use crate::failure::{Failure, Reason};
use crate::time::Instant;

/// Why a relay waits until a certain time and no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timer {
    /// The response's first byte is due.
    FirstByte,
    /// The first content is due.
    FirstContent,
    /// The next target is called as well, because there is no content yet.
    Hedge,
    /// A target that failed transiently is called again.
    Backoff,
    /// The next event is due.
    BetweenTokens,
    /// A finished stream's end mark is due.
    AfterFinish,
    /// An error response's body is due.
    RefusalBody,
    /// The complete answer is due.
    Total,
}

impl Relay {
    /// The nearest deadline; none once the answer is settled.
    pub(super) fn deadline(&self) -> Option<(Instant, Timer)> {
        if self.settled {
            return None;
        }
        let total = (self.began + self.job.timeouts.total, Timer::Total);
        let own = self.live.iter().filter_map(|a| a.deadline(&self.job.timeouts, self.paused));
        let backoff = self.backoff.map(|at| (at, Timer::Backoff));
        own.chain(backoff).chain(self.hedge_due()).chain([total]).min()
    }

    /// When the next target is called beside the one that has no content yet.
    fn hedge_due(&self) -> Option<(Instant, Timer)> {
        let after = self.job.fallback.hedge_after;
        match self.live.as_slice() {
            [only] if !after.is_zero() && !only.reading.content => {
                let next = self.ladder.next()?;
                Some((next.ready.max(only.began + after), Timer::Hedge))
            }
            _ => None,
        }
    }

    /// Acts on every deadline that has passed: one that expires may set another that has too.
    pub(super) fn check_deadlines(&mut self, client: &mut dyn Downstream) {
        loop {
            self.until = self.deadline();
            let Some((due, timer)) = self.until.filter(|(due, _)| *due <= self.now) else { return };
            let mut expire = |reason| self.expire((due, timer), reason, client);
            match timer {
                Timer::FirstByte => expire(Reason::FirstByteTimeout),
                Timer::FirstContent => expire(Reason::FirstContentTimeout),
                Timer::BetweenTokens => expire(Reason::BetweenTokensTimeout),
                // Neither is reported: the answer has finished, or the refusal is the failure.
                Timer::AfterFinish | Timer::RefusalBody => expire(Reason::Lost),
                Timer::Backoff => {
                    self.backoff = None;
                    self.call_next(client);
                }
                Timer::Hedge => self.call_next(client),
                Timer::Total => self.expire_total(client),
            }
        }
    }

    /// Ends the attempt that has this deadline.
    fn expire(&mut self, due: (Instant, Timer), reason: Reason, client: &mut dyn Downstream) {
        let (timeouts, paused) = (&self.job.timeouts, self.paused);
        let expired = |a: &Attempt| a.deadline(timeouts, paused) == Some(due);
        let Some(index) = self.live.iter().position(expired) else { return };
        let attempt = &mut self.live[index];
        let result = attempt.lost(self.now, reason.into()).map(|()| Progress::Complete);
        self.advance(index, result, client);
    }

    fn expire_total(&mut self, client: &mut dyn Downstream) {
        match self.live.iter().position(|attempt| attempt.reading.has_finished()) {
            Some(finished) => self.complete(finished, client),
            None => {
                let failure = Failure::from(Reason::TotalTimeout);
                self.account.record_failure(failure.clone());
                self.close_live(&End::Failed(failure));
                self.settle_failed();
            }
        }
    }
}
