//! Chat Completions, as OpenAI's reference has it.

use serde_json::{Value, json};

use super::{Asked, Calls, Meaning, call_id, events, parse, parse_whole, text_of, two, with};

pub(super) fn request(model: &str, asked: &Asked) -> Value {
    let mut content = vec![json!({"type": "text", "text": asked.text})];
    let image = |url| json!({"type": "image_url", "image_url": {"url": url}});
    content.extend(asked.images.iter().map(image));
    let tool = |(name, schema): &(String, Value)| json!({"type": "function", "function": {"name": name, "parameters": schema}});
    let named = |schema| json!({"name": "place", "schema": schema, "strict": true});
    let format = |schema| json!({"type": "json_schema", "json_schema": named(schema)});
    let usage = asked.stream.then(|| json!({"include_usage": true}));
    let last = json!({"role": "user", "content": content});
    let messages = [instructions(asked), Some(last)].into_iter().flatten().chain(earlier(asked));
    with(
        json!({"model": model, "stream": asked.stream}),
        [
            ("messages", messages.collect()),
            ("stream_options", usage.into()),
            ("response_format", asked.schema.as_ref().map(format).into()),
            ("tools", asked.tools.iter().map(tool).collect()),
            ("max_completion_tokens", asked.limit.into()),
        ],
    )
}

fn instructions(asked: &Asked) -> Option<Value> {
    let text = asked.instructions.as_str();
    (!text.is_empty()).then(|| json!({"role": "system", "content": text}))
}

/// The calls in one message, what each gave in its own.
fn earlier(asked: &Asked) -> Vec<Value> {
    let call = |(place, (name, arguments)): (usize, &(String, Value))| {
        let function = json!({"name": name, "arguments": arguments.to_string()});
        json!({"id": call_id(place), "type": "function", "function": function})
    };
    let result = |(place, result)| json!({"role": "tool", "tool_call_id": call_id(place), "content": result});
    let calls: Vec<_> = asked.calls.iter().enumerate().map(call).collect();
    let results = asked.results.iter().enumerate().map(result);
    let called = (!calls.is_empty()).then(|| json!({"role": "assistant", "tool_calls": calls}));
    called.into_iter().chain(results).collect()
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
        meaning.refusal += text_of(&delta["refusal"]);
        for call in delta["tool_calls"].as_array().into_iter().flatten() {
            let (name, arguments) = calls.at(call["index"].as_u64().unwrap_or(0) as usize);
            *name += text_of(&call["function"]["name"]);
            *arguments += text_of(&call["function"]["arguments"]);
        }
        if let Some(finish) = choice["finish_reason"].as_str() {
            meaning.finish = Some(why(finish, &meaning.refusal));
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
    let refusal = text_of(&message["refusal"]);
    let mut calls = Calls::default();
    for (index, call) in message["tool_calls"].as_array().into_iter().flatten().enumerate() {
        let function = &call["function"];
        *calls.at(index) =
            (text_of(&function["name"]).into(), text_of(&function["arguments"]).into());
    }
    Ok(Meaning {
        text: text_of(&message["content"]).into(),
        reasoning: text_of(&message["reasoning_content"]).into(),
        refusal: refusal.into(),
        calls: calls.read()?,
        finish: choice["finish_reason"].as_str().map(|finish| why(finish, refusal)),
        usage: two(&answer["usage"], "prompt_tokens", "completion_tokens"),
        ends: 1,
        ..Meaning::default()
    })
}

/// A model that declines stops like any other here.
fn why(finish: &str, refusal: &str) -> String {
    if refusal.is_empty() { finish.into() } else { "refusal".into() }
}
