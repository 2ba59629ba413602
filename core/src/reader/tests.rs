//! Readers of one kept answer, in several protocols at once, while it breaks and is continued.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::*;
use crate::answer::{self, Answer};
use crate::chat::{ChatRequest, Message, Role};
use crate::config::Config;
use crate::health::Health;
use crate::journal::Bounds;
use crate::limit::learned::Learned;
use crate::protocol::{AnswerMeta, ClientProtocol};
use crate::relay::{AttemptId, Head as UpstreamHead, Input, Job};

const CONFIG: &str = r#"
[providers.a]
protocol = "openai"
base_url = "http://a/v1"
[providers.b]
protocol = "openai"
base_url = "http://b/v1"
[providers.c]
protocol = "anthropic"
base_url = "http://c/v1"
[providers.d]
protocol = "anthropic"
base_url = "http://d/v1"
[models.openai]
targets = ["a/one", "b/two"]
[models.anthropic]
targets = ["c/one", "d/two"]
[fallback]
retries = 0
"#;

/// The protocols of the readers.
const PROTOCOLS: [ClientProtocol; 9] = [
    ClientProtocol::OpenAi,
    ClientProtocol::Anthropic,
    ClientProtocol::Responses,
    ClientProtocol::UiMessage,
    ClientProtocol::Token,
    ClientProtocol::Ollama,
    ClientProtocol::Gemini,
    ClientProtocol::GeminiArray,
    ClientProtocol::Completions,
];

const NOW: Instant = Instant::ZERO;

/// What happens upstream.
#[derive(Clone, Debug)]
enum Step {
    /// A frame of the running attempt.
    Frame(String),
    /// Its connection breaks; the next target is called, and begins to respond.
    Break,
    /// It ends in good order.
    End,
}

fn frame(delta: &str) -> Step {
    Step::Frame(format!(
        "data: {{\"id\":\"x\",\"model\":\"m\",\"choices\":[{{\"delta\":{delta}}}]}}\n\n"
    ))
}

fn text(text: &str) -> Step {
    frame(&format!("{{\"content\":\"{text}\"}}"))
}

/// The nth token: long enough for a repetition to be recognised, and like no other.
fn token(n: usize) -> String {
    format!("token{n:04} ")
}

fn role() -> Step {
    frame(r#"{"role":"assistant","content":""}"#)
}

fn finish() -> [Step; 3] {
    let finish = r#"data: {"choices":[{"delta":{},"finish_reason":"stop"}]}"#;
    [Step::Frame(format!("{finish}\n\n")), Step::Frame("data: [DONE]\n\n".into()), Step::End]
}

/// An answer under way.
struct World {
    answer: Answer,
    attempt: u32,
    settled: bool,
    body: Vec<u8>,
}

impl World {
    /// An answer that is asked for, and forwarded, in a protocol.
    fn kept(protocol: ClientProtocol, bounds: Bounds) -> Self {
        let mut world = Self::new(protocol, true);
        let wire = Wire { protocol, stream: true };
        let journal = world.answer.journal().unwrap();
        *journal = Journal::new(wire, bounds);
        journal.begin();
        world
    }

    fn plain(protocol: ClientProtocol) -> Self {
        Self::new(protocol, false)
    }

    fn new(protocol: ClientProtocol, keep: bool) -> Self {
        let config = Config::parse(CONFIG, |_| None).unwrap();
        let request = Arc::new(ChatRequest {
            messages: vec![Message::text(Role::User, "Hi")],
            stream: true,
            include_usage: true,
            ..ChatRequest::default()
        });
        let job = Job {
            request: request.clone(),
            targets: config.models[protocol.name()].targets.clone(),
            client: protocol,
            caller: None,
            exhausted: crate::relay::Exhausted::Error,
            fallback: config.fallback.clone(),
            timeouts: config.timeouts.clone(),
            limits: config.limits.clone(),
            health: Health::new(config.fallback.breaker.clone()),
            learned: Learned::default(),
            unix_began: Duration::ZERO,
            keep,
            seed: 7,
        };
        let meta = AnswerMeta { id: "chatcmpl-7".into(), created: 1, model: "m".into(), request };
        let answer = Answer::new(job, meta, NOW);
        let mut world = Self { answer, attempt: 0, settled: false, body: Vec::new() };
        world.drain();
        world.head();
        world
    }

    fn handle(&mut self, input: Input<'_>) {
        self.answer.handle(NOW, input);
        self.drain();
    }

    fn drain(&mut self) {
        loop {
            match self.answer.poll() {
                answer::Output::Call(call) => {
                    self.attempt = call.attempt.to_string().parse().unwrap();
                }
                answer::Output::Body(bytes) => self.body.extend_from_slice(bytes),
                answer::Output::Settle(_) => self.settled = true,
                answer::Output::Wait { .. } => return,
                _ => {}
            }
        }
    }

    fn id(&self) -> AttemptId {
        AttemptId::for_test(self.attempt)
    }

    fn head(&mut self) {
        let head =
            UpstreamHead { status: 200, content_type: "text/event-stream", ..Default::default() };
        self.handle(Input::Head { attempt: self.id(), head });
    }

    fn step(&mut self, step: &Step) {
        let attempt = self.id();
        match step {
            Step::Frame(frame) => self.handle(Input::Bytes { attempt, bytes: frame.as_bytes() }),
            Step::Break => {
                self.handle(Input::Lost { attempt, failure: Reason::Lost.into() });
                self.head();
            }
            Step::End => self.handle(Input::End { attempt }),
        }
    }

    fn run(&mut self, script: &[Step]) {
        script.iter().for_each(|step| self.step(step));
    }

    fn join(&self, client: ClientProtocol, position: u64) -> Result<Client, Expired> {
        let reader = self.answer.join(NOW, client, true, position)?;
        Ok(Client { reader, head: None, got: Vec::new(), done: false })
    }

    /// All that a reader is sent that joins here now.
    fn read(&self, client: ClientProtocol, position: u64) -> Vec<u8> {
        let mut client = self.join(client, position).unwrap();
        client.read(self);
        client.got
    }
}

/// A reader, and what it was sent.
struct Client {
    reader: Reader,
    head: Option<u16>,
    got: Vec<u8>,
    done: bool,
}

impl Client {
    fn read(&mut self, world: &World) {
        loop {
            match world.answer.read(NOW, &mut self.reader) {
                Output::Head(head) => self.head = Some(head.status),
                Output::Body(bytes) => self.got.extend_from_slice(bytes),
                Output::Wait { .. } => return,
                Output::Done => {
                    self.done = true;
                    return;
                }
            }
        }
    }
}

/// The answer's text in a stream of any protocol.
fn said(stream: &[u8]) -> String {
    let stream = std::str::from_utf8(stream).unwrap();
    let data = stream.lines().map(|line| line.strip_prefix("data: ").unwrap_or(line));
    let data = data.map(|element| element.trim_start_matches(['[', ',']));
    data.filter_map(|data| serde_json::from_str::<Value>(data).ok()).filter_map(said_by).collect()
}

fn said_by(event: Value) -> Option<String> {
    let is_delta =
        matches!(event["type"].as_str(), Some("response.output_text.delta" | "text-delta"));
    let text = match &event {
        event if is_delta => &event["delta"],
        event if event["delta"]["type"] == "text_delta" => &event["delta"]["text"],
        event if event["token"].is_string() => &event["token"],
        event if event["candidates"].is_array() => {
            let part = &event["candidates"][0]["content"]["parts"][0];
            if part["thought"] == true { &Value::Null } else { &part["text"] }
        }
        event if event["choices"][0]["text"].is_string() => &event["choices"][0]["text"],
        event if event["message"]["content"].is_string() => &event["message"]["content"],
        event => &event["choices"][0]["delta"]["content"],
    };
    text.as_str().map(Into::into)
}

/// Short answers, each of another shape.
fn shapes() -> Vec<(ClientProtocol, &'static str, Vec<Step>)> {
    let openai = openai_shapes().into_iter().map(|(name, script)| (OPENAI, name, script));
    let anthropic = anthropic_shapes().into_iter();
    openai.chain(anthropic.map(|(name, script)| (ANTHROPIC, name, script))).collect()
}

const OPENAI: ClientProtocol = ClientProtocol::OpenAi;
const ANTHROPIC: ClientProtocol = ClientProtocol::Anthropic;

fn anthropic_shapes() -> Vec<(&'static str, Vec<Step>)> {
    let event = |name: &str, data: &str| {
        Step::Frame(format!("event: {name}\ndata: {{\"type\":\"{name}\"{data}}}\n\n"))
    };
    let open = |index: u32, block: &str| {
        event("content_block_start", &format!(",\"index\":{index},\"content_block\":{{{block}}}"))
    };
    let delta = |index: u32, delta: &str| {
        event("content_block_delta", &format!(",\"index\":{index},\"delta\":{{{delta}}}"))
    };
    let close = |index: u32| event("content_block_stop", &format!(",\"index\":{index}"));
    let says =
        |index, n| delta(index, &format!("\"type\":\"text_delta\",\"text\":\"{}\"", token(n)));
    let text = |index| open(index, r#""type":"text","text":"""#);
    let message = r#","message":{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[],"stop_reason":null,"usage":{"input_tokens":9,"output_tokens":1}}"#;
    let start = event("message_start", message);
    let ping = event("ping", "");
    let ends = [
        event(
            "message_delta",
            r#","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":5}"#,
        ),
        event("message_stop", ""),
    ];
    let with = |steps: Vec<Step>| [vec![start.clone()], steps, ends.to_vec()].concat();
    vec![
        ("plain", with(vec![text(0), says(0, 0), ping, says(0, 1), says(0, 2), close(0)])),
        (
            "reasoning and a call",
            with(vec![
                open(0, r#""type":"thinking","thinking":"","signature":"""#),
                delta(0, r#""type":"thinking_delta","thinking":"Hm.""#),
                close(0),
                text(1),
                says(1, 0),
                says(1, 1),
                says(1, 2),
                close(1),
                open(2, r#""type":"tool_use","id":"t","name":"f","input":{}"#),
                delta(2, r#""type":"input_json_delta","partial_json":"{}""#),
                close(2),
            ]),
        ),
        (
            "continued",
            with(vec![
                text(0),
                says(0, 0),
                says(0, 1),
                Step::Break,
                start.clone(),
                text(0),
                says(0, 1),
                says(0, 2),
                close(0),
            ]),
        ),
    ]
}

fn openai_shapes() -> Vec<(&'static str, Vec<Step>)> {
    let [one, two, three] = [0, 1, 2].map(|n| text(&token(n)));
    let think = frame(r#"{"reasoning_content":"Hm."}"#);
    let call = |fragment: &str| frame(&format!(r#"{{"tool_calls":[{{"index":0,{fragment}}}]}}"#));
    let last_words =
        r#"data: {"choices":[{"delta":{"content":"token0002 "},"finish_reason":"stop"}]}"#;
    let with = |steps: &[Step]| steps.iter().cloned().chain(finish()).collect::<Vec<_>>();
    vec![
        ("plain", with(&[role(), one.clone(), two.clone(), three.clone()])),
        ("continued", with(&[one.clone(), two.clone(), Step::Break, three.clone()])),
        (
            "continued with a repetition",
            with(&[one.clone(), two.clone(), Step::Break, role(), two.clone(), three.clone()]),
        ),
        (
            "broken before content",
            with(&[role(), Step::Break, one.clone(), two.clone(), three.clone()]),
        ),
        (
            "with what only its protocol knows",
            with(&[
                one.clone(),
                frame(r#"{"odd":1}"#),
                two.clone(),
                frame(r#"{"odd":2}"#),
                three.clone(),
            ]),
        ),
        ("with reasoning", with(&[think, one.clone(), two.clone(), three.clone()])),
        (
            "with a call",
            with(&[
                one.clone(),
                two.clone(),
                three.clone(),
                call(r#""id":"c","function":{"name":"f","arguments":"["}"#),
                call(r#""function":{"arguments":"1]"}"#),
            ]),
        ),
        (
            "with content beside the finish",
            vec![one.clone(), two.clone(), Step::Frame(format!("{last_words}\n\n")), Step::End],
        ),
        (
            "with content after the finish",
            [one.clone()]
                .into_iter()
                .chain(finish().into_iter().take(1))
                .chain(with(&[two, three]))
                .collect(),
        ),
    ]
}

#[test]
fn a_reader_is_sent_the_rest_from_wherever_it_joins() {
    for (wire, name, script) in shapes() {
        let mut world = World::kept(wire, Bounds::default());
        world.run(&script);
        assert!(world.settled, "{name}");
        for client in PROTOCOLS {
            let all = world.read(client, 0);
            assert_eq!(said(&all), [0, 1, 2].map(token).concat(), "{name}, {client:?}");
            let mut before = all.len() + 1;
            for position in 0..99 {
                let rest = world.read(client, position);
                assert!(all.ends_with(&rest), "{name}, {client:?} at {position}");
                assert!(rest.len() <= before, "{name}, {client:?} at {position}");
                before = rest.len();
            }
            assert_eq!(before, 0, "{name}, {client:?}: past the end there is nothing");
        }
    }
}

#[test]
fn a_position_means_the_same_token_in_every_protocol() {
    for (wire, name, script) in shapes() {
        let mut world = World::kept(wire, Bounds::default());
        world.run(&script);
        for position in 0..20 {
            let [first, others @ ..] = PROTOCOLS.map(|client| said(&world.read(client, position)));
            for other in others {
                assert_eq!(first, other, "{name} at {position}");
            }
        }
    }
}

#[test]
fn a_reader_of_the_same_protocol_is_sent_what_a_plain_client_is() {
    for (wire, name, script) in shapes() {
        let (mut kept, mut plain) = (World::kept(wire, Bounds::default()), World::plain(wire));
        kept.run(&script);
        plain.run(&script);
        let kept = kept.read(wire, 0);
        assert_eq!(String::from_utf8_lossy(&kept), String::from_utf8_lossy(&plain.body), "{name}");
    }
}

/// Leaves after any entry and returns, twice, while the answer is still running.
#[test]
fn a_reader_that_leaves_and_returns_misses_nothing() {
    for (wire, name, script) in shapes() {
        for client in PROTOCOLS {
            for (first, second) in
                (0..=script.len()).flat_map(|a| (a..=script.len()).map(move |b| (a, b)))
            {
                let mut world = World::kept(wire, Bounds::default());
                let mut reader = world.join(client, 0).unwrap();
                for (number, step) in script.iter().enumerate() {
                    if number == first || number == second {
                        let got = reader.got;
                        reader = world.join(client, reader.reader.position()).unwrap();
                        reader.got = got;
                    }
                    world.step(step);
                    if number < first || number >= second {
                        reader.read(&world);
                    }
                }
                reader.read(&world);
                assert!(reader.done, "{name}, {client:?}");
                let all = world.read(client, 0);
                assert_eq!(reader.got, all, "{name}, {client:?}, left at {first} and {second}");
            }
        }
    }
}

/// Random: splitmix64.
struct Random(u64);

impl Random {
    fn below(&mut self, max: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % max as u64) as usize
    }

    fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    /// A long answer of so many tokens, with breaks, repetitions and what only its protocol knows.
    fn script(&mut self, tokens: usize) -> Vec<Step> {
        let (mut script, mut breaks) = (vec![role()], 0);
        for n in 0..tokens {
            if n > 0 && breaks < 4 && self.one_in(12) {
                breaks += 1;
                script.push(Step::Break);
                let repeated = self.below(4.min(n + 1));
                script.extend((n - repeated..n).map(|n| text(&token(n))));
            }
            if self.one_in(8) {
                script.push(frame(r#"{"odd":1}"#));
            }
            script.push(text(&token(n)));
        }
        script.extend(finish());
        script
    }
}

/// Readers come, pause, leave and return at random; each is sent each token once.
fn read_at_random(seed: u64, bounds: Bounds) {
    let mut random = Random(seed);
    let tokens = 1 + random.below(60);
    let script = random.script(tokens);
    let expected: String = (0..tokens).map(token).collect();
    let mut world = World::kept(OPENAI, bounds);
    let mut readers = PROTOCOLS.map(|client| world.join(client, 0).unwrap());
    for step in &script {
        world.step(step);
        for (reader, client) in readers.iter_mut().zip(PROTOCOLS) {
            match random.below(6) {
                0 => reader.reader.pause(),
                1 => reader.reader.resume(),
                2 => match world.join(client, reader.reader.position()) {
                    Ok(new) => reader.reader = new.reader,
                    // Where the log no longer reaches the client begins again.
                    Err(Expired) => *reader = world.join(client, 0).unwrap(),
                },
                _ => reader.read(&world),
            }
        }
    }
    let is_complete = world.answer.journal().unwrap().first() == 0;
    for (reader, client) in readers.iter_mut().zip(PROTOCOLS) {
        reader.reader.resume();
        reader.read(&world);
        assert!(reader.done && reader.head == Some(200), "{client:?}, seed {seed}");
        assert_eq!(said(&reader.got), expected, "{client:?}, seed {seed}");
        if is_complete {
            assert_eq!(reader.got, world.read(client, 0), "{client:?}, seed {seed}");
        }
    }
}

#[test]
fn readers_that_come_and_go_are_sent_each_token_once() {
    (0..200).for_each(|seed| read_at_random(seed, Bounds::default()));
}

#[test]
fn readers_that_fall_behind_are_sent_each_token_once() {
    for seed in 0..200 {
        read_at_random(seed, Bounds { entries_max: 1 + seed as usize % 7, bytes_max: usize::MAX });
        read_at_random(seed, Bounds { entries_max: 99, bytes_max: 1 + 200 * (seed as usize % 5) });
    }
}

/// Pauses after any entry and resumes after any later one, with the shortest of journals.
#[test]
fn a_reader_that_falls_behind_once_is_sent_each_token_once() {
    for (wire, name, script) in shapes() {
        for client in PROTOCOLS {
            for first in 0..script.len() {
                for second in first..=script.len() {
                    let bounds = Bounds { entries_max: 1, bytes_max: usize::MAX };
                    let mut world = World::kept(wire, bounds);
                    let mut reader = world.join(client, 0).unwrap();
                    for (number, step) in script.iter().enumerate() {
                        world.step(step);
                        if number < first || number >= second {
                            reader.read(&world);
                        }
                    }
                    reader.read(&world);
                    assert!(reader.done, "{wire:?}, {name}, {client:?}");
                    assert_eq!(
                        said(&reader.got),
                        [0, 1, 2].map(token).concat(),
                        "{wire:?}, {name}, {client:?}, behind from {first} to {second}"
                    );
                }
            }
        }
    }
}

#[test]
fn an_answer_outlives_its_readers() {
    let (_, script) = openai_shapes().swap_remove(0);
    let mut world = World::kept(OPENAI, Bounds::default());
    let (before, after) = script.split_at(2);
    let mut reader = world.join(ClientProtocol::Token, 0).unwrap();
    world.run(before);
    reader.read(&world);
    drop(reader);
    world.run(after);
    assert!(world.settled);
    assert_eq!(said(&world.read(ClientProtocol::Token, 0)), [0, 1, 2].map(token).concat());
}

#[test]
fn before_what_is_retained_is_expired_and_past_the_end_is_empty() {
    let mut world = World::kept(OPENAI, Bounds { entries_max: 2, bytes_max: usize::MAX });
    world.run(&openai_shapes().swap_remove(0).1);
    let first = world.answer.journal().unwrap().first();
    assert!(first > 1);
    for client in PROTOCOLS {
        assert_eq!(said(&world.read(client, 0)), [0, 1, 2].map(token).concat(), "{client:?}");
        assert!(matches!(world.join(client, 1), Err(Expired)), "{client:?}");
        assert!(world.join(client, first).is_ok(), "{client:?}");
        let mut late = world.join(client, 1_000).unwrap();
        late.read(&world);
        assert_eq!((late.head, late.got.len(), late.done), (Some(200), 0, true), "{client:?}");
    }
    assert!(matches!(World::plain(OPENAI).join(OPENAI, 0), Err(Expired)));
}

#[test]
fn a_snapshot_is_one_event_for_each_part() {
    let mut world = World::kept(OPENAI, Bounds { entries_max: 1, bytes_max: usize::MAX });
    let mut reader = world.join(ClientProtocol::Token, 0).unwrap();
    world.run(&[text("one "), text("two ")]);
    reader.read(&world);
    reader.reader.pause();
    world.run(&[text("three "), text("four "), text("five ")]);
    reader.read(&world);
    reader.reader.resume();
    reader.read(&world);
    let tokens: Vec<_> = std::str::from_utf8(&reader.got).unwrap().trim().split("\n\n").collect();
    assert_eq!(
        tokens,
        [
            r#"data: {"token":"one "}"#,
            r#"data: {"token":"two "}"#,
            r#"data: {"token":"three four "}"#,
            r#"data: {"token":"five "}"#
        ]
    );
}

#[test]
fn a_failure_before_any_content_is_a_status_in_every_protocol() {
    let mut world = World::kept(OPENAI, Bounds::default());
    let mut early = PROTOCOLS.map(|client| world.join(client, 0).unwrap());
    early.iter_mut().for_each(|reader| reader.read(&world));
    assert!(early.iter().all(|reader| reader.head.is_none()));
    world.run(&[Step::Break, Step::Break]);
    assert!(world.settled);
    for (mut early, client) in early.into_iter().zip(PROTOCOLS) {
        let mut late = world.join(client, 0).unwrap();
        [&mut early, &mut late].iter_mut().for_each(|reader| reader.read(&world));
        assert_eq!((early.head, early.done), (Some(502), true), "{client:?}");
        assert_eq!((late.head, late.got), (early.head, early.got), "{client:?}");
    }
}

#[test]
fn a_reader_that_does_not_stream_is_sent_one_response() {
    let mut world = World::kept(OPENAI, Bounds::default());
    world.run(&openai_shapes().swap_remove(0).1);
    let mut reader = world.answer.join(NOW, OPENAI, false, 0).unwrap();
    let mut body = Vec::new();
    loop {
        match world.answer.read(NOW, &mut reader) {
            Output::Head(head) => assert_eq!(head.headers[0].1, "application/json"),
            Output::Body(bytes) => body.extend_from_slice(bytes),
            Output::Wait { until } => panic!("waits for {until:?}"),
            Output::Done => break,
        }
    }
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["choices"][0]["message"]["content"], [0, 1, 2].map(token).concat());
}

#[test]
fn a_silent_answer_is_shown_to_be_alive_to_who_reads_it() {
    let world = World::kept(OPENAI, Bounds::default());
    let mut reader = world.join(ClientProtocol::Token, 0).unwrap().reader;
    let Output::Wait { until: Some((due, Timer::Head)) } = world.answer.read(NOW, &mut reader)
    else {
        panic!("no head is due")
    };
    reader.pause();
    assert!(matches!(world.answer.read(due, &mut reader), Output::Wait { until: None }));
    reader.resume();
    assert!(matches!(world.answer.read(due, &mut reader), Output::Head(_)));
    assert!(matches!(world.answer.read(due, &mut reader), Output::Body(b": waiting\n\n")));
    let next = world.answer.read(due, &mut reader);
    assert!(matches!(next, Output::Wait { until: Some((_, Timer::Heartbeat)) }), "{next:?}");
}
