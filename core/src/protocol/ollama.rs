//! Ollama's chat, as provider: `POST /api/chat`, a JSON text a line.
//!
//! Reference: docs/api.md and api/types.go of ollama/ollama; how its answers end and how errors come
//! in mid-stream: server/routes.go there.

mod answer;
mod call;

pub(super) use answer::{read_event, read_whole};
pub(super) use call::http_call;
