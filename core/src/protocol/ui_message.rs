//! The UI message stream of the AI SDK, version 1, that `useChat` reads: `POST /api/chat`, as
//! client. Reference: ai-sdk.dev/docs/ai-sdk-ui/stream-protocol, and the schema
//! `uiMessageChunkSchema` and the function `convertToModelMessages` of the npm package `ai` 5, 6
//! and 7.

mod request;
mod writer;

pub(super) use request::parse_request;
pub(crate) use writer::Writer;
pub(super) use writer::{STREAM_HEADERS, error_body};
