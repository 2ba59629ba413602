//! One request from its head to its answer: route, admit, read, the user's own keys, answer.

use std::time::Duration;

use futures::TryStreamExt;
use streamgate_core::access::{self, Caller, Credentials, KEY_SET_BYTES_MAX};
use streamgate_core::answer::Head;
use streamgate_core::failure::Failure;
use streamgate_core::failure::Reason;
use streamgate_core::gateway::{Arrival, Client, Reply, Route};
use streamgate_core::provider_keys::{self, Action};
use streamgate_core::seal::NONCE_BYTES;
use streamgate_core::store::{Outcome, Statement};
use streamgate_core::time::Instant;
use wasm_bindgen::prelude::wasm_bindgen;
use worker::{
    ByteStream, Context, Date, Env, Fetch, Request, RequestInit, RequestRedirect, Response, Result,
};

use crate::driver::Driver;
use crate::isolate::{self, Isolate};
use crate::response::complete;
use crate::store::within;
use crate::{error, log};

const KEYS_TIME_MAX: Duration = Duration::from_secs(5);

/// One request, as its steps share it.
struct Exchange {
    request: Request,
    env: Env,
    ctx: Context,
    isolate: Isolate,
    /// Why the store cannot be used: one try is enough for one request.
    lost: Option<Failure>,
}

/// The response to a request.
pub(crate) async fn serve(request: Request, env: Env, ctx: Context) -> Result<Response> {
    let is_head = request.inner().method() == "HEAD";
    let isolate = match isolate::shared(&env) {
        Ok(isolate) => isolate,
        Err(reply) => return Ok(whole(reply, is_head)),
    };
    let route = match isolate.gateway.route(&request.inner().method(), &request.path()) {
        Route::Reply(reply) => return Ok(whole(reply, is_head)),
        route @ (Route::Private(_) | Route::ProviderKey { .. } | Route::Chat(_)) => route,
    };
    let mut exchange = Exchange { request, env, ctx, isolate, lost: None };
    if exchange.isolate.store.as_ref().is_some_and(|store| store.is_due(now())) {
        exchange.lost = exchange.query(Vec::new()).await.err();
    }
    let reply = match (route, exchange.admit().await) {
        (Route::Chat(client), caller) => return exchange.chat(client, caller).await,
        (Route::ProviderKey { action, provider }, Ok(caller)) => {
            exchange.provider_key(action, &provider, caller.as_ref()).await
        }
        (Route::Reply(reply) | Route::Private(reply), Ok(_)) => reply,
        (_, Err(failure)) => Reply::failure(&failure),
    };
    Ok(whole(reply, is_head))
}

impl Exchange {
    async fn query(&self, statements: Vec<Statement>) -> Outcome {
        let outcome = match (&self.isolate.store, &self.lost) {
            (Some(_), Some(failure)) => return Err(failure.clone()),
            (Some(store), None) => store.query(&self.env, &statements).await,
            (None, _) => return Err(Reason::StoreMissing.into()),
        };
        outcome.inspect_err(log::store)
    }

    async fn admit(&self) -> std::result::Result<Option<Caller>, Failure> {
        let credentials = Credentials::read(|name| self.header(name));
        let mut admission = self.isolate.gateway.admit(&credentials, now(), unix_seconds());
        loop {
            match admission.poll() {
                access::Output::Query(statement) => {
                    if let Err(failure) = admission.found(self.query(vec![statement]).await) {
                        log::lookup(&failure);
                    }
                }
                access::Output::Fetch { url } => {
                    let late = || Err(format!("nothing came within {KEYS_TIME_MAX:?}"));
                    let keys = within(KEYS_TIME_MAX, fetch(&url, KEY_SET_BYTES_MAX)).await;
                    let keys = keys.unwrap_or_else(late);
                    let keys = keys.as_deref().map_err(Clone::clone);
                    if let Err(why) = admission.fetched(now(), keys) {
                        log::keys(&why);
                    }
                }
                access::Output::Admitted(caller) => return Ok(caller),
                access::Output::Refused(failure) => return Err(failure),
            }
        }
    }

    async fn provider_key(
        &mut self,
        action: Action,
        provider: &str,
        caller: Option<&Caller>,
    ) -> Reply {
        let body = if action == Action::Set { self.body().await } else { Ok(Vec::new()) };
        let gateway = &self.isolate.gateway;
        let nonce = random::<NONCE_BYTES>();
        let request = body.and_then(|body| {
            gateway.provider_key(action, provider, &body, caller, unix_seconds(), nonce)
        });
        match request {
            Ok(request) => request.reply(self.query(request.statements()).await),
            Err(failure) => Reply::failure(&failure),
        }
    }

    async fn chat(
        mut self,
        client: Client,
        caller: std::result::Result<Option<Caller>, Failure>,
    ) -> Result<Response> {
        let mut arrival = Arrival {
            caller: None,
            own_keys: Ok(Vec::new()),
            now: now(),
            unix_seconds: unix_seconds(),
            random: u128::from_ne_bytes(random()),
            headers: client.headers(|name| self.header(name)),
        };
        // Of a caller who is refused nothing is read.
        let received = match caller {
            Ok(caller) => self.body().await.map(|body| (caller, body)),
            Err(failure) => Err(failure),
        };
        let answer = match received {
            Ok((caller, body)) => {
                arrival.own_keys = self.own_keys(caller.as_ref()).await;
                arrival.caller = caller;
                self.isolate.gateway.answer(client, &body, &arrival)
            }
            Err(failure) => self.isolate.gateway.refuse(client, failure, &arrival),
        };
        let signal = self.request.inner().signal();
        Driver::respond(self.isolate, self.env, self.ctx, signal, answer).await
    }

    async fn own_keys(&self, caller: Option<&Caller>) -> Outcome {
        let Some(statement) = self.isolate.gateway.own_keys(caller) else { return Ok(Vec::new()) };
        let outcome = self.query(vec![statement]).await;
        if let Some(store) = self.isolate.store.clone() {
            let config = self.isolate.gateway.config();
            let resealed = provider_keys::reseal(config, &outcome, random::<NONCE_BYTES>);
            let env = self.env.clone();
            self.ctx.wait_until(async move { store.keep(&env, &resealed).await });
        }
        outcome
    }

    async fn body(&mut self) -> std::result::Result<Vec<u8>, Failure> {
        let gateway = &self.isolate.gateway;
        if self.request.inner().body().is_none() {
            return Ok(Vec::new());
        }
        let stream = self.request.stream();
        let body = async { read(stream?, gateway.request_bytes_max()).await }.await;
        match body {
            Ok(Some(body)) => Ok(body),
            Ok(None) => Err(gateway.body_too_large()),
            Err(error) => Err(Failure::new(Reason::InvalidRequest, error.to_string())),
        }
    }

    fn header(&self, name: &str) -> Option<String> {
        self.request.headers().get(name).ok().flatten()
    }
}

async fn fetch(url: &str, bytes_max: usize) -> std::result::Result<Vec<u8>, String> {
    let text = |error: worker::Error| error::message(&error);
    let mut init = RequestInit::new();
    init.with_redirect(RequestRedirect::Manual);
    let request = Request::new_with_init(url, &init).map_err(text)?;
    let mut response = Fetch::Request(request).send().await.map_err(text)?;
    if response.status_code() != 200 {
        return Err(format!("the answer has status {}", response.status_code()));
    }
    let body = read(response.stream().map_err(text)?, bytes_max).await.map_err(text)?;
    body.ok_or_else(|| format!("it is longer than {bytes_max} bytes"))
}

/// What a stream holds, if it is no longer than that.
async fn read(mut stream: ByteStream, bytes_max: usize) -> Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    while let Some(chunk) = stream.try_next().await? {
        if bytes.len() + chunk.len() > bytes_max {
            return Ok(None);
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(Some(bytes))
}

fn whole(reply: Reply, is_head: bool) -> Response {
    let body = if is_head { Vec::new() } else { reply.body };
    complete(Head { status: reply.status, headers: reply.headers }, body)
}

/// The platform's clock, which stands still between IO.
pub(crate) fn now() -> Instant {
    Instant::from_millis(Date::now().as_millis())
}

fn unix_seconds() -> u64 {
    Date::now().as_millis() / 1000
}

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = crypto, js_name = getRandomValues)]
    fn get_random_values(bytes: &mut [u8]);
}

fn random<const BYTES: usize>() -> [u8; BYTES] {
    let mut bytes = [0; BYTES];
    get_random_values(&mut bytes);
    bytes
}
