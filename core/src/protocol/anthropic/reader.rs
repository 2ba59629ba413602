//! A provider's answer, read. Unused fields are skipped, and texts are borrowed from the bytes
//! they came in. A text delta that differs from the one before in its text alone is recognised
//! instead of read.
//!
//! Blocks, deltas and events of other kinds, such as redacted reasoning, citations and the provider's
//! own tools, are content by their names alone. They are in the frames, which a client of the same
//! protocol receives unchanged. A signature is no content: it only seals what it signs.

use std::borrow::Cow;

use crate::chat::{Event, FinishReason, ToolCall, Usage};
use crate::json::{Malformed, Reader, Text, holds_content};
use crate::protocol::reader::calls::{TOOL_CALLS_MAX, too_many_calls};
use crate::protocol::{ReadError, Reported, Sink, Step, TextKind, Texts};

/// Reads the stream of one answer.
#[derive(Debug, Default)]
pub struct StreamReader {
    texts: Texts,
    blocks: Blocks,
    /// The last event has a stop reason of no letters.
    blank_stop: bool,
}

/// What later events of a stream refer to.
#[derive(Debug, Default)]
struct Blocks {
    /// The index of each block that is a tool call, in order.
    calls: Vec<Option<u32>>,
    /// The last of them has had no arguments yet.
    bare: bool,
    /// The last block is one of them.
    in_call: bool,
    /// What `message_start` counted.
    counted: Counted,
}

impl StreamReader {
    /// Reads the data of the next event.
    pub(in crate::protocol) fn read(
        &mut self,
        data: &[u8],
        sink: &mut Sink<'_>,
    ) -> Result<Step, ReadError> {
        self.blank_stop = false;
        if self.texts.recognise(data, sink) {
            return Ok(Step::More);
        }
        let mut event = StreamEvent::default();
        let malformed = |malformed| garbage("an event of Messages", malformed);
        event.read(data).map_err(malformed)?;
        if event.error.is_some() {
            return Err(ReadError::Provider(Reported::read(data).failure()));
        }
        if let Some(text) = event.emit(self, sink)? {
            self.texts.learn(data, text, None, None);
        }
        self.blank_stop = event.stop_reason().is_some_and(Text::is_empty);
        Ok(if event.kind == Kind::MessageStop { Step::Done } else { Step::More })
    }

    /// Whether the last event that was read must not be sent on as it is.
    pub(in crate::protocol) fn has_blank_stop(&self) -> bool {
        self.blank_stop
    }
}

/// The event with another stop reason where the one written is not the right one: none of no
/// letters, and that of calls where a message `with_calls` just ended.
pub(in crate::protocol) fn amended(data: &[u8], with_calls: bool) -> Option<Vec<u8>> {
    let mut event = StreamEvent::default();
    event.read(data).ok()?;
    let written = event.stop_reason()?;
    if written.is_empty() {
        return Some(written.replaced_in(data, "null"));
    }
    let ended = written.is("end_turn") || written.is("stop_sequence");
    (with_calls && ended).then(|| written.replaced_in(data, r#""tool_use""#))
}

/// Reads a complete `message`.
pub(in crate::protocol) fn read_complete(
    body: &[u8],
    sink: &mut Sink<'_>,
) -> Result<(), ReadError> {
    let malformed = |malformed| garbage("a message", malformed);
    let mut message = Message::default();
    let mut read = || {
        let mut reader = Reader::new(body)?;
        message.read(&mut reader)?;
        reader.end()
    };
    read().map_err(malformed)?;
    if message.error.is_some() {
        return Err(ReadError::Provider(Reported::read(body).failure()));
    }
    message.emit(sink);
    Ok(())
}

fn garbage(what: &str, malformed: Malformed) -> ReadError {
    ReadError::Malformed(format!("not {what}: {malformed}"))
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Kind {
    MessageStart,
    BlockStart,
    BlockDelta,
    BlockStop,
    MessageDelta,
    MessageStop,
    Ping,
    /// What is not known yet.
    #[default]
    Other,
}

/// One event of a stream; its type determines which fields count.
#[derive(Default)]
struct StreamEvent<'a> {
    kind: Kind,
    /// The type as written.
    name: Option<Text<'a>>,
    index: Option<u32>,
    message: Message<'a>,
    block: Block<'a>,
    delta: Delta<'a>,
    counted: Option<Counted>,
    /// Another member holds something.
    other: bool,
    /// As written.
    error: Option<&'a str>,
}

/// A `message`: empty at a stream's start, else the complete answer.
#[derive(Default)]
struct Message<'a> {
    id: Option<Text<'a>>,
    model: Option<Text<'a>>,
    /// The list of blocks: read once to validate it, and again to emit it.
    content: Option<Reader<'a>>,
    stop: Stop<'a>,
    counted: Option<Counted>,
    error: Option<&'a str>,
}

#[derive(Default)]
struct Block<'a> {
    kind: Option<Text<'a>>,
    id: Option<Text<'a>>,
    name: Option<Text<'a>>,
    text: Option<Text<'a>>,
    thinking: Option<Text<'a>>,
    /// The JSON of a call's arguments.
    input: Option<Text<'a>>,
    /// As written.
    json: &'a str,
}

/// A `content_block_delta`'s delta, or a `message_delta`'s.
#[derive(Default)]
struct Delta<'a> {
    text: Option<Text<'a>>,
    thinking: Option<Text<'a>>,
    partial_json: Option<Text<'a>>,
    stop: Stop<'a>,
    /// The type as written.
    name: Option<Text<'a>>,
    /// Another member holds something.
    other: bool,
}

#[derive(Default)]
struct Stop<'a> {
    reason: Option<Text<'a>>,
    /// Why the model declined.
    explanation: Option<Text<'a>>,
}

/// A `usage`; fields that it lacks keep their earlier value.
#[derive(Clone, Copy, Debug, Default)]
struct Counted {
    input: Option<u32>,
    cache_read: Option<u32>,
    cache_creation: Option<u32>,
    output: Option<u32>,
    thinking: Option<u32>,
}

impl<'a> StreamEvent<'a> {
    fn read(&mut self, data: &'a [u8]) -> Result<(), Malformed> {
        let mut reader = Reader::new(data)?;
        let (mut kind, mut has_delta, mut has_block, mut has_message) = (None, false, false, false);
        reader.object(|value, name| {
            match name {
                "type" => {
                    self.name = value.code()?;
                    kind = self.name.map(Kind::of);
                }
                "index" => self.index = value.place()?,
                "delta" => has_delta = value.if_object(|delta| self.delta.read(delta))?.is_some(),
                "content_block" => {
                    has_block = value.if_object(|block| self.block.read(block))?.is_some();
                }
                "message" => {
                    has_message = value.if_object(|message| self.message.read(message))?.is_some();
                }
                "usage" => self.counted = value.if_object(Counted::read)?,
                "error" => self.error = value.error()?,
                name => self.other |= value.holds_content(name)?,
            }
            Ok(())
        })?;
        // An event without a type is known by what it has.
        self.kind = kind.unwrap_or(match (has_block, has_message, has_delta) {
            (true, ..) => Kind::BlockStart,
            (_, true, _) => Kind::MessageStart,
            (.., true) if self.delta.stop.reason.is_some() => Kind::MessageDelta,
            (.., true) => Kind::BlockDelta,
            (false, false, false) => Kind::Other,
        });
        reader.end()
    }

    fn stop_reason(&self) -> Option<Text<'a>> {
        self.delta.stop.reason.or(self.message.stop.reason)
    }

    /// Emits its events, and returns the text in it if that is all.
    fn emit(
        &self,
        state: &mut StreamReader,
        sink: &mut Sink<'_>,
    ) -> Result<Option<(TextKind, Text<'a>)>, ReadError> {
        let StreamReader { texts: Texts { buffer: scratch, .. }, blocks, .. } = state;
        match self.kind {
            Kind::MessageStart => {
                self.message.emit_start(sink);
                if let Some(counted) = self.message.counted {
                    // What it counts of the answer is a placeholder: nothing was generated yet.
                    blocks.counted = Counted { output: None, ..counted };
                    sink(blocks.counted.event());
                }
            }
            Kind::BlockStart => blocks.open(self.index, &self.block, scratch, sink)?,
            Kind::BlockDelta => return Ok(self.emit_delta(blocks, scratch, sink)),
            Kind::BlockStop => blocks.close(self.index, sink),
            Kind::MessageDelta => {
                self.delta.stop.emit(sink);
                if let Some(counted) = self.counted {
                    sink(counted.or(blocks.counted).event());
                }
            }
            Kind::Other if self.other || self.delta.other => {
                self.name.into_iter().for_each(|name| sink(Event::Other(name.into_cow())));
            }
            Kind::MessageStop | Kind::Ping | Kind::Other => {}
        }
        Ok(None)
    }

    fn emit_delta(
        &self,
        blocks: &mut Blocks,
        scratch: &mut String,
        sink: &mut Sink<'_>,
    ) -> Option<(TextKind, Text<'a>)> {
        let Delta { text, thinking, partial_json, name, other, .. } = self.delta;
        if let Some(json) = partial_json {
            blocks.add(self.index, json.decode(scratch), sink);
            return None;
        }
        if other {
            sink(Event::Other(name.map_or("delta".into(), Text::into_cow)));
        }
        let only = text
            .map(|text| (TextKind::Answer, text))
            .or(thinking.map(|text| (TextKind::Reasoning, text)))?;
        sink(only.0.event(only.1.decode(scratch)));
        Some(only).filter(|_| !other)
    }
}

impl Blocks {
    fn open(
        &mut self,
        index: Option<u32>,
        block: &Block<'_>,
        scratch: &mut String,
        sink: &mut Sink<'_>,
    ) -> Result<(), ReadError> {
        self.in_call = block.is_call();
        if !self.in_call {
            block.emit(0, scratch, sink);
            return Ok(());
        }
        if self.calls.len() == TOOL_CALLS_MAX {
            return Err(too_many_calls());
        }
        self.bare = !block.emit(self.calls.len() as u32, scratch, sink);
        self.calls.push(index);
        Ok(())
    }

    /// JSON beside the calls is what the provider's own tools are called with.
    fn add(&mut self, index: Option<u32>, json: &str, sink: &mut Sink<'_>) {
        match self.find(index) {
            _ if json.is_empty() => {}
            Some(call) => {
                self.bare &= call + 1 != self.calls.len();
                sink(more_of(call, json));
            }
            None => sink(Event::Other("input_json_delta".into())),
        }
    }

    /// A call without arguments has none here, and an empty object in other protocols.
    fn close(&mut self, index: Option<u32>, sink: &mut Sink<'_>) {
        let call = self.find(index);
        if let Some(call) = call.filter(|call| self.bare && call + 1 == self.calls.len()) {
            self.bare = false;
            sink(more_of(call, "{}"));
        }
    }

    /// The call of a block. Blocks come one after another, so that one without an index is the
    /// last.
    fn find(&self, index: Option<u32>) -> Option<usize> {
        let known = index.and_then(|_| self.calls.iter().rposition(|&call| call == index));
        let last = self.calls.len().checked_sub(1).filter(|_| self.in_call);
        known.or(last.filter(|&last| index.is_none() || self.calls[last].is_none()))
    }
}

fn more_of(call: usize, arguments: &str) -> Event<'_> {
    let index = call as u32;
    Event::ToolCall(ToolCall { index, id: None, name: None, arguments: arguments.into() })
}

impl<'a> Message<'a> {
    fn read(&mut self, message: &mut Reader<'a>) -> Result<(), Malformed> {
        message.object(|value, name| {
            match name {
                "id" => self.id = value.word()?,
                "model" => self.model = value.word()?,
                "content" => {
                    self.content =
                        value.if_list(|list| list.checked(|list| read_blocks(list, |_| {})))?;
                }
                "stop_reason" => self.stop.reason = value.text_or_skip()?,
                "stop_details" => self.stop.read_details(value)?,
                "usage" => self.counted = value.if_object(Counted::read)?,
                "error" => self.error = value.error()?,
                _ => value.skip()?,
            }
            Ok(())
        })
    }

    fn emit_start(&self, sink: &mut Sink<'_>) {
        if let (Some(id), Some(model)) = (self.id, self.model) {
            sink(Event::Start { id: id.into_cow(), model: model.into_cow() });
        }
    }

    fn emit(&self, sink: &mut Sink<'_>) {
        self.emit_start(sink);
        let mut calls = 0;
        if let Some(mut content) = self.content.clone() {
            let read = read_blocks(&mut content, |block| {
                block.emit(calls, &mut String::new(), sink);
                calls += u32::from(block.is_call());
            });
            read.expect("the list was validated");
        }
        self.stop.emit(sink);
        if let Some(counted) = self.counted {
            sink(counted.event());
        }
    }
}

fn read_blocks<'a>(
    content: &mut Reader<'a>,
    mut emit: impl FnMut(&Block<'a>),
) -> Result<(), Malformed> {
    content.list(|element| {
        let mut block = Block::default();
        if element.if_object(|element| block.read(element))?.is_some() {
            emit(&block);
        }
        Ok(())
    })
}

impl<'a> Block<'a> {
    fn read(&mut self, block: &mut Reader<'a>) -> Result<(), Malformed> {
        let before = block.clone();
        block.object(|value, name| {
            match name {
                "type" => self.kind = value.code()?,
                "id" => self.id = value.word()?,
                "name" => self.name = value.word()?,
                "text" => self.text = value.text()?,
                "thinking" => self.thinking = value.text()?,
                "input" => self.input = value.json_text()?,
                _ => value.skip()?,
            }
            Ok(())
        })?;
        self.json = block.since(&before);
        Ok(())
    }

    /// Its type; one without is known by what it has.
    fn kind(&self) -> Cow<'a, str> {
        match self.kind {
            Some(kind) => kind.into_cow(),
            None if self.name.is_some() => "tool_use".into(),
            None if self.thinking.is_some() => "thinking".into(),
            None => "text".into(),
        }
    }

    fn is_call(&self) -> bool {
        self.kind() == "tool_use"
    }

    /// Emits what it holds already, as the call of that index if it is one. Returns whether it
    /// holds a call's arguments: the first frame of a call has an empty object in their place.
    fn emit(&self, call: u32, scratch: &mut String, sink: &mut Sink<'_>) -> bool {
        let said = |text: Option<Text<'a>>| text.filter(|text| !text.is_empty());
        match self.kind().as_ref() {
            "text" => {
                if let Some(text) = said(self.text) {
                    sink(Event::Text(text.decode(scratch).into()));
                }
            }
            "thinking" => {
                if let Some(text) = said(self.thinking) {
                    sink(Event::Reasoning(text.decode(scratch).into()));
                }
            }
            "tool_use" => {
                let input = self.input.filter(|input| !input.is("{}"));
                let input = input.map_or("", |input| input.decode(scratch));
                sink(Event::ToolCall(ToolCall {
                    index: call,
                    id: self.id.map(Text::into_cow),
                    name: self.name.map(Text::into_cow),
                    arguments: input.into(),
                }));
                return !input.is_empty();
            }
            kind if holds_content(self.json) => sink(Event::Other(kind.into())),
            _ => {}
        }
        false
    }
}

impl<'a> Delta<'a> {
    fn read(&mut self, delta: &mut Reader<'a>) -> Result<(), Malformed> {
        delta.object(|value, name| {
            match name {
                "text" => self.text = value.text()?,
                "thinking" => self.thinking = value.text()?,
                "partial_json" => self.partial_json = value.json_text()?,
                "stop_reason" => self.stop.reason = value.text_or_skip()?,
                "stop_details" => self.stop.read_details(value)?,
                "type" => self.name = value.code()?,
                "signature" => value.skip()?,
                name => self.other |= value.holds_content(name)?,
            }
            Ok(())
        })
    }
}

impl<'a> Stop<'a> {
    fn read_details(&mut self, details: &mut Reader<'a>) -> Result<(), Malformed> {
        let read = details.if_object(|details| {
            details.object(|value, name| {
                if name == "explanation" {
                    self.explanation = value.word()?;
                    return Ok(());
                }
                value.skip()
            })
        });
        read.map(drop)
    }

    fn emit(&self, sink: &mut Sink<'_>) {
        if let Some(why) = self.explanation.filter(|why| !why.is_empty()) {
            sink(Event::Refusal(why.into_cow()));
        }
        if let Some(reason) = self.reason.filter(|reason| !reason.is_empty()) {
            sink(Event::Finish(finish_reason(&reason.into_cow())));
        }
    }
}

impl Counted {
    fn read(usage: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut read = Self::default();
        usage.object(|value, name| {
            match name {
                "input_tokens" => read.input = value.count()?,
                "cache_read_input_tokens" => read.cache_read = value.count()?,
                "cache_creation_input_tokens" => {
                    read.cache_creation = value.count()?;
                }
                "output_tokens" => read.output = value.count()?,
                "output_tokens_details" => {
                    value.if_object(|details| read.read_details(details))?;
                }
                _ => value.skip()?,
            }
            Ok(())
        })?;
        Ok(read)
    }

    fn read_details(&mut self, details: &mut Reader<'_>) -> Result<(), Malformed> {
        details.object(|value, name| {
            if name == "thinking_tokens" {
                self.thinking = value.count()?;
                return Ok(());
            }
            value.skip()
        })
    }

    /// With the earlier value of each field that it lacks.
    fn or(self, before: Self) -> Self {
        Self {
            input: self.input.or(before.input),
            cache_read: self.cache_read.or(before.cache_read),
            cache_creation: self.cache_creation.or(before.cache_creation),
            output: self.output.or(before.output),
            thinking: self.thinking.or(before.thinking),
        }
    }

    /// Until the answer is counted, only the prompt is.
    fn event(self) -> Event<'static> {
        match self.output {
            Some(_) => Event::Usage(self.usage()),
            None => Event::Prompt(self.usage()),
        }
    }

    /// Anthropic counts what came from a cache, and what went into one, apart from the rest.
    fn usage(self) -> Usage {
        let [input, cached_tokens, cache_write_tokens] =
            [self.input, self.cache_read, self.cache_creation].map(Option::unwrap_or_default);
        Usage {
            input_tokens: input.saturating_add(cached_tokens).saturating_add(cache_write_tokens),
            output_tokens: self.output.unwrap_or(0),
            cached_tokens,
            cache_write_tokens,
            reasoning_tokens: self.thinking.unwrap_or(0),
            estimated: false,
        }
    }
}

impl Kind {
    fn of(name: Text<'_>) -> Self {
        match &*name.into_cow() {
            "message_start" => Self::MessageStart,
            "content_block_start" => Self::BlockStart,
            "content_block_delta" => Self::BlockDelta,
            "content_block_stop" => Self::BlockStop,
            "message_delta" => Self::MessageDelta,
            "message_stop" => Self::MessageStop,
            "ping" => Self::Ping,
            _ => Self::Other,
        }
    }
}

/// An unknown reason is still an end the model chose; so is `pause_turn`, in which the provider's
/// own tools took long.
fn finish_reason(name: &str) -> FinishReason {
    match name {
        "max_tokens" | "model_context_window_exceeded" => FinishReason::Length,
        "tool_use" => FinishReason::ToolCalls,
        "refusal" => FinishReason::ContentFilter,
        _ => FinishReason::Stop,
    }
}

#[cfg(test)]
mod tests;
