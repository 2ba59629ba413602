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
mod steps;

const CONFIG: &str = r#"
[providers.a]
protocol = "openai"
base_url = "http://a/v1"

[providers.b]
protocol = "openai"
base_url = "http://b/v1"
api_key = { env = "KEY_B" }

[providers.c]
protocol = "openai"
base_url = "http://c/v1"
api_key = { env = "KEY_C" }

[providers.here]
protocol = "local"

[models.m]
targets = ["a/gpt-4-turbo", "b/unknown"]

[models.b]
targets = ["b/unknown"]

[models.c]
targets = ["c/unknown"]

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
        Self::at(gateway, Client::new(client), body)
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
const SSE: &str = "text/event-stream; charset=utf-8";
const HI: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"Hi\"}}]}\n\n";
const STOP: &str = "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
const USAGE: &str =
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2}}\n\n";
const DONE: &str = "data: [DONE]\n\n";

fn with_fallback(keys: &str) -> String {
    format!("{CONFIG}\n[fallback]\n{keys}\n")
}

#[test]
fn the_limit_is_asked_for_and_named() {
    let asked = STREAM.replace("true", "true,\"max_tokens\":8000");
    let mut bench = Bench::new(ClientProtocol::OpenAi, &asked, CONFIG);
    assert_eq!(bench.log[0], "call 0 a/gpt-4-turbo stream max 4096 by model");
    bench.step(&Lost(0, crate::failure::Reason::Connect));
    assert_eq!(bench.log[2], "call 1 b/unknown stream max 8000 by requested");
    // The catalogue knows this one's window, and not how long it answers.
    let half_known = CONFIG.replace("gpt-4-turbo", "z-ai/glm-4.5v");
    let bench = Bench::new(ClientProtocol::OpenAi, &asked, &half_known);
    assert_eq!(bench.log[0], "call 0 a/z-ai/glm-4.5v stream max 8000 by requested");
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
