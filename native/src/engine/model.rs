//! Loads one model and decides the size of its context.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;

use llama_cpp_2::context::params::LlamaContextParams;
use llama_cpp_2::llama_batch::LlamaBatch;
use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::model::params::LlamaModelParams;
use llama_cpp_2::token::LlamaToken;

use super::batch::{BatchLoop, Command};
use super::gguf::Header;
use super::prompt::{Dialect, Message};
use super::source::{ModelSource, OpenSource};
use super::{EngineConfig, EngineError, gguf, llama};

/// Tokens of a decode step at most.
const BATCH_TOKENS: u32 = 512;
/// llama.cpp rounds windows up to a multiple of this.
const WINDOW_STEP_TOKENS: u32 = 256;
/// The most sequences that llama.cpp keeps in one context (`LLAMA_MAX_SEQ`).
pub(super) const SLOTS_MAX: u32 = 256;
/// Models up to this size run on one thread: handing a step out costs more than it saves.
const ONE_THREAD_BYTES_MAX: u64 = 64 << 20;
/// More threads than this wait for memory, not for each other.
const THREADS_MAX: usize = 8;

/// What a loaded model is and can hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelFacts {
    /// The file's header.
    pub header: Header,
    /// Tokens of prompt and answer together.
    pub window_tokens: u32,
    /// Answers at once.
    pub slots: u32,
    /// Threads that compute.
    pub threads: u32,
    /// Weights and KV cache.
    pub memory_bytes: u64,
}

impl ModelFacts {
    /// Fits the context into the configured bounds: fewer slots first, then a smaller window.
    fn new(header: Header, config: &EngineConfig) -> Self {
        let mut slots = config.slots.clamp(1, SLOTS_MAX);
        let mut window_tokens = header.window_tokens.min(config.window_tokens_max.max(1));
        let kv_bytes = |slots: u32, window: u32| {
            let window = u64::from(window.next_multiple_of(WINDOW_STEP_TOKENS));
            header.kv_bytes_per_token.saturating_mul(window).saturating_mul(slots.into())
        };
        while slots > 1 && kv_bytes(slots, window_tokens) > config.kv_bytes_max {
            slots -= 1;
        }
        while window_tokens > WINDOW_STEP_TOKENS
            && kv_bytes(slots, window_tokens) > config.kv_bytes_max
        {
            window_tokens = (window_tokens / 2).max(WINDOW_STEP_TOKENS);
        }
        Self {
            window_tokens,
            slots,
            threads: config.threads.unwrap_or_else(|| default_threads(header.file_bytes)).max(1),
            memory_bytes: header.file_bytes.saturating_add(kv_bytes(slots, window_tokens)),
            header,
        }
    }

    fn context_params(&self) -> LlamaContextParams {
        let threads = i32::try_from(self.threads).unwrap_or(i32::MAX);
        let window = self.window_tokens.next_multiple_of(WINDOW_STEP_TOKENS);
        let batch = BATCH_TOKENS.max(self.slots);
        LlamaContextParams::default()
            .with_n_ctx(std::num::NonZeroU32::new(window.saturating_mul(self.slots)))
            .with_n_seq_max(self.slots)
            .with_n_batch(batch)
            .with_n_ubatch(batch)
            .with_n_threads(threads)
            .with_n_threads_batch(threads)
            // A cache of its own for each sequence: sharing one is slower at many streams.
            .with_kv_unified(false)
            // The whole window of sliding-window layers, so that a prefix can be used again.
            .with_swa_full(true)
            .with_no_perf(true)
    }
}

/// The machine's cores, or one for a small model.
fn default_threads(file_bytes: u64) -> u32 {
    if file_bytes <= ONE_THREAD_BYTES_MAX {
        return 1;
    }
    let allowed = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = num_cpus::get_physical().min(allowed).min(THREADS_MAX);
    u32::try_from(threads).expect("bounded above")
}

/// The part of a loaded model that any thread may use: its vocabulary and its dialect.
#[derive(Debug)]
pub(super) struct Reading {
    model: Arc<LlamaModel>,
    dialect: Dialect,
}

impl Reading {
    /// The prompt of a conversation.
    pub(super) fn prompt(&self, messages: &[Message]) -> Result<Vec<LlamaToken>, EngineError> {
        self.dialect.tokens(&self.model, messages)
    }

    /// Size of the vocabulary.
    pub(super) fn vocabulary(&self) -> i32 {
        self.model.n_vocab()
    }
}

/// A model's file, open and checked, whose memory is known.
pub(super) struct Checked {
    source: OpenSource,
    pub(super) facts: ModelFacts,
}

impl Checked {
    pub(super) fn new(source: &ModelSource, config: &EngineConfig) -> Result<Self, EngineError> {
        let source = source.open()?;
        let header = gguf::check(&source.file, source.bytes)?;
        Ok(Self { facts: ModelFacts::new(header, config), source })
    }

    /// Loads the weights. Setting `given_up` ends the load early.
    pub(super) fn load(
        &self,
        config: &EngineConfig,
        given_up: &Arc<AtomicBool>,
    ) -> Result<Arc<LlamaModel>, EngineError> {
        let given_up = Arc::clone(given_up);
        let mut params = LlamaModelParams::default()
            .with_progress_callback(move |_| !given_up.load(Ordering::Relaxed));
        if let Some(layers) = config.gpu_layers {
            params = params.with_n_gpu_layers(layers);
        }
        let _alone = llama::loading();
        llama::first_error();
        LlamaModel::load_from_file(llama::backend(), &self.source.path, &params)
            .map(Arc::new)
            .map_err(|error| load_failed(&error))
    }
}

/// Makes the context and runs it until it is stopped. `ready` is called once, before the
/// first command is received, with what other threads need or with why there is no context.
pub(super) fn serve(
    model: &Arc<LlamaModel>,
    facts: &ModelFacts,
    template: Option<&str>,
    commands: Receiver<Command>,
    ready: impl FnOnce(Result<Reading, EngineError>),
) {
    let dialect = match Dialect::new(model, template) {
        Ok(dialect) => dialect,
        Err(error) => return ready(Err(error)),
    };
    let context = {
        let _alone = llama::loading();
        llama::first_error();
        model
            .new_context(llama::backend(), facts.context_params())
            .map_err(|error| load_failed(&error))
    };
    let mut context = match context {
        Ok(context) => context,
        Err(error) => return ready(Err(error)),
    };
    if let Err(error) = try_out(model, &mut context) {
        return ready(Err(error));
    }
    ready(Ok(Reading { model: Arc::clone(model), dialect }));
    BatchLoop::new(context, model.vocab(), facts.slots, commands).run();
}

/// Decodes one token, so that a model that cannot decode fails while it is loaded, and so that
/// the first request does not pay for pages that are not read yet.
fn try_out(
    model: &LlamaModel,
    context: &mut llama_cpp_2::context::LlamaContext<'_>,
) -> Result<(), EngineError> {
    let mut batch = LlamaBatch::new(1, 1);
    let bos = model.vocab().bos();
    let token = if bos.0 >= 0 { bos } else { LlamaToken::new(0) };
    batch.add(token, 0, &[0], true).expect("the batch has room for one");
    context.decode(&mut batch).map_err(|error| load_failed(&error))?;
    if context.get_logits_ith(0).iter().any(|logit| logit.is_nan()) {
        let reason = "the weights are not numbers".to_string();
        return Err(EngineError::LoadFailed { reason });
    }
    context.clear_kv_cache();
    Ok(())
}

fn load_failed(error: &dyn std::error::Error) -> EngineError {
    let reason = llama::first_error().unwrap_or_else(|| error.to_string());
    EngineError::LoadFailed { reason }
}
