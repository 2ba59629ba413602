//! Drives core's request machine: feeds it inputs and executes its outputs.
//!
//! Every output that takes time becomes a task of its own, whose result is the machine's next input.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures::channel::oneshot;
use futures::future::{AbortHandle, abortable, join};
use streamgate_core::access::quota::QuotaOp;
use streamgate_core::failure::Reason;
use streamgate_core::protocol::HttpRequest;
use streamgate_core::relay::{AttemptId, Call};
use streamgate_core::request::{self, Arrival, Input, Output, RequestHead};
use streamgate_core::store::Statement;
use streamgate_core::time::Instant;
use wasm_bindgen::prelude::*;
use worker::wasm_bindgen_futures::{JsFuture, spawn_local};
use worker::web_sys;
use worker::{AbortSignal, Context, Delay, Env, Request, Response, Stub};

use crate::call::{self, PendingCall};
use crate::clock::{now, random, unix_now};
use crate::isolate::Isolate;
use crate::pump::Pump;
use crate::response::Outgoing;
use crate::store::Session;
use crate::{body, error, log, quota};

/// The longest delay that a timer of the platform accepts.
const DELAY_MAX: Duration = Duration::from_millis(i32::MAX as u64);

/// A handle to one request, held by its pump and its tasks. It is emptied when the request is over,
/// because JavaScript may keep the handle for long after.
#[wasm_bindgen]
#[derive(Clone)]
pub struct Driver(Rc<RefCell<Option<Box<Driven>>>>);

struct Driven {
    machine: request::Request,
    isolate: Isolate,
    env: Env,
    ctx: Context,
    /// Until its body is read.
    request: Option<Request>,
    store: Option<Session>,
    pump: Rc<Pump>,
    /// The calls made; the pump refers to them by index.
    calls: Vec<PendingCall>,
    quota: Option<Rc<Stub>>,
    response: Outgoing,
    timer: Option<(Instant, AbortHandle)>,
    over: Option<oneshot::Sender<()>>,
}

impl Driver {
    /// Drives a request, up to its response's head; the body follows in the background.
    pub(crate) async fn respond(
        isolate: Isolate,
        request: Request,
        env: Env,
        ctx: Context,
    ) -> worker::Result<Response> {
        let signal = request.inner().signal();
        let (outgoing, response) = Outgoing::new();
        let (over, is_over) = oneshot::channel();
        let driver = Self(Rc::default());
        let pump = Rc::new(Pump::new(driver.clone()));
        let hangup = driver.hangup_on_abort(&signal);
        let (ended, ended_signal) = (pump.clone(), signal.clone());
        // Otherwise the runtime may drop what is still to be done once the client left.
        ctx.wait_until(async move {
            let _ = is_over.await;
            ended_signal.set_onabort(None);
            drop(hangup);
            let _ = JsFuture::from(ended.end()).await;
        });
        *driver.0.borrow_mut() = Some(Box::new(Driven {
            machine: machine(&isolate, &request),
            store: isolate.store.as_ref().map(|store| store.session(&env, &ctx)),
            isolate,
            env,
            ctx,
            request: Some(request),
            pump,
            calls: Vec::new(),
            quota: None,
            response: outgoing,
            timer: None,
            over: Some(over),
        }));
        driver.handle(now(), if signal.aborted() { Input::Hangup } else { Input::Tick });
        response.await.map_err(|_| "the request ended without a response".into())
    }

    /// Reports a disconnect at once, even while the provider is silent and no write could fail.
    fn hangup_on_abort(&self, signal: &web_sys::AbortSignal) -> Closure<dyn FnMut()> {
        let driver = self.clone();
        let hangup =
            Closure::wrap_assert_unwind_safe(Box::new(move || driver.hangup()) as Box<dyn FnMut()>);
        signal.set_onabort(Some(hangup.as_ref().unchecked_ref()));
        hangup
    }

    fn handle(&self, now: Instant, input: Input<'_>) {
        self.step(|driven| driven.handle(now, input, self));
    }

    fn handle_call<'a>(
        &self,
        now: Instant,
        number: usize,
        input: impl FnOnce(&mut PendingCall) -> Input<'a>,
    ) {
        self.step(|driven| {
            let Some(call) = driven.calls.get_mut(number) else { return false };
            let input = input(call);
            driven.handle(now, input, self)
        });
    }

    fn timer_fired(&self) {
        self.step(|driven| {
            driven.timer = None;
            driven.handle(now(), Input::Tick, self)
        });
    }

    /// Runs one step; the last one returns true. Steps never nest.
    fn step(&self, step: impl FnOnce(&mut Driven) -> bool) {
        let Ok(mut slot) = self.0.try_borrow_mut() else { return };
        if slot.as_deref_mut().is_some_and(step) {
            *slot = None;
        }
    }

    async fn run(&self, number: usize, http: HttpRequest, signal: AbortSignal) {
        let answered = match call::post(http, signal).await {
            Ok(answered) => answered,
            Err(error) => return self.lost(number, &error::message(&error)),
        };
        self.handle_call(now(), number, |call| {
            call.answered = true;
            Input::Head { attempt: call.attempt, head: answered.head() }
        });
        match answered.body {
            Some(body) => self.step(|driven| {
                driven.pump.read(number, body);
                false
            }),
            None => self.end(number),
        }
    }
}

fn machine(isolate: &Isolate, request: &Request) -> request::Request {
    let header = |name: &str| request.headers().get(name).ok().flatten();
    let (method, path) = (request.inner().method(), request.path());
    // Not `Request::url`: its parser has tables of all scripts, a twentieth of this Worker.
    let url = request.inner().url();
    let before_fragment = url.split('#').next().unwrap_or_default();
    let query = before_fragment.split_once('?').map_or("", |(_, query)| query);
    let head = RequestHead { method: &method, path: &path, query, header: &header };
    let arrival = Arrival { now: now(), unix_now: unix_now(), random: random() };
    request::Request::new(&isolate.gateway, &head, &arrival)
}

/// For the pump: each is one step.
#[wasm_bindgen]
impl Driver {
    /// Bytes of a call's response arrived at `now`, in milliseconds since 1970. The time is an
    /// argument because reading the clock from Rust costs more than everything else done for a token.
    pub fn bytes(&self, call: usize, now: f64, bytes: &[u8]) {
        let now = Instant::from_millis(now as u64);
        self.handle_call(now, call, |call| Input::Bytes { attempt: call.attempt, bytes });
    }

    /// A call's response ended cleanly.
    pub fn end(&self, call: usize) {
        self.handle_call(now(), call, |call| Input::End { attempt: call.attempt });
    }

    /// A call could not be made, or its connection broke.
    pub fn lost(&self, call: usize, message: &str) {
        self.handle_call(now(), call, |call| Input::Lost {
            attempt: call.attempt,
            failure: call.failure(message),
        });
    }

    /// The client disconnected.
    pub fn hangup(&self) {
        self.handle(now(), Input::Hangup);
    }

    /// The client reads too slowly: send no more for now.
    pub fn pause(&self) {
        self.handle(now(), Input::Pause);
    }

    /// The client has caught up.
    pub fn resume(&self) {
        self.handle(now(), Input::Resume);
    }
}

impl Driven {
    /// Feeds an input to the machine, executes its outputs, and returns whether the request is over.
    fn handle(&mut self, at: Instant, input: Input<'_>, driver: &Driver) -> bool {
        self.machine.handle(at, input);
        loop {
            match self.machine.poll() {
                Output::ReadBody { bytes_max } => self.read_body(bytes_max, driver),
                Output::Query(statements) => self.query(statements, driver),
                Output::Fetch { url, bytes_max } => fetch(url, bytes_max, driver),
                Output::Quota { user, op } => self.apply(at, &user, op, driver),
                Output::Call(call) => self.call(at, &call, driver),
                Output::Cancel { attempt } => self.cancel(attempt),
                // The pump reads it to its end by itself.
                Output::Release { .. } => {}
                Output::Head(head) => self.response.head(head),
                Output::Body(bytes) => self.response.body(bytes, &self.pump),
                Output::Keep(statements) => self.keep(statements),
                Output::Log(record) => log::write(&record),
                Output::Done => {
                    self.finish();
                    return true;
                }
                Output::Wait { until } => {
                    self.response.open(&self.pump);
                    self.wait(at, until.map(|(due, _)| due), driver);
                    return false;
                }
            }
        }
    }

    fn read_body(&mut self, bytes_max: usize, driver: &Driver) {
        let Some(request) = self.request.take() else { return };
        let (store, driver) = (self.store.clone(), driver.clone());
        spawn_local(async move {
            let ready = async {
                if let Some(store) = store {
                    store.ready().await;
                }
            };
            let (body, ()) = join(body::of_request(request, bytes_max), ready).await;
            let input = match &body {
                Ok(body) => Input::Body(body),
                Err(failure) => Input::BodyFailed(failure.clone()),
            };
            driver.handle(now(), input);
        });
    }

    fn query(&mut self, statements: Vec<Statement>, driver: &Driver) {
        let (store, driver) = (self.store.clone(), driver.clone());
        spawn_local(async move {
            let outcome = match store {
                Some(store) => store.query(&statements).await.inspect_err(log::store),
                None => Err(Reason::StoreMissing.into()),
            };
            driver.handle(now(), Input::Rows(outcome));
        });
    }

    fn keep(&mut self, statements: Vec<Statement>) {
        if let Some(store) = self.store.clone() {
            self.ctx.wait_until(async move { store.keep(&statements).await });
        }
    }

    /// Without a quota shared by all isolates, each isolate keeps its own.
    fn apply(&mut self, at: Instant, user: &Arc<str>, op: QuotaOp, driver: &Driver) {
        if self.quota.is_none() {
            self.quota = quota::stub(&self.env, user);
        }
        let Some(stub) = self.quota.clone() else {
            let outcome = self.isolate.gateway.apply(user, &op, at);
            return self.machine.handle(at, Input::Quota(Ok(outcome)));
        };
        let driver = driver.clone();
        self.ctx.wait_until(async move {
            let outcome = quota::apply(&stub, &op).await.map_err(|error| error::message(&error));
            driver.handle(now(), Input::Quota(outcome));
        });
    }

    fn call(&mut self, at: Instant, call: &Call, driver: &Driver) {
        let number = self.calls.len();
        let (pending, signal) = PendingCall::new(call.attempt);
        self.calls.push(pending);
        match call.http() {
            Ok(http) => {
                let driver = driver.clone();
                spawn_local(async move { driver.run(number, http, signal).await });
            }
            Err(failure) => {
                self.machine.handle(at, Input::Lost { attempt: call.attempt, failure });
            }
        }
    }

    fn cancel(&mut self, attempt: AttemptId) {
        if let Some(number) = self.calls.iter().position(|call| call.attempt == attempt) {
            self.pump.stop(number);
            self.calls[number].abort();
        }
    }

    /// A timer that fires too early costs an occasional step; resetting it for every chunk would cost
    /// more than the chunk. So it is set only when an earlier one is needed.
    fn wait(&mut self, at: Instant, due: Option<Instant>, driver: &Driver) {
        let Some(due) = due else { return };
        if self.timer.as_ref().is_some_and(|(wakes_at, _)| *wakes_at <= due) {
            return;
        }
        self.stop_timer();
        let (delay, handle) = abortable(Delay::from(due.since(at).min(DELAY_MAX)));
        self.timer = Some((due, handle));
        let driver = driver.clone();
        spawn_local(async move {
            if delay.await.is_ok() {
                driver.timer_fired();
            }
        });
    }

    fn stop_timer(&mut self) {
        if let Some((_, handle)) = self.timer.take() {
            handle.abort();
        }
    }

    fn finish(&mut self) {
        self.response.close();
        self.stop_timer();
        if let Some(over) = self.over.take() {
            let _ = over.send(());
        }
    }
}

fn fetch(url: String, bytes_max: usize, driver: &Driver) {
    let driver = driver.clone();
    spawn_local(async move {
        let body = body::of_url(&url, bytes_max).await;
        let body = body.as_deref().map_err(String::as_str);
        driver.handle(now(), Input::Fetched(body));
    });
}
