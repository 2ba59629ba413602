//! Messages, as Anthropic's reference has them.

use serde_json::{Value, json};

use super::{Asked, Meaning, call_id, events, parse, parse_whole, text_of, with};

pub(super) fn request(model: &str, asked: &Asked) -> Value {
    let mut content = vec![json!({"type": "text", "text": asked.text})];
    let image = |url: &String| match Asked::inline(url) {
        Some((media_type, data)) => {
            json!({"type": "image", "source": {"type": "base64", "media_type": media_type, "data": data}})
        }
        None => json!({"type": "image", "source": {"type": "url", "url": url}}),
    };
    content.extend(asked.images.iter().map(image));
    let tool = |(name, schema): &(String, Value)| json!({"name": name, "input_schema": schema});
    let format = |schema| json!({"format": {"type": "json_schema", "schema": schema}});
    let call = |(place, (name, input)): (usize, &(String, Value))| json!({"type": "tool_use", "id": call_id(place), "name": name, "input": input});
    let result = |(place, result)| json!({"type": "tool_result", "tool_use_id": call_id(place), "content": result});
    let mut messages = vec![json!({"role": "user", "content": content})];
    if !asked.calls.is_empty() {
        let calls: Vec<_> = asked.calls.iter().enumerate().map(call).collect();
        let results: Vec<_> = asked.results.iter().enumerate().map(result).collect();
        messages.push(json!({"role": "assistant", "content": calls}));
        messages.push(json!({"role": "user", "content": results}));
    }
    let limit = asked.limit.unwrap_or(1000);
    with(
        json!({"model": model, "stream": asked.stream, "max_tokens": limit, "messages": messages}),
        [
            ("system", asked.instructions.as_str().into()),
            ("output_config", asked.schema.as_ref().map(format).into()),
            ("tools", asked.tools.iter().map(tool).collect()),
        ],
    )
}

/// A content block that is being written.
#[derive(Default)]
struct Block {
    kind: String,
    name: String,
    text: String,
}

pub(super) fn read_stream(body: &[u8]) -> Result<Meaning, String> {
    let mut meaning = Meaning::default();
    let mut open: Option<Block> = None;
    let mut prompt = 0;
    for data in events(body)? {
        let event = parse(&data)?;
        match text_of(&event["type"]) {
            "message_start" => prompt = read_tokens(&event["message"]["usage"]).unwrap_or(0),
            "content_block_start" => {
                if open.is_some() {
                    return Err("a block begins within another".into());
                }
                let block = &event["content_block"];
                let text = [&block["text"], &block["thinking"]].map(text_of).concat();
                let (kind, name) = (text_of(&block["type"]).into(), text_of(&block["name"]).into());
                open = Some(Block { kind, name, text });
            }
            "content_block_delta" => {
                let delta = &event["delta"];
                let fields = ["text", "thinking", "partial_json"].map(|name| text_of(&delta[name]));
                open.as_mut().ok_or("a delta outside of a block")?.text += &fields.concat();
            }
            "content_block_stop" => close(&mut meaning, open.take().ok_or("a block ends twice")?)?,
            "message_delta" => {
                meaning.finish = finish(&event["delta"]["stop_reason"]);
                meaning.text += text_of(&event["delta"]["stop_details"]["explanation"]);
                let usage = &event["usage"];
                let written = usage["output_tokens"].as_u64();
                meaning.usage = written.map(|n| [read_tokens(usage).unwrap_or(prompt), n]);
            }
            "message_stop" => meaning.ends += 1,
            "error" => {
                meaning.fail(&event["error"]["message"]);
                if let Some(block) = open.take() {
                    close(&mut meaning, block)?;
                }
            }
            _ => {}
        }
    }
    Ok(declined(meaning))
}

fn close(meaning: &mut Meaning, block: Block) -> Result<(), String> {
    match block.kind.as_str() {
        "text" => meaning.text += &block.text,
        "thinking" => meaning.reasoning += &block.text,
        _ => {
            let input = if block.text.is_empty() { "{}" } else { &block.text };
            meaning.calls.push((block.name, parse(input)?));
        }
    }
    Ok(())
}

fn finish(reason: &Value) -> Option<String> {
    let reason = match reason.as_str()? {
        "end_turn" | "stop_sequence" => "stop",
        "max_tokens" => "length",
        "tool_use" => "tool_calls",
        other => other,
    };
    Some(reason.into())
}

/// Here the prompt's tokens are counted without those that came from a cache.
fn read_tokens(usage: &Value) -> Option<u64> {
    let cached = ["cache_read_input_tokens", "cache_creation_input_tokens"];
    let cached: u64 = cached.map(|name| usage[name].as_u64().unwrap_or(0)).iter().sum();
    Some(usage["input_tokens"].as_u64()? + cached)
}

pub(super) fn read_whole(body: &[u8]) -> Result<Meaning, String> {
    let answer = parse_whole(body)?;
    let mut meaning = Meaning::default();
    if answer["type"] == "error" {
        meaning.fail(&answer["error"]["message"]);
        return Ok(meaning);
    }
    for block in answer["content"].as_array().into_iter().flatten() {
        match text_of(&block["type"]) {
            "text" => meaning.text += text_of(&block["text"]),
            "thinking" => meaning.reasoning += text_of(&block["thinking"]),
            _ => meaning.calls.push((text_of(&block["name"]).into(), block["input"].clone())),
        }
    }
    meaning.finish = finish(&answer["stop_reason"]);
    meaning.text += text_of(&answer["stop_details"]["explanation"]);
    let written = answer["usage"]["output_tokens"].as_u64();
    meaning.usage = read_tokens(&answer["usage"]).zip(written).map(|(n, m)| [n, m]);
    meaning.ends = 1;
    Ok(declined(meaning))
}

/// The refusal of a model that declines is its text or the reason's explanation.
fn declined(mut meaning: Meaning) -> Meaning {
    if meaning.finish.as_deref() == Some("refusal") {
        meaning.refusal = std::mem::take(&mut meaning.text);
    }
    meaning
}
