//! Errors as providers report them: with a status, or within an answer of status 200 under a name. One
//! table of statuses determines what either means.

use std::time::Duration;

use serde_json::Value;
use serde_json::value::RawValue;

use super::retry_hint;
use crate::failure::{Failure, Reason, Retry};
use crate::json;

/// Longest error detail taken from a provider, in bytes.
pub(in crate::protocol) const MESSAGE_BYTES_MAX: usize = 2000;

/// The statuses that errors are named after: in lower case, without separators and without the ending
/// `error` or `exception`, because providers disagree on those. Sources: the references of OpenAI and
/// Azure (error codes), Anthropic (errors), Google (`google.rpc.Code`), and the sources of vLLM,
/// llama.cpp and LiteLLM.
const NAMES: [(u16, &[&str]); 12] = [
    (400, &["badrequest", "exceedcontextsize", "failedprecondition", "invalidargument"]),
    (400, &["contextlengthexceeded", "invalidrequest", "outofrange"]),
    (401, &["authentication", "invalidapikey", "unauthenticated", "unauthorized"]),
    (402, &["billing", "insufficientcredits", "paymentrequired"]),
    (403, &["forbidden", "permission", "permissiondenied"]),
    (404, &["modelnotfound", "notfound"]),
    (429, &["insufficientquota", "quotaexceeded", "ratelimit", "ratelimited", "ratelimitexceeded"]),
    (429, &["requests", "resourceexhausted", "throttling", "tokens", "toomanyrequests"]),
    (500, &["api", "internal", "internalserver", "server"]),
    (503, &["engineoverloaded", "overloaded", "serverisoverloaded", "serviceunavailable"]),
    (503, &["modeloverloaded", "serverbusy", "serveroverloaded", "slowdown", "unavailable"]),
    (504, &["deadlineexceeded", "gatewaytimeout", "timeout"]),
];

/// Causes that some providers report as an invalid request though the request is not at fault: words
/// of their messages, in lower case, and the cause.
const NOT_THE_REQUESTS: [(&str, Reason); 8] = [
    // Gemini.
    ("api key not valid", Reason::Unauthorized),
    ("api key expired", Reason::Unauthorized),
    ("user location is not supported", Reason::Forbidden),
    // OpenAI, of some models and of accounts it has not verified; and others.
    ("'stream' does not support true", Reason::NoStream),
    ("verified to stream this model", Reason::NoStream),
    ("does not support streaming", Reason::NoStream),
    ("streaming is not supported", Reason::NoStream),
    ("stream is not supported", Reason::NoStream),
];

/// A provider's error.
#[derive(Debug, Default)]
pub(crate) struct Reported {
    /// The provider's own words; empty where there are none.
    pub(crate) message: String,
    /// The HTTP status that it states or is named after.
    status: Option<u16>,
    /// How long the provider asks to be left alone.
    pub(crate) retry_after: Option<Duration>,
}

impl Reported {
    /// Reads an error, by the shapes providers use: `{"error": {"message"}}`, `{"error": "..."}`,
    /// `{"message"}`, `{"detail"}`, each also in a list.
    pub(crate) fn read(json: &[u8]) -> Self {
        Self::read_value(json).unwrap_or_default()
    }

    fn read_value(json: &[u8]) -> Option<Self> {
        // Some end marks follow on a line of the same event.
        let mut values = serde_json::Deserializer::from_slice(json).into_iter::<Value>();
        let value = values.next()?.ok()?;
        let outer = value.as_array().and_then(|list| list.first()).unwrap_or(&value);
        let error = outer.get("error").filter(|error| !error.is_null()).unwrap_or(outer);
        let status = stated_status(error).or_else(|| stated_status(outer));
        let message = message(error);
        let retry_after = retry_hint::read(error, &message);
        Some(Self { message, status, retry_after })
    }

    /// Reads an event that is an error by its name: JSON, or plain words. `None`: it is JSON that was
    /// cut.
    pub(crate) fn read_event(data: &[u8]) -> Option<Self> {
        match data {
            [] => None,
            [b'{' | b'[', ..] => Self::read_value(data),
            text => {
                let message = shortened(&String::from_utf8_lossy(text));
                Some(Self { message, ..Self::default() })
            }
        }
    }

    /// Reads an error in a list, as Google's endpoint for OpenAI's protocol writes it.
    pub(crate) fn read_list(json: &[u8]) -> Option<Self> {
        let list: Vec<Value> = json::read_bytes(json).ok()?;
        list.first()?.get("error").filter(|error| !error.is_null())?;
        Some(Self::read(json))
    }

    /// The failure of an answer that is this error.
    pub(crate) fn failure(self) -> Failure {
        let reason = self.status.map_or(Reason::InBand, |status| reason(status, &self.message));
        let retry_after = self.retry_after.filter(|_| waiting_helps(reason));
        Failure { retry_after, ..Failure::new(reason, self.message) }
    }
}

/// Whether the same request may succeed later, so that a wait which the error mentions counts.
pub(crate) fn waiting_helps(reason: Reason) -> bool {
    reason.row().retry == Retry::Later
}

/// The message of a provider's error; empty where there is none.
pub fn error_message(json: &[u8]) -> String {
    Reported::read(json).message
}

/// What an error of this status means, given its message.
pub(crate) fn reason(status: u16, message: &str) -> Reason {
    match status {
        401 => Reason::Unauthorized,
        402 => Reason::Payment,
        403 => Reason::Forbidden,
        404 => Reason::ModelUnavailable,
        408 | 409 | 425 | 500..=502 | 504 => Reason::ServerError,
        429 => Reason::RateLimited,
        503 | 529 => Reason::Overloaded,
        400..=499 => of_a_bad_request(message),
        _ => Reason::ServerError,
    }
}

fn of_a_bad_request(message: &str) -> Reason {
    let message = message.to_lowercase();
    let found = NOT_THE_REQUESTS.iter().find(|(words, _)| message.contains(words));
    found.map_or(Reason::Rejected, |(_, reason)| *reason)
}

fn message(error: &Value) -> String {
    let message = [error.get("message"), error.get("detail"), Some(error)]
        .into_iter()
        .flatten()
        .find_map(Value::as_str)
        .unwrap_or("");
    shortened(message)
}

fn shortened(message: &str) -> String {
    message[..message.floor_char_boundary(MESSAGE_BYTES_MAX)].to_owned()
}

/// An error body without the list around it, which clients do not look into.
pub(crate) fn unlisted(body: Vec<u8>) -> Vec<u8> {
    match json::read_bytes::<Vec<&RawValue>>(&body) {
        Ok(list) if !list.is_empty() => list[0].get().as_bytes().to_vec(),
        Ok(_) | Err(_) => body,
    }
}

/// The status of an error: its code counts before its type, which is often the more general one.
fn stated_status(error: &Value) -> Option<u16> {
    let named = ["code", "status", "type"].into_iter().filter_map(|name| error.get(name));
    named.chain([error]).find_map(|value| match value {
        Value::Number(number) => error_status(number.as_u64()?),
        Value::String(text) => {
            text.parse().ok().and_then(error_status).or_else(|| named_status(text))
        }
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    })
}

fn error_status(number: u64) -> Option<u16> {
    u16::try_from(number).ok().filter(|status| (400..600).contains(status))
}

fn named_status(name: &str) -> Option<u16> {
    let letters = name.chars().filter(char::is_ascii_alphanumeric);
    let name: String = letters.map(|letter| letter.to_ascii_lowercase()).collect();
    let stem = name.strip_suffix("error").or_else(|| name.strip_suffix("exception"));
    let stem = stem.unwrap_or(&name);
    NAMES.iter().find(|(_, names)| names.contains(&stem)).map(|(status, _)| *status)
}

#[cfg(test)]
mod tests;
