//! Google's Gemini API, as ai.google.dev/api/generate-content has it.

use serde_json::{Value, json};

use super::{Asked, Meaning, events, parse, parse_whole, text_of, with};

pub(super) fn request(_: &str, asked: &Asked) -> Value {
    let image = |url: &String| match Asked::inline(url) {
        Some((media_type, data)) => json!({"inlineData": {"mimeType": media_type, "data": data}}),
        None => json!({"fileData": {"mimeType": "image/png", "fileUri": url}}),
    };
    let mut parts = vec![json!({"text": asked.text})];
    parts.extend(asked.images.iter().map(image));
    let mut contents = vec![json!({"role": "user", "parts": parts})];
    if !asked.calls.is_empty() {
        let call =
            |(name, args): &(String, Value)| json!({"functionCall": {"name": name, "args": args}});
        let calls: Vec<_> = asked.calls.iter().map(call).collect();
        contents.push(json!({"role": "model", "parts": calls}));
        let results = asked.calls.iter().zip(&asked.results).map(|((name, _), result)| {
            let response = json!({"output": result});
            json!({"functionResponse": {"name": name, "response": response}})
        });
        contents.push(json!({"role": "user", "parts": results.collect::<Vec<_>>()}));
    }
    let system = Some(&asked.instructions).filter(|text| !text.is_empty());
    let declaration =
        |(name, schema): &(String, Value)| json!({"name": name, "parametersJsonSchema": schema});
    let declarations: Vec<_> = asked.tools.iter().map(declaration).collect();
    let tools = (!declarations.is_empty()).then(|| json!([{"functionDeclarations": declarations}]));
    with(
        json!({"contents": contents}),
        [
            ("systemInstruction", system.map(|text| json!({"parts": [{"text": text}]})).into()),
            ("tools", tools.into()),
            ("generationConfig", generation_config(asked).into()),
        ],
    )
}

fn generation_config(asked: &Asked) -> Option<Value> {
    match (&asked.schema, asked.limit) {
        (None, None) => None,
        (None, Some(limit)) => Some(json!({"maxOutputTokens": limit})),
        (Some(schema), _) => Some(json!({
            "responseMimeType": "application/json", "responseJsonSchema": schema,
        })),
    }
}

pub(super) fn read_stream(body: &[u8]) -> Result<Meaning, String> {
    let mut meaning = Meaning::default();
    for data in events(body)? {
        read(&mut meaning, &parse(&data)?);
    }
    Ok(meaning)
}

pub(super) fn read_array(body: &[u8]) -> Result<Meaning, String> {
    let mut meaning = Meaning::default();
    let chunks = parse_whole(body)?;
    for chunk in chunks.as_array().ok_or("not a list")? {
        read(&mut meaning, chunk);
    }
    Ok(meaning)
}

pub(super) fn read_whole(body: &[u8]) -> Result<Meaning, String> {
    let mut meaning = Meaning::default();
    read(&mut meaning, &parse_whole(body)?);
    Ok(meaning)
}

fn read(meaning: &mut Meaning, chunk: &Value) {
    if !chunk["error"].is_null() {
        return meaning.fail(&chunk["error"]["message"]);
    }
    let candidate = &chunk["candidates"][0];
    for part in candidate["content"]["parts"].as_array().into_iter().flatten() {
        let call = &part["functionCall"];
        if !call.is_null() {
            meaning.calls.push((text_of(&call["name"]).into(), call["args"].clone()));
        }
        match part["thought"] == true {
            true => meaning.reasoning += text_of(&part["text"]),
            false => meaning.text += text_of(&part["text"]),
        }
    }
    // What an answer cost is known at its end.
    let Some(reason) = candidate["finishReason"].as_str() else { return };
    meaning.ends += 1;
    meaning.finish = Some(why(reason, !meaning.calls.is_empty()));
    let usage = &chunk["usageMetadata"];
    let count = |name: &str| usage[name].as_u64();
    // Thoughts are counted apart; an answer of thoughts alone has no candidates to count.
    let written = count("candidatesTokenCount").into_iter().chain(count("thoughtsTokenCount"));
    if let Some(read) = count("promptTokenCount") {
        meaning.usage = Some([read, written.sum()]);
    }
}

/// Who makes calls stops like any other here.
fn why(reason: &str, calls: bool) -> String {
    match reason {
        "STOP" if calls => "tool_calls",
        "STOP" => "stop",
        "MAX_TOKENS" => "length",
        "SAFETY" => "refusal",
        other => other,
    }
    .into()
}
