//! A client's request, read: a conversation of items, in which those of the assistant that follow
//! each other are one message.

use std::num::NonZeroU32;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use serde_json::value::RawValue;

use super::tools::{self, Functions, WireTool};
use crate::chat::{
    ChatRequest, Format, Media, MediaKind, MediaSource, Message, Original, Part, Place, Role,
    Sampling, ToolChoice,
};
use crate::failure::{Failure, Reason};
use crate::protocol::client::either::{Form, TextOr};
use crate::protocol::custom_tools;
use crate::protocol::{openai, parse_json};

#[derive(Deserialize)]
struct Request<'a> {
    model: Option<String>,
    #[serde(borrow)]
    input: Option<TextOr<Vec<&'a RawValue>>>,
    instructions: Option<String>,
    previous_response_id: Option<IgnoredAny>,
    conversation: Option<IgnoredAny>,
    prompt: Option<IgnoredAny>,
    background: Option<bool>,
    stream: Option<bool>,
    max_output_tokens: Option<NonZeroU32>,
    temperature: Option<f64>,
    top_p: Option<f64>,
    tools: Option<Vec<WireTool>>,
    tool_choice: Option<TextOr<WireChoice>>,
    parallel_tool_calls: Option<bool>,
    text: Option<WireText>,
    reasoning: Option<WireReasoning>,
    prompt_cache_key: Option<Value>,
}

/// What determines the type of an item. Its other fields are read when that is known: types disagree
/// about what a name is for.
#[derive(Deserialize)]
struct ItemType {
    r#type: Option<String>,
    role: Option<IgnoredAny>,
    id: Option<IgnoredAny>,
    arguments: Option<IgnoredAny>,
    input: Option<IgnoredAny>,
    output: Option<IgnoredAny>,
}

impl ItemType {
    /// The type, or the one that has such fields.
    fn name(self) -> String {
        let fields = [
            (self.role, "message"),
            (self.output, "function_call_output"),
            (self.arguments, "function_call"),
            (self.input, "custom_tool_call"),
            (self.id, "item_reference"),
        ];
        let by_field = fields.into_iter().find_map(|(field, name)| field.map(|_| name));
        self.r#type.unwrap_or_else(|| by_field.unwrap_or("message").to_owned())
    }
}

#[derive(Deserialize)]
struct WireMessage {
    role: WireRole,
    content: TextOr<Vec<WirePart>>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum WireRole {
    System,
    Developer,
    User,
    Assistant,
}

#[derive(Deserialize)]
struct WireCall {
    call_id: String,
    name: String,
    namespace: Option<String>,
    arguments: String,
}

#[derive(Deserialize)]
struct WireCustomCall {
    call_id: String,
    name: String,
    namespace: Option<String>,
    input: String,
}

#[derive(Deserialize)]
struct WireResult {
    call_id: String,
    output: TextOr<Vec<WirePart>>,
}

#[derive(Deserialize)]
struct WireThought {
    summary: Option<Vec<WirePart>>,
    content: Option<Vec<WirePart>>,
}

/// The fields of every type of part; its type determines which of them count.
#[derive(Deserialize)]
pub(super) struct WirePart {
    r#type: String,
    text: Option<String>,
    refusal: Option<String>,
    image_url: Option<String>,
    file_url: Option<String>,
    file_data: Option<String>,
    file_id: Option<String>,
    filename: Option<String>,
    detail: Option<String>,
    input_audio: Option<WireAudio>,
}

#[derive(Deserialize)]
struct WireAudio {
    data: String,
    format: String,
}

#[derive(Deserialize)]
struct WireChoice {
    r#type: String,
    name: Option<String>,
}

impl Form for WireChoice {
    const NAME: &'static str = "an object: `auto`, `none`, `required` or a tool";
}

#[derive(Deserialize)]
struct WireText {
    format: Option<WireFormat>,
}

#[derive(Deserialize)]
struct WireFormat {
    r#type: String,
    name: Option<String>,
    description: Option<String>,
    schema: Option<Value>,
    strict: Option<bool>,
}

#[derive(Deserialize)]
struct WireReasoning {
    effort: Option<String>,
}

/// Reads the JSON body of `POST /v1/responses`.
pub(in crate::protocol) fn parse_request(body: &[u8]) -> Result<ChatRequest, Failure> {
    let request: Request<'_> = parse_json(body)?;
    request.check()?;
    let (messages, places) = request.messages()?;
    let original = Some(Original::new(body, places));
    Ok(ChatRequest { messages, original, ..ChatRequest::from(request) })
}

impl Request<'_> {
    fn check(&self) -> Result<(), Failure> {
        if self.background == Some(true) {
            return Err(wrong("background", "expected false: an answer is not kept for later"));
        }
        openai::check_choice(self.tool_choice.as_ref(), "tool_choice")?;
        let unnamed = |tool: &WireTool| tool.is_named() && tool.name.is_none();
        if let Some(place) = self.tools.iter().flatten().position(unnamed) {
            return Err(wrong(&format!("tools[{place}].name"), "expected the function's name"));
        }
        let ranges = [("temperature", self.temperature, 2.0), ("top_p", self.top_p, 1.0)];
        for (name, value, most) in ranges {
            if let Some(value) = value.filter(|value| !(0.0..=most).contains(value)) {
                return Err(wrong(name, &format!("{value} is out of range: expected 0 to {most}")));
            }
        }
        Ok(())
    }

    /// The tools, and those that items of the conversation bring.
    fn functions(&mut self) -> Functions {
        let mut functions = Functions::default();
        for tool in self.tools.take().into_iter().flatten() {
            functions.add(tool, None);
        }
        if let Some(TextOr::Other(items)) = &self.input {
            items.iter().for_each(|item| functions.add_loaded(item.get()));
        }
        functions
    }

    /// The messages, and where each is.
    fn messages(&self) -> Result<(Vec<Message>, Vec<Place>), Failure> {
        let (mut messages, mut places): (Vec<_>, Vec<_>) = self.kept_elsewhere().unzip();
        let is_elsewhere = !messages.is_empty();
        if let Some(instructions) = &self.instructions {
            messages.push(Message::text(Role::System, instructions));
            places.push(Place::Field("instructions"));
        }
        let before_input = messages.len();
        match &self.input {
            None => {}
            Some(TextOr::Text(text)) => {
                messages.push(Message::text(Role::User, text));
                places.push(Place::Elements(0..1));
            }
            Some(TextOr::Other(items)) => {
                for (index, item) in items.iter().enumerate() {
                    let (role, parts) = item_parts(item.get(), &format!("input[{index}]"))?;
                    if add(&mut messages, role, parts) || index + 1 == items.len() {
                        extend_place(&mut places, messages.len(), index);
                    }
                }
            }
        }
        if messages.len() == before_input && !is_elsewhere {
            return Err(wrong("input", "expected a text, or a list of at least one item"));
        }
        Ok((messages, places))
    }

    /// What of the conversation is at the provider, by the name of the field that refers to it.
    fn kept_elsewhere(&self) -> impl Iterator<Item = (Message, Place)> {
        let fields = [
            ("previous_response_id", self.previous_response_id),
            ("conversation", self.conversation),
            ("prompt", self.prompt),
        ];
        fields.into_iter().filter_map(|(name, field)| {
            let message = Message { role: Role::User, parts: vec![Part::Other(name.into())] };
            field.map(|_| (message, Place::Field(name)))
        })
    }
}

impl From<Request<'_>> for ChatRequest {
    fn from(mut request: Request<'_>) -> Self {
        let functions = request.functions();
        Self {
            tools: functions.tools,
            tool_forms: functions.forms,
            model: request.model,
            stream: request.stream.unwrap_or(false),
            // It is a part of every answer.
            include_usage: true,
            max_output_tokens: request.max_output_tokens.map(Into::into),
            sampling: Sampling {
                temperature: request.temperature,
                top_p: request.top_p,
                ..Sampling::default()
            },
            tool_choice: request.tool_choice.and_then(tool_choice),
            parallel_tool_calls: request.parallel_tool_calls,
            format: request.text.and_then(|text| format(text.format?)),
            cache_key: request.prompt_cache_key.and_then(openai::text),
            effort: request.reasoning.and_then(|it| openai::effort(it.effort.as_deref()?)),
            ..Self::default()
        }
    }
}

fn wrong(field: &str, what: &str) -> Failure {
    Failure::new(Reason::InvalidRequest, format!("{field}: {what}")).at(field)
}

// --- items ---------------------------------------------------------------------------------------

/// The role and the parts of an item; `at` is its path.
fn item_parts(item: &str, at: &str) -> Result<(Role, Vec<Part>), Failure> {
    let kind = read::<ItemType>(item, at)?.name();
    match kind.as_str() {
        "message" => {
            let WireMessage { role, content } = read(item, at)?;
            Ok((role.into(), parts(content)))
        }
        "function_call" => {
            let WireCall { call_id: id, name, namespace, arguments } = read(item, at)?;
            let name = tools::function_name(namespace.as_deref(), &name);
            Ok((Role::Assistant, vec![Part::ToolCall { id, name, arguments }]))
        }
        "custom_tool_call" => {
            let WireCustomCall { call_id, name, namespace, input } = read(item, at)?;
            let name = tools::function_name(namespace.as_deref(), &name);
            Ok((Role::Assistant, vec![custom_tools::call(call_id, name, &input)]))
        }
        "function_call_output" | "custom_tool_call_output" => {
            let WireResult { call_id: id, output } = read(item, at)?;
            let result = Part::ToolResult { id, parts: parts(output), is_error: false };
            Ok((Role::Tool, vec![result]))
        }
        "reasoning" => {
            let WireThought { summary, content } = read(item, at)?;
            let texts = summary.into_iter().chain(content).flatten().filter_map(|part| part.text);
            let text = texts.collect::<Vec<_>>().join("\n\n");
            // What is encrypted only its own provider reads, and that one gets the original.
            let thought = (!text.is_empty()).then_some(Part::Reasoning { text, signature: None });
            Ok((Role::Assistant, thought.into_iter().collect()))
        }
        // A provider of the same protocol gets it in the original.
        _ => {
            Ok(tools::item_parts(item)
                .unwrap_or_else(|| (Role::Assistant, vec![Part::Other(kind)])))
        }
    }
}

fn read<'a, T: Deserialize<'a>>(item: &'a str, at: &str) -> Result<T, Failure> {
    parse_json(item.as_bytes()).map_err(|failure| match &failure.param {
        Some(field) => Failure::new(failure.reason, format!("{at}.{}", failure.detail))
            .at(format!("{at}.{field}")),
        None => wrong(at, &failure.detail),
    })
}

/// Consecutive items of the assistant are one message, and so are the results of calls. `false`: the
/// item is part of no message yet.
fn add(messages: &mut Vec<Message>, role: Role, parts: Vec<Part>) -> bool {
    let joins = matches!(role, Role::Assistant | Role::Tool);
    match messages.last_mut().filter(|last| joins && last.role == role) {
        Some(last) => last.parts.extend(parts),
        None if joins && parts.is_empty() => return false,
        None => messages.push(Message { role, parts }),
    }
    true
}

/// Notes that the last message extends to the item at `index`. Items that are part of no message,
/// such as encrypted reasoning, belong to the message they precede.
fn extend_place(places: &mut Vec<Place>, messages: usize, index: usize) {
    let is_begun = places.len() == messages;
    match places.last_mut() {
        Some(Place::Elements(last)) if is_begun => last.end = index + 1,
        Some(Place::Elements(last)) => {
            let start = last.end;
            places.push(Place::Elements(start..index + 1));
        }
        Some(Place::Field(_) | Place::Edited) | None => places.push(Place::Elements(0..index + 1)),
    }
}

fn parts(content: TextOr<Vec<WirePart>>) -> Vec<Part> {
    match content {
        TextOr::Text(text) => vec![Part::Text(text)],
        TextOr::Other(parts) => parts.into_iter().map(part).collect(),
    }
}

pub(super) fn part(part: WirePart) -> Part {
    let WirePart { r#type: kind, detail, .. } = part;
    match kind.as_str() {
        "input_text" | "output_text" | "text" if part.text.is_some() => {
            Part::Text(part.text.unwrap_or_default())
        }
        "refusal" => Part::Refusal(part.refusal.unwrap_or_default()),
        "input_image" | "computer_screenshot" => {
            match medium(MediaKind::Image, part.image_url, None, part.file_id) {
                Some(image) => Part::Media(Media { detail, ..image }),
                None => Part::Other(kind),
            }
        }
        "input_file" => {
            match medium(MediaKind::File, part.file_url, part.file_data, part.file_id) {
                Some(file) => Part::Media(Media { name: part.filename, ..file }),
                None => Part::Other(kind),
            }
        }
        "input_audio" => match part.input_audio {
            Some(audio) => Part::Media(Media {
                media_type: Some(format!("audio/{}", audio.format)),
                ..Media::new(MediaKind::Audio, MediaSource::Data(audio.data))
            }),
            None => Part::Other(kind),
        },
        _ => Part::Other(kind),
    }
}

fn medium(
    kind: MediaKind,
    url: Option<String>,
    data: Option<String>,
    id: Option<String>,
) -> Option<Media> {
    let there = url.or(data).map(|url| Media::at(kind, &url));
    there.or_else(|| Some(Media::new(kind, MediaSource::Id(id?))))
}

// --- the rest ------------------------------------------------------------------------------------

fn tool_choice(choice: TextOr<WireChoice>) -> Option<ToolChoice> {
    match choice {
        TextOr::Text(word) => openai::choice_by_name(&word),
        TextOr::Other(WireChoice { r#type, name }) => {
            name.filter(|_| r#type == "function" || r#type == "custom").map(ToolChoice::Tool)
        }
    }
}

fn format(format: WireFormat) -> Option<Format> {
    let WireFormat { r#type: kind, name, description, schema, strict } = format;
    match kind.as_str() {
        "json_object" => Some(Format::Json),
        "json_schema" => {
            let schema = schema.unwrap_or_else(|| Value::Object(serde_json::Map::new()));
            Some(Format::Schema { name: name.unwrap_or_default(), description, schema, strict })
        }
        _ => None,
    }
}

impl From<WireRole> for Role {
    fn from(role: WireRole) -> Self {
        match role {
            WireRole::System => Self::System,
            WireRole::Developer => Self::Developer,
            WireRole::User => Self::User,
            WireRole::Assistant => Self::Assistant,
        }
    }
}

#[cfg(test)]
mod tests;
