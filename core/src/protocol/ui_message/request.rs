//! A client's request, read.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::chat::{ChatRequest, Media, MediaKind, Message, Part, Role, Sampling, Tool, ToolChoice};
use crate::failure::{Failure, Reason};
use crate::json;
use crate::protocol::client::either::{Form, ListOr, TextOr};
use crate::protocol::{openai, parse_json};

/// What the transport sends, and what an application adds to it under the SDK's own names.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    id: Option<String>,
    messages: Vec<WireMessage>,
    model: Option<String>,
    system: Option<String>,
    tools: Option<WireTools>,
    tool_choice: Option<TextOr<WireChoice>>,
    max_output_tokens: Option<NonZeroU32>,
    temperature: Option<f64>,
    top_p: Option<f64>,
    top_k: Option<u32>,
    presence_penalty: Option<f64>,
    frequency_penalty: Option<f64>,
    seed: Option<i64>,
    stop_sequences: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct WireMessage {
    role: WireRole,
    parts: Vec<WirePart>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum WireRole {
    System,
    User,
    Assistant,
}

/// The fields of every type of part; its type determines which of them count.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WirePart {
    r#type: String,
    text: Option<String>,
    url: Option<String>,
    media_type: Option<String>,
    filename: Option<String>,
    tool_name: Option<String>,
    tool_call_id: Option<String>,
    state: Option<String>,
    input: Option<Box<RawValue>>,
    raw_input: Option<Box<RawValue>>,
    output: Option<Box<RawValue>>,
    error_text: Option<String>,
    provider_executed: Option<bool>,
    approval: Option<Approval>,
}

#[derive(Deserialize)]
struct Approval {
    approved: Option<bool>,
    reason: Option<String>,
}

/// By their names, or listed.
type WireTools = ListOr<NamedTool, BTreeMap<String, WireTool>>;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireTool {
    description: Option<String>,
    #[serde(alias = "parameters")]
    input_schema: Option<Value>,
}

#[derive(Deserialize)]
struct NamedTool {
    name: String,
    description: Option<String>,
    #[serde(alias = "inputSchema")]
    parameters: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireChoice {
    tool_name: String,
}

impl Form for WireChoice {
    const NAME: &'static str = "an object: `auto`, `none`, `required` or a tool";
}

/// Reads the JSON body of `POST /api/chat`.
pub(in crate::protocol) fn parse_request(body: &[u8]) -> Result<ChatRequest, Failure> {
    let request: Request = parse_json(body)?;
    if request.messages.is_empty() {
        return Err(invalid("messages", "expected at least one message"));
    }
    openai::check_choice(request.tool_choice.as_ref(), "toolChoice")?;
    let system = request.system.filter(|text| !text.is_empty());
    let mut messages: Vec<_> =
        system.map(|text| Message::text(Role::System, text)).into_iter().collect();
    for (index, message) in request.messages.into_iter().enumerate() {
        message.read(&format!("messages[{index}]"), &mut messages)?;
    }
    Ok(ChatRequest {
        model: request.model,
        messages,
        stream: true,
        include_usage: true,
        max_output_tokens: request.max_output_tokens.map(Into::into),
        sampling: Sampling {
            temperature: request.temperature,
            top_p: request.top_p,
            top_k: request.top_k,
            frequency_penalty: request.frequency_penalty,
            presence_penalty: request.presence_penalty,
            seed: request.seed,
        },
        stop: request.stop_sequences.unwrap_or_default(),
        tools: request.tools.map(tools).unwrap_or_default(),
        tool_choice: request.tool_choice.and_then(tool_choice),
        conversation: request.id,
        ..ChatRequest::default()
    })
}

fn invalid(place: &str, what: &str) -> Failure {
    Failure::new(Reason::InvalidRequest, format!("{place}: {what}")).at(place)
}

impl WireMessage {
    /// The messages it consists of: one of the model's shows all steps of an answer, each with its
    /// calls and what they gave.
    fn read(self, place: &str, messages: &mut Vec<Message>) -> Result<(), Failure> {
        let role = match self.role {
            WireRole::System => Role::System,
            WireRole::User => Role::User,
            WireRole::Assistant => Role::Assistant,
        };
        let mut step = Step::default();
        for (index, part) in self.parts.into_iter().enumerate() {
            if part.r#type == "step-start" {
                std::mem::take(&mut step).end(role, messages);
            } else {
                part.read(&format!("{place}.parts[{index}]"), &mut step)?;
            }
        }
        step.end(role, messages);
        Ok(())
    }
}

/// The content of one step, and the results of its calls.
#[derive(Default)]
struct Step {
    said: Vec<Part>,
    results: Vec<Part>,
}

impl Step {
    fn end(self, role: Role, messages: &mut Vec<Message>) {
        for (role, parts) in [(role, self.said), (Role::Tool, self.results)] {
            if !parts.is_empty() {
                messages.push(Message { role, parts });
            }
        }
    }
}

impl WirePart {
    /// Sources and data are for the page that shows them, and not for a model.
    fn read(self, place: &str, step: &mut Step) -> Result<(), Failure> {
        let needed = |field: Option<String>, name: &str| {
            field.ok_or_else(|| invalid(&format!("{place}.{name}"), "expected a string"))
        };
        match self.r#type.as_str() {
            "text" => step.said.push(Part::Text(needed(self.text, "text")?)),
            "reasoning" => {
                let text = needed(self.text, "text")?;
                if !text.is_empty() {
                    step.said.push(Part::Reasoning { text, signature: None });
                }
            }
            "file" => {
                let url = needed(self.url, "url")?;
                let media_type = needed(self.media_type, "mediaType")?;
                step.said.push(Part::Media(media(&url, media_type, self.filename)));
            }
            "source-url" | "source-document" => {}
            data if data.starts_with("data-") => {}
            "dynamic-tool" => {
                let name = needed(self.tool_name.clone(), "toolName")?;
                self.call(name, place, step)?;
            }
            kind => match kind.strip_prefix("tool-").map(str::to_owned) {
                Some(name) => self.call(name, place, step)?,
                None => step.said.push(Part::Other(self.r#type)),
            },
        }
        Ok(())
    }

    /// A call, unless it is incomplete, and its result, if there is one.
    fn call(self, name: String, place: &str, step: &mut Step) -> Result<(), Failure> {
        let Some(id) = self.tool_call_id else {
            return Err(invalid(&format!("{place}.toolCallId"), "expected a string"));
        };
        if self.provider_executed == Some(true) {
            step.said.push(Part::Other("a provider's own tool call".into()));
            return Ok(());
        }
        let denied = self.approval.filter(|approval| approval.approved == Some(false));
        let result = match (self.state.as_deref(), denied) {
            (Some("input-streaming"), _) => return Ok(()),
            (Some("output-available"), _) => Some((self.output.as_deref().map(text), false)),
            (Some("output-error"), _) => Some((self.error_text, true)),
            (_, Some(denied)) => Some((Some(denied.reason.unwrap_or("denied".into())), true)),
            (_, None) => None,
        };
        let input = self.input.or(self.raw_input);
        let arguments = input.as_deref().map_or_else(|| "{}".into(), text);
        step.said.push(Part::ToolCall { id: id.clone(), name, arguments });
        if let Some((said, is_error)) = result {
            let parts = said.map(Part::Text).into_iter().collect();
            step.results.push(Part::ToolResult { id, parts, is_error });
        }
        Ok(())
    }
}

/// A JSON value as a model reads it: a string is its text.
fn text(value: &RawValue) -> String {
    json::read(value.get()).unwrap_or_else(|_| value.get().to_owned())
}

/// The media type may be only its first half.
fn media(url: &str, media_type: String, name: Option<String>) -> Media {
    let kind = match media_type.split('/').next() {
        Some("image") => MediaKind::Image,
        Some("audio") => MediaKind::Audio,
        _ => MediaKind::File,
    };
    let media = Media::at(kind, url);
    let told = Some(media_type).filter(|media_type| media_type.contains('/'));
    Media { media_type: told.or(media.media_type), name, ..media }
}

fn tools(tools: WireTools) -> Vec<Tool> {
    let tool = |name, description, parameters| Tool { name, description, parameters, strict: None };
    match tools {
        ListOr::Object(tools) => {
            let tools = tools.into_iter();
            tools.map(|(name, it)| tool(name, it.description, it.input_schema)).collect()
        }
        ListOr::List(tools) => {
            tools.into_iter().map(|it| tool(it.name, it.description, it.parameters)).collect()
        }
    }
}

fn tool_choice(choice: TextOr<WireChoice>) -> Option<ToolChoice> {
    match choice {
        TextOr::Text(word) => openai::choice_by_name(&word),
        TextOr::Other(WireChoice { tool_name }) => Some(ToolChoice::Tool(tool_name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::MediaSource;
    use serde_json::json;

    fn messages(wire: &Value) -> Vec<Message> {
        parse_request(json!({"messages": wire}).to_string().as_bytes()).unwrap().messages
    }

    fn call(id: &str, arguments: &str) -> Part {
        Part::ToolCall { id: id.into(), name: "get".into(), arguments: arguments.into() }
    }

    fn result(id: &str, text: &str, is_error: bool) -> Part {
        Part::ToolResult { id: id.into(), parts: vec![Part::Text(text.into())], is_error }
    }

    #[test]
    fn what_the_transport_sends() {
        let body = r#"{"id":"chat-1","messages":[{"id":"u1","role":"user","metadata":{"x":1},
            "parts":[{"type":"text","text":"Hi"}]}],"trigger":"submit-message","messageId":"u1"}"#;
        let request = parse_request(body.as_bytes()).unwrap();
        assert_eq!(request.messages, [Message::text(Role::User, "Hi")]);
        assert_eq!(request.conversation.as_deref(), Some("chat-1"));
        assert_eq!(request.model, None);
    }

    #[test]
    fn what_an_application_adds() {
        let body = json!({
            "messages": [{"role": "user", "parts": [{"type": "text", "text": "Hi"}]}],
            "model": "m",
            "system": "Be brief.",
            "tools": {"get": {"description": "d", "inputSchema": {"type": "object"}}},
            "toolChoice": {"type": "tool", "toolName": "get"},
            "maxOutputTokens": 9,
            "temperature": 0.5,
            "stopSequences": ["."],
        });
        let request = parse_request(body.to_string().as_bytes()).unwrap();
        assert_eq!(request.messages[0], Message::text(Role::System, "Be brief."));
        let tool = Tool {
            name: "get".into(),
            description: Some("d".into()),
            parameters: Some(json!({"type": "object"})),
            strict: None,
        };
        assert_eq!(request.tools, std::slice::from_ref(&tool));
        assert_eq!(request.tool_choice, Some(ToolChoice::Tool("get".into())));
        assert_eq!(request.max_output_tokens, Some(9));
        assert_eq!(request.sampling.temperature, Some(0.5));
        assert_eq!(request.stop, ["."]);
        let listed = json!([{"name": "get", "description": "d", "parameters": {"type": "object"}}]);
        let request = json!({"messages": body["messages"], "tools": listed, "toolChoice": "none"});
        let request = parse_request(request.to_string().as_bytes()).unwrap();
        assert_eq!(request.tools, [tool]);
        assert_eq!(request.tool_choice, Some(ToolChoice::None));
    }

    #[test]
    fn each_step_of_an_answer_with_its_calls_and_their_results() {
        let parts = r#"[
            {"type": "step-start"},
            {"type": "reasoning", "text": "Hm.", "state": "done"},
            {"type": "text", "text": "Let me look.", "state": "done"},
            {"type": "tool-get", "toolCallId": "c1", "state": "output-available",
             "input": {"b": 1, "a": 2}, "output": {"t": 20}},
            {"type": "dynamic-tool", "toolName": "get", "toolCallId": "c2", "state": "output-error",
             "rawInput": "{x", "errorText": "broken"},
            {"type": "tool-get", "toolCallId": "c3", "state": "input-streaming", "input": {}},
            {"type": "data-chart", "data": [1]},
            {"type": "source-url", "sourceId": "s", "url": "http://x"},
            {"type": "step-start"},
            {"type": "tool-get", "toolCallId": "c4", "state": "output-denied",
             "input": {}, "approval": {"id": "p", "approved": false, "reason": "no"}},
            {"type": "text", "text": "20."}
        ]"#;
        let body = format!(r#"{{"messages": [{{"role": "assistant", "parts": {parts}}}]}}"#);
        let read = parse_request(body.as_bytes()).unwrap().messages;
        let assistant = |parts| Message { role: Role::Assistant, parts };
        let tool = |parts| Message { role: Role::Tool, parts };
        let thought = Part::Reasoning { text: "Hm.".into(), signature: None };
        assert_eq!(
            read,
            [
                assistant(vec![
                    thought,
                    Part::Text("Let me look.".into()),
                    call("c1", r#"{"b": 1, "a": 2}"#),
                    call("c2", "{x"),
                ]),
                tool(vec![result("c1", r#"{"t": 20}"#, false), result("c2", "broken", true)]),
                assistant(vec![call("c4", "{}"), Part::Text("20.".into())]),
                tool(vec![result("c4", "no", true)]),
            ]
        );
    }

    #[test]
    fn files() {
        let read = messages(&json!([{"role": "user", "parts": [
            {"type": "file", "mediaType": "image/png", "url": "data:image/png;base64,QUJD"},
            {"type": "file", "mediaType": "image", "url": "https://x/y.png"},
            {"type": "file", "mediaType": "application/pdf", "filename": "a.pdf",
             "url": "data:application/pdf;base64,QUJD"},
            {"type": "custom", "kind": "x.y"},
        ]}]));
        let medium = |kind, source, media_type: Option<&str>, name: Option<&str>| {
            let (media_type, name) = (media_type.map(Into::into), name.map(Into::into));
            Part::Media(Media { kind, source, media_type, detail: None, name })
        };
        let data = MediaSource::Data("QUJD".into());
        assert_eq!(
            read[0].parts,
            [
                medium(MediaKind::Image, data.clone(), Some("image/png"), None),
                medium(MediaKind::Image, MediaSource::Url("https://x/y.png".into()), None, None),
                medium(MediaKind::File, data, Some("application/pdf"), Some("a.pdf")),
                Part::Other("custom".into()),
            ]
        );
    }

    #[test]
    fn a_wrong_field_is_named() {
        let part = |part: Value| json!({"messages": [{"role": "user", "parts": [part]}]});
        let rows = [
            (json!({}), "messages", None),
            (json!({"messages": []}), "at least one", Some("messages")),
            (json!({"messages": [{"role": "user"}]}), "parts", Some("messages[0]")),
            (
                json!({"messages": [{"role": "robot", "parts": []}]}),
                "robot",
                Some("messages[0].role"),
            ),
            (part(json!({"type": "text"})), "a string", Some("messages[0].parts[0].text")),
            (
                part(json!({"type": "file", "mediaType": "image/png"})),
                "a string",
                Some("messages[0].parts[0].url"),
            ),
            (
                part(json!({"type": "tool-get"})),
                "a string",
                Some("messages[0].parts[0].toolCallId"),
            ),
        ];
        for (body, named, param) in rows {
            let failure = parse_request(body.to_string().as_bytes()).unwrap_err();
            assert_eq!(failure.status(), 400, "{body}");
            assert!(failure.message().contains(named), "{body}: {failure}");
            assert_eq!(failure.param.as_deref(), param, "{body}: {failure}");
        }
    }
}
