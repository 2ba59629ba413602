//! The answer to a client, written.
//!
//! Blocks come one after the other: content of another kind closes the open one. Where a provider
//! interleaves the fragments of parallel calls, the first call streams and the others wait until its
//! arguments are whole.

use std::io::Write as _;

use serde_json::{Value, json};

use crate::chat::{Event, FinishReason, ToolCall, Usage};
use crate::failure::Failure;
use crate::json::{self, Malformed, Nesting, Reader, Text};
use crate::protocol::writer::frame::push_json_string;
use crate::protocol::writer::too_long;
use crate::protocol::{AnswerEnd, AnswerMeta, Collected, CollectedCall, End};
use crate::sse;

/// The body of an error answer: `{"type": "error", "error": {"type", "message"}, "request_id"}`. A
/// provider's own answer about a request that is wrong by itself goes back as it came, if it has
/// this shape.
pub(in crate::protocol) fn error_body(failure: &Failure, id: Option<&str>) -> Vec<u8> {
    let original = failure.original.as_ref().filter(|_| failure.goes_back());
    match original.filter(|original| is_error(&original.body)) {
        Some(original) => original.body.clone(),
        None => error_value(failure, id).to_string().into_bytes(),
    }
}

fn is_error(body: &[u8]) -> bool {
    let Ok(value) = json::read_bytes::<Value>(body) else { return false };
    value["type"] == "error" && value["error"]["type"].is_string()
}

fn error_value(failure: &Failure, id: Option<&str>) -> Value {
    let kind = match failure.status() {
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        400..=499 => "invalid_request_error",
        503 | 529 => "overloaded_error",
        504 => "timeout_error",
        _ => "api_error",
    };
    json!({
        "type": "error",
        "error": {"type": kind, "message": too_long::message(failure, &too_long::ANTHROPIC)},
        "request_id": id,
    })
}

/// Writes the events of one answer.
#[derive(Debug)]
pub(crate) struct Writer {
    opening: AnswerMeta,
    /// `message_start` is out.
    begun: bool,
    /// The index of the next block.
    next: u32,
    open: Option<Open>,
    /// Calls that began while another was open, with their fragments so far. Bounded by the answer's
    /// own bytes.
    waiting: Vec<(u32, CollectedCall)>,
    /// The model declined, with a text.
    declined: bool,
    finish: Option<FinishReason>,
    usage: Option<Usage>,
}

/// The block that is open.
#[derive(Debug)]
struct Open {
    index: u32,
    kind: Kind,
}

#[derive(Debug, PartialEq)]
enum Kind {
    Text,
    Thinking,
    /// A tool call, by its index among them.
    Call(u32, Nesting),
    /// One that only the provider's own protocol has.
    Foreign,
}

impl Writer {
    pub(in crate::protocol) fn new(opening: AnswerMeta) -> Self {
        Self {
            opening,
            begun: false,
            next: 0,
            open: None,
            waiting: Vec::new(),
            declined: false,
            finish: None,
            usage: None,
        }
    }

    /// The provider's own frames were forwarded: what is written next continues the block they left
    /// open.
    pub(in crate::protocol) fn forwarded(&mut self, mut frames: &[u8]) {
        self.begun = true;
        let mut decoder = sse::Decoder::new(usize::MAX);
        while let Ok(Some(event)) = decoder.next(&mut frames) {
            match event.name {
                "content_block_start" => {
                    let (index, kind) = opened(event.data).unwrap_or((self.next, Kind::Foreign));
                    self.next = index.saturating_add(1);
                    self.open = Some(Open { index, kind });
                }
                "content_block_stop" => self.open = None,
                _ => {}
            }
        }
    }

    pub(in crate::protocol) fn event(&mut self, out: &mut Vec<u8>, event: &Event<'_>) {
        match event {
            Event::Start { model, .. } if !self.begun => self.opening.model = model.to_string(),
            Event::Text(text) => self.text(out, Kind::Text, text),
            Event::Reasoning(text) => self.text(out, Kind::Thinking, text),
            Event::Refusal(text) => {
                self.declined = true;
                self.text(out, Kind::Text, text);
            }
            Event::ToolCall(call) => self.call(out, call),
            Event::Finish(reason) => self.finish = Some(*reason),
            Event::Usage(usage) => self.usage = Some(*usage),
            Event::Start { .. } | Event::Other(_) | Event::Prompt(_) | Event::Warning(_) => {}
        }
    }

    pub(in crate::protocol) fn end(&mut self, out: &mut Vec<u8>, closing: &AnswerEnd<'_>) {
        match closing.end {
            End::Finished(reason) => {
                self.begin(out);
                self.close_all(out);
                // The provider's own `message_delta` had both.
                if self.finish.is_some() || self.usage.is_some() {
                    self.message_delta(out, *reason);
                }
                out.extend_from_slice(
                    b"event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
                );
            }
            End::Failed(failure) => {
                frame(out, "error", &error_value(failure, Some(&self.opening.id)));
            }
            End::Cancelled => {}
        }
    }

    pub(in crate::protocol) fn write_complete(&self, out: &mut Vec<u8>, answer: &Collected) {
        let mut content = Vec::new();
        if !answer.reasoning.is_empty() {
            content
                .push(json!({"type": "thinking", "thinking": answer.reasoning, "signature": ""}));
        }
        for text in [&answer.text, &answer.refusal] {
            if !text.is_empty() {
                content.push(json!({"type": "text", "text": text}));
            }
        }
        content.extend(answer.tool_calls.iter().map(|call| {
            json!({"type": "tool_use", "id": call.id, "name": call.name, "input": call.input()})
        }));
        let declined = !answer.refusal.is_empty();
        let mut message = self.message(&answer.usage.unwrap_or_default());
        message["content"] = content.into();
        message["stop_reason"] = answer.finish.map(|reason| stop_reason(reason, declined)).into();
        out.extend_from_slice(message.to_string().as_bytes());
    }

    /// The message as far as it is known at its start.
    fn message(&self, usage: &Usage) -> Value {
        let random = self.opening.id.rsplit('-').next().unwrap_or_default();
        json!({
            "id": format!("msg_{random}"),
            "type": "message",
            "role": "assistant",
            "model": self.opening.model,
            "content": [],
            "stop_reason": null,
            "stop_sequence": null,
            "usage": usage_value(usage),
        })
    }

    fn begin(&mut self, out: &mut Vec<u8>) {
        if !self.begun {
            self.begun = true;
            let message = self.message(&Usage::default());
            frame(out, "message_start", &json!({"type": "message_start", "message": message}));
        }
    }

    fn text(&mut self, out: &mut Vec<u8>, kind: Kind, text: &str) {
        if text.is_empty() {
            return;
        }
        if self.open.as_ref().is_none_or(|open| open.kind != kind) {
            self.begin(out);
            self.close_all(out);
            let block = match kind {
                Kind::Thinking => json!({"type": "thinking", "thinking": "", "signature": ""}),
                Kind::Text | Kind::Call(..) | Kind::Foreign => json!({"type": "text", "text": ""}),
            };
            self.open(out, kind, &block);
        }
        self.delta(out, text);
    }

    fn call(&mut self, out: &mut Vec<u8>, call: &ToolCall<'_>) {
        self.begin(out);
        match &self.open {
            Some(Open { kind: Kind::Call(index, _), .. }) if *index == call.index => {
                self.delta(out, &call.arguments);
                self.open_waiting(out);
            }
            Some(Open { kind: Kind::Call(_, arguments), .. }) if !arguments.is_whole() => {
                self.wait(call);
            }
            // Nothing can follow complete arguments.
            _ if call.id.is_none() && call.name.is_none() => {}
            _ => {
                self.wait(call);
                self.open_waiting(out);
            }
        }
    }

    fn wait(&mut self, call: &ToolCall<'_>) {
        let place = self.waiting.iter().position(|(index, _)| *index == call.index);
        let place = place.unwrap_or_else(|| {
            self.waiting.push((call.index, CollectedCall::default()));
            self.waiting.len() - 1
        });
        self.waiting[place].1.add(call);
    }

    /// Opens the calls that wait, up to the first that is incomplete.
    fn open_waiting(&mut self, out: &mut Vec<u8>) {
        let unfinished =
            |open: &Open| matches!(&open.kind, Kind::Call(_, said) if !said.is_whole());
        while !self.waiting.is_empty() && !self.open.as_ref().is_some_and(unfinished) {
            let (index, call) = self.waiting.remove(0);
            self.open_call(out, index, &call);
        }
    }

    fn open_call(&mut self, out: &mut Vec<u8>, index: u32, call: &CollectedCall) {
        self.close(out);
        let block = json!({"type": "tool_use", "id": call.id, "name": call.name, "input": {}});
        self.open(out, Kind::Call(index, Nesting::default()), &block);
        self.delta(out, &call.arguments);
    }

    fn open(&mut self, out: &mut Vec<u8>, kind: Kind, block: &Value) {
        let index = self.next;
        self.next += 1;
        let start = json!({"type": "content_block_start", "index": index, "content_block": block});
        frame(out, "content_block_start", &start);
        self.open = Some(Open { index, kind });
    }

    /// More of the open block.
    fn delta(&mut self, out: &mut Vec<u8>, text: &str) {
        let Some(Open { index, kind }) = &mut self.open else { return };
        if text.is_empty() {
            return;
        }
        let (delta, field) = match kind {
            Kind::Text | Kind::Foreign => ("text_delta", "text"),
            Kind::Thinking => ("thinking_delta", "thinking"),
            Kind::Call(_, arguments) => {
                arguments.add(text);
                ("input_json_delta", "partial_json")
            }
        };
        let head =
            b"event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":";
        out.extend_from_slice(head);
        write!(out, "{index},\"delta\":{{\"type\":\"{delta}\",\"{field}\":")
            .expect("a Vec takes every write");
        push_json_string(out, text);
        out.extend_from_slice(b"}}\n\n");
    }

    fn close(&mut self, out: &mut Vec<u8>) {
        if let Some(Open { index, .. }) = self.open.take() {
            let stop = json!({"type": "content_block_stop", "index": index});
            frame(out, "content_block_stop", &stop);
        }
    }

    /// Closes the open block, and writes what waits behind it.
    fn close_all(&mut self, out: &mut Vec<u8>) {
        for (index, call) in std::mem::take(&mut self.waiting) {
            self.open_call(out, index, &call);
        }
        self.close(out);
    }

    fn message_delta(&self, out: &mut Vec<u8>, reason: FinishReason) {
        let delta = json!({
            "type": "message_delta",
            "delta": {"stop_reason": stop_reason(reason, self.declined), "stop_sequence": null},
            "usage": usage_value(&self.usage.unwrap_or_default()),
        });
        frame(out, "message_delta", &delta);
    }
}

fn frame(out: &mut Vec<u8>, name: &str, data: &Value) {
    sse::encode(out, Some(name), None, data.to_string().as_bytes());
}

/// The block that a `content_block_start` opens.
fn opened(data: &[u8]) -> Option<(u32, Kind)> {
    let (mut index, mut kind) = (None, Kind::Foreign);
    let mut reader = Reader::new(data).ok()?;
    let read = reader.object(|value, name| match name {
        "index" => value.place().map(|read| index = read),
        "content_block" => value.if_object(read_kind).map(|read| {
            kind = read.unwrap_or(Kind::Foreign);
        }),
        _ => value.skip(),
    });
    read.ok()?;
    Some((index?, kind))
}

fn read_kind(block: &mut Reader<'_>) -> Result<Kind, Malformed> {
    let mut kind = Kind::Foreign;
    block.object(|value, name| {
        if name != "type" {
            return value.skip();
        }
        kind = match value.word()?.map(Text::into_cow).as_deref() {
            Some("text") => Kind::Text,
            Some("thinking") => Kind::Thinking,
            _ => Kind::Foreign,
        };
        Ok(())
    })?;
    Ok(kind)
}

fn stop_reason(reason: FinishReason, declined: bool) -> &'static str {
    match reason {
        _ if declined => "refusal",
        FinishReason::Stop => "end_turn",
        FinishReason::Length => "max_tokens",
        FinishReason::ToolCalls => "tool_use",
        FinishReason::ContentFilter => "refusal",
    }
}

/// Anthropic counts what came from a cache, and what went into one, apart from the rest.
fn usage_value(usage: &Usage) -> Value {
    let cached = usage.cached_tokens.saturating_add(usage.cache_write_tokens);
    let mut value = json!({
        "input_tokens": usage.input_tokens.saturating_sub(cached),
        "cache_creation_input_tokens": usage.cache_write_tokens,
        "cache_read_input_tokens": usage.cached_tokens,
        "output_tokens": usage.output_tokens,
    });
    if usage.reasoning_tokens > 0 {
        value["output_tokens_details"] = json!({"thinking_tokens": usage.reasoning_tokens});
    }
    if usage.estimated {
        value["estimated"] = true.into();
    }
    value
}

#[cfg(test)]
mod tests;
