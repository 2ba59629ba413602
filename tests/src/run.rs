//! Runs a scenario and judges what came of it: on the pure core, or over HTTP on a built shell.

mod on_core;
mod over_http;

pub use on_core::on_core;
pub use over_http::{Stage, over_http};
