//! Runs one answer inside the task of its client's connection: no task, no channel and no lock of
//! its own. hyper polls it for the response's head and then, as a [`Body`], for its frames; each
//! poll reads what its calls have ready and returns all of it as one frame.
//!
//! Dropping it, as hyper does when the client is gone, ends its calls and settles the answer.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use streamgate_core::answer::{Answer, Head, Output};
use streamgate_core::relay::{self, AttemptId, Input};
use streamgate_core::target::Upstream;
use streamgate_core::time::Instant;
use tokio::time::Sleep;

use crate::serving_thread::{ActiveGuard, ServingThread};
use crate::{learned, local, log, upstream};

/// How much is read for one frame, in bytes, before no more is: bursts are joined, in buffers that
/// an allocator keeps. Twice as much costs burst streams half as much again, in memory given back
/// to the system and taken anew.
const FRAME_BYTES_MAX: usize = 32 * 1024;

/// One answer, and what it needs to run.
pub(crate) struct Driver {
    answer: Answer,
    thread: Arc<ServingThread>,
    calls: Vec<(AttemptId, Call)>,
    /// A call has begun that nobody has polled yet.
    begun: bool,
    /// Until when the answer waits, if nothing comes.
    until: Option<Instant>,
    timer: Timer,
    head: Option<Head>,
    /// The response is a stream.
    stream: bool,
    /// What is ready to be sent.
    body: BytesMut,
    /// Settled: nothing comes after `body`.
    over: bool,
    _running: ActiveGuard,
}

/// A call that is being made.
enum Call {
    Upstream(upstream::Call),
    Local(local::Call),
}

/// Whether a call goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// It said something, and may have more.
    More,
    /// It has said its last.
    Over,
}

impl Driver {
    /// A driver of `answer`, which nobody has polled yet.
    pub(crate) fn new(thread: Arc<ServingThread>, answer: Answer) -> Self {
        Self {
            answer,
            calls: Vec::new(),
            begun: false,
            until: None,
            timer: Timer::default(),
            head: None,
            stream: false,
            body: BytesMut::new(),
            over: false,
            _running: thread.running.one(),
            thread,
        }
    }

    /// Runs the answer up to its head; the rest runs as the response's body.
    pub(crate) async fn respond(mut self) -> Response<Self> {
        self.carry_out();
        let head = poll_fn(|context| self.poll_head(context)).await;
        self.stream = head.headers.contains(&("content-type", "text/event-stream".into()));
        let mut response = Response::new(self);
        *response.status_mut() = StatusCode::from_u16(head.status).unwrap_or_default();
        let headers = response.headers_mut();
        for (name, value) in head.headers {
            // A name of the configuration may hold what a header cannot; then it goes unsaid.
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
        response
    }

    fn poll_head(&mut self, context: &mut Context<'_>) -> Poll<Head> {
        self.advance(context);
        match self.head.take() {
            Some(head) => Poll::Ready(head),
            None => Poll::Pending,
        }
    }

    /// Runs the answer until it waits, or enough is ready to be sent.
    fn advance(&mut self, context: &mut Context<'_>) {
        while !self.over && self.body.len() < FRAME_BYTES_MAX {
            self.begun = false;
            let fed = self.feed(context);
            if fed > 0 {
                self.carry_out();
            }
            if self.begun || fed >= FRAME_BYTES_MAX {
                // A call that was not polled, or not to its end, would not wake this task.
                continue;
            }
            match self.timer.poll(context, self.until, &self.thread) {
                Poll::Ready(now) => self.answer.handle(now, Input::Tick),
                Poll::Pending => return,
            }
            self.carry_out();
        }
    }

    /// Hands the answer what its calls have ready, about a frame at most. Returns how much: 0 if
    /// there was nothing, and the calls will wake this task.
    fn feed(&mut self, context: &mut Context<'_>) -> usize {
        let mut fed = 0;
        let mut place = 0;
        while let Some((attempt, call)) = self.calls.get_mut(place) {
            let now = self.thread.clock.now();
            let mut say = |input: Input<'_>| {
                fed += 1;
                if let Input::Bytes { bytes, .. } = &input {
                    fed += bytes.len();
                }
                self.answer.handle(now, input);
            };
            let progress = match call {
                Call::Upstream(call) => call.poll(context, *attempt, &mut say),
                Call::Local(call) => call.poll(context, *attempt, &mut say),
            };
            match progress {
                Poll::Ready(Progress::More) if fed < FRAME_BYTES_MAX => {}
                Poll::Ready(Progress::More) => return fed,
                Poll::Ready(Progress::Over) => drop(self.calls.remove(place)),
                Poll::Pending => place += 1,
            }
        }
        fed
    }

    /// Does all that the answer wants done.
    fn carry_out(&mut self) {
        loop {
            match self.answer.poll() {
                Output::Call(call) => self.begin(&call),
                Output::Cancel { attempt } => drop(self.take_call(attempt)),
                Output::Release { attempt } => {
                    if let Some(Call::Upstream(call)) = self.take_call(attempt) {
                        call.release();
                    }
                }
                Output::Head(head) => {
                    if head.status == StatusCode::OK.as_u16() {
                        log::stream_created(self.answer.id());
                    }
                    self.head = Some(head);
                }
                Output::Body(bytes) => self.body.extend_from_slice(bytes),
                Output::Quota { user, op } => {
                    let now = self.thread.clock.now();
                    let entered = self.thread.gateway.apply(&user, &op, now);
                    self.answer.entered(now, entered);
                }
                Output::Settle(settlement) => {
                    self.over = true;
                    if let Some(store) = &self.thread.store {
                        learned::keep(store, &settlement.learned);
                    }
                    log::answer(&self.answer, &settlement);
                }
                Output::Wait { until } => {
                    self.until = until.map(|(until, _)| until);
                    return;
                }
            }
        }
    }

    fn begin(&mut self, call: &relay::Call) {
        log::call(self.answer.id(), call);
        let begun = match call.target.provider.upstream {
            Upstream::Local => Call::Local(local::Call::new(&self.thread.engine, call)),
            Upstream::Http(_) => Call::Upstream(self.thread.upstream.call(call)),
        };
        self.calls.push((call.attempt, begun));
        self.begun = true;
    }

    fn take_call(&mut self, attempt: AttemptId) -> Option<Call> {
        let place = self.calls.iter().position(|(id, _)| *id == attempt)?;
        Some(self.calls.remove(place).1)
    }
}

impl Body for Driver {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.advance(context);
        if !self.body.is_empty() {
            let frame = self.body.split().freeze();
            return Poll::Ready(Some(Ok(Frame::data(frame))));
        }
        if self.over { Poll::Ready(None) } else { Poll::Pending }
    }

    fn is_end_stream(&self) -> bool {
        self.over && self.body.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        let ready = self.body.len() as u64;
        // A stream is sent in chunks even if it is over already: its form is not to depend on time.
        if self.over && !self.stream {
            return SizeHint::with_exact(ready);
        }
        let mut hint = SizeHint::new();
        hint.set_lower(ready);
        hint
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        if !self.over {
            self.answer.handle(self.thread.clock.now(), Input::Hangup);
            self.carry_out();
        }
    }
}

/// One timer for all deadlines of an answer. Deadlines move on with every token; the timer is set
/// anew only when it rings, or when it would ring too late.
#[derive(Default)]
struct Timer {
    sleep: Option<Pin<Box<Sleep>>>,
    rings: Instant,
}

impl Timer {
    /// Ready with the time once it is `until`.
    fn poll(
        &mut self,
        context: &mut Context<'_>,
        until: Option<Instant>,
        thread: &ServingThread,
    ) -> Poll<Instant> {
        let Some(until) = until else { return Poll::Pending };
        if self.sleep.is_none() || until < self.rings {
            self.set(until, thread);
        }
        while let Some(sleep) = &mut self.sleep {
            ready!(sleep.as_mut().poll(context));
            let now = thread.clock.now();
            if until <= now {
                self.sleep = None;
                return Poll::Ready(now);
            }
            self.set(until, thread);
        }
        Poll::Pending
    }

    fn set(&mut self, until: Instant, thread: &ServingThread) {
        self.rings = until;
        let at = thread.clock.tokio(until);
        match &mut self.sleep {
            Some(sleep) => sleep.as_mut().reset(at),
            None => self.sleep = Some(Box::pin(tokio::time::sleep_until(at))),
        }
    }
}
