//! A client's request, read. Its names may be written either way that JSON of protocol buffers has:
//! `systemInstruction` or `system_instruction`.

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::json_schema::json_schema;
use crate::chat::{
    ChatRequest, Effort, Format, Media, MediaKind, MediaSource, Message, Original, Part, Place,
    Role, Sampling, Tool, ToolChoice,
};
use crate::failure::{Failure, Reason};
use crate::protocol::client::either::{Form, OneOrMany, TextOr};
use crate::protocol::client::open_calls::OpenCalls;
use crate::protocol::parse_json;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    /// The path has it too, and counts.
    model: Option<String>,
    contents: Option<OneOrMany<Content>>,
    #[serde(alias = "system_instruction")]
    system_instruction: Option<TextOr<Content>>,
    #[serde(alias = "generation_config")]
    generation_config: Option<GenerationConfig>,
    tools: Option<OneOrMany<WireTool>>,
    #[serde(alias = "tool_config")]
    tool_config: Option<ToolConfig>,
}

#[derive(Deserialize)]
struct Content {
    role: Option<String>,
    parts: Option<OneOrMany<WirePart>>,
}

impl Form for Content {
    const NAME: &'static str = "an object";
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WirePart {
    text: Option<String>,
    thought: Option<bool>,
    #[serde(alias = "inline_data")]
    inline_data: Option<Blob>,
    #[serde(alias = "file_data")]
    file_data: Option<FileData>,
    #[serde(alias = "function_call")]
    function_call: Option<FunctionCall>,
    #[serde(alias = "function_response")]
    function_response: Option<FunctionResponse>,
    /// Among them what belongs to one of the fields above, such as a signature.
    #[serde(flatten)]
    others: Map<String, Value>,
}

/// What is no part by itself.
const BESIDE: [&str; 7] = [
    "thoughtSignature",
    "thought_signature",
    "videoMetadata",
    "video_metadata",
    "mediaResolution",
    "media_resolution",
    "partMetadata",
];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Blob {
    #[serde(alias = "mime_type")]
    mime_type: Option<String>,
    data: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FileData {
    #[serde(alias = "mime_type")]
    mime_type: Option<String>,
    #[serde(alias = "file_uri")]
    file_uri: String,
}

#[derive(Deserialize)]
struct FunctionCall {
    id: Option<String>,
    name: String,
    args: Option<Value>,
}

#[derive(Deserialize)]
struct FunctionResponse {
    id: Option<String>,
    name: Option<String>,
    response: Option<Value>,
    parts: Option<Vec<WirePart>>,
}

/// Whole numbers may be written as fractions.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct GenerationConfig {
    #[serde(alias = "max_output_tokens")]
    max_output_tokens: Option<f64>,
    temperature: Option<f64>,
    #[serde(alias = "top_p")]
    top_p: Option<f64>,
    #[serde(alias = "top_k")]
    top_k: Option<f64>,
    #[serde(alias = "presence_penalty")]
    presence_penalty: Option<f64>,
    #[serde(alias = "frequency_penalty")]
    frequency_penalty: Option<f64>,
    seed: Option<i64>,
    #[serde(alias = "stop_sequences")]
    stop_sequences: Option<Vec<String>>,
    #[serde(alias = "response_mime_type")]
    response_mime_type: Option<String>,
    #[serde(alias = "response_schema")]
    response_schema: Option<Value>,
    #[serde(alias = "response_json_schema")]
    response_json_schema: Option<Value>,
    #[serde(alias = "thinking_config")]
    thinking_config: Option<ThinkingConfig>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ThinkingConfig {
    #[serde(alias = "thinking_budget")]
    thinking_budget: Option<f64>,
    #[serde(alias = "thinking_level")]
    thinking_level: Option<String>,
}

/// A tool of Google's own has no declarations.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireTool {
    #[serde(alias = "function_declarations")]
    function_declarations: Option<Vec<Declaration>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Declaration {
    name: String,
    description: Option<String>,
    parameters: Option<Value>,
    #[serde(alias = "parameters_json_schema")]
    parameters_json_schema: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ToolConfig {
    #[serde(alias = "function_calling_config")]
    function_calling_config: Option<CallingConfig>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CallingConfig {
    mode: Option<String>,
    #[serde(alias = "allowed_function_names")]
    allowed_function_names: Option<Vec<String>>,
}

/// Reads the JSON body of `models.generateContent` and `models.streamGenerateContent`; the model is
/// in the path, and so is whether the answer streams.
pub(in crate::protocol) fn parse_request(body: &[u8]) -> Result<ChatRequest, Failure> {
    let request: Request = parse_json(body)?;
    let (mut messages, mut places) = (Vec::new(), Vec::new());
    if let Some(system) = request.system_instruction {
        messages.push(instruction(system));
        places.push(Place::Field("systemInstruction"));
    }
    let contents = request.contents.map_or_else(Vec::new, OneOrMany::into_vec);
    if contents.is_empty() {
        return Err(wrong("contents", "expected at least one content"));
    }
    let mut calls = OpenCalls::default();
    for (number, content) in contents.into_iter().enumerate() {
        add_messages(&mut messages, content, number, &mut calls);
        places.resize(messages.len(), Place::Elements(number..number + 1));
    }
    let tools = request.tools.map_or_else(Vec::new, OneOrMany::into_vec);
    let tools = tools.into_iter().filter_map(|tool| tool.function_declarations).flatten().map(tool);
    let calling = request.tool_config.and_then(|config| config.function_calling_config);
    let (tools, tool_choice) = offered(tools.collect(), calling);
    let model = request.model.as_deref();
    let model = model.map(|name| name.strip_prefix("models/").unwrap_or(name).to_owned());
    Ok(ChatRequest {
        model,
        messages,
        tools,
        tool_choice,
        original: Some(Original::new(body, places)),
        ..request.generation_config.unwrap_or_default().read()
    })
}

/// Reads the JSON body of `models.countTokens`: contents, or a whole request in a field.
pub(in crate::protocol) fn parse_counted(body: &[u8]) -> Result<ChatRequest, Failure> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Counted<'a> {
        #[serde(borrow, alias = "generate_content_request")]
        generate_content_request: Option<&'a RawValue>,
    }
    let counted: Counted<'_> = parse_json(body)?;
    parse_request(counted.generate_content_request.map_or(body, |text| text.get().as_bytes()))
}

fn wrong(param: &str, what: &str) -> Failure {
    Failure::new(Reason::InvalidRequest, format!("{param}: {what}")).at(param)
}

impl GenerationConfig {
    fn read(self) -> ChatRequest {
        let whole = |value: Option<f64>| value.filter(|value| *value >= 1.0).map(|it| it as u32);
        ChatRequest {
            include_usage: true,
            max_output_tokens: whole(self.max_output_tokens),
            sampling: Sampling {
                temperature: self.temperature,
                top_p: self.top_p,
                top_k: whole(self.top_k),
                frequency_penalty: self.frequency_penalty,
                presence_penalty: self.presence_penalty,
                seed: self.seed,
            },
            stop: self.stop_sequences.unwrap_or_default(),
            format: format(
                self.response_mime_type.as_deref(),
                self.response_json_schema.or(self.response_schema.map(json_schema)),
            ),
            effort: self.thinking_config.and_then(effort),
            ..ChatRequest::default()
        }
    }
}

/// A budget of -1 leaves it to the model.
fn effort(config: ThinkingConfig) -> Option<Effort> {
    match (config.thinking_budget, config.thinking_level) {
        (Some(0.0), _) => Some(Effort::None),
        (Some(tokens), _) => (tokens > 0.0).then_some(Effort::Budget(tokens as u32)),
        (None, level) => crate::protocol::openai::effort(&level?.to_ascii_lowercase()),
    }
}

/// Gemini's schemas have no name where other protocols want one.
fn format(media_type: Option<&str>, schema: Option<Value>) -> Option<Format> {
    match (media_type, schema) {
        (Some("application/json"), Some(schema)) => {
            let name = schema["title"].as_str().unwrap_or("answer").to_owned();
            Some(Format::Schema { name, description: None, schema, strict: None })
        }
        (Some("application/json"), None) => Some(Format::Json),
        _ => None,
    }
}

fn tool(declaration: Declaration) -> Tool {
    let Declaration { name, description, parameters, parameters_json_schema } = declaration;
    let parameters = parameters_json_schema.or(parameters.map(json_schema));
    Tool { name, description, parameters, strict: None }
}

/// The tools that may be called, and whether one must be.
fn offered(tools: Vec<Tool>, config: Option<CallingConfig>) -> (Vec<Tool>, Option<ToolChoice>) {
    let Some(config) = config else { return (tools, None) };
    let allowed = config.allowed_function_names.unwrap_or_default();
    match config.mode.unwrap_or_default().to_ascii_uppercase().as_str() {
        "NONE" => (tools, Some(ToolChoice::None)),
        "AUTO" => (tools, Some(ToolChoice::Auto)),
        "ANY" => match allowed.as_slice() {
            [] => (tools, Some(ToolChoice::Required)),
            [name] => (tools, Some(ToolChoice::Tool(name.clone()))),
            names => {
                let tools = tools.into_iter().filter(|tool| names.contains(&tool.name));
                (tools.collect(), Some(ToolChoice::Required))
            }
        },
        _ => (tools, None),
    }
}

fn instruction(instruction: TextOr<Content>) -> Message {
    let content = match instruction {
        TextOr::Text(text) => return Message::text(Role::System, text),
        TextOr::Other(content) => content,
    };
    let parts = content.parts.map_or_else(Vec::new, OneOrMany::into_vec);
    let parts = parts.into_iter().map(|part| read(part, String::new)).collect();
    Message { role: Role::System, parts }
}

/// Results of functions are among a user's parts; here they are messages of their own.
fn add_messages(
    messages: &mut Vec<Message>,
    content: Content,
    number: usize,
    calls: &mut OpenCalls,
) {
    let is_models = content.role.as_deref() == Some("model");
    let role = if is_models { Role::Assistant } else { Role::User };
    let first = messages.len();
    let parts = content.parts.map_or_else(Vec::new, OneOrMany::into_vec);
    for (place, mut wire) in parts.into_iter().enumerate() {
        let (role, part) = match wire.function_response.take() {
            Some(response) => (Role::Tool, result(response, calls)),
            None => (role, read(wire, || format!("call_{number}_{place}"))),
        };
        calls.note(std::slice::from_ref(&part));
        match messages[first..].last_mut() {
            Some(last) if last.role == role => last.parts.push(part),
            _ => messages.push(Message { role, parts: vec![part] }),
        }
    }
    if messages.len() == first {
        messages.push(Message { role, parts: Vec::new() });
    }
}

/// A part that is no result; `new_id` identifies a call that has no identifier.
fn read(part: WirePart, new_id: impl FnOnce() -> String) -> Part {
    match part {
        WirePart { function_call: Some(FunctionCall { id, name, args }), .. } => Part::ToolCall {
            id: id.filter(|id| !id.is_empty()).unwrap_or_else(new_id),
            name,
            arguments: args.map_or_else(String::new, |args| args.to_string()),
        },
        WirePart { inline_data: Some(Blob { mime_type, data }), .. } => {
            media(mime_type, MediaSource::Data(data))
        }
        WirePart { file_data: Some(FileData { mime_type, file_uri }), .. } => {
            media(mime_type, MediaSource::Url(file_uri))
        }
        // The signature is Google's: no other provider takes it.
        WirePart { text: Some(text), thought: Some(true), .. } => {
            Part::Reasoning { text, signature: None }
        }
        WirePart { text: Some(text), .. } => Part::Text(text),
        WirePart { others, .. } => {
            let mut others = others.into_iter().map(|(name, _)| name);
            let other = others.find(|name| !BESIDE.contains(&name.as_str()));
            other.map_or_else(|| Part::Text(String::new()), Part::Other)
        }
    }
}

fn media(media_type: Option<String>, source: MediaSource) -> Part {
    let kind = match media_type.as_deref().and_then(|name| name.split('/').next()) {
        Some("image") => MediaKind::Image,
        Some("audio") => MediaKind::Audio,
        _ => MediaKind::File,
    };
    Part::Media(Media { media_type, ..Media::new(kind, source) })
}

/// A result is a text where nothing else is in it.
fn result(response: FunctionResponse, calls: &mut OpenCalls) -> Part {
    let id = calls.close(response.id, response.name.as_deref());
    let value = response.response.unwrap_or_default();
    let only = value.as_object().filter(|fields| fields.len() == 1);
    let is_error = only.is_some_and(|fields| fields.contains_key("error"));
    let text = only.and_then(|fields| {
        let (name, value) = fields.iter().next()?;
        let is_plain = matches!(name.as_str(), "output" | "result" | "error");
        value.as_str().filter(|_| is_plain).map(str::to_owned)
    });
    let text = text.unwrap_or_else(|| value.to_string());
    let more = response.parts.into_iter().flatten().map(|part| read(part, String::new));
    let parts = std::iter::once(Part::Text(text)).chain(more).collect();
    Part::ToolResult { id, parts, is_error }
}

#[cfg(test)]
mod tests;
