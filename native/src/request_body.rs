//! A request's body: read for the request, or discarded for the sake of its connection.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::Body as _;
use hyper::body::Incoming;
use streamgate_core::request::BodyFailure;

/// What may be left of a body for its connection to be kept: less than a new one costs.
const DISCARDED_BYTES_MAX: u64 = 1 << 20;
/// How long that may take to arrive.
const DISCARDED_TIME_MAX: Duration = Duration::from_secs(10);

/// A body of which some may have been read.
pub(crate) struct RequestBody {
    incoming: Incoming,
    /// The client waits for `100 Continue` before it sends the body.
    held_back: bool,
    bytes: BytesMut,
}

/// What becomes of a connection whose request is answered before its body was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Connection {
    /// It serves the next request.
    Kept,
    /// It ends with this response.
    Closed,
}

impl RequestBody {
    /// An unread body. Reading it sends `100 Continue` to a client that waits for one.
    pub(crate) fn new(incoming: Incoming, expects_continue: bool) -> Self {
        let held_back = expects_continue && !incoming.is_end_stream();
        Self { incoming, held_back, bytes: BytesMut::new() }
    }

    /// Whether there is nothing to be read.
    pub(crate) fn is_empty(&self) -> bool {
        self.incoming.is_end_stream()
    }

    /// Reads it to its end. One that is too long by its head is not read at all.
    pub(crate) fn poll(
        &mut self,
        context: &mut Context<'_>,
        bytes_max: usize,
    ) -> Poll<Result<Bytes, BodyFailure>> {
        loop {
            let announced = self.bytes.len() as u64 + self.incoming.size_hint().lower();
            if announced > bytes_max as u64 {
                return Poll::Ready(Err(BodyFailure::TooLarge));
            }
            self.held_back = false;
            match ready!(Pin::new(&mut self.incoming).poll_frame(context)) {
                Some(Ok(frame)) => {
                    self.bytes.extend_from_slice(frame.data_ref().map_or(&[], |bytes| bytes));
                }
                Some(Err(error)) => {
                    return Poll::Ready(Err(BodyFailure::Broken(error.to_string())));
                }
                None => return Poll::Ready(Ok(self.bytes.split().freeze())),
            }
        }
    }

    /// Reads no more of it for the request. Where little is left it is discarded as it comes, and the
    /// connection is kept: a client that sends before it reads would find it broken otherwise.
    pub(crate) fn discard(self) -> Connection {
        if self.is_empty() {
            return Connection::Kept;
        }
        let left = self.incoming.size_hint().upper();
        if self.held_back || left.is_none_or(|bytes| bytes > DISCARDED_BYTES_MAX) {
            return Connection::Closed;
        }
        let mut incoming = self.incoming;
        let rest = async move {
            let mut frame = async || {
                std::future::poll_fn(|context| Pin::new(&mut incoming).poll_frame(context)).await
            };
            while let Some(Ok(_)) = frame().await {}
        };
        tokio::spawn(tokio::time::timeout(DISCARDED_TIME_MAX, rest));
        Connection::Kept
    }
}
