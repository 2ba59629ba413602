use super::*;
use crate::failure::Reason;
use crate::protocol::Collected;
use crate::protocol::reader::calls::TOOL_CALLS_MAX;

fn read_with(reader: &mut StreamReader, data: &str) -> (Vec<String>, Result<Step, ReadError>) {
    let mut events = Vec::new();
    let result = reader.read(data.as_bytes(), &mut |event| {
        events.push(match event {
            Event::ToolCall(call) => {
                let [id, name] = [call.id, call.name].map(Option::unwrap_or_default);
                format!("call {} {id} {name} {}", call.index, call.arguments)
            }
            Event::Usage(usage) => format!(
                "usage {} {} {} {} {}",
                usage.input_tokens,
                usage.output_tokens,
                usage.cached_tokens,
                usage.cache_write_tokens,
                usage.reasoning_tokens
            ),
            event => format!("{event:?}"),
        });
    });
    (events, result)
}

fn read(data: &str) -> (Vec<String>, Result<Step, ReadError>) {
    read_with(&mut StreamReader::default(), data)
}

/// Each row: the data of an event, and what is read from it.
#[test]
fn reads_what_providers_send() {
    let rows: &[(&str, &[&str])] = &[
        (
            r#"{"type":"response.created","sequence_number":0,"response":{"id":"resp_1","model":"m","output":[]}}"#,
            &["Start { id: \"resp_1\", model: \"m\" }"],
        ),
        (r#"{"type":"response.in_progress","response":{"id":"resp_1","model":"m"}}"#, &[]),
        (
            r#"{"type":"response.output_text.delta","sequence_number":4,"item_id":"m","output_index":0,"content_index":0,"delta":"a\n\"b\" \ud83d\ude00","logprobs":[]}"#,
            &["Text(\"a\\n\\\"b\\\" 😀\")"],
        ),
        (r#"{"delta":"x","output_index":0,"type":"response.refusal.delta"}"#, &["Refusal(\"x\")"]),
        (
            r#"{"type":"response.reasoning_summary_text.delta","summary_index":0,"delta":"hm"}"#,
            &["Reasoning(\"hm\")"],
        ),
        (r#"{"type":"response.reasoning_text.delta","delta":"hm"}"#, &["Reasoning(\"hm\")"]),
        (r#"{"type":"response.reasoning_summary_part.added","summary_index":0}"#, &[]),
        (
            r#"{"type":"response.reasoning_summary_part.added","summary_index":1}"#,
            &["Reasoning(\"\\n\\n\")"],
        ),
        (
            r#"{"type":"response.audio.delta","delta":{"not":"text"}}"#,
            &["Other(\"response.audio.delta\")"],
        ),
        (
            r#"{"type":"response.image_generation_call.partial_image","item_id":"i","output_index":0,"partial_image_b64":"AAAA"}"#,
            &["Other(\"response.image_generation_call.partial_image\")"],
        ),
        (
            r#"{"type":"response.output_item.done","item":{"type":"image_generation_call","id":"i","status":"completed","result":"AAAA"}}"#,
            &["Other(\"image_generation_call\")"],
        ),
        (
            r#"{"type":"response.completed","response":{"output":[{"type":"compaction","id":"c","encrypted_content":"AAAA"}]}}"#,
            &["Other(\"compaction\")", "Finish(Stop)"],
        ),
        (r#"{"type":"codex.rate_limits","plan_type":"plus"}"#, &[]),
        (r#"{"type":"response.web_search_call.searching","output_index":0}"#, &[]),
        (
            r#"{"type":"response.output_item.added","item":{"type":"web_search_call","id":"w"}}"#,
            &[],
        ),
        (r#"{"type":"of_tomorrow","response":null,"item":null,"part":null}"#, &[]),
        ("{}", &[]),
        (
            r#"{"type":"response.completed","response":{"id":"r","status":"completed","error":null,"output":[{"type":"message","content":[{"type":"output_text","text":"again"}]}],"usage":{"input_tokens":5,"input_tokens_details":{"cached_tokens":1,"cache_write_tokens":2},"output_tokens":3,"output_tokens_details":{"reasoning_tokens":4},"total_tokens":8}}}"#,
            &["Text(\"again\")", "usage 5 3 1 2 4", "Finish(Stop)"],
        ),
        (
            r#"{"type":"response.incomplete","response":{"status":"incomplete","incomplete_details":{"reason":"max_output_tokens"},"usage":null}}"#,
            &["Finish(Length)"],
        ),
        (
            r#"{"type":"response.incomplete","response":{"incomplete_details":{"reason":"content_filter"}}}"#,
            &["Finish(ContentFilter)"],
        ),
        (
            r#"{"type":"response.completed","response":{"status":"incomplete","incomplete_details":null}}"#,
            &["Finish(Length)"],
        ),
    ];
    for (data, expected) in rows {
        let (events, result) = read(data);
        assert_eq!(events, *expected, "{data}");
        assert_eq!(result, Ok(Step::More), "{data}");
    }
    assert_eq!(read("[DONE]"), (vec![], Ok(Step::Done)));
}

/// Each row: the data of an event that reports an error, its message, and its reason.
#[test]
fn a_reported_error_is_told_apart_from_garbage() {
    let rows = [
        (
            r#"{"type":"error","code":"server_error","message":"on fire","param":null}"#,
            "on fire",
            Reason::ServerError,
        ),
        (
            r#"{"type":"error","error":{"type":"x","code":"rate_limit_exceeded","message":"slow"}}"#,
            "slow",
            Reason::RateLimited,
        ),
        (r#"{"type":"error","error":null,"message":"flat"}"#, "flat", Reason::InBand),
        (
            r#"{"type":"response.failed","response":{"status":"failed","error":{"code":"server_is_overloaded","message":"busy"}}}"#,
            "busy",
            Reason::Overloaded,
        ),
        (
            r#"{"type":"response.completed","response":{"status":"failed","error":{"message":"odd"}}}"#,
            "odd",
            Reason::InBand,
        ),
        (r#"{"type":"response.cancelled","response":{"status":"cancelled"}}"#, "", Reason::InBand),
    ];
    for (data, message, reason) in rows {
        let (events, result) = read(data);
        assert_eq!(events, [""; 0], "{data}");
        let Err(ReadError::Provider(failure)) = result else { panic!("{data}") };
        assert_eq!((failure.detail.as_str(), failure.reason), (message, reason), "{data}");
    }
    for data in ["", "{", "nonsense", r#"{"type":"x","output_index":"y""#] {
        assert!(matches!(read(data), (_, Err(ReadError::Malformed(_)))), "{data}");
    }
}

/// Calls are numbered among themselves; their arguments are told once, in pieces or whole.
#[test]
fn calls_are_counted_and_their_arguments_told_once() {
    let rows: &[(&str, &[&str])] = &[
        (
            r#"{"type":"response.output_item.added","output_index":1,"item":{"type":"function_call","id":"fc","call_id":"c1","name":"f","arguments":""}}"#,
            &["call 0 c1 f "],
        ),
        (
            r#"{"type":"response.output_item.added","output_index":3,"item":{"type":"function_call","call_id":"c2","name":"g","arguments":"{}"}}"#,
            &["call 1 c2 g "],
        ),
        (
            r#"{"type":"response.function_call_arguments.delta","output_index":1,"delta":"{\""}"#,
            &["call 0   {\""],
        ),
        (
            r#"{"type":"response.function_call_arguments.delta","output_index":9,"delta":"lost"}"#,
            &[],
        ),
        (
            r#"{"type":"response.function_call_arguments.done","output_index":1,"arguments":"{\"}"}"#,
            &[],
        ),
        (
            r#"{"type":"response.output_item.done","output_index":1,"item":{"type":"function_call","arguments":"{\"}"}}"#,
            &[],
        ),
        (
            r#"{"type":"response.output_item.done","output_index":3,"item":{"type":"function_call","arguments":"{}"}}"#,
            &["call 1   {}"],
        ),
        (
            r#"{"type":"response.output_item.done","output_index":4,"item":{"type":"custom_tool_call","call_id":"c3","name":"h","input":"x"}}"#,
            &["call 2 c3 h ", "call 2   x"],
        ),
        (r#"{"type":"response.completed","response":{}}"#, &["Finish(ToolCalls)"]),
    ];
    let mut reader = StreamReader::default();
    for (data, expected) in rows {
        let (events, result) = read_with(&mut reader, data);
        assert_eq!(events, *expected, "{data}");
        assert_eq!(result, Ok(Step::More), "{data}");
    }
}

#[test]
fn calls_without_end_are_a_failure() {
    let mut reader = StreamReader::default();
    let added = |place: u32| {
        format!(
            r#"{{"type":"response.output_item.added","output_index":{place},"item":{{"type":"function_call"}}}}"#
        )
    };
    assert!(
        (0..TOOL_CALLS_MAX as u32).all(|place| read_with(&mut reader, &added(place)).1.is_ok())
    );
    let (_, result) = read_with(&mut reader, &added(TOOL_CALLS_MAX as u32));
    let Err(ReadError::Provider(failure)) = result else { panic!("{result:?}") };
    assert_eq!(failure.reason, Reason::AnswerTooLong);
}

/// A text that is recognised by the shape of its event is the one that reading would find.
#[test]
fn texts_are_recognised_whatever_the_number() {
    let orders = [
        r#"{"type":"response.output_text.delta","sequence_number":N,"item_id":"m","delta":"T","obfuscation":"P"}"#,
        r#"{"delta":"T","item_id":"m","sequence_number":N,"type":"response.output_text.delta"}"#,
        r#"{"type":"response.output_text.delta","item_id":"m","delta":"T"}"#,
    ];
    for order in orders {
        let mut reader = StreamReader::default();
        let data = |n: &str, t: &str| order.replace('N', n).replace("\"T\"", t).replace('P', n);
        assert_eq!(read_with(&mut reader, &data("9", "\"a\"")).0, ["Text(\"a\")"]);
        let next = data("10", r#""\u0041\"""#);
        assert!(reader.texts.recognise(next.as_bytes(), &mut |_| {}), "{order}");
        assert_eq!(read_with(&mut reader, &next).0, [r#"Text("A\"")"#]);
        let other = data("11", "\"x\"").replace("output_text", "refusal");
        assert_eq!(read_with(&mut reader, &other).0, ["Refusal(\"x\")"]);
    }
}

#[test]
fn a_whole_answer_is_read_once_and_in_order() {
    let body = r#"{"id":"resp_1","object":"response","model":"m","status":"completed","output":[
        {"type":"reasoning","id":"rs","summary":[{"type":"summary_text","text":"a"},{"type":"summary_text","text":"b"}]},
        {"type":"web_search_call","id":"ws","status":"completed"},
        {"type":"message","id":"msg","role":"assistant","content":[{"type":"output_text","text":"x\ny","annotations":[]},{"type":"refusal","refusal":"no"}]},
        {"type":"function_call","id":"fc","call_id":"c","name":"f","arguments":"{}"}],
        "usage":{"input_tokens":1,"output_tokens":2}}"#;
    let mut events = Vec::new();
    read_complete(body.as_bytes(), &mut |event| events.push(format!("{event:?}"))).unwrap();
    let call = |id, arguments| {
        format!("ToolCall(ToolCall {{ index: 0, {id}, arguments: \"{arguments}\" }})")
    };
    let expected = [
        "Start { id: \"resp_1\", model: \"m\" }".to_owned(),
        "Reasoning(\"a\")".into(),
        "Reasoning(\"\\n\\n\")".into(),
        "Reasoning(\"b\")".into(),
        "Text(\"x\\ny\")".into(),
        "Refusal(\"no\")".into(),
        call("id: Some(\"c\"), name: Some(\"f\")", ""),
        call("id: None, name: None", "{}"),
    ];
    assert_eq!(events[..8], expected);
    assert!(events[9].contains("ToolCalls"), "{events:?}");
    for (body, garbage) in
        [("{", true), (r#"{"status":"queued"}"#, true), (r#"{"status":"failed"}"#, false)]
    {
        let result = read_complete(body.as_bytes(), &mut |_| {});
        assert_eq!(matches!(result, Err(ReadError::Malformed(_))), garbage, "{body}");
    }
}

/// A text comes again when it is over, and with some servers only then.
#[test]
fn a_text_is_emitted_once() {
    let delta =
        r#"{"type":"response.output_text.delta","output_index":1,"content_index":0,"delta":"hi"}"#;
    let unplaced = r#"{"type":"response.output_text.delta","delta":"hi"}"#;
    let done =
        r#"{"type":"response.output_text.done","output_index":1,"content_index":0,"text":"hi"}"#;
    let part = r#"{"type":"response.content_part.done","output_index":1,"content_index":0,"part":{"type":"output_text","text":"hi"}}"#;
    let item = r#"{"type":"response.output_item.done","output_index":1,"item":{"type":"message","content":[{"type":"output_text","text":"hi"}]}}"#;
    let summary = r#"{"type":"response.reasoning_summary_text.done","output_index":0,"summary_index":0,"text":"hm"}"#;
    let completed = r#"{"type":"response.completed","response":{"status":"completed","output":[{"type":"reasoning","summary":[{"type":"summary_text","text":"hm"}]},{"type":"message","content":[{"type":"output_text","text":"hi"}]}]}}"#;
    let rows = [
        &[delta, done, part, item, completed][..],
        &[unplaced, done, item, completed],
        &[summary, done, item],
        &[part, item, completed],
        &[item, completed],
        &[completed],
    ];
    for frames in rows {
        let (mut reader, mut answer) = (StreamReader::default(), Collected::default());
        for frame in frames {
            reader.read(frame.as_bytes(), &mut |event| answer.add(&event)).unwrap();
        }
        let is_thought = frames.iter().any(|frame| frame.contains("hm"));
        let reasoning = if is_thought { "hm" } else { "" };
        assert_eq!((&*answer.text, &*answer.reasoning), ("hi", reasoning), "{frames:?}");
    }
    let second = item.replace("\"content\":[", r#""content":[{"type":"output_text","text":"oh"},"#);
    let (mut reader, mut answer) = (StreamReader::default(), Collected::default());
    for frame in [delta, &second] {
        reader.read(frame.as_bytes(), &mut |event| answer.add(&event)).unwrap();
    }
    assert_eq!(answer.text, "hihi", "the part that is new, by its place");
}

/// Some servers send arguments only when they are complete, and some calls only at the very end.
#[test]
fn a_call_may_be_complete_only_at_the_end() {
    let added = r#"{"type":"response.output_item.added","output_index":0,"item":{"type":"function_call","id":"fc","call_id":"c","name":"f","arguments":""}}"#;
    let done =
        r#"{"type":"response.function_call_arguments.done","output_index":0,"arguments":"{1}"}"#;
    let completed = r#"{"type":"response.completed","response":{"status":"completed","output":[{"type":"function_call","id":"fc","call_id":"c","name":"f","arguments":"{1}"}]}}"#;
    for frames in [&[added, done, completed][..], &[added, completed], &[completed]] {
        let (mut reader, mut answer) = (StreamReader::default(), Collected::default());
        for frame in frames {
            reader.read(frame.as_bytes(), &mut |event| answer.add(&event)).unwrap();
        }
        let calls: Vec<_> = answer.tool_calls.iter().map(|it| (&*it.id, &*it.arguments)).collect();
        assert_eq!(calls, [("c", "{1}")], "{frames:?}");
    }
}
