use super::*;
use crate::chat::ChatRequest;
use crate::failure::{ErrorResponse, Reason};
use crate::protocol::ClientProtocol;
use crate::protocol::vectors::meaning::{self, collected, written};

const CHAT: ClientProtocol = ClientProtocol::Ollama;
const GENERATE: ClientProtocol = ClientProtocol::OllamaGenerate;

/// The lines of a stream, each without what all have.
fn lines(protocol: ClientProtocol, events: &[Event<'_>]) -> Vec<Value> {
    let stream = written(protocol, ChatRequest::default(), events);
    assert!(stream.ends_with('\n'), "{stream}");
    let read = |line| {
        let mut line: Value = serde_json::from_str(line).unwrap();
        if line["error"].is_null() {
            let fields = line.as_object_mut().unwrap();
            assert_eq!(fields.remove("model").unwrap(), "fake-1");
            assert_eq!(fields.remove("created_at").unwrap(), "2023-11-14T22:13:20Z");
        }
        line
    };
    stream.lines().map(read).collect()
}

fn said(content: &str) -> Value {
    json!({"message": {"role": "assistant", "content": content}, "done": false})
}

fn done(mut line: Value, reason: &str) -> Value {
    let ends = json!({
        "done": true, "done_reason": reason,
        "total_duration": 100_000_000, "load_duration": 0,
        "prompt_eval_count": 12, "prompt_eval_duration": 40_000_000,
        "eval_count": 7, "eval_duration": 60_000_000,
    });
    line.as_object_mut().unwrap().extend(ends.as_object().unwrap().clone());
    line
}

fn calls() -> Value {
    json!([
        {"id": "call_1",
         "function": {"index": 0, "name": "get_weather", "arguments": {"city": "Paris"}}},
        {"id": "call_2",
         "function": {"index": 1, "name": "get_time", "arguments": {"zone": "CET"}}},
    ])
}

#[test]
fn every_meaning_as_lines() {
    let called = json!({"message": {"role": "assistant", "content": "", "tool_calls": calls()}, "done": false});
    let thought = json!({
        "message": {"role": "assistant", "content": "", "thinking": "Let me think."}, "done": false,
    });
    let failed = json!({"error": "The engine is on fire."});
    let rows = [
        (
            meaning::text(),
            vec![said("Hello, "), said("wörld "), said("😀!"), done(said(""), "stop")],
        ),
        (meaning::tools(), vec![said("Let me look."), called, done(said(""), "stop")]),
        (meaning::reasoning(), vec![thought, said("42"), done(said(""), "stop")]),
        (meaning::length(), vec![said("Once upon"), done(said(""), "length")]),
        (meaning::error(), vec![said("Hel"), failed]),
    ];
    for (events, expected) in rows {
        assert_eq!(lines(CHAT, &events), expected);
    }
}

#[test]
fn a_completion_is_text_alone() {
    let said = |text: &str| json!({"response": text, "done": false});
    let thought = json!({"response": "", "thinking": "Let me think.", "done": false});
    assert_eq!(
        lines(GENERATE, &meaning::reasoning()),
        [thought, said("42"), done(said(""), "stop")]
    );
    assert_eq!(lines(GENERATE, &meaning::tools()), [said("Let me look."), done(said(""), "stop")]);
}

#[test]
fn a_whole_answer_is_one_line() {
    let whole = |protocol, events: &[Event<'_>]| -> Value {
        serde_json::from_str(&collected(protocol, ChatRequest::default(), events)).unwrap()
    };
    let answer = whole(CHAT, &meaning::tools());
    assert_eq!(answer["message"]["content"], "Let me look.");
    assert_eq!(answer["message"]["tool_calls"], calls());
    assert_eq!((&answer["done"], &answer["done_reason"]), (&json!(true), &json!("stop")));
    assert_eq!((&answer["prompt_eval_count"], &answer["eval_count"]), (&json!(12), &json!(7)));
    let answer = whole(GENERATE, &meaning::reasoning());
    assert_eq!((&answer["response"], &answer["thinking"]), (&json!("42"), &json!("Let me think.")));
    assert_eq!(whole(GENERATE, &meaning::length())["done_reason"], "length");
}

#[test]
fn a_providers_own_last_line_is_the_last() {
    let opening = AnswerMeta {
        id: "a".into(),
        created: 0,
        model: "m".into(),
        request: std::sync::Arc::new(ChatRequest::default()),
    };
    let mut writer = Writer::new(Form::Chat, opening);
    let mut out = Vec::new();
    let text = r#"{"message":{"role":"assistant","content":"\"done\":true"},"done":false}"#;
    writer.forwarded(format!("{text}\n{{\"done\": true}}\n").as_bytes());
    let end = End::Finished(FinishReason::Stop);
    writer.end(&mut out, &AnswerEnd { end: &end, fallback: false, times: Times::default() });
    assert!(out.is_empty());
}

#[test]
fn an_error_is_a_text_with_a_code_beside_it() {
    let mut failure = Failure::new(Reason::RateLimited, "Slow down.");
    let body: Value = serde_json::from_slice(&error_body(&failure)).unwrap();
    assert_eq!(body, json!({"error": "Slow down.", "code": "rate_limited"}));
    for (original, is_kept) in
        [(&br#"{"error":"model 'm' not found"}"#[..], true), (b"{\"error\":{}}", false)]
    {
        failure.reason = Reason::Rejected;
        failure.original = Some(ErrorResponse { status: 404, body: original.to_vec() });
        assert_eq!(error_body(&failure) == original, is_kept);
    }
}
