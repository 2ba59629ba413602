//! The answer to a client, written.

use serde_json::{Value, json};

use crate::chat::{Event, FinishReason, Role, Usage};
use crate::failure::Failure;
use crate::json;
use crate::protocol::writer::frame::{push, push_json_string, push_number};
use crate::protocol::{AnswerEnd, AnswerMeta, Collected, CollectedCall, End};

/// What a client knows the protocol by.
pub(in crate::protocol) const STREAM_HEADERS: &[(&str, &str)] =
    &[("x-vercel-ai-ui-message-stream", "v1")];

/// The body of an error answer: `useChat` shows it as it is.
pub(in crate::protocol) fn error_body(failure: &Failure) -> Vec<u8> {
    failure.message().as_bytes().to_vec()
}

/// Writes the parts of one message.
#[derive(Debug)]
pub(crate) struct Writer {
    opening: AnswerMeta,
    begun: bool,
    /// The block that deltas go to, if one is open.
    open: Option<Block>,
    /// How many blocks were closed: the open one's name.
    closed: u32,
    /// The model declined: its refusal is text here, and the finish reason marks it.
    declined: bool,
    /// What is written at the end: calls, finish, usage.
    collected: Collected,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Block {
    Text,
    Reasoning,
}

impl Writer {
    pub(in crate::protocol) fn new(opening: AnswerMeta) -> Self {
        let collected = Collected::default();
        Self { opening, begun: false, open: None, closed: 0, declined: false, collected }
    }

    pub(in crate::protocol) fn event(&mut self, out: &mut Vec<u8>, event: &Event<'_>) {
        match event {
            Event::Start { model, .. } => self.opening.model = model.clone().into_owned(),
            Event::Text(text) => self.delta(out, Block::Text, text),
            Event::Refusal(text) => {
                self.declined |= !text.is_empty();
                self.delta(out, Block::Text, text);
            }
            Event::Reasoning(text) => self.delta(out, Block::Reasoning, text),
            Event::ToolCall(call) => {
                self.begin(out);
                self.close(out);
                let known = self.collected.tool_calls.len();
                self.collected.add(event);
                let index = (call.index as usize).min(known);
                tool_input(out, &self.collected.tool_calls[index], index == known, &call.arguments);
            }
            Event::Usage(_) | Event::Finish(_) => self.collected.add(event),
            Event::Other(_) | Event::Prompt(_) | Event::Warning(_) => {}
        }
    }

    pub(in crate::protocol) fn end(&mut self, out: &mut Vec<u8>, closing: &AnswerEnd<'_>) {
        match closing.end {
            End::Finished(reason) => {
                self.begin(out);
                self.close(out);
                for call in &self.collected.tool_calls {
                    push(out, &called(call));
                }
                push(out, &json!({"type": "finish-step"}));
                push(out, &self.finish(*reason, closing.fallback));
                out.extend_from_slice(b"data: [DONE]\n\n");
            }
            End::Failed(failure) => {
                push(out, &json!({"type": "error", "errorText": failure.message()}));
            }
            End::Cancelled => push(out, &json!({"type": "abort"})),
        }
    }

    pub(in crate::protocol) fn write_complete(&self, out: &mut Vec<u8>, answer: &Collected) {
        push_json_string(out, &answer.text);
    }

    /// An answer to the results of tools continues the message that called them, whose name is
    /// the client's.
    fn begin(&mut self, out: &mut Vec<u8>) {
        if std::mem::replace(&mut self.begun, true) {
            return;
        }
        let mut start = json!({"type": "start"});
        if self.opening.request.messages.last().is_none_or(|last| last.role == Role::User) {
            start["messageId"] = self.opening.id.as_str().into();
        }
        push(out, &start);
        push(out, &json!({"type": "start-step"}));
    }

    fn delta(&mut self, out: &mut Vec<u8>, block: Block, text: &str) {
        if self.open != Some(block) {
            self.begin(out);
            self.close(out);
            self.open = Some(block);
            self.part(out, block, "start");
            out.extend_from_slice(b"}\n\n");
        }
        self.part(out, block, "delta");
        out.extend_from_slice(b",\"delta\":");
        push_json_string(out, text);
        out.extend_from_slice(b"}\n\n");
    }

    fn close(&mut self, out: &mut Vec<u8>) {
        if let Some(block) = self.open.take() {
            self.part(out, block, "end");
            out.extend_from_slice(b"}\n\n");
            self.closed += 1;
        }
    }

    /// `data: {"type":"text-delta","id":"0"`
    fn part(&self, out: &mut Vec<u8>, block: Block, step: &str) {
        let block = match block {
            Block::Text => "text",
            Block::Reasoning => "reasoning",
        };
        for piece in ["data: {\"type\":\"", block, "-", step, "\",\"id\":\""] {
            out.extend_from_slice(piece.as_bytes());
        }
        push_number(out, self.closed);
        out.push(b'"');
    }

    /// What an application reads beside the message: the model, what the answer cost, and whether it
    /// is no model's.
    fn finish(&self, reason: FinishReason, fallback: bool) -> Value {
        let mut metadata = json!({"model": self.opening.model});
        if let Some(usage) = &self.collected.usage {
            metadata["usage"] = usage_value(usage);
        }
        if fallback {
            metadata["fallback"] = true.into();
        }
        let reason = match reason {
            _ if self.declined => "content-filter",
            FinishReason::Stop => "stop",
            FinishReason::Length => "length",
            FinishReason::ToolCalls => "tool-calls",
            FinishReason::ContentFilter => "content-filter",
        };
        json!({"type": "finish", "finishReason": reason, "messageMetadata": metadata})
    }
}

fn tool_input(out: &mut Vec<u8>, call: &CollectedCall, is_new: bool, more: &str) {
    if is_new {
        let start =
            json!({"type": "tool-input-start", "toolCallId": call.id, "toolName": call.name});
        push(out, &start);
    }
    if !more.is_empty() {
        out.extend_from_slice(b"data: {\"type\":\"tool-input-delta\",\"toolCallId\":");
        push_json_string(out, &call.id);
        out.extend_from_slice(b",\"inputTextDelta\":");
        push_json_string(out, more);
        out.extend_from_slice(b"}\n\n");
    }
}

/// A call whose arguments are whole. A tool without arguments may be called with no text at all.
fn called(call: &CollectedCall) -> Value {
    let text = if call.arguments.trim().is_empty() { "{}" } else { &call.arguments };
    match json::read::<Value>(text) {
        Ok(input) => json!({
            "type": "tool-input-available",
            "toolCallId": call.id,
            "toolName": call.name,
            "input": input,
        }),
        Err(error) => json!({
            "type": "tool-input-error",
            "toolCallId": call.id,
            "toolName": call.name,
            "input": text,
            "errorText": format!("The model's arguments are not valid JSON: {error}"),
        }),
    }
}

fn usage_value(usage: &Usage) -> Value {
    let mut value = json!({
        "inputTokens": usage.input_tokens,
        "outputTokens": usage.output_tokens,
        "totalTokens": usage.total_tokens(),
        "cachedInputTokens": usage.cached_tokens,
        "reasoningTokens": usage.reasoning_tokens,
    });
    if usage.estimated {
        value["estimated"] = true.into();
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::{ChatRequest, Message, Part, ToolCall};
    use crate::protocol::ClientProtocol;
    use crate::protocol::vectors::meaning::{self, written};

    fn asked() -> ChatRequest {
        ChatRequest { messages: vec![Message::text(Role::User, "Hi")], ..ChatRequest::default() }
    }

    fn parts(request: ChatRequest, events: &[Event<'_>]) -> Vec<String> {
        let out = written(ClientProtocol::UiMessage, request, events);
        let parts = out.strip_suffix("\n\n").unwrap().split("\n\n");
        parts.map(|part| part.strip_prefix("data: ").unwrap().to_owned()).collect()
    }

    const START: &str = r#"{"messageId":"answer-1","type":"start"}"#;
    const STEP: &str = r#"{"type":"start-step"}"#;
    const STEP_END: &str = r#"{"type":"finish-step"}"#;

    fn finish(reason: &str, cached: u32, thought: u32) -> String {
        format!(
            r#"{{"finishReason":"{reason}","messageMetadata":{{"model":"fake-1","usage":{{"cachedInputTokens":{cached},"inputTokens":12,"outputTokens":7,"reasoningTokens":{thought},"totalTokens":19}}}},"type":"finish"}}"#
        )
    }

    #[test]
    fn text() {
        assert_eq!(
            parts(asked(), &meaning::text()),
            [
                START,
                STEP,
                r#"{"type":"text-start","id":"0"}"#,
                r#"{"type":"text-delta","id":"0","delta":"Hello, "}"#,
                r#"{"type":"text-delta","id":"0","delta":"wörld "}"#,
                r#"{"type":"text-delta","id":"0","delta":"😀!"}"#,
                r#"{"type":"text-end","id":"0"}"#,
                STEP_END,
                &finish("stop", 4, 0),
                "[DONE]",
            ]
        );
    }

    #[test]
    fn tools() {
        assert_eq!(
            parts(asked(), &meaning::tools()),
            [
                START,
                STEP,
                r#"{"type":"text-start","id":"0"}"#,
                r#"{"type":"text-delta","id":"0","delta":"Let me look."}"#,
                r#"{"type":"text-end","id":"0"}"#,
                r#"{"toolCallId":"call_1","toolName":"get_weather","type":"tool-input-start"}"#,
                r#"{"type":"tool-input-delta","toolCallId":"call_1","inputTextDelta":"{\"city\":"}"#,
                r#"{"type":"tool-input-delta","toolCallId":"call_1","inputTextDelta":"\"Paris\"}"}"#,
                r#"{"toolCallId":"call_2","toolName":"get_time","type":"tool-input-start"}"#,
                r#"{"type":"tool-input-delta","toolCallId":"call_2","inputTextDelta":"{\"zone\":\"CET\"}"}"#,
                r#"{"input":{"city":"Paris"},"toolCallId":"call_1","toolName":"get_weather","type":"tool-input-available"}"#,
                r#"{"input":{"zone":"CET"},"toolCallId":"call_2","toolName":"get_time","type":"tool-input-available"}"#,
                STEP_END,
                &finish("tool-calls", 0, 0),
                "[DONE]",
            ]
        );
    }

    #[test]
    fn reasoning_then_text_are_two_blocks() {
        assert_eq!(
            parts(asked(), &meaning::reasoning()),
            [
                START,
                STEP,
                r#"{"type":"reasoning-start","id":"0"}"#,
                r#"{"type":"reasoning-delta","id":"0","delta":"Let me think."}"#,
                r#"{"type":"reasoning-end","id":"0"}"#,
                r#"{"type":"text-start","id":"1"}"#,
                r#"{"type":"text-delta","id":"1","delta":"42"}"#,
                r#"{"type":"text-end","id":"1"}"#,
                STEP_END,
                &finish("stop", 0, 3),
                "[DONE]",
            ]
        );
    }

    #[test]
    fn length_and_error() {
        let parts_of = |events: Vec<Event<'static>>| parts(asked(), &events);
        assert_eq!(parts_of(meaning::length())[6], finish("length", 0, 0));
        assert_eq!(
            parts_of(meaning::error())[3..],
            [
                r#"{"type":"text-delta","id":"0","delta":"Hel"}"#,
                r#"{"errorText":"The engine is on fire.","type":"error"}"#,
            ]
        );
    }

    #[test]
    fn a_refusal_is_text_that_a_filter_ended() {
        let events = [Event::Refusal("No.".into()), Event::Finish(FinishReason::Stop)];
        let parts = parts(asked(), &events);
        assert_eq!(parts[3], r#"{"type":"text-delta","id":"0","delta":"No."}"#);
        assert!(parts[6].starts_with(r#"{"finishReason":"content-filter""#), "{}", parts[6]);
    }

    #[test]
    fn an_answer_to_results_goes_on_with_the_clients_own_message() {
        let result = Part::ToolResult { id: "call_1".into(), parts: Vec::new(), is_error: false };
        let results = Message { role: Role::Tool, parts: vec![result] };
        let request = ChatRequest { messages: vec![results], ..ChatRequest::default() };
        assert_eq!(parts(request, &meaning::length())[0], r#"{"type":"start"}"#);
    }

    #[test]
    fn arguments_that_are_no_json_are_told_as_an_error() {
        let call = |arguments: &'static str| {
            Event::ToolCall(ToolCall {
                index: 0,
                id: Some("c".into()),
                name: Some("f".into()),
                arguments: arguments.into(),
            })
        };
        let told = |arguments| {
            let events = [call(arguments), Event::Finish(FinishReason::ToolCalls)];
            let parts = parts(asked(), &events);
            let last = parts.iter().rfind(|part| part.contains("toolCallId")).unwrap();
            serde_json::from_str::<Value>(last).unwrap()
        };
        assert_eq!(told("")["input"], json!({}));
        let broken = told("{\"a\":");
        assert_eq!(broken["type"], "tool-input-error");
        assert_eq!(broken["input"], "{\"a\":");
    }
}
