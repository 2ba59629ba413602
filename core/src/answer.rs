//! One client's answer on the wire: the relay's frames and events as an HTTP response in the
//! client's protocol. What a shell drives.
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
//!         Quota { op, .. }=> enter it in the user's quota, and answer.entered(now, what it says)
//!         Settle(settlement) => end the body; log; comes once, and last
//!         Wait { until }     => await the upstream, the client's leaving, or that time,
//!                               and answer.handle(now, what happened)
//!     }
//! }
//! ```

use std::sync::Arc;
use std::time::Duration;

use crate::access::Meter;
use crate::access::quota::{Denial, QuotaOp};
use crate::chat::{Event, Usage};
use crate::failure::Failure;
use crate::log::{self, Answered, Record};
use crate::protocol::{AnswerEnd, AnswerMeta, ClientProtocol, Collected, Writer, error_body};
use crate::relay::{self, AttemptId, Call, End, Input, Job, Relay, Sent, Settlement, Timer};
use crate::sse;
use crate::time::Instant;

/// What a shell is to do.
#[derive(Debug)]
pub enum Output<'a> {
    /// Call this target.
    Call(Call),
    /// Stop this attempt's call at once.
    Cancel {
        /// Which.
        attempt: AttemptId,
    },
    /// This attempt's call is no longer needed; its connection may be used again.
    Release {
        /// Which.
        attempt: AttemptId,
    },
    /// Send the response's head.
    Head(Head),
    /// Write these bytes of the response's body, in one write.
    Body(&'a [u8]),
    /// Enter this in the user's quota, and hand what that says to [`Answer::entered`].
    Quota {
        /// Whose.
        user: Arc<str>,
        /// What.
        op: QuotaOp,
    },
    /// The response is over. Comes exactly once, and last.
    Settle(Box<Settlement>),
    /// Nothing, until an input comes or the time does.
    Wait {
        /// When, and why then.
        until: Option<(Instant, Timer)>,
    },
}

/// A response's status and headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The HTTP status.
    pub status: u16,
    /// Headers by lower-case name.
    pub headers: Vec<(&'static str, String)>,
}

/// What every streaming response says of itself, so that nothing between us and the client holds
/// it back.
const STREAM_HEADERS: [(&str, &str); 3] = [
    ("content-type", "text/event-stream"),
    ("cache-control", "no-cache, no-transform"),
    ("x-accel-buffering", "no"),
];

/// How large a buffer is kept for the body's next bytes, in bytes.
const BODY_BYTES_KEPT_MAX: usize = 64 * 1024;

/// The comment that tells a waiting client of our being there.
const HEARTBEAT: &str = "waiting";

/// Where the response's head stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum HeadState {
    /// Held back until there is something true to send.
    Held,
    /// There is: it goes before anything else.
    Due {
        /// Its HTTP status.
        status: u16,
    },
    /// It is out.
    Sent,
}

/// One client's answer.
pub struct Answer {
    relay: Relay,
    /// What is told to the user's quota, if the user has one.
    meter: Option<Meter>,
    client: ClientProtocol,
    /// The client reads a stream.
    stream: bool,
    id: String,
    /// See [`Self::model`].
    model: String,
    /// The client's own name for the conversation.
    session: Option<String>,
    writer: Writer,
    head: HeadState,
    /// Bytes for the body that were not polled yet.
    out: Vec<u8>,
    /// They were polled: the next poll forgets them.
    lent: bool,
    /// The parts of an answer that is wanted whole.
    collected: Collected,
    settlement: Option<Box<Settlement>>,
    until: Option<(Instant, Timer)>,
    /// The calls made so far, and the target of the last.
    calls: u32,
    target: String,
    now: Instant,
    /// When the client last heard of us; when the request came, before that.
    last_write: Instant,
    head_after: Duration,
    heartbeat_after: Duration,
}

impl Answer {
    /// Begins to answer.
    pub fn new(job: Job, opening: AnswerMeta, now: Instant) -> Self {
        let mut answer = Self::idle(job, opening, now);
        if answer.meter.is_none() {
            answer.start(now);
        }
        answer
    }

    /// Answers a request that cannot be answered, with the reason.
    pub fn refused(job: Job, opening: AnswerMeta, now: Instant, failure: Failure) -> Self {
        let mut answer = Self::idle(job, opening, now);
        answer.meter = None;
        answer.relay.refuse(now, failure);
        answer
    }

    fn idle(job: Job, opening: AnswerMeta, now: Instant) -> Self {
        let (caller, lease) = (job.caller.clone(), job.seed);
        let mut answer = Self {
            client: job.client,
            stream: job.request.stream,
            id: opening.id.clone(),
            model: opening.model.clone(),
            session: opening.request.conversation.clone(),
            writer: Writer::new(job.client, opening),
            head: HeadState::Held,
            out: Vec::new(),
            lent: false,
            collected: Collected::default(),
            settlement: None,
            until: None,
            calls: 0,
            target: String::new(),
            now,
            last_write: now,
            head_after: job.timeouts.head,
            heartbeat_after: job.timeouts.heartbeat,
            meter: None,
            relay: Relay::idle(job, now),
        };
        let prompt = answer.relay.input_tokens();
        answer.meter = caller.and_then(|caller| Meter::new(&caller, lease, prompt, now));
        answer
    }

    fn start(&mut self, now: Instant) {
        self.relay.start(now);
        self.open();
    }

    /// A protocol that says something before any provider does has something true to send.
    fn open(&mut self) {
        if self.stream {
            self.writer.open(&mut self.out);
        }
        if !self.out.is_empty() {
            self.head = HeadState::Due { status: 200 };
        }
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
        self.client
    }

    /// The log record of how it went.
    pub fn record(&self, settlement: &Settlement) -> Record {
        let answered = Answered {
            stream_id: &self.id,
            session: self.session.as_deref(),
            client: self.client,
            model: &self.model,
            streaming: self.stream,
        };
        log::answer(&answered, settlement)
    }

    /// Takes in what happened at `now`.
    pub fn handle(&mut self, now: Instant, input: Input<'_>) {
        self.now = self.now.max(now);
        self.relay.handle(self.now, input);
    }

    /// Takes in what the user's quota says of the last [`Output::Quota`].
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
        if std::mem::take(&mut self.lent) {
            self.out.clear();
            self.out.shrink_to(BODY_BYTES_KEPT_MAX);
        }
        if let Some(now) = self.drain() {
            return now;
        }
        self.heartbeat();
        if let HeadState::Due { status } = self.head {
            self.head = HeadState::Sent;
            return Output::Head(self.response_head(status));
        }
        if !self.out.is_empty() && self.head == HeadState::Sent {
            self.last_write = self.now;
            self.lent = true;
            return Output::Body(&self.out);
        }
        if let Some(quota) = self.metered() {
            return quota;
        }
        if let Some(settlement) = self.settlement.take() {
            return Output::Settle(settlement);
        }
        let due = self.until.into_iter().chain(self.heartbeat_due());
        Output::Wait { until: due.chain(self.meter_due()).min() }
    }

    /// What the user's quota is to be told.
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

    /// Takes what the relay has, up to something the shell must do at once.
    fn drain(&mut self) -> Option<Output<'static>> {
        loop {
            match self.relay.poll() {
                relay::Output::Call(call) => {
                    self.calls += 1;
                    self.target = call.target.to_string();
                    return Some(Output::Call(call));
                }
                relay::Output::Cancel { attempt } => return Some(Output::Cancel { attempt }),
                relay::Output::Release { attempt } => return Some(Output::Release { attempt }),
                relay::Output::Send(sent) => {
                    if self.stream && self.head == HeadState::Held {
                        self.head = HeadState::Due { status: 200 };
                    }
                    match sent {
                        Sent::Original(bytes) => {
                            self.writer.forwarded(bytes);
                            self.out.extend_from_slice(bytes);
                        }
                        Sent::Event(event) if self.stream => {
                            self.writer.event(&mut self.out, &event);
                        }
                        Sent::Event(event @ Event::Start { .. }) => {
                            self.writer.event(&mut self.out, &event);
                        }
                        Sent::Event(event) => self.collected.add(&event),
                    }
                }
                relay::Output::Settle(settlement) => self.settle(settlement),
                relay::Output::Wait { until } => {
                    self.until = until;
                    return None;
                }
            }
        }
    }

    /// Writes the response's end, by how the answer ended and how far the response is.
    fn settle(&mut self, settlement: Box<Settlement>) {
        let closing = AnswerEnd { end: &settlement.end, fallback: settlement.fallback };
        match &settlement.end {
            _ if self.head != HeadState::Held => self.writer.end(&mut self.out, &closing),
            End::Failed(failure) => {
                self.out = error_body(self.client, failure, Some(&self.id));
                self.head = HeadState::Due { status: failure.status() };
            }
            End::Finished(_) => {
                if self.out.is_empty() {
                    self.writer.whole(&mut self.out, &self.collected);
                }
                self.head = HeadState::Due { status: 200 };
            }
            End::Cancelled => {}
        }
        self.settlement = Some(settlement);
    }

    fn response_head(&self, status: u16) -> Head {
        let settlement = self.settlement.as_deref();
        let failure = settlement.and_then(|settlement| match &settlement.end {
            End::Failed(failure) if status != 200 => Some(failure),
            End::Failed(_) | End::Finished(_) | End::Cancelled => None,
        });
        let mut headers: Vec<(&'static str, String)> = if self.stream && failure.is_none() {
            let own = self.client.stream_headers();
            STREAM_HEADERS
                .iter()
                .chain(own)
                .map(|&(name, value)| (name, value.to_owned()))
                .collect()
        } else {
            let media_type = failure.map_or("application/json", |_| self.client.error_media_type());
            vec![("content-type", media_type.to_owned())]
        };
        headers.push(("x-stream-id", self.id.clone()));
        if self.calls > 0 {
            headers.push(("x-streamgate-target", self.target.clone()));
            headers.push(("x-streamgate-attempts", self.calls.to_string()));
        }
        if settlement.is_some_and(|settlement| settlement.fallback) {
            headers.push(("x-streamgate-fallback", "true".to_owned()));
        }
        headers.extend(failure.into_iter().flat_map(Failure::headers));
        Head { status, headers }
    }

    /// Whose turn is next to tell a streaming client that we are there: the head's, or a
    /// heartbeat's.
    fn heartbeat_due(&self) -> Option<(Instant, Timer)> {
        match self.head {
            _ if !self.stream || self.until.is_none() => None,
            HeadState::Held => Some((self.last_write + self.head_after, Timer::Head)),
            HeadState::Due { .. } | HeadState::Sent => {
                Some((self.last_write + self.heartbeat_after, Timer::Heartbeat))
            }
        }
    }

    fn heartbeat(&mut self) {
        if self.out.is_empty() && self.heartbeat_due().is_some_and(|(due, _)| due <= self.now) {
            sse::comment(&mut self.out, HEARTBEAT);
            if self.head == HeadState::Held {
                self.head = HeadState::Due { status: 200 };
            }
        }
    }
}

#[cfg(test)]
mod tests;
