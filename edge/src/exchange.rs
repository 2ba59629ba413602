//! One request and its response: what the wire tells, handed to whom it concerns.
//!
//! ```text
//!  begin ──► open to all ─────────────────────────────────────────────────────────► respond ──► over
//!    └──► opening ──► admitting ──► a known reply, or a refusal ───────────────────► respond ──► over
//!                        ├───────► a user's key ──► receive ──ask──► keeping ──────► respond ──► over
//!                        └───────► chat ──► receive ──ask──► own keys ──► answering ──► finish ──► over
//! ```
//!
//! Where something is asked of the store, [`Exchange::found`] goes on.

use streamgate_core::access::{self, Admission, Caller, Credentials, KEY_SET_BYTES_MAX};
use streamgate_core::failure::{Failure, Reason};
use streamgate_core::gateway::{Arrival, Client, Reply, Route};
use streamgate_core::provider_keys::{self, Action, KeyRequest};
use streamgate_core::relay::{self, Input};
use streamgate_core::seal::NONCE_BYTES;
use streamgate_core::store::{Outcome, Statement};
use streamgate_core::time::Instant;
use wasm_bindgen::prelude::wasm_bindgen;

use crate::answering::{Answering, Made};
use crate::isolate::{self, Isolate};
use crate::log;
use crate::store::{self, Errand, Next, Store};
use crate::wire::{Wire, flat};

/// One request and its response. Every method is a thing that happened; times are milliseconds
/// since 1970.
#[wasm_bindgen]
pub struct Exchange {
    wire: Wire,
    stage: Stage,
    /// What the store is asked, if it is.
    errand: Option<Errand>,
    /// Why the store cannot be asked: one try is enough for one request.
    lost: Option<Failure>,
}

enum Stage {
    /// The request's head is not known, or the response needs nothing more.
    Idle,
    /// The store is opened for what was learned of limits, which the request can do without.
    Opening(Box<Arriving>),
    /// It is not known yet who asks.
    Admitting(Box<Admitting>),
    /// The request's body is being read, or is not wanted.
    Receiving { isolate: Isolate, caller: Result<Option<Caller>, Failure>, wanted: Wanted },
    /// The store is asked for the user's own keys.
    Recalling(Box<Recalling>),
    /// The store is asked to do what is wanted with a user's own key.
    Keeping(Box<KeyRequest>),
    /// The core answers.
    Answering(Box<Answering>),
}

/// A request of which the head is known.
struct Arriving {
    isolate: Isolate,
    method: String,
    /// What is answered to who is let in.
    route: Route,
}

struct Admitting {
    request: Arriving,
    admission: Admission,
}

/// What a request's body is for.
enum Wanted {
    Chat(Client),
    Key { action: Action, provider: String },
}

/// A chat request that was read.
struct Recalling {
    isolate: Isolate,
    client: Client,
    caller: Option<Caller>,
    body: Vec<u8>,
}

#[wasm_bindgen]
impl Exchange {
    /// An exchange over this wire.
    #[wasm_bindgen(constructor)]
    pub fn new(wire: Wire) -> Self {
        Self { wire, stage: Stage::Idle, errand: None, lost: None }
    }

    /// The request's head came.
    pub fn begin(&mut self, now: f64, method: &str, path: &str) {
        let isolate = match isolate::shared(&self.wire) {
            Ok(isolate) => isolate,
            Err(reply) => return self.reply(method, reply),
        };
        match isolate.gateway.route(method, path) {
            Route::Reply(reply) => self.reply(method, reply),
            route @ (Route::Private(_) | Route::ProviderKey { .. } | Route::Chat(_)) => {
                let method = method.to_owned();
                let store = isolate.store.clone().filter(|store| store.is_due(instant(now)));
                self.stage = Stage::Opening(Box::new(Arriving { isolate, method, route }));
                match store {
                    Some(store) => self.send(now, store.errand(Vec::new())),
                    None => self.answered(now, Ok(Vec::new())),
                }
            }
        }
    }

    /// What came of the last batch for the store: its rows, or why there are none.
    pub fn found(&mut self, now: f64, rows: Option<String>, why: Option<String>) {
        let outcome = store::read(rows.as_deref(), why.as_deref());
        if let Err(failure) = &outcome {
            log::store(&self.wire, failure);
        }
        self.advance(now, Some(outcome));
    }

    /// A key set came, or why it did not.
    pub fn fetched(&mut self, now: f64, body: Option<Vec<u8>>, why: Option<String>) {
        let Stage::Admitting(mut admitting) = self.take() else { return };
        let body = body.as_deref().ok_or_else(|| why.unwrap_or_default());
        if let Err(why) = admitting.admission.fetched(instant(now), body) {
            log::keys(&self.wire, &why);
        }
        self.admit(now, admitting);
    }

    /// The user's quota said something; nothing if it could not be asked.
    pub fn entered(&mut self, now: f64, said: Option<String>) {
        let Stage::Answering(answering) = &mut self.stage else { return };
        answering.entered(instant(now), said.as_deref(), &self.wire);
    }

    /// The request's body came; none if it is longer than allowed.
    pub fn ask(&mut self, now: f64, body: Option<Vec<u8>>) {
        let Stage::Receiving { isolate, caller, wanted } = self.take() else { return };
        let too_large = || isolate.gateway.body_too_large();
        let received = caller.and_then(|caller| Ok((caller, body.ok_or_else(too_large)?)));
        match (wanted, received) {
            (Wanted::Chat(client), Ok((caller, body))) => {
                let statement = isolate.gateway.own_keys(caller.as_ref());
                let store = isolate.store.clone();
                let recalling = Recalling { isolate, client, caller, body };
                self.stage = Stage::Recalling(Box::new(recalling));
                match statement {
                    Some(statement) => self.query(now, store, vec![statement]),
                    None => self.answered(now, Ok(Vec::new())),
                }
            }
            (Wanted::Chat(client), Err(failure)) => {
                let arrival = self.arrival(now, client, None, Ok(Vec::new()));
                let answer = isolate.gateway.refuse(client, failure, &arrival);
                self.answer(now, Answering::new(isolate, answer));
            }
            (Wanted::Key { action, provider }, Ok((caller, body))) => {
                self.key(now, isolate, action, &provider, caller.as_ref(), &body);
            }
            (Wanted::Key { .. }, Err(failure)) => self.whole(Reply::failure(&failure)),
        }
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
            Stage::Idle
            | Stage::Opening(_)
            | Stage::Admitting(_)
            | Stage::Receiving { .. }
            | Stage::Recalling(_)
            | Stage::Keeping(_) => self.wire.finish(),
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
            answering.rang();
        }
        self.handle(now, |_| Some(Input::Tick));
    }

    /// Asks the store, if there is one.
    fn query(&mut self, now: f64, store: Option<Store>, statements: Vec<Statement>) {
        match (store, &self.lost) {
            (Some(_), Some(failure)) => self.answered(now, Err(failure.clone())),
            (Some(store), None) => self.send(now, store.errand(statements)),
            (None, _) => self.answered(now, Err(Reason::StoreMissing.into())),
        }
    }

    fn send(&mut self, now: f64, errand: Errand) {
        self.errand = Some(errand);
        self.advance(now, None);
    }

    fn advance(&mut self, now: f64, outcome: Option<Outcome>) {
        let Some(errand) = &mut self.errand else { return };
        match errand.step(instant(now), outcome, &self.wire) {
            Next::Run(statements) => {
                self.wire.query(errand.store().binding(), &store::written(&statements));
            }
            Next::Done(outcome) => {
                self.errand = None;
                self.answered(now, outcome);
            }
        }
    }

    /// The store answered, or there was nothing to ask it.
    fn answered(&mut self, now: f64, outcome: Outcome) {
        match self.take() {
            Stage::Opening(request) => {
                self.lost = outcome.err();
                self.arrive(now, *request);
            }
            Stage::Admitting(mut admitting) => {
                if let Err(failure) = admitting.admission.found(outcome) {
                    log::lookup(&self.wire, &failure);
                }
                self.admit(now, admitting);
            }
            Stage::Recalling(recalling) => self.recall(now, *recalling, outcome),
            Stage::Keeping(request) => self.whole(request.reply(outcome)),
            stage @ (Stage::Idle | Stage::Receiving { .. } | Stage::Answering(_)) => {
                self.stage = stage;
            }
        }
    }

    fn arrive(&mut self, now: f64, request: Arriving) {
        let credentials = Credentials::read(|name| self.wire.header(name));
        let gateway = &request.isolate.gateway;
        let admission = gateway.admit(&credentials, instant(now), unix_seconds(now));
        self.admit(now, Box::new(Admitting { request, admission }));
    }

    /// Goes on once it is known who asks.
    fn admit(&mut self, now: f64, admitting: Box<Admitting>) {
        let caller = match admitting.admission.poll() {
            access::Output::Query(statement) => {
                let store = admitting.request.isolate.store.clone();
                self.stage = Stage::Admitting(admitting);
                return self.query(now, store, vec![statement]);
            }
            access::Output::Fetch { url } => {
                self.wire.fetch_keys(&url, KEY_SET_BYTES_MAX);
                self.stage = Stage::Admitting(admitting);
                return;
            }
            access::Output::Admitted(caller) => Ok(caller),
            access::Output::Refused(failure) => Err(failure),
        };
        let Arriving { isolate, method, route } = admitting.request;
        match (route, caller) {
            (Route::Chat(client), caller) => {
                self.receive(isolate, caller, Wanted::Chat(client));
            }
            (Route::Reply(reply) | Route::Private(reply), Ok(_)) => self.reply(&method, reply),
            (Route::ProviderKey { action: action @ Action::Set, provider }, caller @ Ok(_)) => {
                self.receive(isolate, caller, Wanted::Key { action, provider });
            }
            (Route::ProviderKey { action, provider }, Ok(caller)) => {
                self.key(now, isolate, action, &provider, caller.as_ref(), b"");
            }
            (_, Err(failure)) => self.reply(&method, Reply::failure(&failure)),
        }
    }

    fn receive(
        &mut self,
        isolate: Isolate,
        caller: Result<Option<Caller>, Failure>,
        wanted: Wanted,
    ) {
        // Of who is refused nothing is read.
        let bytes_max = if caller.is_ok() { isolate.gateway.request_bytes_max() } else { 0 };
        self.wire.receive(bytes_max);
        self.stage = Stage::Receiving { isolate, caller, wanted };
    }

    fn key(
        &mut self,
        now: f64,
        isolate: Isolate,
        action: Action,
        provider: &str,
        caller: Option<&Caller>,
        body: &[u8],
    ) {
        let Isolate { gateway, store } = isolate;
        let nonce = self.random::<NONCE_BYTES>();
        let unix_now = unix_seconds(now);
        match gateway.provider_key(action, provider, body, caller, unix_now, nonce) {
            Ok(request) => {
                let statements = request.statements();
                self.stage = Stage::Keeping(Box::new(request));
                self.query(now, store, statements);
            }
            Err(failure) => self.whole(Reply::failure(&failure)),
        }
    }

    fn recall(&mut self, now: f64, recalling: Recalling, own_keys: Outcome) {
        let Recalling { isolate, client, caller, body } = recalling;
        if let Some(store) = &isolate.store {
            let nonce = || self.random::<NONCE_BYTES>();
            let anew = provider_keys::reseal(isolate.gateway.config(), &own_keys, nonce);
            store.keep(&self.wire, &anew);
        }
        let arrival = self.arrival(now, client, caller, own_keys);
        let answer = isolate.gateway.answer(client, &body, &arrival);
        self.answer(now, Answering::new(isolate, answer));
    }

    fn answer(&mut self, now: f64, answering: Answering) {
        self.stage = Stage::Answering(Box::new(answering));
        self.handle(now, |_| Some(Input::Tick));
    }

    fn arrival(
        &self,
        now: f64,
        client: Client,
        caller: Option<Caller>,
        own_keys: Outcome,
    ) -> Arrival {
        Arrival {
            caller,
            own_keys,
            now: instant(now),
            unix_seconds: unix_seconds(now),
            random: u128::from_ne_bytes(self.random()),
            headers: client.headers(|name| self.wire.header(name)),
        }
    }

    fn random<const BYTES: usize>(&self) -> [u8; BYTES] {
        let mut bytes = [0; BYTES];
        self.wire.random(&mut bytes);
        bytes
    }

    fn reply(&self, method: &str, mut reply: Reply) {
        if method == "HEAD" {
            reply.body.clear();
        }
        self.whole(reply);
    }

    fn whole(&self, reply: Reply) {
        self.wire.respond(reply.status, flat(reply.headers), &reply.body);
        self.wire.finish();
    }

    fn take(&mut self) -> Stage {
        std::mem::replace(&mut self.stage, Stage::Idle)
    }

    /// Hands the answer what happened, if it concerns it, and does what it then wants done.
    fn handle<'a>(&mut self, now: f64, input: impl FnOnce(&mut [Made]) -> Option<Input<'a>>) {
        let Stage::Answering(answering) = &mut self.stage else { return };
        answering.handle(instant(now), input, &self.wire);
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
