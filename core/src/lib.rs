//! streamgate's core: what makes LLM token streams dependable, for both shells.
//!
//! It does no IO, reads no clock, draws no random number, starts no thread and keeps no global
//! state: bytes, times and random numbers come in as arguments, and what is to be done comes out.
//!
//! A shell serves a [`gateway::Gateway`]. For each chat request that gives an [`answer::Answer`],
//! which the shell drives in a loop:
//!
//! ```text
//!  client ──request──► gateway ──► answer ──Call────────► shell ──HTTP, or an engine──► provider
//!                                  ▲  │                                                   │
//!                                  │  ├─Head, Body──────► client                          │
//!                                  │  └─Wait{until}                                       │
//!                                  └──── handle(now, Head | Bytes | End | Lost | Tick) ◄──┘
//! ```
//!
//! Inside: [`relay`] decides what is called and what is delivered; it reads a provider's frames
//! through [`protocol`] and [`sse`], and bounds the answer by [`limit`]. A [`response`] is
//! what is delivered, in the client's protocol. A kept answer is delivered to a journal instead,
//! from which any number of [`reader`]s are served.

#![forbid(unsafe_code)]

pub mod access;
pub mod answer;
pub mod chat;
pub mod config;
pub mod egress;
pub mod failure;
pub mod gateway;
pub mod health;
mod journal;
mod json;
pub mod limit;
pub mod log;
pub mod page;
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
