//! Anthropic Messages, both roles. Reference: platform.claude.com/docs/en/api/messages and the types
//! of the official SDKs; `POST /v1/messages`, version 2023-06-01.
//!
//! `request.rs` and `writer.rs` face the client, `call.rs` and `answer.rs` face a provider;
//! `generation.rs` says what a generation of models takes.

mod answer;
mod call;
mod generation;
mod request;
mod writer;

pub(super) use answer::{Blocks, read_event, read_whole};
pub(super) use call::http_call;
pub(super) use request::parse_request;
pub(crate) use writer::Writer;
pub(super) use writer::error_body;
