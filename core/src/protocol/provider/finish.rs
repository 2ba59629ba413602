//! The finish reason of a complete answer that is forwarded to a client of the same protocol. Some
//! providers leave it out, and some call it a mere stop where calls were made; clients depend on it.

use crate::chat::FinishReason;
use crate::protocol::body::{Body, elements};
use crate::protocol::openai;
use crate::target::ProviderProtocol;

/// Where a protocol has its finish reasons, and their names.
struct Place {
    /// The list whose elements each have one; `None`: the answer as a whole has one.
    list: Option<&'static str>,
    field: &'static str,
    stop: &'static str,
    /// Whether a reason is a mere stop.
    is_stop: fn(&str) -> bool,
    /// How calls are recognised, and what an answer that made them ends with.
    calls: &'static [(IsCall, &'static str)],
}

type IsCall = fn(&Body<'_>) -> bool;

const OPENAI: Place = Place {
    list: Some("choices"),
    field: "finish_reason",
    stop: "stop",
    is_stop: |reason| openai::finish_reason(reason) == FinishReason::Stop,
    calls: &[
        (|choice| holds(choice, "message", "tool_calls", '['), "tool_calls"),
        (|choice| holds(choice, "message", "function_call", '{'), "function_call"),
    ],
};

const ANTHROPIC: Place = Place {
    list: None,
    field: "stop_reason",
    stop: "end_turn",
    is_stop: |reason| matches!(reason, "end_turn" | "stop_sequence"),
    calls: &[(uses_tool, "tool_use")],
};

/// A call is an end that the model chose: it is a `STOP`.
const GEMINI: Place = Place {
    list: Some("candidates"),
    field: "finishReason",
    stop: "STOP",
    is_stop: |reason| reason == "STOP",
    calls: &[],
};

/// The answer with the finish reasons that it lacks, and `with_calls` with that of calls; `None` if it
/// has them.
pub(in crate::protocol) fn finished(
    protocol: ProviderProtocol,
    body: &[u8],
    with_calls: bool,
) -> Option<Vec<u8>> {
    let place = match protocol {
        ProviderProtocol::OpenAi => OPENAI,
        ProviderProtocol::Anthropic => ANTHROPIC,
        ProviderProtocol::Gemini => GEMINI,
        // An answer that is over is marked as that: there is no other end to state.
        ProviderProtocol::Responses | ProviderProtocol::Ollama => return None,
    };
    let mut body = Body::try_read(body)?;
    let changed = match place.list {
        Some(list) => body.edit_list(list, |answer| place.finish(answer, with_calls)),
        None => place.finish(&mut body, with_calls),
    };
    changed.then(|| body.text().into_bytes())
}

impl Place {
    /// Whether the answer needed another reason.
    fn finish(&self, answer: &mut Body<'_>, with_calls: bool) -> bool {
        let written = answer.get(self.field).and_then(|text| serde_json::from_str(text).ok());
        let written: String = written.unwrap_or_default();
        let calls = self.calls.iter().find(|(is_call, _)| is_call(answer)).map(|(_, name)| *name);
        let reason = match calls {
            Some(calls) if with_calls && !written.is_empty() && (self.is_stop)(&written) => calls,
            _ if !written.is_empty() => return false,
            calls => calls.unwrap_or(self.stop),
        };
        answer.set(self.field, &reason.into());
        true
    }
}

/// Whether a field of an object in `answer` is a list or an object with something in it.
fn holds(answer: &Body<'_>, object: &str, field: &str, opening: char) -> bool {
    let object = answer.get(object).and_then(|text| Body::try_read(text.as_bytes()));
    let Some(object) = object else { return false };
    let inner = object.get(field).and_then(|text| text.strip_prefix(opening));
    inner.is_some_and(|inner| !inner.trim_start().starts_with([']', '}']))
}

fn uses_tool(message: &Body<'_>) -> bool {
    let blocks = message.get("content").and_then(elements).unwrap_or_default();
    let mut blocks = blocks.iter().filter_map(|block| Body::try_read(block.as_bytes()));
    blocks.any(|block| block.get("type") == Some(r#""tool_use""#))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each row: a protocol, what an answer ends with, and what its client must read.
    #[test]
    fn an_answer_without_a_finish_reason_is_given_one() {
        use ProviderProtocol::{Anthropic, Gemini, OpenAi};
        let rows = [
            (
                OpenAi,
                r#"{"choices":[{"message":{"content":"a"}}],"x":1.50}"#,
                r#"{"choices":[{"message":{"content":"a"},"finish_reason":"stop"}],"x":1.50}"#,
            ),
            (
                OpenAi,
                r#"{"choices":[{"finish_reason":null,"message":{"tool_calls":[{}]}}]}"#,
                r#"{"choices":[{"finish_reason":"tool_calls","message":{"tool_calls":[{}]}}]}"#,
            ),
            (
                OpenAi,
                r#"{"choices":[{"finish_reason":"","message":{"tool_calls":[ ]}}]}"#,
                r#"{"choices":[{"finish_reason":"stop","message":{"tool_calls":[ ]}}]}"#,
            ),
            (
                OpenAi,
                r#"{"choices":[{"message":{"function_call":{"name":"f"}}}]}"#,
                r#"{"choices":[{"message":{"function_call":{"name":"f"}},"finish_reason":"function_call"}]}"#,
            ),
            (
                OpenAi,
                r#"{"choices":[{"message":{}},{"finish_reason":"length","message":{}},{"finish_reason":"stop","message":{"tool_calls":[{}]}}]}"#,
                r#"{"choices":[{"message":{},"finish_reason":"stop"},{"finish_reason":"length","message":{}},{"finish_reason":"tool_calls","message":{"tool_calls":[{}]}}]}"#,
            ),
            (
                Anthropic,
                r#"{"content":[{"type":"text","text":"a"}],"stop_reason":""}"#,
                r#"{"content":[{"type":"text","text":"a"}],"stop_reason":"end_turn"}"#,
            ),
            (
                Anthropic,
                r#"{"content":[{"type":"tool_use"}]}"#,
                r#"{"content":[{"type":"tool_use"}],"stop_reason":"tool_use"}"#,
            ),
            (
                Anthropic,
                r#"{"content":[{"type":"tool_use"}],"stop_reason":"max_tokens"}"#,
                r#"{"content":[{"type":"tool_use"}],"stop_reason":"max_tokens"}"#,
            ),
            (
                Gemini,
                r#"{"candidates":[{"content":{"parts":[{"text":"a"}]}}]}"#,
                r#"{"candidates":[{"content":{"parts":[{"text":"a"}]},"finishReason":"STOP"}]}"#,
            ),
            (
                Gemini,
                r#"{"candidates":[{"finishReason":"MAX_TOKENS"}, 7]}"#,
                r#"{"candidates":[{"finishReason":"MAX_TOKENS"}, 7]}"#,
            ),
        ];
        for (protocol, body, expected) in rows {
            let read = finished(protocol, body.as_bytes(), true);
            let read = read.as_deref().unwrap_or(body.as_bytes());
            assert_eq!(str::from_utf8(read).unwrap(), expected);
        }
        let functions = r#"{"choices":[{"finish_reason":"stop","message":{"function_call":{}}}]}"#;
        assert_eq!(finished(OpenAi, functions.as_bytes(), false), None);
    }
}
