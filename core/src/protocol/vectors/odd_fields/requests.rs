//! Every field of a client's request in each protocol, with each value that it should not have: it
//! costs only itself, or is refused by its name.

use serde_json::Value;

use super::{Walk, lost_part, odd_values, pointers, with};
use crate::chat::{ChatRequest, Format, MediaSource, Part};
use crate::failure::Failure;
use crate::protocol::ClientProtocol;

macro_rules! request {
    ($name:literal) => {
        include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../tests/vectors/requests/",
            $name,
            ".json"
        ))
    };
}

const REQUESTS: [(ClientProtocol, &str); 14] = [
    (ClientProtocol::OpenAi, request!("openai")),
    (ClientProtocol::OpenAi, request!("functions")),
    (ClientProtocol::Responses, request!("responses")),
    (ClientProtocol::Anthropic, request!("anthropic")),
    (ClientProtocol::Token, request!("token")),
    (ClientProtocol::Notebook, request!("notebook")),
    (ClientProtocol::Content, request!("content")),
    (ClientProtocol::Session, request!("session")),
    (ClientProtocol::UiMessage, request!("ui_message")),
    (ClientProtocol::Ollama, request!("ollama")),
    (ClientProtocol::OllamaGenerate, request!("ollama_generate")),
    (ClientProtocol::Gemini, request!("gemini")),
    (ClientProtocol::GeminiArray, request!("gemini")),
    (ClientProtocol::Completions, request!("completions")),
];

/// What a request consists of, in pieces that can be lost.
fn parts(request: &ChatRequest) -> Vec<(String, String)> {
    let mut parts = Vec::new();
    let mut add = |kind: &str, text: String| parts.push((kind.to_owned(), text));
    for message in &request.messages {
        add_parts(&format!("{:?}", message.role), &message.parts, &mut add);
    }
    for tool in &request.tools {
        add("tool", tool.name.clone());
        add("description", tool.description.clone().unwrap_or_default());
        add("parameters", tool.parameters.as_ref().map(Value::to_string).unwrap_or_default());
    }
    request.stop.iter().for_each(|stop| add("stop", stop.clone()));
    match &request.format {
        Some(Format::Schema { name, description, schema, strict }) => {
            add("schema", name.clone());
            add("description", description.clone().unwrap_or_default());
            add("schema", schema.to_string());
            add("strict", strict.map(|strict| strict.to_string()).unwrap_or_default());
        }
        Some(Format::Json) => add("format", "json".into()),
        None => {}
    }
    add("model", request.model.clone().unwrap_or_default());
    add("conversation", request.conversation.clone().unwrap_or_default());
    add("cache_key", request.cache_key.clone().unwrap_or_default());
    let sampling = &request.sampling;
    let numbers = [
        ("temperature", sampling.temperature),
        ("top_p", sampling.top_p),
        ("top_k", sampling.top_k.map(f64::from)),
        ("frequency_penalty", sampling.frequency_penalty),
        ("presence_penalty", sampling.presence_penalty),
        ("seed", sampling.seed.map(|seed| seed as f64)),
        ("max_output_tokens", request.max_output_tokens.map(f64::from)),
    ];
    for (name, number) in numbers {
        add(name, number.map(|number| number.to_string()).unwrap_or_default());
    }
    let settings = [
        ("tool_choice", format!("{:?}", request.tool_choice)),
        ("parallel", request.parallel_tool_calls.map(|it| it.to_string()).unwrap_or_default()),
        ("effort", request.effort.map(|it| format!("{it:?}").to_lowercase()).unwrap_or_default()),
        ("stream", request.stream.to_string()),
        ("include_usage", request.include_usage.to_string()),
    ];
    settings.into_iter().for_each(|(name, text)| add(name, text));
    parts.retain(|(_, text)| !text.is_empty());
    parts
}

fn add_parts(whose: &str, parts: &[Part], add: &mut dyn FnMut(&str, String)) {
    for part in parts {
        match part {
            Part::ToolCall { id, name, arguments } => {
                add("call id", id.clone());
                add("call", name.clone());
                add("arguments", arguments.clone());
            }
            Part::ToolResult { id, parts, .. } => {
                add("result id", id.clone());
                add_parts("result", parts, add);
            }
            Part::Text(text) => add(&format!("{whose} text"), text.clone()),
            Part::Media(media) => {
                let (MediaSource::Url(it) | MediaSource::Data(it) | MediaSource::Id(it)) =
                    &media.source;
                add("media", it.clone());
                add("media name", media.name.clone().unwrap_or_default());
            }
            Part::Reasoning { text, .. } => add("reasoning", text.clone()),
            Part::Refusal(text) => add("refusal", text.clone()),
            Part::Other(name) => add("other", name.clone()),
        }
    }
}

/// What is lost with a field: itself, or the object whose kind it gives.
fn held<'v>(value: &'v Value, pointer: &str) -> &'v Value {
    const KINDS: [&str; 7] =
        ["type", "role", "mode", "state", "mimeType", "mediaType", "responseMimeType"];
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    value.pointer(if KINDS.contains(&name) { parent } else { pointer }).unwrap()
}

/// A pointer as errors have it: `messages[0].content`.
fn path(pointer: &str) -> String {
    let steps = pointer.split('/').skip(1).map(|step| match step.parse::<usize>() {
        Ok(place) => format!("[{place}]"),
        Err(_) => format!(".{step}"),
    });
    steps.collect::<String>().trim_start_matches('.').to_owned()
}

/// Whether the error is the client's, and states which field is wrong.
fn names(failure: &Failure, pointer: &str, odd: Option<&Value>) -> bool {
    let message = failure.message();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    let is_named = match odd {
        // What is missing is named by its place.
        None => {
            let is_element = name.parse::<usize>().is_ok();
            message.contains(&path(parent)) && (is_element || message.contains(name))
        }
        Some(_) => message.contains(&path(pointer)),
    };
    failure.status() == 400 && is_named
}

#[test]
fn an_odd_field_of_a_request_costs_only_itself() {
    let mut walk = Walk::default();
    for (protocol, body) in REQUESTS {
        let read = |body: &Value| protocol.parse_request(body.to_string().as_bytes());
        let value: Value = serde_json::from_str(body).unwrap();
        let right = parts(&read(&value).unwrap());
        let mut found = Vec::new();
        pointers(&value, "", &mut found);
        for pointer in found {
            walk.fields += 1;
            let old = held(&value, &pointer);
            for odd in odd_values().iter().map(Option::as_ref) {
                walk.values += 1;
                let wrong = match read(&with(&value, &pointer, odd)) {
                    Ok(request) => lost_part(&right, &parts(&request), old, &pointer),
                    Err(failure) if names(&failure, &pointer, odd) => None,
                    Err(failure) => Some(format!("{} {:?}", failure.message(), failure.param)),
                };
                walk.wrong
                    .extend(wrong.map(|it| format!("{protocol:?} {pointer} = {odd:?}: {it}")));
            }
        }
    }
    walk.finish("requests");
}
