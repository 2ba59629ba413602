//! Calls over HTTP/1.1 by ureq-proto, a client without IO: it writes requests and reads responses in
//! buffers. The IO is here, because it is the way of every token: a call is read inside the task of
//! the client that waits for it, into a buffer that all calls of the thread share, and what has come
//! is handed on as one piece, however many HTTP chunks it was.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use streamgate_core::failure::{Failure, Reason};
use streamgate_core::protocol::HttpRequest;
use streamgate_core::relay::{self, AttemptId};
use streamgate_core::request::Input;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};

use super::connect::{Connector, Origin, Reach, Stream};
use super::exchange::{self, Exchange, Part};
use super::idle::Idle;
use super::{LEFTOVER_BYTES_MAX, LEFTOVER_TIME_MAX, lost};
use crate::progress::Progress;

/// What is read at once, in bytes; also the most that a response's head may have.
const READ_BYTES: usize = 64 * 1024;

thread_local! {
    /// Nothing stays in it between two reads, so streams that wait cost no buffer.
    static BUFFERS: RefCell<Buffers> = RefCell::new(Buffers::new());
}

struct Buffers {
    received: Box<[u8]>,
    /// The same without HTTP's framing.
    body: Box<[u8]>,
}

impl Buffers {
    fn new() -> Self {
        let buffer = || vec![0; READ_BYTES].into_boxed_slice();
        Self { received: buffer(), body: buffer() }
    }
}

/// The connections of one thread. Cheap to clone: clones share them.
#[derive(Clone, Debug)]
pub(super) struct Direct {
    connector: Arc<Connector>,
    idle: Idle,
}

impl Direct {
    /// No connections yet.
    pub(super) fn new(connector: Connector) -> Self {
        Self { connector: Arc::new(connector), idle: Idle::default() }
    }

    /// Begins a call.
    pub(super) fn call(&self, call: &relay::Call) -> Call {
        let target = call.target.to_string();
        let (direct, http, name) = (self.clone(), call.http(), target.clone());
        let reach = Reach::of(&call.target.provider);
        let begun = async move { direct.begin(http?, reach, &name).await };
        Call { target, idle: self.idle.clone(), state: State::Beginning(Box::pin(begun)) }
    }

    /// Begins to send the request, over a connection that was used before if one is still good.
    async fn begin(
        self,
        call: HttpRequest,
        reach: Reach,
        target: &str,
    ) -> Result<Box<Reading>, Failure> {
        let invalid = |what| Failure::new(Reason::Internal, format!("{target}: {what}."));
        let (request, exchange) = exchange::request(&call).map_err(invalid)?;
        let origin = Origin::of(&call.url, reach).map_err(invalid)?;
        if let Some(mut stream) = self.idle.take(&origin) {
            // One that broke meanwhile is no failure of the call.
            if let Ok(sent) = stream.write(&request).await {
                let sending = Sending::Rest { request, sent };
                return Ok(Reading::new(origin, stream, sending, exchange));
            }
        }
        let stream = self.connector.connect(&origin, target).await?;
        let sending = Sending::Rest { request, sent: 0 };
        Ok(Reading::new(origin, stream, sending, exchange))
    }
}

/// A call to a provider. Dropping it closes the connection.
pub(crate) struct Call {
    /// For what failures are called.
    target: String,
    idle: Idle,
    state: State,
}

enum State {
    Beginning(Pin<Box<dyn Future<Output = Result<Box<Reading>, Failure>> + Send>>),
    Reading(Box<Reading>),
    Over,
}

/// A response on its way, which may begin before its request is sent: whoever rejects a request for
/// its head or its length does not wait for the rest.
struct Reading {
    origin: Origin,
    stream: Stream,
    sending: Sending,
    exchange: Exchange,
    /// What was received and could not be used yet: a part of the head or of a chunk's frame.
    rest: Vec<u8>,
}

/// What is still to be sent of a request.
enum Sending {
    /// All after the first `sent` bytes.
    Rest { request: Vec<u8>, sent: usize },
    /// Nothing.
    Complete,
    /// Nothing, because the other side takes no more. Its response may have come before that.
    Broken,
}

impl Call {
    /// Hands over what is ready.
    pub(super) fn poll(
        &mut self,
        context: &mut Context<'_>,
        attempt: AttemptId,
        take: &mut dyn FnMut(Input<'_>),
    ) -> Poll<Progress> {
        let read = match &mut self.state {
            State::Beginning(begun) => match ready!(begun.as_mut().poll(context)) {
                Ok(reading) => {
                    self.state = State::Reading(reading);
                    return Poll::Ready(Progress::More);
                }
                Err(failure) => Err(failure),
            },
            State::Reading(reading) => {
                let mut take = |part: Part<'_>| match part {
                    Part::Head(head) => take(Input::Head { attempt, head: exchange::facts(head) }),
                    Part::Body(bytes) => take(Input::Bytes { attempt, bytes }),
                    Part::End => take(Input::End { attempt }),
                };
                ready!(reading.poll(context, &mut take)).map_err(|error| lost(&self.target, &error))
            }
            State::Over => return Poll::Ready(Progress::Over),
        };
        match read {
            Ok(Progress::More) => return Poll::Ready(Progress::More),
            Ok(Progress::Over) => {}
            Err(failure) => take(Input::Lost { attempt, failure }),
        }
        if let State::Reading(reading) = std::mem::replace(&mut self.state, State::Over) {
            reading.put_back(&self.idle);
        }
        Poll::Ready(Progress::Over)
    }

    /// Lets the connection be used again, if the response ends soon.
    pub(super) fn release(self) {
        if let State::Reading(reading) = self.state {
            tokio::spawn(tokio::time::timeout(LEFTOVER_TIME_MAX, reading.finish(self.idle)));
        }
    }
}

impl Reading {
    fn new(origin: Origin, stream: Stream, sending: Sending, exchange: Exchange) -> Box<Self> {
        Box::new(Self { origin, stream, sending, exchange, rest: Vec::new() })
    }

    /// Sends what the connection takes.
    fn send(&mut self, context: &mut Context<'_>) {
        while let Sending::Rest { request, sent } = &mut self.sending {
            let stream = Pin::new(&mut self.stream);
            let step = match &request[*sent..] {
                [] => stream.poll_flush(context).map_ok(|()| None),
                rest => stream.poll_write(context, rest).map_ok(Some),
            };
            self.sending = match step {
                Poll::Pending => return,
                Poll::Ready(Ok(Some(0)) | Err(_)) => Sending::Broken,
                Poll::Ready(Ok(Some(more))) => {
                    *sent += more;
                    continue;
                }
                Poll::Ready(Ok(None)) => Sending::Complete,
            };
        }
    }

    /// Reads once, and hands over what was read.
    fn poll(
        &mut self,
        context: &mut Context<'_>,
        take: &mut dyn FnMut(Part<'_>),
    ) -> Poll<std::io::Result<Progress>> {
        self.send(context);
        BUFFERS.with_borrow_mut(|Buffers { received, body }| {
            let mut buffer = ReadBuf::new(received);
            buffer.put_slice(&self.rest);
            let before = buffer.filled().len();
            ready!(Pin::new(&mut self.stream).poll_read(context, &mut buffer))?;
            let received = buffer.filled();
            if received.len() == before {
                return Poll::Ready(self.exchange.close(take).map(|()| Progress::Over));
            }
            let used = self.exchange.receive(received, body, take)?;
            self.rest.clear();
            self.rest.extend_from_slice(&received[used..]);
            if self.rest.len() == READ_BYTES {
                return Poll::Ready(Err(std::io::Error::other("its response has no end of head")));
            }
            let over = self.exchange.is_over();
            Poll::Ready(Ok(if over { Progress::Over } else { Progress::More }))
        })
    }

    /// Reads what is left of the response, for the sake of the connection.
    async fn finish(mut self, idle: Idle) {
        let mut left = LEFTOVER_BYTES_MAX;
        loop {
            let mut read = 0;
            let mut count = |part: Part<'_>| {
                if let Part::Body(bytes) = part {
                    read += bytes.len();
                }
            };
            match poll_fn(|context| self.poll(context, &mut count)).await {
                Ok(Progress::Over) => return self.put_back(&idle),
                Ok(Progress::More) if read <= left => left -= read,
                Ok(Progress::More) | Err(_) => return,
            }
        }
    }

    /// Keeps the connection, if the response left it in a state to be used again.
    fn put_back(self, idle: &Idle) {
        let is_sent = matches!(self.sending, Sending::Complete);
        if is_sent && self.exchange.is_reusable() && self.rest.is_empty() {
            idle.put(self.origin, self.stream);
        }
    }
}
