//! The wire protocols, a folder or a file each. A protocol can face the client ([`ClientProtocol`]:
//! `request` parses, `writer` writes the answer), a provider
//! ([`ProviderProtocol`](crate::target::ProviderProtocol): `provider_request` writes, `reader` reads
//! the answer), or both. What several protocols share is below the role it serves: in `client`,
//! `provider`, `reader` or `writer`.
//!
//! What a provider sends is read into [`Event`]s. Two errors are distinguished: broken bytes among
//! good ones are [`ReadError::Malformed`], an error the provider reports is [`ReadError::Provider`].

use crate::chat::{Event, Media, MediaKind, Message, Part, Role};
use crate::failure::{Failure, Reason};
use crate::json::{self, Wrong};

mod anthropic;
mod body;
mod call_names;
mod client;
mod completions;
mod content;
mod custom_tools;
mod gemini;
mod notebook;
mod ollama;
mod openai;
mod provider;
mod reader;
mod responses;
mod session;
mod token;
mod ui_message;
#[cfg(test)]
mod vectors;
mod writer;

use self::body::{Body, Stretch};
use self::call_names::CallNames;
pub use self::client::ClientProtocol;
pub(crate) use self::client::settings::bound_copies;
pub(crate) use self::provider::adapted::ToolNames;
pub(crate) use self::provider::left_out::Asked;
pub use self::provider::{HttpRequest, ProviderRequest};
pub use self::reader::StreamReader;
use self::reader::calls::Calls;
pub(crate) use self::reader::reported::Reported;
pub use self::reader::reported::error_message;
use self::reader::texts::{TextKind, Texts};
pub(crate) use self::reader::{loose, reported};
pub(crate) use self::writer::collected::{Collected, CollectedCall};
pub(crate) use self::writer::{AnswerEnd, Times, Writer, error_body};
pub use self::writer::{AnswerMeta, End};

/// What one event of a provider's stream was, beside the [`Event`]s read from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The stream continues.
    More,
    /// The stream's end mark.
    Done,
}

/// Why bytes of a provider were not an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadError {
    /// Not of this protocol: what was found, and what was expected.
    Malformed(String),
    /// An error the provider reports in place of an answer.
    Provider(Failure),
}

/// Receives the events that are read.
pub type Sink<'s> = dyn FnMut(Event<'_>) + 's;

/// Parts that refer to what a provider of the client's protocol, or this process, may have kept.
const REFERENCES: &[&str] = &["previous_response_id", "conversation", "item_reference"];

/// The failure of a part that a protocol does not support. Content is never dropped, or the model
/// would answer another question; earlier reasoning may be, where a provider accepts only its own.
fn unsupported(part: &Part, protocol: &str) -> Failure {
    let kind = match part {
        Part::Text(_) => "text",
        Part::Media(Media { kind: MediaKind::Image, .. }) => "image",
        Part::Media(Media { kind: MediaKind::Audio, .. }) => "audio",
        Part::Media(Media { kind: MediaKind::File, .. }) => "file",
        Part::Reasoning { .. } => "reasoning",
        Part::Refusal(_) => "refusal",
        Part::ToolCall { .. } => "tool call",
        Part::ToolResult { .. } => "tool result",
        Part::Other(kind) => kind,
    };
    unknown_reference(part).unwrap_or_else(|| {
        let detail = format!("Protocol `{protocol}` does not support {kind} parts.");
        Failure::new(Reason::Unsupported, detail)
    })
}

/// The failure of a part that is a reference to what only a provider of the client's protocol may
/// have; `None` of any other part.
pub fn unknown_reference(part: &Part) -> Option<Failure> {
    let Part::Other(kind) = part else { return None };
    REFERENCES.contains(&kind.as_str()).then(|| {
        let detail = format!(
            "{kind}: what it refers to is not known here, or not any more. Send the whole \
             conversation in `input`."
        );
        Failure::new(Reason::Unsupported, detail).at(kind.as_str())
    })
}

/// Reads a JSON request, an object, naming the field that is wrong.
pub(crate) fn parse_json<'a, T: serde::Deserialize<'a>>(body: &'a [u8]) -> Result<T, Failure> {
    // Fields that are ignored here may be read by the provider.
    let text = str::from_utf8(body).map_err(|error| {
        let detail = format!("The body is not UTF-8 at byte {}.", error.valid_up_to());
        Failure::new(Reason::InvalidRequest, detail)
    })?;
    json::read(text).map_err(wrong)
}

fn wrong(error: json::Error) -> Failure {
    match error.into_wrong() {
        Wrong::Json(malformed) => {
            Failure::new(Reason::InvalidRequest, format!("The body is not valid JSON: {malformed}"))
        }
        Wrong::Value { path, what } if path.is_empty() => {
            Failure::new(Reason::InvalidRequest, what)
        }
        Wrong::Value { path, what } => {
            Failure::new(Reason::InvalidRequest, format!("{path}: {what}")).at(path)
        }
    }
}

/// The one message of a client that sends no conversation.
fn user_message(text: String) -> Result<Message, Failure> {
    if text.trim().is_empty() {
        let detail = "message: expected a text that is not empty";
        return Err(Failure::new(Reason::InvalidRequest, detail).at("message"));
    }
    Ok(Message::text(Role::User, text))
}
