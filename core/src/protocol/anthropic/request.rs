//! A client's request, read.

use std::num::NonZeroU32;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::billing;
use crate::chat::{
    ChatRequest, Effort, Format, Media, MediaKind, MediaSource, Message, Original, Part, Place,
    Role, Sampling, Tool, ToolChoice,
};
use crate::failure::{Failure, Reason};
use crate::protocol::client::either::TextOr;
use crate::protocol::parse_json;

#[derive(Deserialize)]
struct Request<'a> {
    model: Option<String>,
    max_tokens: Option<NonZeroU32>,
    #[serde(borrow)]
    messages: Vec<WireMessage<'a>>,
    #[serde(borrow)]
    system: Option<Content<'a>>,
    stream: Option<bool>,
    stop_sequences: Option<Vec<String>>,
    temperature: Option<f64>,
    top_p: Option<f64>,
    top_k: Option<u32>,
    tools: Option<Vec<WireTool>>,
    tool_choice: Option<WireChoice>,
    thinking: Option<Thinking>,
    output_config: Option<OutputConfig>,
    /// What `output_config.format` was called while it was a beta.
    output_format: Option<WireFormat>,
}

#[derive(Deserialize)]
struct WireMessage<'a> {
    role: WireRole,
    #[serde(borrow)]
    content: Content<'a>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum WireRole {
    User,
    Assistant,
    System,
}

/// A text, or a list of blocks that are read by their type.
type Content<'a> = TextOr<Vec<&'a RawValue>>;

#[derive(Deserialize)]
struct Typed {
    r#type: String,
}

#[derive(Deserialize)]
struct TextBlock {
    text: String,
}

#[derive(Deserialize)]
struct ToolReference {
    tool_name: String,
}

/// What stands for the conversation before it.
#[derive(Deserialize)]
struct Compaction {
    content: Option<String>,
}

#[derive(Deserialize)]
struct SearchResult {
    source: Option<String>,
    title: Option<String>,
    content: Vec<TextBlock>,
}

#[derive(Deserialize)]
struct ThinkingBlock {
    thinking: String,
    signature: Option<String>,
}

#[derive(Deserialize)]
struct MediaBlock {
    source: WireSource,
    title: Option<String>,
}

/// The fields of every type of source; its type determines which of them count.
#[derive(Deserialize)]
struct WireSource {
    r#type: String,
    media_type: Option<String>,
    data: Option<String>,
    url: Option<String>,
    file_id: Option<String>,
}

#[derive(Deserialize)]
struct ToolUse<'a> {
    id: String,
    name: String,
    #[serde(borrow)]
    input: &'a RawValue,
}

#[derive(Deserialize)]
struct ToolResult<'a> {
    tool_use_id: String,
    #[serde(borrow)]
    content: Option<Content<'a>>,
    is_error: Option<bool>,
}

#[derive(Deserialize)]
struct WireTool {
    name: Option<String>,
    description: Option<String>,
    /// A tool of the provider's own has none.
    input_schema: Option<Value>,
    strict: Option<bool>,
}

#[derive(Deserialize)]
struct WireChoice {
    r#type: ChoiceKind,
    name: Option<String>,
    disable_parallel_tool_use: Option<bool>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ChoiceKind {
    Auto,
    Any,
    Tool,
    None,
}

#[derive(Deserialize)]
struct Thinking {
    r#type: String,
    budget_tokens: Option<u32>,
}

#[derive(Deserialize)]
struct OutputConfig {
    effort: Option<String>,
    format: Option<WireFormat>,
}

#[derive(Deserialize)]
struct WireFormat {
    schema: Option<Value>,
}

/// Reads the JSON body of `POST /v1/messages`.
pub(in crate::protocol) fn parse_request(body: &[u8]) -> Result<ChatRequest, Failure> {
    let request: Request<'_> = parse_json(body)?;
    if request.max_tokens.is_none() && !request.messages.is_empty() {
        return Err(wrong("max_tokens", "expected the longest answer, in tokens"));
    }
    parsed(request, body)
}

/// Reads a request whose tokens are to be counted: it has no limit.
pub(in crate::protocol) fn parse_counted(body: &[u8]) -> Result<ChatRequest, Failure> {
    parsed(parse_json(body)?, body)
}

fn parsed(request: Request<'_>, body: &[u8]) -> Result<ChatRequest, Failure> {
    request.check()?;
    let (mut messages, mut places) = (Vec::with_capacity(request.messages.len() + 1), Vec::new());
    if let Some(system) = &request.system {
        let parts = billing::without_line(parts(system, "system")?);
        messages.push(Message { role: Role::System, parts });
        places.push(Place::Field("system"));
    }
    for (number, message) in request.messages.iter().enumerate() {
        add_message(&mut messages, message, number)?;
        places.resize(messages.len(), Place::Elements(number..number + 1));
    }
    let original = Some(Original::new(body, places));
    Ok(ChatRequest { messages, original, ..request.options() })
}

impl Request<'_> {
    fn check(&self) -> Result<(), Failure> {
        if self.messages.is_empty() {
            return Err(wrong("messages", "expected at least one message"));
        }
        for (name, value) in [("temperature", self.temperature), ("top_p", self.top_p)] {
            if let Some(value) = value.filter(|value| !(0.0..=1.0).contains(value)) {
                return Err(wrong(name, &format!("{value} is out of range: expected 0 to 1")));
            }
        }
        let unnamed = |tool: &WireTool| tool.name.is_none() && tool.input_schema.is_some();
        if let Some(place) = self.tools.iter().flatten().position(unnamed) {
            return Err(wrong(&format!("tools[{place}].name"), "expected the tool's name"));
        }
        let choice = self.tool_choice.as_ref();
        if choice.is_some_and(|c| matches!(c.r#type, ChoiceKind::Tool) && c.name.is_none()) {
            return Err(wrong("tool_choice.name", "expected the tool's name"));
        }
        Ok(())
    }

    /// All but the messages.
    fn options(self) -> ChatRequest {
        let choice = self.tool_choice;
        let parallel = choice.as_ref().and_then(|choice| choice.disable_parallel_tool_use);
        let config = self.output_config;
        let effort_name = config.as_ref().and_then(|config| config.effort.as_deref());
        ChatRequest {
            model: self.model,
            stream: self.stream.unwrap_or(false),
            include_usage: true,
            max_output_tokens: self.max_tokens.map(Into::into),
            sampling: Sampling {
                temperature: self.temperature,
                top_p: self.top_p,
                top_k: self.top_k,
                ..Sampling::default()
            },
            stop: self.stop_sequences.unwrap_or_default(),
            tools: self.tools.into_iter().flatten().filter_map(tool).collect(),
            tool_choice: choice.and_then(tool_choice),
            parallel_tool_calls: parallel.map(|disabled| !disabled),
            effort: effort(self.thinking.as_ref(), effort_name),
            format: config.and_then(|config| config.format).or(self.output_format).and_then(format),
            ..ChatRequest::default()
        }
    }
}

fn wrong(param: &str, what: &str) -> Failure {
    Failure::new(Reason::InvalidRequest, format!("{param}: {what}")).at(param)
}

/// Results of tools are among a user's blocks; here they are messages of their own.
fn add_message(
    messages: &mut Vec<Message>,
    message: &WireMessage<'_>,
    number: usize,
) -> Result<(), Failure> {
    let role = match message.role {
        WireRole::User => Role::User,
        WireRole::Assistant => Role::Assistant,
        WireRole::System => Role::System,
    };
    let parts = parts(&message.content, &format!("messages[{number}].content"))?;
    let first = messages.len();
    for part in parts {
        let role = if matches!(part, Part::ToolResult { .. }) { Role::Tool } else { role };
        match messages[first..].last_mut() {
            Some(last) if last.role == role => last.parts.push(part),
            _ => messages.push(Message { role, parts: vec![part] }),
        }
    }
    if messages.len() == first {
        messages.push(Message { role, parts: Vec::new() });
    }
    Ok(())
}

/// The parts of the content at `path` of the body.
fn parts(content: &Content<'_>, path: &str) -> Result<Vec<Part>, Failure> {
    let blocks = match content {
        TextOr::Text(text) => return Ok(vec![Part::Text(text.clone())]),
        TextOr::Other(blocks) => blocks,
    };
    let mut parts = Vec::with_capacity(blocks.len());
    for (number, block) in blocks.iter().enumerate() {
        parts.extend(part(block, &format!("{path}[{number}]"))?);
    }
    Ok(parts)
}

fn part(block: &RawValue, path: &str) -> Result<Option<Part>, Failure> {
    let Typed { r#type } = block_as(block, path)?;
    Ok(Some(match r#type.as_str() {
        "text" => Part::Text(block_as::<TextBlock>(block, path)?.text),
        "image" => media(MediaKind::Image, r#type, block_as(block, path)?, path)?,
        "document" => media(MediaKind::File, r#type, block_as(block, path)?, path)?,
        "thinking" => {
            let ThinkingBlock { thinking, signature } = block_as(block, path)?;
            let signature = signature.filter(|signature| !signature.is_empty());
            Part::Reasoning { text: thinking, signature }
        }
        // Only Anthropic can read what is encrypted, and gets it in the original body. What came of
        // its own tools is in the texts beside them.
        "redacted_thinking" | "server_tool_use" | "mcp_tool_use" | "mcp_tool_result"
        | "container_upload" => return Ok(None),
        kind if kind.ends_with("_tool_result") => return Ok(None),
        // The tool is among the request's, whether it was loaded or not.
        "tool_reference" => {
            let ToolReference { tool_name } = block_as(block, path)?;
            Part::Text(format!("The tool {tool_name} is available."))
        }
        "compaction" => {
            Part::Text(block_as::<Compaction>(block, path)?.content.unwrap_or_default())
        }
        "search_result" => {
            let SearchResult { source, title, content } = block_as(block, path)?;
            let texts = content.into_iter().map(|block| block.text);
            let head = [title, source].into_iter().flatten();
            Part::Text(head.chain(texts).collect::<Vec<_>>().join("\n"))
        }
        "tool_use" => {
            let ToolUse { id, name, input } = block_as(block, path)?;
            Part::ToolCall { id, name, arguments: input.get().to_owned() }
        }
        "tool_result" => {
            let ToolResult { tool_use_id, content, is_error } = block_as(block, path)?;
            let content = content.unwrap_or(TextOr::Other(Vec::new()));
            let parts = parts(&content, &format!("{path}.content"))?;
            Part::ToolResult { id: tool_use_id, parts, is_error: is_error.unwrap_or(false) }
        }
        _ => Part::Other(r#type),
    }))
}

fn block_as<'a, T: Deserialize<'a>>(block: &'a RawValue, path: &str) -> Result<T, Failure> {
    parse_json(block.get().as_bytes()).map_err(|failure| match &failure.param {
        Some(field) => {
            let detail = format!("{path}.{}", failure.detail);
            Failure::new(Reason::InvalidRequest, detail).at(format!("{path}.{field}"))
        }
        None => wrong(path, &failure.detail),
    })
}

fn media(
    kind: MediaKind,
    block_type: String,
    block: MediaBlock,
    path: &str,
) -> Result<Part, Failure> {
    let WireSource { r#type, media_type, data, url, file_id } = block.source;
    let needed = |field: Option<String>, name: &str| {
        field.ok_or_else(|| wrong(&format!("{path}.source.{name}"), "expected a string"))
    };
    let (source, media_type) = match r#type.as_str() {
        "base64" => {
            let media_type = needed(media_type, "media_type")?;
            (MediaSource::Data(needed(data, "data")?), Some(media_type))
        }
        "url" => (MediaSource::Url(needed(url, "url")?), None),
        "file" => (MediaSource::Id(needed(file_id, "file_id")?), None),
        // Plain text, as it is.
        "text" => return Ok(Part::Text(needed(data, "data")?)),
        _ => return Ok(Part::Other(block_type)),
    };
    Ok(Part::Media(Media { kind, source, media_type, detail: None, name: block.title }))
}

fn tool(tool: WireTool) -> Option<Tool> {
    let WireTool { name, description, input_schema, strict } = tool;
    Some(Tool { name: name?, description, parameters: Some(input_schema?), strict })
}

fn tool_choice(choice: WireChoice) -> Option<ToolChoice> {
    match choice.r#type {
        ChoiceKind::Auto => Some(ToolChoice::Auto),
        ChoiceKind::Any => Some(ToolChoice::Required),
        ChoiceKind::Tool => choice.name.map(ToolChoice::Tool),
        ChoiceKind::None => Some(ToolChoice::None),
    }
}

/// A budget is more specific than a level; adaptive thinking is at the level given beside it.
fn effort(thinking: Option<&Thinking>, word: Option<&str>) -> Option<Effort> {
    match thinking {
        Some(Thinking { r#type, .. }) if r#type == "disabled" => return Some(Effort::None),
        Some(Thinking { budget_tokens: Some(tokens), .. }) => return Some(Effort::Budget(*tokens)),
        _ => {}
    }
    match word? {
        "low" => Some(Effort::Low),
        "medium" => Some(Effort::Medium),
        "high" => Some(Effort::High),
        "xhigh" => Some(Effort::XHigh),
        "max" => Some(Effort::Max),
        _ => None,
    }
}

/// Anthropic's schemas have no name where other protocols want one.
fn format(format: WireFormat) -> Option<Format> {
    let schema = format.schema?;
    let name = schema.get("title").and_then(Value::as_str).unwrap_or("answer").to_owned();
    Some(Format::Schema { name, description: None, schema, strict: Some(true) })
}

#[cfg(test)]
mod tests;
