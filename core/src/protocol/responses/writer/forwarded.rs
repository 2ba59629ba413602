//! Frames of the provider's own that were handed on as they came. What they began is kept, so that
//! what is written next joins it: the numbers, the message that grows, the items that are done.

use super::Writer;
use super::item::{Item, Kind, Part};
use crate::json::{Number, Shape, Text};
use crate::protocol::TextKind;
use crate::protocol::responses::reader::Frame;
use crate::sse::Decoder;

/// How much is kept of items that are done, in bytes; the last event of an answer that is continued
/// leaves out those beyond.
const ITEM_BYTES_MAX: usize = 4 * 1024 * 1024;

#[derive(Debug)]
pub(super) struct Forwarded {
    decoder: Decoder,
    seen: Seen,
}

/// What reading the frames keeps from one to the next.
#[derive(Debug, Default)]
struct Seen {
    shape: Shape,
    /// Where texts are decoded.
    text: String,
    /// The item that grows by a text of that shape.
    at: Option<usize>,
    item_bytes: usize,
}

impl Default for Forwarded {
    fn default() -> Self {
        // Each frame was within the relay's bound.
        Self { decoder: Decoder::new(usize::MAX), seen: Seen::default() }
    }
}

impl Writer {
    /// Notes whole frames.
    pub(in crate::protocol) fn forwarded(&mut self, mut frames: &[u8]) {
        if !self.opening.request.stream {
            return;
        }
        self.begun = true;
        let mut forwarded = self.forwarded.take().unwrap_or_default();
        while let Ok(Some(event)) = forwarded.decoder.next(&mut frames) {
            self.note(event.data, &mut forwarded.seen);
        }
        self.forwarded = Some(forwarded);
    }

    fn note(&mut self, data: &[u8], seen: &mut Seen) {
        if let Some(text) = seen.shape.recognise(data) {
            self.number += 1;
            self.grow(seen.at, text.decode(&mut seen.text));
            return;
        }
        let Ok(frame) = Frame::read(data) else { return };
        self.number = frame.number.and_then(Number::value).unwrap_or(self.number) + 1;
        if let Some((kind, text)) = frame.text() {
            seen.at = self.growing(&frame, kind);
            frame.teach(&mut seen.shape, text);
            self.grow(seen.at, text.decode(&mut seen.text));
        } else {
            self.note_step(&frame, seen);
        }
    }

    fn note_step(&mut self, frame: &Frame<'_>, seen: &mut Seen) {
        match frame.kind.as_ref() {
            "response.created" => {
                let created = frame.response.created_at.and_then(|written| written.parse().ok());
                self.opening.created = created.unwrap_or(self.opening.created);
                // Some providers' names do not look like a response's; once out they stay.
                if let Some(id) = frame.response.id {
                    self.opening.id = id.into_cow().into_owned();
                }
            }
            "response.output_item.added" => self.note_item(frame),
            "response.content_part.added" => {
                let kind = match frame.part.kind.map(Text::into_cow).as_deref() {
                    Some("refusal") => TextKind::Refusal,
                    _ => TextKind::Answer,
                };
                if let Some(at) = self.message_at(frame.output_index.unwrap_or(0)) {
                    self.items[at].parts.push(Part::new(kind));
                }
            }
            "response.output_text.done"
            | "response.refusal.done"
            | "response.content_part.done" => {
                if let Some(at) = self.message_at(frame.output_index.unwrap_or(0)) {
                    self.items[at].close_part();
                }
            }
            "response.output_item.done" => self.note_done(frame, seen),
            "response.completed" | "response.incomplete" | "response.failed" => self.ended = true,
            _ => {}
        }
    }

    fn note_item(&mut self, frame: &Frame<'_>) {
        let kind = frame.item.kind.map(Text::into_cow);
        let (kind, json) = match kind.as_deref() {
            Some("message") => (Kind::Message, String::new()),
            _ => (Kind::Other, frame.item.json.to_owned()),
        };
        let id = frame.item.id.map_or_else(String::new, |id| id.into_cow().into_owned());
        let place = frame.output_index.unwrap_or(0);
        self.place = self.place.max(place.saturating_add(1));
        self.items.push(Item { id, json, ..Item::new(kind, "", place) });
    }

    fn note_done(&mut self, frame: &Frame<'_>, seen: &mut Seen) {
        let place = frame.output_index.unwrap_or(0);
        if self.items.iter().all(|item| item.place != place) {
            self.note_item(frame);
        }
        seen.item_bytes += frame.item.json.len();
        if seen.item_bytes > ITEM_BYTES_MAX {
            self.items.retain(|item| item.place != place);
        } else if let Some(item) = self.items.iter_mut().find(|item| item.place == place) {
            item.parts = Vec::new();
            item.json = frame.item.json.to_owned();
        }
    }

    /// The message that grows at this place.
    fn message_at(&self, place: u32) -> Option<usize> {
        self.items.iter().rposition(|item| item.place == place && item.is_open_text())
    }

    /// The message that grows by this text, with a part that takes it.
    fn growing(&mut self, frame: &Frame<'_>, kind: TextKind) -> Option<usize> {
        let at = self.message_at(frame.output_index.unwrap_or(0))?;
        if self.items[at].open_part().is_none() {
            self.items[at].parts.push(Part::new(kind));
        }
        Some(at)
    }

    fn grow(&mut self, at: Option<usize>, text: &str) {
        if let Some(item) = at.and_then(|at| self.items.get_mut(at)) {
            item.add(text);
        }
    }
}
