//! streamgate as a Cloudflare Worker.
//!
//! This crate is thin: core decides what a request means, which target is called and when to give
//! up, as on native. A [`Driver`] executes that with the `worker` crate; the bytes of a response pass
//! through `js/pump.mjs`, and `js/entry.mjs` holds the instance.
//!
//! ```text
//!  client ──► fetch (here) ──► Driver ──handle──► Request (core)
//!     ▲                          │  ◄───poll────
//!     └── Pump (js/pump.mjs) ◄───┴── Fetch, D1, Durable Object, Delay
//! ```

#![deny(unsafe_code)]

mod body;
mod call;
mod clock;
mod driver;
mod error;
mod isolate;
mod log;
mod pump;
mod quota;
mod response;
mod store;

use streamgate_core::gateway::Reply;
use streamgate_core::request::Head;
use worker::{Context, Env, Request, Response, Result, event};

use driver::Driver;

#[event(fetch)]
async fn fetch(request: Request, env: Env, ctx: Context) -> Result<Response> {
    match isolate::shared(&env) {
        Ok(isolate) => Driver::respond(isolate, request, env, ctx).await,
        Err(Reply { status, headers, body }) => {
            Ok(response::complete(Head { status, headers }, body))
        }
    }
}
