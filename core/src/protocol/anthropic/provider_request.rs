//! The call to a provider, written: the client's own body where it speaks this protocol too, else a
//! new one.
//!
//! What Anthropic does not support is left out: a seed, penalties, `json_object` (whose prompts ask
//! for JSON themselves), and unsigned reasoning, which it would reject.

use serde_json::{Map, Value, json};

use super::generation::{Generation, Thinks};
use super::schema::subset;
use super::{billing, imitators, own_effort};
use crate::chat::{
    ChatRequest, Effort, Format, Media, MediaKind, MediaSource, Message, Part, Piece, Role, Tool,
    ToolChoice,
};
use crate::failure::{Failure, Reason};
use crate::json;
use crate::limit::UNKNOWN_MODEL_MAX_OUTPUT;
use crate::protocol::{Body, HttpRequest, ProviderRequest, Stretch, unsupported};

/// The version of the protocol that is spoken here.
const VERSION: &str = "2023-06-01";
/// The user's message where the conversation begins with the assistant: the protocol has the user
/// first.
const BEFORE_ASSISTANT: &str = ".";
/// The smallest budget for thinking, in tokens.
const BUDGET_MIN: u32 = 1024;

/// The call that asks for an answer.
pub(in crate::protocol) fn http_request(ask: &ProviderRequest<'_>) -> Result<HttpRequest, Failure> {
    let mut headers = ask.headers("x-api-key", "");
    headers.push(("anthropic-version", VERSION.to_owned()));
    // The protocol requires a limit in every request.
    let max_output = ask.max_output.unwrap_or(UNKNOWN_MODEL_MAX_OUTPUT);
    let body = ask
        .body(|body, pieces| patched(body, pieces, ask, max_output), || written(ask, max_output))?;
    let url = format!("{}/messages", ask.target.provider.base_url);
    Ok(HttpRequest::new(url, headers, body))
}

/// Fields of a request that its tokens do not depend on: the endpoint that counts rejects them.
const UNCOUNTED: [&str; 8] = [
    "max_tokens",
    "stream",
    "temperature",
    "top_p",
    "top_k",
    "stop_sequences",
    "metadata",
    "service_tier",
];

/// The call that counts a request's tokens in place of answering it.
pub(in crate::protocol) fn counting(call: HttpRequest) -> HttpRequest {
    let mut body = Body::read(&call.body);
    for field in UNCOUNTED {
        body.remove(field);
    }
    let body = body.text().into_bytes();
    HttpRequest { url: call.url + "/count_tokens", headers: call.headers, body }
}

/// The client's own body.
fn patched(
    mut body: Body<'_>,
    pieces: Option<Vec<Piece<'_>>>,
    ask: &ProviderRequest<'_>,
    max_output: u32,
) -> Result<String, Failure> {
    body.remove_empty();
    body.set("model", &ask.target.model.as_str().into());
    body.bound_lengths(max_output);
    body.set("max_tokens", &max_output.into());
    body.set("stream", &ask.stream.into());
    if imitators::are_at(&ask.target.provider.base_url) {
        billing::remove_line(&mut body);
        imitators::remove_betas(&mut body);
    }
    let pieces = pieces.unwrap_or_default();
    if !pieces.is_empty() {
        edit(&mut body, &pieces)?;
    }
    if ask.request.messages.iter().flat_map(|message| &message.parts).any(is_unsigned) {
        let messages = body.remove("messages").expect("the body was read before");
        body.set("messages", &without_unsigned(&messages)?);
    }
    if let Some(Effort::Budget(tokens)) = ask.request.effort
        && tokens >= max_output
    {
        body.remove("thinking");
        if let Some(tokens) = budget(tokens, max_output) {
            body.set("thinking", &json!({"type": "enabled", "budget_tokens": tokens}));
        }
    }
    let (model, effort) = (&ask.target.model, ask.request.effort);
    own_effort::fit(&mut body, model, &ask.target.provider.base_url, effort, max_output);
    // A model that continues an answer cannot think before it.
    let is_assistants = |message: &Message| message.role == Role::Assistant;
    if matches!(pieces.last(), Some(Piece::Written(last)) if last.iter().any(is_assistants)) {
        body.remove("thinking");
    }
    Ok(body.text())
}

/// Puts the conversation together: what was edited is written, the rest stays as it is. Instructions
/// are in a field of their own.
fn edit(body: &mut Body<'_>, pieces: &[Piece<'_>]) -> Result<(), Failure> {
    let (mut system, mut messages) = (Vec::new(), Vec::new());
    for piece in pieces {
        match piece {
            Piece::Field(_) => system.push(Stretch::Kept(0..usize::MAX)),
            Piece::Kept(range) => messages.push(Stretch::Kept(range.clone())),
            Piece::Written(written) => {
                for message in written.iter().filter(|message| message.instructs()) {
                    system.push(Stretch::New(blocks(&message.parts)?));
                }
                let said = written.iter().filter(|message| !message.instructs());
                messages.push(Stretch::New(turns(said)?));
            }
        }
    }
    body.set_list("messages", &messages);
    match system.as_slice() {
        [] => drop(body.remove("system")),
        // Nothing was edited.
        [Stretch::Kept(_)] => {}
        several => {
            if let Some(text) = body.get("system").filter(|text| text.starts_with('"')) {
                let block = format!("[{{\"type\":\"text\",\"text\":{text}}}]");
                body.set_text("system", block);
            }
            body.set_list("system", several);
        }
    }
    Ok(())
}

fn is_unsigned(part: &Part) -> bool {
    matches!(part, Part::Reasoning { signature: None, .. })
}

/// A client sends back the reasoning it received, also that of a provider that signs none, which
/// Anthropic rejects.
fn without_unsigned(messages: &str) -> Result<Value, Failure> {
    // Parsing the request did not read all of it.
    let mut messages: Value = json::read(messages).map_err(|error| {
        Failure::new(Reason::InvalidRequest, format!("messages: {error}")).at("messages")
    })?;
    let is_unsigned = |block: &Value| {
        block["type"] == "thinking" && block["signature"].as_str().is_none_or(str::is_empty)
    };
    let has_content = |message: &mut Value| {
        let blocks = message.get_mut("content").and_then(Value::as_array_mut);
        let Some(blocks) = blocks else { return true };
        blocks.retain(|block| !is_unsigned(block));
        !blocks.is_empty()
    };
    if let Some(messages) = messages.as_array_mut() {
        messages.retain_mut(|message| has_content(message));
    }
    Ok(messages)
}

fn written(ask: &ProviderRequest<'_>, max_output: u32) -> Result<String, Failure> {
    let (system, messages) = conversation(&ask.request.messages)?;
    let mut body = Map::new();
    body.insert("model".into(), ask.target.model.as_str().into());
    body.insert("max_tokens".into(), max_output.into());
    body.insert("messages".into(), messages.into());
    body.insert("stream".into(), ask.stream.into());
    if !system.is_empty() {
        body.insert("system".into(), content(system));
    }
    let generation = Generation::of(&ask.target.model);
    let optional = optional(ask.request, generation, max_output);
    body.extend(optional.into_iter().filter_map(|(name, value)| Some((name.into(), value?))));
    Ok(Value::Object(body).to_string())
}

/// A model that thinks chooses its own sampling; of two ways to sample the newer ones take one.
fn optional(
    request: &ChatRequest,
    generation: Generation,
    max_output: u32,
) -> [(&'static str, Option<Value>); 8] {
    let sampling = &request.sampling;
    let thinking = thinking(request, generation, max_output);
    let samples = generation.samples && thinking.is_none();
    let temperature = sampling.temperature.filter(|_| samples);
    let top_p = sampling.top_p.filter(|_| samples && temperature.is_none());
    let has_tools = !request.tools.is_empty();
    [
        ("temperature", temperature.map(|value| value.min(1.0).into())),
        ("top_p", top_p.map(Value::from)),
        ("top_k", sampling.top_k.filter(|_| samples).map(Value::from)),
        ("stop_sequences", (!request.stop.is_empty()).then(|| request.stop.clone().into())),
        ("tools", has_tools.then(|| request.tools.iter().map(tool).collect())),
        ("tool_choice", has_tools.then(|| tool_choice(request)).flatten()),
        ("output_config", output_config(request, generation, thinking.is_some())),
        ("thinking", thinking),
    ]
}

fn thinking(request: &ChatRequest, generation: Generation, max_output: u32) -> Option<Value> {
    let effort = request.effort.filter(|effort| *effort != Effort::None)?;
    if !may_think(request) {
        return None;
    }
    match generation.thinks {
        Thinks::Never => None,
        Thinks::Adaptively => Some(json!({"type": "adaptive"})),
        Thinks::Budget => {
            let tokens = budget(effort_tokens(effort), max_output)?;
            Some(json!({"type": "enabled", "budget_tokens": tokens}))
        }
    }
}

/// Not where a tool must be called, and not within a turn that began without signed reasoning.
fn may_think(request: &ChatRequest) -> bool {
    let forced = matches!(request.tool_choice, Some(ToolChoice::Required | ToolChoice::Tool(_)));
    let turn = request.messages.rsplit(|message| message.role == Role::User).next();
    let began_unsigned = |message: &Message| {
        message.role == Role::Assistant
            && !matches!(message.parts.first(), Some(Part::Reasoning { signature: Some(_), .. }))
    };
    !forced && !turn.unwrap_or_default().iter().any(began_unsigned)
}

/// A budget must leave room for the answer; `None` where there is none for thinking.
pub(super) fn budget(tokens: u32, max_output: u32) -> Option<u32> {
    let tokens = if tokens < max_output { tokens } else { max_output / 2 };
    (tokens >= BUDGET_MIN).then_some(tokens)
}

/// The budget for a level: Anthropic documents no numbers.
pub(super) fn effort_tokens(effort: Effort) -> u32 {
    match effort {
        Effort::None => 0,
        Effort::Minimal => BUDGET_MIN,
        Effort::Low => 2048,
        Effort::Medium => 8192,
        Effort::High => 16_384,
        Effort::XHigh => 24_576,
        Effort::Max => 32_768,
        Effort::Budget(tokens) => tokens,
    }
}

/// The level, or the one nearest to a budget.
pub(super) fn effort_name(effort: Effort, generation: Generation) -> Option<&'static str> {
    generation.level(match effort {
        Effort::None | Effort::Minimal => Effort::Low.as_str(),
        other => other.as_str(),
    })
}

fn output_config(request: &ChatRequest, generation: Generation, thinks: bool) -> Option<Value> {
    let mut config = Map::new();
    if let (Some(effort), Thinks::Adaptively, true) = (request.effort, generation.thinks, thinks) {
        config.extend(effort_name(effort, generation).map(|name| ("effort".into(), name.into())));
    }
    if let Some(Format::Schema { schema, .. }) = &request.format {
        config.insert("format".into(), json!({"type": "json_schema", "schema": subset(schema)}));
    }
    (!config.is_empty()).then_some(Value::Object(config))
}

/// The instructions, and the turns, the user's first. Instructions come before all turns, wherever
/// they were given; where there is nothing else, they become the user's turn.
fn conversation(messages: &[Message]) -> Result<(Vec<Value>, Vec<Value>), Failure> {
    let mut system = Vec::new();
    for message in messages.iter().filter(|message| message.instructs()) {
        system.extend(blocks(&message.parts)?);
    }
    let mut turns = turns(messages.iter().filter(|message| !message.instructs()))?;
    match turns.first() {
        None => turns.push(turn("user", std::mem::take(&mut system))),
        Some(first) if first["role"] == "assistant" => {
            turns.insert(0, turn("user", vec![text_block(BEFORE_ASSISTANT)]));
        }
        Some(_) => {}
    }
    Ok((system, turns))
}

/// Turns of the user and of the assistant in alternation.
fn turns<'a>(messages: impl Iterator<Item = &'a Message>) -> Result<Vec<Value>, Failure> {
    let mut turns: Vec<(&str, Vec<Value>)> = Vec::new();
    for message in messages {
        let role = if message.role == Role::Assistant { "assistant" } else { "user" };
        let blocks = blocks(&message.parts)?;
        match turns.last_mut() {
            _ if blocks.is_empty() => {}
            Some((last, said)) if *last == role => said.extend(blocks),
            _ => turns.push((role, blocks)),
        }
    }
    if let Some(("assistant", blocks)) = turns.last_mut() {
        trim_end(blocks);
    }
    turns.retain(|(_, blocks)| !blocks.is_empty());
    Ok(turns.into_iter().map(|(role, blocks)| turn(role, blocks)).collect())
}

/// The protocol rejects whitespace at the end of an answer that is to be continued.
fn trim_end(blocks: &mut Vec<Value>) {
    if let Some(Value::String(text)) = blocks.last_mut().and_then(|last| last.get_mut("text")) {
        text.truncate(text.trim_end().len());
    }
    blocks.pop_if(|last| last["text"] == "");
}

fn turn(role: &str, mut blocks: Vec<Value>) -> Value {
    // The results of tools are a turn's first blocks, and calls its last ones.
    blocks.sort_by_key(|block| match block["type"].as_str() {
        Some("tool_result") => 0,
        Some("tool_use") => 2,
        _ => 1,
    });
    json!({"role": role, "content": content(blocks)})
}

/// Plain text where there is no more to it.
fn content(mut blocks: Vec<Value>) -> Value {
    match blocks.as_mut_slice() {
        [only] if only["type"] == "text" => only["text"].take(),
        _ => blocks.into(),
    }
}

fn blocks(parts: &[Part]) -> Result<Vec<Value>, Failure> {
    parts.iter().filter_map(|part| block(part).transpose()).collect()
}

fn block(part: &Part) -> Result<Option<Value>, Failure> {
    Ok(Some(match part {
        // The protocol has no empty text.
        Part::Text(text) | Part::Refusal(text) if text.is_empty() => return Ok(None),
        Part::Text(text) | Part::Refusal(text) => text_block(text),
        Part::Media(media) => medium(media).ok_or_else(|| unsupported(part, "anthropic"))?,
        Part::Reasoning { signature: None, .. } => return Ok(None),
        Part::Reasoning { text, signature: Some(signature) } => {
            json!({"type": "thinking", "thinking": text, "signature": signature})
        }
        Part::ToolCall { id, name, .. } => {
            json!({"type": "tool_use", "id": call_id(id), "name": name, "input": part.arguments()})
        }
        Part::ToolResult { id, parts, is_error } => {
            let mut result = json!({"type": "tool_result", "tool_use_id": call_id(id)});
            result["content"] = content(blocks(parts)?);
            if *is_error {
                result["is_error"] = true.into();
            }
            result
        }
        Part::Other(_) => return Err(unsupported(part, "anthropic")),
    }))
}

fn text_block(text: &str) -> Value {
    json!({"type": "text", "text": text})
}

fn medium(media: &Media) -> Option<Value> {
    let media_type = media.media_type.as_deref();
    let source = match (media.kind, &media.source) {
        (MediaKind::Image | MediaKind::File, MediaSource::Url(url)) => {
            json!({"type": "url", "url": url})
        }
        (MediaKind::Image, MediaSource::Data(data)) => {
            inline(media_type.unwrap_or("image/png"), data)
        }
        (MediaKind::File, MediaSource::Data(data)) => {
            let pdf = media_type.is_none_or(|media_type| media_type == "application/pdf");
            pdf.then(|| inline("application/pdf", data))?
        }
        (MediaKind::Audio, _) | (_, MediaSource::Id(_)) => return None,
    };
    if media.kind == MediaKind::Image {
        return Some(json!({"type": "image", "source": source}));
    }
    let mut document = json!({"type": "document", "source": source});
    if let Some(name) = &media.name {
        document["title"] = name.as_str().into();
    }
    Some(document)
}

fn inline(media_type: &str, data: &str) -> Value {
    json!({"type": "base64", "media_type": media_type, "data": data})
}

/// Identifiers are letters, digits, `_` and `-`: other providers' may have more in them.
fn call_id(id: &str) -> String {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    id.chars().map(|c| if fits(c) { c } else { '_' }).collect()
}

fn tool(tool: &Tool) -> Value {
    let none = || json!({"type": "object", "properties": {}});
    let mut schema = tool.parameters.clone().unwrap_or_else(none);
    if tool.strict == Some(true) {
        schema = subset(&schema);
    }
    let mut wire = json!({"name": tool.name, "input_schema": schema});
    if let Some(description) = &tool.description {
        wire["description"] = description.as_str().into();
    }
    if let Some(strict) = tool.strict {
        wire["strict"] = strict.into();
    }
    wire
}

fn tool_choice(request: &ChatRequest) -> Option<Value> {
    let one_at_a_time = request.parallel_tool_calls == Some(false);
    let mut choice = match &request.tool_choice {
        None if !one_at_a_time => return None,
        None | Some(ToolChoice::Auto) => json!({"type": "auto"}),
        Some(ToolChoice::None) => return Some(json!({"type": "none"})),
        Some(ToolChoice::Required) => json!({"type": "any"}),
        Some(ToolChoice::Tool(name)) => json!({"type": "tool", "name": name}),
    };
    if one_at_a_time {
        choice["disable_parallel_tool_use"] = true.into();
    }
    Some(choice)
}

#[cfg(test)]
mod tests;
