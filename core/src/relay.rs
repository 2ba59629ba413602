//! One answer's life: which target is called, when to give up on it, what is tried next, and what
//! the client is sent. Sans-IO: inputs go in and cannot fail. What the client is to see is written
//! to its [`Downstream`] at once; what is to be done is queued, and polled until the relay returns
//! what it waits for.
//!
//! ```text
//!  call the first target ◄───────────────────────────┐
//!        │                                           │ a target is left
//!        ▼            fails before any content       │
//!    attempt ───────────────────────────────────► next rung ──none──► message, or typed error ─┐
//!        │   │ fails after content                                                             │
//!        │   └──────────────────────────────────► typed error ──────────────────────────────┐  │
//!        ▼ complete                                                                         ▼  ▼
//!    the end ────────────────────────────────────────────────────────────────────────────► settled
//! ```
//!
//! The ladder: each target is called for a stream; if that ends empty or malformed, the same target
//! is called without streaming; then the next target. Until there is content nothing is sent, so
//! every failure can still be retried. [`Output::Settle`] comes exactly once, and last. Input of an
//! attempt that is over is ignored.

mod account;
mod attempt;
mod bounds;
mod calls_seen;
mod clocks;
mod continuation;
mod delivery;
mod ends;
mod interface;
mod ladder;
mod listed;
mod reading;
mod refusal;
mod refused;
mod rungs;
mod seam;
mod settings;
mod settlement;
mod stops;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

pub use crate::protocol::End;
pub use attempt::AttemptId;
pub use clocks::Timer;
pub use interface::{Call, Downstream, Head, Input, Output, Purpose};
pub use settings::{Exhausted, Fallback, Midstream, Timeouts};
pub use settlement::{AttemptRecord, CallLimits, Settlement};

use account::Account;
use attempt::{Attempt, Progress};
use bounds::Bounds;
use delivery::{Delivered, Delivery};
use ladder::Ladder;

use crate::access::Caller;
use crate::chat::ChatRequest;
use crate::failure::Failure;
use crate::health::Health;
use crate::limit::ByteLimits;
use crate::limit::learned::Learned;
use crate::protocol::{Asked, ClientProtocol};
use crate::target::Target;
use crate::time::Instant;

/// How many bytes of content a token is taken for while it streams.
const BYTES_PER_TOKEN: usize = 4;

/// What is to be answered, by whom, within which bounds.
#[derive(Clone, Debug)]
pub struct Job {
    /// The client's request.
    pub request: Arc<ChatRequest>,
    /// The targets to try, in order.
    pub targets: Vec<Arc<Target>>,
    /// The client's protocol: frames of the same protocol may be forwarded as they came.
    pub client: ClientProtocol,
    /// `None` where no credentials are required.
    pub caller: Option<Caller>,
    /// What the client gets when no target is left.
    pub exhausted: Exhausted,
    /// What happens when a target fails.
    pub fallback: Fallback,
    /// The deadlines.
    pub timeouts: Timeouts,
    /// The bounds on bytes.
    pub limits: ByteLimits,
    /// The breakers of all targets.
    pub health: Health,
    /// The limits that providers have stated so far.
    pub learned: Learned,
    /// When the request came, since 1970: what a `Retry-After` date is compared with.
    pub unix_began: Duration,
    /// The answer is kept for readers of any protocol: frames that are forwarded come with the events
    /// they mean.
    pub keep: bool,
    /// Random: spreads the retries of answers that fail together.
    pub seed: u64,
}

/// The state machine of one answer.
pub struct Relay {
    job: Job,
    now: Instant,
    began: Instant,
    ladder: Ladder,
    /// The attempts under way: one, or two while a hedge runs.
    live: Vec<Attempt>,
    /// When the next target may be called, while none is.
    backoff: Option<Instant>,
    next_id: u32,
    continuations: u32,
    delivered: Delivered,
    /// What is to be done, in order; never [`Output::Wait`].
    actions: VecDeque<Output>,
    bounds: Bounds,
    /// What of the request may be left out.
    asked: Option<Asked>,
    account: Account,
    paused: bool,
    settled: bool,
    /// [`Self::deadline`] as of the last input.
    until: Option<(Instant, Timer)>,
}

impl Relay {
    /// A relay that waits for [`Self::start`], or [`Self::refuse`].
    pub fn new(job: Job, now: Instant) -> Self {
        let mut relay = Self {
            now,
            began: now,
            ladder: Ladder::new(job.targets.clone(), job.seed),
            live: Vec::with_capacity(1),
            backoff: None,
            next_id: 0,
            continuations: 0,
            delivered: Delivered::new(job.limits.answer_bytes),
            actions: VecDeque::new(),
            bounds: Bounds::new(&job.request),
            asked: Asked::of(&job.request, job.client),
            account: Account::new(job.caller.clone(), now),
            paused: false,
            settled: false,
            until: None,
            job,
        };
        relay.until = relay.deadline();
        relay
    }

    /// Calls the first target, unless the client has left meanwhile.
    pub fn start(&mut self, now: Instant, client: &mut dyn Downstream) {
        self.now = self.now.max(now);
        if !self.settled {
            self.call_next(client);
            self.until = self.deadline();
        }
    }

    /// Settles without calling anybody: the request is not to be answered.
    pub fn refuse(&mut self, now: Instant, failure: Failure) {
        self.now = self.now.max(now);
        if !self.settled {
            self.settle(End::Failed(failure), false);
            self.until = None;
        }
    }

    /// An estimate of the prompt's length.
    pub fn input_tokens(&self) -> u32 {
        self.bounds.input_tokens()
    }

    /// Tokens of the answer so far: the providers' own count, else estimated from the bytes at a
    /// fixed rate, because this is read after every chunk. The settlement's count is more exact.
    pub fn output_tokens(&self) -> u32 {
        let of = |attempt: &Attempt| match (attempt.reading.usage, attempt.reading.content) {
            (Some(usage), _) => usage.output_tokens,
            (None, true) => {
                let bytes = self.delivered.bytes - attempt.plan.bytes_before;
                let tokens = u32::try_from(bytes / BYTES_PER_TOKEN).unwrap_or(u32::MAX);
                tokens.saturating_mul(attempt.plan.copies)
            }
            (None, false) => 0,
        };
        let spent = self.account.spent.output_tokens;
        self.live.iter().map(of).fold(spent, u32::saturating_add)
    }

    /// What the relay waits for once its outputs are drained; `None` once it is settled.
    pub fn until(&self) -> Option<(Instant, Timer)> {
        self.until
    }

    /// Takes in what happened at `now`, and writes to `client` what it is to see of it.
    pub fn handle(&mut self, now: Instant, input: Input<'_>, client: &mut dyn Downstream) {
        self.now = self.now.max(now);
        if self.settled {
            return;
        }
        match input {
            Input::Head { attempt, head } => {
                let unix_now = self.job.unix_began + self.now.since(self.began);
                self.drive(attempt, client, |attempt, now, _| {
                    attempt.head(now, unix_now, &head).map(|()| Progress::More)
                });
            }
            Input::Bytes { attempt, bytes } => {
                self.drive(attempt, client, |attempt, now, delivery| {
                    attempt.bytes(now, bytes, delivery)
                });
            }
            Input::Event { attempt, event } => {
                self.drive(attempt, client, |attempt, now, delivery| {
                    attempt.event(now, &event, delivery).map(|()| Progress::More)
                });
            }
            Input::End { attempt } => self.drive(attempt, client, |attempt, now, delivery| {
                attempt.over = true;
                attempt.end(now, delivery).map(|()| Progress::Complete)
            }),
            Input::Lost { attempt, failure } => self.drive(attempt, client, |attempt, now, _| {
                attempt.over = true;
                attempt.lost(now, failure).map(|()| Progress::Complete)
            }),
            Input::Hangup => self.hangup(),
            Input::Pause => self.paused = true,
            Input::Resume => {
                self.paused = false;
                self.live.iter_mut().for_each(|attempt| attempt.resume(self.now));
            }
            Input::Tick => {}
        }
        self.check_deadlines(client);
    }

    /// The next thing to do. Ends in [`Output::Wait`], also after [`Output::Settle`].
    pub fn poll(&mut self) -> Output {
        self.actions.pop_front().unwrap_or(Output::Wait { until: self.until })
    }

    /// Lets the attempt of that name take a step, if it is still alive.
    fn drive(
        &mut self,
        id: AttemptId,
        client: &mut dyn Downstream,
        step: impl FnOnce(&mut Attempt, Instant, &mut Delivery<'_>) -> Result<Progress, Failure>,
    ) {
        let Some(index) = self.live.iter().position(|attempt| attempt.id == id) else { return };
        let attempt = &mut self.live[index];
        let result = step(attempt, self.now, &mut self.delivered.to(client));
        if self.live.len() > 1 && self.live[index].reading.content {
            // The first content wins the hedge.
            let winner = self.live.swap_remove(index);
            self.cancel_live();
            self.live.push(winner);
            return self.advance(0, result, client);
        }
        self.advance(index, result, client);
    }

    fn advance(
        &mut self,
        index: usize,
        result: Result<Progress, Failure>,
        client: &mut dyn Downstream,
    ) {
        match result {
            Ok(Progress::More) => {}
            Ok(Progress::Complete) => self.complete(index, client),
            Err(_) if self.live[index].reading.has_finished() => self.complete(index, client),
            Err(failure) => self.fail(index, failure, client),
        }
    }
}
