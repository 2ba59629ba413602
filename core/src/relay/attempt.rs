//! One call to one target: what it awaits, until when, and what its bytes meant so far.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::Timeouts;
use super::continuation::Way;
use super::delivery::Delivery;
use super::listed::Listed;
use super::reading::{Forwarding, Frame, Reading};
use super::refusal::Refusal;
use super::seam::Seam;
use super::stops::Stops;
use super::{CallLimits, Head, Timer};
use crate::chat::Event;
use crate::failure::{Failure, Reason};
use crate::limit::parameter::Parameters;
use crate::protocol::{Step, StreamReader, ToolNames};
use crate::sse;
use crate::target::{ProviderProtocol, Target, Upstream};
use crate::time::Instant;

/// How long a finished stream may take to give its usage and its end mark.
const AFTER_FINISH: Duration = Duration::from_secs(2);

/// Names an attempt; never used twice within an answer, so that late input is known as such.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AttemptId(pub(super) u32);

impl AttemptId {
    /// The first, which may be the only one.
    pub(crate) const FIRST: Self = Self(0);

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
///   │  └─2xx, JSON or not streaming─► Body ──► over
///   └─any other status──► Refusal ──► over
/// ```
/// Whatever goes wrong in any state ends the attempt with a [`Failure`].
#[derive(Debug)]
enum Awaiting {
    /// The response's head.
    Head,
    /// The rest of an error response.
    Refusal(Refusal),
    /// The rest of a response that is not a stream.
    Body { body: Vec<u8> },
    /// The first content of a stream.
    Content,
    /// More content.
    More { since: Instant },
    /// Usage and the end mark, after the model finished.
    End { since: Instant },
}

/// Whether an attempt continues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// It does.
    More,
    /// The answer is complete.
    Complete,
}

/// What one call is for.
pub(super) struct Plan {
    pub(super) target: Arc<Target>,
    /// Its index among the job's targets.
    pub(super) index: usize,
    /// Called for a stream, not for one response.
    pub(super) stream: bool,
    /// How it is asked to continue an answer that broke; `None`: it answers from the start.
    pub(super) continues: Option<Way>,
    /// Where what it continues ends.
    pub(super) seam: Option<Seam>,
    /// How long an answer it asks for.
    pub(super) limits: CallLimits,
    /// How many answers it asks for at once.
    pub(super) copies: u32,
    /// It follows a refusal that stated the target's limit.
    pub(super) is_retry: bool,
    /// What it leaves out because it was refused before.
    pub(super) refused: Parameters,
    /// What it leaves out of what the request asks for.
    pub(super) left_out: Parameters,
    /// Bytes of content that were delivered before it, and how many of them were text.
    pub(super) bytes_before: usize,
    pub(super) text_before: usize,
    pub(super) forwarding: Forwarding,
    /// The client's names for the tools.
    pub(super) names: ToolNames,
    pub(super) stops: Stops,
    /// No other attempt has it, of this answer or of another.
    pub(super) nonce: u64,
    pub(super) event_bytes_max: usize,
}

/// One call under way.
pub(super) struct Attempt {
    pub(super) id: AttemptId,
    pub(super) plan: Plan,
    pub(super) began: Instant,
    /// Its call has ended by itself: there is nothing to cancel.
    pub(super) over: bool,
    /// What its frames held so far.
    pub(super) reading: Reading,
    awaiting: Awaiting,
    /// The body has begun.
    begun: bool,
    /// What the response's bytes are read by; a local engine gives events and needs none.
    wire: Option<Wire>,
}

/// From a response's bytes to frames, and from frames to events.
struct Wire {
    protocol: ProviderProtocol,
    /// Where the stream comes as JSON.
    listed: Option<Listed>,
    decoder: sse::Decoder,
    reader: StreamReader,
}

impl Wire {
    fn new(protocol: ProviderProtocol, event_bytes_max: usize) -> Self {
        let decoder = sse::Decoder::framed(protocol.framing(), event_bytes_max);
        Self { protocol, listed: None, decoder, reader: StreamReader::new(protocol) }
    }
}

impl Attempt {
    pub(super) fn new(id: AttemptId, mut plan: Plan, began: Instant) -> Self {
        let names = std::mem::take(&mut plan.names);
        let stops = std::mem::take(&mut plan.stops);
        let seam = plan.seam.take();
        let mut reading = Reading::new(plan.forwarding, seam, names, stops, plan.nonce);
        let wire = match plan.target.provider.upstream {
            Upstream::Http(protocol) => Some(Wire::new(protocol, plan.event_bytes_max)),
            Upstream::Local => {
                if plan.continues.is_none() {
                    reading.name(&plan.target.model);
                }
                None
            }
        };
        Self { id, began, over: false, reading, awaiting: Awaiting::Head, begun: false, wire, plan }
    }

    /// The response's head arrived.
    ///
    /// `unix_now` is the time since 1970, which a `Retry-After` date is compared with.
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
        } else if !self.plan.stream || self.is_unstreamed(media) {
            Awaiting::Body { body: Vec::new() }
        } else {
            Awaiting::Content
        };
        Ok(())
    }

    /// Whether a body of this type is one response, though a stream was asked for. Where every line
    /// is an event, one response reads as a stream of one.
    fn is_unstreamed(&self, media: &str) -> bool {
        self.has_events() && media.eq_ignore_ascii_case("application/json")
    }

    /// Whether its stream consists of server-sent events.
    fn has_events(&self) -> bool {
        let framing = self.wire.as_ref().map(|wire| wire.protocol.framing());
        framing == Some(sse::Framing::Events)
    }

    /// Whether JSON is a stream too: its elements are what events hold.
    fn streams_json(&self) -> bool {
        let protocol = self.wire.as_ref().map(|wire| wire.protocol);
        self.plan.stream && protocol == Some(ProviderProtocol::Gemini)
    }

    /// Bytes of the response's body arrived.
    pub(super) fn bytes(
        &mut self,
        now: Instant,
        bytes: &[u8],
        delivery: &mut Delivery<'_>,
    ) -> Result<Progress, Failure> {
        let max = self.plan.event_bytes_max;
        if !self.begun {
            self.begin_body(bytes)?;
        }
        match &mut self.awaiting {
            Awaiting::Refusal(refused) => {
                refused.add(bytes);
                Ok(Progress::More)
            }
            Awaiting::Body { body } if body.len() + bytes.len() > max => {
                let detail = format!("The answer is longer than {max} bytes.");
                Err(Failure::new(Reason::AnswerTooLong, detail))
            }
            Awaiting::Body { body } => {
                body.extend_from_slice(bytes);
                Ok(Progress::More)
            }
            Awaiting::Head | Awaiting::Content | Awaiting::More { .. } | Awaiting::End { .. } => {
                self.stream_bytes(now, bytes, delivery)
            }
        }
    }

    /// Judges a body by its first byte, for its declared type is often wrong: what begins as JSON is
    /// no stream but Gemini's, and what begins as a web page is no answer.
    fn begin_body(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let is_blank = |byte: &u8| byte.is_ascii_whitespace() || b"\xEF\xBB\xBF".contains(byte);
        let Some(first) = bytes.iter().find(|byte| !is_blank(byte)) else { return Ok(()) };
        self.begun = true;
        match (&self.awaiting, first) {
            (Awaiting::Content | Awaiting::Body { .. }, b'<') => {
                let detail = "The provider sent a web page: expected an answer of its API.";
                return Err(Failure::new(Reason::Garbage, detail));
            }
            (Awaiting::Content | Awaiting::Body { .. }, b'{' | b'[') if self.streams_json() => {
                self.awaiting = Awaiting::Content;
                if let Some(wire) = &mut self.wire {
                    wire.listed = Some(Listed::default());
                }
            }
            (Awaiting::Content, b'{' | b'[') if self.has_events() => {
                self.awaiting = Awaiting::Body { body: Vec::new() };
            }
            _ => {}
        }
        Ok(())
    }

    fn stream_bytes(
        &mut self,
        now: Instant,
        bytes: &[u8],
        delivery: &mut Delivery<'_>,
    ) -> Result<Progress, Failure> {
        let Some(wire) = &mut self.wire else { return Ok(Progress::More) };
        let events = wire.listed.as_mut().map(|listed| listed.events(bytes));
        let mut bytes = events.as_deref().unwrap_or(bytes);
        loop {
            match wire.decoder.next(&mut bytes) {
                Ok(None) => return Ok(Progress::More),
                Ok(Some(event)) => {
                    if event.is_error()
                        && let Some(error) = self.reading.error(event.data)
                    {
                        return Err(error);
                    }
                    let (data, raw) = (event.data, event.raw);
                    let frame = Frame { data, raw, reader: &mut wire.reader };
                    let step = self.reading.frame(now, frame, delivery)?;
                    if step == Step::Done {
                        return self.reading.verdict(true).map(|()| Progress::Complete);
                    }
                    // Checked after every frame, so that the outcome does not depend on how the
                    // stream was split into reads.
                    self.reading.check(delivery)?;
                    self.awaiting = next(&self.reading, now);
                }
                Err(sse::TooLong { limit }) => {
                    let detail = format!("An event of the stream is longer than {limit} bytes.");
                    return Err(Failure::new(Reason::Garbage, detail));
                }
            }
        }
    }

    /// A local engine produced an event; it needs no bytes.
    pub(super) fn event(
        &mut self,
        now: Instant,
        event: &Event<'_>,
        delivery: &mut Delivery<'_>,
    ) -> Result<(), Failure> {
        self.reading.event(now, event, delivery);
        self.awaiting = next(&self.reading, now);
        self.reading.check(delivery)
    }

    /// The response, or the local generation, is over. `Ok` if the answer is complete.
    pub(super) fn end(&mut self, now: Instant, delivery: &mut Delivery<'_>) -> Result<(), Failure> {
        match &mut self.awaiting {
            Awaiting::Refusal(refused) => Err(refused.failure(&self.plan.target, now)),
            Awaiting::Body { body } => {
                let body = std::mem::take(body);
                let Some(wire) = &self.wire else { return self.reading.verdict(false) };
                self.reading.body(now, wire.protocol, &body, delivery)
            }
            Awaiting::Head | Awaiting::Content | Awaiting::More { .. } | Awaiting::End { .. } => {
                self.stream_end(now, delivery)
            }
        }
    }

    /// Providers forget the last blank line, or the last line's end: what is left counts if it can
    /// be read.
    fn stream_end(&mut self, now: Instant, delivery: &mut Delivery<'_>) -> Result<(), Failure> {
        let Some(Wire { decoder, reader, .. }) = &mut self.wire else {
            return self.reading.verdict(false);
        };
        let Some(sse::Leftover::Event(event) | sse::Leftover::Cut(event)) = decoder.finish() else {
            return self.reading.verdict(false);
        };
        if event.data.is_empty() {
            return self.reading.verdict(false);
        }
        if event.is_error()
            && let Some(error) = self.reading.error(event.data)
        {
            return Err(error);
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
            Awaiting::Refusal(refused) => Err(refused.failure(&self.plan.target, now)),
            Awaiting::Head | Awaiting::Body { .. } | Awaiting::Content | Awaiting::More { .. } => {
                Err(failure)
            }
        }
    }

    /// The nearest deadline and its reason. While the client is `paused`, silence is its own.
    pub(super) fn deadline(&self, timeouts: &Timeouts, paused: bool) -> Option<(Instant, Timer)> {
        match &self.awaiting {
            Awaiting::Head if self.plan.stream => {
                let first_byte = (self.began + timeouts.first_byte, Timer::FirstByte);
                let first_content = (self.began + timeouts.first_content, Timer::FirstContent);
                Some(first_byte.min(first_content))
            }
            // Without a stream nothing arrives until the whole answer is written.
            Awaiting::Head | Awaiting::Body { .. } => {
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
