//! The native shell of streamgate: it serves what [`streamgate_core`] decides.
//!
//! ```text
//!  cli ──► serve ──► service ──► driver ──┬──► upstream ──HTTP──► providers
//!          (threads) (HTTP)    (requests) └──► local ──► engine ──► llama.cpp
//! ```
//!
//! A connection lives on one thread from its first byte to its last: no token crosses threads
//! on its way through, but for those of a local model, which another thread makes.

mod awaited;
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
mod progress;
mod provider_keys;
mod serve;
mod service;
mod serving_thread;
mod startup;
mod store;
mod timer;
mod upstream;
