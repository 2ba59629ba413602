//! What can go wrong with a model or with an answer, as facts that a caller can act on.

use std::path::PathBuf;

/// Why the engine cannot answer, or why an answer ended before its end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// No model of this name is registered.
    #[error("no local model is named `{name}`")]
    UnknownModel {
        /// The name asked for.
        name: String,
    },
    /// The model's file does not exist.
    #[error("the model file {} is missing", path.display())]
    Missing {
        /// Where it should be.
        path: PathBuf,
    },
    /// The model's file is there and cannot be read.
    #[error("the model file cannot be read: {reason}")]
    Unreadable {
        /// The operating system's error.
        reason: String,
    },
    /// The file is something else than a GGUF model.
    #[error("the file is not a GGUF model")]
    NotGguf,
    /// The file ends before its content does: a download that did not finish.
    #[error("the model file is truncated: it holds {actual_bytes} bytes of {needed_bytes}")]
    Truncated {
        /// Size that the header promises, or at least the bytes known to be missing.
        needed_bytes: u64,
        /// Size of the file.
        actual_bytes: u64,
    },
    /// The file is GGUF and states something that cannot be true or cannot be served.
    #[error("the model file is broken: {what}")]
    Broken {
        /// The first contradiction found.
        what: String,
    },
    /// llama.cpp refused the file.
    #[error("the model cannot be loaded: {reason}")]
    LoadFailed {
        /// The reason from llama.cpp's log.
        reason: String,
    },
    /// The model does not fit beside the models that are answering now.
    #[error("the model needs {needed_bytes} bytes of memory, the budget is {budget_bytes}")]
    NoRoom {
        /// Weights and KV cache of the model.
        needed_bytes: u64,
        /// What all loaded models together may use.
        budget_bytes: u64,
    },
    /// The prompt leaves no room for an answer.
    #[error("the prompt has {input} tokens and the context window is {window}")]
    ContextLength {
        /// Tokens of the prompt.
        input: u32,
        /// Tokens of prompt and answer together that the model can hold.
        window: u32,
    },
    /// The model's template makes nothing of the messages.
    #[error("the prompt is empty")]
    EmptyPrompt,
    /// Every slot is taken and the queue is full.
    #[error("the model is overloaded: {waiting} requests wait already")]
    Overloaded {
        /// The bound of the queue.
        waiting: usize,
    },
    /// The engine is shutting down.
    #[error("the engine is shutting down")]
    Stopping,
    /// llama.cpp could not compute the next token.
    #[error("decoding failed: {reason}")]
    Decode {
        /// llama.cpp's error.
        reason: String,
    },
    /// The model's thread died; the next request loads the model anew.
    #[error("the model's thread ended unexpectedly")]
    Crashed,
}
