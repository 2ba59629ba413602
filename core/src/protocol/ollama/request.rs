//! A client's request, read: of `/api/chat` a conversation, of `/api/generate` one prompt.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::chat::{
    ChatRequest, Effort, Format, Media, MediaKind, MediaSource, Message, Original, Part, Place,
    Role, Sampling, Tool,
};
use crate::failure::{Failure, Reason};
use crate::json;
use crate::protocol::client::either::TextOr;
use crate::protocol::client::open_calls::OpenCalls;
use crate::protocol::{openai, parse_json};

#[derive(Deserialize)]
struct Chat<'a> {
    model: Option<String>,
    #[serde(borrow)]
    messages: Option<Vec<WireMessage<'a>>>,
    tools: Option<Vec<WireTool>>,
    stream: Option<bool>,
    think: Option<Think>,
    format: Option<Value>,
    options: Option<Options>,
}

#[derive(Deserialize)]
struct Generate {
    model: Option<String>,
    prompt: Option<String>,
    system: Option<String>,
    images: Option<Vec<String>>,
    suffix: Option<String>,
    template: Option<String>,
    raw: Option<bool>,
    context: Option<Vec<Value>>,
    logprobs: Option<bool>,
    stream: Option<bool>,
    think: Option<Think>,
    format: Option<Value>,
    options: Option<Options>,
}

/// What both have.
struct Settings {
    stream: Option<bool>,
    think: Option<Think>,
    format: Option<Value>,
    options: Option<Options>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a boolean or a level")]
enum Think {
    Switch(bool),
    Level(String),
}

/// Whole numbers may be written as fractions.
#[derive(Default, Deserialize)]
struct Options {
    num_predict: Option<f64>,
    temperature: Option<f64>,
    top_p: Option<f64>,
    top_k: Option<f64>,
    frequency_penalty: Option<f64>,
    presence_penalty: Option<f64>,
    seed: Option<f64>,
    stop: Option<TextOr<Vec<String>>>,
}

#[derive(Deserialize)]
struct WireMessage<'a> {
    role: WireRole,
    content: Option<String>,
    thinking: Option<String>,
    images: Option<Vec<String>>,
    #[serde(borrow)]
    tool_calls: Option<Vec<WireCall<'a>>>,
    /// Of a result, whose it is.
    tool_call_id: Option<String>,
    #[serde(alias = "name")]
    tool_name: Option<String>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum WireRole {
    System,
    User,
    Assistant,
    Tool,
}

#[derive(Deserialize)]
struct WireCall<'a> {
    id: Option<String>,
    #[serde(borrow)]
    function: WireCalled<'a>,
}

#[derive(Deserialize)]
struct WireCalled<'a> {
    name: String,
    /// An object; some clients send its text.
    #[serde(borrow)]
    arguments: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct WireTool {
    function: WireFunction,
}

#[derive(Deserialize)]
struct WireFunction {
    name: String,
    description: Option<String>,
    parameters: Option<Value>,
}

/// Whether a body of `POST /api/chat` is Ollama's. `useChat` sends its messages in `parts`, and an
/// `id` beside them.
pub(in crate::protocol) fn is_chat(body: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Body {
        #[serde(rename = "model")]
        _model: String,
        id: Option<IgnoredAny>,
        messages: Option<Vec<Message>>,
    }
    #[derive(Deserialize)]
    struct Message {
        parts: Option<IgnoredAny>,
    }
    let Ok(body) = json::read_bytes::<Body>(body) else { return false };
    body.id.is_none() && body.messages.iter().flatten().all(|message| message.parts.is_none())
}

/// Whether a request without content wants the model out of memory: to be kept for no time at all, in
/// seconds or with a unit.
pub(in crate::protocol) fn is_unload(body: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Body {
        keep_alive: Option<Value>,
    }
    let body = json::read_bytes::<Body>(body).ok();
    match body.and_then(|body| body.keep_alive) {
        Some(Value::Number(seconds)) => seconds.as_f64() == Some(0.0),
        Some(Value::String(time)) => {
            let number = time.trim_end_matches(|unit: char| unit.is_ascii_alphabetic());
            number.parse() == Ok(0.0)
        }
        _ => false,
    }
}

/// Reads the JSON body of `POST /api/chat`. Without messages it asks for no answer, but that the model
/// be loaded.
pub(in crate::protocol) fn parse_chat(body: &[u8]) -> Result<ChatRequest, Failure> {
    let request: Chat<'_> = parse_json(body)?;
    let Chat { stream, think, format, options, .. } = request;
    let messages = messages(request.messages.unwrap_or_default());
    let places = (0..messages.len()).map(|index| Place::Elements(index..index + 1));
    Ok(ChatRequest {
        model: request.model,
        messages,
        tools: request.tools.into_iter().flatten().map(tool).collect(),
        original: Some(Original::new(body, places.collect())),
        ..Settings { stream, think, format, options }.read()?
    })
}

/// Reads the JSON body of `POST /api/generate`. Without a prompt it asks for no answer either, and its
/// request has no messages.
pub(in crate::protocol) fn parse_generate(body: &[u8]) -> Result<ChatRequest, Failure> {
    let request: Generate = parse_json(body)?;
    request.check()?;
    let Generate { stream, think, format, options, .. } = request;
    let mut parts: Vec<_> = request.images.into_iter().flatten().map(|data| image(&data)).collect();
    let prompt = request.prompt.filter(|text| !text.is_empty());
    parts.extend(prompt.map(Part::Text));
    let mut messages = Vec::new();
    if !parts.is_empty() {
        let system = request.system.filter(|text| !text.is_empty());
        messages.extend(system.map(|text| Message::text(Role::System, text)));
        messages.push(Message { role: Role::User, parts });
    }
    let settings = Settings { stream, think, format, options };
    Ok(ChatRequest { model: request.model, messages, ..settings.read()? })
}

impl Generate {
    /// Refuses what would change the prompt or its answer, and has no counterpart in a conversation.
    fn check(&self) -> Result<(), Failure> {
        let is_given = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
        let unsupported = [
            ("suffix", is_given(&self.suffix)),
            ("template", is_given(&self.template)),
            ("raw", self.raw == Some(true)),
            ("logprobs", self.logprobs == Some(true)),
            ("context", self.context.as_ref().is_some_and(|tokens| !tokens.is_empty())),
        ];
        match unsupported.into_iter().find(|(_, given)| *given) {
            Some((name, _)) => Err(wrong(name, "not supported: the model is asked by chat")),
            None => Ok(()),
        }
    }
}

fn wrong(param: &str, what: &str) -> Failure {
    Failure::new(Reason::InvalidRequest, format!("{param}: {what}")).at(param)
}

impl Settings {
    /// All but the model, the messages and the tools.
    fn read(self) -> Result<ChatRequest, Failure> {
        let options = self.options.unwrap_or_default();
        let whole = |value: Option<f64>| value.filter(|value| *value >= 0.0).map(|it| it as u32);
        Ok(ChatRequest {
            stream: self.stream.unwrap_or(true),
            include_usage: true,
            // -1 is no limit, -2 the rest of the context.
            max_output_tokens: whole(options.num_predict).filter(|limit| *limit > 0),
            sampling: Sampling {
                temperature: options.temperature,
                top_p: options.top_p,
                top_k: whole(options.top_k),
                frequency_penalty: options.frequency_penalty,
                presence_penalty: options.presence_penalty,
                seed: options.seed.map(|seed| seed as i64),
            },
            stop: options.stop.map(Into::into).unwrap_or_default(),
            format: self.format.map(format).transpose()?.flatten(),
            effort: self.think.and_then(effort),
            ..ChatRequest::default()
        })
    }
}

/// `true` is as much as the model thinks by itself.
fn effort(think: Think) -> Option<Effort> {
    match think {
        Think::Switch(true) => Some(Effort::Medium),
        Think::Switch(false) => Some(Effort::None),
        Think::Level(level) => openai::effort(&level),
    }
}

/// Ollama's schemas have no name where other protocols want one.
fn format(format: Value) -> Result<Option<Format>, Failure> {
    match format {
        Value::String(word) if word.is_empty() => Ok(None),
        Value::String(word) if word == "json" => Ok(Some(Format::Json)),
        schema @ Value::Object(_) => {
            let name = schema["title"].as_str().unwrap_or("answer").to_owned();
            Ok(Some(Format::Schema { name, description: None, schema, strict: None }))
        }
        _ => Err(wrong("format", "expected `json` or a JSON Schema")),
    }
}

fn tool(tool: WireTool) -> Tool {
    let WireFunction { name, description, parameters } = tool.function;
    Tool { name, description, parameters, strict: None }
}

/// The messages. A call without an identifier gets its place as one.
fn messages(wire: Vec<WireMessage<'_>>) -> Vec<Message> {
    let mut calls = OpenCalls::default();
    let mut messages = Vec::with_capacity(wire.len());
    for (index, message) in wire.into_iter().enumerate() {
        let read = match message.role {
            WireRole::System => said(Role::System, message, index),
            WireRole::User => said(Role::User, message, index),
            WireRole::Assistant => said(Role::Assistant, message, index),
            WireRole::Tool => result(message, &mut calls),
        };
        calls.note(&read.parts);
        messages.push(read);
    }
    messages
}

fn said(role: Role, message: WireMessage<'_>, index: usize) -> Message {
    let filled = |text: Option<String>| text.filter(|text| !text.is_empty());
    let thought = filled(message.thinking).map(|text| Part::Reasoning { text, signature: None });
    let mut parts: Vec<_> = thought.into_iter().collect();
    parts.extend(filled(message.content).map(Part::Text));
    parts.extend(message.images.into_iter().flatten().map(|data| image(&data)));
    let calls = message.tool_calls.into_iter().flatten().enumerate();
    parts.extend(calls.map(|(place, call)| Part::ToolCall {
        id: call.id.filter(|id| !id.is_empty()).unwrap_or_else(|| format!("call_{index}_{place}")),
        name: call.function.name,
        arguments: arguments(call.function.arguments),
    }));
    Message { role, parts }
}

fn result(message: WireMessage<'_>, calls: &mut OpenCalls) -> Message {
    let id = calls.close(message.tool_call_id, message.tool_name.as_deref());
    let mut parts = vec![Part::Text(message.content.unwrap_or_default())];
    parts.extend(message.images.into_iter().flatten().map(|data| image(&data)));
    Message { role: Role::Tool, parts: vec![Part::ToolResult { id, parts, is_error: false }] }
}

fn arguments(written: Option<&RawValue>) -> String {
    let written = written.map_or("", RawValue::get);
    json::read(written).unwrap_or_else(|_| written.to_owned())
}

/// How the base64 of a format's first bytes begins.
const IMAGES: [(&str, &str); 4] = [
    ("iVBORw0KGgo", "image/png"),
    ("/9j/", "image/jpeg"),
    ("R0lGOD", "image/gif"),
    ("UklGR", "image/webp"),
];

/// An image in base64, whose type other protocols want to be named.
fn image(data: &str) -> Part {
    let inline = Media::at(MediaKind::Image, data);
    if matches!(inline.source, MediaSource::Data(_)) {
        return Part::Media(inline);
    }
    let known = IMAGES.iter().find(|(start, _)| data.starts_with(start));
    Part::Media(Media {
        media_type: known.map(|(_, media_type)| (*media_type).to_owned()),
        ..Media::new(MediaKind::Image, MediaSource::Data(data.to_owned()))
    })
}

#[cfg(test)]
mod tests;
