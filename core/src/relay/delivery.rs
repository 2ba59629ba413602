//! What has been delivered to the client, and the way to it.

use super::Downstream;
use super::seam::Seam;
use crate::chat::Event;
use crate::failure::{Failure, Reason};
use crate::limit::{Length, tokens};
use crate::time::Instant;

/// What has been delivered: the text, which a continuation is asked to continue, and the length of
/// everything else.
pub(super) struct Delivered {
    answer_bytes_max: usize,
    /// Events with content.
    pub(super) chunks: u64,
    /// Bytes of content.
    pub(super) bytes: usize,
    /// When the first content came.
    pub(super) first: Option<Instant>,
    /// The answer's text.
    pub(super) text: String,
    /// The last content was text: only then can another model continue.
    in_text: bool,
}

/// The way to the client, which keeps the account of what is delivered.
pub(super) struct Delivery<'a> {
    delivered: &'a mut Delivered,
    client: &'a mut dyn Downstream,
}

impl Delivered {
    /// Nothing yet, of an answer that may have so many bytes of content.
    pub(super) fn new(answer_bytes_max: usize) -> Self {
        Self {
            answer_bytes_max,
            chunks: 0,
            bytes: 0,
            first: None,
            text: String::new(),
            in_text: false,
        }
    }

    /// The way to this client.
    pub(super) fn to<'a>(&'a mut self, client: &'a mut dyn Downstream) -> Delivery<'a> {
        Delivery { delivered: self, client }
    }

    /// Whether the client was sent content: from then on nothing can be taken back.
    pub(super) fn has_content(&self) -> bool {
        self.first.is_some()
    }

    /// Whether another model can continue: never inside a tool call, a refusal or reasoning.
    pub(super) fn can_continue(&self) -> bool {
        self.in_text
    }

    /// Estimates the length of the content after the first `bytes`, of which `text_bytes` were text.
    pub(super) fn tokens(&self, bytes: usize, text_bytes: usize) -> Length {
        let text = &self.text[text_bytes..];
        let others = self.bytes - bytes - text.len();
        // Reasoning and arguments are not kept: they count at the mean of the measured rates.
        let others = u32::try_from(others).unwrap_or(u32::MAX);
        let rate = Length { low: others / 6, likely: others / 4, high: others / 2 };
        tokens::of_answer(text).plus(rate)
    }
}

impl Delivery<'_> {
    /// Forwards frames as they came, and what they mean if that is kept; nothing where there are
    /// none.
    pub(super) fn forward(&mut self, frames: &[u8], events: Vec<Event<'static>>) {
        if !frames.is_empty() {
            self.client.forward(frames, events);
        }
    }

    /// Sends an event that is no content, or content that was counted before.
    pub(super) fn event(&mut self, event: &Event<'_>) {
        self.client.event(event);
    }

    /// Counts an event's content, and sends it unless its frame is `forwarded`.
    pub(super) fn content(&mut self, now: Instant, event: &Event<'_>, forwarded: bool) {
        self.count(now, event);
        match event {
            Event::Text(text) => {
                self.add(text, text);
                if !forwarded {
                    self.client.event(event);
                }
            }
            Event::Reasoning(_) | Event::Refusal(_) | Event::ToolCall(_) | Event::Other(_) => {
                self.delivered.in_text = false;
                self.delivered.bytes += event.content_bytes();
                if !forwarded {
                    self.client.event(event);
                }
            }
            Event::Start { .. }
            | Event::Prompt(_)
            | Event::Usage(_)
            | Event::Finish(_)
            | Event::Warning(_) => {}
        }
    }

    /// Counts an event's content, and sends what it adds to the answer at this seam. `true`: the
    /// seam ends here, for what comes is no text.
    pub(super) fn join(&mut self, now: Instant, event: &Event<'_>, seam: &mut Seam) -> bool {
        match event {
            Event::Text(text) => {
                self.count(now, event);
                let new = seam.push(&self.delivered.text, text);
                self.add(text, new);
                if !new.is_empty() {
                    self.client.event(&Event::Text(new.into()));
                }
                false
            }
            // A model that continues may think first: that is no part of the answer it continues.
            Event::Reasoning(_) => {
                self.count(now, event);
                false
            }
            Event::Refusal(_) | Event::ToolCall(_) | Event::Other(_) => {
                self.end(seam);
                let ends = seam.check().is_ok();
                if ends {
                    self.content(now, event, false);
                }
                ends
            }
            Event::Start { .. }
            | Event::Prompt(_)
            | Event::Usage(_)
            | Event::Finish(_)
            | Event::Warning(_) => false,
        }
    }

    /// No more text comes to the seam: the part that was held back and is new belongs to the answer.
    pub(super) fn end(&mut self, seam: &mut Seam) {
        let new = seam.finish();
        if !new.is_empty() {
            self.add(new, new);
            self.client.event(&Event::Text(new.into()));
        }
    }

    fn count(&mut self, now: Instant, event: &Event<'_>) {
        self.delivered.chunks += u64::from(event.is_content());
        self.delivered.first.get_or_insert(now);
    }

    /// Adds what is `new` of a text. An empty delta does not show that a tool call is over.
    fn add(&mut self, text: &str, new: &str) {
        self.delivered.in_text |= !text.is_empty();
        self.delivered.bytes += new.len();
        self.delivered.text.push_str(new);
    }

    /// Whether the content so far is within its bound.
    pub(super) fn check(&self) -> Result<(), Failure> {
        let max = self.delivered.answer_bytes_max;
        if self.delivered.bytes <= max {
            return Ok(());
        }
        let detail = format!("The answer is longer than {max} bytes.");
        Err(Failure::new(Reason::AnswerTooLong, detail))
    }
}
