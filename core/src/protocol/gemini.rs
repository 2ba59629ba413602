//! Google's Gemini API, both roles: `models.generateContent`, `models.streamGenerateContent` and
//! `models.countTokens`.
//!
//! `request.rs` and `writer.rs` face the client, `provider_request.rs` and `reader.rs` face a provider.
//!
//! Reference: ai.google.dev/api/generate-content; functions, reasoning and its signatures:
//! ai.google.dev/gemini-api/docs; the names of fields and reasons also by
//! google/genai/types.py of googleapis/python-genai.

mod json_schema;
mod provider_request;
mod reader;
mod request;
mod schema;
mod thinking;
mod writer;

pub(super) use provider_request::{counting, http_request};
pub(super) use reader::StreamReader;
pub(super) use reader::read_complete;
pub(super) use request::{parse_counted, parse_request};
pub(crate) use writer::Writer;
pub(super) use writer::{Form, error_body};

/// The number of a request's tokens, as it is counted.
pub(super) const COUNT: &str = "totalTokens";
