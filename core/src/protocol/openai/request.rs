//! A client's request, read.

use std::num::NonZeroU32;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::chat::{ChatRequest, Content, Message, Part, Role, Sampling};
use crate::failure::{Failure, Reason};
use crate::protocol::parse_json;

#[derive(Deserialize)]
struct Request {
    model: Option<String>,
    messages: Vec<RequestMessage>,
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    max_tokens: Option<NonZeroU32>,
    max_completion_tokens: Option<NonZeroU32>,
    temperature: Option<f64>,
    top_p: Option<f64>,
    frequency_penalty: Option<f64>,
    presence_penalty: Option<f64>,
    seed: Option<i64>,
    stop: Option<Stop>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Deserialize)]
struct StreamOptions {
    include_usage: Option<bool>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a string or a list of strings")]
enum Stop {
    One(String),
    Several(Vec<String>),
}

#[derive(Deserialize)]
struct RequestMessage {
    role: RequestRole,
    content: Option<RequestContent>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum RequestRole {
    System,
    Developer,
    User,
    Assistant,
    Tool,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a string or a list of parts")]
enum RequestContent {
    Text(String),
    Parts(Vec<Map<String, Value>>),
}

/// Reads the JSON body of `POST /v1/chat/completions`.
pub(in crate::protocol) fn parse_request(body: &[u8]) -> Result<ChatRequest, Failure> {
    let request: Request = parse_json(body)?;
    if request.messages.is_empty() {
        let detail = "messages: expected at least one message";
        return Err(Failure::new(Reason::InvalidRequest, detail).at("messages"));
    }
    request.check()?;
    Ok(request.into())
}

impl Request {
    fn check(&self) -> Result<(), Failure> {
        let ranges = [
            ("temperature", self.temperature, 0.0..=2.0),
            ("top_p", self.top_p, 0.0..=1.0),
            ("frequency_penalty", self.frequency_penalty, -2.0..=2.0),
            ("presence_penalty", self.presence_penalty, -2.0..=2.0),
        ];
        for (name, value, range) in ranges {
            if let Some(value) = value.filter(|value| !range.contains(value)) {
                let (from, to) = (range.start(), range.end());
                let detail = format!("{name}: {value} is out of range: expected {from} to {to}");
                return Err(Failure::new(Reason::InvalidRequest, detail).at(name));
            }
        }
        Ok(())
    }
}

impl From<Request> for ChatRequest {
    fn from(request: Request) -> Self {
        let mut rest = request.rest;
        let (mut include_usage, stream) = (false, request.stream.unwrap_or(false));
        if let Some(options) = request.stream_options {
            include_usage = options.include_usage.unwrap_or(false);
            rest.insert("stream_options".into(), Value::Object(options.rest));
        }
        if let Some(tokens) = request.max_completion_tokens {
            // Kept under its own name, so that a provider is asked with the field the client chose.
            rest.insert("max_completion_tokens".into(), tokens.get().into());
        }
        Self {
            model: request.model,
            messages: request.messages.into_iter().map(Message::from).collect(),
            stream,
            include_usage,
            max_output_tokens: request.max_completion_tokens.or(request.max_tokens).map(Into::into),
            sampling: Sampling {
                temperature: request.temperature,
                top_p: request.top_p,
                frequency_penalty: request.frequency_penalty,
                presence_penalty: request.presence_penalty,
                seed: request.seed,
            },
            stop: match request.stop {
                None => Vec::new(),
                Some(Stop::One(text)) => vec![text],
                Some(Stop::Several(texts)) => texts,
            },
            rest,
        }
    }
}

impl From<RequestMessage> for Message {
    fn from(message: RequestMessage) -> Self {
        let role = match message.role {
            RequestRole::System => Role::System,
            RequestRole::Developer => Role::Developer,
            RequestRole::User => Role::User,
            RequestRole::Assistant => Role::Assistant,
            RequestRole::Tool => Role::Tool,
        };
        let content = match message.content {
            None => Content::Nothing,
            Some(RequestContent::Text(text)) => Content::Text(text),
            Some(RequestContent::Parts(parts)) => {
                Content::Parts(parts.into_iter().map(part).collect())
            }
        };
        Self { role, content, rest: message.rest }
    }
}

fn part(part: Map<String, Value>) -> Part {
    match (part.get("type").and_then(Value::as_str), part.get("text").and_then(Value::as_str)) {
        (Some("text"), Some(text)) if part.len() == 2 => Part::Text(text.into()),
        _ => Part::Other(Value::Object(part)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each row: a body, and what the error must name.
    #[test]
    fn a_wrong_field_is_named() {
        let rows: &[(&str, &str, Option<&str>)] = &[
            ("{", "not valid JSON", None),
            ("", "not valid JSON", None),
            ("[]", "expected", None),
            (r#"{"messages":[{"role":"user","content":"x"}]} x"#, "not valid JSON", None),
            (r#"{}"#, "messages", None),
            (r#"{"messages":[]}"#, "at least one", Some("messages")),
            (r#"{"messages":"hi"}"#, "expected a sequence", Some("messages")),
            (r#"{"messages":[{"role":"robot"}]}"#, "robot", Some("messages[0].role")),
            (
                r#"{"messages":[{"role":"user","content":5}]}"#,
                "a string or a list",
                Some("messages[0].content"),
            ),
            (r#"{"messages":[{"role":"user"}],"max_tokens":"9"}"#, "string", Some("max_tokens")),
            (r#"{"messages":[{"role":"user"}],"max_tokens":0}"#, "nonzero", Some("max_tokens")),
            (r#"{"messages":[{"role":"user"}],"max_tokens":-1}"#, "-1", Some("max_tokens")),
            (r#"{"messages":[{"role":"user"}],"stream":"yes"}"#, "boolean", Some("stream")),
            (r#"{"messages":[{"role":"user"}],"stop":7}"#, "list of strings", Some("stop")),
            (r#"{"messages":[{"role":"user"}],"temperature":3}"#, "0 to 2", Some("temperature")),
            (r#"{"messages":[{"role":"user"}],"model":7}"#, "string", Some("model")),
        ];
        for (body, named, param) in rows {
            let failure = parse_request(body.as_bytes()).unwrap_err();
            assert_eq!(failure.status(), 400, "{body}");
            assert!(failure.message().contains(named), "{body}: {failure}");
            assert_eq!(failure.param.as_deref(), *param, "{body}: {failure}");
        }
        assert_eq!(parse_request(b"{\"model\":\"\xff\"}").unwrap_err().status(), 400);
    }
}
