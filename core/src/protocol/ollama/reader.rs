//! A line of the stream, read; a complete answer is one such line.

use crate::chat::{Event, FinishReason, Usage};
use crate::json::{Malformed, Reader, Text};
use crate::protocol::reader::calls::WholeCall;
use crate::protocol::reader::texts::trim;
use crate::protocol::{Calls, ReadError, Reported, Sink, Step};

/// Reads the stream of one answer.
#[derive(Debug, Default)]
pub struct StreamReader {
    /// Where texts are decoded.
    buffer: String,
    calls: Calls,
}

impl StreamReader {
    /// Reads the next line. The one that is `done` is the last.
    pub(in crate::protocol) fn read(
        &mut self,
        data: &[u8],
        sink: &mut Sink<'_>,
    ) -> Result<Step, ReadError> {
        trim(&mut self.buffer);
        let mut line = Line::default();
        line.read(data)?;
        line.emit(self, sink);
        Ok(if line.done { Step::Done } else { Step::More })
    }
}

/// Reads a complete answer.
pub(in crate::protocol) fn read_complete(
    body: &[u8],
    sink: &mut Sink<'_>,
) -> Result<(), ReadError> {
    StreamReader::default().read(body, sink).map(drop)
}

/// A `ChatResponse`. Of equal names the last counts.
#[derive(Default)]
struct Line<'a> {
    model: Option<Text<'a>>,
    message: Message<'a>,
    done: bool,
    done_reason: Option<Text<'a>>,
    prompt_eval_count: Option<u32>,
    eval_count: Option<u32>,
    /// As written.
    error: Option<&'a str>,
}

#[derive(Default)]
struct Message<'a> {
    content: Option<Text<'a>>,
    thinking: Option<Text<'a>>,
    /// The list of them: read once to validate it, and again to emit it.
    tool_calls: Option<Reader<'a>>,
    /// A member that is none of these and holds something: images.
    other: Option<String>,
}

impl<'a> Line<'a> {
    fn read(&mut self, json: &'a [u8]) -> Result<(), ReadError> {
        self.read_members(json).map_err(|malformed| {
            ReadError::Malformed(format!("not a JSON line of Ollama's chat: {malformed}"))
        })?;
        match self.error {
            None => Ok(()),
            Some(_) => Err(ReadError::Provider(Reported::read(json).failure())),
        }
    }

    fn read_members(&mut self, json: &'a [u8]) -> Result<(), Malformed> {
        let mut reader = Reader::new(json)?;
        reader.object(|value, name| {
            match name {
                "model" => self.model = value.word()?,
                "message" => self.message = value.if_object(Message::read)?.unwrap_or_default(),
                "done" => self.done = value.flag()?.unwrap_or(false),
                "done_reason" => self.done_reason = value.code()?,
                "prompt_eval_count" => self.prompt_eval_count = value.count()?,
                "eval_count" => self.eval_count = value.count()?,
                "error" => self.error = value.error()?,
                _ => value.skip()?,
            }
            Ok(())
        })?;
        reader.end()
    }

    fn emit(&self, state: &mut StreamReader, sink: &mut Sink<'_>) {
        if let Some(model) = self.model {
            // Ollama names its models and not its answers.
            sink(Event::Start { id: "".into(), model: model.into_cow() });
        }
        if let Some(text) = self.message.thinking {
            sink(Event::Reasoning(text.decode(&mut state.buffer).into()));
        }
        if let Some(text) = self.message.content {
            sink(Event::Text(text.decode(&mut state.buffer).into()));
        }
        self.emit_calls(state, sink);
        if let Some(name) = &self.message.other {
            sink(Event::Other(name.into()));
        }
        if self.done || self.done_reason.is_some() {
            let calls = state.calls.any();
            sink(Event::Finish(finish_reason(self.done_reason, calls, &mut state.buffer)));
        }
        self.usage().into_iter().for_each(|usage| sink(Event::Usage(usage)));
    }

    fn emit_calls(&self, state: &mut StreamReader, sink: &mut Sink<'_>) {
        let Some(mut calls) = self.message.tool_calls.clone() else { return };
        let read = read_tool_calls(&mut calls, |call| sink(state.calls.add(call)));
        read.expect("the list was validated");
    }

    /// A prompt that is all in the cache is left out by older versions: then nothing was counted.
    fn usage(&self) -> Option<Usage> {
        let input_tokens = self.prompt_eval_count?;
        let output_tokens = self.eval_count.unwrap_or(0);
        Some(Usage { input_tokens, output_tokens, ..Usage::default() })
    }
}

impl<'a> Message<'a> {
    fn read(message: &mut Reader<'a>) -> Result<Self, Malformed> {
        let mut read = Self::default();
        message.object(|value, name| {
            match name {
                "content" => read.content = value.text()?,
                "thinking" => read.thinking = value.text()?,
                "tool_calls" => {
                    read.tool_calls =
                        value.if_list(|list| list.checked(|list| read_tool_calls(list, |_| {})))?;
                }
                "tool_name" => value.skip()?,
                name if value.holds_content(name)? => read.other = Some(name.to_owned()),
                _ => {}
            }
            Ok(())
        })?;
        Ok(read)
    }
}

fn read_tool_calls<'a>(
    calls: &mut Reader<'a>,
    mut call: impl FnMut(WholeCall<'a>),
) -> Result<(), Malformed> {
    calls.list(|value| {
        value.if_object(|value| read_call(value).map(&mut call))?;
        Ok(())
    })
}

fn read_call<'a>(call: &mut Reader<'a>) -> Result<WholeCall<'a>, Malformed> {
    let mut read = WholeCall::default();
    call.object(|value, name| {
        match name {
            "id" => read.id = value.word()?,
            "function" => value.if_object(|value| read_function(value, &mut read)).map(drop)?,
            _ => value.skip()?,
        }
        Ok(())
    })?;
    Ok(read)
}

fn read_function<'a>(function: &mut Reader<'a>, read: &mut WholeCall<'a>) -> Result<(), Malformed> {
    function.object(|value, name| {
        match name {
            "name" => read.name = value.word()?,
            "arguments" => read.arguments = value.json_text()?,
            _ => value.skip()?,
        }
        Ok(())
    })
}

/// A call is an end the model chose: Ollama calls it `stop`.
fn finish_reason(name: Option<Text<'_>>, calls: bool, scratch: &mut String) -> FinishReason {
    match name.map(|name| name.decode(scratch)) {
        Some("length") => FinishReason::Length,
        _ if calls => FinishReason::ToolCalls,
        _ => FinishReason::Stop,
    }
}

#[cfg(test)]
mod tests;
