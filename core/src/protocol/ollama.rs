//! Ollama's chat, as provider: `POST /api/chat`, a JSON text a line.
//!
//! Reference: docs/api.md and api/types.go of ollama/ollama; how its answers end and how errors come
//! in mid-stream: server/routes.go there.

mod provider_request;
mod reader;

pub(super) use provider_request::http_request;
pub(super) use reader::StreamReader;
pub(super) use reader::read_complete;
