//! What has been handed on to the client, and what waits to be.

use super::output::Outputs;
use crate::chat::Event;
use crate::failure::{Failure, Reason};
use crate::limit::{Length, tokens};
use crate::splice::Splice;
use crate::time::Instant;

pub(super) struct Delivery {
    pub(super) outputs: Outputs,
    answer_bytes_max: usize,
    /// Events with content.
    pub(super) chunks: u64,
    /// Bytes of content.
    pub(super) bytes: usize,
    /// When the first content came.
    pub(super) first: Option<Instant>,
    /// The answer's text.
    pub(super) text: String,
    /// Where a continuation joins what came before it.
    seam: Option<Splice>,
    /// The last content was text: only then can another model go on.
    in_text: bool,
}

impl Delivery {
    /// Nothing yet, of an answer that may have so many bytes of content.
    pub(super) fn new(answer_bytes_max: usize) -> Self {
        Self {
            outputs: Outputs::default(),
            answer_bytes_max,
            chunks: 0,
            bytes: 0,
            first: None,
            text: String::new(),
            seam: None,
            in_text: false,
        }
    }

    /// Whether the client was given content: from then on nothing can be taken back.
    pub(super) fn has_content(&self) -> bool {
        self.first.is_some()
    }

    /// Whether another model could go on: never inside a tool call, a refusal or a thought.
    pub(super) fn can_go_on(&self) -> bool {
        self.in_text
    }

    /// What comes from now on continues what was delivered.
    pub(super) fn begin_continuation(&mut self) {
        self.seam = Some(Splice::new(&self.text));
    }

    /// Counts an event's content, and hands it on unless its frame is forwarded.
    pub(super) fn content(&mut self, now: Instant, event: &Event<'_>, forwarded: bool) {
        self.chunks += u64::from(event.is_content());
        self.first.get_or_insert(now);
        match event {
            Event::Text(text) => self.add_text(text, forwarded),
            // A model that goes on may think first: that is no part of the answer it goes on with.
            Event::Reasoning(_) if self.seam.is_some() => {}
            Event::Reasoning(_) | Event::Refusal(_) | Event::ToolCall(_) => {
                self.end_seam();
                self.in_text = false;
                self.bytes += content_bytes(event);
                if !forwarded {
                    self.outputs.event(event);
                }
            }
            Event::Start { .. }
            | Event::Prompt(_)
            | Event::Usage(_)
            | Event::Finish(_)
            | Event::Warning(_) => {}
        }
    }

    fn add_text(&mut self, text: &str, forwarded: bool) {
        let new = match &mut self.seam {
            Some(seam) => seam.push(text),
            None => text,
        };
        // An empty delta says nothing, least of all that a tool call is over.
        self.in_text |= !text.is_empty();
        self.bytes += new.len();
        self.text.push_str(new);
        let spliced_away = new.is_empty() && !text.is_empty();
        if !forwarded && !spliced_away {
            self.outputs.event(&Event::Text(new.into()));
        }
    }

    /// The continuation is over, or no longer text: what it held back and is new belongs to the
    /// answer.
    pub(super) fn end_seam(&mut self) {
        let Some(mut seam) = self.seam.take() else { return };
        let new = seam.finish();
        if !new.is_empty() {
            self.bytes += new.len();
            self.text.push_str(new);
            self.outputs.event(&Event::Text(new.into()));
        }
    }

    /// How long the content is that came after the first `bytes`, of which `text_bytes` were text.
    pub(super) fn tokens(&self, bytes: usize, text_bytes: usize) -> Length {
        let text = &self.text[text_bytes..];
        let others = self.bytes - bytes - text.len();
        // Thoughts and arguments are not kept: they count as the mean of what was measured.
        let others = u32::try_from(others).unwrap_or(u32::MAX);
        let rate = Length { low: others / 6, likely: others / 4, high: others / 2 };
        tokens::of_answer(text).plus(rate)
    }

    /// Whether the content so far keeps the bound.
    pub(super) fn check(&self) -> Result<(), Failure> {
        if self.bytes <= self.answer_bytes_max {
            return Ok(());
        }
        let detail = format!("The answer is longer than {} bytes.", self.answer_bytes_max);
        Err(Failure::new(Reason::AnswerTooLong, detail))
    }
}

fn content_bytes(event: &Event<'_>) -> usize {
    match event {
        Event::Text(text) | Event::Reasoning(text) | Event::Refusal(text) => text.len(),
        Event::ToolCall(call) => call.arguments.len(),
        Event::Start { .. }
        | Event::Prompt(_)
        | Event::Usage(_)
        | Event::Finish(_)
        | Event::Warning(_) => 0,
    }
}
