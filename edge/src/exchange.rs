//! One request and its response: the core's answer, driven by what the wire tells.
//!
//! ```text
//!  begin ──► open to all ────────────────────────────────────────────────► respond ──► over
//!    └─────► admitting ──► a known reply, or a refusal ──────────────────► respond ──► over
//!                └───────► chat ──► receive ──ask──► answering ──settled──► finish ──► over
//! ```

use std::sync::Arc;

use streamgate_core::access::quota::Entry;
use streamgate_core::access::{self, Admission, Credentials, KEY_SET_BYTES_MAX, Visitor};
use streamgate_core::answer::{Answer, Head, Output};
use streamgate_core::failure::{Failure, Reason};
use streamgate_core::gateway::{Arrival, Client, Gateway, Reply, Route};
use streamgate_core::protocol::{HttpCall, Protocol};
use streamgate_core::relay::{self, AttemptId, Call, Input, Settlement};
use streamgate_core::time::Instant;
use wasm_bindgen::prelude::wasm_bindgen;

use crate::wire::{Wire, flat};
use crate::{isolate, log, quota};

/// One request and its response. Every method is a thing that happened; times are milliseconds
/// since 1970.
#[wasm_bindgen]
pub struct Exchange {
    wire: Wire,
    stage: Stage,
}

enum Stage {
    /// The request's head is not known, or the response needs nothing more.
    Idle,
    /// It is not known yet who asks.
    Admitting(Box<Admitting>),
    /// The body of a chat request is being read, or is not wanted.
    Receiving { gateway: Gateway, client: Client, visitor: Result<Option<Visitor>, Failure> },
    /// The core answers.
    Answering(Box<Answering>),
}

struct Admitting {
    gateway: Gateway,
    admission: Admission,
    method: String,
    /// What is answered when it is.
    route: Route,
}

struct Answering {
    gateway: Gateway,
    answer: Answer,
    client: Protocol,
    /// The model that was asked for.
    model: String,
    /// The calls made, by the numbers the wire knows them by.
    calls: Vec<Made>,
    response: Response,
    /// When the wire will tick.
    wakes_at: Option<Instant>,
}

/// A call that was made.
struct Made {
    attempt: AttemptId,
    /// Its response's head came.
    answered: bool,
}

/// How far the response is.
enum Response {
    /// Its head is not known, or waits to see whether the whole body comes with it.
    Held { head: Option<Head>, body: Vec<u8> },
    /// Its head is sent.
    Open,
}

#[wasm_bindgen]
impl Exchange {
    /// An exchange over this wire.
    #[wasm_bindgen(constructor)]
    pub fn new(wire: Wire) -> Self {
        Self { wire, stage: Stage::Idle }
    }

    /// The request's head came.
    pub fn begin(&mut self, now: f64, method: &str, path: &str) {
        let gateway = match isolate::gateway(&self.wire) {
            Ok(gateway) => gateway,
            Err(reply) => return self.reply(method, reply),
        };
        match gateway.route(method, path) {
            Route::Reply(reply) => self.reply(method, reply),
            route @ (Route::Private(_) | Route::ProviderKey { .. } | Route::Chat(_)) => {
                let credentials = Credentials::read(|name| self.wire.header(name));
                let admission = gateway.admit(&credentials, instant(now), unix_seconds(now));
                let method = method.to_owned();
                let admitting = Admitting { gateway, admission, method, route };
                self.admit(Box::new(admitting));
            }
        }
    }

    /// A key set came, or why it did not.
    pub fn fetched(&mut self, now: f64, body: Option<Vec<u8>>, why: Option<String>) {
        let Stage::Admitting(mut admitting) = std::mem::replace(&mut self.stage, Stage::Idle)
        else {
            return;
        };
        let body = body.as_deref().ok_or_else(|| why.unwrap_or_default());
        if let Err(why) = admitting.admission.fetched(instant(now), body) {
            log::keys(&self.wire, &why);
        }
        self.admit(admitting);
    }

    /// The user's quota said something; nothing if it could not be asked.
    pub fn entered(&mut self, now: f64, said: Option<String>) {
        let Stage::Answering(answering) = &mut self.stage else { return };
        answering.entered(instant(now), said.as_deref(), &self.wire);
    }

    /// The request's body came; none if it is longer than allowed. The numbers are random.
    pub fn ask(&mut self, now: f64, high: u64, low: u64, body: Option<Vec<u8>>) {
        let stage = std::mem::replace(&mut self.stage, Stage::Idle);
        let Stage::Receiving { gateway, client, visitor } = stage else { return };
        let (visitor, refused) = match visitor {
            Ok(visitor) => (visitor, None),
            Err(failure) => (None, Some(failure)),
        };
        let arrival = Arrival {
            visitor,
            own_keys: Ok(Vec::new()),
            now: instant(now),
            unix_seconds: unix_seconds(now),
            random: u128::from(high) << 64 | u128::from(low),
            headers: client.headers(|name| self.wire.header(name)),
        };
        let answer = match (refused, body) {
            (Some(failure), _) => gateway.refuse(client, failure, &arrival),
            (None, Some(body)) => gateway.answer(client, &body, &arrival),
            (None, None) => gateway.refuse(client, gateway.body_too_large(), &arrival),
        };
        let client = client.protocol;
        self.stage = Stage::Answering(Box::new(Answering::new(gateway, answer, client)));
        self.handle(now, |_| Some(Input::Tick));
    }

    /// The head of a call's response came. Headers are names and values in turn.
    pub fn head(&mut self, call: usize, now: f64, status: u16, headers: Vec<String>) {
        self.handle(now, |calls| {
            let made = calls.get_mut(call)?;
            made.answered = true;
            let head = relay::Head::read(status, |name| find(&headers, name));
            Some(Input::Head { attempt: made.attempt, head })
        });
    }

    /// Bytes of a call's response came.
    pub fn bytes(&mut self, call: usize, now: f64, bytes: &[u8]) {
        self.handle(now, |calls| Some(Input::Bytes { attempt: calls.get(call)?.attempt, bytes }));
    }

    /// A call's response ended in good order.
    pub fn end(&mut self, call: usize, now: f64) {
        self.handle(now, |calls| Some(Input::End { attempt: calls.get(call)?.attempt }));
    }

    /// A call could not be made, or broke.
    pub fn lost(&mut self, call: usize, now: f64, message: &str) {
        self.handle(now, |calls| {
            let made = calls.get(call)?;
            Some(Input::Lost { attempt: made.attempt, failure: made.failure(message) })
        });
    }

    /// The client left.
    pub fn hangup(&mut self, now: f64) {
        match self.stage {
            Stage::Answering(_) => self.handle(now, |_| Some(Input::Hangup)),
            Stage::Idle | Stage::Admitting(_) | Stage::Receiving { .. } => self.wire.finish(),
        }
    }

    /// The client reads too slowly to be sent more.
    pub fn pause(&mut self, now: f64) {
        self.handle(now, |_| Some(Input::Pause));
    }

    /// The client has read what it was sent.
    pub fn resume(&mut self, now: f64) {
        self.handle(now, |_| Some(Input::Resume));
    }

    /// The time asked for has come.
    pub fn tick(&mut self, now: f64) {
        if let Stage::Answering(answering) = &mut self.stage {
            answering.wakes_at = None;
        }
        self.handle(now, |_| Some(Input::Tick));
    }

    /// Goes on once it is known who asks.
    fn admit(&mut self, mut admitting: Box<Admitting>) {
        let visitor = match admitting.admission.poll() {
            access::Output::Query(_) => {
                // No store is open here yet.
                let missing = Failure::from(Reason::StoreMissing);
                if let Err(failure) = admitting.admission.found(Err(missing)) {
                    log::keys(&self.wire, failure.message());
                }
                return self.admit(admitting);
            }
            access::Output::Fetch { url } => {
                self.wire.fetch_keys(&url, KEY_SET_BYTES_MAX);
                self.stage = Stage::Admitting(admitting);
                return;
            }
            access::Output::Admitted(visitor) => Ok(visitor),
            access::Output::Refused(failure) => Err(failure),
        };
        let Admitting { gateway, method, route, .. } = *admitting;
        match (route, visitor) {
            (Route::Chat(client), visitor) => {
                // Of who is refused nothing is read.
                let bytes_max = if visitor.is_ok() { gateway.request_bytes_max() } else { 0 };
                self.wire.receive(bytes_max);
                self.stage = Stage::Receiving { gateway, client, visitor };
            }
            (Route::Reply(reply) | Route::Private(reply), Ok(_)) => self.reply(&method, reply),
            // No store is open here yet.
            (Route::ProviderKey { .. }, Ok(_)) => {
                self.reply(&method, Reply::failure(&Reason::StoreMissing.into()));
            }
            (_, Err(failure)) => self.reply(&method, Reply::failure(&failure)),
        }
    }

    fn reply(&self, method: &str, reply: Reply) {
        let body = if method == "HEAD" { &[] } else { reply.body.as_slice() };
        self.wire.respond(reply.status, flat(reply.headers), body);
        self.wire.finish();
    }

    /// Hands the answer what happened, if it concerns it, and does what it then wants done.
    fn handle<'a>(&mut self, now: f64, input: impl FnOnce(&mut [Made]) -> Option<Input<'a>>) {
        let Stage::Answering(answering) = &mut self.stage else { return };
        let now = instant(now);
        if let Some(input) = input(&mut answering.calls) {
            answering.answer.handle(now, input);
            answering.drain(now, &self.wire);
        }
    }
}

impl Answering {
    fn new(gateway: Gateway, answer: Answer, client: Protocol) -> Self {
        let model = gateway.config().default_model.clone().unwrap_or_default();
        let response = Response::Held { head: None, body: Vec::new() };
        Self { gateway, answer, client, model, calls: Vec::new(), response, wakes_at: None }
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
                Output::Quota { user, entry } => self.enter(now, &user, &entry, wire),
                Output::Settle(settlement) => return self.settle(&settlement, wire),
                Output::Wait { until } => {
                    self.response.open(wire);
                    return self.wait(now, until.map(|(due, _)| due), wire);
                }
            }
        }
    }

    fn call(&mut self, now: Instant, call: &Call, wire: &Wire) {
        log::call(wire, self.answer.id(), call);
        if let Some(asked) = &call.request.model {
            self.model.clone_from(asked);
        }
        let number = self.calls.len();
        self.calls.push(Made { attempt: call.attempt, answered: false });
        match http(call) {
            Ok(http) => wire.call(number, &http.url, flat(http.headers), &http.body),
            Err(failure) => {
                self.answer.handle(now, Input::Lost { attempt: call.attempt, failure });
            }
        }
    }

    /// Where no quota is shared by all isolates, each keeps its own.
    fn enter(&mut self, now: Instant, user: &Arc<str>, entry: &Entry, wire: &Wire) {
        if !wire.enter(user, &quota::written(entry)) {
            let entered = self.gateway.enter(user, entry, now);
            self.answer.entered(now, entered);
        }
    }

    /// A quota that cannot be asked stops nobody.
    fn entered(&mut self, now: Instant, said: Option<&str>, wire: &Wire) {
        let entered = said.and_then(quota::read).unwrap_or_else(|| {
            log::quota(wire, self.answer.id());
            Ok(())
        });
        self.answer.entered(now, entered);
        self.drain(now, wire);
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
        log::answer(wire, self.answer.id(), self.client, &self.model, settlement);
        wire.finish();
    }
}

fn http(call: &Call) -> Result<HttpCall, Failure> {
    if call.target.provider.protocol == Protocol::Local {
        let detail = format!("{} runs on a native server only.", call.target);
        return Err(Failure::new(Reason::ModelUnavailable, detail));
    }
    call.http()
}

impl Made {
    /// What the runtime's message means. It is a text without a promise, so only what it cannot mean
    /// otherwise is read from it.
    fn failure(&self, message: &str) -> Failure {
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

fn find<'a>(headers: &'a [String], name: &str) -> Option<&'a str> {
    headers.chunks_exact(2).find(|pair| pair[0] == name).map(|pair| pair[1].as_str())
}

fn instant(ms: f64) -> Instant {
    Instant::from_millis(ms as u64)
}

fn unix_seconds(ms: f64) -> u64 {
    (ms / 1000.0) as u64
}
