//! A provider's answer, read. An event that differs from the one before in its text and its number
//! alone is recognised instead of read; what the last event repeats is skipped.

mod calls;
mod emitted;
mod response;

use std::borrow::Cow;

use calls::PlacedCalls;
use emitted::{Emitted, List, Slot};
pub(super) use response::{Item, Response};
use response::{emit_arguments, emit_whole_arguments};

use crate::chat::Event;
use crate::json::{Malformed, Number, Reader, Shape, Text};
use crate::protocol::{ReadError, Reported, Sink, Step, TextKind, Texts};

/// Between two summaries of reasoning.
const PARAGRAPH: &str = "\n\n";

/// Reads the stream of one answer.
#[derive(Debug, Default)]
pub struct StreamReader {
    texts: Texts,
    calls: PlacedCalls,
    emitted: Emitted,
}

impl StreamReader {
    /// Reads the data of the next event.
    pub(in crate::protocol) fn read(
        &mut self,
        data: &[u8],
        sink: &mut Sink<'_>,
    ) -> Result<Step, ReadError> {
        if self.texts.recognise(data, sink) {
            return Ok(Step::More);
        }
        // Of Chat Completions; some servers end every stream with it.
        if data == b"[DONE]" {
            return Ok(Step::Done);
        }
        let frame = Frame::read(data)?;
        if let Some((kind, text)) = frame.text() {
            sink(kind.event(text.decode(&mut self.texts.buffer)));
            // What is recognised from now on is in the same slot.
            if !text.is_empty() {
                self.emitted.add(frame.slot(), kind);
                self.texts.learn(data, (kind, text), frame.padding, frame.number);
            }
            return Ok(Step::More);
        }
        frame.emit(self, sink).map(|()| Step::More)
    }
}

/// Reads a complete `response`.
pub(in crate::protocol) fn read_complete(
    body: &[u8],
    sink: &mut Sink<'_>,
) -> Result<(), ReadError> {
    let response = Response::read_from(body)?;
    response.check()?;
    response.emit_start(sink);
    let mut state = StreamReader::default();
    response.emit_output(&mut state, sink)?;
    response.emit_end(&state.calls, sink);
    Ok(())
}

fn garbage(malformed: &Malformed) -> ReadError {
    ReadError::Malformed(format!("not JSON of Responses: {malformed}"))
}

/// The failure of an error, be it flat or in `error`.
fn failure(json: &[u8]) -> ReadError {
    ReadError::Provider(Reported::read(json).failure())
}

/// One event of the stream; its type determines which fields count.
#[derive(Default)]
pub(super) struct Frame<'a> {
    data: &'a [u8],
    pub(super) kind: Cow<'a, str>,
    /// `sequence_number`; some servers do not count.
    pub(super) number: Option<Number<'a>>,
    /// The place of the item it is about.
    pub(super) output_index: Option<u32>,
    /// The place in it of the part it is about.
    pub(super) content_index: u32,
    summary_index: u32,
    pub(super) delta: Option<Text<'a>>,
    /// A call's arguments, once they are complete.
    arguments: Option<Text<'a>>,
    pub(super) item: Item<'a>,
    pub(super) part: Part<'a>,
    /// A text or a refusal, once it is complete.
    text: Option<Text<'a>>,
    /// Another member holds something.
    other: bool,
    pub(super) response: Response<'a>,
    /// Random, to hide how long a token is.
    padding: Option<Text<'a>>,
}

/// A part of an item.
#[derive(Default)]
pub(super) struct Part<'a> {
    pub(super) kind: Option<Text<'a>>,
    text: Option<Text<'a>>,
}

impl<'a> Frame<'a> {
    pub(super) fn read(data: &'a [u8]) -> Result<Self, ReadError> {
        let mut frame = Self { data, ..Self::default() };
        frame.read_members().map_err(|malformed| garbage(&malformed))?;
        Ok(frame)
    }

    /// The text that it adds to the answer.
    pub(super) fn text(&self) -> Option<(TextKind, Text<'a>)> {
        let kind = match self.kind.as_ref() {
            "response.output_text.delta" => TextKind::Answer,
            "response.refusal.delta" => TextKind::Refusal,
            "response.reasoning_summary_text.delta" | "response.reasoning_text.delta" => {
                TextKind::Reasoning
            }
            _ => return None,
        };
        Some((kind, self.delta?))
    }

    /// Where in the answer its text is.
    fn slot(&self) -> Slot {
        let (list, index) = match self.kind.starts_with("response.reasoning_summary_") {
            true => (List::Summary, self.summary_index),
            false => (List::Content, self.content_index),
        };
        Slot { place: self.output_index, list, index }
    }

    /// Teaches `shape` the events that differ from this one in their text and number alone.
    pub(super) fn teach(&self, shape: &mut Shape, text: Text<'_>) {
        shape.learn(self.data, text, self.padding, self.number);
    }

    fn read_members(&mut self) -> Result<(), Malformed> {
        let mut reader = Reader::new(self.data)?;
        reader.object(|value, name| {
            match name {
                "type" => self.kind = value.code()?.map(Text::into_cow).unwrap_or_default(),
                "sequence_number" => self.number = value.number_or_skip()?,
                "output_index" => self.output_index = value.place()?,
                "content_index" => self.content_index = value.place()?.unwrap_or(0),
                "summary_index" => self.summary_index = value.place()?.unwrap_or(0),
                "delta" if value.is_object() => self.other |= value.holds_content(name)?,
                "delta" => self.delta = value.text()?,
                "arguments" | "input" => self.arguments = value.json_text()?,
                "item" => self.item = value.if_object(Item::read)?.unwrap_or_default(),
                "part" => self.part = value.if_object(Part::read)?.unwrap_or_default(),
                "text" | "refusal" => self.text = value.word()?,
                "response" => self.response = value.if_object(Response::read)?.unwrap_or_default(),
                "obfuscation" => self.padding = value.text_or_skip()?,
                "event_id" | "item_id" => value.skip()?,
                name => self.other |= value.holds_content(name)?,
            }
            Ok(())
        })?;
        reader.end()
    }

    /// Tells what is not a text.
    fn emit(&self, state: &mut StreamReader, sink: &mut Sink<'_>) -> Result<(), ReadError> {
        let place = self.output_index;
        match self.kind.as_ref() {
            "response.created" => self.response.emit_start(sink),
            "response.reasoning_summary_part.added" if self.summary_index > 0 => {
                sink(Event::Reasoning(PARAGRAPH.into()));
            }
            "response.output_item.added" => {
                self.item.emit_call(place, state, sink)?;
                self.item.emit_other(state, sink);
            }
            "response.output_item.done" => self.item.emit(place, state, sink)?,
            "response.output_text.done" => self.emit_text(TextKind::Answer, self.text, state, sink),
            "response.refusal.done" => self.emit_text(TextKind::Refusal, self.text, state, sink),
            "response.reasoning_summary_text.done" | "response.reasoning_text.done" => {
                self.emit_text(TextKind::Reasoning, self.text, state, sink);
            }
            "response.content_part.done" | "response.reasoning_summary_part.done" => {
                self.emit_text(self.part.kind(), self.part.text, state, sink);
            }
            "response.function_call_arguments.delta" | "response.custom_tool_call_input.delta" => {
                if let Some(delta) = self.delta {
                    emit_arguments(place, delta, state, sink);
                }
            }
            "response.function_call_arguments.done" | "response.custom_tool_call_input.done" => {
                emit_whole_arguments(place, self.arguments, state, sink);
            }
            "response.completed" | "response.incomplete" => {
                self.response.check()?;
                self.response.emit_rest(state, sink)?;
                self.response.emit_end(&state.calls, sink);
            }
            "response.failed" | "response.cancelled" => return Err(self.response.failure()),
            "error" => return Err(failure(self.data)),
            kind if self.is_other() => {
                state.emitted.other = true;
                sink(Event::Other(kind.into()));
            }
            _ => {}
        }
        Ok(())
    }

    /// Whether it is an event of the answer that holds something, known or not.
    fn is_other(&self) -> bool {
        let holds = |text: Option<Text<'_>>| text.is_some_and(|text| !text.is_empty());
        let holds = self.other || [self.delta, self.arguments, self.text].into_iter().any(holds);
        holds && self.kind.starts_with("response.")
    }

    /// Emits a text that is over, unless it came before in pieces.
    fn emit_text(
        &self,
        kind: TextKind,
        text: Option<Text<'_>>,
        state: &mut StreamReader,
        sink: &mut Sink<'_>,
    ) {
        let text = text.filter(|text| !text.is_empty() && !state.emitted.has(self.slot()));
        if let Some(text) = text {
            state.emitted.add(self.slot(), kind);
            sink(kind.event(text.decode(&mut state.texts.buffer)));
        }
    }
}

impl<'a> Part<'a> {
    fn read(part: &mut Reader<'a>) -> Result<Self, Malformed> {
        let mut read = Self::default();
        part.object(|value, name| {
            match name {
                "type" => read.kind = value.text_or_skip()?,
                "text" | "refusal" => read.text = value.word()?,
                _ => value.skip()?,
            }
            Ok(())
        })?;
        Ok(read)
    }

    fn kind(&self) -> TextKind {
        match self.kind.map(Text::into_cow).as_deref() {
            Some("refusal") => TextKind::Refusal,
            Some("reasoning_text" | "summary_text") => TextKind::Reasoning,
            _ => TextKind::Answer,
        }
    }
}

#[cfg(test)]
mod tests;
