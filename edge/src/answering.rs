//! The core's answer to a chat request, as what the wire tells goes in and what is to be done comes
//! out.

use std::sync::Arc;

use streamgate_core::access::quota::QuotaOp;
use streamgate_core::answer::{Answer, Head, Output};
use streamgate_core::failure::{Failure, Reason};
use streamgate_core::relay::{AttemptId, Call, Input, Settlement};
use streamgate_core::store::learned_limits;
use streamgate_core::time::Instant;

use crate::isolate::Isolate;
use crate::wire::{Wire, flat};
use crate::{log, quota};

/// An answer that is being given.
pub(crate) struct Answering {
    isolate: Isolate,
    answer: Answer,
    /// The calls made, by the numbers the wire knows them by.
    calls: Vec<Made>,
    response: Response,
    /// When the wire will tick.
    wakes_at: Option<Instant>,
}

/// A call that was made.
pub(crate) struct Made {
    pub(crate) attempt: AttemptId,
    /// Its response's head came.
    pub(crate) answered: bool,
}

/// How far the response is.
enum Response {
    /// Its head is not known, or waits to see whether the whole body comes with it.
    Held { head: Option<Head>, body: Vec<u8> },
    /// Its head is sent.
    Open,
}

impl Answering {
    /// An answer that nobody has polled yet.
    pub(crate) fn new(isolate: Isolate, answer: Answer) -> Self {
        let response = Response::Held { head: None, body: Vec::new() };
        Self { isolate, answer, calls: Vec::new(), response, wakes_at: None }
    }

    /// Hands the answer what happened, if it concerns it, and does what it then wants done.
    pub(crate) fn handle<'a>(
        &mut self,
        now: Instant,
        input: impl FnOnce(&mut [Made]) -> Option<Input<'a>>,
        wire: &Wire,
    ) {
        if let Some(input) = input(&mut self.calls) {
            self.answer.handle(now, input);
            self.drain(now, wire);
        }
    }

    /// The wire ticked: it will not do so again by itself.
    pub(crate) fn rang(&mut self) {
        self.wakes_at = None;
    }

    /// The user's quota said something. One that cannot be asked stops nobody.
    pub(crate) fn entered(&mut self, now: Instant, said: Option<&str>, wire: &Wire) {
        let entered = said.and_then(quota::read).unwrap_or_else(|| {
            log::quota(wire, self.answer.id());
            Ok(())
        });
        self.answer.entered(now, entered);
        self.drain(now, wire);
    }

    fn drain(&mut self, now: Instant, wire: &Wire) {
        loop {
            match self.answer.poll() {
                Output::Call(call) => self.call(now, &call, wire),
                Output::Cancel { attempt } => {
                    if let Some(number) = self.calls.iter().position(|m| m.attempt == attempt) {
                        wire.cancel(number);
                    }
                }
                // The wire reads it out by itself.
                Output::Release { .. } => {}
                Output::Head(head) => self.response.head(head),
                Output::Body(bytes) => self.response.body(bytes, wire),
                Output::Quota { user, op: entry } => self.enter(now, &user, &entry, wire),
                Output::Settle(settlement) => return self.settle(&settlement, wire),
                Output::Wait { until } => {
                    self.response.open(wire);
                    return self.wait(now, until.map(|(due, _)| due), wire);
                }
            }
        }
    }

    fn call(&mut self, now: Instant, call: &Call, wire: &Wire) {
        let number = self.calls.len();
        self.calls.push(Made { attempt: call.attempt, answered: false });
        match call.http() {
            Ok(http) => wire.call(number, &http.url, flat(http.headers), &http.body),
            Err(failure) => {
                self.answer.handle(now, Input::Lost { attempt: call.attempt, failure });
            }
        }
    }

    /// Where no quota is shared by all isolates, each keeps its own.
    fn enter(&mut self, now: Instant, user: &Arc<str>, entry: &QuotaOp, wire: &Wire) {
        if !wire.enter(user, &quota::written(entry)) {
            let entered = self.isolate.gateway.apply(user, entry, now);
            self.answer.entered(now, entered);
        }
    }

    /// A timer that fires too early costs a step now and then; one set anew for every chunk would
    /// cost more than the chunk. So it is set only when an earlier one is needed.
    fn wait(&mut self, now: Instant, due: Option<Instant>, wire: &Wire) {
        let Some(due) = due else { return };
        if self.wakes_at.is_none_or(|at| due < at) {
            self.wakes_at = Some(due);
            wire.sleep((due.since(now).as_secs_f64() * 1000.0).ceil());
        }
    }

    fn settle(&mut self, settlement: &Settlement, wire: &Wire) {
        self.response.close(wire);
        if let Some(store) = &self.isolate.store {
            store.keep(wire, &learned_limits::keep(&settlement.learned));
        }
        log::record(wire, &self.answer.record(settlement));
        wire.finish();
    }
}

impl Made {
    /// What the runtime's message means. It is a text without a promise, so only what it cannot mean
    /// otherwise is read from it.
    pub(crate) fn failure(&self, message: &str) -> Failure {
        let says = |word: &str| message.contains(word);
        let reason = match () {
            () if self.answered => Reason::Lost,
            () if says("DNS") => Reason::Dns,
            () if says("TLS") || says("SSL") || says("certificate") => Reason::Tls,
            () => Reason::Connect,
        };
        Failure::new(reason, format!("{} {message}", reason.row().text))
    }
}

impl Response {
    fn head(&mut self, head: Head) {
        if let Self::Held { head: held, .. } = self {
            *held = Some(head);
        }
    }

    fn body(&mut self, bytes: &[u8], wire: &Wire) {
        match self {
            Self::Held { body, .. } => body.extend_from_slice(bytes),
            Self::Open => wire.write(bytes),
        }
    }

    /// More will come later: what there is goes now.
    fn open(&mut self, wire: &Wire) {
        if let Self::Held { head: head @ Some(_), body } = self
            && let Some(Head { status, headers }) = head.take()
        {
            wire.open(status, flat(headers));
            if !body.is_empty() {
                wire.write(body);
            }
            *self = Self::Open;
        }
    }

    /// Nothing more will come: what was held goes as one, with its length.
    fn close(&mut self, wire: &Wire) {
        if let Self::Held { head, body } = self
            && let Some(Head { status, headers }) = head.take()
        {
            wire.respond(status, flat(headers), body);
        }
    }
}
