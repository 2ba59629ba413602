//! The client of a scenario, in virtual time.

use std::collections::VecDeque;
use std::time::Duration;

use streamgate_core::answer::Head;
use streamgate_core::time::Instant;

use crate::answer::{self, Answer, Ending, Read, Reader};
use crate::scenario::{self, Leave, Pause};
use crate::world::{Moment, Reaction};

/// The client, as far as it reads and leaves.
pub(super) struct Client<'a> {
    script: &'a scenario::Client,
    began: Instant,
    reader: Reader,
    texts: usize,
    answer: Answer,
    /// When it stops reading, if it still will.
    pause: Option<Pause>,
    left: bool,
}

impl<'a> Client<'a> {
    pub(super) fn new(script: &'a scenario::Client, began: Instant) -> Self {
        let (reader, answer) = (Reader::new(script.protocol()), Answer::default());
        Self { script, began, reader, texts: 0, answer, pause: script.pause, left: false }
    }

    /// What it does by the clock.
    pub(super) fn moments(&self) -> VecDeque<(Instant, Moment)> {
        let leaves = match self.script.leave {
            Some(Leave::Ms(ms)) => Some(self.began + Duration::from_millis(ms)),
            Some(Leave::Texts(_)) | None => None,
        };
        leaves.map(|at| (at, Moment::Leave)).into_iter().collect()
    }

    /// The body that it sends.
    pub(super) fn body(&self) -> Vec<u8> {
        self.script.body_bytes()
    }

    pub(super) fn head(&mut self, head: Head) {
        let headers = head.headers.into_iter().map(|(name, value)| (name.to_string(), value));
        let head = answer::Head { status: head.status, headers: headers.collect() };
        self.answer.head = Some(head);
    }

    /// Takes in bytes.
    pub(super) fn read(&mut self, now: Instant, bytes: &[u8]) -> Reaction {
        if self.left {
            return Reaction::Read;
        }
        let at = now.since(self.began);
        self.answer.reads.push(Read { at, bytes: bytes.to_vec() });
        if self.script.leave.is_none() && self.pause.is_none() {
            return Reaction::Read;
        }
        let events = self.reader.read(at, bytes).unwrap_or_default();
        self.texts += events.iter().filter(|event| event.has_text()).count();
        if self.script.leave.is_some_and(|leave| leave.is_after(self.texts)) {
            return Reaction::Leave;
        }
        match self.pause.take_if(|pause| self.texts >= pause.texts) {
            Some(Pause { ms, .. }) => Reaction::PauseUntil(now + Duration::from_millis(ms)),
            None => Reaction::Read,
        }
    }

    pub(super) fn leave(&mut self, now: Instant) {
        self.left = true;
        self.answer.ending = Ending::Left;
        self.answer.ended = now.since(self.began);
    }

    pub(super) fn end(&mut self, now: Instant) {
        if !self.left {
            self.answer.ending = Ending::Complete;
            self.answer.ended = now.since(self.began);
        }
    }

    /// What it got.
    pub(super) fn over(self) -> Answer {
        self.answer
    }
}
