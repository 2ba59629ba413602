//! What tests streamgate: a provider that misbehaves on demand, scenarios as data, and what runs and
//! judges them.
//!
//! ```text
//! scenarios/*.toml -> scenario --+-> script -> provider (sockets) ---+
//!                                |                                   |
//!                                +-> client -> gateway (built shell) +-> check
//!                                |                                   |
//!                                +-> simulator (core, virtual time) -+
//! ```
//!
//! A scenario is written once and runs on the pure core, on the native server and on the Worker;
//! [`check`] judges all of them alike.

pub mod answer;
pub mod check;
pub mod client;
pub mod gateway;
pub mod load;
pub mod outside;
pub mod provider;
pub mod run;
pub mod scenario;
pub mod script;
pub mod simulator;
pub mod step;
