//! The objects that events carry and a complete answer is: a response, and the items of its output.

use std::borrow::Cow;

use super::{List, PARAGRAPH, PlacedCalls, Slot, StreamReader, failure, garbage};
use crate::chat::{Event, FinishReason, ToolCall, Usage};
use crate::failure::{Failure, Reason};
use crate::json::{Malformed, Reader, Text, holds_content};
use crate::protocol::{ReadError, Sink, TextKind};

/// Items that wait for the client.
const CALLS: [&str; 7] = [
    "function_call",
    "custom_tool_call",
    "computer_call",
    "local_shell_call",
    "shell_call",
    "apply_patch_call",
    "mcp_approval_request",
];

/// A `response`, as far as it is known when the event is sent.
#[derive(Default)]
pub(in crate::protocol::responses) struct Response<'a> {
    pub(in crate::protocol::responses) id: Option<Text<'a>>,
    pub(in crate::protocol::responses) model: Option<Text<'a>>,
    /// Seconds since 1970, as written.
    pub(in crate::protocol::responses) created_at: Option<&'a str>,
    status: Option<Text<'a>>,
    /// Why it is incomplete.
    reason: Option<Text<'a>>,
    usage: Option<Usage>,
    /// As written.
    error: Option<&'a str>,
    /// The list of its items, skipped.
    output: Option<Reader<'a>>,
}

impl<'a> Response<'a> {
    pub(super) fn read_from(body: &'a [u8]) -> Result<Self, ReadError> {
        let read = || {
            let mut reader = Reader::new(body)?;
            let response = Self::read(&mut reader)?;
            reader.end().map(|()| response)
        };
        read().map_err(|malformed| garbage(&malformed))
    }

    pub(super) fn read(response: &mut Reader<'a>) -> Result<Self, Malformed> {
        let mut read = Self::default();
        response.object(|value, name| {
            match name {
                "id" => read.id = value.word()?,
                "model" => read.model = value.word()?,
                "created_at" => read.created_at = Some(value.raw()?).filter(|raw| *raw != "null"),
                "status" => read.status = value.code()?,
                "incomplete_details" => read.reason = value.if_object(read_reason)?.flatten(),
                "usage" => read.usage = value.if_object(read_usage)?.flatten(),
                "error" => read.error = value.error()?,
                "output" => {
                    read.output = Some(value.clone());
                    value.skip()?;
                }
                _ => value.skip()?,
            }
            Ok(())
        })?;
        Ok(read)
    }

    /// Whether it is an answer, and over.
    pub(super) fn check(&self) -> Result<(), ReadError> {
        let status = self.status.map(Text::into_cow);
        match status.as_deref() {
            _ if self.error.is_some() => Err(self.failure()),
            Some("failed" | "cancelled") => Err(self.failure()),
            Some(status @ ("queued" | "in_progress")) => {
                let detail = format!("the response is {status}: expected one that is over");
                Err(ReadError::Malformed(detail))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn failure(&self) -> ReadError {
        match self.error {
            Some(error) => failure(error.as_bytes()),
            None => ReadError::Provider(Failure::from(Reason::InBand)),
        }
    }

    pub(super) fn emit_start(&self, sink: &mut Sink<'_>) {
        if let (Some(id), Some(model)) = (self.id, self.model) {
            sink(Event::Start { id: id.into_cow(), model: model.into_cow() });
        }
    }

    pub(super) fn emit_output(
        &self,
        state: &mut StreamReader,
        sink: &mut Sink<'_>,
    ) -> Result<(), ReadError> {
        for (place, item) in (0..).zip(&self.items()?) {
            item.emit(Some(place), state, sink)?;
        }
        Ok(())
    }

    /// Emits the calls that no earlier event completed, and whatever else there was nothing of: some
    /// servers count their items otherwise here, so that a text could not be told from one before.
    pub(super) fn emit_rest(
        &self,
        state: &mut StreamReader,
        sink: &mut Sink<'_>,
    ) -> Result<(), ReadError> {
        let [answer, reasoning, other] =
            [state.emitted.answer, state.emitted.reasoning, state.emitted.other];
        for (place, item) in (0..).zip(&self.items()?) {
            let is_emitted = match item.kind().as_deref() {
                Some("message") => answer,
                Some("reasoning") => reasoning,
                Some(kind) if CALLS.contains(&kind) => false,
                _ => other,
            };
            if !is_emitted {
                item.emit(Some(place), state, sink)?;
            }
        }
        Ok(())
    }

    fn items(&self) -> Result<Vec<Item<'a>>, ReadError> {
        let mut items = Vec::new();
        let Some(mut output) = self.output.clone() else { return Ok(items) };
        let read = output.if_list(|output| {
            output.list(|item| {
                items.push(item.if_object(Item::read)?.unwrap_or_default());
                Ok(())
            })
        });
        read.map(|_| items).map_err(|malformed| garbage(&malformed))
    }

    /// What it cost, and why it is over; `calls` are all that it made.
    pub(super) fn emit_end(&self, calls: &PlacedCalls, sink: &mut Sink<'_>) {
        if let Some(usage) = self.usage {
            sink(Event::Usage(usage));
        }
        let is_incomplete = self.status.is_some_and(|status| status.into_cow() == "incomplete");
        let reason = self.reason.map(Text::into_cow);
        sink(Event::Finish(match reason.as_deref() {
            Some("content_filter") => FinishReason::ContentFilter,
            Some("max_output_tokens") => FinishReason::Length,
            _ if is_incomplete => FinishReason::Length,
            _ if !calls.is_empty() => FinishReason::ToolCalls,
            _ => FinishReason::Stop,
        }));
    }
}

/// An item of an answer; its type determines which fields count.
#[derive(Default)]
pub(in crate::protocol::responses) struct Item<'a> {
    pub(in crate::protocol::responses) kind: Option<Text<'a>>,
    pub(in crate::protocol::responses) id: Option<Text<'a>>,
    call_id: Option<Text<'a>>,
    name: Option<Text<'a>>,
    /// A function's arguments, or a custom tool's input.
    arguments: Option<Text<'a>>,
    /// The lists of its parts, skipped.
    summary: Option<Reader<'a>>,
    content: Option<Reader<'a>>,
    /// As written.
    pub(in crate::protocol::responses) json: &'a str,
}

impl<'a> Item<'a> {
    pub(super) fn read(item: &mut Reader<'a>) -> Result<Self, Malformed> {
        let mut read = Self::default();
        let before = item.clone();
        item.object(|value, name| {
            match name {
                "type" => read.kind = value.code()?,
                "id" => read.id = value.word()?,
                "call_id" => read.call_id = value.word()?,
                "name" => read.name = value.word()?,
                "arguments" | "input" => read.arguments = value.json_text()?,
                "summary" | "content" => {
                    let list = Some(value.clone());
                    *(if name == "summary" { &mut read.summary } else { &mut read.content }) = list;
                    value.skip()?;
                }
                _ => value.skip()?,
            }
            Ok(())
        })?;
        read.json = item.since(&before);
        Ok(read)
    }

    /// Its type; one without is known by what it has.
    fn kind(&self) -> Option<Cow<'a, str>> {
        match self.kind {
            Some(kind) => Some(kind.into_cow()),
            None if self.call_id.is_some() && self.name.is_some() => Some("function_call".into()),
            None if self.summary.is_some() => Some("reasoning".into()),
            None if self.content.is_some() => Some("message".into()),
            None => None,
        }
    }

    /// Emits what of an item that is over was not emitted before.
    pub(super) fn emit(
        &self,
        place: Option<u32>,
        state: &mut StreamReader,
        sink: &mut Sink<'_>,
    ) -> Result<(), ReadError> {
        self.emit_texts(place, state, sink).map_err(|malformed| garbage(&malformed))?;
        self.emit_call(place, state, sink)?;
        self.emit_arguments(place, state, sink);
        self.emit_other(state, sink);
        Ok(())
    }

    /// Emits the name of an item that is neither a text nor a call, if it holds something.
    pub(super) fn emit_other(&self, state: &mut StreamReader, sink: &mut Sink<'_>) {
        let kind = self.kind().unwrap_or("item".into());
        let is_known = matches!(&*kind, "message" | "reasoning") || CALLS.contains(&&*kind);
        if !is_known && holds_content(self.json) {
            state.emitted.other = true;
            sink(Event::Other(kind));
        }
    }

    /// Emits the call that it is, unless that was done before.
    pub(super) fn emit_call(
        &self,
        place: Option<u32>,
        state: &mut StreamReader,
        sink: &mut Sink<'_>,
    ) -> Result<(), ReadError> {
        let kind = self.kind().filter(|kind| CALLS.contains(&kind.as_ref()));
        let Some(kind) = kind else { return Ok(()) };
        let id = self.call_id.or(self.id).map(Text::into_cow).unwrap_or_default();
        if let Some(index) = state.calls.begin(place, &id)? {
            let id = Some(id);
            let name = Some(self.name.map_or(kind, Text::into_cow));
            sink(Event::ToolCall(ToolCall { index, id, name, arguments: "".into() }));
        }
        Ok(())
    }

    /// Emits the arguments of a call that is over, unless they came before in pieces.
    pub(super) fn emit_arguments(
        &self,
        place: Option<u32>,
        state: &mut StreamReader,
        sink: &mut Sink<'_>,
    ) {
        emit_whole_arguments(place, self.arguments, state, sink);
        // A function without arguments is called with none, a custom tool with an empty text.
        if self.kind().as_deref() == Some("function_call")
            && state.calls.lacks_arguments(place)
            && let Some(index) = state.calls.argue(place)
        {
            let arguments = "{}".into();
            sink(Event::ToolCall(ToolCall { index, id: None, name: None, arguments }));
        }
    }

    /// Emits the texts of a message or a reasoning item that is over, but for those that were emitted
    /// before.
    fn emit_texts(
        &self,
        place: Option<u32>,
        state: &mut StreamReader,
        sink: &mut Sink<'_>,
    ) -> Result<(), Malformed> {
        let is_reasoning = match self.kind().as_deref() {
            Some("message") => false,
            Some("reasoning") => true,
            _ => return Ok(()),
        };
        let mut is_first = true;
        let mut emit = |list, index, name: &str, text: Text<'_>| {
            let slot = Slot { place, list, index };
            if text.is_empty() || state.emitted.has(slot) {
                return;
            }
            let kind = match name {
                _ if is_reasoning => TextKind::Reasoning,
                "refusal" => TextKind::Refusal,
                _ => TextKind::Answer,
            };
            state.emitted.add(slot, kind);
            if is_reasoning && !std::mem::take(&mut is_first) {
                sink(Event::Reasoning(PARAGRAPH.into()));
            }
            sink(kind.event(text.decode(&mut state.texts.buffer)));
        };
        if is_reasoning {
            let summary = self.summary.as_ref();
            each_text(summary, |index, name, text| emit(List::Summary, index, name, text))?;
        }
        each_text(self.content.as_ref(), |index, name, text| {
            emit(List::Content, index, name, text);
        })
    }
}

/// Emits the arguments of the call at this place, unless some were emitted before.
pub(super) fn emit_whole_arguments(
    place: Option<u32>,
    arguments: Option<Text<'_>>,
    state: &mut StreamReader,
    sink: &mut Sink<'_>,
) {
    let arguments = arguments.filter(|text| !text.is_empty());
    if let Some(arguments) = arguments.filter(|_| state.calls.lacks_arguments(place)) {
        emit_arguments(place, arguments, state, sink);
    }
}

/// Emits some of the arguments of the call at this place.
pub(super) fn emit_arguments(
    place: Option<u32>,
    arguments: Text<'_>,
    state: &mut StreamReader,
    sink: &mut Sink<'_>,
) {
    if let Some(index) = state.calls.argue(place) {
        let arguments = arguments.decode(&mut state.texts.buffer).into();
        sink(Event::ToolCall(ToolCall { index, id: None, name: None, arguments }));
    }
}

/// Hands over the text of each part in a list, with its place and the name it has there.
fn each_text<'a>(
    parts: Option<&Reader<'a>>,
    mut emit: impl FnMut(u32, &str, Text<'a>),
) -> Result<(), Malformed> {
    let Some(mut parts) = parts.cloned() else { return Ok(()) };
    let mut places = 0..;
    let list = parts.if_list(|parts| {
        parts.list(|part| {
            let place = places.next().unwrap_or(u32::MAX);
            let read = part.if_object(|part| {
                part.object(|value, name| match name {
                    "text" | "refusal" => {
                        value.word()?.into_iter().for_each(|text| emit(place, name, text));
                        Ok(())
                    }
                    _ => value.skip(),
                })
            });
            read.map(drop)
        })
    });
    list.map(drop)
}

fn read_reason<'a>(details: &mut Reader<'a>) -> Result<Option<Text<'a>>, Malformed> {
    let mut reason = None;
    details.object(|value, name| {
        match name {
            "reason" => reason = value.code()?,
            _ => value.skip()?,
        }
        Ok(())
    })?;
    Ok(reason)
}

/// `None` where it counts neither the prompt nor the answer.
fn read_usage(usage: &mut Reader<'_>) -> Result<Option<Usage>, Malformed> {
    let (mut read, mut is_counted) = (Usage::default(), false);
    read_counts(usage, &mut |name, tokens| {
        is_counted |= matches!(name, "input_tokens" | "output_tokens");
        match name {
            "input_tokens" => read.input_tokens = tokens,
            "output_tokens" => read.output_tokens = tokens,
            "cached_tokens" => read.cached_tokens = tokens,
            "cache_write_tokens" => read.cache_write_tokens = tokens,
            "reasoning_tokens" => read.reasoning_tokens = tokens,
            _ => {}
        }
    })?;
    Ok(is_counted.then_some(read))
}

/// The numbers of a usage, and of its details.
fn read_counts(counts: &mut Reader<'_>, count: &mut dyn FnMut(&str, u32)) -> Result<(), Malformed> {
    counts.object(|value, name| {
        match name {
            "input_tokens_details" | "output_tokens_details" => {
                value.if_object(|details| read_counts(details, count))?;
            }
            "input_tokens" | "output_tokens" | "cached_tokens" | "cache_write_tokens"
            | "reasoning_tokens" => {
                value.count()?.into_iter().for_each(|tokens| count(name, tokens));
            }
            _ => value.skip()?,
        }
        Ok(())
    })
}
