//! OpenAI Responses, both roles. Reference: platform.openai.com/docs/api-reference/responses and
//! .../responses-streaming; where that is silent, what the official SDKs accumulate.
//!
//! `request.rs` and `writer.rs` face the client, `provider_request.rs` and `reader.rs` face a provider. Errors
//! have the shape that Chat Completions gives them.
//!
//! An answer is a list of items: a message, reasoning, a call. The stream opens and closes each, and
//! its last event repeats the complete answer; there is no `[DONE]`.

mod provider_request;
mod reader;
mod references;
mod request;
mod tools;
mod writer;

pub(super) use provider_request::http_request;
pub(super) use reader::StreamReader;
pub(super) use reader::read_complete;
pub(super) use references::resolve;
pub(super) use request::parse_request;
pub(crate) use writer::Writer;
