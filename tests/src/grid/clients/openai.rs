//! Chat Completions, as OpenAI's reference has it.

use serde_json::{Value, json};

use super::{Calls, MESSAGE, Meaning, events, parse, parse_whole, text_of, tools, two};

pub(super) fn request(model: &str, stream: bool) -> Value {
    json!({
        "model": model, "stream": stream, "stream_options": {"include_usage": true},
        "messages": [{"role": "user", "content": MESSAGE}],
        "tools": [{"type": "function", "function": {"name": "get_weather", "parameters": tools()}}],
    })
}

pub(super) fn read_stream(body: &[u8]) -> Result<Meaning, String> {
    let mut meaning = Meaning::default();
    let mut calls = Calls::default();
    for data in events(body)? {
        if data == "[DONE]" {
            meaning.ends += 1;
            continue;
        }
        let chunk = parse(&data)?;
        if !chunk["error"].is_null() {
            meaning.fail(&chunk["error"]["message"]);
            continue;
        }
        let choice = &chunk["choices"][0];
        let delta = &choice["delta"];
        meaning.text += text_of(&delta["content"]);
        meaning.reasoning += text_of(&delta["reasoning_content"]);
        for call in delta["tool_calls"].as_array().into_iter().flatten() {
            let (name, arguments) = calls.at(call["index"].as_u64().unwrap_or(0) as usize);
            *name += text_of(&call["function"]["name"]);
            *arguments += text_of(&call["function"]["arguments"]);
        }
        if let Some(finish) = choice["finish_reason"].as_str() {
            meaning.finish = Some(finish.into());
        }
        if !chunk["usage"].is_null() {
            meaning.usage = two(&chunk["usage"], "prompt_tokens", "completion_tokens");
        }
    }
    meaning.calls = calls.read()?;
    Ok(meaning)
}

pub(super) fn read_whole(body: &[u8]) -> Result<Meaning, String> {
    let answer = parse_whole(body)?;
    let mut meaning = Meaning::default();
    if !answer["error"].is_null() {
        meaning.fail(&answer["error"]["message"]);
        return Ok(meaning);
    }
    let choice = &answer["choices"][0];
    let message = &choice["message"];
    let mut calls = Calls::default();
    for (index, call) in message["tool_calls"].as_array().into_iter().flatten().enumerate() {
        let function = &call["function"];
        *calls.at(index) =
            (text_of(&function["name"]).into(), text_of(&function["arguments"]).into());
    }
    Ok(Meaning {
        text: text_of(&message["content"]).into(),
        reasoning: text_of(&message["reasoning_content"]).into(),
        calls: calls.read()?,
        finish: choice["finish_reason"].as_str().map(Into::into),
        usage: two(&answer["usage"], "prompt_tokens", "completion_tokens"),
        ends: 1,
        ..Meaning::default()
    })
}
