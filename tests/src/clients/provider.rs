//! The provider behind the server: it answers by what it is asked, because a client also makes calls
//! of its own (titles, summaries) whose number and order differ between versions.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

use super::errors::Kind;
use super::reply::{Reply, Wording};
use super::{Call, Script};
use crate::grid::{Asked, PROVIDERS, Provider as Protocol};
use crate::provider::wire::{Connection, Request};

/// Bytes of a request per token: few enough that the gateway, which estimates, never counts more.
const TOKEN_BYTES: usize = 3;

/// Fewer than any request has.
const WINDOW_TOKENS: usize = 8;

const HELLO: &str = "Hello, wörld 😀!";

/// A provider that listens until it is dropped.
#[derive(Debug)]
pub(super) struct Provider {
    pub(super) addr: SocketAddr,
    shared: Arc<Shared>,
    serving: AbortHandle,
}

#[derive(Debug)]
struct Shared {
    protocol: &'static Protocol,
    script: Script,
    calls: AtomicUsize,
    overflowed: AtomicBool,
    log: Mutex<Vec<Exchange>>,
}

/// A request, and what it was answered.
#[derive(Debug)]
struct Exchange {
    at: Instant,
    request: Request,
    reply: String,
}

impl Provider {
    pub(super) async fn start(protocol: &str, script: &Script) -> Result<Self, String> {
        let known = PROVIDERS.iter().find(|known| known.protocol == protocol);
        let protocol = known.ok_or_else(|| format!("unknown protocol {protocol}"))?;
        let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = TcpListener::bind(any_port).await.map_err(|error| error.to_string())?;
        let addr = listener.local_addr().map_err(|error| error.to_string())?;
        let shared = Arc::new(Shared {
            protocol,
            script: script.clone(),
            calls: AtomicUsize::new(0),
            overflowed: AtomicBool::new(false),
            log: Mutex::default(),
        });
        let serving = tokio::spawn(serve(listener, shared.clone())).abort_handle();
        Ok(Self { addr, shared, serving })
    }

    /// Whether a request was too long.
    pub(super) fn overflowed(&self) -> bool {
        self.shared.overflowed.load(Ordering::Relaxed)
    }

    /// How soon the same request came again, at the soonest.
    pub(super) fn soonest_retry(&self) -> Option<Duration> {
        let log = self.shared.log.lock().expect("no one panics while holding the log");
        let retries = log.iter().enumerate().filter_map(|(number, later)| {
            let mut earlier = log[..number].iter().rev();
            let first = earlier.find(|earlier| earlier.request.body == later.request.body)?;
            Some(later.at - first.at)
        });
        retries.min()
    }

    /// What it was asked and answered, for a person.
    pub(super) fn log(&self) -> String {
        let log = self.shared.log.lock().expect("no one panics while holding the log");
        let show = |Exchange { at, request, reply }: &Exchange| {
            let body = String::from_utf8_lossy(&request.body);
            let ago = at.elapsed();
            format!("{ago:.1?} ago: {} {}\n{body}\n-> {reply}\n", request.method, request.path)
        };
        log.iter().map(show).collect()
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        let shared = shared.clone();
        tokio::spawn(async move {
            // A client that leaves is not this provider's concern.
            let _ = answer(stream, &shared).await;
        });
    }
}

async fn answer(stream: TcpStream, shared: &Shared) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut connection = Connection::new(stream);
    while let Some(request) = connection.read_request().await? {
        let asked = (shared.protocol.read)(&request);
        let reply = shared.reply(&asked, request.body.len());
        let wording = Wording {
            protocol: shared.protocol.protocol,
            stream: asked.stream,
            tokens: request.body.len() / TOKEN_BYTES,
            number: shared.note(request, &reply),
        };
        connection.write_all(&wording.http(&reply)).await?;
    }
    Ok(())
}

impl Shared {
    fn reply(&self, asked: &Asked, bytes: usize) -> Reply {
        if let Some(max) = self.script.request_bytes_max.filter(|max| bytes > *max) {
            return self.too_long(max / TOKEN_BYTES);
        }
        match self.script.error {
            Some(Kind::Rejected) => return Reply::Rejected,
            Some(Kind::TooLong) => return self.too_long(WINDOW_TOKENS),
            Some(Kind::RateLimited) => return Reply::RateLimited,
            Some(Kind::Overloaded) => return Reply::Overloaded,
            Some(Kind::Broken) => return Reply::Broken(HELLO.into()),
            Some(Kind::Cut) => return Reply::Cut(HELLO.into()),
            // These the gateway answers.
            Some(Kind::BadKey | Kind::UnknownModel) | None => {}
        }
        if let Some(call) = self.call(asked) {
            return Reply::Call(call.tool.clone(), call.arguments.clone());
        }
        let result = asked.results.last().map(|result| format!("It gave: {result}"));
        let answer = self.script.answer.clone().or(result);
        Reply::Text(answer.unwrap_or_else(|| HELLO.into()))
    }

    fn too_long(&self, tokens_max: usize) -> Reply {
        self.overflowed.store(true, Ordering::Relaxed);
        Reply::TooLong { tokens_max }
    }

    /// The next call. A conversation that was too long goes on without any.
    fn call(&self, asked: &Asked) -> Option<&Call> {
        let call = self.script.call.as_ref()?;
        let is_offered = asked.tools.iter().any(|(name, _)| *name == call.tool);
        let is_due = || self.calls.fetch_add(1, Ordering::Relaxed) < call.times;
        (is_offered && !self.overflowed.load(Ordering::Relaxed) && is_due()).then_some(call)
    }

    /// Notes it; how many there were before.
    fn note(&self, request: Request, reply: &Reply) -> usize {
        let mut log = self.log.lock().expect("no one panics while holding the log");
        log.push(Exchange { at: Instant::now(), request, reply: format!("{reply:?}") });
        log.len() - 1
    }
}
