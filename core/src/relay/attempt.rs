//! One call to one target: what it awaits, until when, and what its bytes have said so far.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::Timeouts;
use super::delivery::Delivery;
use super::reading::{Forwarding, Frame, Reading};
use super::refusal::Refusal;
use super::settlement::Asked;
use super::{Head, Timer};
use crate::chat::Event;
use crate::failure::{Failure, Reason};
use crate::protocol::{Step, StreamReader};
use crate::sse;
use crate::target::{Continuation, ProviderProtocol, Target, Upstream};
use crate::time::Instant;

/// How long a finished stream may take to give its usage and its end mark.
const AFTER_FINISH: Duration = Duration::from_secs(2);

/// Names an attempt; never used twice within an answer, so that late input is known as such.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AttemptId(pub(super) u32);

impl AttemptId {
    /// How many attempts the answer had before it.
    pub const fn number(self) -> u32 {
        self.0
    }

    #[cfg(test)]
    pub(crate) fn for_test(number: u32) -> Self {
        Self(number)
    }
}

impl fmt::Display for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What an attempt awaits.
///
/// ```text
///  Head ──2xx──► Content ──content──► More ──finish──► End ──► over
///   │  │            └──────────finish───────────────────▲
///   │  └─2xx, JSON or asked whole─► Whole ──► over
///   └─any other status──► Refusal ──► over
/// ```
/// Whatever goes wrong in any state ends the attempt with a [`Failure`].
#[derive(Debug)]
enum Awaiting {
    /// The response's head.
    Head,
    /// The rest of an error answer.
    Refusal(Refusal),
    /// The rest of a whole answer.
    Whole { body: Vec<u8> },
    /// The first content of a stream.
    Content,
    /// More content.
    More { since: Instant },
    /// Usage and the end mark, after the model finished.
    End { since: Instant },
}

/// Whether an attempt goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// It does.
    More,
    /// The answer is complete.
    Complete,
}

/// What an attempt is to be.
pub(super) struct Plan {
    pub(super) id: AttemptId,
    pub(super) place: usize,
    pub(super) target: Arc<Target>,
    pub(super) stream: bool,
    pub(super) continues: Option<Continuation>,
    pub(super) asked: Asked,
    pub(super) is_retry: bool,
    pub(super) bytes_before: usize,
    pub(super) text_before: usize,
    pub(super) forwarding: Forwarding,
    pub(super) event_bytes_max: usize,
}

pub(super) struct Attempt {
    pub(super) id: AttemptId,
    /// Its place among the job's targets.
    pub(super) place: usize,
    pub(super) target: Arc<Target>,
    /// How it was asked to go on with an answer that broke; `None`: it was asked from the start.
    pub(super) continues: Option<Continuation>,
    /// How long an answer it was asked for.
    pub(super) asked: Asked,
    /// It follows a refusal, with what that said.
    pub(super) is_retry: bool,
    /// Bytes of content that were delivered before it, and how many of them were text.
    pub(super) bytes_before: usize,
    pub(super) text_before: usize,
    /// Asked for as a stream, not as one whole answer.
    pub(super) stream: bool,
    pub(super) began: Instant,
    /// Its call is over by itself: there is nothing to cancel.
    pub(super) over: bool,
    /// What its frames have said.
    pub(super) reading: Reading,
    awaiting: Awaiting,
    /// What the response's bytes are read by; a local engine gives events and needs none.
    wire: Option<Wire>,
    event_bytes_max: usize,
}

/// From a response's bytes to frames, and from frames to events.
struct Wire {
    protocol: ProviderProtocol,
    decoder: sse::Decoder,
    reader: StreamReader,
}

impl Wire {
    fn new(protocol: ProviderProtocol, event_bytes_max: usize) -> Self {
        let decoder = sse::Decoder::framed(protocol.framing(), event_bytes_max);
        Self { protocol, decoder, reader: StreamReader::new(protocol) }
    }
}

impl Attempt {
    pub(super) fn new(plan: Plan, began: Instant) -> Self {
        let Plan { id, place, target, stream, continues, asked, is_retry, .. } = plan;
        let mut reading = Reading::new(plan.forwarding, continues.is_some());
        let wire = match target.provider.upstream {
            Upstream::Http(protocol) => Some(Wire::new(protocol, plan.event_bytes_max)),
            Upstream::Local => {
                if continues.is_none() {
                    reading.name(&target.model);
                }
                None
            }
        };
        Self {
            id,
            place,
            target,
            stream,
            continues,
            asked,
            is_retry,
            bytes_before: plan.bytes_before,
            text_before: plan.text_before,
            began,
            over: false,
            reading,
            awaiting: Awaiting::Head,
            wire,
            event_bytes_max: plan.event_bytes_max,
        }
    }

    /// The response's head came.
    ///
    /// `unix_now` is the time since 1970, which a `Retry-After` date is held against.
    pub(super) fn head(
        &mut self,
        now: Instant,
        unix_now: Duration,
        head: &Head<'_>,
    ) -> Result<(), Failure> {
        let Awaiting::Head = self.awaiting else { return Ok(()) };
        let media = head.content_type.split(';').next().unwrap_or("").trim();
        self.awaiting = if !(200..300).contains(&head.status) {
            Awaiting::Refusal(Refusal::new(head, now, unix_now))
        } else if media.eq_ignore_ascii_case("text/html") {
            let detail = "The provider sent a web page: expected an answer of its API.";
            return Err(Failure::new(Reason::Garbage, detail));
        } else if !self.stream || self.is_whole(media) {
            Awaiting::Whole { body: Vec::new() }
        } else {
            Awaiting::Content
        };
        Ok(())
    }

    /// Whether a body of this type is one whole answer, though a stream was asked for. Where every
    /// line is an event, a whole answer reads as a stream of one.
    fn is_whole(&self, media: &str) -> bool {
        let framing = self.wire.as_ref().map(|wire| wire.protocol.framing());
        framing == Some(sse::Framing::Events) && media.eq_ignore_ascii_case("application/json")
    }

    /// Bytes of the response's body came.
    pub(super) fn bytes(
        &mut self,
        now: Instant,
        bytes: &[u8],
        delivery: &mut Delivery,
    ) -> Result<Progress, Failure> {
        match &mut self.awaiting {
            Awaiting::Refusal(refused) => {
                refused.add(bytes);
                Ok(Progress::More)
            }
            Awaiting::Whole { body } if body.len() + bytes.len() > self.event_bytes_max => {
                let detail = format!("The answer is longer than {} bytes.", self.event_bytes_max);
                Err(Failure::new(Reason::AnswerTooLong, detail))
            }
            Awaiting::Whole { body } => {
                body.extend_from_slice(bytes);
                Ok(Progress::More)
            }
            Awaiting::Head | Awaiting::Content | Awaiting::More { .. } | Awaiting::End { .. } => {
                self.stream_bytes(now, bytes, delivery)
            }
        }
    }

    fn stream_bytes(
        &mut self,
        now: Instant,
        mut bytes: &[u8],
        delivery: &mut Delivery,
    ) -> Result<Progress, Failure> {
        let Some(wire) = &mut self.wire else { return Ok(Progress::More) };
        loop {
            match wire.decoder.next(&mut bytes) {
                Ok(None) => return Ok(Progress::More),
                Ok(Some(event)) => {
                    let (data, raw) = (event.data, event.raw);
                    let frame = Frame { data, raw, reader: &mut wire.reader };
                    let step = self.reading.frame(now, frame, delivery)?;
                    if step == Step::Done {
                        return self.reading.verdict(true).map(|()| Progress::Complete);
                    }
                    // Frame by frame: how the stream was cut into reads must not decide it.
                    delivery.check()?;
                    self.awaiting = next(&self.reading, now);
                }
                Err(sse::TooLong { limit }) => {
                    let detail = format!("An event of the stream is longer than {limit} bytes.");
                    return Err(Failure::new(Reason::Garbage, detail));
                }
            }
        }
    }

    /// A local engine has an event; it needs no bytes.
    pub(super) fn event(
        &mut self,
        now: Instant,
        event: &Event<'_>,
        delivery: &mut Delivery,
    ) -> Result<(), Failure> {
        self.reading.event(now, event, delivery);
        self.awaiting = next(&self.reading, now);
        delivery.check()
    }

    /// The response, or the local generation, is over. `Ok` if the answer is complete.
    pub(super) fn end(&mut self, now: Instant, delivery: &mut Delivery) -> Result<(), Failure> {
        match &mut self.awaiting {
            Awaiting::Refusal(refused) => Err(refused.failure(&self.target, now)),
            Awaiting::Whole { body } => {
                let body = std::mem::take(body);
                let Some(wire) = &self.wire else { return self.reading.verdict(false) };
                self.reading.whole(now, wire.protocol, &body, delivery)
            }
            Awaiting::Head | Awaiting::Content | Awaiting::More { .. } | Awaiting::End { .. } => {
                self.stream_end(now, delivery)
            }
        }
    }

    /// Providers forget the last blank line, or the last line's end: what is left counts if it can
    /// be read.
    fn stream_end(&mut self, now: Instant, delivery: &mut Delivery) -> Result<(), Failure> {
        let Some(Wire { decoder, reader, .. }) = &mut self.wire else {
            return self.reading.verdict(false);
        };
        let Some(sse::Leftover::Event(event) | sse::Leftover::Cut(event)) = decoder.finish() else {
            return self.reading.verdict(false);
        };
        if event.data.is_empty() {
            return self.reading.verdict(false);
        }
        let raw = &[event.raw, b"\n\n"].concat();
        let frame = Frame { data: event.data, raw, reader };
        let step = self.reading.frame(now, frame, delivery)?;
        self.reading.verdict(step == Step::Done)
    }

    /// The connection broke. A finished answer stays finished, a refusal stays the refusal.
    pub(super) fn lost(&mut self, now: Instant, failure: Failure) -> Result<(), Failure> {
        match &mut self.awaiting {
            Awaiting::End { .. } => self.reading.verdict(false),
            Awaiting::Refusal(refused) => Err(refused.failure(&self.target, now)),
            Awaiting::Head | Awaiting::Whole { .. } | Awaiting::Content | Awaiting::More { .. } => {
                Err(failure)
            }
        }
    }

    /// The nearest deadline and its reason. While the client is `paused`, silence is its own.
    pub(super) fn deadline(&self, timeouts: &Timeouts, paused: bool) -> Option<(Instant, Timer)> {
        match &self.awaiting {
            Awaiting::Head if self.stream => {
                let first_byte = (self.began + timeouts.first_byte, Timer::FirstByte);
                let first_content = (self.began + timeouts.first_content, Timer::FirstContent);
                Some(first_byte.min(first_content))
            }
            // A whole answer is silent for as long as it takes to write.
            Awaiting::Head | Awaiting::Whole { .. } => {
                Some((self.began + timeouts.whole, Timer::FirstContent))
            }
            Awaiting::Content => Some((self.began + timeouts.first_content, Timer::FirstContent)),
            Awaiting::More { .. } if paused => None,
            Awaiting::More { since } => {
                Some((*since + timeouts.between_tokens, Timer::BetweenTokens))
            }
            Awaiting::End { since } => Some((*since + AFTER_FINISH, Timer::AfterFinish)),
            Awaiting::Refusal(refused) => Some((refused.due(), Timer::RefusalBody)),
        }
    }

    /// The client reads again: the silence so far was its own.
    pub(super) fn resume(&mut self, now: Instant) {
        if let Awaiting::More { since } = &mut self.awaiting {
            *since = now;
        }
    }
}

fn next(reading: &Reading, now: Instant) -> Awaiting {
    match (reading.finish, reading.content) {
        (Some(_), _) => Awaiting::End { since: now },
        (None, true) => Awaiting::More { since: now },
        (None, false) => Awaiting::Content,
    }
}
