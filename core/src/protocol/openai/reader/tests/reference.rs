//! The reading of chunks once more, by `serde_json` and in the plainest way: what the reader of
//! this file's parent is held against.

use serde_json::Value;

use super::*;

/// Each event in the words of [`super::read`], or `None` for garbage.
type Read = Option<Vec<String>>;

/// What a chunk says; an error it reports is the one event `error`.
fn expected(data: &[u8]) -> Read {
    if data == b"[DONE]" {
        return Some(vec![]);
    }
    let chunk: Value = serde_json::from_slice(data).ok()?;
    chunk.as_object()?;
    let mut events = vec![];
    if let (Some(id), Some(model)) = (text(&chunk["id"]), text(&chunk["model"])) {
        events.push(Event::Start { id, model });
    }
    read_choice(&chunk["choices"][0], &mut events);
    events.extend(read_usage(&chunk["usage"]).map(Event::Usage));
    let is_error = match &chunk["error"] {
        Value::String(text) => !text.trim().is_empty(),
        error => error.as_object().is_some_and(|error| !error.is_empty()),
    };
    if is_error {
        return Some(vec!["error".into()]);
    }
    Some(events.iter().map(|event| format!("{event:?}")).collect())
}

fn read_choice<'v>(choice: &'v Value, events: &mut Vec<Event<'v>>) {
    if place(&choice["index"]).unwrap_or(0) != 0 {
        return;
    }
    // Of the two names the last counts, as `serde_json` sorts them.
    for name in ["message", "delta"] {
        if choice.get(name).is_some() {
            events.append(&mut read_delta(&choice[name]));
            break;
        }
    }
    let reason = choice["finish_reason"].as_str().filter(|reason| !reason.is_empty());
    events.extend(reason.map(|reason| Event::Finish(finish_reason(reason))));
}

fn read_delta(delta: &Value) -> Vec<Event<'_>> {
    let reasoning = text(&delta["reasoning_content"]).filter(|text| !text.is_empty());
    let reasoning = reasoning.or(text(&delta["reasoning"])).map(Event::Reasoning);
    let mut events: Vec<_> = reasoning.into_iter().collect();
    match &delta["content"] {
        Value::Array(parts) => events.append(&mut read_parts_of_content(parts)),
        content => events.extend(text(content).map(Event::Text)),
    }
    events.extend(text(&delta["refusal"]).map(Event::Refusal));
    for (position, call) in (0..).zip(delta["tool_calls"].as_array().into_iter().flatten()) {
        if call.is_object() {
            events.push(Event::ToolCall(read_call(call, position)));
        }
    }
    let known = ["content", "reasoning", "reasoning_content", "refusal", "tool_calls"];
    let known = [&known[..], &REPETITIONS].concat();
    events.extend(delta.as_object().and_then(|delta| other(delta, &known)));
    events
}

/// Whether a member beside those known holds a text that does not only describe.
fn other(members: &serde_json::Map<String, Value>, known: &[&str]) -> Option<Event<'static>> {
    fn holds(name: &str, value: &Value) -> bool {
        let holds = match value {
            Value::String(text) => !text.is_empty(),
            Value::Array(list) => list.iter().any(|value| holds("", value)),
            Value::Object(members) => members.iter().any(|(name, value)| holds(name, value)),
            Value::Null | Value::Bool(_) | Value::Number(_) => false,
        };
        holds && !["id", "object", "role", "status", "type"].contains(&name)
    }
    let mut others = members.iter().filter(|(name, _)| !known.contains(&name.as_str()));
    others.any(|(name, value)| holds(name, value)).then_some(Event::Other("".into()))
}

fn read_parts_of_content(parts: &[Value]) -> Vec<Event<'_>> {
    let text_of = |part| match part {
        &Value::Object(_) => text(&part["text"]),
        part => text(part),
    };
    let mut events = vec![];
    for part in parts {
        let thoughts = part["thinking"].as_array().into_iter().flatten();
        events.extend(thoughts.filter_map(text_of).map(Event::Reasoning));
        events.extend(text_of(part).map(Event::Text));
        events.extend(part.as_object().and_then(|part| other(part, &["text", "thinking"])));
    }
    events
}

fn read_call(call: &Value, position: u32) -> ToolCall<'_> {
    let function = &call["function"];
    let arguments = match &function["arguments"] {
        Value::String(text) => text.into(),
        arguments @ (Value::Object(_) | Value::Array(_)) => arguments.to_string().into(),
        _ => Cow::Borrowed(""),
    };
    ToolCall {
        index: place(&call["index"]).unwrap_or(if position == 0 { NO_INDEX } else { position }),
        id: text(&call["id"]),
        name: text(&function["name"]),
        arguments,
    }
}

fn read_usage(usage: &Value) -> Option<Usage> {
    let (prompt, answer) = (count(&usage["prompt_tokens"]), count(&usage["completion_tokens"]));
    prompt.or(answer).map(|_| Usage {
        input_tokens: prompt.unwrap_or(0),
        output_tokens: answer.unwrap_or(0),
        cached_tokens: count(&usage["prompt_tokens_details"]["cached_tokens"]).unwrap_or(0),
        reasoning_tokens: count(&usage["completion_tokens_details"]["reasoning_tokens"])
            .unwrap_or(0),
        ..Usage::default()
    })
}

fn text(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) => Some(text.into()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string().into()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn place(value: &Value) -> Option<u32> {
    text(value)?.parse().ok()
}

fn count(value: &Value) -> Option<u32> {
    let number = text(value)?.parse::<f64>().ok()?.round();
    (0.0..=f64::from(u32::MAX)).contains(&number).then_some(number as u32)
}

fn actual(data: &[u8], texts: &mut Texts) -> Read {
    let mut events = Vec::new();
    // Which of several it is named by depends on their order.
    let shown = |event: Event<'_>| match event {
        Event::Other(_) => format!("{:?}", Event::Other("".into())),
        event => format!("{event:?}"),
    };
    match read_chunk(data, texts, &mut false, &mut |event| events.push(shown(event))) {
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
