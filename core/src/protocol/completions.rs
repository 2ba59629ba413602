//! OpenAI's completions of one prompt, the protocol before Chat Completions, towards clients: `POST
//! /v1/completions`. Reference: platform.openai.com/docs/api-reference/completions.
//!
//! The prompt is a user's message, so what needs the model's own text is refused by name: `suffix`,
//! `echo`, `logprobs`, several completions, prompts as tokens.

use serde::Deserialize;
use serde_json::{Value, json};

use super::writer::frame::{push, push_json_string};
use super::writer::too_long;
use super::{AnswerEnd, AnswerMeta, Collected, End, openai, parse_json};
use crate::chat::{ChatRequest, Event, FinishReason, Message, Role};
use crate::failure::{Failure, Reason};

/// What a chat has not; the rest is as there.
#[derive(Deserialize)]
struct Request {
    prompt: Option<Value>,
    suffix: Option<String>,
    echo: Option<bool>,
    best_of: Option<u32>,
    n: Option<u32>,
    logprobs: Option<Value>,
}

/// Reads the JSON body of `POST /v1/completions`.
pub(super) fn parse_request(body: &[u8]) -> Result<ChatRequest, Failure> {
    let request: Request = parse_json(body)?;
    request.check()?;
    let prompt = prompt(request.prompt.as_ref())?;
    let messages = vec![Message::text(Role::User, prompt)];
    Ok(ChatRequest { messages, ..openai::parse_settings(body)? })
}

impl Request {
    fn check(&self) -> Result<(), Failure> {
        let several = |count: Option<u32>| count.is_some_and(|count| count > 1);
        let logprobs = self.logprobs.as_ref();
        let unsupported = [
            ("suffix", self.suffix.as_ref().is_some_and(|text| !text.is_empty())),
            ("echo", self.echo == Some(true)),
            ("best_of", several(self.best_of)),
            ("n", several(self.n)),
            ("logprobs", logprobs.is_some_and(|it| *it != json!(null) && *it != json!(false))),
        ];
        match unsupported.into_iter().find(|(_, given)| *given) {
            Some((name, _)) => Err(wrong(name, "not supported: the model is asked by chat")),
            None => Ok(()),
        }
    }
}

/// The one prompt: a text, or a list with one in it.
fn prompt(prompt: Option<&Value>) -> Result<String, Failure> {
    let (one, name) = match prompt {
        Some(Value::Array(list)) if list.len() == 1 => (list.first(), "prompt[0]"),
        other => (other, "prompt"),
    };
    match one.and_then(Value::as_str).filter(|text| !text.is_empty()) {
        Some(text) => Ok(text.to_owned()),
        None => Err(wrong(name, "expected one text that is not empty")),
    }
}

fn wrong(param: &str, what: &str) -> Failure {
    Failure::new(Reason::InvalidRequest, format!("{param}: {what}")).at(param)
}

#[derive(Debug)]
pub(crate) struct Writer {
    opening: AnswerMeta,
    /// `data: {"id": ... "text":`; empty until the first chunk.
    head: Vec<u8>,
    /// The model declined, with a text.
    declined: bool,
}

impl Writer {
    pub(super) fn new(opening: AnswerMeta) -> Self {
        Self { opening, head: Vec::new(), declined: false }
    }

    pub(super) fn event(&mut self, out: &mut Vec<u8>, event: &Event<'_>) {
        match event {
            Event::Start { model, .. } if self.head.is_empty() => {
                self.opening.model = model.to_string();
            }
            Event::Text(text) | Event::Refusal(text) if !text.is_empty() => {
                self.declined |= matches!(event, Event::Refusal(_));
                self.chunk(out, text, None);
            }
            Event::Finish(reason) => {
                self.chunk(out, "", Some(finish_reason(*reason, self.declined)));
            }
            Event::Usage(usage) if self.opening.request.include_usage => {
                let mut chunk = self.value(Vec::new());
                chunk["usage"] = openai::usage_value(usage);
                push(out, &chunk);
            }
            Event::Start { .. }
            | Event::Text(_)
            | Event::Refusal(_)
            | Event::Reasoning(_)
            | Event::ToolCall(_)
            | Event::Prompt(_)
            | Event::Usage(_)
            | Event::Other(_)
            | Event::Warning(_) => {}
        }
    }

    pub(super) fn end(&self, out: &mut Vec<u8>, closing: &AnswerEnd<'_>) {
        match closing.end {
            End::Finished(_) => out.extend_from_slice(b"data: [DONE]\n\n"),
            End::Failed(failure) => {
                push(out, &openai::error_value(failure, &too_long::COMPLETIONS));
            }
            End::Cancelled => {}
        }
    }

    pub(super) fn write_complete(&self, out: &mut Vec<u8>, answer: &Collected) {
        let text = format!("{}{}", answer.text, answer.refusal);
        let declined = !answer.refusal.is_empty();
        let choice = json!({"text": text, "index": 0, "logprobs": null,
            "finish_reason": answer.finish.map(|reason| finish_reason(reason, declined))});
        let mut body = self.value(vec![choice]);
        body["usage"] = answer.usage.as_ref().map(openai::usage_value).into();
        out.extend_from_slice(body.to_string().as_bytes());
    }

    /// What comes with every token, and so is built without a `Value`.
    fn chunk(&mut self, out: &mut Vec<u8>, text: &str, finish: Option<&str>) {
        if self.head.is_empty() {
            let mut head = b"data: {\"id\":".to_vec();
            push_json_string(&mut head, &self.opening.id);
            head.extend_from_slice(b",\"object\":\"text_completion\",\"created\":");
            head.extend_from_slice(self.opening.created.to_string().as_bytes());
            head.extend_from_slice(b",\"model\":");
            push_json_string(&mut head, &self.opening.model);
            head.extend_from_slice(b",\"choices\":[{\"index\":0,\"text\":");
            self.head = head;
        }
        out.extend_from_slice(&self.head);
        push_json_string(out, text);
        out.extend_from_slice(b",\"logprobs\":null,\"finish_reason\":");
        match finish {
            None => out.extend_from_slice(b"null"),
            Some(reason) => push_json_string(out, reason),
        }
        out.extend_from_slice(b"}]}\n\n");
    }

    fn value(&self, choices: Vec<Value>) -> Value {
        json!({
            "id": self.opening.id,
            "object": "text_completion",
            "created": self.opening.created,
            "model": self.opening.model,
            "choices": choices,
        })
    }
}

/// Calls have no form here: what made some stopped like any other.
fn finish_reason(reason: FinishReason, declined: bool) -> &'static str {
    match reason {
        _ if declined => FinishReason::ContentFilter.as_str(),
        FinishReason::ToolCalls => FinishReason::Stop.as_str(),
        other => other.as_str(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::ClientProtocol;
    use crate::protocol::vectors::meaning::{self, collected, written};

    fn parse(body: &Value) -> Result<ChatRequest, Failure> {
        parse_request(body.to_string().as_bytes())
    }

    #[test]
    fn a_prompt_is_a_users_message() {
        for prompt in [json!("hi"), json!(["hi"])] {
            let body = json!({"model": "m", "prompt": prompt, "max_tokens": 9, "stop": "x",
                "suffix": null, "echo": false, "best_of": 1, "n": 1, "logprobs": null});
            let request = parse(&body).unwrap();
            assert_eq!(request.messages, [Message::text(Role::User, "hi")]);
            assert_eq!((request.max_output_tokens, request.stop), (Some(9), vec!["x".into()]));
            assert!(!request.stream);
        }
    }

    /// Each row: fields beside a prompt, and the one that the error names.
    #[test]
    fn what_cannot_be_done_is_refused_by_name() {
        let rows = [
            (json!({"suffix": "s"}), "suffix"),
            (json!({"echo": true}), "echo"),
            (json!({"best_of": 2}), "best_of"),
            (json!({"n": 3}), "n"),
            (json!({"logprobs": 1}), "logprobs"),
            (json!({"prompt": [1, 2]}), "prompt"),
            (json!({"prompt": ["a", "b"]}), "prompt"),
            (json!({"prompt": null}), "prompt"),
            (json!({"max_tokens": 0}), "max_tokens"),
        ];
        for (with, param) in rows {
            let mut body = json!({"prompt": "hi"});
            body.as_object_mut().unwrap().extend(with.as_object().unwrap().clone());
            assert_eq!(parse(&body).unwrap_err().param.as_deref(), Some(param), "{with}");
        }
    }

    #[test]
    fn every_meaning_as_chunks() {
        let stream = |events: &[Event<'_>]| {
            let request = ChatRequest { include_usage: true, ..ChatRequest::default() };
            let stream = written(ClientProtocol::Completions, request, events);
            let data = stream.split_terminator("\n\n").map(|it| it.strip_prefix("data: ").unwrap());
            data.map(str::to_owned).collect::<Vec<_>>()
        };
        let chunks = stream(&meaning::tools());
        assert_eq!(
            chunks[0],
            "{\"id\":\"answer-1\",\"object\":\"text_completion\",\"created\":1700000000,\
             \"model\":\"fake-1\",\"choices\":[{\"index\":0,\"text\":\"Let me look.\",\
             \"logprobs\":null,\"finish_reason\":null}]}"
        );
        assert!(chunks[1].contains("\"finish_reason\":\"stop\""), "{chunks:?}");
        assert!(chunks[2].contains("\"completion_tokens\":7"), "{chunks:?}");
        assert_eq!(chunks[3..], ["[DONE]"]);
        let failed = stream(&meaning::error());
        assert!(failed[1].starts_with("{\"error\":"), "{failed:?}");
    }

    #[test]
    fn a_whole_answer_has_one_choice() {
        let body =
            collected(ClientProtocol::Completions, ChatRequest::default(), &meaning::length());
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((&body["object"], &body["model"]), (&json!("text_completion"), &json!("m")));
        let choice = &body["choices"][0];
        assert_eq!(
            (&choice["text"], &choice["finish_reason"]),
            (&json!("Once upon"), &json!("length"))
        );
        assert_eq!(body["usage"]["total_tokens"], 19);
    }
}
