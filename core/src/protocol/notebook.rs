//! The `notebook` events of `POST /chat/execute/stream`: `user_message` at once, `token` per token,
//! `ai_message_complete` with the whole text and `complete`; or `error`. `POST /chat/execute`
//! answers `{"session_id": "...", "messages": [...]}`.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::writer::error;
use super::writer::frame;
use super::{AnswerEnd, AnswerMeta, Collected, End, parse_json, user_message};
use crate::chat::{ChatRequest, Event, Message, Role};
use crate::failure::Failure;

#[derive(Deserialize)]
struct Request {
    session_id: String,
    message: String,
    context: Option<Map<String, Value>>,
    model_override: Option<String>,
}

/// The context goes before the message as the operator's instruction, as JSON and without any text
/// of ours.
pub(super) fn parse_request(body: &[u8]) -> Result<ChatRequest, Failure> {
    let request: Request = parse_json(body)?;
    let context = request.context.filter(|context| !context.is_empty());
    let context = context.map(|json| Message::text(Role::System, Value::Object(json).to_string()));
    let message = user_message(request.message)?;
    Ok(ChatRequest {
        model: request.model_override,
        messages: context.into_iter().chain([message]).collect(),
        conversation: Some(request.session_id),
        ..ChatRequest::default()
    })
}

/// How the event of a token begins.
const TOKEN: &str = r#"{"type":"token","content":"#;

#[derive(Debug)]
pub(crate) struct Writer {
    session: String,
    /// The user's message.
    asked: String,
    /// The answer's text so far; its last event repeats it.
    text: String,
}

impl Writer {
    pub(super) fn new(opening: &AnswerMeta) -> Self {
        let asked = opening.request.messages.last().and_then(Message::as_text);
        Self {
            session: opening.conversation(),
            asked: asked.unwrap_or_default().into_owned(),
            text: String::new(),
        }
    }

    pub(super) fn open(&self, out: &mut Vec<u8>) {
        frame::push(
            out,
            &json!({"type": "user_message", "content": self.asked, "timestamp": null}),
        );
    }

    pub(super) fn event(&mut self, out: &mut Vec<u8>, event: &Event<'_>) {
        match event {
            Event::Text(text) | Event::Refusal(text) => {
                self.text.push_str(text);
                frame::push_text(out, TOKEN, text);
            }
            Event::Start { .. }
            | Event::Reasoning(_)
            | Event::ToolCall(_)
            | Event::Prompt(_)
            | Event::Usage(_)
            | Event::Finish(_)
            | Event::Other(_)
            | Event::Warning(_) => {}
        }
    }

    pub(super) fn end(&self, out: &mut Vec<u8>, closing: &AnswerEnd<'_>) {
        match closing.end {
            End::Finished(_) => {
                let said =
                    json!({"type": "ai_message_complete", "content": self.text, "timestamp": null});
                frame::push(out, &said);
                frame::push(out, &json!({"type": "complete"}));
            }
            End::Failed(failure) => frame::push(out, &error::event(failure)),
            End::Cancelled => {}
        }
    }

    pub(super) fn write_complete(&self, out: &mut Vec<u8>, answer: &Collected) {
        let said = [answer.text.as_str(), &answer.refusal].concat();
        let messages = json!([
            {"role": "user", "content": self.asked, "timestamp": null},
            {"role": "assistant", "content": said, "timestamp": null},
        ]);
        let body = json!({"session_id": self.session, "messages": messages});
        out.extend_from_slice(body.to_string().as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::ClientProtocol;
    use crate::protocol::vectors::meaning::{self, collected, written};

    fn asked(with: &str) -> Result<ChatRequest, Failure> {
        parse_request(format!(r#"{{"session_id":"s1","message":"Hi"{with}}}"#).as_bytes())
    }

    const OPENED: &str =
        "data: {\"content\":\"Hi\",\"timestamp\":null,\"type\":\"user_message\"}\n\n";

    #[test]
    fn every_meaning_as_events() {
        let complete = |text: &str| {
            format!(
                "data: {{\"content\":\"{text}\",\"timestamp\":null,\"type\":\"ai_message_complete\"}}\n\n\
                 data: {{\"type\":\"complete\"}}\n\n"
            )
        };
        let tokens = |texts: &[&str]| -> String {
            let token = |text| format!("data: {{\"type\":\"token\",\"content\":\"{text}\"}}\n\n");
            texts.iter().map(token).collect()
        };
        let error = "data: {\"message\":\"The engine is on fire.\",\"type\":\"error\"}\n\n";
        let rows = [
            (
                meaning::text(),
                tokens(&["Hello, ", "wörld ", "😀!"]) + &complete("Hello, wörld 😀!"),
            ),
            (meaning::tools(), tokens(&["Let me look."]) + &complete("Let me look.")),
            (meaning::reasoning(), tokens(&["42"]) + &complete("42")),
            (meaning::length(), tokens(&["Once upon"]) + &complete("Once upon")),
            (meaning::error(), tokens(&["Hel"]) + error),
        ];
        for (events, expected) in rows {
            let out = written(ClientProtocol::Notebook, asked("").unwrap(), &events);
            assert_eq!(out, OPENED.to_owned() + &expected);
        }
    }

    #[test]
    fn a_whole_answer_is_both_messages() {
        assert_eq!(
            collected(ClientProtocol::Notebook, asked("").unwrap(), &meaning::text()),
            r#"{"messages":[{"content":"Hi","role":"user","timestamp":null},{"content":"Hello, wörld 😀!","role":"assistant","timestamp":null}],"session_id":"s1"}"#
        );
    }

    #[test]
    fn the_context_goes_first_as_it_is() {
        let request =
            asked(r#","context":{"cell":7,"ü":["x"]},"model_override":"m"}"#.trim_end_matches('}'));
        let request = request.unwrap_or_else(|failure| panic!("{failure}"));
        let context = Message::text(Role::System, r#"{"cell":7,"ü":["x"]}"#);
        assert_eq!(request.messages, [context, Message::text(Role::User, "Hi")]);
        assert_eq!(request.model.as_deref(), Some("m"));
        for nothing in ["", r#","context":{}"#, r#","context":null"#] {
            assert_eq!(asked(nothing).unwrap().messages, [Message::text(Role::User, "Hi")]);
        }
    }

    #[test]
    fn a_wrong_field_is_named() {
        let rows = [
            (r#"{"message":"Hi"}"#, "session_id", None),
            (r#"{"session_id":"s"}"#, "message", None),
            (r#"{"session_id":"s","message":" "}"#, "not empty", Some("message")),
            (r#"{"session_id":7,"message":"Hi"}"#, "string", Some("session_id")),
            (r#"{"session_id":"s","message":"Hi","context":"x"}"#, "map", Some("context")),
        ];
        for (body, named, param) in rows {
            let failure = parse_request(body.as_bytes()).unwrap_err();
            assert_eq!(failure.status(), 400, "{body}");
            assert!(failure.message().contains(named), "{body}: {failure}");
            assert_eq!(failure.param.as_deref(), param, "{body}: {failure}");
        }
    }
}
