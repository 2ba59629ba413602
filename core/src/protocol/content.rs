//! The `content` events of `POST /api/chat/stream`: `{"content": "..."}` per chunk, at the end
//! `{"done": true, "conversationId": "..."}` or `{"error": "..."}`.

use serde::Deserialize;
use serde_json::json;

use super::writer::frame;
use super::{AnswerEnd, AnswerMeta, Collected, End, parse_json, user_message};
use crate::chat::{ChatRequest, Event};
use crate::failure::{Failure, Reason};

/// The longest message, in Unicode scalar values.
const MESSAGE_CHARS_MAX: usize = 4000;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    message: String,
    model: Option<String>,
    conversation_id: Option<String>,
}

pub(super) fn parse_request(body: &[u8]) -> Result<ChatRequest, Failure> {
    let request: Request = parse_json(body)?;
    let chars = request.message.chars().count();
    if chars > MESSAGE_CHARS_MAX {
        let detail = format!(
            "message: {chars} characters are too many: expected {MESSAGE_CHARS_MAX} at most"
        );
        return Err(Failure::new(Reason::InvalidRequest, detail).at("message"));
    }
    Ok(ChatRequest {
        model: request.model,
        messages: vec![user_message(request.message)?],
        stream: true,
        conversation: request.conversation_id,
        ..ChatRequest::default()
    })
}

/// The body of an error answer: as the event, with the failure's code beside it.
pub(super) fn error_body(failure: &Failure) -> Vec<u8> {
    json!({"error": failure.message(), "code": failure.reason.code()}).to_string().into_bytes()
}

#[derive(Debug)]
pub(crate) struct Writer {
    conversation: String,
}

impl Writer {
    pub(super) fn new(opening: &AnswerMeta) -> Self {
        Self { conversation: opening.conversation() }
    }

    pub(super) fn event(&self, out: &mut Vec<u8>, event: &Event<'_>) {
        match event {
            Event::Text(text) | Event::Refusal(text) => {
                frame::push_text(out, r#"{"content":"#, text);
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
        let last = match closing.end {
            End::Finished(_) => json!({"done": true, "conversationId": self.conversation}),
            End::Failed(failure) => json!({"error": failure.message()}),
            End::Cancelled => return,
        };
        frame::push(out, &last);
    }

    pub(super) fn write_complete(&self, out: &mut Vec<u8>, answer: &Collected) {
        frame::push_json_string(out, &answer.text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::{Message, Role};
    use crate::protocol::ClientProtocol;
    use crate::protocol::vectors::meaning::{self, written};

    fn asked(conversation: Option<&str>) -> ChatRequest {
        ChatRequest { conversation: conversation.map(Into::into), ..ChatRequest::default() }
    }

    #[test]
    fn every_meaning_as_events() {
        let rows = [
            (
                meaning::text(),
                "data: {\"content\":\"Hello, \"}\n\ndata: {\"content\":\"wörld \"}\n\n\
                 data: {\"content\":\"😀!\"}\n\ndata: {\"conversationId\":\"c7\",\"done\":true}\n\n",
            ),
            (
                meaning::tools(),
                "data: {\"content\":\"Let me look.\"}\n\n\
                 data: {\"conversationId\":\"c7\",\"done\":true}\n\n",
            ),
            (
                meaning::reasoning(),
                "data: {\"content\":\"42\"}\n\ndata: {\"conversationId\":\"c7\",\"done\":true}\n\n",
            ),
            (
                meaning::length(),
                "data: {\"content\":\"Once upon\"}\n\n\
                 data: {\"conversationId\":\"c7\",\"done\":true}\n\n",
            ),
            (
                meaning::error(),
                "data: {\"content\":\"Hel\"}\n\ndata: {\"error\":\"The engine is on fire.\"}\n\n",
            ),
        ];
        for (events, expected) in rows {
            assert_eq!(written(ClientProtocol::Content, asked(Some("c7")), &events), expected);
        }
        let unnamed = written(ClientProtocol::Content, asked(None), &meaning::length());
        assert!(
            unnamed.ends_with("{\"conversationId\":\"answer-1\",\"done\":true}\n\n"),
            "{unnamed}"
        );
    }

    #[test]
    fn what_is_asked() {
        let body = r#"{"message":"Hi","conversationId":"c7","model":"m"}"#;
        let request = parse_request(body.as_bytes()).unwrap();
        assert_eq!(request.messages, [Message::text(Role::User, "Hi")]);
        assert_eq!(request.conversation.as_deref(), Some("c7"));
        assert_eq!(request.model.as_deref(), Some("m"));
    }

    #[test]
    fn a_message_has_4000_characters_at_most() {
        let ask = |message: &str| parse_request(json!({"message": message}).to_string().as_bytes());
        assert!(ask(&"😀".repeat(4000)).is_ok());
        let failure = ask(&"x".repeat(4001)).unwrap_err();
        assert_eq!(failure.status(), 400);
        assert_eq!(failure.param.as_deref(), Some("message"));
        assert!(failure.message().contains("4001 characters"), "{failure}");
        let empty = ask(" ").unwrap_err();
        assert_eq!(empty.param.as_deref(), Some("message"));
        let body = String::from_utf8(error_body(&failure)).unwrap();
        assert!(body.starts_with("{\"code\":\"invalid_request\",\"error\":\"message: "), "{body}");
    }
}
