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

mod account;
mod attempt;
mod bounds;
mod continuation;
mod delivery;
mod exchange;
mod ladder;
mod output;
mod reading;
mod refusal;
mod settings;
mod settlement;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use crate::protocol::End;
pub use attempt::AttemptId;
pub use exchange::{Call, Head, Input, Output, Sent, Timer};
pub use settings::{Exhausted, Fallback, Midstream, Timeouts};
pub use settlement::{Asked, AttemptRecord, Settlement};

use account::Account;
use attempt::{Attempt, Plan, Progress};
use bounds::Bounds;
use delivery::Delivery;
use ladder::Ladder;
use reading::Forwarding;

use crate::access::Caller;
use crate::chat::{ChatRequest, Event, FinishReason};
use crate::failure::{Failure, Reason, Retry, Who};
use crate::health::Health;
use crate::limit::ByteLimits;
use crate::limit::learned::Learned;
use crate::protocol::ClientProtocol;
use crate::target::{ApiKey, ChosenBy, Continuation, Target};
use crate::time::Instant;

/// How often one answer is continued.
const CONTINUATIONS_MAX: u32 = 4;

/// Bytes of a token while it flows.
const BYTES_PER_TOKEN: usize = 4;

/// What is to be answered, by whom, within what.
#[derive(Clone, Debug)]
pub struct Job {
    /// What the client asks.
    pub request: Arc<ChatRequest>,
    /// Whom to ask, in order.
    pub targets: Vec<Arc<Target>>,
    /// What the client reads: frames of that protocol may be forwarded as they came.
    pub client: ClientProtocol,
    /// Who asks, and with which plan; `None` where everybody may.
    pub caller: Option<Caller>,
    /// What the client gets when no target is left.
    pub exhausted: Exhausted,
    /// What happens when a target fails.
    pub fallback: Fallback,
    /// The deadlines.
    pub timeouts: Timeouts,
    /// The bounds.
    pub limits: ByteLimits,
    /// The breakers of all targets.
    pub health: Health,
    /// What providers said of their limits.
    pub learned: Learned,
    /// When the request came, since 1970: what a `Retry-After` date is held against.
    pub unix_began: Duration,
    /// Random: spreads the waits of answers that fail together.
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
    /// When the next target is ready, while none is asked.
    backoff: Option<Instant>,
    next_id: u32,
    continuations: u32,
    delivery: Delivery,
    bounds: Bounds,
    account: Account,
    paused: bool,
    settled: bool,
    /// What [`Self::deadline`] says since the last input.
    until: Option<(Instant, Timer)>,
}

impl Relay {
    /// A relay that asks the job's first target at once.
    pub fn new(job: Job, now: Instant) -> Self {
        let mut relay = Self::idle(job, now);
        relay.start(now);
        relay
    }

    /// A relay that waits for [`Self::start`], or [`Self::refuse`].
    pub fn idle(job: Job, now: Instant) -> Self {
        let mut relay = Self::at_rest(job, now);
        relay.until = relay.deadline();
        relay
    }

    /// Asks the first target, unless the client has left meanwhile.
    pub fn start(&mut self, now: Instant) {
        self.now = self.now.max(now);
        if !self.settled {
            self.call_next();
            self.until = self.deadline();
        }
    }

    /// Settles: the request is not to be answered.
    pub fn refuse(&mut self, now: Instant, failure: Failure) {
        self.now = self.now.max(now);
        if !self.settled {
            self.settle(End::Failed(failure), false);
            self.until = None;
        }
    }

    /// The prompt's length at a guess.
    pub fn input_tokens(&self) -> u32 {
        self.bounds.input_tokens()
    }

    /// Tokens of the answer so far: the providers' own count, else its bytes by a fixed rate, for it
    /// is asked with every chunk. The settlement says more exactly what they were.
    pub fn output_tokens(&self) -> u32 {
        let of = |attempt: &Attempt| match (attempt.reading.usage, attempt.reading.content) {
            (Some(usage), _) => usage.output_tokens,
            (None, true) => {
                let bytes = self.delivery.bytes - attempt.bytes_before;
                u32::try_from(bytes / BYTES_PER_TOKEN).unwrap_or(u32::MAX)
            }
            (None, false) => 0,
        };
        let spent = self.account.spent.output_tokens;
        self.live.iter().map(of).fold(spent, u32::saturating_add)
    }

    fn at_rest(job: Job, now: Instant) -> Self {
        Self {
            now,
            began: now,
            ladder: Ladder::new(job.targets.clone(), job.seed),
            live: Vec::with_capacity(1),
            backoff: None,
            next_id: 0,
            continuations: 0,
            delivery: Delivery::new(job.limits.answer_bytes),
            bounds: Bounds::new(&job.request),
            account: Account::new(job.caller.clone(), now),
            paused: false,
            settled: false,
            until: None,
            job,
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
                let unix_now = self.job.unix_began + self.now.since(self.began);
                self.drive(attempt, |attempt, now, _| {
                    attempt.head(now, unix_now, &head).map(|()| Progress::More)
                });
            }
            Input::Bytes { attempt, bytes } => {
                self.drive(attempt, |attempt, now, delivery| attempt.bytes(now, bytes, delivery));
            }
            Input::Event { attempt, event } => self.drive(attempt, |attempt, now, delivery| {
                attempt.event(now, &event, delivery).map(|()| Progress::More)
            }),
            Input::End { attempt } => self.drive(attempt, |attempt, now, delivery| {
                attempt.over = true;
                attempt.end(now, delivery).map(|()| Progress::Complete)
            }),
            Input::Lost { attempt, failure } => self.drive(attempt, |attempt, now, _| {
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
        self.check_deadlines();
    }

    /// The next thing to do. Ends in [`Output::Wait`], also after [`Output::Settle`].
    pub fn poll(&mut self) -> Output<'_> {
        self.delivery.outputs.poll(self.until)
    }

    /// Lets the attempt of that name take a step, if it still lives.
    fn drive(
        &mut self,
        id: AttemptId,
        step: impl FnOnce(&mut Attempt, Instant, &mut Delivery) -> Result<Progress, Failure>,
    ) {
        let Some(index) = self.live.iter().position(|attempt| attempt.id == id) else { return };
        let attempt = &mut self.live[index];
        let result = step(attempt, self.now, &mut self.delivery);
        if self.live.len() > 1 && self.live[index].reading.content {
            // The first content wins the hedge.
            let winner = self.live.swap_remove(index);
            self.cancel_live();
            self.live.push(winner);
            return self.advance(0, result);
        }
        self.advance(index, result);
    }

    fn advance(&mut self, index: usize, result: Result<Progress, Failure>) {
        match result {
            Ok(Progress::More) => {}
            Ok(Progress::Complete) => self.complete(index),
            Err(_) if self.live[index].reading.has_finished() => self.complete(index),
            Err(failure) => self.fail(index, failure),
        }
    }

    // --- clocks ---------------------------------------------------------------------------------

    fn deadline(&self) -> Option<(Instant, Timer)> {
        if self.settled {
            return None;
        }
        let total = (self.began + self.job.timeouts.total, Timer::Total);
        let own = self.live.iter().filter_map(|a| a.deadline(&self.job.timeouts, self.paused));
        let backoff = self.backoff.map(|at| (at, Timer::Backoff));
        own.chain(backoff).chain(self.hedge_due()).chain([total]).min()
    }

    /// When the next target joins in.
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

    fn check_deadlines(&mut self) {
        loop {
            self.until = self.deadline();
            let Some((due, timer)) = self.until.filter(|(due, _)| *due <= self.now) else { return };
            match timer {
                Timer::Backoff => {
                    self.backoff = None;
                    self.call_next();
                }
                Timer::Hedge => self.call_next(),
                Timer::Total | Timer::Head | Timer::Heartbeat | Timer::Quota => self.expire_total(),
                Timer::FirstByte
                | Timer::FirstContent
                | Timer::BetweenTokens
                | Timer::AfterFinish
                | Timer::RefusalBody => self.expire(due, timer),
            }
        }
    }

    fn expire(&mut self, due: Instant, timer: Timer) {
        let (timeouts, paused) = (&self.job.timeouts, self.paused);
        let expired = |a: &Attempt| a.deadline(timeouts, paused) == Some((due, timer));
        let Some(index) = self.live.iter().position(expired) else { return };
        let reason = match timer {
            Timer::FirstByte => Reason::FirstByteTimeout,
            Timer::FirstContent => Reason::FirstContentTimeout,
            Timer::BetweenTokens => Reason::BetweenTokensTimeout,
            _ => Reason::Lost,
        };
        let attempt = &mut self.live[index];
        let result = attempt.lost(self.now, reason.into()).map(|()| Progress::Complete);
        self.advance(index, result);
    }

    fn expire_total(&mut self) {
        match self.live.iter().position(|attempt| attempt.reading.has_finished()) {
            Some(finished) => self.complete(finished),
            None => {
                let failure = Failure::from(Reason::TotalTimeout);
                self.account.record_failure(failure.clone());
                self.close_live(&End::Failed(failure));
                self.settle_failed();
            }
        }
    }

    // --- rungs ----------------------------------------------------------------------------------

    /// Asks the next target that can be asked; else waits until one is ready, or gives up.
    fn call_next(&mut self) {
        loop {
            let Some(turn) = self.ladder.next() else {
                if !self.live.is_empty() {
                    return;
                }
                if self.ladder.next_pass(&self.job.fallback, self.now) {
                    continue;
                }
                return self.exhausted();
            };
            if self.now < turn.ready {
                self.backoff = self.live.is_empty().then_some(turn.ready);
                return;
            }
            self.ladder.take_turn();
            let target = self.ladder.target(turn.place);
            let continues = self.delivery.has_content().then_some(target.provider.continuation);
            match self.admit(&target, continues) {
                Ok(()) => return self.begin(turn.place, self.job.request.stream, continues),
                Err(failure) => {
                    let stream = self.job.request.stream;
                    self.account.uncalled(&target, stream, failure, self.now);
                }
            }
        }
    }

    /// Whether the target may be called at all.
    fn admit(&self, target: &Target, continues: Option<Continuation>) -> Result<(), Failure> {
        if continues == Some(Continuation::Stop) {
            let detail = format!("{target} is not asked to go on with an answer.");
            return Err(Failure::new(Reason::Cut, detail));
        }
        match &target.provider.api_key {
            ApiKey::None | ApiKey::Set(_) => {}
            ApiKey::Unset { env } => {
                let detail = format!("{target} needs a key: {env} is not set.");
                return Err(Failure::new(Reason::Unauthorized, detail));
            }
            ApiKey::Unusable(failure) => return Err((**failure).clone()),
        }
        self.bounds.admit(target, &self.terms(target, continues.is_some()))?;
        self.job.health.admit(target, self.now).map_err(|until| {
            let mut failure = Failure::from(Reason::Cooling);
            failure.retry_after = Some(until.since(self.now));
            failure
        })
    }

    fn begin(&mut self, place: usize, stream: bool, continues: Option<Continuation>) {
        let id = AttemptId(self.next_id);
        self.next_id += 1;
        let target = self.ladder.target(place);
        let stream = target.provider.streams(stream);
        let request = match continues {
            None => self.job.request.clone(),
            Some(way) => {
                self.delivery.begin_continuation();
                let instruction = &self.job.fallback.instruction;
                continuation::request(&self.job.request, &self.delivery.text, way, instruction)
            }
        };
        match continues {
            Some(_) => self.emit_warning(format_args!("Now asking {target} to go on")),
            None if stream == self.job.request.stream => {
                self.emit_warning(format_args!("Now asking {target}"));
            }
            None => self.emit_warning(format_args!("Now asking {target} for the whole answer")),
        }
        let retry = self.bounds.take_retry();
        let mut terms = self.terms(&target, continues.is_some());
        terms.input = retry.unwrap_or(terms.input);
        let needed = terms.is_asked() || target.provider.upstream.needs_limit();
        let limit = terms.limit().filter(|_| needed);
        self.delivery.outputs.call(Call {
            attempt: id,
            target: target.clone(),
            request,
            client: self.job.client,
            stream,
            caller: self.job.caller.clone(),
            terms,
            limit,
        });
        let forwarding = self.forwarding(&target, continues.is_some());
        let (bytes_before, text_before) = (self.delivery.bytes, self.delivery.text.len());
        let event_bytes_max = self.job.limits.event_bytes;
        let plan = Plan {
            id,
            place,
            target,
            stream,
            continues,
            asked: Asked { terms, limit },
            is_retry: retry.is_some(),
            bytes_before,
            text_before,
            forwarding,
            event_bytes_max,
        };
        self.live.push(Attempt::new(plan, self.now));
    }

    /// A continuation is other frames than those that broke off, so it is never forwarded.
    fn forwarding(&self, target: &Target, continues: bool) -> Forwarding {
        let same = self.job.client.is_spoken_by(target.provider.upstream) && !continues;
        let stream = self.job.request.stream;
        let usage = self.job.request.include_usage;
        Forwarding { frames: same && stream, whole: same && !stream, usage }
    }

    // --- ends -----------------------------------------------------------------------------------

    fn complete(&mut self, index: usize) {
        let mut attempt = self.live.swap_remove(index);
        self.charge(&attempt);
        let finish = attempt.reading.deliver_end(&self.account.spent, &mut self.delivery);
        self.close(&attempt, End::Finished(finish));
        self.cancel_live();
        self.account.finished(&attempt.target);
        self.settle(End::Finished(finish), false);
    }

    fn fail(&mut self, index: usize, mut failure: Failure) {
        let attempt = self.live.swap_remove(index);
        hide_key(&mut failure, &attempt.target.provider.api_key);
        blame_user(&mut failure, &attempt.target);
        let again = self.apply_limits(&attempt, &mut failure);
        if !self.job.client.is_spoken_by(attempt.target.provider.upstream) {
            forget_words(&mut failure);
        }
        self.charge(&attempt);
        self.close(&attempt, End::Failed(failure.clone()));
        if again {
            return self.begin(attempt.place, attempt.stream, attempt.continues);
        }
        self.account.record_failure(failure.clone());
        if self.delivery.has_content() {
            self.account.served(&attempt.target);
            return self.continue_answer(&attempt, &failure);
        }
        let can_be_whole = attempt.stream && attempt.target.provider.answers_whole();
        let retry = failure.reason.row().retry;
        if retry == Retry::Later {
            self.ladder.may_be_asked_again(attempt.place, &failure, self.now);
        }
        match retry {
            Retry::Never => {
                self.cancel_live();
                self.settle_failed();
            }
            Retry::Unstreamed if can_be_whole => self.begin(attempt.place, false, None),
            _ if !self.live.is_empty() => {
                self.emit_warning(format_args!("Another model is still asked"))
            }
            Retry::Unstreamed | Retry::NextTarget | Retry::Later => self.call_next(),
        }
    }

    /// An answer broke off, or the attempt to go on with it failed.
    fn continue_answer(&mut self, attempt: &Attempt, failure: &Failure) {
        let stops = self.job.fallback.midstream == Midstream::Stop
            || !self.delivery.can_go_on()
            || matches!(failure.reason, Reason::TotalTimeout | Reason::AnswerTooLong);
        if stops {
            return self.settle_failed();
        }
        let broke = attempt.continues.is_none() || attempt.reading.content;
        if broke {
            self.continuations += 1;
            if self.continuations > CONTINUATIONS_MAX {
                return self.settle_failed();
            }
            self.ladder.continue_after(attempt.place);
        } else if self.refused_prefill(attempt, failure) {
            return self.begin(attempt.place, attempt.stream, Some(Continuation::Ask));
        } else if failure.reason.row().retry == Retry::Later {
            self.ladder.may_be_asked_again(attempt.place, failure, self.now);
        }
        self.call_next();
    }

    fn refused_prefill(&self, attempt: &Attempt, failure: &Failure) -> bool {
        failure.reason == Reason::Rejected
            && attempt.continues == Some(Continuation::Prefill)
            && !self.job.fallback.instruction.is_empty()
    }

    fn hangup(&mut self) {
        if let Some(attempt) = self.live.first().filter(|attempt| attempt.reading.content) {
            self.account.finished(&attempt.target);
        }
        self.cancel_live();
        self.settle(End::Cancelled, false);
    }

    /// No target is left.
    fn exhausted(&mut self) {
        if self.delivery.has_content() || self.job.exhausted == Exhausted::Error {
            return self.settle_failed();
        }
        self.emit_warning(format_args!("No model is left to ask"));
        let why = self.account.cause();
        let apology = format!("Sorry, no model can answer right now. {}", why.message());
        let event = Event::Text(apology.into());
        self.delivery.content(self.now, &event, false);
        self.delivery.outputs.event(&Event::Finish(FinishReason::Stop));
        self.delivery.outputs.event(&Event::Usage(self.account.spent));
        self.settle(End::Finished(FinishReason::Stop), true);
    }

    /// What failed since another way was taken the last time is told with the way that is taken
    /// now, to clients whose protocol has a form for it.
    fn emit_warning(&mut self, way: fmt::Arguments<'_>) {
        let Some(failure) = self.account.take_failure() else { return };
        if self.job.client.tells_warnings() {
            let warning = format!("{way}: {}", failure.message());
            self.delivery.outputs.event(&Event::Warning(warning.into()));
        }
    }

    fn cancel_live(&mut self) {
        self.close_live(&End::Cancelled);
    }

    fn close_live(&mut self, end: &End) {
        for attempt in std::mem::take(&mut self.live) {
            self.charge(&attempt);
            self.close(&attempt, end.clone());
        }
    }

    /// Writes an attempt into the record and its target's health; stops its call unless that is
    /// over by itself.
    fn close(&mut self, attempt: &Attempt, end: End) {
        match &end {
            _ if attempt.over => {}
            End::Finished(_) => self.delivery.outputs.release(attempt.id),
            End::Cancelled | End::Failed(_) => self.delivery.outputs.cancel(attempt.id),
        }
        match &end {
            End::Finished(_) => self.job.health.succeeded(&attempt.target),
            End::Failed(failure) if failure.reason.row().who != Who::Client => {
                self.job.health.failed(&attempt.target, self.now, failure.retry_after);
            }
            End::Failed(_) | End::Cancelled => {}
        }
        self.account.close(attempt, end, self.now);
    }

    fn charge(&mut self, attempt: &Attempt) {
        self.account.charge(attempt, self.bounds.input_tokens(), &self.delivery);
    }

    /// Everything failed: the first cause is reported, not the last symptom. What a continuation
    /// said and may have been a repetition is not handed on: an end that is missing is told, a text
    /// that comes twice is not.
    fn settle_failed(&mut self) {
        self.settle(End::Failed(self.account.cause()), false);
    }

    fn settle(&mut self, end: End, fallback: bool) {
        self.settled = true;
        let mut settlement = self.account.settle(end, fallback, &self.delivery, self.now);
        settlement.learned = self.bounds.take_learned();
        self.delivery.outputs.settle(settlement);
    }
}

/// A key that a user gave is the user's to mend, and not the operator's.
fn blame_user(failure: &mut Failure, target: &Target) {
    let by_key =
        matches!(failure.reason, Reason::Unauthorized | Reason::Payment | Reason::Forbidden);
    if by_key && target.provider.chosen_by != ChosenBy::Operator {
        failure.reason = Reason::UserKeyRefused;
    }
}

/// An error answer goes back as it came only to who reads its protocol; its status always does.
fn forget_words(failure: &mut Failure) {
    if let Some(original) = &mut failure.original {
        original.body.clear();
    }
}

/// Takes the key out of what a provider said: some repeat it in their errors.
fn hide_key(failure: &mut Failure, key: &ApiKey) {
    failure.detail = key.hide_in(&failure.detail);
    if let Some(original) = &mut failure.original
        && let Ok(text) = std::str::from_utf8(&original.body)
    {
        original.body = key.hide_in(text).into_bytes();
    }
}
