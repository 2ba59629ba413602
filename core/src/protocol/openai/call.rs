//! The call to a provider, written.

use serde_json::{Map, Value, json};

use crate::chat::{ChatRequest, Content, Message, Part, Role};
use crate::config::{ApiKey, Target};
use crate::protocol::HttpCall;

/// The call that asks `target` for an answer of at most `max_output` tokens; with `None` the
/// provider's own default holds. Usage is always asked for in a stream, so that an answer can be
/// accounted; whether the client is shown it is the client's choice.
pub(in crate::protocol) fn http_call(
    target: &Target,
    request: &ChatRequest,
    stream: bool,
    max_output: Option<u32>,
) -> HttpCall {
    let mut headers = vec![
        ("content-type", "application/json".to_owned()),
        ("accept", if stream { "text/event-stream" } else { "application/json" }.to_owned()),
    ];
    if let ApiKey::Set(key) = &target.provider.api_key {
        headers.push(("authorization", format!("Bearer {key}")));
    }
    HttpCall {
        url: format!("{}/chat/completions", target.provider.base_url),
        headers,
        body: Value::Object(body(target, request, stream, max_output)).to_string().into_bytes(),
    }
}

fn body(
    target: &Target,
    request: &ChatRequest,
    stream: bool,
    max_output: Option<u32>,
) -> Map<String, Value> {
    let mut body = request.rest.clone();
    let limit_field = match body.remove("max_completion_tokens") {
        Some(_) => "max_completion_tokens",
        None => "max_tokens",
    };
    let options = body.remove("stream_options");
    if stream {
        let mut options = match options {
            Some(Value::Object(options)) => options,
            _ => Map::new(),
        };
        options.insert("include_usage".into(), true.into());
        body.insert("stream_options".into(), options.into());
    }
    body.insert("model".into(), target.model.as_str().into());
    body.insert("stream".into(), stream.into());
    body.insert("messages".into(), request.messages.iter().map(message).collect());
    let sampling = &request.sampling;
    let optional = [
        (limit_field, max_output.map(Value::from)),
        ("temperature", sampling.temperature.map(Value::from)),
        ("top_p", sampling.top_p.map(Value::from)),
        ("frequency_penalty", sampling.frequency_penalty.map(Value::from)),
        ("presence_penalty", sampling.presence_penalty.map(Value::from)),
        ("seed", sampling.seed.map(Value::from)),
        ("stop", (!request.stop.is_empty()).then(|| request.stop.clone().into())),
    ];
    body.extend(optional.into_iter().filter_map(|(name, value)| Some((name.into(), value?))));
    body
}

fn message(message: &Message) -> Value {
    let mut wire = message.rest.clone();
    let role = match message.role {
        Role::System => "system",
        Role::Developer => "developer",
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::Tool => "tool",
    };
    wire.insert("role".into(), role.into());
    let content = match &message.content {
        Content::Nothing => Value::Null,
        Content::Text(text) => text.as_str().into(),
        Content::Parts(parts) => parts.iter().map(part).collect(),
    };
    wire.insert("content".into(), content);
    Value::Object(wire)
}

fn part(part: &Part) -> Value {
    match part {
        Part::Text(text) => json!({"type": "text", "text": text}),
        Part::Other(value) => value.clone(),
    }
}
