//! Ollama's API, a JSON text a line: `POST /api/chat`, both roles, and `POST /api/generate`, towards
//! clients.
//!
//! `request.rs` and `writer.rs` face the client, `provider_request.rs` and `reader.rs` face a provider.
//!
//! Reference: docs/api.md and api/types.go of ollama/ollama; how its answers end and how errors come
//! in mid-stream: server/routes.go there.

mod provider_request;
mod reader;
mod request;
mod writer;

pub(super) use provider_request::http_request;
pub(super) use reader::StreamReader;
pub(super) use reader::read_complete;
pub(super) use request::{is_chat, is_unload, parse_chat, parse_generate};
pub(crate) use writer::Writer;
pub(super) use writer::{Form, error_body, loaded};
