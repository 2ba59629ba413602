//! Refusals for too many tokens: what is learned, who is asked again, and what the client is told.

use super::*;

const ASKED: &str =
    r#"{"model":"m","messages":[{"role":"user","content":"hi"}],"stream":true,"max_tokens":32000}"#;

const TWO: &str = r#"
[providers.a]
protocol = "openai"
base_url = "http://a/v1"

[providers.b]
protocol = "openai"
base_url = "http://b/v1"

[models.m]
targets = ["a/mine", "b/mine"]
max_output_tokens = 65536

[models.small-first]
targets = ["a/gpt-4", "b/gpt-4-turbo"]
"#;

const TOO_LARGE: &str = r#"{"error":{"message":"max_tokens is too large: 32000. This model supports at most 4096 completion tokens, whereas you provided 32000.","code":"invalid_value"}}"#;
const NO_ROOM: &str = r#"{"message":"This model's maximum context length is 8192 tokens. However, you requested 33000 tokens (1000 in the messages, 32000 in the completion)."}"#;
const TOO_LONG: &str = r#"{"error":{"message":"This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens.","code":"context_length_exceeded"}}"#;

fn gateway() -> Gateway {
    Gateway::new(Config::parse(&format!("{TWO}\n[fallback]\nretries = 0"), |_| None).unwrap())
}

/// What of a script's log is a call or an end.
fn calls(gateway: &Gateway, body: &str, script: &[Step<'_>]) -> Vec<String> {
    let mut bench = Bench::of(gateway, ClientProtocol::OpenAi, body);
    script.iter().for_each(|step| bench.step(step));
    bench.log.retain(|line| line.starts_with("call") || line.starts_with("settle"));
    bench.log
}

fn refused(attempt: u32, status: u16, text: &str) -> [Step<'_>; 3] {
    [HeadOf(attempt, status, "application/json"), Bytes(attempt, text), Over(attempt)]
}

#[test]
fn a_learned_limit_is_asked_for_at_once_and_from_then_on() {
    let gateway = gateway();
    let mut script = Vec::from(refused(0, 400, TOO_LARGE));
    script.extend([HeadOf(1, 200, SSE), Bytes(1, HI), Bytes(1, STOP), Bytes(1, DONE)]);
    assert_eq!(
        calls(&gateway, ASKED, &script),
        [
            "call 0 a/mine stream max 32000 by requested",
            "call 1 a/mine stream max 4096 by learned",
            "settle stop [a/mine stream max_tokens_too_large 0 ms; a/mine stream finished 0 ms]",
        ]
    );
    let again = calls(&gateway, ASKED, &[]);
    assert_eq!(again, ["call 0 a/mine stream max 4096 by learned"]);
    let row = &gateway.learned().rows()[0];
    assert_eq!((row.endpoint.as_str(), row.model.as_str()), ("http://a/v1", "mine"));
    assert_eq!((row.max_output, row.source.as_str()), (Some(4096), "openai"));
    assert_eq!(row.learned_at, 1_700_000_000);
    let elsewhere = ASKED.replace("\"m\"", "\"small-first\"");
    assert_eq!(calls(&gateway, &elsewhere, &[])[0], "call 0 a/gpt-4 stream max 4096 by model");
}

#[test]
fn what_the_prompt_leaves_of_a_learned_window_is_asked_for() {
    for status in [400, 422, 500] {
        let script = refused(0, status, NO_ROOM);
        let calls = calls(&gateway(), ASKED, &script);
        assert_eq!(calls[1], "call 1 a/mine stream max 7192 by context", "{status}");
    }
}

#[test]
fn an_answer_wanted_whole_is_asked_again_whole() {
    let whole = ASKED.replace(",\"stream\":true", "");
    let calls = calls(&gateway(), &whole, &refused(0, 400, TOO_LARGE));
    assert_eq!(calls[1], "call 1 a/mine whole max 4096 by learned");
}

#[test]
fn who_contradicts_itself_is_not_asked_for_ever_and_the_user_never_reads_it() {
    let less = TOO_LARGE.replace("4096", "2048");
    let mut script = Vec::from(refused(0, 400, TOO_LARGE));
    script.extend(refused(1, 400, &less));
    script.extend(refused(2, 400, TOO_LARGE));
    script.extend(refused(3, 400, TOO_LARGE));
    let calls = calls(&gateway(), ASKED, &script);
    let [_, again, next, next_again, end] = &calls[..] else { panic!("{calls:?}") };
    assert_eq!(again, "call 1 a/mine stream max 4096 by learned");
    assert_eq!(next, "call 2 b/mine stream max 32000 by requested");
    assert_eq!(next_again, "call 3 b/mine stream max 4096 by learned");
    assert!(end.starts_with("settle max_tokens_too_large"), "{end}");
    let nonsense = TOO_LARGE.replace("at most 4096", "at most 99000");
    let calls = self::calls(&gateway(), ASKED, &refused(0, 400, &nonsense));
    assert_eq!(calls[1], "call 1 b/mine stream max 32000 by requested");
}

#[test]
fn a_refusal_about_something_else_goes_back_as_it_is() {
    let other = r#"{"error":{"message":"temperature must be less than or equal to 2"}}"#;
    let calls = calls(&gateway(), ASKED, &refused(0, 400, other));
    assert_eq!(calls[1], "settle request_rejected [a/mine stream request_rejected 0 ms]");
}

#[test]
fn a_conversation_that_is_too_long_for_one_goes_to_a_larger_window() {
    let gateway = gateway();
    let body = ASKED.replace("\"m\"", "\"small-first\"");
    let calls = calls(&gateway, &body, &refused(0, 400, TOO_LONG));
    assert_eq!(calls[1], "call 1 b/gpt-4-turbo stream max 4096 by model");
    assert_eq!(gateway.learned().rows()[0].context_window, Some(8192));
}

#[test]
fn a_conversation_too_long_by_any_estimate_is_not_sent() {
    let long = "lorem ipsum ".repeat(20_000);
    let body = ASKED.replace("\"m\"", "\"small-first\"").replace("hi", &long);
    let calls = calls(&gateway(), &body, &[]);
    assert_eq!(calls[0], "call 0 b/gpt-4-turbo stream max 4096 by model");
    let longer = "lorem ipsum ".repeat(200_000);
    let body = ASKED.replace("\"m\"", "\"small-first\"").replace("hi", &longer);
    let bench = Bench::of(&gateway(), ClientProtocol::OpenAi, &body);
    assert_eq!(bench.log[0], "head 400 application/json");
    let told = &bench.log[1];
    assert!(told.contains("context_length_exceeded"), "{told}");
    assert!(told.contains("maximum context length is 128000 tokens"), "{told}");
}

#[test]
fn an_engine_counts_exactly_and_the_next_target_is_asked() {
    let config =
        TWO.replace("[\"a/mine\"", "[\"here/tiny\"") + "\n[providers.here]\nprotocol = \"local\"";
    let mut bench = Bench::new(ClientProtocol::OpenAi, ASKED, &config);
    let overflow = crate::failure::Overflow { input: 9000, window: 8192 };
    let failure = Failure::too_long(overflow, true);
    assert_eq!(
        failure.message(),
        "The conversation has 9000 tokens, 808 too many for a context window of 8192."
    );
    bench.answer.handle(bench.now, Input::Lost { attempt: AttemptId::for_test(0), failure });
    bench.drain();
    assert!(bench.log.contains(&"call 1 b/mine stream max 32000 by requested".into()));
}

#[test]
fn what_was_delivered_counts_when_an_answer_is_continued() {
    let begun = format!(
        "data: {{\"choices\":[{{\"delta\":{{\"content\":\"{}\"}}}}]}}\n\n",
        "x".repeat(300)
    );
    let script = [HeadOf(0, 200, SSE), Bytes(0, &begun), Over(0)];
    let body = ASKED.replace("32000", "500");
    let calls = calls(&gateway(), &body, &script);
    assert_eq!(calls[1], "call 1 b/mine stream max 394 by requested");
}
