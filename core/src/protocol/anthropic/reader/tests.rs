use super::*;
use crate::failure::{Failure, Reason};
use crate::sse::Decoder;

/// What a stream tells, texts of one kind joined, and how it ended.
fn read_stream(stream: &[u8]) -> (Vec<String>, Result<Step, ReadError>) {
    let mut told = Told::default();
    let mut reader = StreamReader::default();
    let mut decoder = Decoder::new(1 << 20);
    let mut rest = stream;
    while let Some(event) = decoder.next(&mut rest).unwrap() {
        match reader.read(event.data, &mut |event| told.add(&event)) {
            Ok(Step::More) => {}
            end => return (told.0, end),
        }
    }
    (told.0, Ok(Step::More))
}

#[derive(Default)]
struct Told(Vec<String>);

impl Told {
    fn add(&mut self, event: &Event<'_>) {
        let (name, more) = match event {
            Event::Start { id, model } => return self.0.push(format!("start {id} {model}")),
            Event::Text(text) => ("text ".to_owned(), text),
            Event::Reasoning(text) => ("reasoning ".to_owned(), text),
            Event::Refusal(text) => ("refusal ".to_owned(), text),
            Event::ToolCall(call) => {
                if let (Some(id), Some(name)) = (&call.id, &call.name) {
                    self.0.push(format!("call {} {id} {name} ", call.index));
                }
                (format!("call {} ", call.index), &call.arguments)
            }
            Event::Prompt(usage) => return self.0.push(format!("prompt {}", usage.input_tokens)),
            Event::Usage(usage) => {
                let Usage { input_tokens, cached_tokens, output_tokens, .. } = usage;
                let thought = usage.reasoning_tokens;
                let line =
                    format!("usage {input_tokens}/{cached_tokens} {output_tokens}/{thought}");
                return self.0.push(line);
            }
            Event::Finish(reason) => return self.0.push(format!("finish {}", reason.as_str())),
            Event::Other(name) => return self.0.push(format!("other {name}")),
            Event::Warning(_) => unreachable!("readers warn of nothing"),
        };
        match self.0.last_mut() {
            Some(last) if last.starts_with(&name) => last.push_str(more),
            _ => self.0.push(name + more),
        }
    }
}

/// Each row: events, and what they tell.
#[test]
fn reads_what_providers_send() {
    let rows: &[(&[&str], &[&str])] = &[
        // What the prompt cost comes first, and counts where the end does not say it again.
        (
            &[
                r#"{"type":"message_start","message":{"id":"i","model":"m","content":[],"usage":{"input_tokens":3,"cache_read_input_tokens":4,"cache_creation_input_tokens":5,"output_tokens":1}}}"#,
                r#"{"type":"message_delta","delta":{},"usage":{"output_tokens":7}}"#,
            ],
            &["start i m", "prompt 12", "usage 12/4 7/0"],
        ),
        (&[r#"{"type":"ping","cost":"0"}"#, r#"{"type":"vision_start","index":3}"#], &[]),
        // A call without arguments is made with none, and not with nothing.
        (
            &[
                r#"{"type":"content_block_start","index":4,"content_block":{"type":"tool_use","id":"t","name":"now","input":{}}}"#,
                r#"{"type":"content_block_delta","index":4,"delta":{"type":"input_json_delta","partial_json":""}}"#,
                r#"{"type":"content_block_stop","index":4}"#,
            ],
            &["call 0 t now {}"],
        ),
        // Some say all at the start.
        (
            &[
                r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":"Hi"}}"#,
                r#"{"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"t","name":"f","input":{"x":1}}}"#,
                r#"{"type":"content_block_stop","index":1}"#,
            ],
            &["text Hi", r#"call 0 t f {"x":1}"#],
        ),
        // Interleaved blocks keep their own calls.
        (
            &[
                r#"{"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"t","name":"f","input":{}}}"#,
                r#"{"type":"content_block_start","index":2,"content_block":{"type":"tool_use","id":"u","name":"g","input":{}}}"#,
                r#"{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"1"}}"#,
                r#"{"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"2"}}"#,
            ],
            &["call 0 t f ", "call 1 u g ", "call 0 1", "call 1 2"],
        ),
        (
            &[
                r#"{"type":"message_delta","delta":{"stop_reason":"refusal","stop_details":{"type":"refusal","category":"bio","explanation":"Not this."}},"usage":{"output_tokens":1}}"#,
            ],
            &["refusal Not this.", "finish content_filter", "usage 0/0 1/0"],
        ),
        (
            &[
                r#"{"type":"message_delta","delta":{"stop_reason":null},"usage":{"output_tokens":5}}"#,
                r#"{"type":"message_delta","delta":{"stop_reason":"model_context_window_exceeded"}}"#,
            ],
            &["usage 0/0 5/0", "finish length"],
        ),
        (&[r#"{"type":"message_delta","delta":{"stop_reason":"pause_turn"}}"#], &["finish stop"]),
    ];
    check(rows);
}

fn check(rows: &[(&[&str], &[&str])]) {
    for (events, expected) in rows {
        let stream: String = events.iter().map(|data| format!("data: {data}\n\n")).collect();
        assert_eq!(read_stream(stream.as_bytes()), (told(expected), Ok(Step::More)), "{stream}");
    }
}

/// Blocks, deltas and events of which only the protocol itself has the content.
#[test]
fn what_is_not_known_is_content_by_its_name() {
    check(&[
        (
            &[
                r#"{"type":"vision_delta","index":3,"delta":{"type":"pixels","png":"AAAA"}}"#,
                r#"{"type":"vision_stop","index":3,"reason":"done"}"#,
            ],
            &["other vision_delta", "other vision_stop"],
        ),
        // A signature alone is no content.
        (
            &[
                r#"{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}"#,
                r#"{"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"c2ln"}}"#,
                r#"{"type":"content_block_stop","index":0}"#,
                r#"{"type":"content_block_start","index":1,"content_block":{"type":"new_block","id":"b"}}"#,
            ],
            &[],
        ),
        // Blocks of the provider's own tools are none of the client's.
        (
            &[
                r#"{"type":"content_block_start","index":0,"content_block":{"type":"server_tool_use","id":"s","name":"web_search","input":{}}}"#,
                r#"{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"{\"query\":1}"}}"#,
                r#"{"type":"content_block_stop","index":0}"#,
                r#"{"type":"content_block_start","index":1,"content_block":{"type":"redacted_thinking","data":"x"}}"#,
                r#"{"type":"content_block_start","index":2,"content_block":{"type":"web_search_tool_result","tool_use_id":"s","content":{"type":"x"},"text":5}}"#,
                r#"{"type":"content_block_delta","index":3,"delta":{"type":"citations_delta","citation":{"type":"page_location","cited_text":"x"}}}"#,
            ],
            &[
                "other server_tool_use",
                "other input_json_delta",
                "other redacted_thinking",
                "other web_search_tool_result",
                "other citations_delta",
            ],
        ),
    ]);
}

fn told(lines: &[&str]) -> Vec<String> {
    lines.iter().map(|line| (*line).to_owned()).collect()
}

/// Each row: an event in place of an answer, and why.
#[test]
fn a_reported_error_is_told_apart_from_garbage() {
    let rows = [
        ("overloaded_error", Reason::Overloaded),
        ("rate_limit_error", Reason::RateLimited),
        ("invalid_request_error", Reason::Rejected),
        ("new_in_2031", Reason::InBand),
    ];
    for (kind, reason) in rows {
        let data = format!(r#"{{"type":"error","error":{{"type":"{kind}","message":"no"}}}}"#);
        let read = StreamReader::default().read(data.as_bytes(), &mut |_| panic!());
        assert_eq!(read, Err(ReadError::Provider(Failure::new(reason, "no"))));
    }
    let garbage = [
        "",
        "{",
        "[DONE]",
        "[]",
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"\ud83d"}}"#,
    ];
    for data in garbage {
        let read = StreamReader::default().read(data.as_bytes(), &mut |_| panic!());
        assert!(matches!(read, Err(ReadError::Malformed(_))), "{data}: {read:?}");
    }
}

#[test]
fn a_text_like_the_one_before_is_recognised() {
    let mut reader = StreamReader::default();
    let mut texts = Vec::new();
    for text in ["one", " \\u00fc", "\\n", ""] {
        let data = format!(
            r#"{{"type":"content_block_delta","index":7,"delta":{{"type":"thinking_delta","thinking":"{text}"}}}}"#
        );
        let known = reader.texts.recognise(data.as_bytes(), &mut |_| {});
        assert_eq!(known, !texts.is_empty());
        reader
            .read(data.as_bytes(), &mut |event| match event {
                Event::Reasoning(text) => texts.push(text.into_owned()),
                other => panic!("{other:?}"),
            })
            .unwrap();
    }
    assert_eq!(texts, ["one", " ü", "\n", ""]);
}

/// `message_start` counts one token of an answer that has none yet.
#[test]
fn a_placeholder_is_no_count() {
    let start =
        r#"{"type":"message_start","message":{"usage":{"input_tokens":10,"output_tokens":1}}}"#;
    let rows = [
        (r#"{"type":"message_delta","delta":{},"usage":{}}"#, None),
        (r#"{"type":"message_delta","delta":{}}"#, None),
        (r#"{"type":"message_delta","delta":{},"usage":{"output_tokens":7}}"#, Some((10, 7))),
    ];
    for (delta, expected) in rows {
        let (mut reader, mut prompt, mut usage) = (StreamReader::default(), None, None);
        for data in [start, delta] {
            let mut sink = |event: Event<'_>| match event {
                Event::Prompt(counted) => prompt = Some(counted.input_tokens),
                Event::Usage(counted) => {
                    usage = Some((counted.input_tokens, counted.output_tokens));
                }
                other => panic!("{other:?}"),
            };
            reader.read(data.as_bytes(), &mut sink).unwrap();
        }
        assert_eq!((prompt, usage), (Some(10), expected), "{delta}");
    }
}
