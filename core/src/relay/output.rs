//! What the relay wants done, in order. Text and frames wait in two reused buffers, so that
//! passing one through allocates nothing once the buffers have grown to an answer's usual step.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::ops::Range;

use super::{AttemptId, Call, Output, Sent, Settlement, Timer};
use crate::chat::{Event, FinishReason, ToolCall, Usage};
use crate::time::Instant;

/// How large a buffer is kept for the next step, in bytes.
const KEPT_BYTES_MAX: usize = 64 * 1024;

#[derive(Default)]
pub(super) struct Outputs {
    queue: VecDeque<Queued>,
    frames: Vec<u8>,
    text: String,
}

enum Queued {
    Call(Box<Call>),
    Cancel(AttemptId),
    Release(AttemptId),
    Original(Range<usize>),
    Start {
        id: Range<usize>,
        model: Range<usize>,
    },
    Text(Range<usize>),
    Reasoning(Range<usize>),
    Refusal(Range<usize>),
    ToolCall(Box<QueuedCall>),
    /// A fragment that only goes on with its call.
    Arguments {
        index: u32,
        more: Range<usize>,
    },
    Usage(Usage),
    Finish(FinishReason),
    Warning(Range<usize>),
    Settle(Box<Settlement>),
}

struct QueuedCall {
    index: u32,
    id: Option<Range<usize>>,
    name: Option<Range<usize>>,
    arguments: Range<usize>,
}

impl Outputs {
    pub(super) fn call(&mut self, call: Call) {
        self.queue.push_back(Queued::Call(Box::new(call)));
    }

    pub(super) fn cancel(&mut self, attempt: AttemptId) {
        self.queue.push_back(Queued::Cancel(attempt));
    }

    pub(super) fn release(&mut self, attempt: AttemptId) {
        self.queue.push_back(Queued::Release(attempt));
    }

    pub(super) fn settle(&mut self, settlement: Settlement) {
        self.queue.push_back(Queued::Settle(Box::new(settlement)));
    }

    /// A frame as it came; frames that follow each other become one.
    pub(super) fn original(&mut self, frame: &[u8]) {
        self.forget_read();
        let start = self.frames.len();
        self.frames.extend_from_slice(frame);
        match self.queue.back_mut() {
            Some(Queued::Original(last)) => last.end = self.frames.len(),
            _ if frame.is_empty() => {}
            _ => self.queue.push_back(Queued::Original(start..self.frames.len())),
        }
    }

    pub(super) fn event(&mut self, event: &Event<'_>) {
        self.forget_read();
        let queued = match event {
            Event::Start { id, model } => {
                Queued::Start { id: self.keep(id), model: self.keep(model) }
            }
            Event::Text(text) => Queued::Text(self.keep(text)),
            Event::Reasoning(text) => Queued::Reasoning(self.keep(text)),
            Event::Refusal(text) => Queued::Refusal(self.keep(text)),
            Event::ToolCall(ToolCall { index, id: None, name: None, arguments }) => {
                Queued::Arguments { index: *index, more: self.keep(arguments) }
            }
            Event::ToolCall(call) => Queued::ToolCall(Box::new(QueuedCall {
                index: call.index,
                id: call.id.as_ref().map(|id| self.keep(id)),
                name: call.name.as_ref().map(|name| self.keep(name)),
                arguments: self.keep(&call.arguments),
            })),
            Event::Usage(usage) => Queued::Usage(*usage),
            Event::Finish(reason) => Queued::Finish(*reason),
            Event::Warning(text) => Queued::Warning(self.keep(text)),
            // The provider's own frames tell it, or the usage at the end does.
            Event::Prompt(_) => return,
        };
        self.queue.push_back(queued);
    }

    /// The next thing to do, or what to wait for.
    pub(super) fn poll(&mut self, until: Option<(Instant, Timer)>) -> Output<'_> {
        let Some(next) = self.queue.pop_front() else { return Output::Wait { until } };
        let text = |range: Range<usize>| Cow::Borrowed(&self.text[range]);
        let event = match next {
            Queued::Call(call) => return Output::Call(*call),
            Queued::Cancel(attempt) => return Output::Cancel { attempt },
            Queued::Release(attempt) => return Output::Release { attempt },
            Queued::Settle(settlement) => return Output::Settle(settlement),
            Queued::Original(range) => return Output::Send(Sent::Original(&self.frames[range])),
            Queued::Start { id, model } => Event::Start { id: text(id), model: text(model) },
            Queued::Text(range) => Event::Text(text(range)),
            Queued::Reasoning(range) => Event::Reasoning(text(range)),
            Queued::Refusal(range) => Event::Refusal(text(range)),
            Queued::ToolCall(call) => Event::ToolCall(ToolCall {
                index: call.index,
                id: call.id.map(text),
                name: call.name.map(text),
                arguments: text(call.arguments),
            }),
            Queued::Arguments { index, more } => {
                Event::ToolCall(ToolCall { index, id: None, name: None, arguments: text(more) })
            }
            Queued::Usage(usage) => Event::Usage(usage),
            Queued::Finish(reason) => Event::Finish(reason),
            Queued::Warning(range) => Event::Warning(text(range)),
        };
        Output::Send(Sent::Event(event))
    }

    fn keep(&mut self, text: &str) -> Range<usize> {
        let start = self.text.len();
        self.text.push_str(text);
        start..self.text.len()
    }

    /// What was polled has been read by now: the buffers start again.
    fn forget_read(&mut self) {
        if self.queue.is_empty() {
            self.frames.clear();
            self.frames.shrink_to(KEPT_BYTES_MAX);
            self.text.clear();
            self.text.shrink_to(KEPT_BYTES_MAX);
        }
    }
}
