//! The UI message stream, as the AI SDK reads it.

use serde_json::{Value, json};

use super::{Asked, Meaning, call_id, events, parse, parse_whole, text_of, with};

pub(super) fn request(model: &str, asked: &Asked) -> Value {
    let mut parts = vec![json!({"type": "text", "text": asked.text})];
    let image = |url| json!({"type": "file", "mediaType": "image/png", "url": url});
    parts.extend(asked.images.iter().map(image));
    let tool = |(name, schema): &(String, Value)| json!({"name": name, "inputSchema": schema});
    let mut messages = vec![json!({"id": "m1", "role": "user", "parts": parts})];
    if !asked.calls.is_empty() {
        messages.push(json!({"id": "m2", "role": "assistant", "parts": earlier(asked)}));
    }
    with(
        json!({"id": "c1", "messages": messages, "trigger": "submit-message", "model": model}),
        [
            ("system", asked.instructions.as_str().into()),
            ("tools", asked.tools.iter().map(tool).collect()),
            ("maxOutputTokens", asked.limit.into()),
        ],
    )
}

/// A step of an answer: each call has its result beside it.
fn earlier(asked: &Asked) -> Vec<Value> {
    let calls = asked.calls.iter().zip(&asked.results).enumerate();
    let call = |(place, ((name, input), output)): (usize, (&(String, Value), &String))| {
        json!({
            "type": format!("tool-{name}"), "toolCallId": call_id(place),
            "state": "output-available", "input": input, "output": output,
        })
    };
    [json!({"type": "step-start"})].into_iter().chain(calls.map(call)).collect()
}

pub(super) fn read_stream(body: &[u8]) -> Result<Meaning, String> {
    let mut meaning = Meaning::default();
    let mut open = Vec::new();
    for (place, data) in events(body)?.iter().enumerate() {
        if data == "[DONE]" {
            continue;
        }
        let part = parse(data)?;
        let kind = text_of(&part["type"]);
        match kind {
            "start" if place == 0 => {}
            "text-start" | "reasoning-start" => open.push(part["id"].clone()),
            "text-delta" | "reasoning-delta" if !open.contains(&part["id"]) => {
                return Err(format!("a delta of nothing that was begun: {data}"));
            }
            "text-delta" => meaning.text += text_of(&part["delta"]),
            "reasoning-delta" => meaning.reasoning += text_of(&part["delta"]),
            "text-end" | "reasoning-end" => open.retain(|id| *id != part["id"]),
            "tool-input-available" => {
                meaning.calls.push((text_of(&part["toolName"]).into(), part["input"].clone()));
            }
            "finish" => {
                meaning.ends += 1;
                meaning.finish = part["finishReason"].as_str().map(|reason| match reason {
                    "content-filter" => "refusal".into(),
                    reason => reason.replace('-', "_"),
                });
            }
            "error" => meaning.fail(&part["errorText"]),
            "start-step" | "finish-step" | "tool-input-start" | "tool-input-delta" => {}
            _ => return Err(format!("`{kind}` does not belong here: {data}")),
        }
    }
    Ok(meaning)
}

pub(super) fn refused(body: &[u8]) -> Result<Meaning, String> {
    let answer = parse_whole(body).unwrap_or_else(|_| String::from_utf8_lossy(body).into());
    let mut meaning = Meaning::default();
    let texts = [&answer["error"]["message"], &answer["error"], &answer["message"], &answer];
    meaning.fail(texts.into_iter().find(|text| text.is_string()).unwrap_or(&Value::Null));
    Ok(meaning)
}
