//! Runs GGUF models on llama.cpp.
//!
//! An [`Engine`] knows models by name and loads them on first use. Each loaded model
//! has one thread that owns its llama.cpp context and answers many requests at once: they join
//! and leave the batch between decode steps. What a caller sees:
//!
//! ```no_run
//! # async fn example() -> Result<(), streamgate::engine::EngineError> {
//! use streamgate::engine::{Chunk, Engine, EngineConfig, Generate, Message, Model, Role};
//!
//! let engine = Engine::new(EngineConfig::default());
//! engine.register("tiny", Model::tiny());
//! let request = Generate::new(vec![Message::new(Role::User, "What is a token?")]);
//! let mut answer = engine.generate("tiny", request).await?;
//! while let Some(chunk) = answer.next().await {
//!     match chunk {
//!         Chunk::Text(text) => print!("{text}"),
//!         Chunk::Finish { reason, usage, .. } => println!("\n{reason:?}, {usage:?}"),
//!         Chunk::Failed(error) => println!("\n{error}"),
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! What it promises:
//!
//! - A [`Generation`] ends exactly once, with [`Chunk::Finish`] or [`Chunk::Failed`].
//! - Dropping it cancels: its slot is free before the next decode step.
//! - A slow reader holds up only its own answer, and a bounded part of it is kept.
//! - Text comes in whole characters, and nothing of a stop string is ever sent.
//! - The text of a message never becomes a control token of the model.
//! - Beyond the slots and a bounded queue, requests are refused with
//!   [`EngineError::Overloaded`].
//! - A file that is missing, truncated or broken is a typed error, not an abort.
//!
//! What it is not: it knows no HTTP, no protocols and no configuration files, and it retries
//! nothing.

use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::task::Waker;
use std::time::Instant;

use llama_cpp_2::token::LlamaToken;
use streamgate_core::chat::Sampling;

use batch::{Command, Wake};
use generation::generation;
use model::Reading;
use permits::QueuePermit;
use registry::{Registry, Running, Seen};
use sampling::Sampler;
use slot::Job;
use text::Text;

pub use error::EngineError;
pub use generation::{Chunk, Generation};
pub use gguf::Header;
pub use model::ModelFacts;
pub use prompt::{Message, Role};
pub use source::{ModelSource, TINY};

mod batch;
mod error;
mod generation;
pub mod gguf;
mod llama;
mod model;
mod permits;
mod prompt;
mod prompt_budget;
mod registry;
mod sampling;
mod slot;
mod source;
mod text;

/// The bounds of an engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineConfig {
    /// Answers that a model works on at once, 1 to 256.
    pub slots: u32,
    /// Requests per model that wait for a slot; beyond them the model is overloaded.
    pub queue_max: usize,
    /// Tokens of prompt and answer together, if the model allows as many.
    pub window_tokens_max: u32,
    /// The KV cache of one model; slots and then the window shrink to fit.
    pub kv_bytes_max: u64,
    /// Weights and KV caches of all loaded models; the least used idle ones are unloaded.
    pub memory_bytes_max: u64,
    /// Threads that compute; `None` takes the physical cores, and one for a small model.
    pub threads: Option<u32>,
    /// Layers to put on the GPU; `None` is as many as fit.
    pub gpu_layers: Option<u32>,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            slots: 8,
            queue_max: 64,
            window_tokens_max: 8192,
            kv_bytes_max: 2 << 30,
            memory_bytes_max: most_of_memory(),
            threads: None,
            gpu_layers: None,
        }
    }
}

/// Three quarters of the machine's memory, where the system reports how much there is.
fn most_of_memory() -> u64 {
    #[cfg(target_os = "linux")]
    {
        let system = rustix::system::sysinfo();
        let unit = u64::from(system.mem_unit).max(1);
        #[allow(clippy::useless_conversion, reason = "`totalram` is 32 bits wide on some targets")]
        let total = u64::from(system.totalram).saturating_mul(unit);
        total / 4 * 3
    }
    #[cfg(not(target_os = "linux"))]
    u64::MAX
}

/// A model that can be loaded.
#[derive(Debug, Clone)]
pub struct Model {
    /// Where its file is.
    pub source: ModelSource,
    /// The chat template, by the name that llama.cpp knows it by (`llama2`, `chatml`) or by its
    /// source; `None` takes the one in the file.
    pub chat_template: Option<String>,
}

impl Model {
    /// The model in `path`, with its own chat template.
    pub fn file(path: impl Into<std::path::PathBuf>) -> Self {
        Self { source: ModelSource::File(path.into()), chat_template: None }
    }

    /// The model that the program carries in itself.
    pub fn tiny() -> Self {
        Self { source: ModelSource::Embedded(TINY), chat_template: None }
    }
}

/// A model's name and state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelStatus {
    /// The name it is registered under.
    pub name: String,
    /// Whether it answers at once.
    pub state: ModelState,
}

/// Whether a model answers at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelState {
    /// Its file does not exist.
    Missing {
        /// Where the file should be.
        path: std::path::PathBuf,
    },
    /// The first request will load it.
    Unloaded,
    /// It is being loaded.
    Loading,
    /// It answers.
    Loaded(Arc<ModelFacts>),
}

/// A request for an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Generate {
    /// The conversation. If the last message is the assistant's, the answer continues it.
    pub messages: Vec<Message>,
    /// The longest answer; never more than the window leaves, and at least 1.
    pub max_output_tokens: Option<u32>,
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// Texts that end the answer and are not part of it.
    pub stop: Vec<String>,
}

impl Generate {
    /// A request with the model's usual sampling and no limit but the window.
    pub fn new(messages: Vec<Message>) -> Self {
        Self { messages, max_output_tokens: None, sampling: Sampling::default(), stop: Vec::new() }
    }
}

/// The models of this process. Clones are handles to the same engine; with the last of them the
/// engine ends, and answers that are still read fail with [`EngineError::Stopping`].
#[derive(Clone)]
pub struct Engine {
    registry: Arc<Registry>,
}

impl Engine {
    /// An engine without models. Nothing is started before a model is used.
    pub fn new(config: EngineConfig) -> Self {
        Self { registry: Registry::new(config) }
    }

    /// Names a model, in place of any that had the name. Its file need not exist yet.
    pub fn register(&self, name: impl Into<String>, model: Model) {
        self.registry.register(name.into(), model);
    }

    /// The registered models, by name.
    pub fn models(&self) -> Vec<ModelStatus> {
        let status = |(name, model, seen): (String, Arc<Model>, Seen)| {
            let state = match seen {
                Seen::Loaded(facts) => ModelState::Loaded(facts),
                Seen::Loading => ModelState::Loading,
                Seen::Unloaded => match &model.source {
                    ModelSource::File(path) if !path.exists() => {
                        ModelState::Missing { path: path.clone() }
                    }
                    ModelSource::File(_) | ModelSource::Embedded(_) => ModelState::Unloaded,
                },
            };
            ModelStatus { name, state }
        };
        self.registry.seen().into_iter().map(status).collect()
    }

    /// Loads a model, if it is not loaded already.
    ///
    /// # Errors
    /// Why it cannot be loaded.
    pub async fn load(&self, name: &str) -> Result<Arc<ModelFacts>, EngineError> {
        self.registry.enter(name, |running| Ok(Arc::clone(&running.facts))).await
    }

    /// Counts the tokens that the messages are for this model, with its template.
    ///
    /// # Errors
    /// Why the model cannot be loaded.
    pub async fn count_tokens(
        &self,
        name: &str,
        messages: Vec<Message>,
    ) -> Result<u32, EngineError> {
        let reading = self.registry.enter(name, |running| Ok(Arc::clone(&running.reading))).await?;
        let prompt = read(reading, messages).await?;
        Ok(u32::try_from(prompt.len()).unwrap_or(u32::MAX))
    }

    /// Begins an answer. It waits for the model if that must be loaded first, never for a slot.
    ///
    /// # Errors
    /// Why the model cannot be loaded; [`EngineError::Overloaded`];
    /// [`EngineError::ContextLength`].
    pub async fn generate(&self, name: &str, request: Generate) -> Result<Generation, EngineError> {
        let submitted = Instant::now();
        let waiting = self.registry.config.queue_max;
        let admit = |running: &Running| Admission::new(running, waiting);
        let admission = self.registry.enter(name, admit).await?;
        let prompt = read(Arc::clone(&admission.reading), request.messages).await?;
        let window = admission.facts.window_tokens;
        let input = u32::try_from(prompt.len()).unwrap_or(u32::MAX);
        let left = match window.checked_sub(input) {
            Some(left) if left > 0 => left,
            Some(_) | None => return Err(EngineError::ContextLength { input, window }),
        };
        let max_output_tokens = request.max_output_tokens.unwrap_or(left).clamp(1, left);
        let waker = Waker::from(Arc::new(Wake(admission.commands.clone())));
        let (sink, generation) = generation(waker, input, max_output_tokens);
        let job = Job {
            prompt,
            max_output_tokens,
            sampler: Sampler::new(&request.sampling, admission.reading.vocabulary(), window),
            text: Text::new(request.stop),
            sink,
            submitted,
            _permit: admission.permit,
        };
        let sent = admission.commands.send(Command::Run(Box::new(job)));
        sent.map(|()| generation).map_err(|_| EngineError::Stopping)
    }

    /// Refuses new requests, answers those that were taken on, and ends all threads.
    pub async fn drain(&self) {
        for thread in self.registry.drain() {
            let joined = tokio::task::spawn_blocking(move || thread.join()).await;
            if !matches!(joined, Ok(Ok(()))) {
                tracing::error!("a model's thread panicked");
            }
        }
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Engine").field("models", &self.models()).finish()
    }
}

/// A request's permit, and what it needs of the model.
struct Admission {
    reading: Arc<Reading>,
    facts: Arc<ModelFacts>,
    commands: Sender<Command>,
    permit: QueuePermit,
}

impl Admission {
    fn new(running: &Running, waiting: usize) -> Result<Self, EngineError> {
        let permit = running.permit().ok_or(EngineError::Overloaded { waiting })?;
        Ok(Self {
            reading: Arc::clone(&running.reading),
            facts: Arc::clone(&running.facts),
            commands: running.commands.clone(),
            permit,
        })
    }
}

/// Tokenises where a long text delays no one: neither the model's thread nor the runtime's.
async fn read(
    reading: Arc<Reading>,
    messages: Vec<Message>,
) -> Result<Vec<LlamaToken>, EngineError> {
    let prompt = tokio::task::spawn_blocking(move || reading.prompt(&messages)).await;
    let prompt = prompt.map_err(|_| EngineError::Crashed)??;
    if prompt.is_empty() { Err(EngineError::EmptyPrompt) } else { Ok(prompt) }
}

#[cfg(test)]
mod tests;
