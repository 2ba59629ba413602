//! streamgate as a Cloudflare Worker.
//!
//! The module is thin: what a request means, whom to ask and when to give up is decided in the
//! core, as on native. A [`Driver`](driver::Driver) executes it with the `worker` crate; the bytes
//! of a response pass through `js/pump.mjs`, and `js/entry.mjs` holds the instance.
//!
//! ```text
//!  client ──► fetch (here) ──► Driver ──handle──► Answer (core)
//!     ▲                          │  ◄──poll──────
//!     └── Pump (js/pump.mjs) ◄───┴── Fetch, D1, Durable Object, Delay
//! ```

#![deny(unsafe_code)]

mod call;
mod driver;
mod error;
mod exchange;
mod isolate;
mod log;
mod quota;
mod response;
mod store;

use worker::{Context, Env, Request, Response, Result, event};

#[event(fetch)]
async fn fetch(request: Request, env: Env, ctx: Context) -> Result<Response> {
    exchange::serve(request, env, ctx).await
}
