//! The socket of one client, as its connection reads and writes it.
//!
//! The end of what a client sends may mean that it left, or only that it has no more to send, as `nc -N`
//! does. Both arrive as a FIN, and only whoever left refuses what is sent to it then. So a FIN while a
//! complete request waits for its response is answered with an interim response, which clients
//! discard (RFC 9110, section 15.2.1): the client has left once the system reports that it was refused.
//! Within a request, or once a response has begun, a FIN is the client's leaving.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Interval, interval_at};
use tokio_io_timeout::TimeoutStream;

/// How long a client may read nothing of what is sent to it.
const STALL_TIME_MAX: Duration = Duration::from_secs(60);
/// An interim response that needs no request for it.
const INTERIM: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
/// How often it is checked whether a client that sends no more has left.
const CHECK_EVERY: Duration = Duration::from_millis(20);
/// How long what a client still sends is discarded after the last response, so that it is not reset
/// while it has not read that yet; and how long it may be silent meanwhile.
const LINGER_TIME_MAX: Duration = Duration::from_secs(30);
const LINGER_SILENCE_MAX: Duration = Duration::from_secs(2);

/// What a socket and the request that it carries know of each other. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Carried(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    stage: AtomicU8,
    half_closed: AtomicBool,
}

/// No request, or its response has begun.
const ANSWERED: u8 = 0;
/// A request's head has come, and more may come.
const SENDING: u8 = 1;
/// A request is complete.
const AWAITED: u8 = 2;

impl Carried {
    /// A request's head has come.
    pub(crate) fn set_sending(&self) {
        self.0.stage.store(SENDING, Ordering::Relaxed);
    }

    /// The request is complete, and its response is awaited.
    pub(crate) fn set_awaiting(&self) {
        self.0.stage.store(AWAITED, Ordering::Relaxed);
    }

    /// The response begins.
    pub(crate) fn set_answered(&self) {
        self.0.stage.store(ANSWERED, Ordering::Relaxed);
    }

    /// Whether the client sends no more, and stays for its response.
    pub(super) fn is_half_closed(&self) -> bool {
        self.0.half_closed.load(Ordering::Relaxed)
    }

    fn half_close(&self) {
        self.0.half_closed.store(true, Ordering::Relaxed);
    }

    fn stage(&self) -> u8 {
        self.0.stage.load(Ordering::Relaxed)
    }
}

/// The socket of one client.
pub(super) struct ClientSocket {
    stream: Pin<Box<TimeoutStream<TcpStream>>>,
    carried: Carried,
    /// Since the client has sent its last byte while a response was due.
    checks: Option<Interval>,
    /// The client was sent [`INTERIM`].
    is_probed: bool,
}

impl ClientSocket {
    /// The socket on this thread's event loop: every write leaves at once, and one that stalls fails.
    pub(super) fn new(socket: std::net::TcpStream, carried: Carried) -> io::Result<Self> {
        socket.set_nodelay(true)?;
        let mut stream = TimeoutStream::new(TcpStream::from_std(socket)?);
        stream.set_write_timeout(Some(STALL_TIME_MAX));
        Ok(Self { stream: Box::pin(stream), carried, checks: None, is_probed: false })
    }

    /// Ends the connection once the client has done so. What it still sends is discarded: a socket that
    /// is closed over unread bytes resets the connection, and with it what the client has not read.
    pub(super) async fn linger(mut self) {
        if self.stream.shutdown().await.is_err() {
            return;
        }
        let discard = async {
            let mut bytes = [0; 4096];
            let mut read = async || {
                let read = tokio::time::timeout(LINGER_SILENCE_MAX, self.stream.read(&mut bytes));
                matches!(read.await, Ok(Ok(1..)))
            };
            while read().await {}
        };
        let _ = tokio::time::timeout(LINGER_TIME_MAX, discard).await;
    }

    /// The client sends no more. Pending while it stays for a response.
    fn poll_left(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(checks) = &mut self.checks else { return Poll::Ready(Ok(())) };
        loop {
            let stream = self.stream.get_ref();
            if self.carried.stage() == AWAITED && !self.is_probed {
                self.is_probed = true;
                stream.try_write(INTERIM)?;
            }
            ready!(checks.poll_tick(context));
            if let Some(error) = stream.take_error()? {
                return Poll::Ready(Err(error));
            }
            if self.carried.stage() == SENDING {
                // What had come with its last byte is read by now: the request is cut.
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl AsyncRead for ClientSocket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.checks.is_none() {
            let before = buffer.filled().len();
            ready!(self.stream.as_mut().poll_read(context, buffer))?;
            if buffer.filled().len() > before || self.carried.stage() == ANSWERED {
                return Poll::Ready(Ok(()));
            }
            self.carried.half_close();
            self.checks = Some(interval_at(Instant::now() + CHECK_EVERY, CHECK_EVERY));
        }
        self.poll_left(context)
    }
}

impl AsyncWrite for ClientSocket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.stream.as_mut().poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.stream.as_mut().poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.as_mut().poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.as_mut().poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Else a token could wait 40 ms for the acknowledgement of the one before (F69).
    #[tokio::test]
    async fn what_is_written_leaves_at_once() {
        let (_client, socket) = pair(Carried::default());
        assert!(socket.stream.get_ref().nodelay().unwrap());
    }

    fn pair(carried: Carried) -> (std::net::TcpStream, ClientSocket) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        accepted.set_nonblocking(true).unwrap();
        (client, ClientSocket::new(accepted, carried).unwrap())
    }

    /// Longer than the system takes to report anything on a loaded machine.
    const PATIENCE: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn who_sends_no_more_stays_for_its_response() {
        let carried = Carried::default();
        let (client, mut socket) = pair(carried.clone());
        carried.set_awaiting();
        client.shutdown(std::net::Shutdown::Write).unwrap();
        let silence = tokio::time::timeout(CHECK_EVERY * 4, socket.read_u8()).await;
        assert!(silence.is_err(), "{silence:?}");
        assert!(carried.is_half_closed());
    }

    #[tokio::test]
    async fn who_leaves_while_a_response_is_awaited_is_noticed() {
        let carried = Carried::default();
        let (client, mut socket) = pair(carried.clone());
        carried.set_awaiting();
        drop(client);
        let left = tokio::time::timeout(PATIENCE, socket.read_u8()).await.unwrap();
        assert_ne!(left.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[tokio::test]
    async fn a_fin_at_any_other_time_is_the_end() {
        for stage in [Carried::set_sending, Carried::set_answered] {
            let carried = Carried::default();
            let (client, mut socket) = pair(carried.clone());
            carried.set_awaiting();
            stage(&carried);
            client.shutdown(std::net::Shutdown::Write).unwrap();
            let left = tokio::time::timeout(PATIENCE, socket.read_u8()).await.unwrap();
            assert_eq!(left.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        }
    }
}
