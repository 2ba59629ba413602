//! One answer, as its reader sees it: text as it is made, then exactly one end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::sync::mpsc::Sender;
use std::task::{Context, Poll};

use tokio::sync::mpsc;

use super::EngineError;
use super::batch::Command;

/// What a reader may lag behind before the answer waits for it; few in tests, so that short
/// answers reach it.
const PIECES_MAX: usize = if cfg!(test) { 4 } else { 256 };
/// What a decode step sends at most: the text of its token, text that was held back, and the
/// end. A step begins only where so many places are free, so it can always send what it made.
const PIECES_PER_STEP: usize = 3;

/// A part of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// More text: whole characters, never empty.
    Text(String),
    /// The end of the answer.
    Finish {
        /// Why it ended.
        reason: FinishReason,
        /// What it cost.
        usage: Usage,
    },
    /// The end of an answer that could not be finished.
    Failed(EngineError),
}

/// Why an answer is complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FinishReason {
    /// The model ended its turn.
    Stop,
    /// This stop string came up; neither it nor what would follow is in the answer.
    StopString(String),
    /// The limit or the context window was reached.
    Length,
}

/// What an answer cost, counted by the model's own tokenizer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Tokens of the prompt, with its template.
    pub input_tokens: u32,
    /// Tokens of the answer, without the one that ends a turn.
    pub output_tokens: u32,
    /// Tokens of the prompt that were in the cache already, and not computed again.
    pub cached_tokens: u32,
}

/// An answer in the making. Dropping it cancels the answer before the next decode step.
#[derive(Debug)]
pub struct Generation {
    pieces: mpsc::Receiver<Piece>,
    parked: Arc<AtomicBool>,
    commands: Sender<Command>,
    input_tokens: u32,
    max_output_tokens: u32,
    ended: bool,
}

impl Generation {
    /// The next part; none after [`Piece::Finish`] or [`Piece::Failed`].
    pub async fn next(&mut self) -> Option<Piece> {
        std::future::poll_fn(|context| self.poll_next(context)).await
    }

    /// [`Generation::next`] for hand-written futures.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Piece>> {
        if self.ended {
            return Poll::Ready(None);
        }
        self.pieces.poll_recv(context).map(|piece| Some(self.took(piece)))
    }

    /// A part that is there already, for joining what is ready into one write.
    pub fn try_next(&mut self) -> Option<Piece> {
        if self.ended {
            return None;
        }
        match self.pieces.try_recv() {
            Ok(piece) => Some(self.took(Some(piece))),
            Err(mpsc::error::TryRecvError::Empty) => None,
            Err(mpsc::error::TryRecvError::Disconnected) => Some(self.took(None)),
        }
    }

    /// Tokens of the prompt.
    pub fn input_tokens(&self) -> u32 {
        self.input_tokens
    }

    /// The limit in force: what was asked for, or what the window leaves if that is less.
    pub fn max_output_tokens(&self) -> u32 {
        self.max_output_tokens
    }

    /// Notes the end, and tells the model's thread if it waited for this reader.
    fn took(&mut self, piece: Option<Piece>) -> Piece {
        let piece = piece.unwrap_or(Piece::Failed(EngineError::Crashed));
        match piece {
            Piece::Text(_) => {
                // Against the fence in `Sink::has_room`: either it sees the room that was just
                // made, or this sees its flag.
                fence(Ordering::SeqCst);
                if self.parked.swap(false, Ordering::Relaxed) {
                    self.wake();
                }
            }
            Piece::Finish { .. } | Piece::Failed(_) => self.ended = true,
        }
        piece
    }

    fn wake(&self) {
        // An ended thread needs no waking.
        let _ = self.commands.send(Command::Wake);
    }
}

impl Drop for Generation {
    fn drop(&mut self) {
        if !self.ended {
            self.pieces.close();
            self.wake();
        }
    }
}

/// The sending end of an answer.
#[derive(Debug)]
pub(super) struct Sink {
    pieces: mpsc::Sender<Piece>,
    parked: Arc<AtomicBool>,
}

/// Both ends of an answer whose prompt and limit are known.
pub(super) fn generation(
    commands: Sender<Command>,
    input_tokens: u32,
    max_output_tokens: u32,
) -> (Sink, Generation) {
    let (sender, receiver) = mpsc::channel(PIECES_MAX + PIECES_PER_STEP);
    let parked = Arc::new(AtomicBool::new(false));
    let sink = Sink { pieces: sender, parked: Arc::clone(&parked) };
    let generation = Generation {
        pieces: receiver,
        parked,
        commands,
        input_tokens,
        max_output_tokens,
        ended: false,
    };
    (sink, generation)
}

impl Sink {
    /// Whether the reader has left.
    pub(super) fn is_closed(&self) -> bool {
        self.pieces.is_closed()
    }

    /// Whether a decode step may run: there is room for all that it sends. If not, the reader
    /// will wake the thread.
    pub(super) fn has_room(&self) -> bool {
        if self.pieces.capacity() >= PIECES_PER_STEP {
            return true;
        }
        self.parked.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        // The reader may have made room before it could see the flag.
        self.pieces.capacity() >= PIECES_PER_STEP
    }

    /// Sends a part; [`Sink::has_room`] held before the step that made it.
    pub(super) fn send(&self, piece: Piece) {
        match self.pieces.try_send(piece) {
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => {}
            Err(mpsc::error::TrySendError::Full(_)) => {
                unreachable!("a step sends no more than the places kept for it")
            }
        }
    }
}
