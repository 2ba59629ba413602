//! The answer to a client, written.

use serde_json::{Value, json};

use super::custom_calls::{CustomCalls, is_custom};
use crate::chat::{Event, FinishReason, ToolCall, Usage};
use crate::failure::{Failure, Reason, Who};
use crate::protocol::writer::frame::{push, push_json_string, push_number};
use crate::protocol::writer::too_long::{self, Words};
use crate::protocol::{AnswerEnd, AnswerMeta, Collected, CollectedCall, End, custom_tools};

/// The body of an error answer: `{"error": {"message", "type", "param", "code"}}`. A provider's own
/// answer about a request that is wrong by itself goes back as it came.
pub(in crate::protocol) fn error_body(failure: &Failure, words: &Words) -> Vec<u8> {
    match &failure.original {
        Some(original) if failure.goes_back() && !original.body.is_empty() => original.body.clone(),
        _ => error_value(failure, words).to_string().into_bytes(),
    }
}

/// An error in the form of OpenAI's protocols, of which one has these words.
pub(in crate::protocol) fn error_value(failure: &Failure, words: &Words) -> Value {
    let kind = match failure.reason.row().who {
        Who::Client => "invalid_request_error",
        Who::Provider | Who::Operator => "upstream_error",
        Who::Gateway => "server_error",
    };
    let is_too_long = failure.reason == Reason::ContextLength;
    let param = if is_too_long { Some(words.param) } else { failure.param.as_deref() };
    json!({"error": {
        "message": too_long::message(failure, words),
        "type": kind,
        "param": param,
        "code": failure.reason.code(),
    }})
}

/// How a chunk's only choice begins.
const CHOICE: &str = ",\"choices\":[{\"index\":0,\"delta\":";

/// Writes the chunks of one answer. The part of a chunk that stays the same from token to token is
/// written once.
#[derive(Debug)]
pub(crate) struct Writer {
    opening: AnswerMeta,
    /// `data: {"id": ... "choices":[{"index":0,"delta":`; empty until the first event.
    prefix: Vec<u8>,
    custom: CustomCalls,
}

impl Writer {
    pub(in crate::protocol) fn new(opening: AnswerMeta) -> Self {
        Self { opening, prefix: Vec::new(), custom: CustomCalls::default() }
    }

    /// The provider's own frames began the answer: the role is out.
    pub(in crate::protocol) fn forwarded(&mut self) {
        if self.prefix.is_empty() {
            self.prefix = self.head(CHOICE);
        }
    }

    pub(in crate::protocol) fn event(&mut self, out: &mut Vec<u8>, event: &Event<'_>) {
        match event {
            Event::Start { id, model } => self.adopt(id, model),
            Event::Text(text) => self.delta(out, "content", text),
            Event::Reasoning(text) => self.delta(out, "reasoning_content", text),
            Event::Refusal(text) => self.delta(out, "refusal", text),
            Event::ToolCall(call) if self.opening.request.functions => self.function(out, call),
            Event::ToolCall(call) if self.custom.hold(call, &self.opening.request) => {}
            Event::ToolCall(call) => self.call(out, call),
            Event::Finish(reason) => {
                self.begin(out);
                for delta in self.custom.take() {
                    self.chunk(out, &delta, None);
                }
                self.chunk(out, b"{}", Some(*reason));
            }
            Event::Usage(usage) if self.opening.request.include_usage => self.usage(out, usage),
            Event::Usage(_) | Event::Other(_) | Event::Prompt(_) | Event::Warning(_) => {}
        }
    }

    pub(in crate::protocol) fn end(&mut self, out: &mut Vec<u8>, closing: &AnswerEnd<'_>) {
        match closing.end {
            End::Finished(_) => out.extend_from_slice(b"data: [DONE]\n\n"),
            End::Failed(failure) => push(out, &error_value(failure, &too_long::OPENAI)),
            End::Cancelled => {}
        }
    }

    pub(in crate::protocol) fn write_complete(&self, out: &mut Vec<u8>, answer: &Collected) {
        let mut message = json!({"role": "assistant", "content": answer.text});
        if !answer.reasoning.is_empty() {
            message["reasoning_content"] = answer.reasoning.as_str().into();
        }
        message["refusal"] =
            if answer.refusal.is_empty() { Value::Null } else { answer.refusal.as_str().into() };
        if !answer.tool_calls.is_empty() {
            self.add_calls(&mut message, &answer.tool_calls);
            if answer.text.is_empty() {
                message["content"] = Value::Null;
            }
        }
        let finish = answer.finish.map(|reason| self.finish(reason));
        let body = json!({
            "id": self.opening.id,
            "object": "chat.completion",
            "created": self.opening.created,
            "model": self.opening.model,
            "choices": [{"index": 0, "message": message, "logprobs": null, "finish_reason": finish}],
            "usage": answer.usage.as_ref().map(usage_value),
        });
        out.extend_from_slice(body.to_string().as_bytes());
    }

    fn add_calls(&self, message: &mut Value, calls: &[CollectedCall]) {
        let function =
            |call: &CollectedCall| json!({"name": call.name, "arguments": call.arguments});
        if self.opening.request.functions {
            message["function_call"] = function(&calls[0]);
            return;
        }
        let calls = calls.iter().map(|call| match is_custom(&self.opening.request, &call.name) {
            true => {
                let input = custom_tools::input(&call.arguments);
                let custom = json!({"name": call.name, "input": input});
                json!({"id": call.id, "type": "custom", "custom": custom})
            }
            false => json!({"id": call.id, "type": "function", "function": function(call)}),
        });
        message["tool_calls"] = calls.collect();
    }

    fn finish(&self, reason: FinishReason) -> &'static str {
        match reason {
            FinishReason::ToolCalls if self.opening.request.functions => "function_call",
            reason => reason.as_str(),
        }
    }

    fn delta(&mut self, out: &mut Vec<u8>, field: &str, text: &str) {
        self.begin(out);
        out.extend_from_slice(&self.prefix);
        out.extend_from_slice(b"{\"");
        out.extend_from_slice(field.as_bytes());
        out.extend_from_slice(b"\":");
        push_json_string(out, text);
        out.extend_from_slice(b"},\"finish_reason\":null}]}\n\n");
    }

    fn call(&mut self, out: &mut Vec<u8>, call: &ToolCall<'_>) {
        self.begin(out);
        out.extend_from_slice(&self.prefix);
        out.extend_from_slice(b"{\"tool_calls\":[{\"index\":");
        push_number(out, call.index);
        if let Some(id) = &call.id {
            out.extend_from_slice(b",\"id\":");
            push_json_string(out, id);
            out.extend_from_slice(b",\"type\":\"function\"");
        }
        out.extend_from_slice(b",\"function\":{");
        push_function(out, call);
        out.extend_from_slice(b"}}]},\"finish_reason\":null}]}\n\n");
    }

    /// A call as it was before there could be several: the first is the answer's only one.
    fn function(&mut self, out: &mut Vec<u8>, call: &ToolCall<'_>) {
        if call.index > 0 {
            return;
        }
        self.begin(out);
        out.extend_from_slice(&self.prefix);
        out.extend_from_slice(b"{\"function_call\":{");
        push_function(out, call);
        out.extend_from_slice(b"}},\"finish_reason\":null}]}\n\n");
    }

    /// The provider's names, so that chunks of ours and of its own belong together. Once chunks
    /// are out the names stay.
    fn adopt(&mut self, id: &str, model: &str) {
        if self.prefix.is_empty() {
            if !id.is_empty() {
                self.opening.id = id.to_owned();
            }
            self.opening.model = model.to_owned();
        }
    }

    /// Before anything else the role, as the protocol has it.
    fn begin(&mut self, out: &mut Vec<u8>) {
        if self.prefix.is_empty() {
            self.prefix = self.head(CHOICE);
            self.chunk(out, br#"{"role":"assistant","content":""}"#, None);
        }
    }

    /// `data: ` and the chunk's fields up to the choices.
    fn head(&self, then: &str) -> Vec<u8> {
        let mut head = b"data: {\"id\":".to_vec();
        push_json_string(&mut head, &self.opening.id);
        head.extend_from_slice(b",\"object\":\"chat.completion.chunk\",\"created\":");
        head.extend_from_slice(self.opening.created.to_string().as_bytes());
        head.extend_from_slice(b",\"model\":");
        push_json_string(&mut head, &self.opening.model);
        head.extend_from_slice(then.as_bytes());
        head
    }

    fn chunk(&self, out: &mut Vec<u8>, delta: &[u8], finish: Option<FinishReason>) {
        out.extend_from_slice(&self.prefix);
        out.extend_from_slice(delta);
        out.extend_from_slice(b",\"finish_reason\":");
        match finish {
            None => out.extend_from_slice(b"null"),
            Some(reason) => push_json_string(out, self.finish(reason)),
        }
        out.extend_from_slice(b"}]}\n\n");
    }

    fn usage(&self, out: &mut Vec<u8>, usage: &Usage) {
        out.extend_from_slice(&self.head(",\"choices\":[],\"usage\":"));
        out.extend_from_slice(usage_value(usage).to_string().as_bytes());
        out.extend_from_slice(b"}\n\n");
    }
}

/// The members of a called function.
fn push_function(out: &mut Vec<u8>, call: &ToolCall<'_>) {
    if let Some(name) = &call.name {
        out.extend_from_slice(b"\"name\":");
        push_json_string(out, name);
        out.push(b',');
    }
    out.extend_from_slice(b"\"arguments\":");
    push_json_string(out, &call.arguments);
}

pub(in crate::protocol) fn usage_value(usage: &Usage) -> Value {
    let mut value = json!({
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens(),
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    });
    if usage.estimated {
        value["estimated"] = true.into();
    }
    value
}
