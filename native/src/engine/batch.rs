//! The loop that owns a model's context: requests join and leave between decode steps.
//!
//! ```text
//!            +--------------------------------------------------------------+
//!            v                                                              |
//!   receive commands -> drop abandoned answers -> assign slots to the queue |
//!   (blocks while                                           |               |
//!    no slot wants)                                         v               |
//!                     choose and send tokens <- decode <- fill batch -------+
//! ```
//!
//! A step takes one token of every slot that knows all but its next, and then prompts, oldest
//! first, as far as the batch and the [`PromptBudget`] allow. A slot whose reader lags wants nothing
//! until there is room again, so it neither stalls the others nor gathers text.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError};
use std::time::Instant;

use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::llama_batch::LlamaBatch;
use llama_cpp_2::vocab::LlamaVocab;
use streamgate_core::chat::FinishReason;

use super::EngineError;
use super::generation::Chunk;
use super::llama;
use super::prompt_budget::PromptBudget;
use super::slot::{Job, Slot, Want};

/// What is sent to the loop.
pub(super) enum Command {
    /// A request.
    Run(Box<Job>),
    /// A reader has room again, or has left.
    Wake,
    /// Take no more, answer what is taken, and end.
    Drain,
    /// End at once.
    Stop,
}

/// Wakes the loop of a model.
pub(super) struct Wake(pub(super) Sender<Command>);

impl std::task::Wake for Wake {
    fn wake(self: Arc<Self>) {
        // A loop that has ended needs no waking.
        let _ = self.0.send(Command::Wake);
    }
}

/// How far the loop is on its way to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Serving,
    Draining,
    Stopped,
}

/// A slot's part of a step.
#[derive(Debug, Clone, Copy)]
struct Share {
    slot: usize,
    tokens: usize,
    /// Index in the batch of the share's last token.
    last: i32,
}

/// A model's slots, its queue and its context.
pub(super) struct BatchLoop<'m> {
    context: LlamaContext<'m>,
    vocabulary: LlamaVocab<'m>,
    batch: LlamaBatch<'static>,
    batch_tokens_max: usize,
    slots: Vec<Slot>,
    queue: VecDeque<Box<Job>>,
    commands: Receiver<Command>,
    phase: Phase,
    admissions: u64,
    prompt_budget: PromptBudget,
    shares: Vec<Share>,
    bytes: Vec<u8>,
}

impl<'m> BatchLoop<'m> {
    /// `slots` is the number of sequences that `context` was made for.
    pub(super) fn new(
        context: LlamaContext<'m>,
        vocabulary: LlamaVocab<'m>,
        slots: u32,
        commands: Receiver<Command>,
    ) -> Self {
        let batch_tokens_max = context.n_batch() as usize;
        Self {
            // Every token belongs to one sequence: more would be written past the batch's end.
            batch: LlamaBatch::new(batch_tokens_max, 1),
            batch_tokens_max,
            context,
            vocabulary,
            slots: (0..slots.cast_signed()).map(Slot::new).collect(),
            queue: VecDeque::new(),
            commands,
            phase: Phase::Serving,
            admissions: 0,
            prompt_budget: PromptBudget::default(),
            shares: Vec::new(),
            bytes: Vec::new(),
        }
    }

    /// Runs until it is stopped.
    pub(super) fn run(mut self) {
        while self.phase != Phase::Stopped {
            self.receive();
            self.drop_abandoned();
            self.assign_slots();
            self.fill();
            if !self.shares.is_empty() {
                self.step();
            }
        }
        self.refuse_all();
    }

    /// Applies the commands that have come, and waits for one if there is nothing else to do.
    fn receive(&mut self) {
        if self.is_done() {
            return self.phase = Phase::Stopped;
        }
        if !self.has_work() {
            match self.commands.recv() {
                Ok(command) => self.apply(command),
                Err(_) => return self.phase = Phase::Stopped,
            }
        }
        loop {
            match self.commands.try_recv() {
                Ok(command) => self.apply(command),
                Err(TryRecvError::Empty) => return,
                Err(TryRecvError::Disconnected) => return self.phase = Phase::Stopped,
            }
        }
    }

    fn has_work(&self) -> bool {
        let may_assign = !self.queue.is_empty() && self.slots.iter().any(Slot::is_free);
        may_assign || self.slots.iter().any(|slot| slot.want() != Want::Nothing)
    }

    fn is_done(&self) -> bool {
        self.phase == Phase::Draining
            && self.queue.is_empty()
            && self.slots.iter().all(Slot::is_free)
    }

    fn apply(&mut self, command: Command) {
        match (command, self.phase) {
            (Command::Run(job), Phase::Serving) => self.queue.push_back(job),
            (Command::Run(job), Phase::Draining | Phase::Stopped) => {
                job.sink.send(Chunk::Failed(EngineError::Stopping));
            }
            (Command::Wake, _) => {}
            (Command::Drain, Phase::Serving) => self.phase = Phase::Draining,
            (Command::Drain, Phase::Draining | Phase::Stopped) => {}
            (Command::Stop, _) => self.phase = Phase::Stopped,
        }
    }

    /// Frees what belongs to readers that left.
    fn drop_abandoned(&mut self) {
        for slot in self.slots.iter_mut().filter(|slot| slot.is_abandoned()) {
            slot.abandon();
        }
        self.queue.retain(|job| !job.sink.is_closed());
    }

    /// Gives free slots to the queue, in its order.
    fn assign_slots(&mut self) {
        while let Some(job) = self.queue.front() {
            let Some(index) = best_slot(&self.slots, job) else { return };
            let job = self.queue.pop_front().expect("the front was just seen");
            let slot = &mut self.slots[index];
            let reused = keep_prefix(&mut self.context, slot, &job);
            self.admissions += 1;
            slot.last_used = self.admissions;
            slot.begin(*job, reused);
        }
    }

    /// Makes the next batch and notes whose tokens are in it.
    fn fill(&mut self) {
        self.batch.clear();
        self.shares.clear();
        let mut prompts = Vec::new();
        for index in 0..self.slots.len() {
            match self.slots[index].want() {
                Want::Nothing => {}
                Want::Token => {
                    self.add(index, 1);
                }
                Want::Prompt => prompts.push(index),
            }
        }
        let answers = self.shares.len();
        let room = self.batch_tokens_max - answers;
        let mut room = room.min(self.prompt_budget.prompt_tokens(answers > 0));
        prompts.sort_unstable_by_key(|&index| self.slots[index].last_used);
        for index in prompts {
            room -= self.add(index, room);
        }
    }

    /// Adds at most `most` waiting tokens of a slot; returns how many.
    fn add(&mut self, index: usize, most: usize) -> usize {
        let slot = &self.slots[index];
        let waiting = slot.waiting(most);
        let tokens = waiting.len();
        for (token, position, wants_logits) in waiting {
            self.batch
                .add(token, position, &[slot.id], wants_logits)
                .expect("the step is planned within the batch");
        }
        if tokens > 0 {
            self.shares.push(Share { slot: index, tokens, last: self.batch.n_tokens() - 1 });
        }
        tokens
    }

    /// Decodes the batch, then chooses and sends the next tokens.
    fn step(&mut self) {
        let began = Instant::now();
        if let Err(error) = self.context.decode(&mut self.batch) {
            let reason = llama::first_error().unwrap_or_else(|| error.to_string());
            return self.fail_step(EngineError::Decode { reason });
        }
        // The first look at the logits would wait for the device; wait here, to see how long.
        self.context.synchronize();
        self.prompt_budget
            .learn(self.shares.iter().map(|share| share.tokens).sum(), began.elapsed());
        for index in 0..self.shares.len() {
            let share = self.shares[index];
            if self.slots[share.slot].decoded(share.tokens) {
                self.advance(share);
            }
        }
    }

    /// Chooses the next token of a slot and gives it the slot.
    fn advance(&mut self, share: Share) {
        let slot = &mut self.slots[share.slot];
        let Some(sampler) = slot.sampler() else { return };
        match sampler.next(&self.context, share.last) {
            None => {
                let reason = "the model computed something that is not a number".to_string();
                self.fail_slot(share.slot, EngineError::Decode { reason });
            }
            Some(token) if self.vocabulary.is_eog(token) => slot.finish(FinishReason::Stop, None),
            Some(token) => {
                self.bytes.clear();
                self.vocabulary.token_to_piece_into(token, &mut self.bytes, false, None);
                slot.push(token, &self.bytes);
            }
        }
    }

    fn fail_step(&mut self, error: EngineError) {
        tracing::warn!(%error, answers = self.shares.len(), "decode step failed");
        for index in 0..self.shares.len() {
            self.fail_slot(self.shares[index].slot, error.clone());
        }
    }

    /// Fails an answer and drops the cache of its slot, which nobody knows the state of.
    fn fail_slot(&mut self, index: usize, error: EngineError) {
        let slot = &mut self.slots[index];
        slot.fail(error);
        slot.forget();
        clear(&mut self.context, slot.id);
    }

    fn refuse_all(&mut self) {
        for slot in &mut self.slots {
            slot.fail(EngineError::Stopping);
        }
        for job in self.queue.drain(..) {
            job.sink.send(Chunk::Failed(EngineError::Stopping));
        }
        while let Ok(command) = self.commands.try_recv() {
            if let Command::Run(job) = command {
                job.sink.send(Chunk::Failed(EngineError::Stopping));
            }
        }
    }
}

/// The free slot whose conversation the job continues; if there is none, the one unused
/// longest. A few tokens in common, as of a shared template, are not worth another
/// conversation's cache.
fn best_slot(slots: &[Slot], job: &Job) -> Option<usize> {
    let free = slots.iter().enumerate().filter(|(_, slot)| slot.is_free());
    let worth = |slot: &Slot| {
        let reusable = slot.reusable(&job.prompt);
        if reusable * 2 >= slot.cached_tokens() { reusable } else { 0 }
    };
    free.max_by_key(|(_, slot)| (worth(slot), std::cmp::Reverse(slot.last_used)))
        .map(|(index, _)| index)
}

/// Leaves in the slot's cache what the job can use, and returns how many tokens that is.
fn keep_prefix(context: &mut LlamaContext<'_>, slot: &mut Slot, job: &Job) -> usize {
    let reusable = slot.reusable(&job.prompt);
    let from = u32::try_from(reusable).expect("within the window");
    // A recurrent state cannot be cut: then all of it goes.
    if reusable > 0 && context.kv_cache_seq_rm(slot.id, Some(from), None).is_ok() {
        return reusable;
    }
    clear(context, slot.id);
    0
}

/// Empties a sequence, which llama.cpp never refuses.
fn clear(context: &mut LlamaContext<'_>, sequence: i32) {
    if let Err(error) = context.kv_cache_seq_rm(sequence, None, None) {
        tracing::error!(%error, sequence, "the cache of a sequence could not be emptied");
    }
}
