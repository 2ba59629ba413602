//! One answer, as its reader sees it: text as it is made, then exactly one end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::task::{Context, Poll, Waker};

use streamgate_core::chat::{FinishReason, Usage};
use tokio::sync::mpsc;

use super::EngineError;

/// What a reader may lag behind before the answer waits for it; few in tests, so that short
/// answers reach it.
const CHUNKS_MAX: usize = if cfg!(test) { 4 } else { 256 };
/// What a decode step sends at most: the text of its token, text that was held back, and the
/// end. A step begins only where so many places are free, so it can always send what it made.
const CHUNKS_PER_STEP: usize = 3;

/// A part of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chunk {
    /// More text: whole characters, never empty.
    Text(String),
    /// The end of the answer.
    Finish {
        /// Why it ended.
        reason: FinishReason,
        /// The stop string that came up; neither it nor what would follow is in the answer.
        stop: Option<String>,
        /// What it cost.
        usage: Usage,
    },
    /// The end of an answer that could not be finished.
    Failed(EngineError),
}

/// An answer in the making. Dropping it cancels the answer before the next decode step.
#[derive(Debug)]
pub struct Generation {
    chunks: mpsc::Receiver<Chunk>,
    parked: Arc<AtomicBool>,
    /// Of the model's thread.
    waker: Waker,
    input_tokens: u32,
    max_output_tokens: u32,
    ended: bool,
}

impl Generation {
    /// The next part; none after [`Chunk::Finish`] or [`Chunk::Failed`].
    pub async fn next(&mut self) -> Option<Chunk> {
        std::future::poll_fn(|context| self.poll_next(context)).await
    }

    /// [`Generation::next`] for hand-written futures.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Chunk>> {
        if self.ended {
            return Poll::Ready(None);
        }
        self.chunks.poll_recv(context).map(|chunk| Some(self.took(chunk)))
    }

    /// Tokens of the prompt.
    pub fn input_tokens(&self) -> u32 {
        self.input_tokens
    }

    /// The limit in force: what was asked for, or what the window leaves if that is less.
    pub fn max_output_tokens(&self) -> u32 {
        self.max_output_tokens
    }

    /// Records the end, and wakes the model's thread if it waited for this reader.
    fn took(&mut self, chunk: Option<Chunk>) -> Chunk {
        let chunk = chunk.unwrap_or(Chunk::Failed(EngineError::Crashed));
        match chunk {
            Chunk::Text(_) => {
                // Against the fence in `Sink::has_room`: either it sees the room that was just
                // made, or this sees its flag.
                fence(Ordering::SeqCst);
                if self.parked.swap(false, Ordering::Relaxed) {
                    self.waker.wake_by_ref();
                }
            }
            Chunk::Finish { .. } | Chunk::Failed(_) => self.ended = true,
        }
        chunk
    }
}

impl Drop for Generation {
    fn drop(&mut self) {
        if !self.ended {
            self.chunks.close();
            self.waker.wake_by_ref();
        }
    }
}

/// The sending end of an answer.
#[derive(Debug)]
pub(super) struct Sink {
    chunks: mpsc::Sender<Chunk>,
    parked: Arc<AtomicBool>,
}

/// Both ends of an answer whose prompt and limit are known.
pub(super) fn generation(
    waker: Waker,
    input_tokens: u32,
    max_output_tokens: u32,
) -> (Sink, Generation) {
    let (sender, receiver) = mpsc::channel(CHUNKS_MAX + CHUNKS_PER_STEP);
    let parked = Arc::new(AtomicBool::new(false));
    let sink = Sink { chunks: sender, parked: Arc::clone(&parked) };
    let generation = Generation {
        chunks: receiver,
        parked,
        waker,
        input_tokens,
        max_output_tokens,
        ended: false,
    };
    (sink, generation)
}

impl Sink {
    /// Whether the reader has left.
    pub(super) fn is_closed(&self) -> bool {
        self.chunks.is_closed()
    }

    /// Whether a decode step may run: there is room for all that it sends. If not, the reader
    /// will wake the thread.
    pub(super) fn has_room(&self) -> bool {
        if self.chunks.capacity() >= CHUNKS_PER_STEP {
            return true;
        }
        self.parked.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        // The reader may have made room before it could see the flag.
        self.chunks.capacity() >= CHUNKS_PER_STEP
    }

    /// Sends a part; [`Sink::has_room`] held before the step that made it.
    pub(super) fn send(&self, chunk: Chunk) {
        match self.chunks.try_send(chunk) {
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => {}
            Err(mpsc::error::TrySendError::Full(_)) => {
                unreachable!("a step sends no more than the places kept for it")
            }
        }
    }
}
