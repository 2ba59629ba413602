//! Runs one request inside the task of its client's connection: no task, no channel and no lock of
//! its own. hyper polls it for the response's head and then, as a [`Body`], for its frames; each
//! poll reads what its calls have ready and returns all of it as one frame.
//!
//! Dropping it, as hyper does when the client is gone, ends its calls and settles the answer.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use streamgate_core::relay::AttemptId;
use streamgate_core::request::{Head, Input, Output, Request};
use streamgate_core::store::Statement;
use streamgate_core::time::Instant;

use crate::call::Call;
use crate::log;
use crate::pending::{Completed, Pending};
use crate::progress::Progress;
use crate::request_body::{Connection, RequestBody};
use crate::serve::Carried;
use crate::serving_thread::{ActiveGuard, ServingThread};
use crate::timer::Timer;

/// How much is read for one frame, in bytes, before no more is: bursts are joined, in buffers that
/// an allocator keeps. Twice as much costs burst streams half as much again, in memory given back
/// to the system and taken anew.
const FRAME_BYTES_MAX: usize = 32 * 1024;

/// One request, and what it needs to run.
pub(crate) struct Driver {
    request: Request,
    thread: Arc<ServingThread>,
    /// The request's body, while nobody reads it and it may have more.
    unread: Option<RequestBody>,
    carried: Carried,
    pending: Option<Pending>,
    calls: Vec<(AttemptId, Call)>,
    /// Something has begun that nobody has polled yet.
    begun: bool,
    /// Until when the request waits, if nothing comes.
    until: Option<Instant>,
    timer: Timer,
    head: Option<Head>,
    /// The response is a stream.
    stream: bool,
    /// What is ready to be sent.
    body: BytesMut,
    /// Nothing comes after `body`.
    over: bool,
    _active: ActiveGuard,
}

impl Driver {
    /// A driver of `request`, which nobody has polled yet.
    pub(crate) fn new(
        thread: Arc<ServingThread>,
        carried: Carried,
        request: Request,
        body: RequestBody,
    ) -> Self {
        if body.is_empty() {
            carried.set_awaiting();
        } else {
            carried.set_sending();
        }
        let mut driver = Self {
            request,
            unread: Some(body),
            carried,
            pending: None,
            calls: Vec::new(),
            begun: false,
            until: None,
            timer: Timer::default(),
            head: None,
            stream: false,
            body: BytesMut::new(),
            over: false,
            _active: thread.running.one(),
            thread,
        };
        driver.execute();
        driver
    }

    /// Runs the request up to its response's head; the rest runs as the response's body.
    pub(crate) fn poll_head(&mut self, context: &mut Context<'_>) -> Poll<Head> {
        if self.head.is_none() {
            self.advance(context);
        }
        match self.head.take() {
            Some(head) => Poll::Ready(head),
            None => Poll::Pending,
        }
    }

    /// Runs the request until it waits, or enough is ready to be sent.
    fn advance(&mut self, context: &mut Context<'_>) {
        while !self.over && self.body.len() < FRAME_BYTES_MAX {
            self.begun = false;
            let fed = self.feed_pending(context) + self.feed_calls(context);
            if fed > 0 {
                self.execute();
            }
            if self.begun || fed >= FRAME_BYTES_MAX {
                // What was not polled, or not to its end, would not wake this task.
                continue;
            }
            match self.timer.poll(context, self.until, self.thread.clock) {
                Poll::Ready(now) => self.request.handle(now, Input::Tick),
                Poll::Pending => return,
            }
            self.execute();
        }
    }

    /// Hands the request the result of what is pending, if it has come. Returns how much it was handed.
    fn feed_pending(&mut self, context: &mut Context<'_>) -> usize {
        let Some(pending) = &mut self.pending else { return 0 };
        let Poll::Ready(mut came) = pending.poll(context) else { return 0 };
        if let Some(Pending::Body { body, .. }) = self.pending.take() {
            match &came {
                Completed::Body(Err(_)) => self.unread = Some(body),
                Completed::Body(Ok(_)) | Completed::Rows(_) | Completed::KeySet(_) => {
                    self.carried.set_awaiting();
                }
            }
        }
        self.request.handle(self.thread.clock.now(), came.as_input());
        1
    }

    /// Hands the request what its calls have ready, about a frame at most. Returns how much: 0 if
    /// there was nothing, and the calls will wake this task.
    fn feed_calls(&mut self, context: &mut Context<'_>) -> usize {
        let mut fed = 0;
        let mut index = 0;
        while let Some((attempt, call)) = self.calls.get_mut(index) {
            let now = self.thread.clock.now();
            let mut take = |input: Input<'_>| {
                fed += 1;
                if let Input::Bytes { bytes, .. } = &input {
                    fed += bytes.len();
                }
                self.request.handle(now, input);
            };
            match call.poll(context, *attempt, &mut take) {
                Poll::Ready(Progress::More) if fed < FRAME_BYTES_MAX => {}
                Poll::Ready(Progress::More) => return fed,
                Poll::Ready(Progress::Over) => drop(self.calls.remove(index)),
                Poll::Pending => index += 1,
            }
        }
        fed
    }

    /// Does all that the request wants done.
    fn execute(&mut self) {
        loop {
            match self.request.poll() {
                Output::ReadBody { bytes_max } => self.read_body(bytes_max),
                Output::Query(statements) => {
                    self.await_next(Pending::rows(&self.thread, statements));
                }
                Output::Fetch { url, bytes_max } => {
                    self.await_next(Pending::key_set(&self.thread, url, bytes_max));
                }
                Output::Quota { user, op } => {
                    let now = self.thread.clock.now();
                    let applied = self.thread.gateway.apply(&user, &op, now);
                    self.request.handle(now, Input::Quota(Ok(applied)));
                }
                Output::Call(call) => {
                    self.calls.push((call.attempt, Call::begin(&self.thread, &call)));
                    self.begun = true;
                }
                Output::Cancel { attempt } => drop(self.take_call(attempt)),
                Output::Release { attempt } => {
                    if let Some(call) = self.take_call(attempt) {
                        call.release();
                    }
                }
                Output::Head(head) => self.begin_response(head),
                Output::Body(bytes) => self.body.extend_from_slice(bytes),
                Output::Keep(statements) => self.keep(statements),
                Output::Log(record) => log::write(record),
                Output::Done => self.over = true,
                Output::Wait { until } => {
                    self.until = until.map(|(until, _)| until);
                    return;
                }
            }
        }
    }

    fn read_body(&mut self, bytes_max: usize) {
        if let Some(body) = self.unread.take() {
            self.await_next(Pending::Body { body, bytes_max });
        }
    }

    fn await_next(&mut self, pending: Pending) {
        self.pending = Some(pending);
        self.begun = true;
    }

    fn begin_response(&mut self, mut head: Head) {
        self.stream = head.headers.iter().any(|(name, _)| *name == "x-accel-buffering");
        self.carried.set_answered();
        if let Some(Pending::Body { body, .. }) = self.pending.take() {
            self.unread = Some(body);
        }
        if self.unread.take().map(RequestBody::discard) == Some(Connection::Closed) {
            head.headers.push(("connection", "close".to_owned()));
        }
        self.head = Some(head);
    }

    fn keep(&self, statements: Vec<Statement>) {
        if let Some(store) = &self.thread.store
            && let Err(failure) = store.begin(statements)
        {
            tracing::warn!(detail = failure.message(), "not kept");
        }
    }

    fn take_call(&mut self, attempt: AttemptId) -> Option<Call> {
        let index = self.calls.iter().position(|(id, _)| *id == attempt)?;
        Some(self.calls.remove(index).1)
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
            self.request.handle(self.thread.clock.now(), Input::Hangup);
            self.execute();
        }
    }
}
