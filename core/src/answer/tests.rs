//! Whole answers, step by step: a script of inputs, and every output they lead to. The scenarios of
//! the tests package run on both shells; these show the machine's own steps and deadlines.

use std::time::Duration;

use super::*;
use crate::chat::Event;
use crate::config::Config;
use crate::gateway::{Arrival, Client, Gateway};
use crate::relay::Head as UpstreamHead;

mod anthropic;
mod limits;
mod opened;
mod providers;
mod quota;
mod responses;

const CONFIG: &str = r#"
[providers.a]
protocol = "openai"
base_url = "http://a/v1"

[providers.b]
protocol = "openai"
base_url = "http://b/v1"
api_key = { env = "KEY_B" }

[providers.here]
protocol = "local"

[models.m]
targets = ["a/gpt-4-turbo", "b/unknown"]

[models.local]
targets = ["here/tiny"]

[timeouts]
total = 100
whole = 90
"#;

/// One step of a script: what happens, after how many milliseconds.
enum Step<'a> {
    Head(u32, u16, &'a str),
    Bytes(u32, &'a str),
    Event(u32, Event<'a>),
    End(u32),
    Lost(u32, crate::failure::Reason),
    Hangup,
    Pause,
    Resume,
    After(u64),
}

use Step::{After, Bytes, End as Over, Event as Says, Hangup, Head as HeadOf, Lost, Pause, Resume};

struct Bench {
    answer: Answer,
    now: Instant,
    log: Vec<String>,
    /// Whom was sent which messages.
    asked: Vec<String>,
    /// What the user's quota says when it is asked; nothing until then.
    quota_says: Option<Result<(), Denial>>,
}

impl Bench {
    fn new(client: ClientProtocol, body: &str, config: &str) -> Self {
        let secret = |name: &str| (name == "KEY_B").then(|| "b-key".to_owned());
        Self::of(&Gateway::new(Config::parse(config, secret).unwrap()), client, body)
    }

    fn of(gateway: &Gateway, client: ClientProtocol, body: &str) -> Self {
        Self::at(gateway, Client::asked(client), body)
    }

    fn at(gateway: &Gateway, client: Client, body: &str) -> Self {
        let arrival = Arrival {
            caller: None,
            own_keys: Ok(Vec::new()),
            now: Instant::ZERO,
            unix_seconds: 1_700_000_000,
            random: 7,
            headers: Vec::new(),
        };
        let answer = gateway.answer(client, body.as_bytes(), &arrival);
        let mut bench = Self::with(answer);
        bench.drain();
        bench
    }

    fn with(answer: Answer) -> Self {
        let (log, asked) = (Vec::new(), Vec::new());
        Self { answer, now: Instant::ZERO, log, asked, quota_says: None }
    }

    fn step(&mut self, step: &Step<'_>) {
        let id = AttemptId::for_test;
        let input = match step {
            HeadOf(attempt, status, content_type) => {
                let head = UpstreamHead {
                    status: *status,
                    content_type,
                    retry_after: (*status == 429).then_some("7"),
                    ..UpstreamHead::default()
                };
                Input::Head { attempt: id(*attempt), head }
            }
            Bytes(attempt, text) => Input::Bytes { attempt: id(*attempt), bytes: text.as_bytes() },
            Says(attempt, event) => Input::Event { attempt: id(*attempt), event: event.clone() },
            Over(attempt) => Input::End { attempt: id(*attempt) },
            Lost(attempt, reason) => {
                Input::Lost { attempt: id(*attempt), failure: (*reason).into() }
            }
            Hangup => Input::Hangup,
            Pause => Input::Pause,
            Resume => Input::Resume,
            After(ms) => {
                self.now = self.now + Duration::from_millis(*ms);
                Input::Tick
            }
        };
        self.answer.handle(self.now, input);
        self.drain();
    }

    fn drain(&mut self) {
        loop {
            let line = match self.answer.poll() {
                Output::Call(call) => {
                    let said = |m: &crate::chat::Message| m.as_text().unwrap().into_owned();
                    let said: Vec<_> = call.request.messages.iter().map(said).collect();
                    self.asked.push(format!("{}: {}", call.target.provider.name, said.join(", ")));
                    let way = if call.stream { "stream" } else { "whole" };
                    let limit = call
                        .limit
                        .map(|limit| format!(" max {} by {}", limit.max_output, limit.term));
                    format!(
                        "call {} {} {way}{}",
                        call.attempt,
                        call.target,
                        limit.unwrap_or_default()
                    )
                }
                Output::Cancel { attempt } => format!("cancel {attempt}"),
                Output::Release { attempt } => format!("release {attempt}"),
                Output::Head(head) => {
                    let wait = head.headers.iter().find(|(name, _)| *name == "retry-after");
                    let wait = wait.map(|(name, value)| format!(" {name} {value}"));
                    let kind = &head.headers[0].1;
                    format!("head {} {kind}{}", head.status, wait.unwrap_or_default())
                }
                Output::Body(bytes) => {
                    format!("body {}", String::from_utf8_lossy(bytes).replace("\n\n", "|"))
                }
                Output::Quota { user, op } => {
                    self.log.push(format!("quota of {user}: {:?}", op.act));
                    if let Some(answer) = self.quota_says.take() {
                        self.answer.entered(self.now, answer);
                    }
                    continue;
                }
                Output::Settle(settlement) => {
                    let attempts: Vec<_> =
                        settlement.attempts.iter().map(ToString::to_string).collect();
                    let record = self.answer.record(&settlement);
                    let end = record.get(log::Field::End).unwrap();
                    format!("settle {end} [{}]", attempts.join("; "))
                }
                Output::Wait { until } => {
                    let until =
                        until.map(|(at, timer)| format!("{timer} {}", at.as_micros() / 1000));
                    self.log.push(format!("wait {}", until.unwrap_or_default()).trim().into());
                    return;
                }
            };
            self.log.push(line);
        }
    }
}

const STREAM: &str = r#"{"model":"m","messages":[{"role":"user","content":"hi"}],"stream":true}"#;
const WHOLE: &str = r#"{"model":"m","messages":[{"role":"user","content":"hi"}]}"#;
const SSE: &str = "text/event-stream; charset=utf-8";
const ROLE: &str =
    "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n";
const HI: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"Hi\"}}]}\n\n";
const STOP: &str = "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
const USAGE: &str =
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2}}\n\n";
const DONE: &str = "data: [DONE]\n\n";

fn with_fallback(keys: &str) -> String {
    format!("{CONFIG}\n[fallback]\n{keys}\n")
}

fn check(client: ClientProtocol, body: &str, script: &[Step<'_>], expected: &str) {
    check_with(CONFIG, client, body, script, expected);
}

fn check_with(
    config: &str,
    client: ClientProtocol,
    body: &str,
    script: &[Step<'_>],
    expected: &str,
) {
    let mut bench = Bench::new(client, body, config);
    for step in script {
        bench.step(step);
    }
    let expected: Vec<_> = expected.trim().lines().map(str::trim).collect();
    assert_eq!(bench.log, expected, "\ngot:\n{}\n", bench.log.join("\n"));
}

#[test]
fn frames_go_through_as_they_came_and_the_end_waits_for_its_mark() {
    check(
        ClientProtocol::OpenAi,
        STREAM,
        &[
            HeadOf(0, 200, SSE),
            Bytes(0, ROLE),
            After(5),
            Bytes(0, HI),
            Bytes(0, STOP),
            Bytes(0, USAGE),
            Bytes(0, DONE),
        ],
        r#"
        call 0 a/gpt-4-turbo stream
        wait Head 10000
        wait Head 10000
        wait Head 10000
        wait Head 10000
        head 200 text/event-stream
        body data: {"choices":[{"delta":{"role":"assistant","content":""}}]}|data: {"choices":[{"delta":{"content":"Hi"}}]}|
        wait Heartbeat 15005
        wait AfterFinish 2005
        wait AfterFinish 2005
        release 0
        body data: {"choices":[{"delta":{},"finish_reason":"stop"}]}|data: [DONE]|
        settle stop [a/gpt-4-turbo stream finished 5 ms]
        wait
        "#,
    );
}

#[test]
fn nothing_is_sent_until_a_rung_has_content() {
    check(
        ClientProtocol::OpenAi,
        STREAM,
        &[
            HeadOf(0, 200, SSE),
            Bytes(0, ROLE),
            Bytes(0, DONE),
            HeadOf(1, 200, "application/json"),
            Bytes(1, r#"{"choices":[{"message":{"content":""}}]}"#),
            Over(1),
            Bytes(1, "late input of an old attempt"),
            HeadOf(2, 200, SSE),
            Bytes(2, HI),
        ],
        r#"
        call 0 a/gpt-4-turbo stream
        wait Head 10000
        wait Head 10000
        wait Head 10000
        cancel 0
        call 1 a/gpt-4-turbo whole
        wait Head 10000
        wait Head 10000
        wait Head 10000
        call 2 b/unknown stream
        wait Head 10000
        wait Head 10000
        wait Head 10000
        head 200 text/event-stream
        body data: {"choices":[{"delta":{"content":"Hi"}}]}|
        wait Heartbeat 15000
        "#,
    );
}

#[test]
fn a_break_after_content_is_an_error_and_not_an_end() {
    check_with(
        &with_fallback("midstream = \"stop\""),
        ClientProtocol::OpenAi,
        STREAM,
        &[HeadOf(0, 200, SSE), Bytes(0, HI), Lost(0, crate::failure::Reason::Lost)],
        r#"
        call 0 a/gpt-4-turbo stream
        wait Head 10000
        wait Head 10000
        head 200 text/event-stream
        body data: {"choices":[{"delta":{"content":"Hi"}}]}|
        wait Heartbeat 15000
        body data: {"error":{"code":"connection_lost","message":"The connection to the provider was lost.","param":null,"type":"upstream_error"}}|
        settle connection_lost [a/gpt-4-turbo stream connection_lost 0 ms]
        wait
        "#,
    );
}

#[test]
fn what_breaks_after_the_finish_takes_nothing_back() {
    check(
        ClientProtocol::OpenAi,
        STREAM,
        &[HeadOf(0, 200, SSE), Bytes(0, HI), Bytes(0, STOP), Lost(0, crate::failure::Reason::Lost)],
        r#"
        call 0 a/gpt-4-turbo stream
        wait Head 10000
        wait Head 10000
        head 200 text/event-stream
        body data: {"choices":[{"delta":{"content":"Hi"}}]}|
        wait Heartbeat 15000
        wait AfterFinish 2000
        body data: {"choices":[{"delta":{},"finish_reason":"stop"}]}|data: [DONE]|
        settle stop [a/gpt-4-turbo stream finished 0 ms]
        wait
        "#,
    );
}

#[test]
fn every_deadline_has_its_reason() {
    check(
        ClientProtocol::OpenAi,
        STREAM,
        &[After(15_000), HeadOf(1, 200, SSE), After(15_000), After(15_000), Bytes(1, "late")],
        r#"
        call 0 a/gpt-4-turbo stream
        wait Head 10000
        cancel 0
        call 1 b/unknown stream
        head 200 text/event-stream
        body : waiting|
        wait FirstByte 30000
        wait Heartbeat 30000
        body : waiting|
        wait FirstContent 45000
        cancel 1
        body data: {"error":{"code":"first_byte_timeout","message":"The provider did not start responding in time.","param":null,"type":"upstream_error"}}|
        settle first_byte_timeout [a/gpt-4-turbo stream first_byte_timeout 15000 ms; b/unknown stream first_content_timeout 30000 ms]
        wait
        wait
        "#,
    );
}

#[test]
fn silence_in_mid_answer_is_a_deadline_unless_the_client_pauses() {
    check_with(
        &with_fallback("midstream = \"stop\""),
        ClientProtocol::OpenAi,
        STREAM,
        &[HeadOf(0, 200, SSE), Bytes(0, HI), Pause, After(50_000), Resume, After(20_000)],
        r#"
        call 0 a/gpt-4-turbo stream
        wait Head 10000
        wait Head 10000
        head 200 text/event-stream
        body data: {"choices":[{"delta":{"content":"Hi"}}]}|
        wait Heartbeat 15000
        wait Heartbeat 15000
        body : waiting|
        wait Heartbeat 65000
        wait Heartbeat 65000
        cancel 0
        body data: {"error":{"code":"between_tokens_timeout","message":"The model stopped sending tokens.","param":null,"type":"upstream_error"}}|
        settle between_tokens_timeout [a/gpt-4-turbo stream between_tokens_timeout 70000 ms]
        wait
        "#,
    );
}

#[test]
fn a_refusal_moves_on_and_a_wrong_request_goes_back_as_it_is() {
    check(
        ClientProtocol::OpenAi,
        STREAM,
        &[
            HeadOf(0, 401, "application/json"),
            Over(0),
            HeadOf(1, 422, "application/json"),
            Bytes(1, r#"{"error":{"message":"no such field"}}"#),
            Over(1),
        ],
        r#"
        call 0 a/gpt-4-turbo stream
        wait Head 10000
        wait RefusalBody 2000
        call 1 b/unknown stream
        wait Head 10000
        wait RefusalBody 2000
        wait RefusalBody 2000
        head 502 application/json
        body {"error":{"code":"provider_unauthorized","message":"a/gpt-4-turbo answered 401.","param":null,"type":"upstream_error"}}
        settle provider_unauthorized [a/gpt-4-turbo stream provider_unauthorized 0 ms; b/unknown stream request_rejected 0 ms]
        wait
        "#,
    );
    check(
        ClientProtocol::OpenAi,
        STREAM,
        &[
            HeadOf(0, 422, "application/json"),
            Bytes(0, r#"{"error":{"message":"no such field"}}"#),
            Over(0),
        ],
        r#"
        call 0 a/gpt-4-turbo stream
        wait Head 10000
        wait RefusalBody 2000
        wait RefusalBody 2000
        head 422 application/json
        body {"error":{"message":"no such field"}}
        settle request_rejected [a/gpt-4-turbo stream request_rejected 0 ms]
        wait
        "#,
    );
}

#[test]
fn a_client_that_leaves_stops_the_call_at_once() {
    check(
        ClientProtocol::OpenAi,
        STREAM,
        &[HeadOf(0, 200, SSE), Hangup, Bytes(0, HI)],
        r#"
        call 0 a/gpt-4-turbo stream
        wait Head 10000
        wait Head 10000
        cancel 0
        settle cancelled [a/gpt-4-turbo stream cancelled 0 ms]
        wait
        wait
        "#,
    );
}

#[test]
fn a_whole_answer_goes_through_as_it_came() {
    check(
        ClientProtocol::OpenAi,
        WHOLE,
        &[
            HeadOf(0, 200, "application/json"),
            Bytes(0, r#"{"choices":[{"message":{"content":"#),
            Bytes(0, r#""Hi"},"finish_reason":"stop"}],"x":1}"#),
            Over(0),
        ],
        r#"
        call 0 a/gpt-4-turbo whole
        wait FirstContent 90000
        wait FirstContent 90000
        wait FirstContent 90000
        wait FirstContent 90000
        head 200 application/json
        body {"choices":[{"message":{"content":"Hi"},"finish_reason":"stop"}],"x":1}
        settle stop [a/gpt-4-turbo whole finished 0 ms]
        wait
        "#,
    );
}

#[test]
fn the_limit_is_asked_for_and_named() {
    let asked = STREAM.replace("true", "true,\"max_tokens\":8000");
    let mut bench = Bench::new(ClientProtocol::OpenAi, &asked, CONFIG);
    assert_eq!(bench.log[0], "call 0 a/gpt-4-turbo stream max 4096 by model");
    bench.step(&Lost(0, crate::failure::Reason::Connect));
    assert_eq!(bench.log[2], "call 1 b/unknown stream max 4096 by model");
    // The catalogue knows this one's window, and not how long it answers.
    let half_known = CONFIG.replace("gpt-4-turbo", "z-ai/glm-4.5v");
    let bench = Bench::new(ClientProtocol::OpenAi, &asked, &half_known);
    assert_eq!(bench.log[0], "call 0 a/z-ai/glm-4.5v stream max 4096 by model");
}

#[test]
fn an_engines_events_become_token_events() {
    let finish = crate::chat::FinishReason::Stop;
    let usage = crate::chat::Usage { input_tokens: 3, output_tokens: 2, ..Default::default() };
    check(
        ClientProtocol::Token,
        r#"{"message":"hi","model":"local"}"#,
        &[
            Says(0, Event::Text("He\"y".into())),
            Says(0, Event::Text("".into())),
            Says(0, Event::Usage(usage)),
            Says(0, Event::Finish(finish)),
            Over(0),
        ],
        r#"
        call 0 here/tiny stream
        wait Head 10000
        head 200 text/event-stream
        body data: {"token":"He\"y"}|
        wait Heartbeat 15000
        body data: {"token":""}|
        wait Heartbeat 15000
        wait Heartbeat 15000
        wait AfterFinish 2000
        body data: {"done":true,"fallback":false,"model":"tiny","tokens":2}|
        settle stop [here/tiny stream finished 0 ms]
        wait
        "#,
    );
}

#[test]
fn a_local_answer_is_written_as_chunks_with_their_role_first() {
    check(
        ClientProtocol::OpenAi,
        &STREAM.replace("\"m\"", "\"local\""),
        &[
            Says(0, Event::Text("Hey".into())),
            Says(0, Event::Finish(crate::chat::FinishReason::Length)),
            Over(0),
        ],
        r#"
        call 0 here/tiny stream
        wait Head 10000
        head 200 text/event-stream
        body data: {"id":"chatcmpl-00000000000000000000000000000007","object":"chat.completion.chunk","created":1700000000,"model":"tiny","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}|data: {"id":"chatcmpl-00000000000000000000000000000007","object":"chat.completion.chunk","created":1700000000,"model":"tiny","choices":[{"index":0,"delta":{"content":"Hey"},"finish_reason":null}]}|
        wait Heartbeat 15000
        wait AfterFinish 2000
        body data: {"id":"chatcmpl-00000000000000000000000000000007","object":"chat.completion.chunk","created":1700000000,"model":"tiny","choices":[{"index":0,"delta":{},"finish_reason":"length"}]}|data: [DONE]|
        settle length [here/tiny stream finished 0 ms]
        wait
        "#,
    );
}

#[test]
fn when_no_target_is_left_the_client_gets_what_its_protocol_can_mark() {
    let down = crate::failure::Reason::Connect;
    check_with(
        &with_fallback("retries = 0"),
        ClientProtocol::Token,
        r#"{"message":"hi","model":"m"}"#,
        &[Lost(0, down), Lost(1, down)],
        r#"
        call 0 a/gpt-4-turbo stream
        wait Head 10000
        call 1 b/unknown stream
        wait Head 10000
        head 200 text/event-stream
        body data: {"token":"Sorry, no model can answer right now. The provider could not be reached."}|data: {"done":true,"fallback":true,"model":"m","tokens":0}|
        settle stop [a/gpt-4-turbo stream connect_failed 0 ms; b/unknown stream connect_failed 0 ms]
        wait
        "#,
    );
    check_with(
        &with_fallback("retries = 0"),
        ClientProtocol::OpenAi,
        STREAM,
        &[Lost(0, down), Lost(1, down)],
        r#"
        call 0 a/gpt-4-turbo stream
        wait Head 10000
        call 1 b/unknown stream
        wait Head 10000
        head 502 application/json
        body {"error":{"code":"connect_failed","message":"The provider could not be reached.","param":null,"type":"upstream_error"}}
        settle connect_failed [a/gpt-4-turbo stream connect_failed 0 ms; b/unknown stream connect_failed 0 ms]
        wait
        "#,
    );
}

#[test]
fn a_target_without_its_key_is_passed_over_and_said() {
    let config = CONFIG.replace("KEY_B", "KEY_C").replace("\"a/gpt-4-turbo\", ", "");
    check_with(
        &config,
        ClientProtocol::OpenAi,
        STREAM,
        &[],
        r#"
        head 502 application/json
        body {"error":{"code":"provider_unauthorized","message":"b/unknown needs a key: KEY_C is not set.","param":null,"type":"upstream_error"}}
        settle provider_unauthorized [b/unknown stream provider_unauthorized 0 ms]
        wait
        "#,
    );
}

#[test]
fn an_unknown_model_or_a_broken_body_is_the_clients_to_mend() {
    let rows = [
        (STREAM.replace("\"m\"", "\"x\""), "head 404", "`local`, `m`"),
        ("{".to_owned(), "head 400", "not valid JSON"),
        (STREAM.replace("\"model\":\"m\",", ""), "head 400", "default_model"),
    ];
    for (body, head, named) in rows {
        let log = Bench::new(ClientProtocol::OpenAi, &body, CONFIG).log;
        assert!(log[0].starts_with(head), "{log:?}");
        assert!(log[1].contains(named), "{log:?}");
        assert!(log[2].starts_with("settle"), "{log:?}");
    }
}

#[test]
fn a_break_after_content_is_continued_by_the_next_target() {
    check(
        ClientProtocol::OpenAi,
        STREAM,
        &[
            HeadOf(0, 200, SSE),
            Bytes(
                0,
                "data: {\"id\":\"x\",\"model\":\"g\",\"choices\":[{\"delta\":{\"content\":\"The quick brown fox\"}}]}\n\n",
            ),
            Over(0),
            HeadOf(1, 200, SSE),
            Bytes(
                1,
                "data: {\"id\":\"y\",\"model\":\"h\",\"choices\":[{\"delta\":{\"content\":\"brown fox\"}}]}\n\n",
            ),
            Bytes(1, "data: {\"choices\":[{\"delta\":{\"content\":\" jumps\"}}]}\n\n"),
            Bytes(1, STOP),
            Bytes(1, DONE),
        ],
        r#"
        call 0 a/gpt-4-turbo stream
        wait Head 10000
        wait Head 10000
        head 200 text/event-stream
        body data: {"id":"x","model":"g","choices":[{"delta":{"content":"The quick brown fox"}}]}|
        wait Heartbeat 15000
        call 1 b/unknown stream
        wait FirstByte 15000
        wait Heartbeat 15000
        wait Heartbeat 15000
        body data: {"id":"x","object":"chat.completion.chunk","created":1700000000,"model":"g","choices":[{"index":0,"delta":{"content":" jumps"},"finish_reason":null}]}|
        wait Heartbeat 15000
        wait AfterFinish 2000
        release 1
        body data: {"id":"x","object":"chat.completion.chunk","created":1700000000,"model":"g","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}|data: [DONE]|
        settle stop [a/gpt-4-turbo stream stream_cut 0 ms; b/unknown stream finished 0 ms]
        wait
        "#,
    );
}

/// What the targets are asked when an answer breaks: the script's first attempt delivered "Hi".
fn asked_to_go_on(config: &str, script: &[Step<'_>]) -> Vec<String> {
    let mut bench = Bench::new(ClientProtocol::OpenAi, STREAM, config);
    [HeadOf(0, 200, SSE), Bytes(0, HI), Over(0)].iter().for_each(|step| bench.step(step));
    script.iter().for_each(|step| bench.step(step));
    bench.asked
}

#[test]
fn a_rejected_prefill_is_asked_again_without_it() {
    let prefill = CONFIG.replace(
        "base_url = \"http://b/v1\"",
        "base_url = \"http://b/v1\"\ncontinuation = \"prefill\"",
    );
    let config = format!("{prefill}\n[fallback]\ninstruction = \"Go on.\"");
    let rejected = [HeadOf(1, 400, "application/json"), Over(1)];
    assert_eq!(asked_to_go_on(&config, &rejected), ["a: hi", "b: hi, Hi", "b: hi, Hi, Go on."]);
    let told = format!("{CONFIG}\n[fallback]\ninstruction = \"Go on.\"");
    assert_eq!(
        asked_to_go_on(&told, &rejected),
        ["a: hi", "b: hi, Hi, Go on.", "a: hi, Hi, Go on."]
    );
}

#[test]
fn when_nobody_can_go_on_the_first_cause_is_told() {
    let mut bench = Bench::new(ClientProtocol::OpenAi, STREAM, &with_fallback("retries = 0"));
    let script = [
        HeadOf(0, 200, SSE),
        Bytes(0, HI),
        Over(0),
        HeadOf(1, 401, ""),
        Over(1),
        HeadOf(2, 400, ""),
        Over(2),
    ];
    script.iter().for_each(|step| bench.step(step));
    let end = bench.log.iter().rev().nth(1).unwrap();
    assert!(end.starts_with("settle stream_cut"), "{end}");
    assert!(
        !bench.log.iter().any(|line| line.contains("[DONE]") || line.contains("finish_reason"))
    );
}

#[test]
fn a_tool_call_or_a_thought_is_never_continued() {
    let frames = [
        r#"data: {"choices":[{"delta":{"tool_calls":[{"index":0,"id":"t","function":{"name":"f","arguments":"{"}}]}}]}"#,
        r#"data: {"choices":[{"delta":{"reasoning_content":"hm"}}]}"#,
        r#"data: {"choices":[{"delta":{"reasoning_content":"hm","content":""}}]}"#,
    ];
    for frame in frames {
        let mut bench = Bench::new(ClientProtocol::OpenAi, STREAM, CONFIG);
        let frame = format!("{frame}\n\n");
        [HeadOf(0, 200, SSE), Bytes(0, &frame), Over(0)].iter().for_each(|step| bench.step(step));
        assert!(
            bench.log.iter().any(|line| line.starts_with("settle stream_cut")),
            "{:?}",
            bench.log
        );
    }
}

#[test]
fn a_target_that_failed_in_passing_is_asked_again_when_it_said() {
    let config = CONFIG.replace("\"a/gpt-4-turbo\", ", "");
    check_with(
        &config,
        ClientProtocol::OpenAi,
        STREAM,
        &[
            HeadOf(0, 429, ""),
            Over(0),
            After(6_999),
            After(1),
            HeadOf(1, 429, ""),
            Over(1),
            After(7_000),
            HeadOf(2, 429, ""),
            Over(2),
        ],
        r#"
        call 0 b/unknown stream
        wait Head 10000
        wait RefusalBody 2000
        wait Backoff 7000
        wait Backoff 7000
        call 1 b/unknown stream
        wait Head 10000
        wait RefusalBody 9000
        wait Head 10000
        call 2 b/unknown stream
        head 200 text/event-stream
        body : waiting|
        wait FirstByte 29000
        wait RefusalBody 16000
        body data: {"error":{"code":"rate_limited","message":"b/unknown answered 429.","param":null,"type":"upstream_error"}}|
        settle rate_limited [b/unknown stream rate_limited 0 ms; b/unknown stream rate_limited 0 ms; b/unknown stream rate_limited 0 ms]
        wait
        "#,
    );
}

#[test]
fn the_first_content_wins_a_hedge_and_an_error_never_does() {
    check_with(
        &with_fallback("hedge_after = 1"),
        ClientProtocol::OpenAi,
        STREAM,
        &[After(1_000), HeadOf(1, 500, ""), Over(1), HeadOf(0, 200, SSE), Bytes(0, HI)],
        r#"
        call 0 a/gpt-4-turbo stream
        wait Hedge 1000
        call 1 b/unknown stream
        wait Head 10000
        wait RefusalBody 3000
        wait Head 10000
        wait Head 10000
        head 200 text/event-stream
        body data: {"choices":[{"delta":{"content":"Hi"}}]}|
        wait Heartbeat 16000
        "#,
    );
    check_with(
        &with_fallback("hedge_after = 1"),
        ClientProtocol::OpenAi,
        STREAM,
        &[After(1_000), HeadOf(1, 200, SSE), Bytes(1, HI)],
        r#"
        call 0 a/gpt-4-turbo stream
        wait Hedge 1000
        call 1 b/unknown stream
        wait Head 10000
        wait Head 10000
        cancel 0
        head 200 text/event-stream
        body data: {"choices":[{"delta":{"content":"Hi"}}]}|
        wait Heartbeat 16000
        "#,
    );
}

#[test]
fn when_all_targets_cool_down_the_client_is_told_when_to_come_back() {
    let gateway = Gateway::new(
        Config::parse(
            &with_fallback("retries = 0\nbreaker = { failures_max = 1, cooldown = 30 }"),
            |_| Some("k".into()),
        )
        .unwrap(),
    );
    let mut bench = Bench::of(&gateway, ClientProtocol::OpenAi, STREAM);
    let down = crate::failure::Reason::Connect;
    [Lost(0, down), Lost(1, down)].iter().for_each(|step| bench.step(step));
    let bench = Bench::of(&gateway, ClientProtocol::OpenAi, STREAM);
    assert_eq!(bench.log[0], "head 503 application/json retry-after 30");
    assert!(bench.log[1].contains("all_targets_cooling"), "{:?}", bench.log);
}

#[test]
fn what_came_while_a_rival_ran_is_not_billed_to_it() {
    let asked = STREAM.replace("true", "true,\"stream_options\":{\"include_usage\":true}");
    let mut bench = Bench::new(ClientProtocol::OpenAi, &asked, &with_fallback("hedge_after = 1"));
    let script = [After(1_000), HeadOf(1, 200, SSE), Bytes(1, HI), Bytes(1, STOP), Bytes(1, DONE)];
    script.iter().for_each(|step| bench.step(step));
    let usage = bench.log.iter().find(|line| line.contains("usage")).unwrap();
    assert!(usage.contains("\"completion_tokens\":1,"), "{usage}");
    assert!(usage.contains("\"prompt_tokens\":5,"), "{usage}");
}

#[test]
fn what_follows_the_finishing_frame_comes_after_what_that_says() {
    let last =
        "data: {\"choices\":[{\"delta\":{\"content\":\"one\"},\"finish_reason\":\"stop\"}]}\n\n";
    let more = "data: {\"choices\":[{\"delta\":{\"content\":\"two\"}}]}\n\n";
    let mut bench = Bench::new(ClientProtocol::OpenAi, STREAM, CONFIG);
    let script = [HeadOf(0, 200, SSE), Bytes(0, last), Bytes(0, more), Bytes(0, DONE)];
    script.iter().for_each(|step| bench.step(step));
    let all = bench.log.concat();
    let place = |text: &str| all.find(text).unwrap();
    assert!(place("one") < place("two") && place("two") < place("stop"), "{all}");
    assert_eq!(all.matches("finish_reason\":\"stop\"").count(), 1, "{all}");
}

#[test]
fn a_repetition_that_breaks_off_is_not_handed_on_when_nobody_is_left() {
    let says = |text: &str| {
        format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{text}\"}}}}]}}\n\n")
    };
    let (begun, repeated) = (says("The quick brown fox"), says("brown "));
    let config = CONFIG.replace("\"a/gpt-4-turbo\", ", "");
    let mut bench =
        Bench::new(ClientProtocol::OpenAi, STREAM, &config.replace("\"KEY_C\"", "\"KEY_B\""));
    let mut script = vec![HeadOf(0, 200, SSE), Bytes(0, &begun), Over(0)];
    for attempt in 1..=4 {
        script.extend([HeadOf(attempt, 200, SSE), Bytes(attempt, &repeated), Over(attempt)]);
    }
    script.iter().for_each(|step| bench.step(step));
    let all = bench.log.concat();
    assert!(all.contains("settle stream_cut"), "{all}");
    assert_eq!(all.matches("brown").count(), 1, "{all}");
}

#[test]
fn each_target_is_asked_again_when_it_is_ready() {
    let down = crate::failure::Reason::Connect;
    check(
        ClientProtocol::OpenAi,
        STREAM,
        &[HeadOf(0, 429, ""), Over(0), Lost(1, down), After(1_000), Lost(2, down), After(6_000)],
        r#"
        call 0 a/gpt-4-turbo stream
        wait Head 10000
        wait RefusalBody 2000
        call 1 b/unknown stream
        wait Head 10000
        wait Backoff 173
        call 2 b/unknown stream
        wait Head 10000
        wait Backoff 7000
        call 3 a/gpt-4-turbo stream
        wait Head 10000
        "#,
    );
}
