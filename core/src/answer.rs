//! One answer: the relay that produces it, the quota that meters it, and the client that reads it.
//! What a shell drives.
//!
//! The driver loop, the same in both shells:
//!
//! ```text
//! loop {
//!     match answer.poll() {
//!         Call(call)         => begin it: call.http() or, for Upstream::Local, the engine
//!         Cancel { attempt } => abort that call at once
//!         Release { attempt }=> read that call's body out, or abort it
//!         Head(head)         => send the response's head; comes once, before any body
//!         Body(bytes)        => write them, in one write
//!         Quota { op, .. }   => apply it to the user's quota, and answer.entered(now, the result)
//!         Settle(settlement) => end the body; log; comes once, and last
//!         Wait { until }     => await the upstream, the client's leaving, or that time,
//!                               and answer.handle(now, what happened)
//!     }
//! }
//! ```

use std::fmt;
use std::sync::Arc;

use crate::access::Meter;
use crate::access::quota::{Denial, QuotaOp};
use crate::chat::Usage;
use crate::failure::Failure;
use crate::log::{self, Answered, Record};
use crate::protocol::{AnswerMeta, ClientProtocol};
use crate::relay::{self, AttemptId, Call, Input, Job, Relay, Settlement};
pub use crate::response::Head;
use crate::response::{self, Calls, Response};
use crate::time::Instant;

/// What a shell is to do.
#[derive(Debug)]
pub enum Output<'a> {
    /// Call this target.
    Call(Call),
    /// Stop this attempt's call at once.
    Cancel {
        /// The attempt.
        attempt: AttemptId,
    },
    /// This attempt's call is no longer needed; its connection may be used again.
    Release {
        /// The attempt.
        attempt: AttemptId,
    },
    /// Send the response's head.
    Head(Head),
    /// Write these bytes of the response's body, in one write.
    Body(&'a [u8]),
    /// Apply this to the user's quota, and pass the result to [`Answer::entered`].
    Quota {
        /// The user.
        user: Arc<str>,
        /// What to apply.
        op: QuotaOp,
    },
    /// The response is over. Comes exactly once, and last.
    Settle(Box<Settlement>),
    /// Nothing, until an input comes or the time does.
    Wait {
        /// When, and why then; `None`: only an input can help.
        until: Option<(Instant, Timer)>,
    },
}

/// Why an answer waits until a certain time and no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timer {
    /// A deadline of the relay.
    Relay(relay::Timer),
    /// The client is due to be sent something.
    Response(response::Timer),
    /// The user's quota is to be renewed.
    Quota,
}

impl fmt::Display for Timer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Relay(timer) => write!(f, "{timer:?}"),
            Self::Response(timer) => write!(f, "{timer:?}"),
            Self::Quota => write!(f, "Quota"),
        }
    }
}

/// One client's answer.
pub struct Answer {
    relay: Relay,
    /// `None`: the user's plan bounds nothing that is metered.
    meter: Option<Meter>,
    response: Response,
    id: String,
    /// See [`Self::model`].
    model: String,
    /// The client's own name for the conversation.
    session: Option<String>,
    /// The client reads a stream.
    stream: bool,
    calls: Calls,
    settlement: Option<Box<Settlement>>,
    now: Instant,
}

impl Answer {
    /// Begins to answer.
    pub fn new(job: Job, meta: AnswerMeta, now: Instant) -> Self {
        let mut answer = Self::idle(job, meta, now);
        if answer.meter.is_none() {
            answer.start(now);
        }
        answer
    }

    /// Answers a request that cannot be answered, with the reason.
    pub fn refused(job: Job, meta: AnswerMeta, now: Instant, failure: Failure) -> Self {
        let mut answer = Self::idle(job, meta, now);
        answer.meter = None;
        answer.relay.refuse(now, failure);
        answer
    }

    fn idle(job: Job, meta: AnswerMeta, now: Instant) -> Self {
        let (caller, lease) = (job.caller.clone(), job.seed);
        let (id, model) = (meta.id.clone(), meta.model.clone());
        let (session, stream) = (meta.request.conversation.clone(), meta.request.stream);
        let response = Response::new(job.client, job.request.stream, meta, &job.timeouts, now);
        let relay = Relay::new(job, now);
        let prompt = relay.input_tokens();
        let meter = caller.and_then(|caller| Meter::new(&caller, lease, prompt, now));
        let calls = Calls::default();
        Self { relay, meter, response, id, model, session, stream, calls, settlement: None, now }
    }

    fn start(&mut self, now: Instant) {
        self.response.open();
        self.relay.start(now, &mut self.response);
    }

    /// Our name for the answer: what `x-stream-id` and the log call it.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The configured name of the model that was asked for; empty where there is no such model.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// The protocol that the client reads.
    pub fn client(&self) -> ClientProtocol {
        self.response.client()
    }

    /// The log record of how it went.
    pub fn record(&self, settlement: &Settlement) -> Record {
        let answered = Answered {
            stream_id: &self.id,
            session: self.session.as_deref(),
            client: self.client(),
            model: &self.model,
            streaming: self.stream,
        };
        log::answer(&answered, settlement)
    }

    /// Takes in what happened at `now`.
    pub fn handle(&mut self, now: Instant, input: Input<'_>) {
        self.now = self.now.max(now);
        self.relay.handle(self.now, input, &mut self.response);
    }

    /// Takes in the user's quota's verdict on the last [`Output::Quota`].
    pub fn entered(&mut self, now: Instant, entered: Result<(), Denial>) {
        self.now = self.now.max(now);
        let Some(meter) = &mut self.meter else { return };
        if meter.answered(entered.is_ok()) {
            match entered {
                Ok(()) => self.start(self.now),
                Err(denial) => self.relay.refuse(self.now, denial.into()),
            }
        }
    }

    /// The next thing to do. Ends in [`Output::Wait`], also after [`Output::Settle`].
    pub fn poll(&mut self) -> Output<'_> {
        if let Some(action) = self.next_action() {
            return action;
        }
        let runs = self.relay.until().is_some();
        if runs {
            self.response.heartbeat(self.now);
        }
        if let Some(head) = self.response.take_head(&self.calls) {
            return Output::Head(head);
        }
        if self.response.has_body() {
            return Output::Body(self.response.take_body(self.now));
        }
        if let Some(quota) = self.metered() {
            return quota;
        }
        if let Some(settlement) = self.settlement.take() {
            return Output::Settle(settlement);
        }
        let relay = self.relay.until().map(|(at, timer)| (at, Timer::Relay(timer)));
        let response = self.response.due().filter(|_| runs);
        let response = response.map(|(at, timer)| (at, Timer::Response(timer)));
        Output::Wait { until: [relay, response, self.meter_due()].into_iter().flatten().min() }
    }

    /// The relay's next action; its settlement waits until the response is sent.
    fn next_action(&mut self) -> Option<Output<'static>> {
        loop {
            return Some(match self.relay.poll() {
                relay::Output::Call(call) => {
                    self.calls.made += 1;
                    self.calls.target = call.target.to_string();
                    Output::Call(call)
                }
                relay::Output::Cancel { attempt } => Output::Cancel { attempt },
                relay::Output::Release { attempt } => Output::Release { attempt },
                relay::Output::Settle(settlement) => {
                    self.response.end(&settlement.end, settlement.fallback);
                    self.settlement = Some(settlement);
                    continue;
                }
                relay::Output::Wait { .. } => return None,
            });
        }
    }

    /// What is to be applied to the user's quota.
    fn metered(&mut self) -> Option<Output<'static>> {
        let meter = self.meter.as_mut()?;
        let op = match &self.settlement {
            Some(settlement) => {
                let Usage { input_tokens, output_tokens, .. } = settlement.usage;
                meter.over(u64::from(input_tokens) + u64::from(output_tokens))
            }
            None => meter.goes_on(self.now, self.relay.output_tokens()),
        };
        op.map(|op| Output::Quota { user: meter.user(), op })
    }

    fn meter_due(&self) -> Option<(Instant, Timer)> {
        Some((self.meter.as_ref()?.due()?, Timer::Quota))
    }
}

#[cfg(test)]
mod tests;
