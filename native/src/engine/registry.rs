//! The models by name, which of them are loaded, and the memory they share.
//!
//! A model is loaded by its own thread, which then serves it:
//!
//! ```text
//!   Unloaded -- first request --> Loading -- context made --> Loaded
//!      ^                             |                           |
//!      +--- failed; retried on demand +                           |
//!      +--- idle, and its memory is needed; or its thread died --+
//! ```

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::JoinHandle;

use tokio::sync::watch;

use super::batch::Command;
use super::model::{Checked, ModelFacts, Reading, serve};
use super::permits::{QueuePermit, QueuePermits};
use super::{EngineConfig, EngineError, Model};

/// How a load ended, once it has.
type Loaded = watch::Receiver<Option<Result<(), EngineError>>>;

/// All models of an engine.
pub(super) struct Registry {
    pub(super) config: EngineConfig,
    entries: Mutex<Entries>,
    /// Ends loads early once nobody waits for them.
    given_up: Arc<AtomicBool>,
}

struct Entries {
    by_name: BTreeMap<String, Entry>,
    /// Counts requests; the least recently used model is the one with the smallest number.
    requests: u64,
    draining: bool,
}

struct Entry {
    model: Arc<Model>,
    state: State,
    used: u64,
    /// Memory of the model from when its load was granted.
    memory_bytes: u64,
}

enum State {
    Unloaded,
    Loading { result: Loaded, thread: JoinHandle<()> },
    Loaded(Running),
}

/// A model that answers.
pub(super) struct Running {
    pub(super) reading: Arc<Reading>,
    pub(super) facts: Arc<ModelFacts>,
    pub(super) commands: Sender<Command>,
    permits: Arc<QueuePermits>,
    thread: Option<JoinHandle<()>>,
}

/// What is known of a model without loading it.
pub(super) enum Seen {
    Unloaded,
    Loading,
    Loaded(Arc<ModelFacts>),
}

/// A request's way in: a loaded model, or a load to wait for.
enum Entrance<T> {
    Open(T),
    Loading(Loaded),
}

impl Registry {
    pub(super) fn new(config: EngineConfig) -> Arc<Self> {
        Arc::new(Self {
            config,
            entries: Mutex::new(Entries { by_name: BTreeMap::new(), requests: 0, draining: false }),
            given_up: Arc::default(),
        })
    }

    /// Names a model. One that was loaded under this name before ends when it is idle.
    pub(super) fn register(&self, name: String, model: Model) {
        let entry =
            Entry { model: Arc::new(model), state: State::Unloaded, used: 0, memory_bytes: 0 };
        let replaced = self.lock().by_name.insert(name, entry);
        if let Some(Entry { state: State::Loaded(mut running), .. }) = replaced {
            running.send(Command::Drain);
            running.thread = None;
        }
    }

    /// Every model and its state, by name.
    pub(super) fn seen(&self) -> Vec<(String, Arc<Model>, Seen)> {
        let entries = self.lock();
        let seen = entries.by_name.iter().map(|(name, entry)| {
            let state = match &entry.state {
                State::Loaded(running) if running.is_alive() => {
                    Seen::Loaded(Arc::clone(&running.facts))
                }
                State::Loading { thread, .. } if !thread.is_finished() => Seen::Loading,
                State::Unloaded | State::Loading { .. } | State::Loaded(_) => Seen::Unloaded,
            };
            (name.clone(), Arc::clone(&entry.model), state)
        });
        seen.collect()
    }

    /// Loads the model if it is not, and calls `open` with it. The model stays loaded at least
    /// until `open` returns, and as long as a permit that `open` took is held.
    pub(super) async fn enter<T>(
        self: &Arc<Self>,
        name: &str,
        open: impl Fn(&Running) -> Result<T, EngineError>,
    ) -> Result<T, EngineError> {
        loop {
            let mut result = match self.try_enter(name, &open)? {
                Entrance::Open(opened) => return Ok(opened),
                Entrance::Loading(result) => result,
            };
            match result.wait_for(Option::is_some).await.as_deref() {
                Ok(Some(Err(error))) => return Err(error.clone()),
                Ok(Some(Ok(())) | None) => {}
                Err(_) => return Err(EngineError::Crashed),
            }
        }
    }

    fn try_enter<T>(
        self: &Arc<Self>,
        name: &str,
        open: impl Fn(&Running) -> Result<T, EngineError>,
    ) -> Result<Entrance<T>, EngineError> {
        let mut entries = self.lock();
        if entries.draining {
            return Err(EngineError::Stopping);
        }
        entries.requests += 1;
        let used = entries.requests;
        let entry = entries
            .by_name
            .get_mut(name)
            .ok_or_else(|| EngineError::UnknownModel { name: name.to_string() })?;
        entry.used = used;
        match &entry.state {
            State::Loaded(running) if running.is_alive() => open(running).map(Entrance::Open),
            State::Loading { result, thread } if !thread.is_finished() => {
                Ok(Entrance::Loading(result.clone()))
            }
            State::Unloaded | State::Loading { .. } | State::Loaded(_) => {
                let (state, result) = self.begin_load(name, &entry.model)?;
                entry.state = state;
                Ok(Entrance::Loading(result))
            }
        }
    }

    fn begin_load(
        self: &Arc<Self>,
        name: &str,
        model: &Arc<Model>,
    ) -> Result<(State, Loaded), EngineError> {
        let (ended, result) = watch::channel(None);
        let load = Load {
            registry: Arc::downgrade(self),
            config: self.config.clone(),
            given_up: Arc::clone(&self.given_up),
            name: name.to_string(),
            model: Arc::clone(model),
            ended,
        };
        let thread = std::thread::Builder::new()
            .name(format!("model {}", name.replace('\0', "")))
            .spawn(move || load.run())
            .map_err(|error| EngineError::LoadFailed { reason: error.to_string() })?;
        Ok((State::Loading { result: result.clone(), thread }, result))
    }

    /// Grants memory to a load, and ends idle models for it.
    fn make_room(&self, name: &str, memory_bytes: u64) -> Result<(), EngineError> {
        let mut entries = self.lock();
        let ended = entries.make_room(name, memory_bytes, self.config.memory_bytes_max)?;
        if let Some(entry) = entries.by_name.get_mut(name) {
            entry.memory_bytes = memory_bytes;
        }
        // Their threads need not be waited for under the lock.
        drop(entries);
        drop(ended);
        Ok(())
    }

    /// Takes in the end of the load on this thread, unless its entry was replaced meanwhile.
    fn end_load(&self, name: &str, running: Option<Running>) {
        let mut entries = self.lock();
        let Some(entry) = entries.by_name.get_mut(name) else { return };
        if !entry.is_loaded_here() {
            return;
        }
        let State::Loading { thread, .. } = std::mem::replace(&mut entry.state, State::Unloaded)
        else {
            return;
        };
        match running {
            Some(mut running) => {
                running.thread = Some(thread);
                entry.state = State::Loaded(running);
            }
            None => entry.memory_bytes = 0,
        }
    }

    /// Refuses what comes from now on, and returns the threads that answer what came before.
    pub(super) fn drain(&self) -> Vec<JoinHandle<()>> {
        self.given_up.store(true, Ordering::Relaxed);
        let mut entries = self.lock();
        entries.draining = true;
        let states = entries
            .by_name
            .values_mut()
            .map(|entry| std::mem::replace(&mut entry.state, State::Unloaded));
        let threads = states.filter_map(|state| match state {
            State::Unloaded => None,
            State::Loading { thread, .. } => Some(thread),
            State::Loaded(mut running) => {
                running.send(Command::Drain);
                running.thread.take()
            }
        });
        threads.collect()
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        // Every change is whole before anything that could panic.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.given_up.store(true, Ordering::Relaxed);
        let entries = self.entries.get_mut().unwrap_or_else(PoisonError::into_inner);
        for entry in std::mem::take(&mut entries.by_name).into_values() {
            if let State::Loading { thread, .. } = entry.state {
                join(thread);
            }
        }
    }
}

impl Entries {
    /// The idle models to end so that `name` fits, least recently used first.
    fn make_room(
        &mut self,
        name: &str,
        memory_bytes: u64,
        budget_bytes: u64,
    ) -> Result<Vec<State>, EngineError> {
        let others = self.by_name.iter().filter(|(other, _)| *other != name);
        let in_use: u64 = others.clone().map(|(_, entry)| entry.memory_bytes).sum();
        let mut idle: Vec<(u64, u64, String)> = others
            .filter(|(_, entry)| entry.is_idle())
            .map(|(other, entry)| (entry.used, entry.memory_bytes, other.clone()))
            .collect();
        idle.sort_unstable();
        let mut excess = (in_use.saturating_add(memory_bytes)).saturating_sub(budget_bytes);
        let mut ending = Vec::new();
        for (_, freed, other) in idle {
            if excess == 0 {
                break;
            }
            excess = excess.saturating_sub(freed);
            ending.push(other);
        }
        if excess > 0 {
            return Err(EngineError::NoRoom { needed_bytes: memory_bytes, budget_bytes });
        }
        let end = |other: String| {
            let entry = self.by_name.get_mut(&other).expect("it was just listed");
            entry.memory_bytes = 0;
            tracing::info!(model = other, "unloaded, its memory is needed");
            std::mem::replace(&mut entry.state, State::Unloaded)
        };
        Ok(ending.into_iter().map(end).collect())
    }
}

impl Entry {
    /// Whether this thread is the one that loads the model.
    fn is_loaded_here(&self) -> bool {
        match &self.state {
            State::Loading { thread, .. } => thread.thread().id() == std::thread::current().id(),
            State::Unloaded | State::Loaded(_) => false,
        }
    }

    fn is_idle(&self) -> bool {
        matches!(&self.state, State::Loaded(running) if running.permits.are_unused())
    }
}

impl Running {
    /// A permit for one request, unless the model is overloaded.
    pub(super) fn permit(&self) -> Option<QueuePermit> {
        self.permits.take()
    }

    fn is_alive(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    fn send(&self, command: Command) {
        // A thread that has ended needs no command.
        let _ = self.commands.send(command);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            self.send(Command::Stop);
            join(thread);
        }
    }
}

/// Waits for a thread, unless it is this one: the last handle of an engine may be dropped there.
fn join(thread: JoinHandle<()>) {
    if thread.thread().id() != std::thread::current().id() && thread.join().is_err() {
        tracing::error!("a model's thread panicked");
    }
}

/// What a model's thread needs to load it.
struct Load {
    registry: Weak<Registry>,
    config: EngineConfig,
    given_up: Arc<AtomicBool>,
    name: String,
    model: Arc<Model>,
    ended: watch::Sender<Option<Result<(), EngineError>>>,
}

impl Load {
    /// Loads the model and serves it until it is stopped.
    fn run(self) {
        let (facts, model) = match self.load() {
            Ok(loaded) => loaded,
            Err(error) => return self.end(Err(error)),
        };
        let (sender, receiver) = channel();
        let template = self.model.chat_template.clone();
        let model_facts = facts.clone();
        let ready = |reading: Result<Reading, EngineError>| {
            let running = reading.map(|reading| Running {
                reading: Arc::new(reading),
                permits: QueuePermits::new(facts.slots as usize + self.config.queue_max),
                facts: Arc::new(facts),
                commands: sender,
                thread: None,
            });
            self.end(running);
        };
        serve(&model, &model_facts, template.as_deref(), receiver, ready);
    }

    fn load(&self) -> Result<(ModelFacts, Arc<llama_cpp_2::model::LlamaModel>), EngineError> {
        let checked = Checked::new(&self.model.source, &self.config)?;
        let registry = self.registry.upgrade().ok_or(EngineError::Stopping)?;
        registry.make_room(&self.name, checked.facts.memory_bytes)?;
        drop(registry);
        let model = checked.load(&self.config, &self.given_up)?;
        Ok((checked.facts, model))
    }

    /// Reports how the load ended, first to the registry and then to those who wait.
    fn end(self, running: Result<Running, EngineError>) {
        let given_up = self.given_up.load(Ordering::Relaxed);
        let result = match &running {
            _ if given_up => Err(EngineError::Stopping),
            Ok(_) => Ok(()),
            Err(error) => Err(error.clone()),
        };
        match &result {
            Ok(()) => tracing::info!(model = self.name, "loaded"),
            Err(error) => tracing::warn!(model = self.name, %error, "not loaded"),
        }
        if let Some(registry) = self.registry.upgrade() {
            registry.end_load(&self.name, running.ok().filter(|_| !given_up));
        }
        self.ended.send_replace(Some(result));
    }
}
