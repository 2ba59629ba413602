//! What providers' protocols make of an answer's steps.

use super::*;

const ASKED: &str = r#"{"message":"q","model":"m"}"#;

fn config(keys: &str) -> String {
    format!("[providers.a]\nbase_url = \"http://a\"\n{keys}\n[models.m]\ntargets = [\"a/x\"]")
}

/// The lines of the log that say what the client read and what became of it.
fn read(keys: &str, script: &[Step<'_>]) -> Vec<String> {
    let mut bench = Bench::new(ClientProtocol::Token, ASKED, &config(keys));
    for step in script {
        bench.step(step);
    }
    let said = |line: &String| ["call", "body", "settle"].iter().any(|it| line.starts_with(it));
    bench.log.into_iter().filter(said).collect()
}

const WHOLE: &str = r#"{"id":"c","model":"x","choices":[{"message":{"content":"Hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":2}}"#;
const JSON: &str = "application/json";
const TOKENS: &str =
    r#"body data: {"token":"Hi"}|data: {"done":true,"fallback":false,"model":"x","tokens":2}|"#;

/// C3. One that is configured so is asked for a whole answer at once.
#[test]
fn who_cannot_stream_answers_in_one_delta() {
    let keys = "protocol = \"openai\"\nstream = false";
    assert_eq!(
        read(keys, &[HeadOf(0, 200, JSON), Bytes(0, WHOLE), Over(0)]),
        ["call 0 a/x whole", TOKENS, "settle stop [a/x whole finished 0 ms]"]
    );
}

/// C3. One that says so is asked again for a whole answer.
#[test]
fn who_refuses_to_stream_answers_in_one_delta() {
    let refusal = r#"{"error":{"message":"Unsupported value: 'stream' does not support true with this model.","param":"stream"}}"#;
    let script = [
        HeadOf(0, 400, JSON),
        Bytes(0, refusal),
        Over(0),
        HeadOf(1, 200, JSON),
        Bytes(1, WHOLE),
        Over(1),
    ];
    assert_eq!(
        read("protocol = \"openai\"", &script),
        [
            "call 0 a/x stream",
            "call 1 a/x whole",
            TOKENS,
            "settle stop [a/x stream stream_unsupported 0 ms; a/x whole finished 0 ms]",
        ]
    );
}

const LINE: &str = "{\"model\":\"x\",\"message\":{\"content\":\"Hi\"},\"done\":false}\n";
const LAST_LINE: &str = r#"{"model":"x","message":{"content":""},"done":true,"done_reason":"stop","prompt_eval_count":1,"eval_count":2}"#;

/// Whatever a body is called that is asked for as lines: the last one ends it, with and without a
/// line's end.
#[test]
fn lines_are_a_stream_by_any_name() {
    for (name, last) in
        [("application/x-ndjson", format!("{LAST_LINE}\n")), (JSON, LAST_LINE.into())]
    {
        let script = [HeadOf(0, 200, name), Bytes(0, LINE), Bytes(0, &last), Over(0)];
        let log = read("protocol = \"ollama\"", &script);
        assert_eq!(log[1], r#"body data: {"token":"Hi"}|"#, "{name}");
        let done = r#"body data: {"token":""}|data: {"done":true,"fallback":false,"model":"x","tokens":2}|"#;
        assert_eq!(log[2], done, "{name}");
        assert_eq!(log[3], "settle stop [a/x stream finished 0 ms]", "{name}");
    }
}

#[test]
fn lines_without_the_last_are_cut() {
    let script = [HeadOf(0, 200, "application/x-ndjson"), Bytes(0, LINE), Over(0)];
    let log = read("protocol = \"ollama\"\ncontinuation = \"stop\"", &script);
    assert!(log.last().unwrap().contains("stream_cut"), "{log:?}");
}

const CHUNK: &str = "data: {\"modelVersion\":\"x\",\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"Hi\"}]}}]}\r\n\r\n";
const LAST_CHUNK: &str = "data: {\"candidates\":[{\"finishReason\":\"STOP\"}],\"usageMetadata\":{\"promptTokenCount\":1,\"candidatesTokenCount\":2}}\r\n\r\n";

/// A stream without an end mark is complete if it says why the model finished.
#[test]
fn geminis_stream_ends_with_a_reason_or_is_cut() {
    let keys = "protocol = \"gemini\"\ncontinuation = \"stop\"";
    let script = [HeadOf(0, 200, SSE), Bytes(0, CHUNK), Bytes(0, LAST_CHUNK), Over(0)];
    let log = read(keys, &script);
    assert_eq!(log.last().unwrap(), "settle stop [a/x stream finished 0 ms]");
    let log = read(keys, &[HeadOf(0, 200, SSE), Bytes(0, CHUNK), Over(0)]);
    assert!(log.last().unwrap().contains("stream_cut"), "{log:?}");
}

/// An error answer is not handed to who reads another protocol.
#[test]
fn a_refusal_is_told_in_the_clients_protocol() {
    let script = [
        HeadOf(0, 422, JSON),
        Bytes(0, r#"{"error":{"code":422,"message":"too hot","status":"INVALID_ARGUMENT"}}"#),
        Over(0),
    ];
    let body = r#"{"model":"m","messages":[{"role":"user","content":"q"}]}"#;
    let mut bench = Bench::new(ClientProtocol::OpenAi, body, &config("protocol = \"gemini\""));
    script.iter().for_each(|step| bench.step(step));
    let told = bench.log.iter().find(|line| line.starts_with("body")).unwrap();
    assert!(told.contains("request_rejected") && told.contains("too hot"), "{told}");
    assert!(bench.log.iter().any(|line| line.starts_with("head 422")), "{:?}", bench.log);
}
