//! A client's request, read.

use std::num::NonZeroU32;

use serde::Deserialize;
use serde_json::Value;

use crate::chat::{
    ChatRequest, Effort, Format, Media, MediaKind, MediaSource, Message, Original, Part, Place,
    Role, Sampling, Tool, ToolChoice, ToolForm, ToolKind,
};
use crate::failure::{Failure, Reason};
use crate::protocol::client::either::{Form, TextOr};
use crate::protocol::custom_tools::{self, TextFormat};
use crate::protocol::parse_json;

#[derive(Deserialize)]
struct Request {
    model: Option<String>,
    #[serde(default)]
    messages: Vec<WireMessage>,
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    max_tokens: Option<NonZeroU32>,
    max_completion_tokens: Option<NonZeroU32>,
    temperature: Option<f64>,
    top_p: Option<f64>,
    frequency_penalty: Option<f64>,
    presence_penalty: Option<f64>,
    seed: Option<i64>,
    stop: Option<TextOr<Vec<String>>>,
    tools: Option<Vec<WireTool>>,
    tool_choice: Option<TextOr<WireChoice>>,
    /// What `tools` and `tool_choice` were called before there were several kinds.
    functions: Option<Vec<WireFunction>>,
    function_call: Option<TextOr<WireChoice>>,
    parallel_tool_calls: Option<bool>,
    response_format: Option<WireFormat>,
    reasoning_effort: Option<String>,
    prompt_cache_key: Option<Value>,
}

#[derive(Deserialize)]
struct StreamOptions {
    include_usage: Option<bool>,
}

#[derive(Deserialize)]
struct WireMessage {
    role: WireRole,
    content: Option<TextOr<Vec<WirePart>>>,
    /// Providers name it one way or the other.
    #[serde(alias = "reasoning")]
    reasoning_content: Option<String>,
    refusal: Option<String>,
    tool_calls: Option<Vec<WireCall>>,
    tool_call_id: Option<String>,
    /// The one call of a message, before there could be several; it has no identifier.
    function_call: Option<WireCalled>,
    /// Of a function's result, whose it is.
    name: Option<String>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum WireRole {
    System,
    Developer,
    User,
    Assistant,
    Tool,
    /// What `tool` was called before.
    Function,
}

/// The fields of every type of part; its type determines which of them count.
#[derive(Deserialize)]
struct WirePart {
    r#type: String,
    text: Option<String>,
    refusal: Option<String>,
    image_url: Option<WireImage>,
    input_audio: Option<WireAudio>,
    file: Option<WireFile>,
}

#[derive(Deserialize)]
struct WireImage {
    url: String,
    detail: Option<String>,
}

#[derive(Deserialize)]
struct WireAudio {
    data: String,
    format: String,
}

#[derive(Deserialize)]
struct WireFile {
    file_data: Option<String>,
    file_id: Option<String>,
    filename: Option<String>,
}

#[derive(Deserialize)]
struct WireCall {
    id: String,
    function: Option<WireCalled>,
    custom: Option<WireCustomCall>,
}

#[derive(Deserialize)]
struct WireCustomCall {
    name: String,
    input: String,
}

#[derive(Deserialize)]
struct WireCalled {
    name: String,
    arguments: String,
}

#[derive(Deserialize)]
struct WireTool {
    /// A tool of the provider's own has neither.
    function: Option<WireFunction>,
    custom: Option<WireCustom>,
}

#[derive(Deserialize)]
struct WireCustom {
    name: String,
    description: Option<String>,
    format: Option<TextFormat>,
}

#[derive(Deserialize)]
struct WireFunction {
    name: String,
    description: Option<String>,
    parameters: Option<Value>,
    strict: Option<bool>,
}

/// A function, or what a type of choice has that only OpenAI knows.
#[derive(Deserialize)]
struct WireChoice {
    #[serde(alias = "custom")]
    function: Option<ChosenFunction>,
    /// Of a legacy function.
    name: Option<String>,
}

impl Form for WireChoice {
    const NAME: &'static str = "an object: `auto`, `none`, `required` or a tool";
}

#[derive(Deserialize)]
struct ChosenFunction {
    name: String,
}

#[derive(Deserialize)]
struct WireFormat {
    r#type: String,
    json_schema: Option<WireSchema>,
}

#[derive(Deserialize)]
struct WireSchema {
    name: String,
    description: Option<String>,
    schema: Option<Value>,
    strict: Option<bool>,
}

/// Reads the JSON body of `POST /v1/chat/completions`.
pub(in crate::protocol) fn parse_request(body: &[u8]) -> Result<ChatRequest, Failure> {
    let request: Request = parse_json(body)?;
    if request.messages.is_empty() {
        let detail = "messages: expected at least one message";
        return Err(Failure::new(Reason::InvalidRequest, detail).at("messages"));
    }
    request.check()?;
    let mut request = ChatRequest::from(request);
    let places = (0..request.messages.len()).map(|index| Place::Elements(index..index + 1));
    request.original = Some(Original::new(body, places.collect()));
    Ok(request)
}

/// Reads what a request has beside its messages: what completions of a prompt have too.
pub(in crate::protocol) fn parse_settings(body: &[u8]) -> Result<ChatRequest, Failure> {
    let request: Request = parse_json(body)?;
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
        check_choice(self.tool_choice.as_ref(), "tool_choice")?;
        check_choice(self.function_call.as_ref(), "function_call")?;
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
        let max_output_tokens = request.max_completion_tokens.or(request.max_tokens);
        let custom = request.tools.iter().flatten().filter_map(|tool| tool.custom.as_ref());
        let tool_forms = custom.map(|tool| (tool.name.clone(), custom_form(&tool.name))).collect();
        let mut tools: Vec<_> = request.tools.into_iter().flatten().filter_map(tool).collect();
        let functions: Vec<_> = request.functions.into_iter().flatten().map(function).collect();
        // A message of that time has one call.
        let is_single = tools.is_empty() && !functions.is_empty();
        tools.extend(functions);
        Self {
            model: request.model,
            messages: messages(request.messages),
            stream: request.stream.unwrap_or(false),
            include_usage: request.stream_options.and_then(|o| o.include_usage).unwrap_or(false),
            max_output_tokens: max_output_tokens.map(Into::into),
            sampling: Sampling {
                temperature: request.temperature,
                top_p: request.top_p,
                top_k: None,
                frequency_penalty: request.frequency_penalty,
                presence_penalty: request.presence_penalty,
                seed: request.seed,
            },
            stop: request.stop.map(Into::into).unwrap_or_default(),
            tool_forms,
            tools,
            functions: is_single,
            tool_choice: request.tool_choice.or(request.function_call).and_then(tool_choice),
            parallel_tool_calls: if is_single { Some(false) } else { request.parallel_tool_calls },
            format: request.response_format.and_then(format),
            effort: request.reasoning_effort.as_deref().and_then(effort),
            cache_key: request.prompt_cache_key.and_then(text),
            conversation: None,
            original: None,
        }
    }
}

/// The messages. A call of the time before identifiers gets its place as one, and a result belongs to
/// the last call of its function.
fn messages(wire: Vec<WireMessage>) -> Vec<Message> {
    let mut calls: Vec<(String, String)> = Vec::new();
    let identified = wire.into_iter().enumerate().map(|(index, mut message)| {
        if let Some(WireCalled { name, arguments }) = message.function_call.take() {
            let id = format!("call_{index}");
            calls.push((name.clone(), id.clone()));
            let function = Some(WireCalled { name, arguments });
            message.tool_calls.get_or_insert_default().push(WireCall {
                id,
                function,
                custom: None,
            });
        }
        if matches!(message.role, WireRole::Function) && message.tool_call_id.is_none() {
            let name = message.name.as_deref();
            let call = calls.iter().rev().find(|(called, _)| Some(called.as_str()) == name);
            message.tool_call_id = call.or(calls.last()).map(|(_, id)| id.clone());
        }
        Message::from(message)
    });
    identified.collect()
}

impl From<WireMessage> for Message {
    fn from(message: WireMessage) -> Self {
        let role = match message.role {
            WireRole::System => Role::System,
            WireRole::Developer => Role::Developer,
            WireRole::User => Role::User,
            WireRole::Assistant => Role::Assistant,
            WireRole::Tool | WireRole::Function => Role::Tool,
        };
        let content = match message.content {
            None => Vec::new(),
            Some(TextOr::Text(text)) => vec![Part::Text(text)],
            Some(TextOr::Other(parts)) => parts.into_iter().map(part).collect(),
        };
        if role == Role::Tool {
            let id = message.tool_call_id.unwrap_or_default();
            return Self {
                role,
                parts: vec![Part::ToolResult { id, parts: content, is_error: false }],
            };
        }
        let thought = message.reasoning_content.filter(|text| !text.is_empty());
        let mut parts: Vec<_> =
            thought.map(|text| Part::Reasoning { text, signature: None }).into_iter().collect();
        parts.extend(content);
        parts.extend(message.refusal.map(Part::Refusal));
        parts.extend(message.tool_calls.into_iter().flatten().map(call));
        Self { role, parts }
    }
}

fn call(call: WireCall) -> Part {
    match (call.function, call.custom) {
        (Some(WireCalled { name, arguments }), _) => {
            Part::ToolCall { id: call.id, name, arguments }
        }
        (None, Some(WireCustomCall { name, input })) => custom_tools::call(call.id, name, &input),
        (None, None) => Part::Other("a provider's own tool call".into()),
    }
}

fn part(part: WirePart) -> Part {
    match part {
        WirePart { text: Some(text), r#type, .. } if r#type == "text" => Part::Text(text),
        WirePart { refusal: Some(text), .. } => Part::Refusal(text),
        WirePart { image_url: Some(image), .. } => {
            Part::Media(Media { detail: image.detail, ..Media::at(MediaKind::Image, &image.url) })
        }
        WirePart { input_audio: Some(audio), .. } => Part::Media(Media {
            media_type: Some(format!("audio/{}", audio.format)),
            ..Media::new(MediaKind::Audio, MediaSource::Data(audio.data))
        }),
        WirePart { file: Some(file), r#type, .. } => match (file.file_data, file.file_id) {
            (Some(data), _) => {
                Part::Media(Media { name: file.filename, ..Media::at(MediaKind::File, &data) })
            }
            (None, Some(id)) => Part::Media(Media {
                name: file.filename,
                ..Media::new(MediaKind::File, MediaSource::Id(id))
            }),
            (None, None) => Part::Other(r#type),
        },
        WirePart { r#type, .. } => Part::Other(r#type),
    }
}

fn tool(tool: WireTool) -> Option<Tool> {
    let custom = |it: WireCustom| custom_tools::function(it.name, it.description, it.format);
    tool.function.map(function).or(tool.custom.map(custom))
}

fn custom_form(name: &str) -> ToolForm {
    ToolForm { kind: ToolKind::Custom, name: name.to_owned(), namespace: None }
}

fn function(function: WireFunction) -> Tool {
    let WireFunction { name, description, parameters, strict } = function;
    Tool { name, description, parameters, strict }
}

fn tool_choice(choice: TextOr<WireChoice>) -> Option<ToolChoice> {
    match choice {
        TextOr::Text(word) => choice_by_name(&word),
        TextOr::Other(WireChoice { function, name }) => {
            function.map(|function| function.name).or(name).map(ToolChoice::Tool)
        }
    }
}

/// Fails if a choice among tools is a word that is none.
pub(in crate::protocol) fn check_choice<T>(
    choice: Option<&TextOr<T>>,
    at: &str,
) -> Result<(), Failure> {
    match choice {
        Some(TextOr::Text(word)) if choice_by_name(word).is_none() => {
            let detail = format!("{at}: `{word}` is not `auto`, `none`, `required` or an object");
            Err(Failure::new(Reason::InvalidRequest, detail).at(at))
        }
        Some(TextOr::Text(_) | TextOr::Other(_)) | None => Ok(()),
    }
}

/// The choice among tools by OpenAI's name for it.
pub(in crate::protocol) fn choice_by_name(name: &str) -> Option<ToolChoice> {
    match name {
        "auto" => Some(ToolChoice::Auto),
        "none" => Some(ToolChoice::None),
        "required" => Some(ToolChoice::Required),
        _ => None,
    }
}

fn format(format: WireFormat) -> Option<Format> {
    match (format.r#type.as_str(), format.json_schema) {
        ("json_object", _) => Some(Format::Json),
        ("json_schema", Some(WireSchema { name, description, schema, strict })) => {
            let schema = schema.unwrap_or_else(|| Value::Object(serde_json::Map::new()));
            Some(Format::Schema { name, description, schema, strict })
        }
        _ => None,
    }
}

/// A setting that is left out where it is no text.
pub(in crate::protocol) fn text(setting: Value) -> Option<String> {
    match setting {
        Value::String(text) => Some(text),
        _ => None,
    }
}

/// The effort by OpenAI's name for it.
pub(in crate::protocol) fn effort(name: &str) -> Option<Effort> {
    match name {
        "none" => Some(Effort::None),
        "minimal" => Some(Effort::Minimal),
        "low" => Some(Effort::Low),
        "medium" => Some(Effort::Medium),
        "high" => Some(Effort::High),
        "xhigh" => Some(Effort::XHigh),
        "max" => Some(Effort::Max),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_keeps_its_detail() {
        let body = r#"{"messages":[{"role":"user","content":[
            {"type":"image_url","image_url":{"url":"https://a.example/b.png","detail":"low"}}]}]}"#;
        let request = parse_request(body.as_bytes()).unwrap();
        let [Part::Media(image)] = &request.messages[0].parts[..] else { panic!("no image") };
        assert_eq!(image.detail.as_deref(), Some("low"));
    }

    /// Each row: a body, and what the error must name.
    #[test]
    fn a_wrong_field_is_named() {
        let rows: &[(&str, &str, Option<&str>)] = &[
            ("{", "not valid JSON", None),
            ("", "not valid JSON", None),
            ("[]", "expected", None),
            (r#"{"messages":[{"role":"user","content":"x"}]} x"#, "not valid JSON", None),
            (r#"{}"#, "at least one", Some("messages")),
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
            (r#"{"messages":[{"role":"user"}],"stop":7}"#, "a string or a list", Some("stop")),
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

    /// The names that tools and their calls had before, and custom tools, are read as functions.
    #[test]
    fn functions_by_their_old_names_are_tools() {
        let request = parse_request(
            br#"{"functions":[{"name":"f","parameters":{}}],"function_call":{"name":"f"},
            "tools":[{"type":"custom","custom":{"name":"p","format":{"type":"text"}}}],"messages":[
            {"role":"assistant","content":null,"function_call":{"name":"f","arguments":"{}"}},
            {"role":"function","name":"f","content":"4"},
            {"role":"assistant","tool_calls":[
                {"id":"c","type":"custom","custom":{"name":"p","input":"x"}}]}]}"#,
        )
        .unwrap();
        let names: Vec<_> = request.tools.iter().map(|tool| tool.name.as_str()).collect();
        assert_eq!(names, ["p", "f"]);
        assert!(!request.functions, "there are tools too");
        assert_eq!(request.tool_choice, Some(ToolChoice::Tool("f".into())));
        let call = |id: &str, name: &str, arguments: &str| Part::ToolCall {
            id: id.into(),
            name: name.into(),
            arguments: arguments.into(),
        };
        let (id, parts) = ("call_0".into(), vec![Part::Text("4".into())]);
        let result = Part::ToolResult { id, parts, is_error: false };
        let assistants = |part| Message { role: Role::Assistant, parts: vec![part] };
        let expected = [
            assistants(call("call_0", "f", "{}")),
            Message { role: Role::Tool, parts: vec![result] },
            assistants(call("c", "p", r#"{"input":"x"}"#)),
        ];
        assert_eq!(request.messages, expected);
    }
}
