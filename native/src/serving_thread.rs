//! The state of one serving thread: its own connections to providers, so that no lock is on the
//! token path, and handles to the gateway, the engine and the store, which all threads share.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use streamgate_core::gateway::Gateway;
use streamgate_core::request::{Arrival, RANDOM_BYTES};
use streamgate_core::time::Instant;

use crate::engine::Engine;
use crate::store::Store;
use crate::upstream::Upstream;

/// The state of one serving thread.
#[derive(Debug)]
pub(crate) struct ServingThread {
    pub(crate) gateway: Gateway,
    pub(crate) upstream: Upstream,
    pub(crate) engine: Engine,
    /// Data that outlives the process, if `[store]` is configured.
    pub(crate) store: Option<Store>,
    pub(crate) clock: Clock,
    pub(crate) running: Running,
}

impl ServingThread {
    /// What core needs from its shell when a request arrives: the time and random bytes.
    pub(crate) fn arrival(&self) -> Result<Arrival, getrandom::Error> {
        let mut random = [0; RANDOM_BYTES];
        getrandom::fill(&mut random)?;
        Ok(Arrival { now: self.clock.now(), unix_now: unix_time(), random })
    }
}

/// The time since 1970.
pub(crate) fn unix_time() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO)
}

/// The clock of core's instants.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    origin: tokio::time::Instant,
}

impl Clock {
    /// A clock that starts at zero.
    pub(crate) fn start() -> Self {
        Self { origin: tokio::time::Instant::now() }
    }

    /// The time.
    pub(crate) fn now(self) -> Instant {
        let elapsed = self.origin.elapsed().as_micros();
        Instant::from_micros(u64::try_from(elapsed).unwrap_or(u64::MAX))
    }

    /// The same instant on tokio's clock.
    pub(crate) fn tokio(self, instant: Instant) -> tokio::time::Instant {
        self.origin + Duration::from_micros(instant.as_micros())
    }
}

/// Counts the answers that are running, on all threads.
#[derive(Clone, Debug, Default)]
pub(crate) struct Running(Arc<AtomicUsize>);

impl Running {
    /// Counts one more until the guard is dropped.
    pub(crate) fn one(&self) -> ActiveGuard {
        self.0.fetch_add(1, Ordering::Relaxed);
        ActiveGuard(Self(Arc::clone(&self.0)))
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// One running answer.
#[derive(Debug)]
pub(crate) struct ActiveGuard(Running);

impl Drop for ActiveGuard {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}
