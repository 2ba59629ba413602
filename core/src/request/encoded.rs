//! Responses of providers that are still compressed when a shell hands them over, though nobody asked for
//! that: a Worker's `fetch` undoes gzip and brotli alone.
//!
//! They are buffered: a zstd frame yields its output when it is complete.

use std::borrow::Cow;

use super::BodyFailure;
use super::coding::Codings;
use crate::failure::{Failure, Reason};
use crate::relay::AttemptId;

/// The bytes it takes to recognise a body's coding.
const MARK_BYTES: usize = 8;

/// The responses that are held, by their calls: almost always none.
#[derive(Default)]
pub(super) struct Encoded(Vec<Held>);

struct Held {
    attempt: AttemptId,
    codings: Codings,
    body: Vec<u8>,
}

impl Encoded {
    /// A response begins whose body is in this coding. One that is not supported is left to whoever
    /// reads the body, and fails there with a named error.
    pub(super) fn begin(&mut self, attempt: AttemptId, coding: Option<&str>) {
        if let Ok(codings) = Codings::read(coding)
            && !codings.is_empty()
        {
            self.0.push(Held { attempt, codings, body: Vec::new() });
        }
    }

    /// Whether a call's response is held.
    pub(super) fn has(&self, attempt: AttemptId) -> bool {
        self.0.iter().any(|held| held.attempt == attempt)
    }

    /// Takes more of a body that is held; gives what has come if it is not compressed after all.
    pub(super) fn receive(
        &mut self,
        attempt: AttemptId,
        bytes: &[u8],
        bytes_max: usize,
    ) -> Result<Vec<u8>, Failure> {
        let Some(place) = self.0.iter().position(|held| held.attempt == attempt) else {
            return Ok(bytes.to_vec());
        };
        let Held { codings, body, .. } = &mut self.0[place];
        body.extend_from_slice(bytes);
        if body.len() > bytes_max {
            return Err(failure(BodyFailure::TooLarge));
        }
        if body.len() >= MARK_BYTES && !codings.are_of(body) {
            return Ok(self.0.swap_remove(place).body);
        }
        Ok(Vec::new())
    }

    /// What a body is, now that it is complete.
    pub(super) fn end(&mut self, attempt: AttemptId, bytes_max: usize) -> Result<Vec<u8>, Failure> {
        let place = self.0.iter().position(|held| held.attempt == attempt);
        let Some(place) = place else { return Ok(Vec::new()) };
        let Held { codings, body, .. } = self.0.swap_remove(place);
        codings.undo(&body, bytes_max).map(Cow::into_owned).map_err(failure)
    }
}

fn failure(why: BodyFailure) -> Failure {
    match why {
        BodyFailure::TooLarge => Reason::AnswerTooLong.into(),
        BodyFailure::Broken(why) | BodyFailure::Coding(why) => {
            Failure::new(Reason::Garbage, format!("The provider's response is no {why}."))
        }
    }
}
