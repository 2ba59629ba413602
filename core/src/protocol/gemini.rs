//! Google's Gemini API, as provider: `models.generateContent` and `models.streamGenerateContent`.
//!
//! Reference: ai.google.dev/api/generate-content; functions, reasoning and its signatures:
//! ai.google.dev/gemini-api/docs; the names of fields and reasons also by
//! google/genai/types.py of googleapis/python-genai.

mod provider_request;
mod reader;

pub(super) use provider_request::http_request;
pub(super) use reader::StreamReader;
pub(super) use reader::read_complete;
