use super::super::StreamReader;
use super::*;
use crate::failure::{Failure, Overflow, Reason};
use crate::protocol::{ReadError, Sink, Times};
use crate::sse::{Decoder, EVENT_BYTES_MAX_DEFAULT};
use std::sync::Arc;

fn writer_of(body: &str) -> Writer {
    let request = super::super::parse_request(body.as_bytes()).unwrap();
    Writer::new(AnswerMeta {
        id: "chatcmpl-07".into(),
        created: 1_700_000_000,
        model: "m".into(),
        request: Arc::new(request),
    })
}

fn writer() -> Writer {
    writer_of(r#"{"input":"hi","stream":true}"#)
}

fn text(text: &str) -> Event<'_> {
    Event::Text(text.into())
}

fn thought(text: &str) -> Event<'_> {
    Event::Reasoning(text.into())
}

fn call<'a>(index: u32, names: Option<(&'a str, &'a str)>, arguments: &'a str) -> Event<'a> {
    let (id, name) = names.map(|(id, name)| (id.into(), name.into())).unzip();
    Event::ToolCall(ToolCall { index, id, name, arguments: arguments.into() })
}

const USAGE: Usage = Usage {
    input_tokens: 12,
    output_tokens: 7,
    cached_tokens: 4,
    cache_write_tokens: 0,
    reasoning_tokens: 3,
    estimated: false,
};

fn finish(writer: &mut Writer, out: &mut Vec<u8>, reason: FinishReason) {
    writer.event(out, &Event::Finish(reason));
    writer.event(out, &Event::Usage(USAGE));
    writer.end(
        out,
        &AnswerEnd { end: &End::Finished(reason), fallback: false, times: Times::default() },
    );
}

fn written(events: &[Event<'_>], reason: FinishReason) -> Vec<u8> {
    let (mut writer, mut out) = (writer(), Vec::new());
    writer.event(&mut out, &Event::Start { id: "c1".into(), model: "fake-1".into() });
    for event in events {
        writer.event(&mut out, event);
    }
    finish(&mut writer, &mut out, reason);
    out
}

fn data(out: &[u8]) -> Vec<Value> {
    let (mut decoder, mut rest) = (Decoder::new(EVENT_BYTES_MAX_DEFAULT), out);
    let mut events = Vec::new();
    while let Some(event) = decoder.next(&mut rest).unwrap() {
        let value: Value = serde_json::from_slice(event.data).unwrap();
        assert_eq!(value["type"], event.name);
        events.push(value);
    }
    assert_eq!(decoder.finish(), None);
    events
}

/// What the official SDKs make of a stream, as strictly as the strictest of them: each event is
/// about an item and a part that are there, what is done is what the pieces were, and the last
/// event repeats it all. Gives the response and the types of the events.
fn accumulated(out: &[u8]) -> (Value, Vec<String>) {
    let mut response = Value::Null;
    let mut output: Vec<Value> = Vec::new();
    let mut types = Vec::new();
    for (number, event) in data(out).into_iter().enumerate() {
        assert_eq!(event["sequence_number"], number, "{event}");
        let kind = event["type"].as_str().unwrap().to_owned();
        let place = event["output_index"].as_u64().map(|place| place as usize);
        if kind == "response.output_item.added" {
            assert_eq!(place, Some(output.len()));
            output.push(event["item"].clone());
        } else if kind == "response.output_item.done" {
            let item = &mut output[place.unwrap()];
            for (field, value) in item.as_object().unwrap() {
                let grows = field == "status";
                assert!(grows || event["item"][field] == *value, "{field}: {event} after {item}");
            }
            *item = event["item"].clone();
        } else if let Some(place) = place {
            accumulate(&mut output[place], &kind, &event);
        } else {
            assert!(event["response"]["id"].as_str().unwrap().starts_with("resp_"), "{event}");
            response = event["response"].clone();
            let over = !matches!(kind.as_str(), "response.created" | "response.in_progress");
            let expected = if over { output.clone() } else { Vec::new() };
            assert_eq!(response["output"], Value::from(expected), "{kind}");
        }
        types.push(kind.trim_start_matches("response.").to_owned());
    }
    (response, types)
}

fn accumulate(item: &mut Value, kind: &str, event: &Value) {
    assert_eq!(event["item_id"], item["id"], "{event}");
    let (list, index) = match item["type"].as_str().unwrap() {
        "message" => ("content", event["content_index"].as_u64()),
        "reasoning" => ("summary", event["summary_index"].as_u64()),
        _ => ("", None),
    };
    let Some(index) = index else {
        let is_custom = item["type"] == "custom_tool_call";
        let (field, stem) = match is_custom {
            true => ("input", "response.custom_tool_call_input"),
            false => ("arguments", "response.function_call_arguments"),
        };
        let arguments = item[field].as_str().unwrap();
        match kind.strip_prefix(stem) {
            Some(".delta") => {
                item[field] = (arguments.to_owned() + event["delta"].as_str().unwrap()).into();
            }
            Some(".done") => assert_eq!(event[field], arguments),
            _ => panic!("{event}"),
        }
        return;
    };
    let parts = item[list].as_array_mut().unwrap();
    if kind.ends_with("part.added") {
        assert_eq!(index as usize, parts.len());
        return parts.push(event["part"].clone());
    }
    let part = &mut parts[index as usize];
    let field = if part["type"] == "refusal" { "refusal" } else { "text" };
    match kind.rsplit_once('.').unwrap() {
        (_, "delta") => {
            part[field] = (part[field].as_str().unwrap().to_owned()
                + event["delta"].as_str().unwrap())
            .into();
        }
        (kind, "done") if kind.ends_with("part") => assert_eq!(event["part"], *part),
        (_, "done") => assert_eq!(event[field], part[field]),
        _ => panic!("{event}"),
    }
}

/// The response without what it repeats of the request.
fn short(response: &Value) -> Value {
    json!([response["status"], response["incomplete_details"], response["output"]])
}

fn message(text: &str, status: &str) -> Value {
    json!({"id": "msg_07_0", "type": "message", "status": status, "role": "assistant", "content": [
        {"type": "output_text", "text": text, "annotations": [], "logprobs": []}]})
}

/// The bytes of the events between the first two and the last.
#[test]
fn a_text_is_a_message() {
    let out = written(&[text("Hello, "), text("wörld 😀"), text("!\n")], FinishReason::Stop);
    let expected = r#"event: response.output_item.added
data: {"type":"response.output_item.added","sequence_number":2,"item":{"content":[],"id":"msg_07_0","role":"assistant","status":"in_progress","type":"message"},"output_index":0}

event: response.content_part.added
data: {"type":"response.content_part.added","sequence_number":3,"content_index":0,"item_id":"msg_07_0","output_index":0,"part":{"annotations":[],"logprobs":[],"text":"","type":"output_text"}}

event: response.output_text.delta
data: {"type":"response.output_text.delta","sequence_number":4,"item_id":"msg_07_0","output_index":0,"content_index":0,"delta":"Hello, ","logprobs":[]}

event: response.output_text.delta
data: {"type":"response.output_text.delta","sequence_number":5,"item_id":"msg_07_0","output_index":0,"content_index":0,"delta":"wörld 😀","logprobs":[]}

event: response.output_text.delta
data: {"type":"response.output_text.delta","sequence_number":6,"item_id":"msg_07_0","output_index":0,"content_index":0,"delta":"!\n","logprobs":[]}

event: response.output_text.done
data: {"type":"response.output_text.done","sequence_number":7,"content_index":0,"item_id":"msg_07_0","logprobs":[],"output_index":0,"text":"Hello, wörld 😀!\n"}

event: response.content_part.done
data: {"type":"response.content_part.done","sequence_number":8,"content_index":0,"item_id":"msg_07_0","output_index":0,"part":{"annotations":[],"logprobs":[],"text":"Hello, wörld 😀!\n","type":"output_text"}}

event: response.output_item.done
data: {"type":"response.output_item.done","sequence_number":9,"output_index":0,"item":{"content":[{"annotations":[],"logprobs":[],"text":"Hello, wörld 😀!\n","type":"output_text"}],"id":"msg_07_0","role":"assistant","status":"completed","type":"message"}}

event: response.completed
"#;
    let out = String::from_utf8(out).unwrap();
    let at = out.find("event: response.output_item.added").unwrap();
    assert_eq!(&out[at..at + expected.len()], expected);
    let (response, _) = accumulated(out.as_bytes());
    assert_eq!(
        short(&response),
        json!(["completed", null, [message("Hello, wörld 😀!\n", "completed")]])
    );
    assert_eq!((&response["id"], &response["model"]), (&json!("resp_07"), &json!("fake-1")));
    assert_eq!(
        response["usage"],
        json!({"input_tokens": 12, "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 0},
            "output_tokens": 7, "output_tokens_details": {"reasoning_tokens": 3}, "total_tokens": 19})
    );
}

/// Fragments of parallel calls may take turns.
#[test]
fn calls_are_items_after_the_message() {
    let events = [
        text("Let me look."),
        call(0, Some(("call_1", "get_weather")), ""),
        call(1, Some(("call_2", "get_time")), "{\"zone\""),
        call(0, None, "{\"city\":\"Paris\"}"),
        call(1, None, ":\"CET\"}"),
    ];
    let (response, types) = accumulated(&written(&events, FinishReason::ToolCalls));
    let item = |place: u32, id: &str, name: &str, arguments: &str| {
        json!({"id": format!("fc_07_{place}"), "type": "function_call", "status": "completed",
            "call_id": id, "name": name, "arguments": arguments})
    };
    let expected = json!([
        "completed",
        null,
        [
            message("Let me look.", "completed"),
            item(1, "call_1", "get_weather", "{\"city\":\"Paris\"}"),
            item(2, "call_2", "get_time", "{\"zone\":\"CET\"}"),
        ]
    ]);
    assert_eq!(short(&response), expected);
    assert_eq!(types[7], "output_item.done", "the message is over before the calls: {types:?}");
}

#[test]
fn a_thought_is_an_item_before_the_message() {
    let events = [thought("Let me"), thought(" think."), text("42")];
    let (response, types) = accumulated(&written(&events, FinishReason::Stop));
    let expected = [
        "created",
        "in_progress",
        "output_item.added",
        "reasoning_summary_part.added",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.done",
        "reasoning_summary_part.done",
        "output_item.done",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ];
    assert_eq!(types, expected);
    let thought = json!({"id": "rs_07_0", "type": "reasoning",
        "summary": [{"type": "summary_text", "text": "Let me think."}]});
    assert_eq!(response["output"][0], thought);
    assert_eq!(response["output"][1]["id"], "msg_07_1");
}

/// Each row: why it stopped, the event that says so, and how.
#[test]
fn an_incomplete_answer_says_why() {
    let rows = [
        (FinishReason::Length, "max_output_tokens"),
        (FinishReason::ContentFilter, "content_filter"),
    ];
    for (reason, said) in rows {
        let (response, types) = accumulated(&written(&[text("Once upon")], reason));
        let why = json!({"reason": said});
        assert_eq!(
            short(&response),
            json!(["incomplete", why, [message("Once upon", "incomplete")]])
        );
        assert_eq!(types.last().unwrap(), "incomplete");
    }
}

/// The JavaScript SDK throws what an event of the name `error` holds, the Python SDK what stands in
/// its `error`.
#[test]
fn a_failure_is_an_error_event() {
    let failure = Failure::new(Reason::InBand, "The engine is on fire.");
    let (mut writer, mut out) = (writer(), Vec::new());
    let closing =
        AnswerEnd { end: &End::Failed(failure), fallback: false, times: Times::default() };
    writer.event(&mut out, &text("Hel"));
    let before = out.len();
    writer.end(&mut out, &closing);
    let expected = "event: error\n\
        data: {\"type\":\"error\",\"sequence_number\":5,\"code\":\"provider_stream_error\",\
        \"error\":{\"code\":\"provider_stream_error\",\"message\":\"The engine is on fire.\",\
        \"param\":null,\"type\":\"upstream_error\"},\"message\":\"The engine is on fire.\",\
        \"param\":null}\n\n";
    let last = String::from_utf8_lossy(&out[before..]);
    assert!(last.starts_with(expected), "{last}");
}

/// Codex reads nothing but the response's own end: the reason of a failure, and that a conversation
/// is too long, upon which it compacts it.
#[test]
fn a_failure_ends_the_response_too() {
    failed_with(
        Failure::too_long(Overflow { input: 9000, window: 8192 }, true),
        "context_length_exceeded",
    );
    failed_with(Failure::new(Reason::Cut, ""), "stream_cut");
}

fn failed_with(failure: Failure, code: &str) {
    let (mut writer, mut out) = (writer(), Vec::new());
    writer.end(
        &mut out,
        &AnswerEnd { end: &End::Failed(failure), fallback: false, times: Times::default() },
    );
    let events = data(&out);
    let kinds: Vec<_> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["response.created", "response.in_progress", "error", "response.failed"]);
    let response = &events[3]["response"];
    assert_eq!(response["status"], "failed");
    assert_eq!(response["error"]["code"], code);
    assert_eq!(response["error"]["message"], events[2]["message"]);
    assert_eq!(response["id"], events[0]["response"]["id"]);
}

/// What is asked is repeated in every response, on one line however it was written.
#[test]
fn the_response_repeats_the_request() {
    let mut writer = writer_of(
        r#"{"input":"hi","stream":true,"instructions":"be brief","tools":[
            {"type":"function","name":"f"}],"metadata":{"k":"v"},"temperature":0.50,"reasoning":null,"store":true}"#,
    );
    let mut out = Vec::new();
    writer.event(&mut out, &text("x"));
    for event in &data(&out)[..2] {
        let response = &event["response"];
        assert_eq!(response["instructions"], "be brief");
        assert_eq!(response["tools"][0]["name"], "f");
        assert_eq!(response["metadata"], json!({"k": "v"}));
        assert_eq!(response["reasoning"], json!({"effort": null, "summary": null}));
        assert_eq!(response["tool_choice"], "auto");
        assert_eq!(response["store"], false, "nothing is kept here");
        assert_eq!(response["usage"], Value::Null);
    }
}

fn read(data: &[u8], reader: &mut StreamReader, sink: &mut Sink<'_>) {
    match reader.read(data, sink) {
        Ok(_) => {}
        Err(ReadError::Malformed(detail)) => panic!("{detail}"),
        Err(ReadError::Provider(failure)) => panic!("{failure}"),
    }
}

/// What this role writes, the other reads.
#[test]
fn what_is_written_reads_back() {
    let events = [
        thought("hm"),
        text("a\"b"),
        Event::Refusal("no".into()),
        call(0, Some(("c1", "f")), "{}"),
        call(1, Some(("c2", "g")), ""),
        text("more"),
    ];
    let out = written(&events, FinishReason::ToolCalls);
    let (mut streamed, mut reader) = (Collected::default(), StreamReader::default());
    let (mut decoder, mut rest) = (Decoder::new(EVENT_BYTES_MAX_DEFAULT), out.as_slice());
    while let Some(event) = decoder.next(&mut rest).unwrap() {
        read(event.data, &mut reader, &mut |event| streamed.add(&event));
    }
    let (response, _) = accumulated(&out);
    let mut whole = Collected::default();
    let body = response.to_string();
    super::super::read_complete(body.as_bytes(), &mut |event| whole.add(&event)).unwrap();
    for answer in [&streamed, &whole] {
        assert_eq!((&*answer.reasoning, &*answer.text, &*answer.refusal), ("hm", "a\"bmore", "no"));
        let calls: Vec<_> =
            answer.tool_calls.iter().map(|it| (&*it.id, &*it.name, &*it.arguments)).collect();
        assert_eq!(
            calls,
            [("c1", "f", "{}"), ("c2", "g", "{}")],
            "an empty object for no arguments"
        );
        assert_eq!(answer.finish, Some(FinishReason::ToolCalls));
        assert_eq!(answer.usage, Some(USAGE));
    }
    let mut again = Vec::new();
    writer().write_complete(&mut again, &whole);
    let again: Value = serde_json::from_slice(&again).unwrap();
    let types: Vec<_> =
        again["output"].as_array().unwrap().iter().map(|item| item["type"].clone()).collect();
    assert_eq!(types, ["reasoning", "message", "function_call", "function_call"]);
    assert_eq!(again["usage"], response["usage"]);
}

/// Frames of a provider, and how they are framed: in its order or in another's.
const FORWARDED: &str = concat!(
    r#"{"type":"response.created","sequence_number":0,"response":{"id":"resp_theirs","created_at":1600000000,"model":"theirs","output":[]}}"#,
    "\n",
    r#"{"type":"response.output_item.added","sequence_number":1,"output_index":0,"item":{"id":"ws","type":"web_search_call","status":"in_progress"}}"#,
    "\n",
    r#"{"type":"response.output_item.done","sequence_number":2,"output_index":0,"item":{"id":"ws","type":"web_search_call","status":"completed"}}"#,
    "\n",
    r#"{"type":"response.output_item.added","sequence_number":3,"output_index":1,"item":{"id":"msg_theirs","type":"message","status":"in_progress","role":"assistant","content":[]}}"#,
    "\n",
    r#"{"type":"response.content_part.added","sequence_number":4,"item_id":"msg_theirs","output_index":1,"content_index":0,"part":{"type":"output_text","text":"","annotations":[],"logprobs":[]}}"#,
    "\n",
    r#"{"type":"response.output_text.delta","sequence_number":5,"item_id":"msg_theirs","output_index":1,"content_index":0,"delta":"one","logprobs":[],"obfuscation":"x"}"#,
    "\n",
    r#"{"type":"response.output_text.delta","sequence_number":6,"item_id":"msg_theirs","output_index":1,"content_index":0,"delta":" \"two\"","logprobs":[],"obfuscation":"xyz"}"#,
    "\n",
    r#"{"type":"response.output_text.delta","sequence_number":7,"item_id":"msg_theirs","output_index":1,"content_index":0,"delta":" three","logprobs":[],"obfuscation":""}"#,
);

fn frames(line_end: &str) -> Vec<Vec<u8>> {
    let frame = |data: &str| {
        let kind: Value = serde_json::from_str(data).unwrap();
        let kind = kind["type"].as_str().unwrap();
        format!("event: {kind}{line_end}data: {data}{line_end}{line_end}").into_bytes()
    };
    FORWARDED.lines().map(frame).collect()
}

/// Whatever another provider adds, it joins the item that the first one began.
#[test]
fn a_continuation_joins_what_was_forwarded() {
    for line_end in ["\n", "\r\n", "\r"] {
        let frames = frames(line_end);
        for together in [1, 2, frames.len()] {
            let (mut writer, mut out) = (writer(), Vec::new());
            let start = Event::Start { id: "of another form".into(), model: "theirs".into() };
            writer.event(&mut out, &start);
            for frames in frames.chunks(together) {
                writer.forwarded(&frames.concat());
                out.extend_from_slice(&frames.concat());
            }
            writer.event(&mut out, &text(" four"));
            writer.event(&mut out, &call(0, Some(("c", "f")), "{}"));
            finish(&mut writer, &mut out, FinishReason::ToolCalls);
            let (response, types) = accumulated(&out);
            assert_eq!(response["output"][0]["status"], "completed");
            let message = &response["output"][1];
            assert_eq!(message["content"][0]["text"], "one \"two\" three four");
            assert_eq!(message["id"], "msg_theirs");
            assert_eq!(response["output"][2]["id"], "fc_07_2");
            let names = [&response["id"], &response["model"], &response["created_at"]];
            assert_eq!(names, [&json!("resp_theirs"), &json!("theirs"), &json!(1_600_000_000)]);
            let count = |kind: &str| types.iter().filter(|it| *it == kind).count();
            assert_eq!(
                (count("created"), count("output_item.added"), count("completed")),
                (1, 3, 1)
            );
        }
    }
}

/// Where a provider breaks off makes no difference to that.
#[test]
fn a_continuation_joins_at_every_frame() {
    let whole = written(&[thought("hm"), text("a"), text("b")], FinishReason::Stop);
    let whole = String::from_utf8(whole).unwrap();
    let frames: Vec<_> = whole.split_inclusive("\n\n").map(str::to_owned).collect();
    for cut in 1..frames.len() {
        let (mut writer, mut out) = (writer(), Vec::new());
        writer.event(&mut out, &Event::Start { id: "resp_07".into(), model: "fake-1".into() });
        for frame in &frames[..cut] {
            writer.forwarded(frame.as_bytes());
            out.extend_from_slice(frame.as_bytes());
        }
        writer.event(&mut out, &text("c"));
        finish(&mut writer, &mut out, FinishReason::Stop);
        let numbers: Vec<_> = data(&out).iter().map(|it| it["sequence_number"].clone()).collect();
        assert_eq!(numbers, (0..numbers.len()).map(Value::from).collect::<Vec<_>>(), "{cut}");
        let last = data(&out).pop().unwrap();
        assert_eq!(last["type"], "response.completed", "{cut}");
        let said: String = (last["response"]["output"].as_array().unwrap().iter())
            .filter(|item| item["type"] == "message")
            .flat_map(|item| item["content"].as_array().unwrap())
            .map(|part| part["text"].as_str().unwrap())
            .collect();
        let before = frames[..cut].iter().filter(|it| it.contains("output_text.delta")).count();
        assert_eq!(said, "ab"[..before].to_owned() + "c", "{cut}");
    }
}

#[test]
fn a_forwarded_end_is_not_written_again() {
    for kind in ["completed", "incomplete"] {
        let (mut writer, mut out) = (writer(), Vec::new());
        let frame = format!("data: {{\"type\":\"response.{kind}\",\"response\":{{}}}}\n\n");
        writer.forwarded(frame.as_bytes());
        finish(&mut writer, &mut out, FinishReason::Stop);
        assert_eq!(out, b"");
    }
}

/// An answer that is forwarded whole is no stream of frames.
#[test]
fn a_whole_answer_is_not_kept() {
    let mut writer = writer_of(r#"{"input":"hi"}"#);
    writer.forwarded(b"{\n\"output\": []}");
    assert!(writer.forwarded.is_none());
}

#[test]
fn items_beyond_the_bound_are_left_out() {
    let (mut writer, mut out) = (writer(), Vec::new());
    let image = "A".repeat(3 * 1024 * 1024);
    for place in 0..3 {
        let frame = format!(
            "data: {{\"type\":\"response.output_item.done\",\"sequence_number\":{place},\
             \"output_index\":{place},\"item\":{{\"id\":\"ig\",\"type\":\"image_generation_call\",\
             \"result\":\"{image}\"}}}}\n\n"
        );
        writer.forwarded(frame.as_bytes());
    }
    writer.event(&mut out, &text("x"));
    finish(&mut writer, &mut out, FinishReason::Stop);
    let events = data(&out);
    assert_eq!(events[0]["output_index"], 3);
    let output = events.last().unwrap()["response"]["output"].as_array().unwrap();
    assert_eq!(output.len(), 2, "one image and the message");
}

/// The function that stood for a custom tool is that tool again, beside others.
#[test]
fn a_custom_tool_is_called_by_its_text() {
    let body = r#"{"input":"hi","stream":true,"tools":[{"type":"custom","name":"apply_patch"},
        {"type":"function","name":"f","parameters":{}}]}"#;
    let events = [
        call(0, Some(("c1", "apply_patch")), ""),
        call(1, Some(("c2", "f")), "{\"a\""),
        call(0, None, "{\"input\":\"*** Be"),
        call(1, None, ":1}"),
        call(0, None, "gin\\n\"}"),
    ];
    let (mut writer, mut out) = (writer_of(body), Vec::new());
    events.iter().for_each(|event| writer.event(&mut out, event));
    finish(&mut writer, &mut out, FinishReason::ToolCalls);
    let (response, types) = accumulated(&out);
    let expected = json!([
        {"id": "ctc_07_0", "type": "custom_tool_call", "status": "completed", "call_id": "c1",
            "name": "apply_patch", "input": "*** Begin\n"},
        {"id": "fc_07_1", "type": "function_call", "status": "completed", "call_id": "c2",
            "name": "f", "arguments": "{\"a\":1}"},
    ]);
    assert_eq!(response["output"], expected);
    let custom = types.iter().filter(|kind| kind.contains("custom")).count();
    assert_eq!(custom, 2, "the whole text at once, then that it is complete: {types:?}");

    let mut answer = Collected::default();
    events.iter().for_each(|event| answer.add(event));
    let mut out = Vec::new();
    writer_of(body).write_complete(&mut out, &answer);
    assert_eq!(serde_json::from_slice::<Value>(&out).unwrap()["output"], expected);
}
