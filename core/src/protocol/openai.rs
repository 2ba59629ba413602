//! OpenAI Chat Completions, both roles. Reference: platform.openai.com/docs/api-reference/chat.
//!
//! `request.rs` and `writer.rs` face the client, `call.rs` and `answer.rs` face a provider.

mod answer;
mod call;
mod dialect;
mod request;
mod writer;

pub(super) use answer::{read_event, read_whole};
pub(super) use call::{headers, http_call};
pub use dialect::{DIALECTS, Dialect};
pub(super) use request::{effort, parse_request};
pub(crate) use writer::Writer;
pub(super) use writer::{error_body, error_value};
