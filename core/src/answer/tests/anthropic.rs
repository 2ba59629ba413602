//! Answers to and from Anthropic Messages: what is forwarded, what a broken answer costs, and how
//! another provider goes on with it.

use super::*;
use crate::chat::Usage;

const CONFIG: &str = r#"
[providers.a]
protocol = "anthropic"
base_url = "http://a/v1"

[providers.b]
protocol = "openai"
base_url = "http://b/v1"

[models.m]
targets = ["a/unheard-of", "b/gpt-4-turbo"]
"#;

const ASKED: &str = r#"{"model":"m","max_tokens":500,"stream":true,
    "messages":[{"role":"user","content":"hi"}]}"#;

macro_rules! vector {
    ($name:literal) => {
        include_str!(concat!("../../../../tests/vectors/anthropic/", $name))
    };
}

fn bench(body: &str) -> Bench {
    Bench::new(ClientProtocol::Anthropic, body, CONFIG)
}

/// All that the client got, and how the answer ended.
fn body(bench: &Bench) -> String {
    let bodies = bench.log.iter().filter_map(|line| line.strip_prefix("body "));
    bodies.collect::<String>().replace('|', "\n\n")
}

/// The first frames of a stream, up to the one that has `last` in it.
fn frames_to<'a>(stream: &'a str, last: &str) -> &'a str {
    let at = stream.find(last).unwrap();
    &stream[..at + stream[at..].find("\n\n").unwrap() + 2]
}

#[test]
fn frames_of_the_same_protocol_go_through_byte_for_byte() {
    for stream in [
        vector!("text.stream"),
        vector!("tools.stream"),
        vector!("reasoning.stream"),
        vector!("length.stream"),
    ] {
        for cuts in [(stream.len(), stream.len()), (1, 200), (500, 512), (700, 900)] {
            let first = stream.floor_char_boundary(cuts.0);
            let second = stream.floor_char_boundary(cuts.1);
            let mut bench = bench(ASKED);
            bench.step(&HeadOf(0, 200, SSE));
            for part in [&stream[..first], &stream[first..second], &stream[second..]] {
                bench.step(&Bytes(0, part));
            }
            assert_eq!(body(&bench), stream);
            assert!(bench.log.iter().any(|line| line == "head 200 text/event-stream"));
        }
    }
    let whole = ASKED.replace("\"stream\":true,", "");
    for answer in [vector!("text.whole"), vector!("tools.whole")] {
        let mut bench = bench(&whole);
        [HeadOf(0, 200, "application/json"), Bytes(0, answer), Over(0)]
            .iter()
            .for_each(|step| bench.step(step));
        assert_eq!(body(&bench), answer);
    }
}

#[test]
fn a_limit_is_always_sent() {
    assert_eq!(bench(ASKED).log[0], "call 0 a/unheard-of stream max 500 by requested");
    let body = r#"{"model":"m","messages":[{"role":"user","content":"hi"}]}"#;
    let bench = Bench::new(ClientProtocol::OpenAi, body, CONFIG);
    assert_eq!(bench.log[0], "call 0 a/unheard-of whole max 4096 by model");
}

/// The usage in `message_start` is no more than a placeholder for the answer's.
#[test]
fn a_cut_stream_costs_what_came_of_it() {
    let begun = frames_to(vector!("text.stream"), "😀");
    for end in [Over(0), Hangup, Lost(0, crate::failure::Reason::Lost)] {
        let config = format!("{CONFIG}\n[fallback]\nmidstream = \"stop\"");
        let gateway = Gateway::new(Config::parse(&config, |_| None).unwrap());
        let mut answer = Bench::of(&gateway, ClientProtocol::Anthropic, ASKED).answer;
        let mut usage = None;
        let id = AttemptId::for_test(0);
        let head = UpstreamHead { status: 200, content_type: SSE, ..UpstreamHead::default() };
        let end = match end {
            Hangup => Input::Hangup,
            Lost(..) => Input::Lost { attempt: id, failure: crate::failure::Reason::Lost.into() },
            _ => Input::End { attempt: id },
        };
        let bytes = Input::Bytes { attempt: id, bytes: begun.as_bytes() };
        for input in [Input::Head { attempt: id, head }, bytes, end] {
            answer.handle(Instant::ZERO, input);
            loop {
                match answer.poll() {
                    Output::Settle(settlement) => usage = Some(settlement.usage),
                    Output::Wait { .. } => break,
                    _ => {}
                }
            }
        }
        let usage = usage.unwrap();
        assert!((3..10).contains(&usage.output_tokens), "{usage:?}");
        let (input_tokens, cached_tokens, estimated) = (12, 4, true);
        let expected = Usage { input_tokens, cached_tokens, estimated, ..Usage::default() };
        assert_eq!(Usage { output_tokens: 0, ..usage }, expected);
    }
}

/// An answer that another provider goes on with is one message: the text goes on in the block that
/// is open, or in the next.
#[test]
fn another_provider_goes_on_in_the_open_block() {
    let stream = vector!("text.stream");
    let rows = [
        (", wörld ", 0, r#""index":0"#),
        ("content_block_stop", 1, r#""content_block":{"text":"","type":"text"},"index":1"#),
    ];
    for (last, index, next) in rows {
        let mut bench = bench(ASKED);
        let begun = frames_to(stream, last);
        let go_on = "data: {\"choices\":[{\"delta\":{\"content\":\"and more\"}}]}\n\n";
        for step in [
            HeadOf(0, 200, SSE),
            Bytes(0, begun),
            Over(0),
            HeadOf(1, 200, SSE),
            Bytes(1, go_on),
            Bytes(1, STOP),
            Bytes(1, USAGE),
            Bytes(1, DONE),
        ] {
            bench.step(&step);
        }
        let said = if index == 0 { "Hello, wörld " } else { "Hello, wörld 😀!" };
        assert_eq!(bench.asked, ["a: hi".into(), format!("b: hi, {said}")]);
        let body = body(&bench);
        let rest = body.strip_prefix(begun).unwrap();
        assert!(rest.split_once("\n\n").unwrap().0.contains(next), "{rest}");
        let delta = format!(
            r#"{{"type":"content_block_delta","index":{index},"delta":{{"type":"text_delta","text":"and more"}}}}"#
        );
        assert!(rest.contains(&delta), "{rest}");
        let stop = format!(r#"{{"index":{index},"type":"content_block_stop"}}"#);
        assert_eq!(rest.matches("content_block_stop\"}").count(), 1, "{rest}");
        assert!(rest.contains(&stop), "{rest}");
        let end = rest.split_once("event: message_delta").unwrap().1;
        assert!(end.contains("\"stop_reason\":\"end_turn\""), "{rest}");
        // What both prompts cost, 12 and 3, without what came from a cache.
        assert!(end.contains("\"input_tokens\":11"), "{rest}");
        assert!(end.contains("\"estimated\":true"), "{rest}");
        assert!(end.ends_with("event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"));
    }
}

#[test]
fn a_failure_is_an_error_event_once_the_answer_has_begun() {
    let begun = frames_to(vector!("tools.stream"), "ci");
    let mut bench = bench(ASKED);
    for step in [HeadOf(0, 200, SSE), Bytes(0, begun), Over(0)] {
        bench.step(&step);
    }
    let body = body(&bench);
    let error = body.strip_prefix(begun).unwrap();
    let (name, data) = error.trim_end().split_once('\n').unwrap();
    assert_eq!(name, "event: error");
    let data: serde_json::Value =
        serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
    assert_eq!(data["error"]["type"], "api_error");
    assert_eq!(data["error"]["message"], "The stream ended before the answer was complete.");
    assert!(data["request_id"].as_str().is_some_and(|id| id.ends_with('7')));
}

#[test]
fn a_failure_before_the_answer_is_a_status_and_a_body() {
    let bench = bench(&ASKED.replace("\"max_tokens\":500,", ""));
    assert_eq!(bench.log[0], "head 400 application/json");
    let body: serde_json::Value = serde_json::from_str(&body(&bench)).unwrap();
    assert_eq!(body["type"], "error");
    assert_eq!(body["error"]["type"], "invalid_request_error");
    let message = body["error"]["message"].as_str().unwrap();
    assert!(message.starts_with("max_tokens: "), "{message}");
}
