//! A provider's answer, read. Fields nobody needs are skipped, and nothing is allocated: texts are
//! borrowed from the bytes they came in, or decoded into a buffer that is used again. A chunk that
//! differs from the one before in its text alone is recognised instead of read.

use std::borrow::Cow;
use std::mem;

use serde_json::Value;

use crate::chat::{Event, FinishReason, ToolCall, Usage};
use crate::failure::{Failure, Reason};
use crate::json::{Malformed, Reader, Text};
use crate::protocol::{Memory, Sink, Step, TextKind, Unreadable};

/// Longest error detail taken from a provider, in bytes.
const MESSAGE_BYTES_MAX: usize = 2000;

/// Reads the data of one event of the stream.
pub(in crate::protocol) fn read_event(
    data: &[u8],
    memory: &mut Memory,
    sink: &mut Sink<'_>,
) -> Result<Step, Unreadable> {
    if let Some(text) = memory.shape.recognise(data) {
        sink(memory.kind.event(text.decode(&mut memory.text)));
        return Ok(Step::More);
    }
    if data == b"[DONE]" {
        return Ok(Step::Done);
    }
    let mut chunk = Chunk::default();
    chunk.read(data)?;
    chunk.tell(&mut memory.text, sink);
    if let Some((kind, text)) = chunk.only_text() {
        memory.kind = kind;
        memory.shape.learn(data, text, chunk.padding);
    }
    Ok(Step::More)
}

/// Reads a whole `chat.completion`.
pub(in crate::protocol) fn read_whole(body: &[u8], sink: &mut Sink<'_>) -> Result<(), Unreadable> {
    let mut whole = Chunk::default();
    whole.read(body)?;
    whole.tell(&mut String::new(), sink);
    Ok(())
}

/// The message in an error answer, by the shapes providers use: `{"error": {"message"}}`,
/// `{"error": "..."}`, `{"message"}`, `{"detail"}`; empty where there is none.
pub(in crate::protocol) fn error_message(body: &[u8]) -> String {
    let Ok(value) = serde_json::from_slice::<Value>(body) else { return String::new() };
    let first = value.as_array().and_then(|list| list.first()).unwrap_or(&value);
    let error = first.get("error").unwrap_or(first);
    let message = [error.get("message"), error.get("detail"), Some(error)]
        .into_iter()
        .flatten()
        .find_map(Value::as_str)
        .unwrap_or("");
    message[..message.floor_char_boundary(MESSAGE_BYTES_MAX)].to_owned()
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
    /// As it stands there.
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
    /// Providers name it one way, the other, or both at once.
    reasoning: Option<Text<'a>>,
    reasoning_content: Option<Text<'a>>,
    refusal: Option<Text<'a>>,
    /// The list of them: read once to check it, and again to tell it.
    tool_calls: Option<Reader<'a>>,
}

impl<'a> Chunk<'a> {
    fn read(&mut self, json: &'a [u8]) -> Result<(), Unreadable> {
        self.read_members(json).map_err(|malformed| {
            Unreadable::Garbage(format!("not a JSON chunk of Chat Completions: {malformed}"))
        })?;
        match self.error {
            None => Ok(()),
            Some(error) => {
                let message = error_message(error.as_bytes());
                Err(Unreadable::Error(Failure::new(Reason::InBand, message)))
            }
        }
    }

    fn read_members(&mut self, json: &'a [u8]) -> Result<(), Malformed> {
        let mut reader = Reader::new(json)?;
        reader.object(|value, name| {
            match name {
                "id" => self.id = value.nullable(Reader::text)?,
                "model" => self.model = value.nullable(Reader::text)?,
                "choices" => self.choice.read_first_of(value)?,
                "usage" => self.usage = value.nullable(read_usage)?,
                "error" => self.error = value.nullable(Reader::raw)?,
                "obfuscation" | "p" => self.padding = value.text_or_skip()?,
                _ => value.skip()?,
            }
            Ok(())
        })?;
        reader.end()
    }

    /// The text in it, if there is just one and nothing else that is told of each chunk.
    fn only_text(&self) -> Option<(TextKind, Text<'a>)> {
        let Choice { index, delta, finish_reason } = &self.choice;
        let says_more = self.usage.is_some() || finish_reason.is_some() || *index != 0;
        if says_more { None } else { delta.only_text() }
    }

    fn tell(&self, scratch: &mut String, sink: &mut Sink<'_>) {
        if let (Some(id), Some(model)) = (self.id, self.model) {
            sink(Event::Start { id: id.into_cow(), model: model.into_cow() });
        }
        if self.choice.index == 0 {
            self.choice.tell(scratch, sink);
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
        let list = choices.nullable(|choices| {
            choices.list(|choice| match mem::take(&mut is_first) {
                true => self.read(choice),
                false => choice.skip(),
            })
        });
        list.map(drop)
    }

    fn read(&mut self, choice: &mut Reader<'a>) -> Result<(), Malformed> {
        choice.object(|value, name| {
            match name {
                "index" => self.index = value.nullable(Reader::u32)?.unwrap_or(0),
                "delta" | "message" => {
                    self.delta = Delta::default();
                    value.nullable(|value| self.delta.read(value))?;
                }
                "finish_reason" => self.finish_reason = value.nullable(Reader::text)?,
                _ => value.skip()?,
            }
            Ok(())
        })
    }

    fn tell(&self, scratch: &mut String, sink: &mut Sink<'_>) {
        self.delta.tell(scratch, sink);
        if let Some(reason) = self.finish_reason {
            sink(Event::Finish(finish_reason(reason.decode(scratch))));
        }
    }
}

impl<'a> Delta<'a> {
    fn read(&mut self, delta: &mut Reader<'a>) -> Result<(), Malformed> {
        delta.object(|value, name| {
            match name {
                "content" => self.content = value.nullable(Reader::text)?,
                "reasoning" => self.reasoning = value.nullable(Reader::text)?,
                "reasoning_content" => self.reasoning_content = value.nullable(Reader::text)?,
                "refusal" => self.refusal = value.nullable(Reader::text)?,
                "tool_calls" => self.tool_calls = value.nullable(check_tool_calls)?,
                _ => value.skip()?,
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
        (texts.next().is_none() && self.tool_calls.is_none()).then_some(first)
    }

    fn tell(&self, scratch: &mut String, sink: &mut Sink<'_>) {
        let reasoning = self.reasoning_content.filter(|text| !text.is_empty()).or(self.reasoning);
        if let Some(text) = reasoning {
            sink(Event::Reasoning(text.decode(scratch).into()));
        }
        if let Some(text) = self.content {
            sink(Event::Text(text.decode(scratch).into()));
        }
        if let Some(text) = self.refusal {
            sink(Event::Refusal(text.decode(scratch).into()));
        }
        if let Some(mut calls) = self.tool_calls.clone() {
            let told =
                read_tool_calls(&mut calls, |call| sink(Event::ToolCall(call.tell(scratch))));
            told.expect("the list was checked");
        }
    }
}

/// Checks the list, and gives a reader that stands before it.
fn check_tool_calls<'a>(calls: &mut Reader<'a>) -> Result<Reader<'a>, Malformed> {
    let list = calls.clone();
    read_tool_calls(calls, |_| {})?;
    Ok(list)
}

fn read_tool_calls<'a>(
    calls: &mut Reader<'a>,
    mut call: impl FnMut(WireCall<'a>),
) -> Result<(), Malformed> {
    let mut position = 0;
    calls.list(|value| {
        call(WireCall::read(value, position)?);
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

#[derive(Default)]
struct WireFunction<'a> {
    name: Option<Text<'a>>,
    arguments: Option<Text<'a>>,
}

impl<'a> WireCall<'a> {
    /// A call without an index is the next in its list, as in a whole answer.
    fn read(call: &mut Reader<'a>, position: u32) -> Result<Self, Malformed> {
        let mut read = Self { index: position, ..Self::default() };
        call.object(|value, name| {
            match name {
                "index" => read.index = value.nullable(Reader::u32)?.unwrap_or(position),
                "id" => read.id = value.nullable(Reader::text)?,
                "function" => {
                    read.function = value.nullable(WireFunction::read)?.unwrap_or_default();
                }
                _ => value.skip()?,
            }
            Ok(())
        })?;
        Ok(read)
    }

    fn tell<'s>(self, scratch: &'s mut String) -> ToolCall<'s>
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
    fn read(function: &mut Reader<'a>) -> Result<Self, Malformed> {
        let mut read = Self::default();
        function.object(|value, name| {
            match name {
                "name" => read.name = value.nullable(Reader::text)?,
                "arguments" => read.arguments = value.nullable(Reader::text)?,
                _ => value.skip()?,
            }
            Ok(())
        })?;
        Ok(read)
    }
}

fn read_usage(usage: &mut Reader<'_>) -> Result<Usage, Malformed> {
    let mut read = Usage::default();
    usage.object(|value, name| {
        match name {
            "prompt_tokens" => read.input_tokens = value.nullable(Reader::u32)?.unwrap_or(0),
            "completion_tokens" => read.output_tokens = value.nullable(Reader::u32)?.unwrap_or(0),
            "prompt_tokens_details" => {
                let cached = value.nullable(|value| read_detail(value, "cached_tokens"))?;
                read.cached_tokens = cached.unwrap_or(0);
            }
            "completion_tokens_details" => {
                let thought = value.nullable(|value| read_detail(value, "reasoning_tokens"))?;
                read.reasoning_tokens = thought.unwrap_or(0);
            }
            _ => value.skip()?,
        }
        Ok(())
    })?;
    Ok(read)
}

fn read_detail(details: &mut Reader<'_>, wanted: &str) -> Result<u32, Malformed> {
    let mut tokens = 0;
    details.object(|value, name| {
        if name == wanted {
            tokens = value.nullable(Reader::u32)?.unwrap_or(0);
            return Ok(());
        }
        value.skip()
    })?;
    Ok(tokens)
}

/// An unknown reason is still an end the model chose.
fn finish_reason(name: &str) -> FinishReason {
    match name {
        "length" => FinishReason::Length,
        "tool_calls" | "function_call" => FinishReason::ToolCalls,
        "content_filter" => FinishReason::ContentFilter,
        _ => FinishReason::Stop,
    }
}

#[cfg(test)]
mod tests;
