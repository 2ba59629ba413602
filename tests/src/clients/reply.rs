//! What the provider answers, in the words of its protocol. Written anew and not with the core's
//! writers, which would share their mistakes.

use serde_json::{Value, json};

use super::errors::{MESSAGE, RETRY_AFTER};

/// An answer in no protocol's words.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Reply {
    Text(String),
    /// A tool's name and arguments.
    Call(String, Value),
    /// The request is at fault.
    Rejected,
    /// The request does not fit into the context.
    TooLong {
        tokens_max: usize,
    },
    /// With the time to come again.
    RateLimited,
    Overloaded,
    /// This text, then an error.
    Broken(String),
    /// This text, then nothing.
    Cut(String),
}

/// How it is to be said.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wording {
    pub(super) protocol: &'static str,
    pub(super) stream: bool,
    /// How long the request is.
    pub(super) tokens: usize,
    /// How many requests came before: identifiers are made of it.
    pub(super) number: usize,
}

const OUTPUT_TOKENS: usize = 7;

impl Wording {
    /// The response.
    pub(super) fn http(&self, reply: &Reply) -> Vec<u8> {
        let (status, body) = match reply {
            Reply::Text(_) | Reply::Call(..) => (200, self.answer(reply)),
            Reply::Rejected => self.failed(400),
            Reply::RateLimited => self.failed(429),
            Reply::Overloaded if self.protocol == "anthropic" => self.failed(529),
            Reply::Overloaded => self.failed(503),
            Reply::TooLong { tokens_max } => self.too_long(*tokens_max),
            Reply::Broken(_) if !self.stream => self.failed(500),
            Reply::Broken(text) => (200, self.begun(text) + &self.error_event()),
            Reply::Cut(text) => (200, self.begun(text)),
        };
        let kind =
            if status == 200 && self.stream { "text/event-stream" } else { "application/json" };
        let mut head = format!(
            "HTTP/1.1 {status} Reply\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n",
            body.len()
        );
        if status == 429 {
            head += &format!("retry-after: {RETRY_AFTER}\r\n");
        }
        format!("{head}\r\n{body}").into_bytes()
    }

    /// An answer up to its text: whole events, or half a body.
    fn begun(&self, text: &str) -> String {
        let answer = self.answer(&Reply::Text(text.to_owned()));
        let at = answer.find(text).unwrap_or_default() + text.len();
        let end = answer[at..].find("\n\n").map_or(at, |end| at + end + 2);
        answer[..end].to_owned()
    }

    fn answer(&self, reply: &Reply) -> String {
        match (self.protocol, self.stream) {
            ("anthropic", false) => self.message(reply).to_string(),
            ("anthropic", true) => named_events(&self.message_events(reply)),
            ("responses", false) => self.response(reply).to_string(),
            ("responses", true) => named_events(&self.response_events(reply)),
            (_, false) => self.completion(reply).to_string(),
            (_, true) => self.chunks(reply),
        }
    }

    /// Chat Completions:
    /// <https://platform.openai.com/docs/api-reference/chat/object>.
    fn completion(&self, reply: &Reply) -> Value {
        let (message, finish) = match reply {
            Reply::Call(name, arguments) => (
                json!({"role": "assistant", "content": null, "tool_calls": [self.call(name, arguments)]}),
                "tool_calls",
            ),
            _ => (json!({"role": "assistant", "content": text(reply), "refusal": null}), "stop"),
        };
        json!({
            "id": self.id("chatcmpl"), "object": "chat.completion", "created": 1_750_000_000, "model": "fake-1",
            "choices": [{"index": 0, "message": message, "logprobs": null, "finish_reason": finish}],
            "usage": self.completion_usage(),
        })
    }

    fn completion_usage(&self) -> Value {
        let total = self.tokens + OUTPUT_TOKENS;
        json!({"prompt_tokens": self.tokens, "completion_tokens": OUTPUT_TOKENS, "total_tokens": total})
    }

    fn chunks(&self, reply: &Reply) -> String {
        let chunk = |choices: Value, usage: Value| {
            json!({
                "id": self.id("chatcmpl"), "object": "chat.completion.chunk", "created": 1_750_000_000,
                "model": "fake-1", "choices": choices, "usage": usage,
            })
        };
        let choice = |delta: Value, finish: Option<&str>| {
            let choice =
                json!({"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish});
            chunk(json!([choice]), Value::Null)
        };
        let (delta, finish) = match reply {
            Reply::Call(name, arguments) => {
                let mut call = self.call(name, arguments);
                call["index"] = json!(0);
                (json!({"tool_calls": [call]}), "tool_calls")
            }
            _ => (json!({"content": text(reply)}), "stop"),
        };
        let chunks = [
            choice(json!({"role": "assistant", "content": ""}), None),
            choice(delta, None),
            choice(json!({}), Some(finish)),
            chunk(json!([]), self.completion_usage()),
        ];
        let events: String = chunks.iter().map(|chunk| format!("data: {chunk}\n\n")).collect();
        events + "data: [DONE]\n\n"
    }

    /// Messages: <https://docs.claude.com/en/api/messages>.
    fn message(&self, reply: &Reply) -> Value {
        let (block, stop) = match reply {
            Reply::Call(name, arguments) => (
                json!({"type": "tool_use", "id": self.id("call"), "name": name, "input": arguments}),
                "tool_use",
            ),
            _ => (json!({"type": "text", "text": text(reply)}), "end_turn"),
        };
        json!({
            "id": self.id("msg"), "type": "message", "role": "assistant", "model": "fake-1",
            "content": [block], "stop_reason": stop, "stop_sequence": null,
            "usage": {"input_tokens": self.tokens, "output_tokens": OUTPUT_TOKENS},
        })
    }

    fn message_events(&self, reply: &Reply) -> Vec<Value> {
        let whole = self.message(reply);
        let mut start = whole.clone();
        start["content"] = json!([]);
        start["stop_reason"] = Value::Null;
        start["usage"]["output_tokens"] = json!(1);
        let (block, delta) = match reply {
            Reply::Call(name, arguments) => (
                json!({"type": "tool_use", "id": self.id("call"), "name": name, "input": {}}),
                json!({"type": "input_json_delta", "partial_json": arguments.to_string()}),
            ),
            _ => (
                json!({"type": "text", "text": ""}),
                json!({"type": "text_delta", "text": text(reply)}),
            ),
        };
        let delta_end = json!({"stop_reason": whole["stop_reason"], "stop_sequence": null});
        vec![
            json!({"type": "message_start", "message": start}),
            json!({"type": "content_block_start", "index": 0, "content_block": block}),
            json!({"type": "content_block_delta", "index": 0, "delta": delta}),
            json!({"type": "content_block_stop", "index": 0}),
            json!({"type": "message_delta", "delta": delta_end, "usage": {"output_tokens": OUTPUT_TOKENS}}),
            json!({"type": "message_stop"}),
        ]
    }

    /// Responses: <https://platform.openai.com/docs/api-reference/responses/object>.
    fn response(&self, reply: &Reply) -> Value {
        json!({
            "id": self.id("resp"), "object": "response", "created_at": 1_750_000_000, "status": "completed",
            "model": "fake-1", "output": [self.item(reply)], "error": null, "incomplete_details": null,
            "usage": {
                "input_tokens": self.tokens, "input_tokens_details": {"cached_tokens": 0},
                "output_tokens": OUTPUT_TOKENS, "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": self.tokens + OUTPUT_TOKENS,
            },
        })
    }

    fn response_events(&self, reply: &Reply) -> Vec<Value> {
        let whole = self.response(reply);
        let mut start = whole.clone();
        start["status"] = json!("in_progress");
        start["output"] = json!([]);
        start["usage"] = Value::Null;
        let mut added = self.item(reply);
        added["status"] = json!("in_progress");
        let delta = match reply {
            Reply::Call(_, arguments) => {
                added["arguments"] = json!("");
                json!({
                    "type": "response.function_call_arguments.delta", "item_id": self.id("fc"),
                    "output_index": 0, "delta": arguments.to_string(),
                })
            }
            _ => {
                added["content"] = json!([]);
                json!({
                    "type": "response.output_text.delta", "item_id": self.id("msg"), "output_index": 0,
                    "content_index": 0, "delta": text(reply),
                })
            }
        };
        let mut events = vec![
            json!({"type": "response.created", "response": start}),
            json!({"type": "response.output_item.added", "output_index": 0, "item": added}),
            delta,
            json!({"type": "response.output_item.done", "output_index": 0, "item": self.item(reply)}),
            json!({"type": "response.completed", "response": whole}),
        ];
        for (number, event) in events.iter_mut().enumerate() {
            event["sequence_number"] = json!(number);
        }
        events
    }

    /// A call of Chat Completions.
    fn call(&self, name: &str, arguments: &Value) -> Value {
        let function = json!({"name": name, "arguments": arguments.to_string()});
        json!({"id": self.id("call"), "type": "function", "function": function})
    }

    /// An output item of Responses.
    fn item(&self, reply: &Reply) -> Value {
        match reply {
            Reply::Call(name, arguments) => json!({
                "type": "function_call", "id": self.id("fc"), "call_id": self.id("call"), "status": "completed",
                "name": name, "arguments": arguments.to_string(),
            }),
            _ => json!({
                "type": "message", "id": self.id("msg"), "status": "completed", "role": "assistant",
                "content": [{"type": "output_text", "text": text(reply), "annotations": [], "logprobs": []}],
            }),
        }
    }

    /// Of this response alone: Claude Code takes messages of one identifier for parts of one.
    fn id(&self, kind: &str) -> String {
        format!("{kind}_{}", self.number)
    }

    fn error(&self, status: u16, message: &str, code: Option<&str>) -> Value {
        let anthropic = self.protocol == "anthropic";
        let kind = match status {
            400 => "invalid_request_error",
            429 => "rate_limit_error",
            529 => "overloaded_error",
            _ if anthropic => "api_error",
            _ => "server_error",
        };
        if anthropic {
            let error = json!({"type": kind, "message": message});
            return json!({"type": "error", "error": error, "request_id": "req_1"});
        }
        json!({"error": {"message": message, "type": kind, "param": null, "code": code}})
    }

    fn failed(&self, status: u16) -> (u16, String) {
        (status, self.error(status, MESSAGE, None).to_string())
    }

    fn error_event(&self) -> String {
        match self.protocol {
            "anthropic" => named_events(&[self.error(500, MESSAGE, None)]),
            "responses" => named_events(&[json!({
                "type": "error", "sequence_number": 3, "code": "server_error", "message": MESSAGE,
                "param": null,
            })]),
            _ => format!("data: {}\n\n", self.error(500, MESSAGE, None)),
        }
    }

    /// In the words of the protocol's own provider, where that reports it.
    fn too_long(&self, tokens_max: usize) -> (u16, String) {
        let tokens = self.tokens;
        let code = Some("context_length_exceeded");
        match (self.protocol, self.stream) {
            ("anthropic", _) => {
                let message = format!("prompt is too long: {tokens} tokens > {tokens_max} maximum");
                (400, self.error(400, &message, None).to_string())
            }
            ("responses", true) => {
                let failed = json!({
                    "type": "response.failed", "sequence_number": 0,
                    "response": {
                        "id": self.id("resp"), "object": "response", "status": "failed", "output": [],
                        "error": {"code": code, "message": WINDOW_EXCEEDED},
                    },
                });
                (200, named_events(&[failed]))
            }
            ("responses", false) => (400, self.error(400, WINDOW_EXCEEDED, code).to_string()),
            _ => {
                let message = format!(
                    "This model's maximum context length is {tokens_max} tokens. However, your messages \
                     resulted in {tokens} tokens. Please reduce the length of the messages."
                );
                (400, self.error(400, &message, code).to_string())
            }
        }
    }
}

const WINDOW_EXCEEDED: &str =
    "Your input exceeds the context window of this model. Please adjust your input and try again.";

fn text(reply: &Reply) -> &str {
    if let Reply::Text(text) = reply { text } else { "" }
}

/// Events that repeat their type as their name.
fn named_events(events: &[Value]) -> String {
    let show = |event: &Value| {
        format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap_or_default())
    };
    events.iter().map(show).collect()
}
