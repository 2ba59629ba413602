use super::*;

fn read(reader: &mut StreamReader, data: &str) -> (Vec<String>, Result<Step, ReadError>) {
    let mut events = Vec::new();
    let result = reader.read(data.as_bytes(), &mut |event| match event {
        Event::Start { .. } => {}
        event => events.push(format!("{event:?}")),
    });
    (events, result)
}

/// F66. Older versions give a call no identifier: the relay makes one.
#[test]
fn a_call_without_an_identifier_has_an_empty_one() {
    let line = |time: &str, call: &str| {
        format!(
            r#"{{"model":"m","created_at":"2025-07-07T20:22:19.{time}Z","message":{{"role":"assistant","content":"","tool_calls":[{call}]}},"done":false}}"#
        )
    };
    let first = r#"{"function":{"name":"f","arguments":{"x": [1, 2]}}}"#;
    let both = r#"{"id":"","function":{"name":"g","arguments":null}},{"function":{"name":"g"}}"#;
    let mut reader = StreamReader::default();
    assert_eq!(
        read(&mut reader, &line("01", first)).0,
        [
            "Text(\"\")",
            "ToolCall(ToolCall { index: 0, id: Some(\"\"), name: Some(\"f\"), arguments: \"{\\\"x\\\": [1, 2]}\" })"
        ]
    );
    let events = read(&mut reader, &line("02", both)).0;
    assert!(events[1].contains("index: 1, id: Some(\"\")"), "{events:?}");
    assert!(events[2].contains("index: 2, id: Some(\"\")"), "{events:?}");
    assert!(events[2].contains("arguments: \"{}\""), "{events:?}");
    let end = r#"{"message":{"content":""},"done":true,"done_reason":"stop"}"#;
    assert_eq!(
        read(&mut reader, end),
        (vec!["Text(\"\")".into(), "Finish(ToolCalls)".into()], Ok(Step::Done))
    );
}

/// Each row: a line, and what is read from it.
#[test]
fn reads_what_ollama_sends() {
    let rows: &[(&str, &[&str], Step)] = &[
        (r#"{}"#, &[], Step::More),
        (r#"{"message":null,"done":null}"#, &[], Step::More),
        (r#"{"message":{"content":"a\n\u00e4"},"done":false}"#, &["Text(\"a\\nä\")"], Step::More),
        (r#"{"message":{"content":null,"images":null}}"#, &[], Step::More),
        (r#"{"done":true}"#, &["Finish(Stop)"], Step::Done),
        (
            r#"{"done":true,"done_reason":"length","prompt_eval_count":3}"#,
            &[
                "Finish(Length)",
                "Usage(Usage { input_tokens: 3, output_tokens: 0, cached_tokens: 0, cache_write_tokens: 0, reasoning_tokens: 0, estimated: false })",
            ],
            Step::Done,
        ),
        (r#"{"done":true,"eval_count":3}"#, &["Finish(Stop)"], Step::Done),
    ];
    for (line, events, step) in rows {
        let expected: Vec<_> = events.iter().map(|event| (*event).to_owned()).collect();
        assert_eq!(read(&mut StreamReader::default(), line), (expected, Ok(*step)), "{line}");
    }
    for line in ["", "{", "[]", "{}{}", r#"{"message":{"content":5}"#] {
        let (events, result) = read(&mut StreamReader::default(), line);
        assert!(events.is_empty() && matches!(result, Err(ReadError::Malformed(_))), "{line}");
    }
}
