//! Google's Gemini API, as provider: `models.generateContent` and `models.streamGenerateContent`.
//!
//! Reference: ai.google.dev/api/generate-content; how functions, thoughts and their signatures are
//! told: ai.google.dev/gemini-api/docs; the names of fields and reasons also by
//! google/genai/types.py of googleapis/python-genai.

mod answer;
mod call;

pub(super) use answer::{read_event, read_whole};
pub(super) use call::http_call;
