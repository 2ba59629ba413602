//! Calls to providers over HTTP/1.1.
//!
//! The protocol is ureq-proto's, a client without IO: it writes requests and reads responses in
//! buffers. The IO is here, because it is the way of every token: a call is read inside the task
//! of the client that waits for it, into a buffer that all calls of the thread share, and what has
//! come is handed on as one piece, however many HTTP chunks it was.

mod connect;
mod exchange;
mod idle;

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use streamgate_core::failure::{Failure, Reason};
use streamgate_core::protocol::HttpCall;
use streamgate_core::relay::{self, AttemptId};
use streamgate_core::request::Input;
use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};

use crate::progress::Progress;
use connect::{Connector, Origin, Reach, Stream};
use exchange::{Exchange, Part};
use idle::Idle;

/// What is read at once, in bytes; also the most that a response's head may have.
const READ_BYTES: usize = 64 * 1024;
/// What a response may still hold when its answer is complete, for its connection to be used again.
const LEFTOVER_BYTES_MAX: usize = 16 * 1024;
/// How long that may take.
const LEFTOVER_TIME_MAX: Duration = Duration::from_secs(1);

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

/// The connections of one thread to providers. Cheap to clone: clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Upstream {
    connector: Arc<Connector>,
    idle: Idle,
}

impl Upstream {
    /// No connections yet. The error is a text for a person.
    pub(crate) fn new(connect_time_max: Duration) -> Result<Self, String> {
        let connector = Arc::new(Connector::new(connect_time_max)?);
        Ok(Self { connector, idle: Idle::default() })
    }

    /// Begins a call.
    pub(crate) fn call(&self, call: &relay::Call) -> Call {
        let target = call.target.to_string();
        let (upstream, http, told) = (self.clone(), call.http(), target.clone());
        let reach = Reach::of(&call.target.provider);
        let begun = async move { upstream.begin(http?, reach, &told).await };
        Call { target, idle: self.idle.clone(), state: State::Beginning(Box::pin(begun)) }
    }

    /// Gets what is at a URL, if it is no larger than that. The error is a text for a person.
    pub(crate) async fn get(&self, url: &str, bytes_max: usize) -> Result<Vec<u8>, String> {
        let origin = Origin::of(url, Reach::Anywhere);
        let reading = self.send(exchange::get(url), origin, url).await;
        let mut reading = reading.map_err(|failure| failure.message().to_owned())?;
        let (mut status, mut body) = (0, Vec::new());
        loop {
            let mut take = |part: Part<'_>| match part {
                Part::Head(head) => status = head.status().as_u16(),
                Part::Body(bytes) => body.extend_from_slice(bytes),
                Part::End => {}
            };
            let progress = poll_fn(|context| reading.poll(context, &mut take)).await;
            match progress.map_err(|error| format!("the connection broke ({error})"))? {
                _ if body.len() > bytes_max => {
                    return Err(format!("it is longer than {bytes_max} bytes"));
                }
                Progress::More => {}
                Progress::Over if status == 200 => {
                    reading.put_back(&self.idle);
                    return Ok(body);
                }
                Progress::Over => return Err(format!("the answer has status {status}")),
            }
        }
    }

    /// Sends the request, over a connection that was used before if one is still good.
    async fn begin(
        self,
        call: HttpCall,
        reach: Reach,
        target: &str,
    ) -> Result<Box<Reading>, Failure> {
        let origin = Origin::of(&call.url, reach);
        self.send(exchange::request(&call), origin, target).await
    }

    async fn send(
        &self,
        request: Result<(Vec<u8>, Exchange), String>,
        origin: Result<Origin, String>,
        target: &str,
    ) -> Result<Box<Reading>, Failure> {
        let invalid = |what| Failure::new(Reason::Internal, format!("{target}: {what}."));
        let (request, exchange) = request.map_err(invalid)?;
        let origin = origin.map_err(invalid)?;
        if let Some(mut stream) = self.idle.take(&origin) {
            // One that broke meanwhile is no failure of the call.
            if stream.write_all(&request).await.is_ok() && stream.flush().await.is_ok() {
                return Ok(Reading::new(origin, stream, exchange));
            }
        }
        let mut stream = self.connector.connect(&origin, target).await?;
        let lost = |error| lost(target, &error);
        stream.write_all(&request).await.map_err(lost)?;
        stream.flush().await.map_err(lost)?;
        Ok(Reading::new(origin, stream, exchange))
    }
}

/// A call to a provider. Dropping it breaks the connection off.
pub(crate) struct Call {
    /// Whom, for what is said of failures.
    target: String,
    idle: Idle,
    state: State,
}

enum State {
    Beginning(Pin<Box<dyn Future<Output = Result<Box<Reading>, Failure>> + Send>>),
    Reading(Box<Reading>),
    Over,
}

/// A response on its way.
struct Reading {
    origin: Origin,
    stream: Stream,
    exchange: Exchange,
    /// What was received and could not be used yet: a part of the head or of a chunk's frame.
    rest: Vec<u8>,
}

impl Call {
    /// Says what is ready.
    pub(crate) fn poll(
        &mut self,
        context: &mut Context<'_>,
        attempt: AttemptId,
        say: &mut dyn FnMut(Input<'_>),
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
                let mut say = |part: Part<'_>| match part {
                    Part::Head(head) => say(Input::Head { attempt, head: exchange::facts(head) }),
                    Part::Body(bytes) => say(Input::Bytes { attempt, bytes }),
                    Part::End => say(Input::End { attempt }),
                };
                ready!(reading.poll(context, &mut say)).map_err(|error| lost(&self.target, &error))
            }
            State::Over => return Poll::Ready(Progress::Over),
        };
        match read {
            Ok(Progress::More) => return Poll::Ready(Progress::More),
            Ok(Progress::Over) => {}
            Err(failure) => say(Input::Lost { attempt, failure }),
        }
        if let State::Reading(reading) = std::mem::replace(&mut self.state, State::Over) {
            reading.put_back(&self.idle);
        }
        Poll::Ready(Progress::Over)
    }

    /// Lets the connection be used again, if the response ends soon.
    pub(crate) fn release(self) {
        if let State::Reading(reading) = self.state {
            tokio::spawn(tokio::time::timeout(LEFTOVER_TIME_MAX, reading.finish(self.idle)));
        }
    }
}

impl Reading {
    fn new(origin: Origin, stream: Stream, exchange: Exchange) -> Box<Self> {
        Box::new(Self { origin, stream, exchange, rest: Vec::new() })
    }

    /// Reads once, and says what was read.
    fn poll(
        &mut self,
        context: &mut Context<'_>,
        say: &mut dyn FnMut(Part<'_>),
    ) -> Poll<std::io::Result<Progress>> {
        BUFFERS.with_borrow_mut(|Buffers { received, body }| {
            let mut buffer = ReadBuf::new(received);
            buffer.put_slice(&self.rest);
            let before = buffer.filled().len();
            ready!(Pin::new(&mut self.stream).poll_read(context, &mut buffer))?;
            let received = buffer.filled();
            if received.len() == before {
                return Poll::Ready(self.exchange.close(say).map(|()| Progress::Over));
            }
            let used = self.exchange.receive(received, body, say)?;
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
        if self.exchange.is_reusable() && self.rest.is_empty() {
            idle.put(self.origin, self.stream);
        }
    }
}

fn lost(target: &str, error: &std::io::Error) -> Failure {
    Failure::new(Reason::Lost, format!("{target}: the connection broke ({error})."))
}
