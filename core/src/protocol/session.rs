//! The `session` events of `POST /api/ai/chat/stream`: `session_info` at once, `token` per token,
//! `warning` where another way than the first had to be taken, at the end `done` and `stream_end`;
//! or `error`. `POST /api/ai/chat` answers `{"session_id", "message", "warnings"}`.

use serde::Deserialize;
use serde_json::json;

use super::writer::error;
use super::writer::frame;
use super::{AnswerEnd, AnswerMeta, Collected, End, parse_json, user_message};
use crate::chat::{ChatRequest, Event};
use crate::failure::Failure;

#[derive(Deserialize)]
struct Request {
    session_id: Option<String>,
    message: String,
    model: Option<String>,
    /// How many earlier messages to answer with: none are kept, so it is only checked.
    #[serde(rename = "context_limit")]
    _context_limit: Option<u32>,
}

pub(super) fn parse_request(body: &[u8]) -> Result<ChatRequest, Failure> {
    let request: Request = parse_json(body)?;
    Ok(ChatRequest {
        model: request.model,
        messages: vec![user_message(request.message)?],
        conversation: request.session_id,
        ..ChatRequest::default()
    })
}

/// How the event of a token begins.
const TOKEN: &str = r#"{"type":"token","content":"#;

#[derive(Debug)]
pub(crate) struct Writer {
    session: String,
}

impl Writer {
    pub(super) fn new(opening: &AnswerMeta) -> Self {
        Self { session: opening.conversation() }
    }

    pub(super) fn open(&self, out: &mut Vec<u8>) {
        let info =
            json!({"type": "session_info", "session_id": self.session, "status": "processing"});
        frame::push(out, &info);
    }

    pub(super) fn event(&self, out: &mut Vec<u8>, event: &Event<'_>) {
        match event {
            Event::Text(text) | Event::Refusal(text) => {
                frame::push_text(out, TOKEN, text);
            }
            Event::Warning(text) => frame::push(out, &json!({"type": "warning", "message": text})),
            Event::Start { .. }
            | Event::Reasoning(_)
            | Event::ToolCall(_)
            | Event::Other(_)
            | Event::Prompt(_)
            | Event::Usage(_)
            | Event::Finish(_) => {}
        }
    }

    pub(super) fn end(&self, out: &mut Vec<u8>, closing: &AnswerEnd<'_>) {
        match closing.end {
            End::Finished(_) => {
                frame::push(out, &json!({"type": "done", "message": "Streaming complete"}));
                frame::push(out, &json!({"type": "stream_end"}));
            }
            End::Failed(failure) => frame::push(out, &error::event(failure)),
            End::Cancelled => {}
        }
    }

    pub(super) fn write_complete(&self, out: &mut Vec<u8>, answer: &Collected) {
        let said = [answer.text.as_str(), &answer.refusal].concat();
        let body =
            json!({"session_id": self.session, "message": said, "warnings": answer.warnings});
        out.extend_from_slice(body.to_string().as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::{Message, Role};
    use crate::protocol::ClientProtocol;
    use crate::protocol::vectors::meaning::{self, collected, written};

    fn asked() -> ChatRequest {
        parse_request(br#"{"session_id":"s1","message":"Hi","context_limit":10}"#).unwrap()
    }

    const OPENED: &str =
        "data: {\"session_id\":\"s1\",\"status\":\"processing\",\"type\":\"session_info\"}\n\n";
    const DONE: &str = "data: {\"message\":\"Streaming complete\",\"type\":\"done\"}\n\n\
                        data: {\"type\":\"stream_end\"}\n\n";

    fn tokens(texts: &[&str]) -> String {
        let token = |text| format!("data: {{\"type\":\"token\",\"content\":\"{text}\"}}\n\n");
        texts.iter().map(token).collect()
    }

    #[test]
    fn every_meaning_as_events() {
        let error = "data: {\"message\":\"The engine is on fire.\",\"type\":\"error\"}\n\n";
        let rows = [
            (meaning::text(), tokens(&["Hello, ", "wörld ", "😀!"]) + DONE),
            (meaning::tools(), tokens(&["Let me look."]) + DONE),
            (meaning::reasoning(), tokens(&["42"]) + DONE),
            (meaning::length(), tokens(&["Once upon"]) + DONE),
            (meaning::error(), tokens(&["Hel"]) + error),
        ];
        for (events, expected) in rows {
            let out = written(ClientProtocol::Session, asked(), &events);
            assert_eq!(out, OPENED.to_owned() + &expected);
        }
    }

    #[test]
    fn a_lost_rung_is_told() {
        let mut events = meaning::length();
        events.insert(0, Event::Warning("a failed.".into()));
        let warning = "data: {\"message\":\"a failed.\",\"type\":\"warning\"}\n\n";
        assert_eq!(
            written(ClientProtocol::Session, asked(), &events),
            [OPENED, warning, &tokens(&["Once upon"]), DONE].concat()
        );
        assert_eq!(
            collected(ClientProtocol::Session, asked(), &events),
            r#"{"message":"Once upon","session_id":"s1","warnings":["a failed."]}"#
        );
    }

    #[test]
    fn what_is_asked() {
        let request = asked();
        assert_eq!(request.messages, [Message::text(Role::User, "Hi")]);
        assert_eq!(request.conversation.as_deref(), Some("s1"));
        let rows = [
            (r#"{}"#, "message", None),
            (r#"{"message":""}"#, "not empty", Some("message")),
            (r#"{"message":"Hi","context_limit":-1}"#, "-1", Some("context_limit")),
        ];
        for (body, named, param) in rows {
            let failure = parse_request(body.as_bytes()).unwrap_err();
            assert_eq!(failure.status(), 400, "{body}");
            assert!(failure.message().contains(named), "{body}: {failure}");
            assert_eq!(failure.param.as_deref(), param, "{body}: {failure}");
        }
    }
}
