//! OpenAI Chat Completions, both roles. Reference: platform.openai.com/docs/api-reference/chat.
//!
//! `request.rs` and `writer.rs` face the client, `provider_request.rs` and `reader.rs` face a provider.

mod custom_calls;
mod generation;
mod provider_request;
mod reader;
mod request;
mod schema;
mod writer;

pub(super) use generation::Generation;
pub(super) use provider_request::{headers, http_request};
pub(super) use reader::StreamReader;
pub(super) use reader::{amended, finish_reason, read_complete};
pub(super) use request::{
    check_choice, choice_by_name, effort, parse_request, parse_settings, text,
};
pub(super) use schema::held;
pub(crate) use writer::Writer;
pub(super) use writer::{error_body, error_value, usage_value};
