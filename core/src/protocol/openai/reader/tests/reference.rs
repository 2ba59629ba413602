//! The reading of chunks once more, by `serde_json` and in the plainest way: what the reader of
//! this file's parent is held against.

use serde_json::{Map, Value};

use super::*;

/// Each event in the words of [`super::read`], or `None` for garbage.
type Read = Option<Vec<String>>;

/// What a chunk says; an error it reports is the one event `error`.
fn expected(data: &[u8]) -> Read {
    if data == b"[DONE]" {
        return Some(vec![]);
    }
    let chunk: Value = serde_json::from_slice(data).ok()?;
    let chunk = chunk.as_object()?;
    let (id, model) = (text(chunk, "id")?, text(chunk, "model")?);
    let choice = match field(chunk, "choices") {
        None => None,
        Some(choices) => choices.as_array()?.first(),
    };
    let mut events = vec![];
    if let (Some(id), Some(model)) = (id, model) {
        events.push(Event::Start { id: id.into(), model: model.into() });
    }
    choice.map_or(Some(()), |choice| read_choice(choice.as_object()?, &mut events))?;
    if let Some(usage) = field(chunk, "usage") {
        events.push(Event::Usage(read_usage(usage.as_object()?)?));
    }
    if field(chunk, "error").is_some() {
        return Some(vec!["error".into()]);
    }
    Some(events.iter().map(|event| format!("{event:?}")).collect())
}

fn read_choice<'v>(choice: &'v Map<String, Value>, events: &mut Vec<Event<'v>>) -> Option<()> {
    let mut own = vec![];
    for name in ["delta", "message"] {
        if let Some(delta) = field(choice, name) {
            own = read_delta(delta.as_object()?)?;
        }
    }
    if let Some(reason) = text(choice, "finish_reason")? {
        own.push(Event::Finish(finish_reason(reason)));
    }
    if number(choice, "index")?.unwrap_or(0) == 0 {
        events.append(&mut own);
    }
    Some(())
}

fn read_delta(delta: &Map<String, Value>) -> Option<Vec<Event<'_>>> {
    let reasoning = text(delta, "reasoning")?;
    let first = text(delta, "reasoning_content")?.filter(|text| !text.is_empty());
    let reasoning = first.or(reasoning).map(|text| Event::Reasoning(text.into()));
    let mut events: Vec<_> = reasoning.into_iter().collect();
    match field(delta, "content") {
        Some(Value::Array(parts)) => events.append(&mut read_parts_of_content(parts)?),
        _ => events.extend(text(delta, "content")?.map(|text| Event::Text(text.into()))),
    }
    events.extend(text(delta, "refusal")?.map(|text| Event::Refusal(text.into())));
    if let Some(calls) = field(delta, "tool_calls") {
        for (position, call) in calls.as_array()?.iter().enumerate() {
            events.push(Event::ToolCall(read_call(call.as_object()?, position as u32)?));
        }
    }
    Some(events)
}

fn read_parts_of_content(parts: &[Value]) -> Option<Vec<Event<'_>>> {
    let mut events = vec![];
    for part in parts {
        // In the order of the names, as `serde_json` keeps them.
        for (name, value) in part.as_object()? {
            match (name.as_str(), value) {
                ("text", Value::Null) => {}
                ("text", text) => events.push(Event::Text(text.as_str()?.into())),
                ("thinking", Value::Array(thoughts)) => {
                    for thought in thoughts {
                        let thought = text(thought.as_object()?, "text")?;
                        events.extend(thought.map(|text| Event::Reasoning(text.into())));
                    }
                }
                _ => {}
            }
        }
    }
    Some(events)
}

fn read_call(call: &Map<String, Value>, position: u32) -> Option<ToolCall<'_>> {
    let none = Map::new();
    let function = match field(call, "function") {
        Some(function) => function.as_object()?,
        None => &none,
    };
    let owned = |name| Some(text(function, name)?.map(|text| Cow::Owned(text.to_owned())));
    Some(ToolCall {
        index: number(call, "index")?.unwrap_or(position),
        id: text(call, "id")?.map(Into::into),
        name: owned("name")?,
        arguments: owned("arguments")?.unwrap_or_default(),
    })
}

fn read_usage(usage: &Map<String, Value>) -> Option<Usage> {
    let detail = |details, name| match field(usage, details) {
        Some(details) => Some(number(details.as_object()?, name)?.unwrap_or(0)),
        None => Some(0),
    };
    Some(Usage {
        input_tokens: number(usage, "prompt_tokens")?.unwrap_or(0),
        output_tokens: number(usage, "completion_tokens")?.unwrap_or(0),
        cached_tokens: detail("prompt_tokens_details", "cached_tokens")?,
        reasoning_tokens: detail("completion_tokens_details", "reasoning_tokens")?,
        ..Usage::default()
    })
}

fn field<'v>(object: &'v Map<String, Value>, name: &str) -> Option<&'v Value> {
    object.get(name).filter(|value| !value.is_null())
}

/// The outer `None`: it is there and no text.
fn text<'v>(object: &'v Map<String, Value>, name: &str) -> Option<Option<&'v str>> {
    field(object, name).map_or(Some(None), |value| value.as_str().map(Some))
}

fn number(object: &Map<String, Value>, name: &str) -> Option<Option<u32>> {
    let number = |value: &Value| value.as_u64().and_then(|number| number.try_into().ok());
    field(object, name).map_or(Some(None), |value| number(value).map(Some))
}

fn actual(data: &[u8], texts: &mut Texts) -> Read {
    let mut events = Vec::new();
    match read_chunk(data, texts, &mut |event| events.push(format!("{event:?}"))) {
        Ok(_) => Some(events),
        Err(ReadError::Provider(_)) => Some(vec!["error".into()]),
        Err(ReadError::Malformed(_)) => None,
    }
}

/// Where the reader skips it is laxer: with half of a surrogate pair, or a number without bounds.
fn skips_more(data: &[u8]) -> bool {
    let lax = |text: &str| serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
    str::from_utf8(data).is_ok_and(lax) && serde_json::from_slice::<Value>(data).is_err()
}

fn compare(data: &[u8], texts: &mut Texts) {
    let shown = String::from_utf8_lossy(data);
    let alone = actual(data, &mut Texts::default());
    if !skips_more(data) {
        assert_eq!(alone, expected(data), "{shown}");
    }
    // With texts known the names may be told once only, the rest is the same.
    let with_texts = actual(data, texts);
    let rest = |read: Read| {
        read.map(|events| {
            events.into_iter().filter(|it| !it.starts_with("Start")).collect::<Vec<_>>()
        })
    };
    assert_eq!(rest(with_texts), rest(alone), "{shown}");
}

const CHUNKS: [&str; 13] = [
    r#"{"id":"c","choices":[{"delta":{"content":[{"thinking":[{"type":"text","text":"h\u00fc"},{"text":null}],"type":"thinking"},{"text":"x","type":"text"},{"type":"reference","reference_ids":[1]}]}}]}"#,
    r#"{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1741570283,"model":"gpt-4o","service_tier":"default","system_fingerprint":"fp_1","choices":[{"index":0,"delta":{"role":"assistant","content":"","refusal":null},"logprobs":null,"finish_reason":null}],"usage":null,"obfuscation":"x7"}"#,
    r#"{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1741570283,"model":"gpt-4o","system_fingerprint":null,"choices":[{"index":0,"delta":{"content":"a\n\"b\" \ud83d\ude00 \u00fc"},"logprobs":null,"finish_reason":null}],"obfuscation":"\u0041"}"#,
    r#"{"id":"c","model":"m","choices":[{"index":0,"delta":{"reasoning_content":"hm","content":null},"finish_reason":null}]}"#,
    r#"{"id":"c","model":"m","p":"abc","choices":[{"delta":{"reasoning":"hm","reasoning_content":"","content":""}}]}"#,
    r#"{"id":"c","choices":[{"delta":{},"finish_reason":"length"}],"usage":{"prompt_tokens":1,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":1,"audio_tokens":0}}}"#,
    r#"{"choices":[],"usage":{"prompt_tokens":null,"total_tokens":4}}"#,
    r#"{"choices":[{"index":1,"delta":{"content":"other"}},{"index":0,"delta":5}]}"#,
    r#"{"choices":[{"delta":{"tool_calls":[{"index":1,"id":"t","type":"function","function":{"name":"f","arguments":"{\""}},{"function":null}]}}]}"#,
    r#"{"error":{"message":"boom","code":502},"choices":[{"delta":{"content":"x"}}]}"#,
    r#"{"choices":[{"delta":{"content":"x"},"logprobs":{"content":[{"token":"x","logprob":-1.5e-3,"bytes":[120],"top_logprobs":[]}]}}]}"#,
    " { \"choices\" : [ { \"d\\u0065lta\" : { \"content\" : \"x\" , \"refusal\" : \"no\" } } ] } \r\n",
    r#"{"id":"w","object":"chat.completion","model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"whole"},"finish_reason":"stop"}]}"#,
];

#[test]
fn every_chunk_and_every_beginning_of_one() {
    for chunk in CHUNKS.map(str::as_bytes) {
        let texts = &mut Texts::default();
        compare(chunk, texts);
        compare(chunk, texts);
        assert!(expected(chunk).is_some());
        for end in 0..chunk.len() {
            compare(&chunk[..end], texts);
        }
    }
}

/// Every byte of every chunk as each byte that means something in JSON, and as some that do not;
/// each such chunk also with the texts of the chunk it was made from.
#[test]
fn any_byte_may_be_another() {
    let others = b"\"\\{}[]:,0123456789-+.eEunltrfasdxg/ \n\t\0\x1f\x7f\x80\xc3\xf0\xff";
    for chunk in CHUNKS.map(str::as_bytes) {
        let mut changed = chunk.to_vec();
        for at in 0..chunk.len() {
            for &other in others {
                let texts = &mut Texts::default();
                compare(chunk, texts);
                changed[at] = other;
                compare(&changed, texts);
            }
            changed[at] = chunk[at];
        }
    }
}

/// Whatever came before, a chunk says the same.
#[test]
fn every_chunk_after_every_other() {
    let texts = &mut Texts::default();
    for first in CHUNKS {
        for second in CHUNKS {
            compare(first.as_bytes(), texts);
            compare(second.as_bytes(), texts);
        }
    }
}
