//! The call to Ollama, written: the client's own body where it speaks this protocol too, else a new
//! one.

use serde_json::{Map, Value, json};

use crate::chat::{
    ChatRequest, Effort, Format, Media, MediaKind, MediaSource, Message, Part, Piece, Role, Tool,
    ToolChoice,
};
use crate::failure::Failure;
use crate::json::object;
use crate::protocol::{Body, CallNames, HttpRequest, ProviderRequest, Stretch, unsupported};

/// The call that asks for an answer.
pub(in crate::protocol) fn http_request(ask: &ProviderRequest<'_>) -> Result<HttpRequest, Failure> {
    let url = format!("{}/api/chat", ask.target.provider.base_url);
    let body = ask.body(
        |body, pieces| patched(body, pieces, ask),
        || written(ask).map(|body| body.to_string()),
    )?;
    Ok(HttpRequest::new(url, ask.headers("authorization", "Bearer "), body))
}

/// The client's own body.
fn patched(
    mut body: Body<'_>,
    pieces: Option<Vec<Piece<'_>>>,
    ask: &ProviderRequest<'_>,
) -> Result<String, Failure> {
    body.set("model", &ask.target.model.as_str().into());
    body.set("stream", &ask.stream.into());
    if let Some(max_output) = ask.max_output {
        body.bound_lengths(max_output);
        body.set_in("options", "num_predict", &max_output.into());
    }
    if let Some(effort) = body.get("think").and(ask.request.effort) {
        body.set("think", &think(effort, &ask.target.model));
    }
    if let Some(pieces) = pieces {
        let stretch = |piece: &Piece<'_>| match piece {
            // No message of this protocol is in a field of its own.
            Piece::Field(_) => Ok(Stretch::Kept(0..0)),
            Piece::Kept(range) => Ok(Stretch::Kept(range.clone())),
            Piece::Written(written) => messages(written).map(Stretch::New),
        };
        let stretches = pieces.iter().map(stretch).collect::<Result<Vec<_>, _>>()?;
        body.set_list("messages", &stretches);
    }
    Ok(body.text())
}

fn written(ask: &ProviderRequest<'_>) -> Result<Value, Failure> {
    let request = ask.request;
    let mut body = json!({
        "model": ask.target.model,
        "messages": messages(&request.messages)?,
        "stream": ask.stream,
    });
    let options = options(request, ask.max_output);
    let optional = [
        ("options", (!options.is_empty()).then(|| options.into())),
        ("tools", tools(request)),
        ("format", request.format.as_ref().map(format)),
        ("think", request.effort.map(|effort| think(effort, &ask.target.model))),
    ];
    for (name, value) in optional {
        if let Some(value) = value {
            body[name] = value;
        }
    }
    Ok(body)
}

fn options(request: &ChatRequest, max_output: Option<u32>) -> Map<String, Value> {
    let sampling = &request.sampling;
    let options = [
        ("num_predict", max_output.map(Value::from)),
        ("temperature", sampling.temperature.map(Value::from)),
        ("top_p", sampling.top_p.map(Value::from)),
        ("top_k", sampling.top_k.map(Value::from)),
        ("presence_penalty", sampling.presence_penalty.map(Value::from)),
        ("frequency_penalty", sampling.frequency_penalty.map(Value::from)),
        ("seed", sampling.seed.map(Value::from)),
        ("stop", (!request.stop.is_empty()).then(|| request.stop.clone().into())),
    ];
    object(options.into_iter().filter_map(|(name, value)| Some((name.into(), value?))))
}

/// There is no choice of tools: what must not be called, or not now, is not offered.
fn tools(request: &ChatRequest) -> Option<Value> {
    let is_offered = |tool: &&Tool| match &request.tool_choice {
        Some(ToolChoice::None) => false,
        Some(ToolChoice::Tool(name)) => tool.name == *name,
        Some(ToolChoice::Auto | ToolChoice::Required) | None => true,
    };
    let tools: Vec<_> = request.tools.iter().filter(is_offered).map(tool).collect();
    (!tools.is_empty()).then(|| tools.into())
}

fn tool(tool: &Tool) -> Value {
    let takes_nothing = || json!({"type": "object", "properties": {}});
    let parameters = tool.parameters.clone().unwrap_or_else(takes_nothing);
    let mut function = json!({"name": tool.name, "parameters": parameters});
    if let Some(description) = &tool.description {
        function["description"] = description.as_str().into();
    }
    json!({"type": "function", "function": function})
}

fn format(format: &Format) -> Value {
    match format {
        Format::Json => "json".into(),
        Format::Schema { schema, .. } => schema.clone(),
    }
}

/// Models that think at levels; others are only switched. Source: "think value \"medium\" is not
/// supported for this model", ollama/ollama#12561, and docs.ollama.com/capabilities/thinking.
const LEVELLED: &[&str] = &["gpt-oss", "gemini-3"];

fn think(effort: Effort, model: &str) -> Value {
    let has_levels = LEVELLED.iter().any(|name| model.contains(name));
    match effort {
        Effort::None => false.into(),
        _ if !has_levels => true.into(),
        Effort::Minimal => Effort::Low.as_str().into(),
        other => other.up_to_high().as_str().into(),
    }
}

/// The messages on the wire; the results of several calls are a message each.
fn messages(messages: &[Message]) -> Result<Vec<Value>, Failure> {
    let mut names = CallNames::default();
    let mut wire = Vec::with_capacity(messages.len());
    for message in messages {
        names.note(message);
        if message.role == Role::Tool {
            for part in &message.parts {
                wire.push(tool_result(part, &names)?);
            }
        } else {
            wire.push(said(role(message.role), &message.parts)?);
        }
    }
    Ok(wire)
}

fn role(role: Role) -> &'static str {
    match role {
        Role::System | Role::Developer => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::Tool => "tool",
    }
}

fn tool_result(part: &Part, names: &CallNames<'_>) -> Result<Value, Failure> {
    let Part::ToolResult { id, parts, .. } = part else { return Err(unsupported(part, "ollama")) };
    let mut wire = said("tool", parts)?;
    wire["tool_call_id"] = id.as_str().into();
    if let Some(name) = names.find(id) {
        wire["tool_name"] = name.into();
    }
    Ok(wire)
}

/// One message. Its texts are joined, and its images stand beside them.
fn said(role: &str, parts: &[Part]) -> Result<Value, Failure> {
    let (mut content, mut thinking) = (String::new(), String::new());
    let (mut images, mut calls) = (Vec::new(), Vec::new());
    for part in parts {
        match part {
            Part::Text(text) | Part::Refusal(text) => content.push_str(text),
            Part::Reasoning { text, .. } => thinking.push_str(text),
            Part::Media(media) => {
                images.push(image(media).ok_or_else(|| unsupported(part, "ollama"))?);
            }
            Part::ToolCall { .. } => {
                calls.push(call(part).ok_or_else(|| unsupported(part, "ollama"))?);
            }
            Part::ToolResult { .. } | Part::Other(_) => return Err(unsupported(part, "ollama")),
        }
    }
    let mut wire = json!({"role": role, "content": content});
    if !thinking.is_empty() {
        wire["thinking"] = thinking.into();
    }
    for (name, list) in [("images", images), ("tool_calls", calls)] {
        if !list.is_empty() {
            wire[name] = list.into();
        }
    }
    Ok(wire)
}

/// In base64: Ollama fetches nothing.
fn image(media: &Media) -> Option<Value> {
    match (media.kind, &media.source) {
        (MediaKind::Image, MediaSource::Data(data)) => Some(data.as_str().into()),
        (MediaKind::Image | MediaKind::Audio | MediaKind::File, _) => None,
    }
}

/// A call, if its arguments are an object.
fn call(part: &Part) -> Option<Value> {
    let Part::ToolCall { id, name, .. } = part else { return None };
    let function = json!({"name": name, "arguments": part.arguments()?});
    Some(json!({"id": id, "function": function}))
}

#[cfg(test)]
mod tests;
