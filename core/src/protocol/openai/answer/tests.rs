use super::*;

mod reference;

fn read(data: &str) -> (Vec<String>, Result<Step, Unreadable>) {
    let mut events = Vec::new();
    let result = read_event(data.as_bytes(), &mut Memory::default(), &mut |event| {
        events.push(format!("{event:?}"));
    });
    (events, result)
}

/// Each row: the data of an event, and what is read from it.
#[test]
fn reads_what_providers_send() {
    let rows: &[(&str, &[&str])] = &[
        (r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}"#, &["Text(\"\")"]),
        (
            r#"{"id":"c1","object":"chat.completion.chunk","created":1,"model":"m","system_fingerprint":null,"choices":[{"index":0,"delta":{"content":"a\n\"b\" \ud83d\ude00"},"logprobs":null,"finish_reason":null}],"usage":null}"#,
            &["Start { id: \"c1\", model: \"m\" }", "Text(\"a\\n\\\"b\\\" 😀\")"],
        ),
        (
            r#"{"choices":[{"delta":{"content":"x"},"finish_reason":"length"}],"usage":{"prompt_tokens":1,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":1}}}"#,
            &[
                "Text(\"x\")",
                "Finish(Length)",
                "Usage(Usage { input_tokens: 1, output_tokens: 2, cached_tokens: 1, cache_write_tokens: 0, reasoning_tokens: 0, estimated: false })",
            ],
        ),
        (r#"{"choices":[]}"#, &[]),
        (r#"{"choices":null}"#, &[]),
        (r#"{}"#, &[]),
        (r#"{"choices":[{"index":1,"delta":{"content":"other"}}]}"#, &[]),
        (r#"{"choices":[{"delta":{"reasoning_content":"hm"}}]}"#, &["Reasoning(\"hm\")"]),
        (r#"{"choices":[{"delta":{"reasoning":"hm","content":null}}]}"#, &["Reasoning(\"hm\")"]),
        (r#"{"choices":[{"delta":{"refusal":"no"}}]}"#, &["Refusal(\"no\")"]),
        (
            r#"{"choices":[{"delta":{"tool_calls":[{"index":1,"id":"t","type":"function","function":{"name":"f","arguments":"{\""}}]}}]}"#,
            &[
                "ToolCall(ToolCall { index: 1, id: Some(\"t\"), name: Some(\"f\"), arguments: \"{\\\"\" })",
            ],
        ),
        (r#"{"choices":[{"delta":null,"finish_reason":"eos"}]}"#, &["Finish(Stop)"]),
    ];
    for (data, expected) in rows {
        let (events, result) = read(data);
        assert_eq!(events, *expected, "{data}");
        assert_eq!(result, Ok(Step::More), "{data}");
    }
}

#[test]
fn the_end_mark_is_no_json() {
    assert_eq!(read("[DONE]"), (vec![], Ok(Step::Done)));
}

/// Each row: the data of an event that reports an error, and its message.
#[test]
fn a_reported_error_is_told_apart_from_garbage() {
    let rows = [
        (r#"{"error":{"message":"boom","type":"server_error"}}"#, "boom"),
        (r#"{"error":"boom"}"#, "boom"),
        (r#"{"error":{"code":502},"choices":[{"delta":{"content":"x"}}]}"#, ""),
    ];
    for (data, message) in rows {
        match read(data) {
            (events, Err(Unreadable::Error(failure))) => {
                assert!(events.is_empty(), "{data}");
                assert_eq!(failure.reason, Reason::InBand);
                assert_eq!(failure.detail, message, "{data}");
            }
            other => panic!("{data}: {other:?}"),
        }
    }
    for data in [
        "",
        "{",
        "null",
        "[]",
        "5",
        "\u{7b}\"choices\":5}",
        r#"{"choices":[{"delta":{"content":5}}]}"#,
    ] {
        assert!(matches!(read(data).1, Err(Unreadable::Garbage(_))), "{data}");
    }
    assert_eq!(read(r#"{"error":null,"choices":[]}"#).1, Ok(Step::More));
}

#[test]
fn text_without_escapes_is_borrowed() {
    let data = r#"{"choices":[{"delta":{"content":"plain ümläut"}}]}"#;
    read_event(data.as_bytes(), &mut Memory::default(), &mut |event| {
        assert!(matches!(event, Event::Text(Cow::Borrowed("plain ümläut"))), "{event:?}");
    })
    .unwrap();
}

/// Each row: an error answer, and the message found in it.
#[test]
fn finds_the_message_of_an_error_answer() {
    let rows = [
        (r#"{"error":{"message":"a","code":1}}"#, "a"),
        (r#"{"error":"b"}"#, "b"),
        (r#"{"message":"c"}"#, "c"),
        (r#"{"detail":"d"}"#, "d"),
        (r#"[{"error":{"message":"e"}}]"#, "e"),
        (r#"{"object":"error"}"#, ""),
        ("<html>", ""),
        ("", ""),
    ];
    for (body, message) in rows {
        assert_eq!(error_message(body.as_bytes()), message, "{body}");
    }
    let long = format!(r#"{{"error":"{}"}}"#, "ä".repeat(MESSAGE_BYTES_MAX));
    assert!(error_message(long.as_bytes()).len() <= MESSAGE_BYTES_MAX);
}
