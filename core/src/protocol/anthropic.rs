//! Anthropic Messages, both roles. Reference: platform.claude.com/docs/en/api/messages and the types
//! of the official SDKs; `POST /v1/messages`, version 2023-06-01.
//!
//! `request.rs` and `writer.rs` face the client, `provider_request.rs` and `reader.rs` face a provider;
//! `generation.rs` lists what each generation of models supports, `imitators.rs` who else speaks the
//! protocol.

mod billing;
mod generation;
mod imitators;
mod own_effort;
mod provider_request;
mod reader;
mod request;
mod schema;
mod writer;

pub(super) use generation::Generation;
pub(super) use imitators::are_at as is_imitated_at;
pub(super) use provider_request::{counting, http_request};
pub(super) use reader::StreamReader;
pub(super) use reader::{amended, read_complete};
pub(super) use request::{parse_counted, parse_request};
pub(crate) use writer::Writer;
pub(super) use writer::error_body;

/// The number of a request's tokens, as it is counted.
pub(super) const COUNT: &str = "input_tokens";
