//! The `token` events of `POST /chat/stream`: `{"token": "..."}` per token, at the end
//! `{"done": true, "tokens": 9, "model": "...", "fallback": false}` or
//! `{"error": {"code": "...", "message": "..."}}`.

use serde::Deserialize;
use serde_json::{Value, json};

use super::writer::frame;
use super::{AnswerEnd, AnswerMeta, Collected, End, parse_json, user_message};
use crate::chat::{ChatRequest, Event};
use crate::failure::Failure;

#[derive(Deserialize)]
struct Request {
    message: String,
    model: Option<String>,
    session_id: Option<String>,
}

pub(super) fn parse_request(body: &[u8]) -> Result<ChatRequest, Failure> {
    let request: Request = parse_json(body)?;
    Ok(ChatRequest {
        model: request.model,
        messages: vec![user_message(request.message)?],
        stream: true,
        include_usage: true,
        conversation: request.session_id,
        ..ChatRequest::default()
    })
}

/// The body of an error answer: as the event.
pub(super) fn error_body(failure: &Failure) -> Vec<u8> {
    error_value(failure).to_string().into_bytes()
}

fn error_value(failure: &Failure) -> Value {
    json!({"error": {"code": failure.reason.code(), "message": failure.message()}})
}

#[derive(Debug)]
pub(crate) struct Writer {
    model: String,
    tokens: u32,
}

impl Writer {
    pub(super) fn new(opening: AnswerMeta) -> Self {
        Self { model: opening.model, tokens: 0 }
    }

    pub(super) fn event(&mut self, out: &mut Vec<u8>, event: &Event<'_>) {
        match event {
            Event::Start { model, .. } => self.model = model.clone().into_owned(),
            Event::Text(text) | Event::Refusal(text) => {
                self.tokens += 1;
                frame::push_text(out, r#"{"token":"#, text);
            }
            Event::Usage(usage) => self.tokens = usage.output_tokens,
            Event::Reasoning(_)
            | Event::ToolCall(_)
            | Event::Prompt(_)
            | Event::Finish(_)
            | Event::Other(_)
            | Event::Warning(_) => {}
        }
    }

    pub(super) fn end(&mut self, out: &mut Vec<u8>, closing: &AnswerEnd<'_>) {
        match closing.end {
            End::Finished(_) => {
                let done = json!({
                    "done": true,
                    "tokens": self.tokens,
                    "model": self.model,
                    "fallback": closing.fallback,
                });
                frame::push(out, &done);
            }
            End::Failed(failure) => frame::push(out, &error_value(failure)),
            End::Cancelled => {}
        }
    }

    pub(super) fn write_complete(&self, out: &mut Vec<u8>, answer: &Collected) {
        frame::push_json_string(out, &answer.text);
    }
}
