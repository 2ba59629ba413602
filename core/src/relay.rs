//! One answer's life: which target is asked, when to give up on it, what is tried next, and what
//! the client is handed. Sans-IO: inputs go in and cannot fail, outputs are polled until the relay
//! says what it waits for.
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
//! The ladder: each target is asked for a stream; if that ends with nothing or with garbage, the
//! same target is asked for the whole answer; then the next target. Until there is content nothing
//! is handed on, so every failure can still be retried. [`Output::Settle`] comes exactly once, and
//! last. Input of an attempt that is over is ignored.

mod attempt;
mod delivery;
mod output;
mod reading;
mod settlement;

use std::sync::Arc;
use std::time::Duration;

pub use attempt::AttemptId;
pub use settlement::{AttemptRecord, End, Field, Settlement};

use attempt::{Attempt, Progress};
use delivery::Delivery;
use reading::Forwarding;

use crate::chat::{ChatRequest, Event, FinishReason, Usage};
use crate::config::{ApiKey, Exhausted, Limits, Target, Timeouts};
use crate::failure::{Failure, Reason, Recovery};
use crate::limit::{Limit, Terms, UNKNOWN_MODEL_MAX_OUTPUT, catalogue, estimate_tokens};
use crate::protocol::{HttpCall, Protocol};
use crate::time::Instant;

/// What is to be answered, by whom, within what.
#[derive(Clone, Debug)]
pub struct Job {
    /// What the client asks.
    pub request: Arc<ChatRequest>,
    /// Whom to ask, in order.
    pub targets: Vec<Arc<Target>>,
    /// What the client reads: frames of that protocol may be forwarded as they came.
    pub client: Protocol,
    /// The user's plan and the longest answer it allows, in tokens.
    pub plan: Option<(String, u32)>,
    /// What the client gets when no target is left.
    pub exhausted: Exhausted,
    /// The deadlines.
    pub timeouts: Timeouts,
    /// The bounds.
    pub limits: Limits,
}

/// What happened.
#[derive(Debug)]
pub enum Input<'a> {
    /// An attempt's response begins.
    Head {
        /// Whose.
        attempt: AttemptId,
        /// What it says.
        head: Head<'a>,
    },
    /// Bytes of an attempt's response body.
    Bytes {
        /// Whose.
        attempt: AttemptId,
        /// As they came; events may be cut anywhere.
        bytes: &'a [u8],
    },
    /// A local engine's event; it needs no head and no bytes.
    Event {
        /// Whose.
        attempt: AttemptId,
        /// What the engine says.
        event: Event<'a>,
    },
    /// An attempt's response body, or local generation, ended in good order.
    End {
        /// Whose.
        attempt: AttemptId,
    },
    /// An attempt could not be made, or broke.
    Lost {
        /// Whose.
        attempt: AttemptId,
        /// Why.
        failure: Failure,
    },
    /// The client left, or asked to stop.
    Hangup,
    /// The client does not read for now: the upstream's silence is not its fault.
    Pause,
    /// The client reads again.
    Resume,
    /// Only time passed.
    Tick,
}

/// What matters of a response's head.
#[derive(Clone, Copy, Debug, Default)]
pub struct Head<'a> {
    /// The HTTP status.
    pub status: u16,
    /// The `content-type` header; empty where there is none.
    pub content_type: &'a str,
    /// The `retry-after` header.
    pub retry_after: Option<&'a str>,
}

/// What to do.
#[derive(Debug)]
pub enum Output<'a> {
    /// Call this target.
    Call(Call),
    /// Stop this attempt's call at once; nothing it still says matters.
    Cancel {
        /// Which.
        attempt: AttemptId,
    },
    /// This attempt's answer is complete though its call has not ended: read out the little that
    /// may be left, so that the connection can be used again, or cancel it.
    Release {
        /// Which.
        attempt: AttemptId,
    },
    /// Hand this on to the client.
    Send(Sent<'a>),
    /// The answer is over. Comes exactly once, and last.
    Settle(Box<Settlement>),
    /// Nothing, until an input comes or the time does.
    Wait {
        /// When, and why then; `None`: only an input can help.
        until: Option<(Instant, Timer)>,
    },
}

/// Something for the client.
#[derive(Debug, PartialEq)]
pub enum Sent<'a> {
    /// Whole frames in the client's own protocol, as they came.
    Original(&'a [u8]),
    /// An event to be written in the client's protocol.
    Event(Event<'a>),
}

/// Why a relay waits until a certain time and no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timer {
    /// The response's first byte is due.
    FirstByte,
    /// The first content is due.
    FirstContent,
    /// The next event is due.
    BetweenTokens,
    /// A finished stream's end mark is due.
    AfterFinish,
    /// An error answer's body is due.
    RefusalBody,
    /// The whole answer is due.
    Total,
    /// The client's response head is due.
    Head,
    /// A sign of life to the client is due.
    Heartbeat,
}

/// A call to be made.
#[derive(Clone, Debug)]
pub struct Call {
    /// Its name in what is told of it.
    pub attempt: AttemptId,
    /// Whom to call.
    pub target: Arc<Target>,
    /// What to ask.
    pub request: Arc<ChatRequest>,
    /// As a stream, or as one whole answer.
    pub stream: bool,
    /// The user's plan.
    pub plan: Option<String>,
    /// What bounds the answer.
    pub terms: Terms,
    /// The bound to ask for; `None`: the provider's own default.
    pub limit: Option<Limit>,
}

impl Call {
    /// The call as an HTTP request, for providers that are called so.
    pub fn http(&self) -> Result<HttpCall, Failure> {
        let max_output = self.limit.map(|limit| limit.max_output);
        let protocol = self.target.provider.protocol;
        protocol.http_call(&self.target, &self.request, self.stream, max_output)
    }
}

/// The state machine of one answer.
pub struct Relay {
    job: Job,
    now: Instant,
    began: Instant,
    attempt: Option<Attempt>,
    /// The target of the present rung, by its place in the job.
    target: usize,
    next_id: u32,
    records: Vec<AttemptRecord>,
    /// The first failure: what is reported when everything failed.
    cause: Option<Failure>,
    delivery: Delivery,
    served_by: Option<Arc<Target>>,
    skipped: u64,
    paused: bool,
    settled: bool,
}

impl Relay {
    /// A relay that asks the job's first target at once.
    pub fn new(job: Job, now: Instant) -> Self {
        let mut relay = Self::idle(job, now);
        relay.call(0, relay.job.request.stream);
        relay
    }

    /// A relay whose request cannot be answered: it settles at once.
    pub fn refused(job: Job, now: Instant, failure: Failure) -> Self {
        let mut relay = Self::idle(job, now);
        relay.settle(End::Failed(failure), false, Usage::default());
        relay
    }

    fn idle(job: Job, now: Instant) -> Self {
        Self {
            job,
            now,
            began: now,
            attempt: None,
            target: 0,
            next_id: 0,
            records: Vec::new(),
            cause: None,
            delivery: Delivery::default(),
            served_by: None,
            skipped: 0,
            paused: false,
            settled: false,
        }
    }

    /// Takes in what happened at `now`.
    pub fn handle(&mut self, now: Instant, input: Input<'_>) {
        self.now = self.now.max(now);
        if self.settled {
            return;
        }
        match input {
            Input::Head { attempt, head } => {
                self.drive(attempt, |attempt, now, _| {
                    attempt.head(now, &head).map(|()| Progress::More)
                });
            }
            Input::Bytes { attempt, bytes } => {
                self.drive(attempt, |attempt, now, delivery| attempt.bytes(now, bytes, delivery));
            }
            Input::Event { attempt, event } => self.drive(attempt, |attempt, now, delivery| {
                attempt.event(now, &event, delivery);
                Ok(Progress::More)
            }),
            Input::End { attempt } => self.drive(attempt, |attempt, now, delivery| {
                attempt.over = true;
                attempt.end(now, delivery).map(|()| Progress::Complete)
            }),
            Input::Lost { attempt, failure } => self.drive(attempt, |attempt, _, _| {
                attempt.over = true;
                attempt.lost(failure).map(|()| Progress::Complete)
            }),
            Input::Hangup => self.hangup(),
            Input::Pause => self.paused = true,
            Input::Resume => {
                self.paused = false;
                if let Some(attempt) = &mut self.attempt {
                    attempt.resume(self.now);
                }
            }
            Input::Tick => {}
        }
        self.check_deadline();
    }

    /// The next thing to do. Ends in [`Output::Wait`], also after [`Output::Settle`].
    pub fn poll(&mut self) -> Output<'_> {
        let until = self.deadline();
        self.delivery.outputs.poll(until)
    }

    /// Lets the attempt of that name take a step, if it still lives.
    fn drive(
        &mut self,
        id: AttemptId,
        step: impl FnOnce(&mut Attempt, Instant, &mut Delivery) -> Result<Progress, Failure>,
    ) {
        let Some(attempt) = self.attempt.as_mut().filter(|attempt| attempt.id == id) else {
            return;
        };
        let result = step(attempt, self.now, &mut self.delivery).and_then(|progress| {
            self.delivery.check(self.job.limits.answer_bytes).map(|()| progress)
        });
        self.advance(result);
    }

    fn advance(&mut self, result: Result<Progress, Failure>) {
        match result {
            Ok(Progress::More) => {}
            Ok(Progress::Complete) => self.complete(),
            Err(_) if self.has_finished() => self.complete(),
            Err(failure) => self.fail(failure),
        }
    }

    /// Whether the model finished its answer: what breaks after that takes nothing back.
    fn has_finished(&self) -> bool {
        let reading = self.attempt.as_ref().map(|attempt| &attempt.reading);
        reading.is_some_and(|reading| reading.content && reading.finish.is_some())
    }

    fn deadline(&self) -> Option<(Instant, Timer)> {
        let attempt = self.attempt.as_ref()?;
        let total = (self.began + self.job.timeouts.total, Timer::Total);
        let own = attempt.deadline(&self.job.timeouts, self.paused);
        Some(own.map_or(total, |own| own.min(total)))
    }

    fn check_deadline(&mut self) {
        let Some((due, timer)) = self.deadline() else { return };
        if self.now < due {
            return;
        }
        let reason = match timer {
            Timer::FirstByte => Reason::FirstByteTimeout,
            Timer::FirstContent => Reason::FirstContentTimeout,
            Timer::BetweenTokens => Reason::BetweenTokensTimeout,
            Timer::AfterFinish | Timer::RefusalBody => Reason::Lost,
            Timer::Total | Timer::Head | Timer::Heartbeat => Reason::TotalTimeout,
        };
        let Some(attempt) = &mut self.attempt else { return };
        let result = attempt.lost(reason.into()).map(|()| Progress::Complete);
        self.advance(result);
        // The next rung's own deadline may stand in the past only for a clock that jumped: it is
        // looked at when the clock is next told.
    }

    // --- rungs ----------------------------------------------------------------------------------

    /// Asks the target at this place or, if it cannot be asked, the next that can.
    fn call(&mut self, mut place: usize, stream: bool) {
        while let Some(target) = self.job.targets.get(place).cloned() {
            self.target = place;
            let stream = stream || (target.provider.protocol == Protocol::Local);
            match &target.provider.api_key {
                ApiKey::Unset { env } => self.note_unset_key(&target, stream, env),
                ApiKey::None | ApiKey::Set(_) => return self.begin(target, stream),
            }
            place += 1;
        }
        self.exhausted();
    }

    fn begin(&mut self, target: Arc<Target>, stream: bool) {
        let id = AttemptId(self.next_id);
        self.next_id += 1;
        let terms = self.terms(&target);
        self.delivery.outputs.call(Call {
            attempt: id,
            target: target.clone(),
            request: self.job.request.clone(),
            stream,
            plan: self.job.plan.as_ref().map(|(name, _)| name.clone()),
            terms,
            limit: terms.limit().filter(|_| terms.is_asked()),
        });
        let same = target.provider.protocol == self.job.client;
        let wants_stream = self.job.request.stream;
        let forwarding = Forwarding {
            frames: same && wants_stream,
            whole: same && !wants_stream,
            usage: self.job.request.include_usage,
        };
        let event_bytes_max = self.job.limits.event_bytes;
        self.attempt =
            Some(Attempt::new(id, target, stream, forwarding, event_bytes_max, self.now));
    }

    fn note_unset_key(&mut self, target: &Arc<Target>, stream: bool, env: &str) {
        let detail = format!("{target} needs a key: {env} is not set.");
        let failure = Failure::new(Reason::Unauthorized, detail);
        self.cause.get_or_insert(failure.clone());
        self.records.push(AttemptRecord {
            target: target.clone(),
            stream,
            began: self.now.since(self.began),
            took: Duration::ZERO,
            end: End::Failed(failure),
        });
    }

    /// What bounds an answer of this target. A local model's own engine knows its window and counts
    /// the prompt exactly, so it is left to say what fits.
    fn terms(&self, target: &Target) -> Terms {
        let request = &self.job.request;
        let local = target.provider.protocol == Protocol::Local;
        let facts = catalogue::find(&target.provider.name, &target.model).filter(|_| !local);
        let known = facts.map_or(Some(UNKNOWN_MODEL_MAX_OUTPUT), |facts| facts.max_output);
        let prompt_bytes = request.messages.iter().map(|m| m.content.text_bytes()).sum();
        Terms {
            requested: request.max_output_tokens,
            plan: self.job.plan.as_ref().map(|(_, tokens)| *tokens),
            model: target.max_output_tokens.or(known.filter(|_| !local)),
            learned: None,
            context_window: target.context_window.or(facts.and_then(|f| f.context_window)),
            input: estimate_tokens(prompt_bytes),
        }
    }

    // --- ends -----------------------------------------------------------------------------------

    fn complete(&mut self) {
        let Some(mut attempt) = self.attempt.take() else { return };
        let usage = self.usage(&attempt);
        let finish = attempt.reading.deliver_end(&usage, &mut self.delivery);
        self.close(&attempt, End::Finished(finish));
        self.served_by = Some(attempt.target);
        self.settle(End::Finished(finish), false, usage);
    }

    fn fail(&mut self, failure: Failure) {
        let Some(attempt) = self.attempt.take() else { return };
        self.close(&attempt, End::Failed(failure.clone()));
        let usage = self.usage(&attempt);
        let recovery = failure.reason.row().recovery;
        let cause = self.cause.get_or_insert(failure).clone();
        if self.delivery.has_content() {
            self.served_by = Some(attempt.target);
            return self.settle(End::Failed(cause), false, usage);
        }
        let can_be_whole = attempt.stream && attempt.target.provider.protocol != Protocol::Local;
        match recovery {
            Recovery::Whole if can_be_whole => self.call(self.target, false),
            Recovery::Whole | Recovery::Next => {
                self.call(self.target + 1, self.job.request.stream);
            }
            Recovery::Nothing => self.settle(End::Failed(cause), false, usage),
        }
    }

    fn hangup(&mut self) {
        let mut usage = Usage { estimated: true, ..Usage::default() };
        if let Some(attempt) = self.attempt.take() {
            usage = self.usage(&attempt);
            self.close(&attempt, End::Cancelled);
            self.served_by = self.delivery.has_content().then_some(attempt.target);
        }
        self.settle(End::Cancelled, false, usage);
    }

    /// No target is left.
    fn exhausted(&mut self) {
        let cause = self.cause.clone().unwrap_or_else(|| Reason::Internal.into());
        match self.job.exhausted {
            Exhausted::Error => self.settle(End::Failed(cause), false, Usage::default()),
            Exhausted::Message => {
                let text = format!("Sorry, no model can answer right now. {}", cause.message());
                let event = Event::Text(text.into());
                self.delivery.count(self.now, &event);
                self.delivery.outputs.event(&event);
                self.delivery.outputs.event(&Event::Finish(FinishReason::Stop));
                self.settle(End::Finished(FinishReason::Stop), true, Usage::default());
            }
        }
    }

    /// Writes an attempt into the record; stops its call unless that is over by itself.
    fn close(&mut self, attempt: &Attempt, end: End) {
        match &end {
            _ if attempt.over => {}
            End::Finished(_) => self.delivery.outputs.release(attempt.id),
            End::Cancelled | End::Failed(_) => self.delivery.outputs.cancel(attempt.id),
        }
        self.skipped += attempt.reading.skipped;
        self.records.push(AttemptRecord {
            target: attempt.target.clone(),
            stream: attempt.stream,
            began: attempt.began.since(self.began),
            took: self.now.since(attempt.began),
            end,
        });
    }

    /// The provider's own count, else an estimate: nothing delivered, nothing counted.
    fn usage(&self, attempt: &Attempt) -> Usage {
        attempt.reading.usage.unwrap_or_else(|| {
            let delivered = self.delivery.has_content();
            Usage {
                input_tokens: if delivered { self.terms(&attempt.target).input } else { 0 },
                output_tokens: estimate_tokens(self.delivery.bytes),
                cached_tokens: 0,
                estimated: true,
            }
        })
    }

    fn settle(&mut self, end: End, fallback: bool, usage: Usage) {
        self.settled = true;
        self.delivery.outputs.settle(Settlement {
            end,
            attempts: std::mem::take(&mut self.records),
            served_by: self.served_by.take(),
            fallback,
            usage,
            chunks: self.delivery.chunks,
            skipped: self.skipped,
            first_content: self.delivery.first.map(|first| first.since(self.began)),
            took: self.now.since(self.began),
        });
    }
}
