//! A provider's error answer: its status is known before its body, and what follows from it is in
//! the table of failures.

use std::time::Duration;

use super::Head;
use super::ladder::retry_after;
use crate::failure::{ErrorResponse, Failure, Reason};
use crate::protocol::error_message;
use crate::target::Target;
use crate::time::Instant;

/// How long its body may take.
const BODY_TIME_MAX: Duration = Duration::from_secs(2);
/// How much of its body is kept, in bytes.
const BODY_BYTES_MAX: usize = 64 * 1024;

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

/// An error answer, as far as it came.
#[derive(Debug)]
pub(super) struct Refusal {
    status: u16,
    /// How long it asks to be left alone, from its head on.
    retry_after: Option<Duration>,
    body: Vec<u8>,
    /// When its head came.
    since: Instant,
}

impl Refusal {
    /// Its head came. `unix_now` is the time since 1970, which a `Retry-After` date is held against.
    pub(super) fn new(head: &Head<'_>, now: Instant, unix_now: Duration) -> Self {
        Self {
            status: head.status,
            retry_after: retry_after(head.retry_after, head.retry_after_ms, unix_now),
            body: Vec::new(),
            since: now,
        }
    }

    /// More of its body came.
    pub(super) fn add(&mut self, bytes: &[u8]) {
        let room = BODY_BYTES_MAX - self.body.len();
        self.body.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    /// When no more of its body is waited for.
    pub(super) fn due(&self) -> Instant {
        self.since + BODY_TIME_MAX
    }

    /// What it means. Its body is over, or waited for no longer: a wait it asks for has begun with
    /// its head.
    pub(super) fn failure(&mut self, target: &Target, now: Instant) -> Failure {
        let body = std::mem::take(&mut self.body);
        let said = error_message(&body);
        let by_status = by_status(self.status);
        let reason = if by_status == Reason::Rejected { by_words(&said) } else { by_status };
        let detail = match (reason, said.as_str()) {
            (Reason::Rejected, said) if !said.is_empty() => said.to_owned(),
            (_, "") => format!("{target} answered {}.", self.status),
            (_, said) => format!("{target} answered {}: {said}", self.status),
        };
        // What goes back as it came must be readable where an error answer is expected.
        let goes_back = reason == Reason::Rejected
            && serde_json::from_slice::<serde::de::IgnoredAny>(&body).is_ok();
        let original = goes_back.then_some(ErrorResponse { status: self.status, body });
        let waited = now.since(self.since);
        let retry_after = self.retry_after.map(|asked| asked.saturating_sub(waited));
        Failure { retry_after, original, ..Failure::new(reason, detail) }
    }
}

fn by_words(said: &str) -> Reason {
    let said = said.to_lowercase();
    let found = NOT_THE_REQUESTS.iter().find(|(words, _)| said.contains(words));
    found.map_or(Reason::Rejected, |(_, reason)| *reason)
}

fn by_status(status: u16) -> Reason {
    match status {
        401 => Reason::Unauthorized,
        402 => Reason::Payment,
        403 => Reason::Forbidden,
        404 => Reason::ModelUnavailable,
        408 | 409 | 425 | 500..=502 | 504 => Reason::ServerError,
        429 => Reason::RateLimited,
        503 | 529 => Reason::Overloaded,
        400..=499 => Reason::Rejected,
        _ => Reason::ServerError,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each row: the message of a 400, and its cause.
    #[test]
    fn not_every_bad_request_is_the_clients() {
        for (said, reason) in [
            ("API key not valid. Please pass a valid API key.", Reason::Unauthorized),
            ("User location is not supported for the API use.", Reason::Forbidden),
            (
                "Unsupported value: 'stream' does not support true with this model.",
                Reason::NoStream,
            ),
            ("Your organization must be verified to stream this model.", Reason::NoStream),
            ("Invalid value for 'temperature'.", Reason::Rejected),
            ("", Reason::Rejected),
        ] {
            assert_eq!(by_words(said), reason, "{said}");
        }
    }
}
