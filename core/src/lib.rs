//! streamgate's core: every decision that makes LLM token streams reliable, for both shells.
//!
//! It does no IO, reads no clock, draws no random number, starts no thread and keeps no global
//! state: bytes, times and random numbers are arguments, and what is to be done is returned.
//!
//! A shell serves a [`gateway::Gateway`]. Each HTTP request is a [`request::Request`], which the
//! shell drives in a loop:
//!
//! ```text
//!  client ──head, body──► request ──Call───────────► shell ──HTTP, or an engine──► provider
//!                         ▲  │                                                        │
//!                         │  ├─Head, Body─────────► client                            │
//!                         │  ├─Query, Keep, Fetch─► the store, key sets               │
//!                         │  └─Wait{until}                                            │
//!                         └──── handle(now, Head | Bytes | End | Lost | Tick) ◄───────┘
//! ```
//!
//! Its last stage is an [`answer::Answer`]: [`relay`] decides which target is called and what is
//! delivered; it reads a provider's frames through [`protocol`] and [`sse`], and bounds the answer
//! by [`limit`]. A [`response`] is what is delivered, in the client's protocol. A kept answer is
//! delivered to a journal instead, from which any number of [`reader`]s are served.

#![forbid(unsafe_code)]
// A new variant must be considered wherever a state or a failure is matched.
#![cfg_attr(not(test), warn(clippy::wildcard_enum_match_arm))]

pub mod access;
pub mod answer;
pub mod chat;
pub mod config;
pub mod egress;
pub mod failure;
pub mod gateway;
pub mod health;
pub mod history;
mod journal;
mod json;
pub mod limit;
pub mod log;
pub mod page;
// A protocol names what it can represent; whatever else there is gets the same answer.
#[allow(clippy::wildcard_enum_match_arm)]
pub mod protocol;
pub mod provider_keys;
pub mod reader;
pub mod relay;
mod reply;
pub mod request;
pub mod response;
pub mod seal;
pub mod splice;
pub mod sse;
pub mod store;
pub mod target;
pub mod time;
pub mod toml;
