//! One sequence of the context: the tokens in its cache, and the answer that uses it now.

use std::time::Instant;

use llama_cpp_2::token::LlamaToken;
use streamgate_core::chat::{FinishReason, Usage};

use super::EngineError;
use super::generation::{Chunk, Sink};
use super::permits::QueuePermit;
use super::sampling::Sampler;
use super::text::{Added, Text};

/// A request on its way to a slot: tokenised, within the window, and counted.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) prompt: Vec<LlamaToken>,
    pub(super) max_output_tokens: u32,
    pub(super) sampler: Sampler,
    pub(super) text: Text,
    pub(super) sink: Sink,
    pub(super) submitted: Instant,
    pub(super) _permit: QueuePermit,
}

/// A sequence of the context.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) id: i32,
    /// The tokens of the sequence; while a run uses the slot, those after `cached` wait for
    /// their decode step.
    tokens: Vec<LlamaToken>,
    /// How many of the tokens are in the KV cache.
    cached: usize,
    run: Option<Run>,
    /// When a job last used the slot, in admissions; the oldest cache is given up first.
    pub(super) last_used: u64,
}

/// The answer that a slot works on.
#[derive(Debug)]
struct Run {
    job: Job,
    usage: Usage,
}

/// What a slot asks of the next decode step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Want {
    /// Nothing: no run, or its reader lags.
    Nothing,
    /// One token, to know the next.
    Token,
    /// A part of the prompt that is not in the cache yet.
    Prompt,
}

impl Slot {
    pub(super) fn new(id: i32) -> Self {
        Self { id, tokens: Vec::new(), cached: 0, run: None, last_used: 0 }
    }

    pub(super) fn is_free(&self) -> bool {
        self.run.is_none()
    }

    /// Whether the answer's reader has left.
    pub(super) fn is_abandoned(&self) -> bool {
        self.run.as_ref().is_some_and(|run| run.job.sink.is_closed())
    }

    pub(super) fn cached_tokens(&self) -> usize {
        self.cached
    }

    /// How much of a prompt the cache holds already. The last token is always computed, for its
    /// logits.
    pub(super) fn reusable(&self, prompt: &[LlamaToken]) -> usize {
        let cached = &self.tokens[..self.cached];
        let common = cached.iter().zip(prompt).take_while(|(a, b)| a == b).count();
        common.min(prompt.len().saturating_sub(1))
    }

    /// Takes a job whose first `reused` tokens are in the cache.
    pub(super) fn begin(&mut self, mut job: Job, reused: usize) {
        self.tokens = std::mem::take(&mut job.prompt);
        self.cached = reused;
        let count = |tokens| u32::try_from(tokens).expect("the prompt fits the window");
        let usage = Usage {
            input_tokens: count(self.tokens.len()),
            cached_tokens: count(reused),
            ..Usage::default()
        };
        self.run = Some(Run { job, usage });
    }

    pub(super) fn want(&self) -> Want {
        match &self.run {
            Some(run) if run.job.sink.has_room() => match self.tokens.len() - self.cached {
                1 => Want::Token,
                _ => Want::Prompt,
            },
            Some(_) | None => Want::Nothing,
        }
    }

    /// At most `most` of the tokens that wait, each with its position and whether it is the last
    /// of all, whose logits choose the next.
    pub(super) fn waiting(
        &self,
        most: usize,
    ) -> impl ExactSizeIterator<Item = (LlamaToken, i32, bool)> {
        let count = most.min(self.tokens.len() - self.cached);
        let waiting = &self.tokens[self.cached..self.cached + count];
        waiting.iter().enumerate().map(|(offset, token)| {
            let index = self.cached + offset;
            let position = i32::try_from(index).expect("within the window");
            (*token, position, index + 1 == self.tokens.len())
        })
    }

    /// Notes that `count` tokens are decoded; true if the next token can be chosen now.
    pub(super) fn decoded(&mut self, count: usize) -> bool {
        self.cached += count;
        self.cached == self.tokens.len()
    }

    pub(super) fn sampler(&mut self) -> Option<&mut Sampler> {
        self.run.as_mut().map(|run| &mut run.job.sampler)
    }

    /// Takes the next token and its bytes; the run may end with it.
    pub(super) fn push(&mut self, token: LlamaToken, bytes: &[u8]) {
        let Some(run) = &mut self.run else { return };
        self.tokens.push(token);
        run.usage.output_tokens += 1;
        match run.job.text.push(bytes) {
            Added::Text(text) => {
                run.send_text(text);
                if run.usage.output_tokens >= run.job.max_output_tokens {
                    self.finish(FinishReason::Length, None);
                }
            }
            Added::Stopped { text, stop } => {
                run.send_text(text);
                self.finish(FinishReason::Stop, Some(stop));
            }
        }
    }

    /// Ends the run, at this stop string if one came up; its cache stays for the next.
    pub(super) fn finish(&mut self, reason: FinishReason, stop: Option<String>) {
        let Some(mut run) = self.release() else { return };
        // What was held back in case a stop string came.
        if stop.is_none() {
            let rest = run.job.text.finish();
            run.send_text(rest);
        }
        tracing::debug!(?reason, usage = ?run.usage, took = ?run.job.submitted.elapsed(), "answered");
        run.job.sink.send(Chunk::Finish { reason, stop, usage: run.usage });
    }

    /// Ends the run with an error, if there is one.
    pub(super) fn fail(&mut self, error: EngineError) {
        if let Some(run) = self.release() {
            run.job.sink.send(Chunk::Failed(error));
        }
    }

    /// Forgets the cache, after llama.cpp lost it.
    pub(super) fn forget(&mut self) {
        self.tokens.clear();
        self.cached = 0;
    }

    /// Ends the run silently: its reader has left.
    pub(super) fn abandon(&mut self) {
        self.release();
    }

    fn release(&mut self) -> Option<Run> {
        self.tokens.truncate(self.cached);
        self.run.take()
    }
}

impl Run {
    fn send_text(&self, text: String) {
        if !text.is_empty() {
            self.job.sink.send(Chunk::Text(text));
        }
    }
}
