//! streamgate as a Cloudflare Worker.
//!
//! The module is thin: [`exchange`] translates between the core and `js/worker.mjs`, which does the
//! IO. What a request means, whom to ask and when to give up is decided in the core, as on native.
//!
//! ```text
//!  client ──► Wire (js/worker.mjs) ──begin, ask, head, bytes, tick──► Exchange ──handle──► Answer
//!             fetch, streams, timers ◄──call, open, write, sleep────── (here) ◄──poll───── (core)
//! ```
//!
//! It binds the platform itself instead of through a crate for Workers: what it needs of it are a
//! dozen calls, and such a crate's streams cost a token more than all that is done for it here.

#![deny(unsafe_code)]

mod answering;
mod exchange;
mod isolate;
mod log;
mod quota;
mod store;
mod wire;

use std::panic;

use wasm_bindgen::prelude::wasm_bindgen;

/// Runs once per wasm instance. A panic becomes a trap, which says nothing: the reason is logged
/// before.
#[wasm_bindgen(start)]
fn start() {
    panic::set_hook(Box::new(|info| wire::console_error(&info.to_string())));
}
