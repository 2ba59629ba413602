//! Drives core's answer: hands it what happens, and executes its outputs.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures::channel::oneshot;
use futures::future::{AbortHandle, abortable};
use streamgate_core::access::quota::{Denial, QuotaOp};
use streamgate_core::answer::{Answer, Output};
use streamgate_core::protocol::HttpCall;
use streamgate_core::relay::{AttemptId, Call, Input, Settlement};
use streamgate_core::store::{Statement, learned_limits};
use streamgate_core::time::Instant;
use wasm_bindgen::prelude::*;
use worker::js_sys::Promise;
use worker::wasm_bindgen_futures::{JsFuture, spawn_local};
use worker::web_sys::{self, ReadableStream};
use worker::{AbortSignal, Context, Delay, Env, Response, Stub};

use crate::call::{self, PendingCall};
use crate::exchange::now;
use crate::isolate::Isolate;
use crate::response::Outgoing;
use crate::store::within;
use crate::{error, log, quota};

/// How long a user's quota may take to answer.
const QUOTA_TIME_MAX: Duration = Duration::from_secs(2);
/// A timer takes no more.
const DELAY_MAX: Duration = Duration::from_millis(i32::MAX as u64);

#[wasm_bindgen(module = "/js/pump.mjs")]
extern "C" {
    /// What moves the bytes of one response. None of its methods waits.
    #[wasm_bindgen(reexport)]
    pub(crate) type Pump;

    #[wasm_bindgen(constructor)]
    fn new(driver: Driver) -> Pump;

    /// Read a call's body; [`Driver::bytes`], [`Driver::end`] and [`Driver::lost`] follow.
    #[wasm_bindgen(method)]
    fn read(this: &Pump, call: usize, body: ReadableStream);

    /// Read no more of it.
    #[wasm_bindgen(method)]
    fn stop(this: &Pump, call: usize);

    /// Begin the response's body, which [`Pump::write`] fills.
    #[wasm_bindgen(method)]
    pub(crate) fn open(this: &Pump) -> ReadableStream;

    /// Write more of it. Copied before this returns.
    #[wasm_bindgen(method)]
    pub(crate) fn write(this: &Pump, bytes: &[u8]);

    /// End it, after what is still to be written.
    #[wasm_bindgen(method)]
    fn end(this: &Pump) -> Promise;
}

/// One answer, as its pump and its tasks hold it; empty once it is over.
#[wasm_bindgen]
#[derive(Clone)]
pub struct Driver(Rc<RefCell<Option<Driven>>>);

struct Driven {
    isolate: Isolate,
    env: Env,
    ctx: Context,
    answer: Answer,
    pump: Rc<Pump>,
    /// The calls made, by the numbers the pump knows them by.
    calls: Vec<PendingCall>,
    quota: Option<Rc<Stub>>,
    response: Outgoing,
    timer: Option<(Instant, AbortHandle)>,
    /// Takes what is kept once the answer is over.
    over: Option<oneshot::Sender<Vec<Statement>>>,
}

impl Driver {
    /// Drives an answer, up to its response's head; the rest goes on behind it.
    pub(crate) async fn respond(
        isolate: Isolate,
        env: Env,
        ctx: Context,
        signal: web_sys::AbortSignal,
        answer: Answer,
    ) -> worker::Result<Response> {
        let (outgoing, response) = Outgoing::new();
        let (over, is_over) = oneshot::channel();
        let driver = Self(Rc::default());
        let pump = Rc::new(Pump::new(driver.clone()));
        *driver.0.borrow_mut() = Some(Driven {
            isolate: isolate.clone(),
            env: env.clone(),
            ctx,
            answer,
            pump: pump.clone(),
            calls: Vec::new(),
            quota: None,
            response: outgoing,
            timer: None,
            over: Some(over),
        });
        let hangup = driver.hangup_on_abort(&signal);
        driver.behind(async move {
            let keep = is_over.await.unwrap_or_default();
            signal.set_onabort(None);
            drop(hangup);
            if let Some(store) = &isolate.store {
                store.keep(&env, &keep).await;
            }
            let _ = JsFuture::from(pump.end()).await;
        });
        driver.handle(now(), |_| Some(Input::Tick));
        response.await.map_err(|_| "the answer ended without a response".into())
    }

    /// Does this even if the client left: otherwise the runtime may drop it.
    fn behind(&self, task: impl Future<Output = ()> + 'static) {
        self.with(|driven| {
            driven.ctx.wait_until(task);
            false
        });
    }

    /// The client's leaving arrives here at once, also while the provider is silent and no write
    /// could fail.
    fn hangup_on_abort(&self, signal: &web_sys::AbortSignal) -> Closure<dyn FnMut()> {
        let driver = self.clone();
        let hangup =
            Closure::wrap_assert_unwind_safe(Box::new(move || driver.hangup()) as Box<dyn FnMut()>);
        signal.set_onabort(Some(hangup.as_ref().unchecked_ref()));
        if signal.aborted() {
            let driver = self.clone();
            spawn_local(async move { driver.hangup() });
        }
        hangup
    }

    /// Hands the answer what happened, if it concerns it, and executes its outputs.
    fn handle<'a>(
        &self,
        now: Instant,
        input: impl FnOnce(&mut [PendingCall]) -> Option<Input<'a>>,
    ) {
        self.with(|driven| {
            if let Some(input) = input(&mut driven.calls) {
                driven.answer.handle(now, input);
                return driven.drain(now, self);
            }
            false
        });
    }

    /// The user's quota answered. One that cannot be reached stops nobody.
    fn entered(&self, outcome: Option<Result<(), Denial>>) {
        let now = now();
        self.with(|driven| {
            if outcome.is_none() {
                log::quota(driven.answer.id());
            }
            driven.answer.entered(now, outcome.unwrap_or(Ok(())));
            driven.drain(now, self)
        });
    }

    fn timer_fired(&self) {
        self.with(|driven| {
            driven.timer = None;
            false
        });
        self.handle(now(), |_| Some(Input::Tick));
    }

    /// Takes a step; one that returns true was the last. While one is taken there is no other.
    fn with(&self, step: impl FnOnce(&mut Driven) -> bool) {
        let Ok(mut slot) = self.0.try_borrow_mut() else { return };
        if slot.as_mut().is_some_and(step) {
            *slot = None;
        }
    }

    async fn run(&self, call: usize, http: HttpCall, signal: AbortSignal) {
        let answered = match call::post(http, signal).await {
            Ok(answered) => answered,
            Err(error) => return self.lost(call, &error::message(&error)),
        };
        self.handle(now(), |calls| {
            let call = calls.get_mut(call)?;
            call.answered = true;
            Some(Input::Head { attempt: call.attempt, head: answered.head() })
        });
        match answered.body {
            Some(body) => self.with(|driven| {
                driven.pump.read(call, body);
                false
            }),
            None => self.end(call),
        }
    }
}

/// For the pump: each is one step.
#[wasm_bindgen]
impl Driver {
    /// Bytes of a call's response came, so many milliseconds after 1970. The time is an argument
    /// because to ask for it from here costs more than all else that is done for a token.
    pub fn bytes(&self, call: usize, now: f64, bytes: &[u8]) {
        self.handle(Instant::from_millis(now as u64), |calls| {
            Some(Input::Bytes { attempt: calls.get(call)?.attempt, bytes })
        });
    }

    /// A call's response ended in good order.
    pub fn end(&self, call: usize) {
        self.handle(now(), |calls| Some(Input::End { attempt: calls.get(call)?.attempt }));
    }

    /// A call could not be made, or broke.
    pub fn lost(&self, call: usize, message: &str) {
        self.handle(now(), |calls| {
            let call = calls.get(call)?;
            Some(Input::Lost { attempt: call.attempt, failure: call.failure(message) })
        });
    }

    /// The client left.
    pub fn hangup(&self) {
        self.handle(now(), |_| Some(Input::Hangup));
    }

    /// The client reads too slowly to be sent more.
    pub fn pause(&self) {
        self.handle(now(), |_| Some(Input::Pause));
    }

    /// The client has read what it was sent.
    pub fn resume(&self) {
        self.handle(now(), |_| Some(Input::Resume));
    }
}

impl Driven {
    /// Executes outputs until there is nothing more to do now, and returns whether there never will
    /// be.
    fn drain(&mut self, now: Instant, driver: &Driver) -> bool {
        loop {
            match self.answer.poll() {
                Output::Call(call) => self.call(now, &call, driver),
                Output::Cancel { attempt } => self.cancel(attempt),
                // The pump reads it to its end by itself.
                Output::Release { .. } => {}
                Output::Head(head) => self.response.head(head),
                Output::Body(bytes) => self.response.body(bytes, &self.pump),
                Output::Quota { user, op } => self.apply(now, &user, op, driver),
                Output::Settle(settlement) => {
                    self.settle(&settlement);
                    return true;
                }
                Output::Wait { until } => {
                    self.response.open(&self.pump);
                    self.wait(now, until.map(|(due, _)| due), driver);
                    return false;
                }
            }
        }
    }

    fn call(&mut self, now: Instant, call: &Call, driver: &Driver) {
        let number = self.calls.len();
        let (pending, signal) = PendingCall::new(call.attempt);
        self.calls.push(pending);
        match call.http() {
            Ok(http) => {
                let driver = driver.clone();
                spawn_local(async move { driver.run(number, http, signal).await });
            }
            Err(failure) => {
                self.answer.handle(now, Input::Lost { attempt: call.attempt, failure });
            }
        }
    }

    fn cancel(&mut self, attempt: AttemptId) {
        if let Some(number) = self.calls.iter().position(|call| call.attempt == attempt) {
            self.pump.stop(number);
            self.calls[number].abort();
        }
    }

    /// Where no quota is shared by all isolates, each keeps its own.
    fn apply(&mut self, now: Instant, user: &Arc<str>, op: QuotaOp, driver: &Driver) {
        if self.quota.is_none() {
            self.quota = quota::stub(&self.env, user);
        }
        let Some(stub) = self.quota.clone() else {
            let outcome = self.isolate.gateway.apply(user, &op, now);
            return self.answer.entered(now, outcome);
        };
        let driver = driver.clone();
        self.ctx.wait_until(async move {
            let outcome = within(QUOTA_TIME_MAX, quota::apply(&stub, &op)).await;
            driver.entered(outcome.and_then(Result::ok));
        });
    }

    /// A timer that fires too early costs a step now and then; one set anew for every chunk would
    /// cost more than the chunk. So it is set only when an earlier one is needed.
    fn wait(&mut self, now: Instant, due: Option<Instant>, driver: &Driver) {
        let Some(due) = due else { return };
        if self.timer.as_ref().is_some_and(|(at, _)| *at <= due) {
            return;
        }
        self.stop_timer();
        let driver = driver.clone();
        let delay = Delay::from(due.since(now).min(DELAY_MAX));
        let (delay, handle) = abortable(delay);
        self.timer = Some((due, handle));
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

    fn settle(&mut self, settlement: &Settlement) {
        self.response.close();
        self.stop_timer();
        log::write(&self.answer.record(settlement));
        if let Some(over) = self.over.take() {
            let _ = over.send(learned_limits::keep(&settlement.learned));
        }
    }
}
