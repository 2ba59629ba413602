//! The call to a provider, written: the client's own body where it speaks this protocol too, else a
//! new one.
//!
//! What Responses does not support is left out: stop sequences, which the relay applies, a seed, penalties, `top_k`, and reasoning, which is
//! accepted only in its own encrypted form.

use serde_json::{Map, Value, json};

use crate::chat::{
    ChatRequest, Format, Media, MediaKind, MediaSource, Message, Part, Piece, Role, Tool,
    ToolChoice,
};
use crate::failure::Failure;
use crate::protocol::{Body, HttpRequest, ProviderRequest, Stretch, openai, unsupported};

/// Its name in errors.
const NAME: &str = "responses";

/// The call that asks for an answer.
pub(in crate::protocol) fn http_request(ask: &ProviderRequest<'_>) -> Result<HttpRequest, Failure> {
    let body = ask.body(|body, pieces| patched(body, pieces, ask), || written(ask))?;
    let url = format!("{}/responses", ask.target.provider.base_url);
    Ok(HttpRequest::new(url, openai::headers(ask), body))
}

/// The client's own body.
fn patched(
    mut body: Body<'_>,
    pieces: Option<Vec<Piece<'_>>>,
    ask: &ProviderRequest<'_>,
) -> Result<String, Failure> {
    body.remove_empty();
    fit_generation(&mut body, ask);
    body.remove("max_output_tokens");
    body.set("model", &ask.target.model.as_str().into());
    body.set("stream", &ask.stream.into());
    if !ask.stream {
        body.remove("stream_options");
    }
    if let Some(max_output) = ask.max_output {
        body.bound_lengths(max_output);
        body.set("max_output_tokens", &max_output.into());
    }
    if let Some(pieces) = pieces {
        edit(&mut body, &pieces)?;
    }
    Ok(body.text())
}

/// What the model is known not to take is left out, or nearest to what it takes.
fn fit_generation(body: &mut Body<'_>, ask: &ProviderRequest<'_>) {
    let generation = openai::Generation::of(&ask.target.model);
    if !generation.samples(ask.request) {
        ["temperature", "top_p"].iter().for_each(|name| drop(body.remove(name)));
    }
    let Some(effort) = ask.request.effort.filter(|_| generation.is_known()) else { return };
    match generation.effort(effort) {
        Some(level) if level == effort => {}
        Some(level) => body.set_in("reasoning", "effort", &level.as_str().into()),
        None => body.remove_at("reasoning.effort"),
    }
}

/// Puts the input together: what was edited is written, the rest stays as it is.
fn edit(body: &mut Body<'_>, pieces: &[Piece<'_>]) -> Result<(), Failure> {
    if let Some(text) = body.get("input").filter(|text| text.starts_with('"')) {
        let item = format!("[{{\"role\":\"user\",\"content\":{text}}}]");
        body.set_text("input", item);
    }
    let mut input = Vec::with_capacity(pieces.len());
    for piece in pieces {
        match piece {
            Piece::Field(_) => {}
            Piece::Kept(range) => input.push(Stretch::Kept(range.clone())),
            Piece::Written(written) => input.push(Stretch::New(items(written)?)),
        }
    }
    body.set_list("input", &input);
    if !pieces.contains(&Piece::Field("instructions")) {
        body.remove("instructions");
    }
    Ok(())
}

fn written(ask: &ProviderRequest<'_>) -> Result<String, Failure> {
    let request = ask.request;
    let (instructions, messages) = instructions(&request.messages);
    let mut body = Map::new();
    body.insert("model".into(), ask.target.model.as_str().into());
    body.insert("input".into(), items(messages)?.into());
    body.insert("stream".into(), ask.stream.into());
    // Clients of other protocols did not ask to have the answer stored.
    body.insert("store".into(), false.into());
    let generation = openai::Generation::of(&ask.target.model);
    let optional = optional(request, instructions, ask.max_output, generation);
    body.extend(optional.into_iter().filter_map(|(name, value)| Some((name.into(), value?))));
    Ok(Value::Object(body).to_string())
}

fn optional(
    request: &ChatRequest,
    instructions: Option<Value>,
    max_output: Option<u32>,
    generation: openai::Generation,
) -> [(&'static str, Option<Value>); 10] {
    let sampling = generation.sampling(request);
    let effort = request.effort.and_then(|effort| generation.effort(effort));
    let effort = effort.map(|effort| json!({"effort": effort.as_str()}));
    [
        ("instructions", instructions),
        ("max_output_tokens", max_output.map(Value::from)),
        ("temperature", sampling.temperature.map(Value::from)),
        ("top_p", sampling.top_p.map(Value::from)),
        ("tools", (!request.tools.is_empty()).then(|| request.tools.iter().map(tool).collect())),
        ("tool_choice", request.tool_choice.as_ref().map(tool_choice)),
        ("parallel_tool_calls", request.parallel_tool_calls.map(Value::from)),
        ("text", request.format.as_ref().map(|it| json!({"format": format(it)}))),
        ("reasoning", effort),
        ("prompt_cache_key", request.cache_key.clone().map(Value::from)),
    ]
}

/// The first system message, and the messages after it.
fn instructions(messages: &[Message]) -> (Option<Value>, &[Message]) {
    match messages {
        [first, rest @ ..] if first.role == Role::System && !rest.is_empty() => {
            match first.as_text() {
                Some(text) => (Some(text.into()), rest),
                None => (None, messages),
            }
        }
        _ => (None, messages),
    }
}

/// The messages as items: texts and media of one message stay together, calls and their results are
/// items each.
fn items(messages: &[Message]) -> Result<Vec<Value>, Failure> {
    let mut items = Vec::with_capacity(messages.len());
    for message in messages {
        let is_content = |part: &&Part| {
            !matches!(
                part,
                Part::ToolCall { .. } | Part::ToolResult { .. } | Part::Reasoning { .. }
            )
        };
        let content: Vec<_> = message.parts.iter().filter(is_content).collect();
        if !content.is_empty() || message.parts.is_empty() {
            items.push(said(message.role, &content)?);
        }
        for part in &message.parts {
            if let Some(item) = done(part) {
                items.push(item?);
            }
        }
    }
    Ok(items)
}

fn said(role: Role, content: &[&Part]) -> Result<Value, Failure> {
    let name = match role {
        Role::System => "system",
        Role::Developer => "developer",
        Role::User | Role::Tool => "user",
        Role::Assistant => "assistant",
    };
    Ok(json!({"type": "message", "role": name, "content": contents(role, content)?}))
}

/// A call or its result.
fn done(part: &Part) -> Option<Result<Value, Failure>> {
    match part {
        Part::ToolCall { id, name, arguments } => Some(Ok(json!({
            "type": "function_call", "call_id": id, "name": name, "arguments": arguments,
        }))),
        Part::ToolResult { id, parts, .. } => {
            let output = contents(Role::User, &parts.iter().collect::<Vec<_>>());
            let item =
                |output| json!({"type": "function_call_output", "call_id": id, "output": output});
            Some(output.map(item))
        }
        Part::Text(_)
        | Part::Media(_)
        | Part::Reasoning { .. }
        | Part::Refusal(_)
        | Part::Other(_) => None,
    }
}

/// Plain text where there is no more to it.
fn contents(role: Role, parts: &[&Part]) -> Result<Value, Failure> {
    match parts {
        [] => Ok("".into()),
        [Part::Text(text)] => Ok(text.as_str().into()),
        parts => parts.iter().map(|part| content(role, part)).collect(),
    }
}

fn content(role: Role, part: &Part) -> Result<Value, Failure> {
    let value = match (role, part) {
        (Role::Assistant, Part::Text(text)) => Some(json!({"type": "output_text", "text": text})),
        (Role::Assistant, Part::Refusal(text)) => Some(json!({"type": "refusal", "refusal": text})),
        (Role::Assistant, _) => None,
        (_, Part::Text(text)) => Some(json!({"type": "input_text", "text": text})),
        (_, Part::Media(media)) => medium(media),
        _ => None,
    };
    value.ok_or_else(|| unsupported(part, NAME))
}

fn medium(media: &Media) -> Option<Value> {
    match (media.kind, &media.source) {
        (_, MediaSource::Id(_)) => None,
        (MediaKind::Image, _) => {
            let detail = media.detail.as_deref().unwrap_or("auto");
            let url = media.url("image/png")?;
            Some(json!({"type": "input_image", "image_url": url, "detail": detail}))
        }
        (MediaKind::File, MediaSource::Url(url)) => {
            Some(json!({"type": "input_file", "file_url": url}))
        }
        (MediaKind::File, MediaSource::Data(_)) => {
            let name = media.name.as_deref().unwrap_or("file");
            let data = media.url("application/pdf")?;
            Some(json!({"type": "input_file", "filename": name, "file_data": data}))
        }
        (MediaKind::Audio, _) => None,
    }
}

/// Unlike in other protocols a function is strict here by default.
fn tool(tool: &Tool) -> Value {
    let none = Value::Null;
    let (parameters, strict) = openai::held(tool.parameters.as_ref().unwrap_or(&none), tool.strict);
    let mut value = json!({
        "type": "function",
        "name": tool.name,
        "parameters": parameters,
        "strict": strict.unwrap_or(false),
    });
    if let Some(description) = &tool.description {
        value["description"] = description.as_str().into();
    }
    value
}

fn tool_choice(choice: &ToolChoice) -> Value {
    match choice {
        ToolChoice::Auto => "auto".into(),
        ToolChoice::None => "none".into(),
        ToolChoice::Required => "required".into(),
        ToolChoice::Tool(name) => json!({"type": "function", "name": name}),
    }
}

fn format(format: &Format) -> Value {
    match format {
        Format::Json => json!({"type": "json_object"}),
        Format::Schema { name, description, schema, strict } => {
            let (schema, strict) = openai::held(schema, *strict);
            let mut value = json!({"type": "json_schema", "name": name, "schema": schema});
            if let Some(description) = description {
                value["description"] = description.as_str().into();
            }
            if let Some(strict) = strict {
                value["strict"] = strict.into();
            }
            value
        }
    }
}

#[cfg(test)]
mod tests;
