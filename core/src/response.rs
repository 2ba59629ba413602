//! One client's HTTP response: its head, its body in the client's protocol, and the heartbeats
//! that show a waiting client that the answer is still alive.

use std::time::Duration;

use crate::chat::Event;
use crate::failure::{Failure, Reason};
use crate::history::Exchange;
use crate::protocol::{
    AnswerEnd, AnswerMeta, ClientProtocol, Collected, Times, Writer, error_body,
};
use crate::relay::{Downstream, End, Timeouts};
use crate::time::Instant;

/// A response's status and headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The HTTP status.
    pub status: u16,
    /// Headers by lower-case name.
    pub headers: Headers,
}

type Headers = Vec<(&'static str, String)>;

/// The calls made for an answer, as far as a response's head reports them.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    pub(crate) made: u32,
    /// The target of the last one.
    pub(crate) target: String,
}

/// Headers of every stream, so that nothing between us and the client holds it back.
const STREAM_HEADERS: [(&str, &str); 2] =
    [("cache-control", "no-cache, no-transform"), ("x-accel-buffering", "no")];

/// How large a buffer is kept for the body's next bytes, in bytes.
const BODY_BYTES_KEPT_MAX: usize = 64 * 1024;

/// Why a client is sent something though the answer has nothing new.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timer {
    /// The response's head is due.
    Head,
    /// A heartbeat is due.
    Heartbeat,
}

/// Where the response's head stands.
#[derive(Debug, PartialEq, Eq)]
enum HeadState {
    /// Held back until there is something true to send.
    Held,
    /// There is: the head goes before anything else.
    Due,
    /// The answer failed before the head was sent, so the failure is a real status.
    Failed {
        status: u16,
        headers: Headers,
    },
    Sent,
}

/// One client's response.
pub(crate) struct Response {
    client: ClientProtocol,
    /// The client reads a stream.
    stream: bool,
    /// The answer's id.
    id: String,
    writer: Writer,
    head: HeadState,
    out: Outbox,
    /// The answer so far, for a client that does not read a stream.
    collected: Collected,
    /// The answer is a closing message instead of a model's.
    fallback: bool,
    /// When the client was last sent something; before that, when its request came.
    last_write: Instant,
    head_after: Duration,
    heartbeat_after: Duration,
}

impl Response {
    /// The response to a client of this protocol, of which nothing is sent yet.
    pub(crate) fn new(
        client: ClientProtocol,
        meta: AnswerMeta,
        timeouts: &Timeouts,
        now: Instant,
    ) -> Self {
        Self {
            client,
            stream: meta.request.stream,
            id: meta.id.clone(),
            writer: Writer::new(client, meta),
            head: HeadState::Held,
            out: Outbox::default(),
            collected: Collected::default(),
            fallback: false,
            last_write: now,
            head_after: timeouts.head,
            heartbeat_after: timeouts.heartbeat,
        }
    }

    /// The protocol that the client reads.
    pub(crate) fn client(&self) -> ClientProtocol {
        self.client
    }

    pub(crate) fn is_stream(&self) -> bool {
        self.stream
    }

    /// Whether enough of a stream is waiting to be sent.
    pub(crate) fn is_full(&self) -> bool {
        self.stream && self.out.len() >= BODY_BYTES_KEPT_MAX
    }

    /// Drops what is waiting: the client was sent it before, in another response.
    pub(crate) fn discard(&mut self) {
        self.out.buffer().clear();
    }

    /// The answer begins: some protocols have something true to send before any provider is called.
    pub(crate) fn open(&mut self) {
        if self.stream {
            self.writer.open(self.out.buffer());
        }
        if !self.out.is_empty() {
            self.head = HeadState::Due;
        }
    }

    /// The answer is over: writes the response's end, by how the answer ended and how far the
    /// response is.
    pub(crate) fn end(&mut self, end: &End, fallback: bool, times: Times) {
        self.fallback = fallback;
        let closing = AnswerEnd { end, fallback, times };
        match end {
            End::Finished(_) | End::Failed(_) | End::Cancelled if self.head != HeadState::Held => {
                self.writer.end(self.out.buffer(), &closing);
            }
            End::Failed(failure) if self.streams(failure) => {
                self.writer.end(self.out.buffer(), &closing);
                self.head = HeadState::Due;
            }
            End::Failed(failure) => self.fail(failure),
            End::Finished(_) => {
                if self.out.is_empty() {
                    self.writer.write_complete(self.out.buffer(), &self.collected, times);
                }
                self.head = HeadState::Due;
            }
            End::Cancelled => {}
        }
    }

    /// Whether a failure is reported within a stream that has not begun.
    fn streams(&self, failure: &Failure) -> bool {
        let is_too_long = failure.reason == Reason::ContextLength;
        self.stream && is_too_long && self.client.streams_overflow()
    }

    /// What later requests may refer to, of an answer that is over.
    pub(crate) fn exchange(&self) -> Option<Exchange> {
        self.writer.exchange(&self.collected)
    }

    fn fail(&mut self, failure: &Failure) {
        *self.out.buffer() = error_body(self.client, failure, Some(&self.id));
        self.head = HeadState::Failed {
            status: failure.status(),
            headers: failure.headers().into_iter().collect(),
        };
    }

    /// The response's head, if it is to be sent now.
    pub(crate) fn take_head(&mut self, calls: &Calls) -> Option<Head> {
        let (status, failure) = match &mut self.head {
            HeadState::Held | HeadState::Sent => return None,
            HeadState::Due => (200, None),
            HeadState::Failed { status, headers } => (*status, Some(std::mem::take(headers))),
        };
        self.head = HeadState::Sent;
        let mut headers = match (&failure, self.stream) {
            (None, true) => self.stream_headers(),
            (None, false) => vec![("content-type", "application/json".to_owned())],
            (Some(_), _) => vec![("content-type", self.client.error_media_type().to_owned())],
        };
        headers.push(("x-stream-id", self.id.clone()));
        if calls.made > 0 {
            headers.push(("x-streamgate-target", calls.target.clone()));
            headers.push(("x-streamgate-attempts", calls.made.to_string()));
        }
        if self.fallback {
            headers.push(("x-streamgate-fallback", "true".to_owned()));
        }
        headers.extend(failure.into_iter().flatten());
        Some(Head { status, headers })
    }

    fn stream_headers(&self) -> Headers {
        let media_type = ("content-type", self.client.stream_media_type());
        let own = self.client.stream_headers();
        [media_type]
            .iter()
            .chain(&STREAM_HEADERS)
            .chain(own)
            .map(|&(name, value)| (name, value.to_owned()))
            .collect()
    }

    /// Whether bytes of the body are to be sent now.
    pub(crate) fn has_body(&self) -> bool {
        !self.out.is_empty() && self.head == HeadState::Sent
    }

    /// The body's next bytes.
    pub(crate) fn take_body(&mut self, now: Instant) -> &[u8] {
        self.last_write = now;
        self.out.lend()
    }

    /// When the client is sent something though a running answer has nothing new, and what.
    pub(crate) fn due(&self) -> Option<(Instant, Timer)> {
        match self.head {
            _ if !self.stream => None,
            HeadState::Held => Some((self.last_write + self.head_after, Timer::Head)),
            HeadState::Due | HeadState::Failed { .. } | HeadState::Sent => {
                Some((self.last_write + self.heartbeat_after, Timer::Heartbeat))
            }
        }
    }

    /// Sends a heartbeat if the client of a running answer has been without a byte for too long.
    pub(crate) fn heartbeat(&mut self, now: Instant) {
        if self.out.is_empty() && self.due().is_some_and(|(due, _)| due <= now) {
            self.out.buffer().extend_from_slice(self.client.heartbeat());
            self.begin();
        }
    }

    /// There is something true to send.
    pub(crate) fn begin(&mut self) {
        if self.head == HeadState::Held {
            self.head = HeadState::Due;
        }
    }
}

impl Downstream for Response {
    fn forward(&mut self, frames: &[u8], _: Vec<Event<'static>>) {
        if self.stream {
            self.begin();
        }
        self.writer.forward(self.out.buffer(), frames);
    }

    fn event(&mut self, event: &Event<'_>) {
        if let Event::Warning(_) = event
            && !self.client.supports_warnings()
        {
            // Nothing that this client could tell from the answer.
            return;
        }
        if self.stream {
            self.begin();
            self.writer.event(self.out.buffer(), event);
        } else if let Event::Start { .. } = event {
            self.writer.event(self.out.buffer(), event);
        } else {
            self.collected.add(event);
        }
    }
}

/// Bytes on their way out. They stay in place while they are lent, so that the shell writes them
/// without a copy; the next use of the buffer clears them.
#[derive(Default)]
struct Outbox {
    bytes: Vec<u8>,
    lent: bool,
}

impl Outbox {
    fn len(&self) -> usize {
        if self.lent { 0 } else { self.bytes.len() }
    }

    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes that were not lent yet, to be added to.
    fn buffer(&mut self) -> &mut Vec<u8> {
        if std::mem::take(&mut self.lent) {
            self.bytes.clear();
            self.bytes.shrink_to(BODY_BYTES_KEPT_MAX);
        }
        &mut self.bytes
    }

    fn lend(&mut self) -> &[u8] {
        self.lent = true;
        &self.bytes
    }
}
