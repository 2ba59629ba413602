//! Answers to clients of OpenAI Responses, whose last event is finish and end mark in one.

use super::*;

const BODY: &str = r#"{"model":"m","input":"hi","stream":true}"#;
const HELLO: &str = include_str!("../../../../tests/vectors/responses/text.stream");
const ON_FIRE: &str = include_str!("../../../../tests/vectors/responses/error.stream");

fn log_with(config: &str, script: &[Step<'_>]) -> Vec<String> {
    let mut bench = Bench::new(ClientProtocol::Responses, BODY, config);
    script.iter().for_each(|step| bench.step(step));
    bench.log
}

fn said_with(config: &str, script: &[Step<'_>]) -> String {
    let log = log_with(config, script);
    let bodies = log.iter().filter_map(|line| line.strip_prefix("body "));
    bodies.collect::<String>().replace('|', "\n\n")
}

fn log(script: &[Step<'_>]) -> Vec<String> {
    log_with(&CONFIG.replacen("\"openai\"", "\"responses\"", 1), script)
}

fn said(script: &[Step<'_>]) -> String {
    said_with(&CONFIG.replacen("\"openai\"", "\"responses\"", 1), script)
}

#[test]
fn a_stream_goes_through_as_it_came() {
    assert_eq!(said(&[HeadOf(0, 200, SSE), Bytes(0, HELLO), Over(0)]), HELLO);
    // Who forgets to end the response is not waited for long.
    assert_eq!(said(&[HeadOf(0, 200, SSE), Bytes(0, HELLO), After(2000)]), HELLO);
    let log = log(&[HeadOf(0, 200, SSE), Bytes(0, HELLO), Over(0)]);
    let settled = "settle stop [a/gpt-4-turbo stream finished 0 ms]";
    assert_eq!(log[log.len() - 2], settled);
}

/// The last event repeats the answer, which may be longer than what is held for other reasons.
#[test]
fn a_long_answer_ends_as_it_came() {
    let stream = HELLO.replace("wörld", &"wörld ".repeat(100_000));
    assert_eq!(said(&[HeadOf(0, 200, SSE), Bytes(0, &stream), Over(0)]), stream);
}

#[test]
fn a_break_is_continued_within_the_same_message() {
    let cut = HELLO.find("event: response.output_text.done").unwrap();
    let rest = "data: {\"choices\":[{\"delta\":{\"content\":\" Bye.\"}}]}\n\n";
    let said = said(&[
        HeadOf(0, 200, SSE),
        Bytes(0, &HELLO[..cut]),
        Over(0),
        HeadOf(1, 200, SSE),
        Bytes(1, rest),
        Bytes(1, STOP),
        Bytes(1, DONE),
    ]);
    let (forwarded, joined) = said.split_at(cut);
    assert_eq!(forwarded, &HELLO[..cut]);
    let types: Vec<_> =
        joined.lines().filter_map(|line| line.strip_prefix("event: response.")).collect();
    let expected = [
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ];
    assert_eq!(types, expected);
    let last = joined.lines().rfind(|line| line.starts_with("data: ")).unwrap();
    let last: serde_json::Value = serde_json::from_str(&last["data: ".len()..]).unwrap();
    assert_eq!(last["sequence_number"], 12);
    let response = &last["response"];
    assert_eq!((&response["id"], &response["model"]), (&"resp_1".into(), &"fake-1".into()));
    assert_eq!(response["output"][0]["id"], "msg_0");
    assert_eq!(response["output"][0]["content"][0]["text"], "Hello, wörld 😀! Bye.");
    assert_eq!(response["usage"]["estimated"], true);
}

#[test]
fn an_error_within_the_stream_ends_the_response() {
    let config = with_fallback("midstream = \"stop\"").replacen("\"openai\"", "\"responses\"", 1);
    let said = said_with(&config, &[HeadOf(0, 200, SSE), Bytes(0, ON_FIRE)]);
    let cut = ON_FIRE.find("event: error").unwrap();
    assert_eq!(said[..cut], ON_FIRE[..cut]);
    let error = "event: error\ndata: {\"type\":\"error\",\"sequence_number\":5,";
    assert!(said[cut..].starts_with(error), "{said}");
    let ends = said[cut..].matches("event: response.failed").count();
    assert_eq!((ends, said[cut..].matches("event: ").count()), (1, 2), "{said}");
    assert!(said.contains("The engine is on fire."), "{said}");
}
