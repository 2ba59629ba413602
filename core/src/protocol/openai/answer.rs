//! A provider's answer, read. Fields nobody needs are skipped, not built; text without escapes is
//! borrowed from the bytes it came in.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, SeqAccess, Visitor};
use serde_json::Value;

use crate::chat::{Event, FinishReason, ToolCall, Usage};
use crate::failure::{Failure, Reason};
use crate::protocol::{Sink, Step, Unreadable};

/// Longest error detail taken from a provider, in bytes.
const MESSAGE_BYTES_MAX: usize = 2000;

/// Reads the data of one event of the stream.
pub(in crate::protocol) fn read_event(
    data: &[u8],
    sink: &mut Sink<'_>,
) -> Result<Step, Unreadable> {
    if data == b"[DONE]" {
        return Ok(Step::Done);
    }
    let chunk: Chunk<'_> = serde_json::from_slice(data).map_err(|e| garbage(&e))?;
    chunk.reported_error()?;
    chunk.read(sink);
    Ok(Step::More)
}

/// Reads a whole `chat.completion`.
pub(in crate::protocol) fn read_whole(body: &[u8], sink: &mut Sink<'_>) -> Result<(), Unreadable> {
    let whole: Chunk<'_> = serde_json::from_slice(body).map_err(|e| garbage(&e))?;
    whole.reported_error()?;
    whole.read(sink);
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

fn garbage(error: &serde_json::Error) -> Unreadable {
    Unreadable::Garbage(format!("expected a JSON chunk of Chat Completions: {error}"))
}

/// A `chat.completion.chunk`, and a `chat.completion`: they differ in `delta` and `message` alone.
#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    model: Option<Text<'a>>,
    #[serde(borrow, default)]
    choices: First<Choice<'a>>,
    usage: Option<WireUsage>,
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(default)]
    index: u32,
    #[serde(borrow, alias = "message")]
    delta: Option<Delta<'a>>,
    #[serde(borrow)]
    finish_reason: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Delta<'a> {
    #[serde(borrow)]
    content: Option<Text<'a>>,
    #[serde(borrow, alias = "reasoning")]
    reasoning_content: Option<Text<'a>>,
    #[serde(borrow)]
    refusal: Option<Text<'a>>,
    #[serde(borrow)]
    tool_calls: Option<Vec<WireCall<'a>>>,
}

#[derive(Deserialize)]
struct WireCall<'a> {
    index: Option<u32>,
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    function: Option<WireFunction<'a>>,
}

#[derive(Deserialize)]
struct WireFunction<'a> {
    #[serde(borrow)]
    name: Option<Text<'a>>,
    #[serde(borrow)]
    arguments: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct WireUsage {
    #[serde(default)]
    prompt_tokens: u32,
    #[serde(default)]
    completion_tokens: u32,
    prompt_tokens_details: Option<PromptDetails>,
}

#[derive(Deserialize)]
struct PromptDetails {
    cached_tokens: Option<u32>,
}

impl<'a> Chunk<'a> {
    fn reported_error(&self) -> Result<(), Unreadable> {
        match &self.error {
            None | Some(Value::Null) => Ok(()),
            Some(error) => {
                let message = error_message(error.to_string().as_bytes());
                Err(Unreadable::Error(Failure::new(Reason::InBand, message)))
            }
        }
    }

    fn read(self, sink: &mut Sink<'_>) {
        if let (Some(id), Some(model)) = (self.id, self.model) {
            sink(Event::Start { id: id.0, model: model.0 });
        }
        // Further choices of one prompt are the client's to read; the relay follows the first.
        if let Some(choice) = self.choices.0.filter(|choice| choice.index == 0) {
            choice.read(sink);
        }
        if let Some(usage) = self.usage {
            sink(Event::Usage(usage.into()));
        }
    }
}

impl<'a> Choice<'a> {
    fn read(self, sink: &mut Sink<'_>) {
        if let Some(delta) = self.delta {
            let texts = [
                (delta.reasoning_content, Event::Reasoning as fn(Cow<'a, str>) -> Event<'a>),
                (delta.content, Event::Text),
                (delta.refusal, Event::Refusal),
            ];
            for (text, event) in texts {
                if let Some(Text(text)) = text {
                    sink(event(text));
                }
            }
            for (position, call) in delta.tool_calls.into_iter().flatten().enumerate() {
                sink(Event::ToolCall(call.read(position)));
            }
        }
        if let Some(reason) = self.finish_reason {
            sink(Event::Finish(finish_reason(&reason.0)));
        }
    }
}

impl<'a> WireCall<'a> {
    /// A call without an index is the next in its list, as in a whole answer.
    fn read(self, position: usize) -> ToolCall<'a> {
        let (name, arguments) = match self.function {
            Some(function) => (function.name, function.arguments),
            None => (None, None),
        };
        ToolCall {
            index: self.index.unwrap_or(u32::try_from(position).unwrap_or(u32::MAX)),
            id: self.id.map(|text| text.0),
            name: name.map(|text| text.0),
            arguments: arguments.map_or(Cow::Borrowed(""), |text| text.0),
        }
    }
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

impl From<WireUsage> for Usage {
    fn from(usage: WireUsage) -> Self {
        Self {
            input_tokens: usage.prompt_tokens,
            output_tokens: usage.completion_tokens,
            cached_tokens: usage.prompt_tokens_details.and_then(|d| d.cached_tokens).unwrap_or(0),
            estimated: false,
        }
    }
}

/// A string, borrowed where it has no escapes; serde's own `Option<Cow>` always owns.
struct Text<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Reader<'a>(PhantomData<Text<'a>>);
        impl<'de: 'a, 'a> Visitor<'de> for Reader<'a> {
            type Value = Text<'a>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Text<'a>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Text<'a>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        from.deserialize_str(Reader(PhantomData))
    }
}

/// The first element of a list; the others are skipped. Spares the list.
struct First<T>(Option<T>);

impl<T> Default for First<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for First<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Reader<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Reader<T> {
            type Value = First<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }
            fn visit_unit<E: Error>(self) -> Result<First<T>, E> {
                Ok(First(None))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<First<T>, A::Error> {
                let first = list.next_element()?;
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(First(first))
            }
        }
        from.deserialize_any(Reader(PhantomData))
    }
}

#[cfg(test)]
mod tests;
