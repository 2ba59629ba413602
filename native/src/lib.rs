//! The native shell of streamgate: it executes what [`streamgate_core`] decides.
//!
//! ```text
//!  cli ──► serve ──► service ──► driver ──┬──► upstream ──HTTP──► providers
//!          (threads) (HTTP)    (requests) └──► local ──► engine ──► llama.cpp
//! ```
//!
//! A connection stays on one thread for its whole life, so a proxied token never crosses threads.
//! A local model runs on a thread of its own.

mod call;
mod check;
pub mod cli;
mod configuration;
mod driver;
pub mod engine;
mod keys;
mod learned;
mod local;
mod log;
mod models;
mod pending;
mod progress;
mod provider_keys;
mod request_body;
mod serve;
mod service;
mod serving_thread;
mod startup;
mod store;
mod timer;
mod upstream;
