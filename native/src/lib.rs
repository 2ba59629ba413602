//! The native shell of streamgate: it serves what [`streamgate_core`] decides.
//!
//! ```text
//!  cli ──► serve ──► routes ──► driver ──┬──► upstream ──HTTP──► providers
//!          (threads) (requests) (answers)└──► local ──► engine ──► llama.cpp
//! ```
//!
//! A connection lives on one thread from its first byte to its last: no token crosses threads
//! on its way through, but for those of a local model, which another thread makes.

mod access;
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
mod provider_keys;
mod routes;
mod serve;
mod serving_thread;
mod store;
mod upstream;
