//! A provider's error answer: its status is known before its body, and what follows from it is in
//! the table of failures.

use std::time::Duration;

use super::Head;
use super::ladder::retry_after;
use crate::failure::{ErrorResponse, Failure, Reason};
use crate::json;
use crate::protocol::reported::{self, Reported};
use crate::target::Target;
use crate::time::Instant;

/// How long its body may take.
const BODY_TIME_MAX: Duration = Duration::from_secs(2);
/// How much of its body is kept, in bytes.
const BODY_BYTES_MAX: usize = 64 * 1024;

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
        let body = reported::unlisted(std::mem::take(&mut self.body));
        let Reported { message, retry_after: hint, .. } = Reported::read(&body);
        let reason = reported::reason(self.status, &message);
        let detail = match (reason, message.as_str()) {
            (Reason::Rejected, message) if !message.is_empty() => message.to_owned(),
            (_, "") => format!("{target} answered {}.", self.status),
            (_, message) => format!("{target} answered {}: {message}", self.status),
        };
        // What goes back as it came must be readable where an error answer is expected.
        let goes_back =
            reason == Reason::Rejected && json::read_bytes::<serde::de::IgnoredAny>(&body).is_ok();
        let original = goes_back.then_some(ErrorResponse { status: self.status, body });
        let waited = now.since(self.since);
        let hint = hint.filter(|_| reported::waiting_helps(reason));
        let retry_after = self.retry_after.or(hint).map(|asked| asked.saturating_sub(waited));
        Failure { retry_after, original, ..Failure::new(reason, detail) }
    }
}
