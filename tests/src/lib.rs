//! What tests streamgate: a provider that misbehaves on demand, scenarios as data, and what runs and
//! judges them.
//!
//! ```text
//! scenarios/*.toml -> scenario -> run --+-> on_core: core, virtual time ----------------+
//!                                       |                                               |
//!                                       +-> over_http: client, gateway (built shell), --+-> check
//!                                                      provider (sockets)
//! ```
//!
//! A scenario is written once and runs on the pure core, on the native server and on the Worker;
//! [`check`] judges all of them alike. [`simulation`] plays random ones on the pure core, a million
//! at a time, against a model of what must come out. [`grid`] lets every client protocol ask every
//! provider protocol, and holds what arrives against one meaning. [`docs`] runs the documentation's
//! examples.

pub mod answer;
pub mod check;
pub mod client;
pub mod clients;
pub mod docs;
pub mod faults;
pub mod gateway;
pub mod grid;
pub mod load;
pub mod outside;
pub mod provider;
pub mod run;
pub mod scenario;
pub mod script;
pub mod simulation;
pub mod step;
pub mod world;
