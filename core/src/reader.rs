//! A client's view of a retained answer: it starts at any position, in any protocol, and reads at its
//! own pace without slowing the answer down.
//!
//! A reader that joins late is first brought to its position: what came before is written and
//! dropped, because a protocol's later events refer to earlier ones. So what it is sent from there
//! on is, byte for byte, what a reader from the beginning is sent.

use std::fmt;

use crate::failure::{Failure, Reason};
use crate::journal::{Entry, Journal, JournalEnd, Wire};
use crate::protocol::Times;
use crate::relay::{Downstream, End};
use crate::response::{Calls, Head, Response, Timer};
use crate::time::Instant;

/// One reader of a kept answer.
pub struct Reader {
    response: Response,
    /// The number of the entry that is written next.
    position: u64,
    /// Bytes of content in the entries before it.
    bytes: usize,
    /// Forwarded frames are sent as they came.
    verbatim: bool,
    /// The response's opening is written.
    opened: bool,
    paused: bool,
    /// The response's end is written.
    over: bool,
}

/// What a shell is to do for a reader.
#[derive(Debug)]
pub enum Output<'a> {
    /// Send the response's head.
    Head(Head),
    /// Write these bytes of the response's body, in one write.
    Body(&'a [u8]),
    /// The response is over.
    Done,
    /// Nothing, until the answer has more or the time comes.
    Wait {
        /// The next deadline and its reason; `None`: wait for the answer or for [`Reader::resume`].
        until: Option<(Instant, Timer)>,
    },
}

/// The answer is no longer kept as far back as a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expired;

impl fmt::Display for Expired {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the answer is no longer kept as far back as this position")
    }
}

impl std::error::Error for Expired {}

impl Reader {
    /// A reader that is sent the answer from the entry of this number on; past the end of the log,
    /// whatever comes next.
    pub(crate) fn join(
        mut response: Response,
        journal: &Journal,
        position: u64,
    ) -> Result<Self, Expired> {
        if !journal.reaches(position) {
            return Err(Expired);
        }
        let wire = Wire { protocol: response.client(), stream: response.is_stream() };
        if position > 0 {
            // The answer has begun: whatever its end, this response is not an error's.
            response.begin();
        }
        let mut reader = Self {
            response,
            position: 0,
            bytes: 0,
            verbatim: wire == journal.wire(),
            opened: false,
            paused: false,
            over: false,
        };
        while reader.position < position && reader.step(journal) {
            reader.response.discard();
        }
        Ok(reader)
    }

    /// The number of the next entry: where a reader that leaves now joins again.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The client does not read for now.
    pub fn pause(&mut self) {
        self.paused = true;
    }

    /// The client reads again.
    pub fn resume(&mut self) {
        self.paused = false;
    }

    /// The next thing to do. Ends in [`Output::Wait`] or [`Output::Done`].
    pub(crate) fn poll(&mut self, now: Instant, journal: &Journal, calls: &Calls) -> Output<'_> {
        while !self.paused && !self.response.is_full() && self.step(journal) {}
        let silent = !self.paused && !journal.has_ended();
        if silent {
            self.response.heartbeat(now);
        }
        if let Some(head) = self.response.take_head(calls) {
            return Output::Head(head);
        }
        if self.response.has_body() {
            return Output::Body(self.response.take_body(now));
        }
        if self.over {
            return Output::Done;
        }
        Output::Wait { until: self.response.due().filter(|_| silent) }
    }

    /// Writes the next entry, or the end; `false` if there is none yet.
    fn step(&mut self, journal: &Journal) -> bool {
        if !self.opened && journal.has_begun() {
            self.opened = true;
            self.response.open();
        }
        if self.over {
            return false;
        }
        if self.position < journal.first() {
            self.write_snapshot(journal);
            return true;
        }
        if let Some(entry) = journal.entry(self.position) {
            self.write(entry);
        } else if let Some(end) = journal.end_at(self.position) {
            self.end(end, journal.wire());
        } else {
            return false;
        }
        self.position += 1;
        true
    }

    fn write(&mut self, entry: &Entry) {
        self.bytes += entry.content_bytes();
        match entry {
            Entry::Frames { bytes, .. } if self.verbatim => {
                self.response.forward(bytes, Vec::new());
            }
            Entry::Frames { .. } | Entry::Event(_) => {
                entry.events().iter().for_each(|event| self.response.event(event));
            }
        }
    }

    /// The reader has fallen behind the log: it is sent what it has missed in one event for each part
    /// of the answer, and events from then on, because frames would refer to frames that it was not
    /// sent.
    fn write_snapshot(&mut self, journal: &Journal) {
        self.verbatim = false;
        let Some(parts) = journal.snapshot() else { return self.cut_off() };
        let mut before = 0;
        for part in parts {
            if self.position <= part.from {
                self.response.event(&part.event);
            } else if self.position < part.to {
                self.response.event(&part.after(self.bytes - before));
            }
            before += part.event.content_bytes();
        }
        self.position = journal.first();
        self.bytes = before;
    }

    /// What the reader has missed is lost, so its response ends with an error instead of a gap.
    fn cut_off(&mut self) {
        let detail = "The client fell too far behind the answer.";
        let failure = Failure::new(Reason::AnswerTooLong, detail);
        self.response.end(&End::Failed(failure), false, Times::default());
        self.over = true;
    }

    fn end(&mut self, ending: &JournalEnd, wire: Wire) {
        let mut end = ending.end.clone();
        match &mut end {
            End::Failed(failure) if self.response.client() != wire.protocol => {
                failure.drop_original_body();
            }
            // Stopped by somebody else: this client still gets a response, if an empty one.
            End::Cancelled => self.response.begin(),
            End::Failed(_) | End::Finished(_) => {}
        }
        self.response.end(&end, ending.fallback, ending.times);
        self.over = true;
    }
}

#[cfg(test)]
mod tests;
