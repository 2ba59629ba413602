use std::time::Duration;

use super::*;
use crate::chat::ChatRequest;
use crate::failure::{ErrorResponse, Reason};
use crate::protocol::ClientProtocol;
use crate::protocol::vectors::meaning::{self, collected, written};

/// The chunks of a stream, each without the names that all have.
fn chunks(events: &[Event<'_>]) -> Vec<Value> {
    let stream = written(ClientProtocol::Gemini, ChatRequest::default(), events);
    let data = stream.split_terminator("\n\n").map(|event| event.strip_prefix("data: ").unwrap());
    data.map(nameless).collect()
}

fn nameless(chunk: &str) -> Value {
    let mut chunk: Value = serde_json::from_str(chunk).unwrap();
    if chunk["error"].is_null() {
        let fields = chunk.as_object_mut().unwrap();
        for name in ["modelVersion", "responseId"] {
            assert!(fields.remove(name).unwrap().is_string());
        }
    }
    chunk
}

fn said(part: Value) -> Value {
    json!({"candidates": [{"content": {"parts": [part], "role": "model"}, "index": 0}]})
}

fn text(text: &str) -> Value {
    said(json!({"text": text}))
}

fn last(parts: Value, reason: &str, usage: Value) -> Value {
    let content = json!({"parts": parts, "role": "model"});
    let candidate = json!({"content": content, "finishReason": reason, "index": 0});
    json!({"candidates": [candidate], "usageMetadata": usage})
}

fn cost() -> Value {
    json!({"promptTokenCount": 12, "candidatesTokenCount": 7, "totalTokenCount": 19})
}

fn calls() -> Value {
    json!([
        {"functionCall": {"id": "call_1", "name": "get_weather", "args": {"city": "Paris"}}},
        {"functionCall": {"id": "call_2", "name": "get_time", "args": {"zone": "CET"}}},
    ])
}

#[test]
fn every_meaning_as_chunks() {
    let nothing = json!([{"text": ""}]);
    let mut cached = cost();
    cached["cachedContentTokenCount"] = 4.into();
    let thinking = json!({"promptTokenCount": 12, "candidatesTokenCount": 4,
        "thoughtsTokenCount": 3, "totalTokenCount": 19});
    let thought = said(json!({"text": "Let me think.", "thought": true}));
    let rows = [
        (
            meaning::text(),
            vec![
                text("Hello, "),
                text("wörld "),
                text("😀!"),
                last(nothing.clone(), "STOP", cached),
            ],
        ),
        (meaning::tools(), vec![text("Let me look."), last(calls(), "STOP", cost())]),
        (meaning::reasoning(), vec![thought, text("42"), last(nothing.clone(), "STOP", thinking)]),
        (meaning::length(), vec![text("Once upon"), last(nothing, "MAX_TOKENS", cost())]),
    ];
    for (events, expected) in rows {
        assert_eq!(chunks(&events), expected);
    }
    let stream = written(ClientProtocol::Gemini, ChatRequest::default(), &meaning::length());
    let names = r#""modelVersion":"fake-1","responseId":"provider-1"}"#;
    assert!(stream.split("\n\n").next().unwrap().ends_with(names), "{stream}");
    let failed = chunks(&meaning::error());
    let error = &failed[1]["error"];
    assert_eq!((&error["code"], &error["status"]), (&json!(502), &json!("INTERNAL")));
    assert_eq!(error["message"], "The engine is on fire.");
}

#[test]
fn a_list_is_json_at_its_end_and_a_line_for_each_chunk() {
    for events in [meaning::text(), meaning::tools(), meaning::error()] {
        let list = written(ClientProtocol::GeminiArray, ChatRequest::default(), &events);
        let read: Vec<Value> = serde_json::from_str(&list).unwrap();
        let read: Vec<_> = read.iter().map(|chunk| nameless(&chunk.to_string())).collect();
        assert_eq!(read, chunks(&events));
        assert_eq!(list.lines().count(), read.len() + 1);
    }
}

#[test]
fn a_whole_answer_is_one_chunk() {
    let whole = |events: &[Event<'_>]| {
        nameless(&collected(ClientProtocol::Gemini, ChatRequest::default(), events))
    };
    let parts = &whole(&meaning::tools())["candidates"][0]["content"]["parts"];
    assert_eq!((&parts[0], &parts[2]), (&json!({"text": "Let me look."}), &calls()[1]));
    let answer = whole(&meaning::length());
    assert_eq!(answer, last(json!([{"text": "Once upon"}]), "MAX_TOKENS", cost()));
}

#[test]
fn an_error_is_a_status_with_details() {
    let mut failure = Failure::new(Reason::RateLimited, "Slow down.");
    failure.retry_after = Some(Duration::from_millis(29_500));
    let body: Value = serde_json::from_slice(&error_body(&failure)).unwrap();
    let error = &body["error"];
    assert_eq!((&error["code"], &error["status"]), (&json!(429), &json!("RESOURCE_EXHAUSTED")));
    assert_eq!(error["details"][0]["reason"], "rate_limited");
    assert_eq!(error["details"][1]["retryDelay"], "30s");
    for (original, is_kept) in [
        (&br#"{"error":{"code":400,"message":"no","status":"INVALID_ARGUMENT"}}"#[..], true),
        (br#"{"error":"no"}"#, false),
    ] {
        failure.reason = Reason::Rejected;
        failure.original = Some(ErrorResponse { status: 400, body: original.to_vec() });
        assert_eq!(error_body(&failure) == original, is_kept);
    }
}
