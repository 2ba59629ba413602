//! Idle connections, kept for reuse.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, ReadBuf};

use super::connect::{Origin, Stream};

/// Idle connections per provider and thread.
pub(super) const IDLE_MAX: usize = 128;
/// How long a connection may be idle: less than servers and middleboxes usually allow.
pub(super) const IDLE_TIME_MAX: Duration = Duration::from_secs(50);

/// The idle connections of one thread. Cheap to clone: clones share them. The lock is taken once per
/// call and is never contended.
#[derive(Clone, Debug, Default)]
pub(super) struct Idle {
    /// Oldest first.
    waiting: Arc<Mutex<HashMap<Origin, Vec<Waiting>>>>,
}

#[derive(Debug)]
struct Waiting {
    stream: Stream,
    since: Instant,
}

impl Idle {
    /// The most recently used connection that is still open.
    pub(super) fn take(&self, origin: &Origin) -> Option<Stream> {
        let mut waiting = self.lock();
        let waiting = waiting.get_mut(origin)?;
        let stale = waiting.partition_point(|waiting| waiting.since.elapsed() > IDLE_TIME_MAX);
        waiting.drain(..stale);
        while let Some(Waiting { mut stream, .. }) = waiting.pop() {
            if is_quiet(&mut stream) {
                return Some(stream);
            }
        }
        None
    }

    /// Keeps a connection whose last response was read completely.
    pub(super) fn put(&self, origin: Origin, stream: Stream) {
        if !origin.is_kept() {
            return;
        }
        let mut waiting = self.lock();
        let waiting = waiting.entry(origin).or_default();
        if waiting.len() == IDLE_MAX {
            waiting.remove(0);
        }
        waiting.push(Waiting { stream, since: Instant::now() });
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Origin, Vec<Waiting>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the server has neither closed the connection nor sent anything unasked.
fn is_quiet(stream: &mut Stream) -> bool {
    let mut byte = [0];
    let mut context = Context::from_waker(Waker::noop());
    Pin::new(stream).poll_read(&mut context, &mut ReadBuf::new(&mut byte)).is_pending()
}

#[cfg(test)]
mod tests {
    use super::super::connect::Reach;
    use super::*;
    use tokio::io::AsyncWriteExt;
    use tokio::net::{TcpListener, TcpStream};
    use tokio_util::either::Either;

    async fn pair() -> (Stream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (Either::Left(near), listener.accept().await.unwrap().0)
    }

    fn origin() -> Origin {
        Origin::of("http://a.example/", Reach::Anywhere).unwrap()
    }

    /// Longer than the event loop takes, on a loaded machine, to notice what came.
    const NOTICE_TIME_MAX: Duration = Duration::from_secs(20);

    /// Waits until no connection to the origin is good any more.
    async fn until_none_is_left(idle: &Idle) {
        let patience = std::time::Instant::now() + NOTICE_TIME_MAX;
        while let Some(stream) = idle.take(&origin()) {
            assert!(std::time::Instant::now() < patience, "the connection is still used");
            idle.put(origin(), stream);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    #[tokio::test]
    async fn a_good_connection_is_used_again_once() {
        let (idle, (near, _far)) = (Idle::default(), pair().await);
        idle.put(origin(), near);
        assert!(idle.take(&Origin::of("http://b.example/", Reach::Anywhere).unwrap()).is_none());
        assert!(idle.take(&origin()).is_some());
        assert!(idle.take(&origin()).is_none());
    }

    #[tokio::test]
    async fn one_that_closed_is_not() {
        let (idle, (near, far)) = (Idle::default(), pair().await);
        idle.put(origin(), near);
        drop(far);
        until_none_is_left(&idle).await;
    }

    #[tokio::test]
    async fn one_that_spoke_unasked_is_not() {
        let (idle, (near, mut far)) = (Idle::default(), pair().await);
        idle.put(origin(), near);
        far.write_all(b"HTTP/1.1 408 Request Timeout\r\n\r\n").await.unwrap();
        until_none_is_left(&idle).await;
    }
}
