use super::*;

mod reference;

fn read(data: &str) -> (Vec<String>, Result<Step, ReadError>) {
    let mut events = Vec::new();
    let result = StreamReader::default().read(data.as_bytes(), &mut |event| {
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
                "ToolCall(ToolCall { index: 0, id: Some(\"t\"), name: Some(\"f\"), arguments: \"{\\\"\" })",
            ],
        ),
        (r#"{"choices":[{"delta":null,"finish_reason":"eos"}]}"#, &["Finish(Stop)"]),
        (
            r#"{"choices":[{"delta":{"role":"assistant","content":null,"audio":{"id":"a","transcript":"Hi"}}}]}"#,
            &["Other(\"audio\")"],
        ),
        (
            r#"{"choices":[{"message":{"content":"","images":[{"type":"image_url","image_url":{"url":"data:x"}}]}}]}"#,
            &["Text(\"\")", "Other(\"images\")"],
        ),
        (
            r#"{"choices":[{"delta":{"content":[{"type":"text","text":"a"},{"type":"image_url","image_url":{"url":"data:x"}}]}}]}"#,
            &["Text(\"a\")", "Other(\"image_url\")"],
        ),
        // What only describes, repeats or signs is none.
        (
            r#"{"choices":[{"delta":{"role":"assistant","id":"x","content":null,"refusal":null,"annotations":[],"audio":{"expires_at":1},"channel":"final","reasoning_details":[{"data":"c2ln"}],"new":{"a":[null,""]}}}]}"#,
            &[],
        ),
    ];
    for (data, expected) in rows {
        let (events, result) = read(data);
        assert_eq!(events, *expected, "{data}");
        assert_eq!(result, Ok(Step::More), "{data}");
    }
}

/// Each row: what one provider does in a way of its own, its events, and what is read from them.
#[test]
fn reads_the_dialects() {
    let call = |index: &str, id: &str, name: &str, arguments: &str| {
        format!(
            r#"{{"choices":[{{"delta":{{"tool_calls":[{{{index}"id":"{id}","function":{{"name":"{name}","arguments":"{arguments}"}}}}]}}}}]}}"#
        )
    };
    let finish =
        |reason: &str| format!(r#"{{"choices":[{{"delta":{{}},"finish_reason":"{reason}"}}]}}"#);
    let usage = |usage: &str| format!(r#"{{"choices":[],"usage":{usage}}}"#);
    let rows: &[(&str, &[String], &[&str])] = &[
        (
            "Groq: whole calls, a chunk each (F62)",
            &[call("", "a", "f", "1"), call("", "b", "f", "2"), call(r#""index":0,"#, "c", "g", "3")],
            &["call 0 a f 1", "call 1 b f 2", "call 2 c g 3"],
        ),
        (
            "empty names, and `stop` after calls",
            &[call("", "a", "f", "1"), call("", "", "", "2"), finish("stop")],
            &["call 0 a f 1", "call 0 - - 2", "Finish(ToolCalls)"],
        ),
        (
            "a legacy function call, and an empty one beside the finish",
            &[
                r#"{"id":"a","model":"m","choices":[{"delta":{"function_call":{"name":"f","arguments":""}}}]}"#.into(),
                r#"{"choices":[{"delta":{"function_call":{"arguments":"{}"}}}]}"#.into(),
                r#"{"choices":[{"delta":{"function_call":{"name":"","arguments":""}},"finish_reason":"function_call"}]}"#.into(),
            ],
            &["Start { id: \"a\", model: \"m\" }", "call 0  f ", "call 0 - - {}", "Finish(ToolCalls)"],
        ),
        (
            "Groq: usage of its own",
            &[r#"{"choices":[],"x_groq":{"id":"r","usage":{"prompt_tokens":3,"completion_tokens":4}}}"#.into()],
            &["usage 3 4 0 0"],
        ),
        (
            "DeepSeek: cached tokens",
            &[usage(r#"{"prompt_tokens":3,"completion_tokens":4,"prompt_cache_hit_tokens":2}"#)],
            &["usage 3 4 2 0"],
        ),
        (
            "xAI: thoughts beside the answer",
            &[usage(
                r#"{"prompt_tokens":3,"completion_tokens":4,"total_tokens":12,"completion_tokens_details":{"reasoning_tokens":5}}"#,
            )],
            &["usage 3 9 0 5"],
        ),
        (
            "OpenAI: thoughts within it",
            &[usage(
                r#"{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7,"completion_tokens_details":{"reasoning_tokens":2}}"#,
            )],
            &["usage 3 4 0 2"],
        ),
        (
            "Mistral: thoughts as parts of the content, and a reason of its own",
            &[
                r#"{"choices":[{"delta":{"content":[{"type":"thinking","thinking":[{"type":"text","text":"hm"}]},{"type":"text","text":"x"}]}}]}"#.into(),
                finish("model_length"),
            ],
            &["Reasoning(\"hm\")", "Text(\"x\")", "Finish(Length)"],
        ),
    ];
    for (why, data, expected) in rows {
        let (mut reader, mut events) = (StreamReader::default(), Vec::new());
        for data in *data {
            reader.read(data.as_bytes(), &mut |event| events.push(shown(event))).unwrap();
        }
        assert_eq!(events, *expected, "{why}");
    }
    let failed = read(&finish("error")).1;
    assert!(matches!(failed, Err(ReadError::Provider(_))), "{failed:?}");
}

fn shown(event: Event<'_>) -> String {
    match event {
        Event::ToolCall(ToolCall { index, id, name, arguments }) => {
            let (id, name) = (id.unwrap_or("-".into()), name.unwrap_or("-".into()));
            format!("call {index} {id} {name} {arguments}")
        }
        Event::Usage(Usage {
            input_tokens,
            output_tokens,
            cached_tokens,
            reasoning_tokens,
            ..
        }) => {
            format!("usage {input_tokens} {output_tokens} {cached_tokens} {reasoning_tokens}")
        }
        event => format!("{event:?}"),
    }
}

#[test]
fn the_end_mark_is_no_json() {
    assert_eq!(read("[DONE]"), (vec![], Ok(Step::Done)));
}

/// Each row: the data of an event that reports an error, its message and reason.
#[test]
fn a_reported_error_is_told_apart_from_garbage() {
    let rows = [
        (r#"{"error":{"message":"boom","type":"server_error"}}"#, "boom", Reason::ServerError),
        (r#"{"error":"boom"}"#, "boom", Reason::InBand),
        (r#"{"error":{"code":503},"choices":[{"delta":{"content":"x"}}]}"#, "", Reason::Overloaded),
    ];
    for (data, message, reason) in rows {
        match read(data) {
            (events, Err(ReadError::Provider(failure))) => {
                assert!(events.is_empty(), "{data}");
                assert_eq!(failure.reason, reason, "{data}");
                assert_eq!(failure.detail, message, "{data}");
            }
            other => panic!("{data}: {other:?}"),
        }
    }
    for data in ["", "{", "null", "[]", "5", r#"{"choices":[{"delta":{"content":5}}]"#] {
        assert!(matches!(read(data).1, Err(ReadError::Malformed(_))), "{data}");
    }
    assert_eq!(read(r#"{"error":null,"choices":[]}"#).1, Ok(Step::More));
}

#[test]
fn text_without_escapes_is_borrowed() {
    let data = r#"{"choices":[{"delta":{"content":"plain ümläut"}}]}"#;
    StreamReader::default()
        .read(data.as_bytes(), &mut |event| {
            assert!(matches!(event, Event::Text(Cow::Borrowed("plain ümläut"))), "{event:?}");
        })
        .unwrap();
}
