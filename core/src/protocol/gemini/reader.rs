//! A `GenerateContentResponse`, read: each event of a stream is one, and so is a complete answer.
//!
//! A stream has no end mark. Its last event gives the reason why the model finished; usage comes
//! with every event and counts from the start.

use serde_json::value::RawValue;

use crate::chat::{Event, FinishReason, Usage};
use crate::failure::{Failure, Reason};
use crate::json::{self, Malformed, Reader, Text};
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
    /// Reads the data of the next event.
    pub(in crate::protocol) fn read(
        &mut self,
        data: &[u8],
        sink: &mut Sink<'_>,
    ) -> Result<Step, ReadError> {
        trim(&mut self.buffer);
        let mut chunk = Chunk::default();
        chunk.read(data)?;
        chunk.emit(self, sink)?;
        Ok(Step::More)
    }
}

/// Reads a complete answer. A stream that is not asked for as server-sent events is a list of
/// chunks.
pub(in crate::protocol) fn read_complete(
    body: &[u8],
    sink: &mut Sink<'_>,
) -> Result<(), ReadError> {
    let mut reader = StreamReader::default();
    let Ok(chunks) = json::read_bytes::<Vec<&RawValue>>(body) else {
        return reader.read(body, sink).map(drop);
    };
    for chunk in chunks {
        reader.read(chunk.get().as_bytes(), sink)?;
    }
    Ok(())
}

/// Of equal names the last counts.
#[derive(Default)]
struct Chunk<'a> {
    id: Option<Text<'a>>,
    model: Option<Text<'a>>,
    candidate: Candidate<'a>,
    usage: Option<Counts>,
    /// Why the prompt was refused.
    block_reason: Option<Text<'a>>,
    /// As written.
    error: Option<&'a str>,
}

/// The first of the list; further ones are never asked for.
#[derive(Default)]
struct Candidate<'a> {
    /// The list of them: read once to validate it, and again to emit it.
    parts: Option<Reader<'a>>,
    finish_reason: Option<Text<'a>>,
    finish_message: Option<Text<'a>>,
}

/// In tokens.
#[derive(Clone, Copy, Default)]
struct Counts {
    prompt: u32,
    cached: u32,
    tool_results: u32,
    answer: Option<u32>,
    thoughts: Option<u32>,
}

impl<'a> Chunk<'a> {
    fn read(&mut self, json: &'a [u8]) -> Result<(), ReadError> {
        self.read_members(json).map_err(|malformed| {
            ReadError::Malformed(format!("not a JSON response of Gemini: {malformed}"))
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
                "responseId" => self.id = value.word()?,
                "modelVersion" => self.model = value.word()?,
                "candidates" => self.candidate = Candidate::first_of(value)?,
                "usageMetadata" => self.usage = value.if_object(Counts::read)?,
                "promptFeedback" => {
                    self.block_reason = value.if_object(read_block_reason)?.flatten();
                }
                "error" => self.error = value.error()?,
                _ => value.skip()?,
            }
            Ok(())
        })?;
        reader.end()
    }

    fn emit(&self, state: &mut StreamReader, sink: &mut Sink<'_>) -> Result<(), ReadError> {
        if let Some(model) = self.model {
            let id = self.id.map(Text::into_cow).unwrap_or_default();
            sink(Event::Start { id, model: model.into_cow() });
        }
        if let Some(mut parts) = self.candidate.parts.clone() {
            let read = read_parts(&mut parts, |part| self.emit_part(part, state, sink));
            read.expect("the list was validated");
        }
        if let Some(counts) = self.usage {
            sink(counts.event());
        }
        self.emit_end(state, sink)
    }

    fn emit_part(&self, part: Part<'a>, state: &mut StreamReader, sink: &mut Sink<'_>) {
        if let Some(text) = part.text {
            let text = text.decode(&mut state.buffer).into();
            sink(if part.thought { Event::Reasoning(text) } else { Event::Text(text) });
        }
        if let Some(call) = part.call {
            sink(state.calls.add(call));
        }
        if let Some(name) = part.other {
            sink(Event::Other(name.into()));
        }
    }

    fn emit_end(&self, state: &mut StreamReader, sink: &mut Sink<'_>) -> Result<(), ReadError> {
        if let Some(reason) = self.block_reason {
            let detail = format!("Gemini blocked the prompt: {}.", reason.into_cow());
            return Err(ReadError::Provider(Failure::new(Reason::Filtered, detail)));
        }
        let Some(reason) = self.candidate.finish_reason else { return Ok(()) };
        let calls = state.calls.any();
        match finish_reason(reason.decode(&mut state.buffer), calls) {
            Ended::Not => Ok(()),
            Ended::For(reason) => {
                sink(Event::Finish(reason));
                Ok(())
            }
            Ended::Broken => {
                let message = self.candidate.finish_message.map(Text::into_cow);
                let message = message.unwrap_or_default();
                let detail = format!("Gemini stopped: {}. {message}", reason.into_cow());
                Err(ReadError::Provider(Failure::new(Reason::InBand, detail.trim_end())))
            }
        }
    }
}

impl<'a> Candidate<'a> {
    fn first_of(candidates: &mut Reader<'a>) -> Result<Self, Malformed> {
        let mut first = None;
        candidates.if_list(|candidates| {
            candidates.list(|candidate| match first {
                None => candidate.if_object(Self::read).map(|read| first = read),
                Some(_) => candidate.skip(),
            })
        })?;
        Ok(first.unwrap_or_default())
    }

    fn read(candidate: &mut Reader<'a>) -> Result<Self, Malformed> {
        let mut read = Self::default();
        candidate.object(|value, name| {
            match name {
                "content" => read.parts = value.if_object(read_content)?.flatten(),
                "finishReason" => read.finish_reason = value.code()?,
                "finishMessage" => read.finish_message = value.word()?,
                _ => value.skip()?,
            }
            Ok(())
        })?;
        Ok(read)
    }
}

fn read_content<'a>(content: &mut Reader<'a>) -> Result<Option<Reader<'a>>, Malformed> {
    let mut parts = None;
    content.object(|value, name| {
        match name {
            "parts" => {
                parts = value.if_list(|list| list.checked(|list| read_parts(list, |_| {})))?;
            }
            _ => value.skip()?,
        }
        Ok(())
    })?;
    Ok(parts)
}

fn read_parts<'a>(parts: &mut Reader<'a>, mut part: impl FnMut(Part<'a>)) -> Result<(), Malformed> {
    parts.list(|value| {
        value.if_object(|value| Part::read(value).map(&mut part))?;
        Ok(())
    })
}

#[derive(Default)]
struct Part<'a> {
    text: Option<Text<'a>>,
    thought: bool,
    call: Option<WholeCall<'a>>,
    /// What another kind of part holds, by its name: an image, code, what a tool gave.
    other: Option<String>,
}

/// Fields that describe a part without being content.
const ATTRIBUTES: [&str; 3] = ["partMetadata", "thoughtSignature", "videoMetadata"];

impl<'a> Part<'a> {
    fn read(part: &mut Reader<'a>) -> Result<Self, Malformed> {
        let mut read = Self::default();
        part.object(|value, name| {
            match name {
                "text" => read.text = value.text()?,
                "thought" => read.thought = value.flag()?.unwrap_or(false),
                "functionCall" => read.call = value.if_object(read_call)?,
                name if ATTRIBUTES.contains(&name) => value.skip()?,
                name if value.holds_content(name)? => read.other = Some(name.to_owned()),
                _ => {}
            }
            Ok(())
        })?;
        Ok(read)
    }
}

fn read_call<'a>(call: &mut Reader<'a>) -> Result<WholeCall<'a>, Malformed> {
    let mut read = WholeCall::default();
    call.object(|value, name| {
        match name {
            "id" => read.id = value.word()?,
            "name" => read.name = value.word()?,
            "args" => read.arguments = value.json_text()?,
            _ => value.skip()?,
        }
        Ok(())
    })?;
    Ok(read)
}

impl Counts {
    fn read(usage: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut read = Self::default();
        usage.object(|value, name| {
            match name {
                "promptTokenCount" => read.prompt = value.count()?.unwrap_or(0),
                "cachedContentTokenCount" => {
                    read.cached = value.count()?.unwrap_or(0);
                }
                "toolUsePromptTokenCount" => {
                    read.tool_results = value.count()?.unwrap_or(0);
                }
                "candidatesTokenCount" => read.answer = value.count()?,
                "thoughtsTokenCount" => read.thoughts = value.count()?,
                _ => value.skip()?,
            }
            Ok(())
        })?;
        Ok(read)
    }

    /// Until the answer is counted, only the prompt is.
    fn event(self) -> Event<'static> {
        let thoughts = self.thoughts.unwrap_or(0);
        let usage = Usage {
            input_tokens: self.prompt.saturating_add(self.tool_results),
            output_tokens: self.answer.unwrap_or(0).saturating_add(thoughts),
            cached_tokens: self.cached,
            reasoning_tokens: thoughts,
            ..Usage::default()
        };
        let is_counted = self.answer.or(self.thoughts).is_some();
        if is_counted { Event::Usage(usage) } else { Event::Prompt(usage) }
    }
}

fn read_block_reason<'a>(feedback: &mut Reader<'a>) -> Result<Option<Text<'a>>, Malformed> {
    let mut reason = None;
    feedback.object(|value, name| {
        match name {
            "blockReason" => reason = value.code()?,
            _ => value.skip()?,
        }
        Ok(())
    })?;
    Ok(reason)
}

/// What a finish reason means.
enum Ended {
    /// Nothing.
    Not,
    /// The answer ended, for this reason.
    For(FinishReason),
    /// It is not: the model failed.
    Broken,
}

/// A call is an end the model chose: Gemini calls it `STOP`. Reasons that are not known are none
/// that finish an answer, for those have had their names from the beginning.
fn finish_reason(name: &str, calls: bool) -> Ended {
    match name {
        "" | "FINISH_REASON_UNSPECIFIED" => Ended::Not,
        "STOP" if calls => Ended::For(FinishReason::ToolCalls),
        "STOP" => Ended::For(FinishReason::Stop),
        "MAX_TOKENS" => Ended::For(FinishReason::Length),
        "SAFETY"
        | "RECITATION"
        | "LANGUAGE"
        | "BLOCKLIST"
        | "PROHIBITED_CONTENT"
        | "SPII"
        | "IMAGE_SAFETY"
        | "IMAGE_PROHIBITED_CONTENT"
        | "IMAGE_RECITATION" => Ended::For(FinishReason::ContentFilter),
        _ => Ended::Broken,
    }
}

#[cfg(test)]
mod tests;
