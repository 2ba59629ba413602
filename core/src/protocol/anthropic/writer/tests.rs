use std::sync::Arc;

use super::super::{StreamReader, read_complete};
use super::*;
use crate::failure::{ErrorResponse, Reason};
use crate::protocol::Times;

fn writer() -> Writer {
    Writer::new(AnswerMeta {
        id: "chatcmpl-07".into(),
        created: 1,
        model: "m".into(),
        request: Arc::default(),
    })
}

fn call<'a>(index: u32, named: Option<(&'a str, &'a str)>, arguments: &'a str) -> Event<'a> {
    let (id, name) = (named.map(|(id, _)| id.into()), named.map(|(_, name)| name.into()));
    Event::ToolCall(ToolCall { index, id, name, arguments: arguments.into() })
}

fn usage() -> Event<'static> {
    let usage = Usage { input_tokens: 12, output_tokens: 7, cached_tokens: 4, ..Usage::default() };
    Event::Usage(usage)
}

fn write(events: &[Event<'_>], end: &End) -> String {
    let (mut writer, mut out) = (writer(), Vec::new());
    for event in events {
        writer.event(&mut out, event);
    }
    writer.end(&mut out, &AnswerEnd { end, fallback: false, times: Times::default() });
    String::from_utf8(out).unwrap()
}

/// The frames without what every answer begins with: `NAME DATA` each, without the data's type.
fn frames(text: &str) -> Vec<String> {
    let mut frames = Vec::new();
    for frame in text.strip_suffix("\n\n").unwrap().split("\n\n") {
        let (name, data) = frame.split_once('\n').unwrap();
        let name = name.strip_prefix("event: ").unwrap();
        let mut data: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
        assert_eq!(data["type"], name);
        data.as_object_mut().unwrap().remove("type");
        frames.push(format!("{name} {data}"));
    }
    assert_eq!(frames.remove(0), BEGIN);
    frames
}

const BEGIN: &str = r#"message_start {"message":{"content":[],"id":"msg_07","model":"fake-1","role":"assistant","stop_reason":null,"stop_sequence":null,"type":"message","usage":{"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"input_tokens":0,"output_tokens":0}}}"#;
const USAGE: &str = r#""usage":{"cache_creation_input_tokens":0,"cache_read_input_tokens":4,"input_tokens":8,"output_tokens":7}"#;

fn start() -> Event<'static> {
    Event::Start { id: "chatcmpl-9".into(), model: "fake-1".into() }
}

fn check(events: &[Event<'_>], reason: FinishReason, expected: &[&str]) {
    let events = [&[start()], events, &[Event::Finish(reason), usage()]].concat();
    let text = write(&events, &End::Finished(reason));
    let expected: Vec<_> = expected.iter().map(|line| line.replace("USAGE", USAGE)).collect();
    assert_eq!(frames(&text), expected);
}

#[test]
fn a_text_is_written() {
    check(
        &[Event::Text("Hello".into()), Event::Text("".into()), Event::Text(", \"wörld\"".into())],
        FinishReason::Stop,
        &[
            r#"content_block_start {"content_block":{"text":"","type":"text"},"index":0}"#,
            r#"content_block_delta {"delta":{"text":"Hello","type":"text_delta"},"index":0}"#,
            r#"content_block_delta {"delta":{"text":", \"wörld\"","type":"text_delta"},"index":0}"#,
            r#"content_block_stop {"index":0}"#,
            r#"message_delta {"delta":{"stop_reason":"end_turn","stop_sequence":null},USAGE}"#,
            "message_stop {}",
        ],
    );
}

#[test]
fn a_delta_is_these_bytes() {
    let (mut writer, mut out) = (writer(), Vec::new());
    writer.event(&mut out, &Event::Text("a".into()));
    out.clear();
    writer.event(&mut out, &Event::Text("\n".into()));
    let expected = "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\
                    \"delta\":{\"type\":\"text_delta\",\"text\":\"\\n\"}}\n\n";
    assert_eq!(String::from_utf8(out).unwrap(), expected);
}

#[test]
fn thoughts_texts_and_calls_are_blocks_one_after_the_other() {
    check(
        &[
            Event::Reasoning("hm".into()),
            Event::Text("so".into()),
            call(0, Some(("call_1", "get_weather")), ""),
            call(0, None, r#"{"city":"#),
            call(0, None, r#""Par}is"}"#),
            call(1, Some(("call_2", "get_time")), r#"{"zone":"CET"}"#),
        ],
        FinishReason::ToolCalls,
        &[
            r#"content_block_start {"content_block":{"signature":"","thinking":"","type":"thinking"},"index":0}"#,
            r#"content_block_delta {"delta":{"thinking":"hm","type":"thinking_delta"},"index":0}"#,
            r#"content_block_stop {"index":0}"#,
            r#"content_block_start {"content_block":{"text":"","type":"text"},"index":1}"#,
            r#"content_block_delta {"delta":{"text":"so","type":"text_delta"},"index":1}"#,
            r#"content_block_stop {"index":1}"#,
            r#"content_block_start {"content_block":{"id":"call_1","input":{},"name":"get_weather","type":"tool_use"},"index":2}"#,
            r#"content_block_delta {"delta":{"partial_json":"{\"city\":","type":"input_json_delta"},"index":2}"#,
            r#"content_block_delta {"delta":{"partial_json":"\"Par}is\"}","type":"input_json_delta"},"index":2}"#,
            r#"content_block_stop {"index":2}"#,
            r#"content_block_start {"content_block":{"id":"call_2","input":{},"name":"get_time","type":"tool_use"},"index":3}"#,
            r#"content_block_delta {"delta":{"partial_json":"{\"zone\":\"CET\"}","type":"input_json_delta"},"index":3}"#,
            r#"content_block_stop {"index":3}"#,
            r#"message_delta {"delta":{"stop_reason":"tool_use","stop_sequence":null},USAGE}"#,
            "message_stop {}",
        ],
    );
}

/// The calls of what was written, as a client reads them, and each block closed before the next.
fn read_calls(text: &str) -> Vec<(String, String)> {
    let (mut calls, mut open) = (Vec::new(), None);
    for frame in frames(text) {
        let (name, data) = frame.split_once(' ').unwrap();
        let data: Value = serde_json::from_str(data).unwrap();
        match name {
            "content_block_start" => {
                assert_eq!(open.replace(data["index"].clone()), None);
                let id = data["content_block"]["id"].as_str().unwrap();
                calls.push((id.to_owned(), String::new()));
            }
            "content_block_delta" => {
                assert_eq!(open.as_ref(), Some(&data["index"]));
                let more = data["delta"]["partial_json"].as_str().unwrap();
                calls.last_mut().unwrap().1.push_str(more);
            }
            "content_block_stop" => assert_eq!(open.take().as_ref(), Some(&data["index"])),
            _ => assert_eq!(open, None),
        }
    }
    calls
}

#[test]
fn interleaved_calls_keep_their_own_arguments() {
    let events = [
        start(),
        call(0, Some(("a", "f")), "{\"x"),
        call(1, Some(("b", "g")), ""),
        call(2, Some(("c", "h")), "{"),
        call(1, None, "[\"\\\"]}\"]"),
        call(0, None, "\":{}"),
        call(2, None, "}"),
        call(0, None, "}"),
        call(0, None, " "),
        call(3, Some(("d", "none")), ""),
        call(4, Some(("e", "last")), "{}"),
    ];
    let finish = FinishReason::ToolCalls;
    let text = write(&[&events[..], &[Event::Finish(finish)]].concat(), &End::Finished(finish));
    let calls = read_calls(&text);
    let expected =
        [("a", "{\"x\":{}}"), ("b", "[\"\\\"]}\"]"), ("c", "{}"), ("d", ""), ("e", "{}")];
    assert_eq!(calls, expected.map(|(id, arguments)| (id.to_owned(), arguments.to_owned())));
}

#[test]
fn a_refusal_is_a_text_that_says_so_at_its_end() {
    check(
        &[Event::Refusal("No.".into())],
        FinishReason::Stop,
        &[
            r#"content_block_start {"content_block":{"text":"","type":"text"},"index":0}"#,
            r#"content_block_delta {"delta":{"text":"No.","type":"text_delta"},"index":0}"#,
            r#"content_block_stop {"index":0}"#,
            r#"message_delta {"delta":{"stop_reason":"refusal","stop_sequence":null},USAGE}"#,
            "message_stop {}",
        ],
    );
}

/// Each row: a failure, its type here, and its message.
#[test]
fn a_failure_has_a_type_before_and_after_the_first_byte() {
    let rows = [
        (Reason::InvalidRequest, "invalid_request_error"),
        (Reason::CredentialsInvalid, "authentication_error"),
        (Reason::PlanUnknown, "permission_error"),
        (Reason::UnknownModel, "not_found_error"),
        (Reason::BodyTooLarge, "request_too_large"),
        (Reason::TokenQuota, "rate_limit_error"),
        (Reason::FirstByteTimeout, "timeout_error"),
        (Reason::Overloaded, "overloaded_error"),
        (Reason::Lost, "api_error"),
    ];
    for (reason, kind) in rows {
        let failure = Failure::new(reason, "no");
        let body: Value = serde_json::from_slice(&error_body(&failure, Some("x"))).unwrap();
        let error = json!({"type": kind, "message": "no"});
        assert_eq!(body, json!({"type": "error", "error": error, "request_id": "x"}));
    }
    let failed = End::Failed(Failure::new(Reason::Lost, "no"));
    let text = write(&[start(), Event::Text("Hel".into())], &failed);
    let expected =
        r#"error {"error":{"message":"no","type":"api_error"},"request_id":"chatcmpl-07"}"#;
    assert_eq!(frames(&text).last().unwrap(), expected);
    assert_eq!(write(&[], &End::Cancelled), "");
}

#[test]
fn a_providers_own_refusal_goes_back_if_it_is_of_this_protocol() {
    let refused = |body: &str| {
        let original = Some(ErrorResponse { status: 413, body: body.into() });
        let failure = Failure { original, ..Failure::new(Reason::Rejected, "too large") };
        String::from_utf8(error_body(&failure, None)).unwrap()
    };
    let own = r#"{"type":"error","error":{"type":"request_too_large","message":"x"},"y":1}"#;
    assert_eq!(refused(own), own);
    let translated = r#"{"error":{"message":"too large","type":"request_too_large"},"request_id":null,"type":"error"}"#;
    assert_eq!(refused(r#"{"error":{"message":"x"}}"#), translated);
}

#[test]
fn a_whole_answer_is_a_message() {
    let mut answer = Collected::default();
    for event in [
        Event::Reasoning("hm".into()),
        Event::Text("so".into()),
        call(0, Some(("a", "f")), r#"{"x":1}"#),
        call(1, Some(("b", "g")), ""),
        call(2, Some(("c", "h")), "oops"),
        usage(),
        Event::Finish(FinishReason::ToolCalls),
    ] {
        answer.add(&event);
    }
    let mut out = Vec::new();
    writer().write_complete(&mut out, &answer);
    let tool =
        |id, name, input| json!({"type": "tool_use", "id": id, "name": name, "input": input});
    let expected = json!({
        "id": "msg_07", "type": "message", "role": "assistant", "model": "m",
        "content": [
            {"type": "thinking", "thinking": "hm", "signature": ""},
            {"type": "text", "text": "so"},
            tool("a", "f", json!({"x": 1})),
            tool("b", "g", json!({})),
            tool("c", "h", json!({"arguments": "oops"})),
        ],
        "stop_reason": "tool_use", "stop_sequence": null,
        "usage": {"input_tokens": 8, "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 4, "output_tokens": 7},
    });
    assert_eq!(serde_json::from_slice::<Value>(&out).unwrap(), expected);
}

/// Each row: what the provider's frames said last, and what a text after them begins with.
#[test]
fn what_is_written_goes_on_where_the_providers_frames_broke_off() {
    let rows = [
        (
            r#"{"type":"content_block_start","index":2,"content_block":{"type":"text","text":""}}"#,
            r#"event: content_block_delta data: {"type":"content_block_delta","index":2,"#,
        ),
        (
            r#"{"type":"content_block_start","index":2,"content_block":{"type":"thinking"}}"#,
            r#"event: content_block_stop data: {"index":2,"type":"content_block_stop"}  event: content_block_start data: {"content_block":{"text":"","type":"text"},"index":3,"#,
        ),
        (
            r#"{"type":"content_block_start","index":2,"content_block":{"type":"server_tool_use","input":{}}}"#,
            r#"event: content_block_stop data: {"index":2,"type":"content_block_stop"}  event: content_block_start"#,
        ),
        (
            r#"{"type":"content_block_stop","index":2}"#,
            r#"event: content_block_start data: {"content_block":{"text":"","type":"text"},"index":2,"#,
        ),
    ];
    for (last, expected) in rows {
        let (mut writer, mut out) = (writer(), Vec::new());
        let name = last.split('"').nth(3).unwrap();
        writer.forwarded(b"event: message_start\ndata: {\"type\":\"message_start\"}\n\n");
        let frame = r#"{"type":"content_block_start","index":1,"content_block":{"type":"text"}}"#;
        let first = format!("event: content_block_start\r\ndata: {frame}\r\n\r\n");
        let frames = format!("{first}event: {name}\ndata: {last}\n\nevent: ping\ndata: {{}}\n\n");
        writer.forwarded(frames.as_bytes());
        writer.event(&mut out, &Event::Text("x".into()));
        let text = String::from_utf8(out).unwrap().replace('\n', " ");
        assert!(text.starts_with(expected), "{text}");
    }
}

/// What is written here is read by the other role as the same.
#[test]
fn what_is_written_reads_back() {
    let finish = FinishReason::ToolCalls;
    let events = [
        start(),
        Event::Reasoning("hm".into()),
        Event::Text("so ü".into()),
        call(0, Some(("a", "f")), ""),
        call(0, None, r#"{"x":1}"#),
        call(1, Some(("b", "g")), r#"{"y":2}"#),
        usage(),
        Event::Finish(finish),
    ];
    let mut expected = Collected::default();
    events.iter().for_each(|event| expected.add(event));

    let (mut read, mut reader) = (Collected::default(), StreamReader::default());
    let text = write(&events, &End::Finished(finish));
    let mut decoder = sse::Decoder::new(1 << 20);
    let mut rest = text.as_bytes();
    while let Some(event) = decoder.next(&mut rest).unwrap() {
        reader.read(event.data, &mut |event| read.add(&event)).unwrap();
    }
    assert_eq!(format!("{read:?}"), format!("{expected:?}"));

    let (mut read, mut out) = (Collected::default(), Vec::new());
    writer().write_complete(&mut out, &expected);
    read_complete(&out, &mut |event| read.add(&event)).unwrap();
    assert_eq!(format!("{read:?}"), format!("{expected:?}"));
}
