//! The answer to a client, written: a `GenerateContentResponse` for each piece of it. A stream is
//! server-sent events, or a list of which each element is a line.
//!
//! Calls are whole in this protocol: they are written once the answer is complete.

use serde_json::{Value, json};

use crate::chat::{Event, FinishReason, Usage};
use crate::failure::Failure;
use crate::json;
use crate::protocol::writer::frame::push_json_string;
use crate::protocol::writer::too_long;
use crate::protocol::{AnswerEnd, AnswerMeta, Collected, End};
use crate::sse::Decoder;

/// The body of an error answer, a `google.rpc.Status`: `{"error": {"code", "message", "status"}}`, with
/// the failure's code among its details. A provider's own answer about a request that is wrong by itself
/// goes back as it came, if it has this form.
pub(in crate::protocol) fn error_body(failure: &Failure) -> Vec<u8> {
    let original = failure.original.as_ref().filter(|_| failure.goes_back());
    match original.filter(|original| is_error(&original.body)) {
        Some(original) => original.body.clone(),
        None => error_value(failure).to_string().into_bytes(),
    }
}

fn is_error(body: &[u8]) -> bool {
    json::read_bytes::<Value>(body).is_ok_and(|value| value["error"]["status"].is_string())
}

fn error_value(failure: &Failure) -> Value {
    let status = match failure.status() {
        401 => "UNAUTHENTICATED",
        403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        429 => "RESOURCE_EXHAUSTED",
        400..=499 => "INVALID_ARGUMENT",
        501 => "UNIMPLEMENTED",
        503 => "UNAVAILABLE",
        504 => "DEADLINE_EXCEEDED",
        _ => "INTERNAL",
    };
    let mut details = vec![json!({
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": failure.reason.code(),
        "domain": "streamgate",
    })];
    details.extend(failure.retry_after.map(|wait| {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        json!({
            "@type": "type.googleapis.com/google.rpc.RetryInfo",
            "retryDelay": format!("{seconds}s"),
        })
    }));
    json!({"error": {
        "code": failure.status(),
        "message": too_long::message(failure, &too_long::GEMINI),
        "status": status,
        "details": details,
    }})
}

/// How a stream is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::protocol) enum Form {
    /// `alt=sse`.
    Events,
    /// One JSON text.
    List,
}

#[derive(Debug)]
pub(crate) struct Writer {
    form: Form,
    opening: AnswerMeta,
    /// An element of the list is out.
    listed: bool,
    /// What follows a text in its chunk; empty until the first.
    tail: Vec<u8>,
    /// What is written at the end: calls, the finish and the usage, and nothing else.
    last: Collected,
    /// The model declined, with a text.
    declined: bool,
}

impl Writer {
    pub(in crate::protocol) fn new(form: Form, opening: AnswerMeta) -> Self {
        let last = Collected::default();
        Self { form, opening, listed: false, tail: Vec::new(), last, declined: false }
    }

    pub(in crate::protocol) fn event(&mut self, out: &mut Vec<u8>, event: &Event<'_>) {
        match event {
            Event::Start { id, model } if self.tail.is_empty() => {
                if !id.is_empty() {
                    self.opening.id = id.to_string();
                }
                self.opening.model = model.to_string();
            }
            Event::Text(text) => self.text(out, "}", text),
            Event::Reasoning(text) => self.text(out, ",\"thought\":true}", text),
            Event::Refusal(text) => {
                self.declined = true;
                self.text(out, "}", text);
            }
            Event::ToolCall(_) | Event::Usage(_) | Event::Finish(_) => self.last.add(event),
            Event::Start { .. } | Event::Prompt(_) | Event::Other(_) | Event::Warning(_) => {}
        }
    }

    /// Writes a provider's own chunks, which stand alone: in a list as its elements.
    pub(in crate::protocol) fn forward(&mut self, out: &mut Vec<u8>, mut frames: &[u8]) {
        if self.form == Form::Events {
            return out.extend_from_slice(frames);
        }
        let mut decoder = Decoder::new(frames.len());
        while let Ok(Some(event)) = decoder.next(&mut frames) {
            self.begin(out);
            out.extend_from_slice(event.data);
            self.finish(out);
        }
    }

    pub(in crate::protocol) fn end(&mut self, out: &mut Vec<u8>, closing: &AnswerEnd<'_>) {
        match closing.end {
            // A provider's own last chunks say it.
            End::Finished(_) if self.last.finish.is_none() && self.last.usage.is_none() => {}
            End::Finished(_) => {
                let last = self.value(&self.last, self.declined);
                self.chunk(out, &last);
            }
            End::Failed(failure) => self.chunk(out, &error_value(failure)),
            End::Cancelled => return,
        }
        if self.form == Form::List {
            out.extend_from_slice(if self.listed { b"]\n" } else { b"[]\n" });
        }
    }

    pub(in crate::protocol) fn write_complete(&self, out: &mut Vec<u8>, answer: &Collected) {
        let value = self.value(answer, !answer.refusal.is_empty());
        out.extend_from_slice(value.to_string().as_bytes());
    }

    /// A chunk with a text: what comes with every token, and so is built without a `Value`.
    fn text(&mut self, out: &mut Vec<u8>, close: &str, text: &str) {
        if text.is_empty() {
            return;
        }
        if self.tail.is_empty() {
            self.tail.extend_from_slice(b"],\"role\":\"model\"},\"index\":0}],\"modelVersion\":");
            push_json_string(&mut self.tail, &self.opening.model);
            self.tail.extend_from_slice(b",\"responseId\":");
            push_json_string(&mut self.tail, &self.opening.id);
            self.tail.push(b'}');
        }
        self.begin(out);
        out.extend_from_slice(b"{\"candidates\":[{\"content\":{\"parts\":[{\"text\":");
        push_json_string(out, text);
        out.extend_from_slice(close.as_bytes());
        out.extend_from_slice(&self.tail);
        self.finish(out);
    }

    fn chunk(&mut self, out: &mut Vec<u8>, chunk: &Value) {
        self.begin(out);
        out.extend_from_slice(chunk.to_string().as_bytes());
        self.finish(out);
    }

    fn begin(&mut self, out: &mut Vec<u8>) {
        let listed = std::mem::replace(&mut self.listed, true);
        out.extend_from_slice(match (self.form, listed) {
            (Form::Events, _) => b"data: ",
            (Form::List, false) => b"[",
            (Form::List, true) => b",",
        });
    }

    fn finish(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(match self.form {
            Form::Events => b"\n\n",
            Form::List => b"\n",
        });
    }

    /// An answer, or what is left of it.
    fn value(&self, answer: &Collected, declined: bool) -> Value {
        let mut value = json!({"modelVersion": self.opening.model, "responseId": self.opening.id});
        if let Some(finish) = answer.finish {
            value["candidates"] = json!([{
                "content": {"parts": parts(answer), "role": "model"},
                "finishReason": finish_reason(finish, declined),
                "index": 0,
            }]);
        }
        if let Some(usage) = &answer.usage {
            value["usageMetadata"] = usage_value(usage);
            if usage.estimated {
                value["usageEstimated"] = true.into();
            }
        }
        value
    }
}

fn parts(answer: &Collected) -> Vec<Value> {
    let mut parts = Vec::new();
    if !answer.reasoning.is_empty() {
        parts.push(json!({"text": answer.reasoning, "thought": true}));
    }
    let text = format!("{}{}", answer.text, answer.refusal);
    if !text.is_empty() || answer.tool_calls.is_empty() {
        parts.push(json!({"text": text}));
    }
    parts.extend(answer.tool_calls.iter().map(
        |call| json!({"functionCall": {"id": call.id, "name": call.name, "args": call.input()}}),
    ));
    parts
}

/// An answer that made calls stopped like any other here.
fn finish_reason(reason: FinishReason, declined: bool) -> &'static str {
    match reason {
        _ if declined => "SAFETY",
        FinishReason::Stop | FinishReason::ToolCalls => "STOP",
        FinishReason::Length => "MAX_TOKENS",
        FinishReason::ContentFilter => "SAFETY",
    }
}

/// Gemini counts thoughts apart from the rest of the answer.
fn usage_value(usage: &Usage) -> Value {
    let mut value = json!({
        "promptTokenCount": usage.input_tokens,
        "candidatesTokenCount": usage.output_tokens.saturating_sub(usage.reasoning_tokens),
        "totalTokenCount": usage.total_tokens(),
    });
    for (name, count) in [
        ("thoughtsTokenCount", usage.reasoning_tokens),
        ("cachedContentTokenCount", usage.cached_tokens),
    ] {
        if count > 0 {
            value[name] = count.into();
        }
    }
    value
}

#[cfg(test)]
mod tests;
