//! One answer: the relay that produces it, the quota that meters it, and where it goes. What a shell
//! drives.
//!
//! An answer goes straight to the client that asked for it, and nothing of it is retained. A kept
//! answer ([`Job::keep`]) goes into a journal, and runs whether or not it is read: clients join it
//! as [`Reader`]s with [`Answer::join`], at any position, and leave by being dropped.
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
//!         Body(bytes)        => write them, in one write (a kept answer has neither)
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
use crate::chat::{ChatRequest, Usage};
use crate::failure::Failure;
use crate::history::Exchange;
use crate::journal::{Bounds, Journal, Wire};
use crate::log::{self, Answered, Record};
use crate::protocol::{AnswerMeta, ClientProtocol, End, Times};
use crate::reader::{self, Expired, Reader};
use crate::relay::{self, AttemptId, Call, Downstream, Input, Job, Relay, Settlement, Timeouts};
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

/// One answer.
pub struct Answer {
    relay: Relay,
    /// `None`: the user's plan bounds nothing that is metered.
    meter: Option<Meter>,
    outlet: Outlet,
    answered: Arc<Answered>,
    calls: Calls,
    settlement: Option<Box<Settlement>>,
    now: Instant,
}

/// Where an answer goes.
#[expect(clippy::large_enum_variant, reason = "the usual one costs no allocation")]
enum Outlet {
    /// Straight to the client that asked.
    Client(Response),
    /// Into a journal, for readers.
    Journal(Box<Kept>),
}

/// A kept answer, and what a reader's response needs.
struct Kept {
    journal: Journal,
    meta: AnswerMeta,
    timeouts: Timeouts,
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
        let (caller, lease, client) = (job.caller.clone(), job.seed, job.client);
        let answered = Arc::new(Answered::of(client, &meta));
        let outlet = Outlet::new(&job, meta, now);
        let relay = Relay::new(job, now);
        let prompt = relay.input_tokens();
        let meter = caller.and_then(|caller| Meter::new(&caller, lease, prompt, now));
        let calls = Calls::default();
        Self { relay, meter, outlet, answered, calls, settlement: None, now }
    }

    fn start(&mut self, now: Instant) {
        match &mut self.outlet {
            Outlet::Client(response) => response.open(),
            Outlet::Journal(kept) => kept.journal.begin(),
        }
        self.relay.start(now, self.outlet.downstream());
    }

    /// What the log has of it from its beginning on.
    pub(crate) fn answered(&self) -> Arc<Answered> {
        self.answered.clone()
    }

    /// The log record of how it went.
    pub fn record(&self, settlement: &Settlement) -> Record {
        log::answer(&self.answered, settlement)
    }

    /// Takes in what happened at `now`.
    pub fn handle(&mut self, now: Instant, input: Input<'_>) {
        self.now = self.now.max(now);
        self.relay.handle(self.now, input, self.outlet.downstream());
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

    /// A client joins a kept answer, to be sent it from the entry of this number on; past the end of
    /// the log, whatever comes next. An answer that is not kept has no entry to begin at.
    pub fn join(
        &self,
        now: Instant,
        client: ClientProtocol,
        stream: bool,
        position: u64,
    ) -> Result<Reader, Expired> {
        let Outlet::Journal(kept) = &self.outlet else { return Err(Expired) };
        let response = Response::new(client, kept.meta_for(stream), &kept.timeouts, now);
        Reader::join(response, &kept.journal, position)
    }

    /// The next thing to do for a reader of this answer. Ends in [`reader::Output::Wait`] or
    /// [`reader::Output::Done`]; to be called again whenever the answer was handled.
    pub fn read<'r>(&self, now: Instant, reader: &'r mut Reader) -> reader::Output<'r> {
        match &self.outlet {
            Outlet::Journal(kept) => reader.poll(now, &kept.journal, &self.calls),
            Outlet::Client(_) => reader::Output::Done,
        }
    }

    /// The next thing to do. Ends in [`Output::Wait`], also after [`Output::Settle`].
    pub fn poll(&mut self) -> Output<'_> {
        if let Some(action) = self.next_action() {
            return action;
        }
        if let Outlet::Client(response) = &mut self.outlet {
            if self.relay.until().is_some() {
                response.heartbeat(self.now);
            }
            if let Some(head) = response.take_head(&self.calls) {
                return Output::Head(head);
            }
        }
        if self.outlet.has_body() {
            return Output::Body(self.outlet.take_body(self.now));
        }
        if let Some(quota) = self.metered() {
            return quota;
        }
        if let Some(settlement) = self.settlement.take() {
            return Output::Settle(settlement);
        }
        Output::Wait { until: self.due() }
    }

    fn due(&self) -> Option<(Instant, Timer)> {
        let relay = self.relay.until().map(|(at, timer)| (at, Timer::Relay(timer)));
        let response = match &self.outlet {
            Outlet::Client(response) if relay.is_some() => response.due(),
            Outlet::Client(_) | Outlet::Journal(_) => None,
        };
        let response = response.map(|(at, timer)| (at, Timer::Response(timer)));
        let quota = self.meter.as_ref().and_then(Meter::due).map(|at| (at, Timer::Quota));
        [relay, response, quota].into_iter().flatten().min()
    }

    /// The relay's next action; its settlement waits until the response is sent.
    fn next_action(&mut self) -> Option<Output<'static>> {
        loop {
            return Some(match self.relay.poll() {
                relay::Output::Call(call) => {
                    self.calls.made += 1;
                    self.calls.target = call.target.to_string();
                    Output::Call(*call)
                }
                relay::Output::Cancel { attempt } => Output::Cancel { attempt },
                relay::Output::Release { attempt } => Output::Release { attempt },
                relay::Output::Settle(mut settlement) => {
                    settlement.exchange = self.outlet.end(&settlement);
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
}

impl Outlet {
    fn new(job: &Job, meta: AnswerMeta, now: Instant) -> Self {
        if !job.keep {
            return Self::Client(Response::new(job.client, meta, &job.timeouts, now));
        }
        let wire = Wire { protocol: job.client, stream: job.request.stream };
        let journal = Journal::new(wire, Bounds::default());
        Self::Journal(Box::new(Kept { journal, meta, timeouts: job.timeouts.clone() }))
    }

    fn downstream(&mut self) -> &mut dyn Downstream {
        match self {
            Self::Client(response) => response,
            Self::Journal(kept) => &mut kept.journal,
        }
    }

    fn has_body(&self) -> bool {
        match self {
            Self::Client(response) => response.has_body(),
            Self::Journal(_) => false,
        }
    }

    fn take_body(&mut self, now: Instant) -> &[u8] {
        match self {
            Self::Client(response) => response.take_body(now),
            Self::Journal(_) => &[],
        }
    }

    /// Ends the response; returns what later requests may refer to.
    fn end(&mut self, settlement: &Settlement) -> Option<Box<Exchange>> {
        let times = Times { first_content: settlement.first_content, end: settlement.took };
        match self {
            Self::Client(response) => {
                response.end(&settlement.end, settlement.fallback, times);
                let is_answer = matches!(settlement.end, End::Finished(_)) && !settlement.fallback;
                is_answer.then(|| response.exchange()).flatten().map(Box::new)
            }
            Self::Journal(kept) => {
                kept.journal.end(settlement.end.clone(), settlement.fallback, times);
                None
            }
        }
    }
}

impl Kept {
    /// The answer as described to a client that reads a stream, or does not.
    fn meta_for(&self, stream: bool) -> AnswerMeta {
        let mut meta = self.meta.clone();
        if meta.request.stream != stream {
            let request = ChatRequest { stream, ..ChatRequest::clone(&meta.request) };
            meta.request = Arc::new(request);
        }
        meta
    }
}

#[cfg(test)]
impl Answer {
    pub(crate) fn journal(&mut self) -> Option<&mut Journal> {
        match &mut self.outlet {
            Outlet::Client(_) => None,
            Outlet::Journal(kept) => Some(&mut kept.journal),
        }
    }
}

#[cfg(test)]
mod tests;
