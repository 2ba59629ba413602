//! A provider's answer, read. Unused fields are skipped, and nothing is allocated: texts are
//! borrowed from the bytes they came in, or decoded into a buffer that is used again. A chunk that
//! differs from the one before in its text alone is recognised instead of read.

use std::borrow::Cow;
use std::mem;

use crate::chat::{Event, FinishReason, ToolCall, Usage};
use crate::failure::{Failure, Reason};
use crate::json::{Malformed, Reader, Text};
use crate::protocol::reader::calls::NO_INDEX;
use crate::protocol::{Calls, ReadError, Reported, Sink, Step, TextKind, Texts};

/// Reads the stream of one answer.
#[derive(Debug, Default)]
pub struct StreamReader {
    texts: Texts,
    calls: Calls,
    /// The last event has a finish reason of no letters.
    blank_finish: bool,
}

impl StreamReader {
    /// Reads the data of the next event.
    pub(in crate::protocol) fn read(
        &mut self,
        data: &[u8],
        sink: &mut Sink<'_>,
    ) -> Result<Step, ReadError> {
        let Self { texts, calls, blank_finish } = self;
        *blank_finish = false;
        if texts.recognise(data, sink) {
            return Ok(Step::More);
        }
        read_chunk(data, texts, blank_finish, &mut |event| sink(calls.place(event)))
    }

    /// Whether the last event that was read must not be sent on as it is.
    pub(in crate::protocol) fn has_blank_finish(&self) -> bool {
        self.blank_finish
    }
}

/// The chunk with another finish reason where the one written is not the
/// right one: none of no letters, and that of calls where an answer `with_calls` just stopped.
pub(in crate::protocol) fn amended(data: &[u8], with_calls: bool) -> Option<Vec<u8>> {
    let mut chunk = Chunk::default();
    chunk.read(data).ok()?;
    let written = chunk.choice.finish_reason?;
    if written.is_empty() {
        return Some(written.replaced_in(data, "null"));
    }
    let stopped = finish_reason(&written.into_cow()) == FinishReason::Stop;
    (with_calls && stopped).then(|| written.replaced_in(data, r#""tool_calls""#))
}

/// Reads one event by itself: its calls have the index that is written there.
fn read_chunk(
    data: &[u8],
    texts: &mut Texts,
    blank_finish: &mut bool,
    sink: &mut Sink<'_>,
) -> Result<Step, ReadError> {
    if data == b"[DONE]" {
        return Ok(Step::Done);
    }
    let mut chunk = Chunk::default();
    chunk.read(data)?;
    *blank_finish = chunk.choice.finish_reason.is_some_and(Text::is_empty);
    chunk.emit(&mut texts.buffer, sink);
    if let Some(text) = chunk.only_text() {
        texts.learn(data, text, chunk.padding, None);
    }
    Ok(Step::More)
}

/// Reads a complete `chat.completion`.
pub(in crate::protocol) fn read_complete(
    body: &[u8],
    sink: &mut Sink<'_>,
) -> Result<(), ReadError> {
    let (mut whole, mut calls) = (Chunk::default(), Calls::default());
    whole.read(body)?;
    whole.emit(&mut String::new(), &mut |event| sink(calls.place(event)));
    Ok(())
}

/// A `chat.completion.chunk`, and a `chat.completion`: they differ in `delta` and `message` alone.
///
/// Of equal names the last counts, as it does for a client that reads the same bytes. Values are
/// read into their place: to hand them up from call to call costs more than to read them.
#[derive(Default)]
struct Chunk<'a> {
    id: Option<Text<'a>>,
    model: Option<Text<'a>>,
    /// The first of the list. The others are further answers to one prompt: the client's to read.
    choice: Choice<'a>,
    usage: Option<Usage>,
    /// As written.
    error: Option<&'a str>,
    /// Random, to hide how long a token is: `obfuscation` is OpenAI's name for it, `p` Mistral's.
    padding: Option<Text<'a>>,
}

#[derive(Default)]
struct Choice<'a> {
    index: u32,
    delta: Delta<'a>,
    finish_reason: Option<Text<'a>>,
}

#[derive(Default)]
struct Delta<'a> {
    content: Option<Text<'a>>,
    /// A list of parts in place of the text, as Mistral's reasoning models write it: read
    /// once to validate it, and again to emit it.
    parts: Option<Reader<'a>>,
    /// Providers name it one way, the other, or both at once.
    reasoning: Option<Text<'a>>,
    reasoning_content: Option<Text<'a>>,
    refusal: Option<Text<'a>>,
    /// The list of them: read once to validate it, and again to emit it.
    tool_calls: Option<Reader<'a>>,
    /// The one call of an answer from before there was a list.
    function_call: Option<WireFunction<'a>>,
    /// The first member that is none of these and holds something: a sound, images.
    other: Option<String>,
}

/// Members of a delta that repeat or sign what others say.
const REPETITIONS: [&str; 3] = ["channel", "reasoning_details", "thinking_blocks"];

impl<'a> Chunk<'a> {
    fn read(&mut self, json: &'a [u8]) -> Result<(), ReadError> {
        self.read_members(json).map_err(|malformed| {
            ReadError::Malformed(format!("not a JSON chunk of Chat Completions: {malformed}"))
        })?;
        match (self.error, self.choice.finish_reason) {
            (Some(_), _) => Err(ReadError::Provider(Reported::read(json).failure())),
            // What Mistral and OpenRouter call it, with and without saying more.
            (None, Some(reason)) if reason.is("error") => {
                Err(ReadError::Provider(Failure::from(Reason::InBand)))
            }
            _ => Ok(()),
        }
    }

    fn read_members(&mut self, json: &'a [u8]) -> Result<(), Malformed> {
        let mut reader = Reader::new(json)?;
        reader.object(|value, name| {
            match name {
                "id" => self.id = value.word()?,
                "model" => self.model = value.word()?,
                "choices" => self.choice.read_first_of(value)?,
                "usage" => self.usage = value.if_object(read_usage)?.flatten(),
                // Where Groq sends it unasked.
                "x_groq" => {
                    let usage = read_member(value, "usage", |usage| usage.if_object(read_usage))?;
                    self.usage = self.usage.or(usage.flatten());
                }
                "error" => self.error = value.error()?.or(self.error),
                // vLLM's errors, flat.
                "object" if value.word()?.is_some_and(|word| word.is("error")) => {
                    self.error = self.error.or(Some(""));
                }
                "object" => {}
                "obfuscation" | "p" => self.padding = value.text_or_skip()?,
                _ => value.skip()?,
            }
            Ok(())
        })?;
        reader.end()
    }

    /// The text in it, if it holds one text and nothing else.
    fn only_text(&self) -> Option<(TextKind, Text<'a>)> {
        let Choice { index, delta, finish_reason } = &self.choice;
        let says_more = self.usage.is_some() || finish_reason.is_some() || *index != 0;
        if says_more { None } else { delta.only_text() }
    }

    fn emit(&self, scratch: &mut String, sink: &mut Sink<'_>) {
        if let (Some(id), Some(model)) = (self.id, self.model) {
            sink(Event::Start { id: id.into_cow(), model: model.into_cow() });
        }
        if self.choice.index == 0 {
            self.choice.emit(scratch, sink);
        }
        if let Some(usage) = self.usage {
            sink(Event::Usage(usage));
        }
    }
}

impl<'a> Choice<'a> {
    fn read_first_of(&mut self, choices: &mut Reader<'a>) -> Result<(), Malformed> {
        *self = Self::default();
        let mut is_first = true;
        let list = choices.if_list(|choices| {
            choices.list(|choice| match mem::take(&mut is_first) {
                true => choice.if_object(|choice| self.read(choice)).map(drop),
                false => choice.skip(),
            })
        });
        list.map(drop)
    }

    fn read(&mut self, choice: &mut Reader<'a>) -> Result<(), Malformed> {
        choice.object(|value, name| {
            match name {
                "index" => self.index = value.place()?.unwrap_or(0),
                "delta" | "message" => {
                    self.delta = Delta::default();
                    value.if_object(|value| self.delta.read(value))?;
                }
                "finish_reason" => self.finish_reason = value.text_or_skip()?,
                _ => value.skip()?,
            }
            Ok(())
        })
    }

    fn emit(&self, scratch: &mut String, sink: &mut Sink<'_>) {
        self.delta.emit(scratch, sink);
        if let Some(reason) = self.finish_reason.filter(|reason| !reason.is_empty()) {
            sink(Event::Finish(finish_reason(reason.decode(scratch))));
        }
    }
}

impl<'a> Delta<'a> {
    fn read(&mut self, delta: &mut Reader<'a>) -> Result<(), Malformed> {
        delta.object(|value, name| {
            match name {
                "content" if value.is_list() => {
                    let parts = value.checked(|parts| read_parts(parts, |_| {}))?;
                    (self.content, self.parts) = (None, Some(parts));
                }
                "content" => (self.content, self.parts) = (value.text()?, None),
                "reasoning" => self.reasoning = value.text()?,
                "reasoning_content" => self.reasoning_content = value.text()?,
                "refusal" => self.refusal = value.text()?,
                "function_call" => {
                    let function = value.if_object(WireFunction::read)?;
                    self.function_call = function.filter(|function| !function.is_empty());
                }
                "tool_calls" => {
                    self.tool_calls =
                        value.if_list(|list| list.checked(|list| read_tool_calls(list, |_| {})))?;
                }
                name if REPETITIONS.contains(&name) => value.skip()?,
                name => note_other(&mut self.other, value, name)?,
            }
            Ok(())
        })
    }

    fn only_text(&self) -> Option<(TextKind, Text<'a>)> {
        let mut texts = [
            (TextKind::Answer, self.content),
            (TextKind::Reasoning, self.reasoning_content),
            (TextKind::Reasoning, self.reasoning),
            (TextKind::Refusal, self.refusal),
        ]
        .into_iter()
        .filter_map(|(kind, text)| Some((kind, text?)));
        let first = texts.next()?;
        let calls = self.tool_calls.is_some() || self.function_call.is_some();
        let more = calls || self.parts.is_some() || self.other.is_some();
        (texts.next().is_none() && !more).then_some(first)
    }

    fn emit(&self, scratch: &mut String, sink: &mut Sink<'_>) {
        let reasoning = self.reasoning_content.filter(|text| !text.is_empty()).or(self.reasoning);
        if let Some(text) = reasoning {
            sink(Event::Reasoning(text.decode(scratch).into()));
        }
        if let Some(text) = self.content {
            sink(Event::Text(text.decode(scratch).into()));
        }
        if let Some(mut parts) = self.parts.clone() {
            let read = read_parts(&mut parts, |piece| match piece {
                Piece::Text(kind, text) => sink(kind.event(text.decode(scratch))),
                Piece::Other(name) => sink(Event::Other(name.into())),
            });
            read.expect("the list was validated");
        }
        if let Some(text) = self.refusal {
            sink(Event::Refusal(text.decode(scratch).into()));
        }
        if let Some(function) = self.function_call {
            let call = WireCall { index: NO_INDEX, id: None, function };
            sink(Event::ToolCall(call.emit(scratch)));
        }
        if let Some(mut calls) = self.tool_calls.clone() {
            let read =
                read_tool_calls(&mut calls, |call| sink(Event::ToolCall(call.emit(scratch))));
            read.expect("the list was validated");
        }
        if let Some(name) = &self.other {
            sink(Event::Other(name.into()));
        }
    }
}

/// Notes the member of that name, if it holds something.
fn note_other(
    other: &mut Option<String>,
    value: &mut Reader<'_>,
    name: &str,
) -> Result<(), Malformed> {
    if value.holds_content(name)? {
        other.get_or_insert_with(|| name.to_owned());
    }
    Ok(())
}

/// What a part of content is.
enum Piece<'n, 'a> {
    Text(TextKind, Text<'a>),
    /// Something else, by its name.
    Other(&'n str),
}

/// Reads parts of content: `text` is a text, `thinking` a list of such parts, and a part may be
/// nothing but its text.
fn read_parts<'a>(
    parts: &mut Reader<'a>,
    mut emit: impl FnMut(Piece<'_, 'a>),
) -> Result<(), Malformed> {
    parts.list(|part| {
        let mut other = None;
        let text = read_text_of(part, |value, name| {
            if name != "thinking" {
                return note_other(&mut other, value, name);
            }
            value.if_list(|parts| {
                parts.list(|part| {
                    let text = read_text_of(part, |value, _| value.skip())?;
                    let text = text.map(|text| Piece::Text(TextKind::Reasoning, text));
                    text.into_iter().for_each(&mut emit);
                    Ok(())
                })
            })?;
            Ok(())
        })?;
        let text = text.map(|text| Piece::Text(TextKind::Answer, text));
        text.into_iter().for_each(&mut emit);
        other.iter().for_each(|name| emit(Piece::Other(name)));
        Ok(())
    })
}

/// The text of a part; `other` reads its other members.
fn read_text_of<'a>(
    part: &mut Reader<'a>,
    mut other: impl FnMut(&mut Reader<'a>, &str) -> Result<(), Malformed>,
) -> Result<Option<Text<'a>>, Malformed> {
    if !part.is_object() {
        return part.text();
    }
    let mut text = None;
    part.object(|value, name| match name {
        "text" => value.text().map(|read| text = read),
        _ => other(value, name),
    })?;
    Ok(text)
}

/// What `read` makes of the member of this name.
fn read_member<'a, T>(
    object: &mut Reader<'a>,
    wanted: &str,
    read: fn(&mut Reader<'a>) -> Result<Option<T>, Malformed>,
) -> Result<Option<T>, Malformed> {
    let mut found = None;
    object.if_object(|object| {
        object.object(|value, name| match name == wanted {
            true => read(value).map(|read| found = read),
            false => value.skip(),
        })
    })?;
    Ok(found)
}

fn read_tool_calls<'a>(
    calls: &mut Reader<'a>,
    mut call: impl FnMut(WireCall<'a>),
) -> Result<(), Malformed> {
    let mut position = 0;
    calls.list(|value| {
        value.if_object(|value| WireCall::read(value, position).map(&mut call))?;
        position += 1;
        Ok(())
    })
}

#[derive(Default)]
struct WireCall<'a> {
    index: u32,
    id: Option<Text<'a>>,
    function: WireFunction<'a>,
}

#[derive(Clone, Copy, Default)]
struct WireFunction<'a> {
    name: Option<Text<'a>>,
    arguments: Option<Text<'a>>,
}

impl<'a> WireCall<'a> {
    /// A call without an index is the next in its list, as in a complete answer, unless it is the
    /// first: that may be more of a call from before.
    fn read(call: &mut Reader<'a>, position: u32) -> Result<Self, Malformed> {
        let unplaced = if position == 0 { NO_INDEX } else { position };
        let mut read = Self { index: unplaced, ..Self::default() };
        call.object(|value, name| {
            match name {
                "index" => read.index = value.place()?.unwrap_or(unplaced),
                "id" => read.id = value.word()?,
                "function" => {
                    read.function = value.if_object(WireFunction::read)?.unwrap_or_default();
                }
                _ => value.skip()?,
            }
            Ok(())
        })?;
        Ok(read)
    }

    fn emit<'s>(self, scratch: &'s mut String) -> ToolCall<'s>
    where
        'a: 's,
    {
        ToolCall {
            index: self.index,
            id: self.id.map(Text::into_cow),
            name: self.function.name.map(Text::into_cow),
            arguments: self
                .function
                .arguments
                .map_or(Cow::Borrowed(""), |text| text.decode(scratch).into()),
        }
    }
}

impl<'a> WireFunction<'a> {
    fn is_empty(&self) -> bool {
        [self.name, self.arguments].into_iter().flatten().all(Text::is_empty)
    }

    fn read(function: &mut Reader<'a>) -> Result<Self, Malformed> {
        let mut read = Self::default();
        function.object(|value, name| {
            match name {
                "name" => read.name = value.word()?,
                "arguments" => read.arguments = value.json_text()?,
                _ => value.skip()?,
            }
            Ok(())
        })?;
        Ok(read)
    }
}

/// `None` where it counts neither the prompt nor the answer.
fn read_usage(usage: &mut Reader<'_>) -> Result<Option<Usage>, Malformed> {
    let (mut prompt, mut answer, mut total_tokens) = (None, None, None);
    let mut read = Usage::default();
    usage.object(|value, name| {
        match name {
            "total_tokens" => total_tokens = value.count()?,
            "prompt_tokens" => prompt = value.count()?,
            "completion_tokens" => answer = value.count()?,
            // What DeepSeek calls the cached ones.
            "prompt_cache_hit_tokens" => {
                read.cached_tokens = read.cached_tokens.max(value.count()?.unwrap_or(0));
            }
            "prompt_tokens_details" => {
                let cached = read_member(value, "cached_tokens", Reader::count)?;
                read.cached_tokens = read.cached_tokens.max(cached.unwrap_or(0));
            }
            "completion_tokens_details" => {
                let thought = read_member(value, "reasoning_tokens", Reader::count)?;
                read.reasoning_tokens = thought.unwrap_or(0);
            }
            _ => value.skip()?,
        }
        Ok(())
    })?;
    (read.input_tokens, read.output_tokens) = (prompt.unwrap_or(0), answer.unwrap_or(0));
    // xAI counts reasoning beside the answer, as its total shows.
    let beside = read.total_tokens().checked_add(read.reasoning_tokens);
    if read.reasoning_tokens > 0 && total_tokens == beside {
        read.output_tokens = read.output_tokens.saturating_add(read.reasoning_tokens);
    }
    Ok(prompt.or(answer).map(|_| read))
}

/// An unknown reason is still an end the model chose.
pub(in crate::protocol) fn finish_reason(name: &str) -> FinishReason {
    match name {
        "length" | "model_length" => FinishReason::Length,
        "tool_calls" | "function_call" => FinishReason::ToolCalls,
        "content_filter" => FinishReason::ContentFilter,
        _ => FinishReason::Stop,
    }
}

#[cfg(test)]
mod tests;
