//! The server: one thread accepts connections and deals them out in turn to threads that serve
//! them; on Ctrl-C or SIGTERM it stops accepting and lets running answers finish.

mod client_socket;
mod connection;
mod listener;
mod signals;

use std::net::TcpStream;
use std::num::NonZeroUsize;
use std::thread::JoinHandle;
use std::time::Duration;

use streamgate_core::config::Config;
use streamgate_core::gateway::Gateway;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, watch};

use crate::configuration::Configuration;
use crate::engine::Engine;
use crate::serving_thread::{Clock, Running, ServingThread};
use crate::startup::StartupError;
use crate::store::{Store, StoreThread};
use crate::upstream::Upstream;
use crate::{learned, log, models};
pub(crate) use client_socket::Carried;
use connection::Connections;
use signals::Signals;

/// How to serve.
#[derive(Debug)]
pub(crate) struct Plan {
    /// The address to listen on, in place of the configured one.
    pub(crate) listen: Option<String>,
    /// Whether other machines may send requests though there is no `[auth]`.
    pub(crate) open: bool,
    /// On how many threads; `None` takes as many as there are cores.
    pub(crate) threads: Option<NonZeroUsize>,
    /// How long running answers may take to finish once the server is to end.
    pub(crate) drain_max: Duration,
}

/// Serves until a signal ends it.
pub(crate) fn run(configuration: Configuration, plan: &Plan) -> Result<(), StartupError> {
    let Configuration { config, file } = configuration;
    let engine = models::engine(&config).map_err(StartupError::Config)?;
    let runtime = runtime()?;
    let listen = plan.listen.as_deref().or(config.listen.as_deref());
    let listener = runtime.block_on(listener::bind(listen))?;
    listener::guard(&listener, &config, plan.open)?;
    let (store, store_thread) = open_store(&config)?.unzip();
    match &file {
        Some(file) => tracing::info!(file = %file.display(), "configured"),
        None => tracing::info!("no configuration file: serving the built-in model"),
    }
    models::log(&config);
    let server = Server::start(&config, &engine, store, plan)?;
    let impossible = |error: std::io::Error| StartupError::Io(error.to_string());
    let signals = {
        let _context = runtime.enter();
        Signals::listen().map_err(impossible)?
    };
    listener::announce(&listener).map_err(impossible)?;
    load_first(&runtime, &config, &engine);
    let ended = runtime.block_on(server.serve(listener, signals, plan.drain_max));
    if ended == Ended::Drained {
        runtime.block_on(engine.drain());
    }
    if let Some(thread) = store_thread {
        thread.join();
    }
    Ok(())
}

fn open_store(config: &Config) -> Result<Option<(Store, StoreThread)>, StartupError> {
    config.store.as_ref().map(|store| Store::open(&store.url)).transpose()
}

/// Loads the model that is most likely asked first, so that nobody waits for it.
fn load_first(runtime: &Runtime, config: &Config, engine: &Engine) {
    if let Some(target) = models::first(config) {
        let (engine, name) = (engine.clone(), models::engine_name(target));
        // The engine itself logs how it went.
        runtime.spawn(async move { engine.load(&name).await.map(drop) });
    }
}

/// How the server ended.
#[derive(Debug, PartialEq, Eq)]
enum Ended {
    /// Every answer has finished.
    Drained,
    /// Answers were cut off: they took too long, or a second signal came.
    Cut,
}

/// What the serving threads are to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Serve.
    Serving,
    /// Let running answers finish, and begin no others.
    Draining,
    /// End at once.
    Ending,
}

/// The threads that serve.
struct Server {
    threads: Vec<Thread>,
    running: Running,
    phase: watch::Sender<Phase>,
    /// Closed once every thread has ended.
    ended: mpsc::Receiver<()>,
}

struct Thread {
    /// Sockets to serve.
    sockets: mpsc::UnboundedSender<TcpStream>,
    handle: JoinHandle<()>,
}

impl Server {
    fn start(
        config: &Config,
        engine: &Engine,
        store: Option<Store>,
        plan: &Plan,
    ) -> Result<Self, StartupError> {
        let cores = || std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        let gateway = Gateway::new(config.clone()).with_verbosity(log::verbosity());
        if let Some(store) = &store
            && let Err(failure) = learned::restore(store, gateway.learned())
        {
            tracing::warn!(detail = failure.message(), "limits learned before are not known");
        }
        let running = Running::default();
        let clock = Clock::start();
        let (phase, phases) = watch::channel(Phase::Serving);
        let (alive, ended) = mpsc::channel(1);
        let start = |number: usize| {
            let upstream = Upstream::new(config.timeouts.connect).map_err(StartupError::Io)?;
            let thread = ServingThread {
                gateway: gateway.clone(),
                upstream,
                engine: engine.clone(),
                store: store.clone(),
                clock,
                running: running.clone(),
            };
            Thread::start(number, thread, phases.clone(), alive.clone())
        };
        let count = plan.threads.unwrap_or_else(cores).get();
        let threads = (0..count).map(start).collect::<Result<_, _>>()?;
        Ok(Self { threads, running, phase, ended })
    }

    /// Accepts until the first signal, then waits for what is running.
    async fn serve(
        mut self,
        listener: TcpListener,
        mut signals: Signals,
        drain_max: Duration,
    ) -> Ended {
        tokio::select! {
            () = listener::accept(&listener, &self.threads) => {}
            () = signals.next() => {}
        }
        drop(listener);
        let handles: Vec<_> = self.threads.drain(..).map(|thread| thread.handle).collect();
        self.phase.send_replace(Phase::Draining);
        self.log_drain(drain_max);
        let ended = tokio::select! {
            // Nothing is ever sent: this is the end of the last thread.
            _ = self.ended.recv() => Ended::Drained,
            () = signals.next() => Ended::Cut,
            () = tokio::time::sleep(drain_max) => Ended::Cut,
        };
        if ended == Ended::Cut {
            tracing::warn!(answers = self.running.count(), "ending before they have finished");
            self.phase.send_replace(Phase::Ending);
        }
        handles.into_iter().for_each(join);
        ended
    }

    fn log_drain(&self, drain_max: Duration) {
        let answers = self.running.count();
        if answers > 0 {
            let seconds = drain_max.as_secs();
            tracing::info!(
                answers,
                "waiting for running answers, {seconds} s at most; Ctrl-C ends at once"
            );
        } else {
            tracing::info!("ending");
        }
    }
}

impl Thread {
    fn start(
        number: usize,
        thread: ServingThread,
        phase: watch::Receiver<Phase>,
        alive: mpsc::Sender<()>,
    ) -> Result<Self, StartupError> {
        let (sockets, accepted) = mpsc::unbounded_channel();
        let runtime = runtime()?;
        let handle = std::thread::Builder::new()
            .name(format!("thread {number}"))
            .spawn(move || {
                runtime.block_on(Connections::new(thread, phase).serve(accepted));
                // What still resolves a name or reads a prompt is not waited for.
                runtime.shutdown_background();
                drop(alive);
            })
            .map_err(|error| StartupError::Io(format!("no thread can be started: {error}")))?;
        Ok(Self { sockets, handle })
    }

    fn take(&self, stream: tokio::net::TcpStream) {
        // A socket that is already broken needs nothing more; a thread that panicked is logged when
        // it is joined.
        if let Ok(stream) = stream.into_std() {
            let _ = self.sockets.send(stream);
        }
    }
}

fn join(handle: JoinHandle<()>) {
    if handle.join().is_err() {
        tracing::error!("a serving thread panicked");
    }
}

fn runtime() -> Result<Runtime, StartupError> {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| StartupError::Io(format!("no event loop: {error}")))
}
