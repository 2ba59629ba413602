//! What has been delivered to the client, and the way to it.

use super::Downstream;
use crate::chat::Event;
use crate::failure::{Failure, Reason};
use crate::limit::{Length, tokens};
use crate::splice::Splice;
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
    /// Where a continuation joins what came before it.
    seam: Option<Splice>,
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
            seam: None,
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

    /// What comes from now on continues what was delivered.
    pub(super) fn begin_continuation(&mut self) {
        self.seam = Some(Splice::new(&self.text));
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
        self.delivered.chunks += u64::from(event.is_content());
        self.delivered.first.get_or_insert(now);
        match event {
            Event::Text(text) => self.text(text, forwarded),
            // A model that continues may think first: that is no part of the answer it continues.
            Event::Reasoning(_) if self.delivered.seam.is_some() => {}
            Event::Reasoning(_) | Event::Refusal(_) | Event::ToolCall(_) | Event::Other(_) => {
                self.end_seam();
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

    fn text(&mut self, text: &str, forwarded: bool) {
        let Delivered { seam, text: answer, bytes, in_text, .. } = &mut *self.delivered;
        let new = match seam {
            Some(seam) => seam.push(text),
            None => text,
        };
        // An empty delta does not show that a tool call is over.
        *in_text |= !text.is_empty();
        *bytes += new.len();
        answer.push_str(new);
        let spliced_away = new.is_empty() && !text.is_empty();
        if !forwarded && !spliced_away {
            self.client.event(&Event::Text(new.into()));
        }
    }

    /// The continuation is over, or no longer text: the part that was held back and is new belongs
    /// to the answer.
    pub(super) fn end_seam(&mut self) {
        let Some(mut seam) = self.delivered.seam.take() else { return };
        let new = seam.finish();
        if !new.is_empty() {
            self.delivered.bytes += new.len();
            self.delivered.text.push_str(new);
            self.client.event(&Event::Text(new.into()));
        }
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
