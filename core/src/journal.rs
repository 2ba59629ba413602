//! A kept answer as a log of numbered entries, from which readers are served.
//!
//! Entries are numbered from 0, in no client's protocol, so a number means the same token to every
//! reader. An entry is one event, or frames that the relay forwarded as they came, together with
//! the events they mean: a reader of the same protocol is sent the frames, any other the events.
//!
//! The log is bounded. Beyond its bound the oldest entries are merged into a snapshot of their
//! content, from which a reader that has fallen behind is still sent everything it has missed, in one
//! event for each part of the answer.

use std::borrow::Cow;
use std::collections::VecDeque;

use crate::chat::{Event, ToolCall};
use crate::protocol::{ClientProtocol, Times};
use crate::relay::{Downstream, End};

/// How many entries are kept.
const ENTRIES_MAX: usize = 16 * 1024;
/// How many bytes of frames and content they have; a single entry may have more.
const BYTES_MAX: usize = 4 * 1024 * 1024;
/// How many parts a snapshot has. An answer that alternates more often between text, reasoning and
/// calls loses its snapshot: readers that fall behind are cut off then.
const PARTS_MAX: usize = 1024;

/// The log of one answer.
#[derive(Debug)]
pub(crate) struct Journal {
    wire: Wire,
    bounds: Bounds,
    /// The number of the oldest entry.
    first: u64,
    entries: VecDeque<Entry>,
    bytes: usize,
    /// The first target may be called: responses can be opened.
    begun: bool,
    /// The content of the entries before `first`; `None` once it had too many parts.
    snapshot: Option<Vec<Part>>,
    end: Option<JournalEnd>,
}

/// What forwarded frames are written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wire {
    pub(crate) protocol: ClientProtocol,
    /// Events of a stream, not the body of one response.
    pub(crate) stream: bool,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) entries_max: usize,
    pub(crate) bytes_max: usize,
}

#[derive(Debug)]
pub(crate) enum Entry {
    Event(Event<'static>),
    Frames { bytes: Box<[u8]>, events: Vec<Event<'static>> },
}

/// Adjacent events of one kind, merged.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) event: Event<'static>,
    /// The numbers of the entries that it comes from: from the first to the one after the last.
    pub(crate) from: u64,
    pub(crate) to: u64,
}

/// How the answer ended. It has the number after the last entry's.
#[derive(Clone, Debug)]
pub(crate) struct JournalEnd {
    pub(crate) end: End,
    pub(crate) fallback: bool,
    pub(crate) times: Times,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { entries_max: ENTRIES_MAX, bytes_max: BYTES_MAX }
    }
}

impl Journal {
    /// The empty journal of an answer that has just begun.
    pub(crate) fn new(wire: Wire, bounds: Bounds) -> Self {
        Self {
            wire,
            bounds,
            first: 0,
            entries: VecDeque::new(),
            bytes: 0,
            begun: false,
            snapshot: Some(Vec::new()),
            end: None,
        }
    }

    pub(crate) fn wire(&self) -> Wire {
        self.wire
    }

    /// The number of the oldest entry that is still in the log.
    pub(crate) fn first(&self) -> u64 {
        self.first
    }

    /// The entry of this number, if there is one in the log.
    pub(crate) fn entry(&self, number: u64) -> Option<&Entry> {
        let index = number.checked_sub(self.first)?;
        self.entries.get(usize::try_from(index).ok()?)
    }

    /// The content of the entries before [`Self::first`]; `None` once it had too many parts.
    pub(crate) fn snapshot(&self) -> Option<&[Part]> {
        self.snapshot.as_deref()
    }

    /// The answer's end, if it has ended and this is its number.
    pub(crate) fn end_at(&self, number: u64) -> Option<&JournalEnd> {
        self.end.as_ref().filter(|_| number == self.first + self.entries.len() as u64)
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.end.is_some()
    }

    /// Whether a reader can begin at this number: at the answer's beginning, or at an entry that is in
    /// the log or still to come. Within the snapshot the entries are no longer separate.
    pub(crate) fn reaches(&self, number: u64) -> bool {
        number >= self.first || (number == 0 && self.snapshot.is_some())
    }

    /// The answer is admitted and begins.
    pub(crate) fn begin(&mut self) {
        self.begun = true;
    }

    pub(crate) fn has_begun(&self) -> bool {
        self.begun
    }

    /// The answer is over.
    pub(crate) fn end(&mut self, end: End, fallback: bool, times: Times) {
        self.end = Some(JournalEnd { end, fallback, times });
    }

    fn push(&mut self, entry: Entry) {
        self.bytes += entry.bytes();
        self.entries.push_back(entry);
        // The last one stays however long it is, so that a reader that keeps up is sent it as it is.
        while self.entries.len() > 1 && self.is_over_bounds() {
            self.merge_oldest();
        }
    }

    fn is_over_bounds(&self) -> bool {
        self.entries.len() > self.bounds.entries_max || self.bytes > self.bounds.bytes_max
    }

    /// Moves the oldest entry into the snapshot.
    fn merge_oldest(&mut self) {
        let Some(entry) = self.entries.pop_front() else { return };
        self.bytes -= entry.bytes();
        let number = self.first;
        self.first += 1;
        let events = match entry {
            Entry::Event(event) => vec![event],
            Entry::Frames { events, .. } => events,
        };
        let Some(parts) = &mut self.snapshot else { return };
        for event in events {
            merge(parts, event, number);
        }
        if parts.len() > PARTS_MAX {
            self.snapshot = None;
        }
    }
}

impl Downstream for Journal {
    fn forward(&mut self, frames: &[u8], events: Vec<Event<'static>>) {
        self.push(Entry::Frames { bytes: frames.into(), events });
    }

    fn event(&mut self, event: &Event<'_>) {
        self.push(Entry::Event(event.clone().into_owned()));
    }
}

impl Entry {
    /// The events it means, in order.
    pub(crate) fn events(&self) -> &[Event<'static>] {
        match self {
            Self::Event(event) => std::slice::from_ref(event),
            Self::Frames { events, .. } => events,
        }
    }

    /// Bytes of content.
    pub(crate) fn content_bytes(&self) -> usize {
        self.events().iter().map(Event::content_bytes).sum()
    }

    fn bytes(&self) -> usize {
        let frames = match self {
            Self::Event(_) => 0,
            Self::Frames { bytes, .. } => bytes.len(),
        };
        frames + self.content_bytes()
    }
}

impl Part {
    /// What a reader that was sent `bytes` of its content has not been sent yet.
    pub(crate) fn after(&self, bytes: usize) -> Event<'_> {
        match &self.event {
            Event::Text(text) => Event::Text(after(text, bytes)),
            Event::Reasoning(text) => Event::Reasoning(after(text, bytes)),
            Event::Refusal(text) => Event::Refusal(after(text, bytes)),
            // Its identifier and its name came with the first of its entries.
            Event::ToolCall(call) => Event::ToolCall(ToolCall {
                index: call.index,
                id: None,
                name: None,
                arguments: after(&call.arguments, bytes),
            }),
            Event::Start { .. }
            | Event::Other(_)
            | Event::Prompt(_)
            | Event::Usage(_)
            | Event::Finish(_)
            | Event::Warning(_) => self.event.clone(),
        }
    }
}

fn after(text: &str, bytes: usize) -> Cow<'_, str> {
    text.get(bytes..).unwrap_or("").into()
}

/// Adds the event of the entry of this number to the last part, if that is of its kind.
fn merge(parts: &mut Vec<Part>, event: Event<'static>, number: u64) {
    if let Some(last) = parts.last_mut()
        && append(&mut last.event, &event)
    {
        last.to = number + 1;
        return;
    }
    parts.push(Part { event, from: number, to: number + 1 });
}

/// Appends `more` to an event of the same part of the answer; `false` if it belongs to another.
fn append(event: &mut Event<'static>, more: &Event<'_>) -> bool {
    match (event, more) {
        (Event::Text(text), Event::Text(more))
        | (Event::Reasoning(text), Event::Reasoning(more))
        | (Event::Refusal(text), Event::Refusal(more)) => text.to_mut().push_str(more),
        (Event::ToolCall(call), Event::ToolCall(more))
            if call.index == more.index && more.id.is_none() && more.name.is_none() =>
        {
            call.arguments.to_mut().push_str(&more.arguments);
        }
        (Event::Other(_), Event::Other(_)) => {}
        _ => return false,
    }
    true
}

#[cfg(test)]
mod tests;
