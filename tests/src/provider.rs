//! A provider of chat completions that misbehaves on demand: HTTP/1.1 on bare TCP, because control
//! over every byte, cut and reset is the point.
//!
//! Each call plays the next [`Call`] script; what came and what happened is kept as [`CallRecord`]s.
//! While it sends, waits or stalls it listens for the peer's close, so a test can say when the
//! upstream saw that a client left.

mod record;
pub(crate) mod wire;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use socket2::SockRef;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::AbortHandle;

pub use self::record::CallRecord;
use self::record::Log;
use self::wire::{Connection, Gone, Progress, Request};
use crate::script::{Act, AnswerMeta, Call, Head};

/// What happens to calls after the last script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterLast {
    /// They are answered with status 599 and recorded as unscripted, unless the last has `again`.
    Refuse,
    /// The scripts begin anew.
    StartOver,
}

/// A name that has no address, by RFC 6761.
const NO_HOST: &str = "provider.invalid";
/// How many connections are tried to fill a listener's queue: on Linux two are enough.
const QUEUE_TRIES_MAX: usize = 16;
/// A connection that takes longer does not come about.
const QUEUE_TRY_TIME: Duration = Duration::from_millis(200);

/// What the system may hold of a response. Left alone it holds megabytes, and how many differs from
/// run to run, so that nobody could say how much the gateway holds.
const SEND_BUFFER_BYTES: usize = 64 * 1024;

/// A provider that listens until it is dropped.
#[derive(Debug)]
pub struct FakeProvider {
    addr: SocketAddr,
    /// The host's name, where it is to be called by one.
    host: Option<&'static str>,
    scheme: &'static str,
    log: Arc<Log>,
    listening: Listening,
}

#[derive(Debug)]
enum Listening {
    Until(AbortHandle),
    /// Bound and not listening: connections are refused, and no one else gets the port.
    Never(#[expect(dead_code, reason = "held for its port")] TcpSocket),
    /// Listening and not accepting, and as many wait already as may.
    Full(#[expect(dead_code, reason = "held for their places")] (TcpListener, Vec<TcpStream>)),
}

impl FakeProvider {
    /// Listens at `addr` and plays the scripts in order; records count time from `epoch`.
    pub async fn start(
        addr: SocketAddr,
        scripts: &[Call],
        after_last: AfterLast,
        epoch: Instant,
    ) -> io::Result<Self> {
        let log = Arc::new(Log::new(epoch));
        let any = |what: fn(&Call) -> bool| scripts.iter().any(what);
        let host = any(|call| call.unresolved).then_some(NO_HOST);
        let scheme = if any(|call| call.no_tls) { "https" } else { "http" };
        if any(|call| call.refuse) {
            let socket = TcpSocket::new_v4()?;
            socket.bind(addr)?;
            let addr = socket.local_addr()?;
            return Ok(Self { addr, host, scheme, log, listening: Listening::Never(socket) });
        }
        if any(|call| call.unresponsive) {
            let full = full(addr).await?;
            let addr = full.0.local_addr()?;
            return Ok(Self { addr, host, scheme, log, listening: Listening::Full(full) });
        }
        let listener = TcpListener::bind(addr).await?;
        let addr = listener.local_addr()?;
        let book = Arc::new(Book { scripts: scripts.to_vec(), after_last });
        let accepting = tokio::spawn(accept(listener, book, log.clone()));
        let listening = Listening::Until(accepting.abort_handle());
        Ok(Self { addr, host, scheme, log, listening })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The URL that OpenAI clients take as their base.
    pub fn base_url(&self) -> String {
        let (scheme, port) = (self.scheme, self.addr.port());
        match self.host {
            Some(host) => format!("{scheme}://{host}:{port}/v1"),
            None => format!("{scheme}://{}/v1", self.addr),
        }
    }

    /// What it was asked so far, in order.
    pub fn calls(&self) -> Vec<CallRecord> {
        self.log.calls()
    }
}

impl Drop for FakeProvider {
    fn drop(&mut self) {
        if let Listening::Until(accepting) = &self.listening {
            accepting.abort();
        }
    }
}

/// A listener that accepts nobody, with a queue that is full: who connects now waits in vain.
async fn full(addr: SocketAddr) -> io::Result<(TcpListener, Vec<TcpStream>)> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(addr)?;
    let listener = socket.listen(0)?;
    let addr = listener.local_addr()?;
    let mut queue = Vec::new();
    for _ in 0..QUEUE_TRIES_MAX {
        match tokio::time::timeout(QUEUE_TRY_TIME, TcpStream::connect(addr)).await {
            Ok(connected) => queue.push(connected?),
            Err(_) => return Ok((listener, queue)),
        }
    }
    Err(io::Error::other("the queue of a listener cannot be filled here"))
}

/// The scripts of one provider.
#[derive(Debug)]
struct Book {
    scripts: Vec<Call>,
    after_last: AfterLast,
}

impl Book {
    fn script(&self, call: usize) -> Option<&Call> {
        let again = self.scripts.last().filter(|last| last.again);
        match self.after_last {
            AfterLast::Refuse => self.scripts.get(call).or(again),
            AfterLast::StartOver => self.scripts.get(call % self.scripts.len().max(1)),
        }
    }
}

async fn accept(listener: TcpListener, book: Arc<Book>, log: Arc<Log>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::spawn(serve(stream, book.clone(), log.clone()));
            }
            Err(error) => {
                eprintln!("fake provider: accept: {error}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

/// Serves the calls of one connection. It ends when either side closes.
async fn serve(stream: TcpStream, book: Arc<Book>, log: Arc<Log>) {
    let set = stream.set_nodelay(true);
    let set = set.and_then(|()| SockRef::from(&stream).set_send_buffer_size(SEND_BUFFER_BYTES));
    if let Err(error) = set {
        eprintln!("fake provider: a socket's options: {error}");
    }
    let mut connection = Connection::new(stream);
    while let Ok(Some(request)) = connection.read_request().await {
        let index = log.open(&request);
        let played = match book.script(index) {
            Some(call) => play(&mut connection, call, &request, &log, index).await,
            None => {
                log.mark_unscripted(index);
                connection.refuse("no script is left for this call").await.map(|()| After::Close)
            }
        };
        match played {
            Ok(After::Keep) => log.mark_ended(index),
            Ok(After::Close) => return log.mark_ended(index),
            Ok(After::Reset) => {
                log.mark_ended(index);
                return reset(&connection);
            }
            Err(Gone) => return log.mark_closed(index),
        }
    }
}

/// What becomes of the connection after a call.
enum After {
    Keep,
    Close,
    Reset,
}

async fn play(
    connection: &mut Connection,
    call: &Call,
    request: &Request,
    log: &Log,
    index: usize,
) -> Result<After, Gone> {
    let plan = call.plan();
    match plan.opening {
        // To one that cannot be reached no call comes.
        AnswerMeta::Refuse
        | AnswerMeta::Unresolved
        | AnswerMeta::Unresponsive
        | AnswerMeta::NoTls
        | AnswerMeta::Close => Ok(After::Close),
        AnswerMeta::Silent => Err(connection.until_gone().await),
        AnswerMeta::Head(head) => {
            let report = |progress: Progress| log.add_progress(index, progress);
            open_response(connection, &head, &plan.acts, request, &report).await?;
            play_acts(connection, &head, &plan.acts, &report).await
        }
    }
}

async fn open_response(
    connection: &mut Connection,
    head: &Head,
    acts: &[Act],
    request: &Request,
    report: &impl Fn(Progress),
) -> Result<(), Gone> {
    connection.wait(head.wait).await?;
    if request.expects_continue {
        connection.send(b"HTTP/1.1 100 Continue\r\n\r\n", &|_| ()).await?;
    }
    let mut length: usize =
        acts.iter().map(|act| if let Act::Send(b) = act { b.len() } else { 0 }).sum();
    if !ends_cleanly(acts) {
        // More is promised than will come.
        length += 64;
    }
    let unix_now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    connection.send(&wire::head_bytes(&head.at(unix_now), length), report).await
}

fn ends_cleanly(acts: &[Act]) -> bool {
    acts.last().is_none_or(|act| !act.is_last() || *act == Act::End)
}

async fn play_acts(
    connection: &mut Connection,
    head: &Head,
    acts: &[Act],
    report: &impl Fn(Progress),
) -> Result<After, Gone> {
    for act in acts {
        match act {
            Act::Send(bytes) => connection.send(&wire::frame(head.framing, bytes), report).await?,
            Act::Wait(pause) => connection.wait(*pause).await?,
            Act::End => break,
            Act::Cut => return Ok(After::Close),
            Act::Reset => return Ok(After::Reset),
            Act::Stall => return Err(connection.until_gone().await),
        }
    }
    connection.send(wire::terminator(head.framing), report).await?;
    Ok(if wire::keeps_alive(head) { After::Keep } else { After::Close })
}

/// Makes the close a RST, as when a machine dies or a middlebox loses its patience.
fn reset(connection: &Connection) {
    let at_once = Some(Duration::ZERO);
    if let Err(error) = SockRef::from(connection.stream()).set_linger(at_once) {
        eprintln!("fake provider: set_linger: {error}");
    }
}

#[cfg(test)]
mod tests;
