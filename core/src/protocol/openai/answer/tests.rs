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
                "Usage(Usage { input_tokens: 1, output_tokens: 2, cached_tokens: 1, estimated: false })",
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

/// A request written for a provider reads back as the same request.
#[test]
fn a_request_survives_the_round_trip() {
    let body = r#"{"model":"m","messages":[{"role":"developer","content":"be brief"},
        {"role":"user","name":"ada","content":[{"type":"text","text":"what is this?"},
            {"type":"image_url","image_url":{"url":"https://x/y.png"}}]},
        {"role":"assistant","content":null,"tool_calls":[{"id":"t","type":"function","function":{"name":"f","arguments":"{}"}}]},
        {"role":"tool","tool_call_id":"t","content":"4"}],
        "stream":true,"stream_options":{"include_usage":true,"include_obfuscation":false},
        "max_completion_tokens":99,"temperature":0.7,"top_p":0.9,"seed":-5,"stop":["a","b"],
        "frequency_penalty":0.5,"presence_penalty":-0.5,"tools":[{"type":"function"}],"user":"u"}"#;
    let request = super::super::parse_request(body.as_bytes()).unwrap();
    let config = crate::config::Config::parse(
        "[providers.p]\nprotocol = \"openai\"\nbase_url = \"http://p\"\n[models.m]\ntargets = [\"p/m\"]",
        |_| None,
    )
    .unwrap();
    let target = &config.models["m"].targets[0];
    let call = super::super::http_call(target, &request, true, Some(50));
    let mut again = super::super::parse_request(&call.body).unwrap();
    assert_eq!(call.url, "http://p/chat/completions");
    assert_eq!(again.max_output_tokens, Some(50));
    assert!(again.rest.contains_key("max_completion_tokens"));
    again.max_output_tokens = request.max_output_tokens;
    again.rest.insert("max_completion_tokens".into(), 99.into());
    assert_eq!(again, request);
}
