//! The call to Gemini, written: the client's own body where it speaks this protocol too, else a new
//! one.

use serde_json::{Map, Value, json};

use super::schema::subset;
use super::thinking::{self, Generation, thinking};
use crate::chat::{
    ChatRequest, Format, Media, MediaSource, Message, Part, Piece, Role, Tool, ToolChoice,
};
use crate::failure::Failure;
use crate::json::{self, object};
use crate::protocol::{Body, CallNames, HttpRequest, ProviderRequest, Stretch, unsupported};

/// What takes the place of the signature of a call's reasoning where it is not known, because
/// another model made the call: without one Gemini 3 refuses the conversation.
const NO_SIGNATURE: &str = "skip_thought_signature_validator";

/// The media types of files by extension. Gemini requires one, and a URL has none.
const MEDIA_TYPES: [(&str, &str); 11] = [
    (".png", "image/png"),
    (".jpg", "image/jpeg"),
    (".jpeg", "image/jpeg"),
    (".webp", "image/webp"),
    (".heic", "image/heic"),
    (".heif", "image/heif"),
    (".mp3", "audio/mp3"),
    (".wav", "audio/wav"),
    (".mp4", "video/mp4"),
    (".pdf", "application/pdf"),
    (".txt", "text/plain"),
];

/// The call that asks for an answer.
pub(in crate::protocol) fn http_request(ask: &ProviderRequest<'_>) -> Result<HttpRequest, Failure> {
    let url = url(&ask.target.provider.base_url, &ask.target.model, ask.stream);
    let body = ask.body(
        |body, pieces| patched(body, pieces, ask),
        || written(ask).map(|body| body.to_string()),
    )?;
    Ok(HttpRequest::new(url, ask.headers("x-goog-api-key", ""), body))
}

/// Fields of a request that its tokens do not depend on.
const UNCOUNTED: [&str; 4] =
    ["generationConfig", "generation_config", "safetySettings", "safety_settings"];

/// The call that counts a request's tokens in place of answering it. What has more than contents is
/// counted as a whole request, which has the model's name in it.
pub(in crate::protocol) fn counting(call: HttpRequest) -> HttpRequest {
    let mut body = Body::read(&call.body);
    for field in UNCOUNTED {
        body.remove(field);
    }
    let path = call.url.rsplit_once(':').map_or(&*call.url, |(path, _)| path);
    let url = format!("{path}:countTokens");
    let body = if body.0.iter().all(|(name, _)| name == "contents") {
        body.text()
    } else {
        let folder = path.rsplit('/').nth(1).unwrap_or_default();
        let model = path.rsplit('/').next().unwrap_or_default();
        body.set("model", &format!("{folder}/{model}").into());
        format!("{{\"generateContentRequest\":{}}}", body.text())
    };
    HttpRequest { url, headers: call.headers, body: body.into_bytes() }
}

/// The client's own body. The model is in the path.
fn patched(
    mut body: Body<'_>,
    pieces: Option<Vec<Piece<'_>>>,
    ask: &ProviderRequest<'_>,
) -> Result<String, Failure> {
    body.remove("model");
    if let Some(max_output) = ask.max_output {
        body.bound_lengths(max_output);
        set_limit(&mut body, max_output);
    }
    thinking::fit(&mut body, ask);
    if let Some(pieces) = pieces {
        edit(&mut body, &pieces, Generation::of(&ask.target.model))?;
    }
    Ok(body.text())
}

/// Sets the longest answer, under whichever name the client knows its field.
fn set_limit(body: &mut Body<'_>, max_output: u32) {
    let old = body.remove("generation_config").or_else(|| body.remove("generationConfig"));
    let old = old.filter(|text| text.starts_with('{')).unwrap_or("{}".into());
    let mut config = Body::read(old.as_bytes());
    config.remove("max_output_tokens");
    config.set("maxOutputTokens", &max_output.into());
    body.set_text("generationConfig", config.text());
}

/// Puts the conversation together: what was edited is written, the rest stays as it is. Instructions
/// are in a field of their own.
fn edit(body: &mut Body<'_>, pieces: &[Piece<'_>], generation: Generation) -> Result<(), Failure> {
    let (mut system, mut turns) = (Vec::new(), Vec::new());
    for piece in pieces {
        match piece {
            Piece::Field(_) => system.extend(system_parts(body)),
            Piece::Kept(range) => turns.push(Stretch::Kept(range.clone())),
            Piece::Written(messages) => {
                let (mut instructions, said) = contents(messages, generation)?;
                system.append(&mut instructions);
                turns.push(Stretch::New(said));
            }
        }
    }
    if let Some(one) = body.get("contents").filter(|text| text.starts_with('{')) {
        let list = format!("[{one}]");
        body.set_text("contents", list);
    }
    body.set_list("contents", &turns);
    for name in ["systemInstruction", "system_instruction"] {
        body.remove(name);
    }
    if !system.is_empty() {
        body.set("systemInstruction", &json!({"parts": system}));
    }
    Ok(())
}

/// The parts of the client's own instruction.
fn system_parts(body: &Body<'_>) -> Vec<Value> {
    let text = body.get("systemInstruction").or_else(|| body.get("system_instruction"));
    let mut value: Value = text.and_then(|text| json::read(text).ok()).unwrap_or_default();
    match value.get_mut("parts").map(Value::take) {
        Some(Value::Array(parts)) => parts,
        Some(one) => vec![one],
        None => vec![json!({"text": value})],
    }
}

/// A tuned model's name is a path of its own.
fn url(base_url: &str, model: &str, stream: bool) -> String {
    let folder = if model.contains('/') { "" } else { "models/" };
    let method = if stream { "streamGenerateContent?alt=sse" } else { "generateContent" };
    format!("{base_url}/{folder}{model}:{method}")
}

fn written(ask: &ProviderRequest<'_>) -> Result<Value, Failure> {
    let request = ask.request;
    let generation = Generation::of(&ask.target.model);
    let (system, contents) = contents(&request.messages, generation)?;
    let mut body = json!({"contents": contents});
    let config = generation_config(request, ask.max_output, &ask.target.model);
    let optional = [
        ("systemInstruction", (!system.is_empty()).then(|| json!({"parts": system}))),
        ("generationConfig", (!config.is_empty()).then(|| config.into())),
        ("tools", tools(&request.tools)),
        ("toolConfig", request.tool_choice.as_ref().map(tool_config)),
    ];
    for (name, value) in optional {
        if let Some(value) = value {
            body[name] = value;
        }
    }
    Ok(body)
}

fn generation_config(
    request: &ChatRequest,
    max_output: Option<u32>,
    model: &str,
) -> Map<String, Value> {
    let sampling = &request.sampling;
    let schema = match &request.format {
        Some(Format::Schema { schema, .. }) => Some(subset(schema)),
        Some(Format::Json) | None => None,
    };
    let fields = [
        ("maxOutputTokens", max_output.map(Value::from)),
        ("temperature", sampling.temperature.map(Value::from)),
        ("topP", sampling.top_p.map(Value::from)),
        ("topK", sampling.top_k.map(Value::from)),
        ("presencePenalty", sampling.presence_penalty.map(Value::from)),
        ("frequencyPenalty", sampling.frequency_penalty.map(Value::from)),
        ("seed", sampling.seed.map(|seed| seed_of_32_bits(seed).into())),
        ("stopSequences", (!request.stop.is_empty()).then(|| request.stop.clone().into())),
        ("responseMimeType", request.format.as_ref().map(|_| "application/json".into())),
        ("responseJsonSchema", schema),
        ("thinkingConfig", request.effort.and_then(|effort| thinking(effort, model))),
    ];
    object(fields.into_iter().filter_map(|(name, value)| Some((name.into(), value?))))
}

/// Gemini's seed is an `int32`; equal ones stay equal.
fn seed_of_32_bits(seed: i64) -> i64 {
    seed % i64::from(i32::MAX)
}

fn tools(tools: &[Tool]) -> Option<Value> {
    let declarations: Vec<_> = tools.iter().map(declaration).collect();
    (!declarations.is_empty()).then(|| json!([{"functionDeclarations": declarations}]))
}

fn declaration(tool: &Tool) -> Value {
    let mut declaration = json!({"name": tool.name});
    if let Some(description) = &tool.description {
        declaration["description"] = description.as_str().into();
    }
    if let Some(schema) = &tool.parameters {
        declaration["parametersJsonSchema"] = subset(schema);
    }
    declaration
}

fn tool_config(choice: &ToolChoice) -> Value {
    let config = match choice {
        ToolChoice::Auto => json!({"mode": "AUTO"}),
        ToolChoice::None => json!({"mode": "NONE"}),
        ToolChoice::Required => json!({"mode": "ANY"}),
        ToolChoice::Tool(name) => json!({"mode": "ANY", "allowedFunctionNames": [name]}),
    };
    json!({"functionCallingConfig": config})
}

/// The system's parts, and the turns. Instructions all go first, wherever they stood; messages of
/// one speaker in a row are one turn.
fn contents(
    messages: &[Message],
    generation: Generation,
) -> Result<(Vec<Value>, Vec<Value>), Failure> {
    let mut names = CallNames::default();
    let mut system = Vec::new();
    let mut turns: Vec<(&str, Vec<Value>)> = Vec::new();
    for message in messages {
        names.note(message);
        let role = match message.role {
            Role::System | Role::Developer => {
                system.append(&mut instruction(message)?);
                continue;
            }
            Role::Assistant => "model",
            Role::User | Role::Tool => "user",
        };
        let mut parts = parts(message, &names, generation)?;
        match turns.last_mut() {
            Some((last, said)) if *last == role => said.append(&mut parts),
            _ if parts.is_empty() => {}
            _ => turns.push((role, parts)),
        }
    }
    let turn = |(role, parts)| json!({"role": role, "parts": parts});
    Ok((system, turns.into_iter().map(turn).collect()))
}

fn instruction(message: &Message) -> Result<Vec<Value>, Failure> {
    message
        .parts
        .iter()
        .map(|part| match part {
            Part::Text(text) => Ok(json!({"text": text})),
            other => Err(unsupported(other, "gemini")),
        })
        .collect()
}

fn parts(
    message: &Message,
    names: &CallNames<'_>,
    generation: Generation,
) -> Result<Vec<Value>, Failure> {
    let said = message.parts.iter().filter(|part| !is_empty(part));
    let mut parts: Vec<_> = said
        .map(|part| told(part, names).ok_or_else(|| unsupported(part, "gemini")))
        .collect::<Result<_, _>>()?;
    if generation == Generation::Three {
        // Of parallel calls the first carries the signature of all.
        let first = parts.iter_mut().find(|part| part.get("functionCall").is_some());
        if let Some(call) = first {
            call["thoughtSignature"] = NO_SIGNATURE.into();
        }
    }
    Ok(parts)
}

/// An empty text is refused.
fn is_empty(part: &Part) -> bool {
    match part {
        Part::Text(text) | Part::Refusal(text) | Part::Reasoning { text, .. } => text.is_empty(),
        Part::Media(_) | Part::ToolCall { .. } | Part::ToolResult { .. } | Part::Other(_) => false,
    }
}

/// One part, if it is supported. The signature of reasoning is left out: it may be another
/// provider's, and a thought without one is taken.
fn told(part: &Part, names: &CallNames<'_>) -> Option<Value> {
    match part {
        Part::Text(text) | Part::Refusal(text) => Some(json!({"text": text})),
        Part::Reasoning { text, .. } => Some(json!({"text": text, "thought": true})),
        Part::Media(media) => medium(media),
        Part::ToolCall { id, name, .. } => {
            let args = part.arguments()?;
            Some(json!({"functionCall": {"id": id, "name": name, "args": args}}))
        }
        Part::ToolResult { id, parts, is_error } => {
            function_response(id, names.find(id)?, parts, *is_error)
        }
        Part::Other(_) => None,
    }
}

/// What a call gave: its texts under the names that the reference has for a result and for an error,
/// its media beside them.
fn function_response(id: &str, name: &str, parts: &[Part], is_error: bool) -> Option<Value> {
    let (mut text, mut media) = (String::new(), Vec::new());
    for part in parts {
        match part {
            Part::Text(more) => text.push_str(more),
            Part::Media(medium) => media.push(inline(medium)?),
            _ => return None,
        }
    }
    let key = if is_error { "error" } else { "output" };
    let mut response = json!({"id": id, "name": name, "response": {key: text}});
    if !media.is_empty() {
        response["parts"] = media.into();
    }
    Some(json!({"functionResponse": response}))
}

/// A file that is at a provider is at Google if its name is a URI.
fn medium(media: &Media) -> Option<Value> {
    match &media.source {
        MediaSource::Data(_) => inline(media),
        MediaSource::Id(id) if !id.contains("://") => None,
        MediaSource::Url(uri) | MediaSource::Id(uri) => {
            let path = uri.split(['?', '#']).next().unwrap_or(uri).to_ascii_lowercase();
            let by_name = MEDIA_TYPES.iter().find(|(end, _)| path.ends_with(end));
            let media_type = media.media_type.as_deref().or(by_name.map(|(_, name)| *name))?;
            Some(json!({"fileData": {"mimeType": media_type, "fileUri": uri}}))
        }
    }
}

fn inline(media: &Media) -> Option<Value> {
    let MediaSource::Data(data) = &media.source else { return None };
    let media_type = media.media_type.as_deref()?;
    Some(json!({"inlineData": {"mimeType": media_type, "data": data}}))
}

#[cfg(test)]
mod tests;
