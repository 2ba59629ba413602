//! What has been handed on to the client, and what waits to be.

use super::output::Outputs;
use crate::chat::Event;
use crate::failure::{Failure, Reason};
use crate::time::Instant;

#[derive(Default)]
pub(super) struct Delivery {
    pub(super) outputs: Outputs,
    /// Events with content.
    pub(super) chunks: u64,
    /// Bytes of content.
    pub(super) bytes: usize,
    /// When the first content came.
    pub(super) first: Option<Instant>,
}

impl Delivery {
    /// Whether the client was given content: from then on nothing can be taken back.
    pub(super) fn has_content(&self) -> bool {
        self.first.is_some()
    }

    /// Counts an event's content.
    pub(super) fn count(&mut self, now: Instant, event: &Event<'_>) {
        self.chunks += 1;
        self.bytes += content_bytes(event);
        self.first.get_or_insert(now);
    }

    /// Whether the content so far keeps the bound.
    pub(super) fn check(&self, answer_bytes_max: usize) -> Result<(), Failure> {
        if self.bytes <= answer_bytes_max {
            return Ok(());
        }
        let detail = format!("The answer is longer than {answer_bytes_max} bytes.");
        Err(Failure::new(Reason::AnswerTooLong, detail))
    }
}

fn content_bytes(event: &Event<'_>) -> usize {
    match event {
        Event::Text(text) | Event::Reasoning(text) | Event::Refusal(text) => text.len(),
        Event::ToolCall(call) => call.arguments.len(),
        Event::Start { .. } | Event::Usage(_) | Event::Finish(_) => 0,
    }
}
