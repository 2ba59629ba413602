use super::*;
use crate::chat::ToolCall;

fn read(reader: &mut StreamReader, data: &str) -> (Vec<String>, Result<Step, ReadError>) {
    let mut events = Vec::new();
    let result = reader.read(data.as_bytes(), &mut |event| match event {
        Event::Usage(usage) => {
            let Usage { input_tokens, output_tokens, cached_tokens, reasoning_tokens, .. } = usage;
            events.push(format!(
                "usage {input_tokens} {output_tokens} {cached_tokens} {reasoning_tokens}"
            ));
        }
        Event::Prompt(usage) => events.push(format!("prompt {}", usage.input_tokens)),
        Event::ToolCall(ToolCall { index, id, name, arguments }) => {
            let (id, name) = (id.unwrap(), name.unwrap_or_default());
            events.push(format!("call {index} {id} {name} {arguments}"));
        }
        event => events.push(format!("{event:?}")),
    });
    (events, result)
}

/// Each row: the data of an event, and what is read from it.
#[test]
fn reads_what_gemini_sends() {
    let rows: &[(&str, &[&str])] = &[
        ("{}", &[]),
        (r#"{"candidates":[]}"#, &[]),
        (r#"{"candidates":null,"usageMetadata":null,"promptFeedback":null}"#, &[]),
        (r#"{"candidates":[{"content":{}}]}"#, &[]),
        (r#"{"candidates":[{"content":{"parts":null},"finishReason":null}]}"#, &[]),
        (
            r#"{"responseId":"r","modelVersion":"m","candidates":[{"content":{"parts":[{"text":"a\n"},{"text":"b"}]}}]}"#,
            &["Start { id: \"r\", model: \"m\" }", "Text(\"a\\n\")", "Text(\"b\")"],
        ),
        (
            r#"{"candidates":[{"content":{"parts":[{"thought":true,"text":"hm"},{"text":"x","thought":false,"thoughtSignature":"A"}]}}]}"#,
            &["Reasoning(\"hm\")", "Text(\"x\")"],
        ),
        (
            r#"{"candidates":[{"content":{"parts":[{"inlineData":{"mimeType":"image/png","data":"AAAA"}},{"executableCode":{"code":"1"}},{"codeExecutionResult":{"outcome":"OUTCOME_OK","output":""}},{"functionResponse":{"name":"f","response":{}}}]}}]}"#,
            &[
                "Other(\"inlineData\")",
                "Other(\"executableCode\")",
                "Other(\"codeExecutionResult\")",
                "Other(\"functionResponse\")",
            ],
        ),
        (
            r#"{"candidates":[{"content":{"role":"model","parts":[{"text":"","thoughtSignature":"A"},{"newPart":{}},{"inlineData":{"data":""}}]},"groundingMetadata":{"q":"x"}}]}"#,
            &["Text(\"\")"],
        ),
        (
            r#"{"candidates":[{"content":{"parts":[{"text":"x"}]}},{"content":{"parts":[{"text":"other"}]}}]}"#,
            &["Text(\"x\")"],
        ),
        (r#"{"usageMetadata":{"promptTokenCount":5,"totalTokenCount":5}}"#, &["prompt 5"]),
        (
            r#"{"usageMetadata":{"promptTokenCount":5,"toolUsePromptTokenCount":2,"candidatesTokenCount":3,"thoughtsTokenCount":4,"cachedContentTokenCount":1}}"#,
            &["usage 7 7 1 4"],
        ),
        (
            r#"{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f"}}]},"finishReason":"STOP"}],"responseId":"r"}"#,
            &["call 0  f {}", "Finish(ToolCalls)"],
        ),
        (r#"{"candidates":[{"finishReason":"SAFETY"}]}"#, &["Finish(ContentFilter)"]),
        (r#"{"candidates":[{"finishReason":"FINISH_REASON_UNSPECIFIED"}]}"#, &[]),
    ];
    for (data, expected) in rows {
        let (events, result) = read(&mut StreamReader::default(), data);
        assert_eq!((events.as_slice(), result), (&*owned(expected), Ok(Step::More)), "{data}");
    }
}

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

/// Calls are counted over the stream, and one that made a call has not just stopped.
#[test]
fn calls_are_counted_over_the_stream() {
    let mut reader = StreamReader::default();
    let call = |calls: &str| {
        format!(r#"{{"candidates":[{{"content":{{"parts":[{calls}]}}}}],"responseId":"r"}}"#)
    };
    let f = r#"{"functionCall":{"name":"f","args":{"x": 1}}}"#;
    let g = r#"{"functionCall":{"id":"own","name":"g","args":{}}}"#;
    assert_eq!(read(&mut reader, &call(f)).0, ["call 0  f {\"x\": 1}"]);
    let both = format!("{g},{f}");
    assert_eq!(read(&mut reader, &call(&both)).0, ["call 1 own g {}", "call 2  f {\"x\": 1}"]);
    let end = r#"{"candidates":[{"finishReason":"STOP"}]}"#;
    assert_eq!(read(&mut reader, end).0, ["Finish(ToolCalls)"]);
}

/// Each row: an event that is no answer, why it is not, and what it says.
#[test]
fn what_is_no_answer_is_told() {
    let rows = [
        (r#"{"promptFeedback":{"blockReason":"SAFETY"}}"#, Reason::Filtered, "SAFETY"),
        (
            r#"{"candidates":[{"finishReason":"MALFORMED_FUNCTION_CALL","finishMessage":"print(1)"}]}"#,
            Reason::InBand,
            "MALFORMED_FUNCTION_CALL. print(1)",
        ),
        (r#"{"candidates":[{"finishReason":"OTHER"}]}"#, Reason::InBand, "OTHER."),
        (
            r#"{"error":{"code":500,"message":"boom","status":"INTERNAL"}}"#,
            Reason::ServerError,
            "boom",
        ),
        (
            r#"{"error":{"message":"later","status":"RESOURCE_EXHAUSTED"}}"#,
            Reason::RateLimited,
            "later",
        ),
        (r#"{"error":{"message":"busy","status":"UNAVAILABLE"}}"#, Reason::Overloaded, "busy"),
    ];
    for (data, reason, said) in rows {
        match read(&mut StreamReader::default(), data) {
            (events, Err(ReadError::Provider(failure))) => {
                assert!(events.is_empty(), "{data}");
                assert_eq!(failure.reason, reason, "{data}");
                assert!(failure.detail.contains(said), "{data}: {failure}");
            }
            other => panic!("{data}: {other:?}"),
        }
    }
    for data in ["", "[]", r#"{"candidates":5"#] {
        let (events, result) = read(&mut StreamReader::default(), data);
        assert!(events.is_empty() && matches!(result, Err(ReadError::Malformed(_))), "{data}");
    }
}

/// A stream asked for without `alt=sse`, or through a proxy that drops it.
#[test]
fn a_whole_answer_may_be_a_list_of_chunks() {
    let body = r#"[{"candidates":[{"content":{"parts":[{"text":"a"}]}}]},
        {"candidates":[{"content":{"parts":[{"text":"b"}]},"finishReason":"STOP"}]}]"#;
    let mut events = Vec::new();
    read_complete(body.as_bytes(), &mut |event| events.push(format!("{event:?}"))).unwrap();
    assert_eq!(events, ["Text(\"a\")", "Text(\"b\")", "Finish(Stop)"]);
}
