//! The connections of one thread: HTTP/1.1, kept alive, each served from its first byte to its
//! last by one task.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::Phase;
use super::client_socket::{Carried, ClientSocket};
use crate::service::Service;
use crate::serving_thread::ServingThread;

/// How long a client may take for a request's head, and be silent between two requests.
const HEAD_TIME_MAX: Duration = Duration::from_secs(60);
/// The most that is buffered for a client that does not read, in bytes; also the longest head.
const BUFFER_BYTES_MAX: usize = 64 * 1024;

/// What the connections of one thread share.
pub(super) struct Connections {
    http: http1::Builder,
    service: Service,
    phase: watch::Receiver<Phase>,
}

impl Connections {
    pub(super) fn new(thread: ServingThread, phase: watch::Receiver<Phase>) -> Self {
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIME_MAX)
            .max_buf_size(BUFFER_BYTES_MAX);
        Self { http, service: Service::new(thread), phase }
    }

    /// Serves accepted sockets. Returns when there are no more and the last connection has ended, or
    /// when the server ends.
    pub(super) async fn serve(self, mut accepted: mpsc::UnboundedReceiver<std::net::TcpStream>) {
        let mut tasks = JoinSet::new();
        let mut phase = self.phase.clone();
        let mut ending = pin!(phase.wait_for(|phase| *phase == Phase::Ending));
        let mut open = true;
        while open || !tasks.is_empty() {
            tokio::select! {
                socket = accepted.recv(), if open => match socket {
                    Some(socket) => drop(tasks.spawn(self.converse(socket))),
                    None => open = false,
                },
                Some(_) = tasks.join_next() => {}
                _ = &mut ending => return,
            }
        }
    }

    /// Serves one connection to its end.
    fn converse(&self, socket: std::net::TcpStream) -> impl Future<Output = ()> + 'static {
        let (http, phase) = (self.http.clone(), self.phase.clone());
        let service = self.service.clone();
        async move {
            let carried = Carried::default();
            let socket = match ClientSocket::new(socket, carried.clone()) {
                Ok(socket) => socket,
                Err(error) => return tracing::debug!(%error, "the client is gone already"),
            };
            let service = service.carried(carried.clone());
            let mut connection = http.serve_connection(TokioIo::new(socket), service);
            if let Err(error) = until_drained(&mut connection, &carried, phase.clone()).await {
                tracing::debug!(%error, "a connection broke");
            }
            let mut changes = phase.clone();
            tokio::select! {
                () = connection.into_parts().io.into_inner().linger() => {}
                _ = changes.wait_for(|phase| *phase != Phase::Serving) => {}
            }
        }
    }
}

type Connection = http1::Connection<TokioIo<ClientSocket>, Service>;

/// Runs a connection; once the server drains, or its client sends no more, only until its answer ends.
async fn until_drained(
    connection: &mut Connection,
    carried: &Carried,
    phase: watch::Receiver<Phase>,
) -> hyper::Result<()> {
    let mut connection = Pin::new(connection);
    let mut changes = phase.clone();
    let mut draining = pin!(changes.wait_for(|phase| *phase != Phase::Serving));
    let (mut subscribed, mut is_draining, mut is_last) = (false, false, false);
    poll_fn(|context| {
        // Polling the channel takes a lock, which checking for a change does not, and every token
        // passes here. Once polled, the channel wakes this task.
        if !is_draining && (!subscribed || phase.has_changed().unwrap_or(true)) {
            subscribed = true;
            if draining.as_mut().poll(context).is_ready() {
                is_draining = true;
                connection.as_mut().graceful_shutdown();
            }
        }
        let poll = connection.as_mut().poll(context);
        if poll.is_pending() && !is_last && carried.is_half_closed() {
            is_last = true;
            connection.as_mut().graceful_shutdown();
        }
        poll
    })
    .await
}
