//! The call to a provider, written: the client's own body where it speaks this protocol too, else a
//! new one.

use serde_json::{Map, Value, json};

use super::custom_calls::as_functions;
use super::generation::Generation;
use super::schema::held;
use crate::chat::{
    ChatRequest, Effort, Format, Media, MediaKind, MediaSource, Message, Part, Piece, Role, Tool,
    ToolChoice,
};
use crate::failure::Failure;
use crate::protocol::{Body, HttpRequest, ProviderRequest, Stretch, unsupported};
use crate::target::{Dialect, EffortField, Prefix, Thought};

/// How the next token is chosen.
const SAMPLING: [&str; 4] = ["temperature", "top_p", "frequency_penalty", "presence_penalty"];

/// The call that asks for an answer.
pub(in crate::protocol) fn http_request(ask: &ProviderRequest<'_>) -> Result<HttpRequest, Failure> {
    let dialect = ask.target.provider.dialect();
    let mut original = ask.original();
    if let Some((body, _)) = original.as_mut().filter(|_| !dialect.custom_tools) {
        as_functions(body, ask.request);
    }
    let body = match (original, dialect.strict) {
        (Some((body, pieces)), None) if dialect.functions || !ask.request.functions => {
            patched(body, pieces, ask, dialect)?
        }
        (Some((body, _)), Some(known)) => {
            let mut written = written(ask, dialect)?;
            written.extend(body.take(known));
            Value::Object(written).to_string()
        }
        (Some(_) | None, _) => Value::Object(written(ask, dialect)?).to_string(),
    };
    let url = format!("{}/chat/completions", ask.target.provider.base_url);
    Ok(HttpRequest::new(url, headers(ask), body.into_bytes()))
}

/// The headers: the media types, and the key.
pub(in crate::protocol) fn headers(ask: &ProviderRequest<'_>) -> Vec<(&'static str, String)> {
    let name = ask.target.provider.dialect().key;
    ask.headers(name, if name == "authorization" { "Bearer " } else { "" })
}

/// The client's own body.
fn patched(
    mut body: Body<'_>,
    pieces: Option<Vec<Piece<'_>>>,
    ask: &ProviderRequest<'_>,
    dialect: &Dialect,
) -> Result<String, Failure> {
    body.remove_empty();
    for name in dialect.refused {
        body.remove(name);
    }
    fit_generation(&mut body, ask, dialect);
    body.remove("max_tokens");
    let new_name = body.remove("max_completion_tokens").is_some_and(|limit| limit != "null");
    body.set("model", &ask.target.model.as_str().into());
    body.set("stream", &ask.stream.into());
    if ask.stream && dialect.asks_usage {
        // Always, so that an answer can be accounted; whether the client is shown it is its choice.
        body.set_in("stream_options", "include_usage", &true.into());
    } else {
        body.remove("stream_options");
    }
    if let Some(max_output) = ask.max_output {
        body.bound_lengths(max_output);
        body.set(dialect.limit(new_name), &max_output.into());
    }
    if let Some(pieces) = pieces {
        edit(&mut body, &pieces, dialect)?;
    }
    Ok(body.text())
}

/// What the model is known not to take is left out, or nearest to what it takes.
fn fit_generation(body: &mut Body<'_>, ask: &ProviderRequest<'_>, dialect: &Dialect) {
    let generation = Generation::of(&ask.target.model);
    if !generation.samples(ask.request) {
        SAMPLING.iter().for_each(|name| drop(body.remove(name)));
    }
    if !generation.stops {
        body.remove("stop");
    }
    let Some(effort) = body.get("reasoning_effort").and(ask.request.effort) else { return };
    if dialect.effort == EffortField::Word && !generation.is_known() {
        return;
    }
    let fields = effort_fields(effort, generation, dialect);
    if fields.iter().all(|(name, _)| *name != "reasoning_effort") {
        body.remove("reasoning_effort");
    }
    for (name, value) in fields {
        // What the client wrote by the dialect's own name is more specific.
        if name == "reasoning_effort" || body.get(name).is_none() {
            body.set(name, &value);
        }
    }
}

/// The effort as the model and its provider have it.
fn effort_fields(
    effort: Effort,
    generation: Generation,
    dialect: &Dialect,
) -> Vec<(&'static str, Value)> {
    let is_fitted = dialect.effort == EffortField::Word || generation.is_known();
    let effort = if is_fitted { generation.effort(effort) } else { Some(effort) };
    effort.map(|effort| dialect.effort(effort)).unwrap_or_default()
}

/// Puts the conversation together: what was edited is written, the rest stays as it is.
fn edit(body: &mut Body<'_>, pieces: &[Piece<'_>], dialect: &Dialect) -> Result<(), Failure> {
    let mut stretches = Vec::with_capacity(pieces.len());
    for (index, piece) in pieces.iter().enumerate() {
        match piece {
            // No message of this protocol is in a field of its own.
            Piece::Field(_) => {}
            Piece::Kept(range) => stretches.push(Stretch::Kept(range.clone())),
            Piece::Written(last) if index + 1 == pieces.len() => {
                stretches.push(Stretch::New(last_messages(last, dialect)?));
                for (name, value) in prefix_options(last, dialect) {
                    body.set(name, &value);
                }
            }
            Piece::Written(written) => stretches.push(Stretch::New(messages(written, dialect)?)),
        }
    }
    body.set_list("messages", &stretches);
    Ok(())
}

fn written(ask: &ProviderRequest<'_>, dialect: &Dialect) -> Result<Map<String, Value>, Failure> {
    let request = ask.request;
    let mut body = Map::new();
    body.insert("model".into(), ask.target.model.as_str().into());
    body.insert("messages".into(), last_messages(&request.messages, dialect)?.into());
    body.insert("stream".into(), ask.stream.into());
    if ask.stream && dialect.asks_usage {
        body.insert("stream_options".into(), json!({"include_usage": true}));
    }
    let generation = Generation::of(&ask.target.model);
    let optional = optional(request, ask.max_output, dialect, generation);
    let optional = optional.into_iter().filter_map(|(name, value)| Some((name, value?)));
    let effort = request.effort.map(|effort| effort_fields(effort, generation, dialect));
    let fields = optional
        .chain(effort.into_iter().flatten())
        .chain(prefix_options(&request.messages, dialect));
    let fields = fields.filter(|(name, _)| !dialect.refused.contains(name));
    body.extend(fields.map(|(name, value)| (name.to_owned(), value)));
    Ok(body)
}

fn optional(
    request: &ChatRequest,
    max_output: Option<u32>,
    dialect: &Dialect,
    generation: Generation,
) -> [(&'static str, Option<Value>); 13] {
    let sampling = generation.sampling(request);
    [
        (dialect.limit(false), max_output.map(Value::from)),
        ("temperature", sampling.temperature.map(Value::from)),
        ("top_p", sampling.top_p.map(Value::from)),
        ("frequency_penalty", sampling.frequency_penalty.map(Value::from)),
        ("presence_penalty", sampling.presence_penalty.map(Value::from)),
        ("top_k", sampling.top_k.filter(|_| dialect.top_k).map(Value::from)),
        (dialect.seed, sampling.seed.map(Value::from)),
        (
            "prompt_cache_key",
            request.cache_key.clone().filter(|_| dialect.cache_key).map(Value::from),
        ),
        (
            "stop",
            (generation.stops && !request.stop.is_empty()).then(|| request.stop.clone().into()),
        ),
        ("tools", (!request.tools.is_empty()).then(|| request.tools.iter().map(tool).collect())),
        ("tool_choice", request.tool_choice.as_ref().map(|choice| tool_choice(choice, dialect))),
        ("parallel_tool_calls", request.parallel_tool_calls.map(Value::from)),
        ("response_format", request.format.as_ref().map(format)),
    ]
}

/// What marks the last message, if it is the assistant's, beside the messages.
fn prefix_options(messages: &[Message], dialect: &Dialect) -> Vec<(&'static str, Value)> {
    if dialect.prefix != Prefix::Option || !ends_open(messages) {
        return Vec::new();
    }
    vec![("continue_final_message", true.into()), ("add_generation_prompt", false.into())]
}

fn ends_open(messages: &[Message]) -> bool {
    messages.last().is_some_and(|message| message.role == Role::Assistant)
}

/// The messages at the end of a conversation. The last one, if it is the assistant's, is marked as
/// the beginning of the answer.
fn last_messages(last: &[Message], dialect: &Dialect) -> Result<Vec<Value>, Failure> {
    let mut wire = messages(last, dialect)?;
    if dialect.prefix == Prefix::Marked && ends_open(last) {
        wire.last_mut().expect("a message")["prefix"] = true.into();
    }
    Ok(wire)
}

/// What the assistant said between results and the user, where it must have said something.
const AFTER_RESULTS: &str = "OK.";

/// The messages on the wire; the results of several calls are a message each. A result is a text:
/// what else calls gave, such as images, follows the results as a user's message.
fn messages(messages: &[Message], dialect: &Dialect) -> Result<Vec<Value>, Failure> {
    let mut wire = Vec::with_capacity(messages.len());
    let mut beside: Vec<&Part> = Vec::new();
    for message in messages {
        if message.role == Role::Tool {
            for part in &message.parts {
                wire.push(tool_result(part, &mut beside, dialect)?);
            }
        } else {
            wire.extend(users(&mut beside)?);
            wire.push(said(message, dialect)?);
        }
    }
    wire.extend(users(&mut beside)?);
    if dialect.answers_results {
        answer_results(&mut wire);
    }
    Ok(wire)
}

fn answer_results(wire: &mut Vec<Value>) {
    let is_unanswered = |pair: &[Value]| pair[0]["role"] == "tool" && pair[1]["role"] == "user";
    let mut from = 0;
    while let Some(at) = wire[from..].windows(2).position(is_unanswered) {
        wire.insert(from + at + 1, json!({"role": "assistant", "content": AFTER_RESULTS}));
        from += at + 2;
    }
}

fn users(parts: &mut Vec<&Part>) -> Result<Option<Value>, Failure> {
    if parts.is_empty() {
        return Ok(None);
    }
    Ok(Some(json!({"role": "user", "content": content(parts.drain(..))?})))
}

/// A result is never null: its content is required.
fn tool_result<'a>(
    part: &'a Part,
    beside: &mut Vec<&'a Part>,
    dialect: &Dialect,
) -> Result<Value, Failure> {
    let Part::ToolResult { id, parts, .. } = part else {
        return Err(unsupported(part, "openai"));
    };
    let is_text = |part: &&Part| matches!(part, Part::Text(_));
    beside.extend(parts.iter().filter(|part| !is_text(part)));
    let mut text = content(parts.iter().filter(is_text))?;
    if text.is_null() {
        text = "".into();
    }
    Ok(json!({"role": "tool", "tool_call_id": dialect.call_id(id), "content": text}))
}

fn said(message: &Message, dialect: &Dialect) -> Result<Value, Failure> {
    let role = match message.role {
        Role::System => "system",
        Role::Developer => dialect.developer,
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::Tool => "tool",
    };
    let is_content = |part: &&Part| matches!(part, Part::Text(_) | Part::Media(_) | Part::Other(_));
    let mut wire =
        json!({"role": role, "content": content(message.parts.iter().filter(is_content))?});
    let calls: Vec<_> = message.parts.iter().filter_map(|part| call(part, dialect)).collect();
    if !calls.is_empty() {
        wire["tool_calls"] = calls.into();
    }
    for part in &message.parts {
        match part {
            Part::Refusal(text) => wire["refusal"] = text.as_str().into(),
            Part::Reasoning { text, .. } => think(&mut wire, text, dialect),
            Part::ToolResult { .. } => return Err(unsupported(part, "openai")),
            Part::Text(_) | Part::Media(_) | Part::ToolCall { .. } | Part::Other(_) => {}
        }
    }
    // Only a message that calls or declines may be without content.
    let has_more = wire.get("tool_calls").is_some() || wire.get("refusal").is_some();
    if wire["content"].is_null() && !has_more {
        wire["content"] = "".into();
    }
    Ok(wire)
}

/// Adds reasoning to a message whose content is there.
fn think(wire: &mut Value, thought: &str, dialect: &Dialect) {
    match dialect.thought {
        Thought::Unsupported => {}
        Thought::Field(name) => wire[name] = thought.into(),
        Thought::Part => {
            let text = json!({"type": "text", "text": thought});
            let mut parts = vec![json!({"type": "thinking", "thinking": [text]})];
            match wire["content"].take() {
                Value::Null => {}
                Value::Array(mut said) => parts.append(&mut said),
                said => parts.push(json!({"type": "text", "text": said})),
            }
            wire["content"] = parts.into();
        }
    }
}

fn call(part: &Part, dialect: &Dialect) -> Option<Value> {
    let Part::ToolCall { id, name, arguments } = part else { return None };
    let id = dialect.call_id(id);
    let function = json!({"name": name, "arguments": arguments});
    Some(json!({"id": id, "type": "function", "function": function}))
}

/// Plain text where there is no more to it, for not every provider reads parts. Several texts are
/// lines, as vLLM and llama-server join them.
fn content<'a>(parts: impl Iterator<Item = &'a Part>) -> Result<Value, Failure> {
    let parts: Vec<_> = parts.collect();
    match parts.as_slice() {
        [] => Ok(Value::Null),
        parts => match texts(parts) {
            Some(texts) => Ok(texts.join("\n").into()),
            None => parts.iter().map(|part| content_part(part)).collect(),
        },
    }
}

/// The texts that these parts are; `None` where there is another part.
fn texts<'a>(parts: &[&'a Part]) -> Option<Vec<&'a str>> {
    let text = |part: &&'a Part| match part {
        Part::Text(text) => Some(text.as_str()),
        _ => None,
    };
    parts.iter().map(text).collect()
}

fn content_part(part: &Part) -> Result<Value, Failure> {
    match part {
        Part::Text(text) => Ok(json!({"type": "text", "text": text})),
        Part::Media(media) => medium(media).ok_or_else(|| unsupported(part, "openai")),
        other => Err(unsupported(other, "openai")),
    }
}

fn medium(media: &Media) -> Option<Value> {
    let media_type = media.media_type.as_deref();
    match (media.kind, &media.source) {
        (MediaKind::Image, _) => Some(image(&media.url("image/png")?, media)),
        (MediaKind::Audio, MediaSource::Data(data)) => {
            let format = media_type?.strip_prefix("audio/")?;
            Some(json!({"type": "input_audio", "input_audio": {"data": data, "format": format}}))
        }
        (MediaKind::File, MediaSource::Data(_)) => {
            let data = media.url("application/pdf")?;
            let name = media.name.as_deref().unwrap_or("file");
            Some(json!({"type": "file", "file": {"filename": name, "file_data": data}}))
        }
        (MediaKind::Audio | MediaKind::File, _) => None,
    }
}

fn image(url: &str, media: &Media) -> Value {
    let mut image = json!({"url": url});
    if let Some(detail) = &media.detail {
        image["detail"] = detail.as_str().into();
    }
    json!({"type": "image_url", "image_url": image})
}

pub(super) fn tool(tool: &Tool) -> Value {
    let none = Value::Null;
    let (parameters, strict) = held(tool.parameters.as_ref().unwrap_or(&none), tool.strict);
    let mut function = json!({"name": tool.name});
    let optional = [
        ("description", tool.description.as_deref().map(Value::from)),
        ("parameters", tool.parameters.as_ref().map(|_| parameters.into_owned())),
        ("strict", strict.map(Value::from)),
    ];
    for (name, value) in optional {
        if let Some(value) = value {
            function[name] = value;
        }
    }
    json!({"type": "function", "function": function})
}

fn tool_choice(choice: &ToolChoice, dialect: &Dialect) -> Value {
    match choice {
        ToolChoice::Auto => "auto".into(),
        ToolChoice::None => "none".into(),
        ToolChoice::Required => dialect.required.into(),
        ToolChoice::Tool(name) => json!({"type": "function", "function": {"name": name}}),
    }
}

fn format(format: &Format) -> Value {
    match format {
        Format::Json => json!({"type": "json_object"}),
        Format::Schema { name, description, schema, strict } => {
            let (schema, strict) = held(schema, *strict);
            let mut wire = json!({"name": name, "schema": schema});
            if let Some(description) = description {
                wire["description"] = description.as_str().into();
            }
            if let Some(strict) = strict {
                wire["strict"] = strict.into();
            }
            json!({"type": "json_schema", "json_schema": wire})
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse_request;
    use super::*;
    use crate::config::Config;
    use crate::protocol::ClientProtocol;
    use crate::target::Target;
    use std::sync::Arc;

    const BODY: &str = r#"{"model":"m","messages":[{"role":"developer","content":"be brief"},
        {"role":"user","name":"ada","content":[{"type":"text","text":"what is this?"},
            {"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA","detail":"low"}},
            {"type":"image_url","image_url":{"url":"https://x/y.png"}},
            {"type":"input_audio","input_audio":{"data":"AAAA","format":"wav"}},
            {"type":"file","file":{"filename":"a.pdf","file_data":"data:application/pdf;base64,AAAA"}}]},
        {"role":"assistant","content":null,"reasoning_content":"hm","tool_calls":[
            {"id":"t","type":"function","function":{"name":"f","arguments":"{}"}},
            {"id":"u","type":"function","function":{"name":"g","arguments":"{\"x\":1}"}}]},
        {"role":"tool","tool_call_id":"t","content":"4"},
        {"role":"tool","tool_call_id":"u","content":"5"},
        {"role":"assistant","content":"no","refusal":"really"}],
        "stream":true,"stream_options":{"include_usage":true,"include_obfuscation":false},
        "max_completion_tokens":99,"temperature":0.7,"top_p":0.9,"seed":-5,"stop":["a","b"],
        "frequency_penalty":0.5,"presence_penalty":-0.5,"user":"u","reasoning_effort":"low",
        "tools":[{"type":"function","function":{"name":"f","description":"d","strict":true,
            "parameters":{"type":"object","additionalProperties":false}}}],
        "tool_choice":{"type":"function","function":{"name":"f"}},"parallel_tool_calls":false,
        "response_format":{"type":"json_schema","json_schema":{"name":"n","strict":true,
            "schema":{"type":"object","additionalProperties":false}}}}"#;

    fn target() -> Arc<Target> {
        let text = "[providers.p]\nprotocol = \"openai\"\nbase_url = \"http://p\"\n\
                    dialect = \"openai\"\n[models.m]\ntargets = [\"p/there\"]";
        Config::parse(text, |_| None).unwrap().models["m"].targets[0].clone()
    }

    fn sent(request: &ChatRequest, client: ClientProtocol, stream: bool) -> Vec<u8> {
        let target = target();
        let ask = ProviderRequest {
            refused: Default::default(),
            target: &target,
            request,
            client,
            stream,
            max_output: Some(50),
        };
        let call = http_request(&ask).unwrap();
        assert_eq!(call.url, "http://p/chat/completions");
        call.body
    }

    /// A body in the provider's own protocol is sent on unchanged.
    #[test]
    fn a_clients_own_body_travels() {
        let request = parse_request(BODY.as_bytes()).unwrap();
        let mut expected: Value = serde_json::from_str(BODY).unwrap();
        expected["model"] = "there".into();
        expected["max_completion_tokens"] = 50.into();
        let body = sent(&request, ClientProtocol::OpenAi, true);
        assert_eq!(serde_json::from_slice::<Value>(&body).unwrap(), expected);

        let mut longer = request.clone();
        longer.messages.push(Message::text(Role::Assistant, "so"));
        let body: Value =
            serde_json::from_slice(&sent(&longer, ClientProtocol::OpenAi, false)).unwrap();
        expected["messages"]
            .as_array_mut()
            .unwrap()
            .push(json!({"role": "assistant", "content": "so"}));
        expected["stream"] = false.into();
        expected.as_object_mut().unwrap().remove("stream_options");
        assert_eq!(body, expected);
    }

    /// A request that came in another protocol reads back as the same request, but for reasoning.
    #[test]
    fn a_translated_request_says_the_same() {
        let mut request = parse_request(BODY.as_bytes()).unwrap();
        request.messages[2].parts.retain(|part| !matches!(part, Part::Reasoning { .. }));
        let mut again = parse_request(&sent(&request, ClientProtocol::Token, true)).unwrap();
        assert_eq!(again.max_output_tokens, Some(50));
        again.max_output_tokens = request.max_output_tokens;
        (again.model, again.original) = (request.model.clone(), None);
        request.original = None;
        assert_eq!(again, request);
    }

    #[test]
    fn what_cannot_be_told_is_not_dropped() {
        let mut request = parse_request(BODY.as_bytes()).unwrap();
        request.messages[1].parts.push(Part::Other("hologram".into()));
        let target = target();
        let client = ClientProtocol::Token;
        let ask = ProviderRequest {
            refused: Default::default(),
            target: &target,
            request: &request,
            client,
            stream: true,
            max_output: None,
        };
        let failure = http_request(&ask).unwrap_err();
        assert!(failure.message().contains("hologram"), "{failure}");
    }

    fn messages_of(request: &ChatRequest) -> Value {
        let body: Value =
            serde_json::from_slice(&sent(request, ClientProtocol::Token, true)).unwrap();
        body["messages"].clone()
    }

    /// Each row: the parts of a call's result, its text, and what follows it from the user.
    #[test]
    fn a_result_is_a_text() {
        let image = Part::Media(Media::at(MediaKind::Image, "https://x/y.png"));
        let shown = json!([{"type": "image_url", "image_url": {"url": "https://x/y.png"}}]);
        let text = |text: &str| Part::Text(text.into());
        let rows = [
            (vec![], "", None),
            (vec![text("4")], "4", None),
            (vec![text("4"), text("5")], "4\n5", None),
            (vec![image.clone()], "", Some(&shown)),
            (vec![text("4"), image], "4", Some(&shown)),
        ];
        for (parts, expected, beside) in rows {
            let result = |parts| Part::ToolResult { id: "t".into(), parts, is_error: false };
            let tool = |parts| Message { role: Role::Tool, parts: vec![result(parts)] };
            let messages = vec![tool(parts), tool(vec![text("last")])];
            let messages = messages_of(&ChatRequest { messages, ..ChatRequest::default() });
            assert_eq!(
                (&messages[0]["role"], &messages[0]["content"]),
                (&json!("tool"), &json!(expected))
            );
            assert_eq!(messages[1]["content"], "last");
            assert_eq!(messages.get(2).map(|message| &message["content"]), beside);
        }
    }

    #[test]
    fn texts_alone_are_one_text() {
        let texts = |role, texts: &[&str]| Message {
            role,
            parts: texts.iter().map(|&text| Part::Text(text.into())).collect(),
        };
        let messages = vec![
            texts(Role::System, &["be brief", "be kind"]),
            texts(Role::User, &[]),
            texts(Role::Assistant, &[]),
            texts(Role::Assistant, &["", ""]),
        ];
        let messages = messages_of(&ChatRequest { messages, ..ChatRequest::default() });
        let contents: Vec<_> =
            messages.as_array().unwrap().iter().map(|message| &message["content"]).collect();
        assert_eq!(contents, ["be brief\nbe kind", "", "", "\n"]);
    }
}
