//! What a fuzzer does with its bytes: one function per target of `fuzz/`. Each panics when a
//! property does not hold. A plain test runs them on random bytes.

use std::sync::LazyLock;

use serde_json::Value;
use streamgate_core::answer::{Answer, Output};
use streamgate_core::chat::Event;
use streamgate_core::config::Config;
use streamgate_core::gateway::{self, Arrival, Gateway};
use streamgate_core::protocol::{Ask, Memory, Protocol, error_message};
use streamgate_core::relay::{Call, End, Head, Input};
use streamgate_core::sse::{Decoder, Leftover};
use streamgate_core::time::Instant;

use super::choices::{Choices, Random};
use super::script::Script;
use super::search::Case;
use super::splice::Seam;

/// A fuzz target: its name and what it does.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: [Target; 8] = [
    ("sse", sse),
    ("openai_event", openai_event),
    ("openai_whole", openai_whole),
    ("openai_request", openai_request),
    ("token_request", token_request),
    ("splice", splice),
    ("relay_bytes", relay_bytes),
    ("relay", relay),
];

/// What a fuzzer would soon find out: pieces of what the readers look for.
const WORDS: [&str; 24] = [
    "data: ",
    "data:",
    "\n\n",
    "\n",
    "\r\n",
    "\r",
    ": x",
    "id: 1",
    "[DONE]",
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "\"choices\"",
    "\"delta\"",
    "\"content\"",
    "\"error\"",
    "\"usage\"",
    "\"finish_reason\"",
    "\"messages\"",
    "null",
    "\"\\ud83d\\ude00\"",
];

/// Bytes for a run without a fuzzer: words of the readers among any others.
pub fn bytes(random: &mut Random) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..random.below(100) {
        match random.below(3) {
            0 => bytes.push(random.below(256) as u8),
            _ => {
                bytes.extend_from_slice(WORDS[random.below(WORDS.len() as u32) as usize].as_bytes())
            }
        }
    }
    bytes
}

/// Where a stream is cut makes no difference to its events.
pub fn sse(bytes: &[u8]) {
    let (first, stream) = bytes.split_first().unwrap_or((&0, &[]));
    let event_bytes_max = if first % 2 == 0 { 1 << 20 } else { 1 + usize::from(*first) };
    let whole = events(event_bytes_max, [stream]);
    assert_eq!(whole, events(event_bytes_max, stream.chunks(1)), "byte by byte");
    let piece = 1 + usize::from(first / 2);
    assert_eq!(whole, events(event_bytes_max, stream.chunks(piece)), "by {piece}");
}

/// Every event's data and name; where the stream failed; what was left.
fn events<'a>(max: usize, pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<String> {
    let mut decoder = Decoder::new(max);
    let mut seen = Vec::new();
    for mut piece in pieces {
        loop {
            match decoder.next(&mut piece) {
                Ok(Some(event)) => seen.push(format!("{:?}", event.data)),
                Ok(None) => break,
                Err(error) => seen.push(error.to_string()),
            }
        }
    }
    match decoder.finish() {
        Some(Leftover::Event(event)) => seen.push(format!("left {:?}", event.data)),
        Some(Leftover::Cut(event)) => seen.push(format!("cut {:?}", event.data)),
        None => {}
    }
    seen
}

/// What an event says does not depend on the events before it, but names may come with the first
/// only. What is read is JSON, for it is handed on as it came, and its text is the text in there.
pub fn openai_event(bytes: &[u8]) {
    let mut memory = Memory::default();
    for data in bytes.split(|byte| *byte == b'\n') {
        let shown = String::from_utf8_lossy(data);
        let warm = Heard::new(data, &mut memory);
        let fresh = Heard::new(data, &mut Memory::default());
        assert_eq!(warm, fresh, "{shown}");
        if fresh.read != "Ok(More)" {
            continue;
        }
        assert!(is_json(data), "read {shown}");
        // A number may be too large for this reader alone.
        let Ok(json) = serde_json::from_slice::<Value>(data) else { continue };
        let is_plain = |key: &str| shown.matches(key).count() < 2;
        if ["choices", "delta", "content", "\\u"].into_iter().all(is_plain) {
            let text = json.pointer("/choices/0/delta/content").and_then(Value::as_str);
            let is_first = json.pointer("/choices/0/index").is_none_or(|index| *index == 0);
            assert_eq!(fresh.text, text.filter(|_| is_first).unwrap_or(""), "{shown}");
        }
    }
}

/// What one event said.
#[derive(Debug, Default, PartialEq)]
struct Heard {
    text: String,
    others: Vec<String>,
    read: String,
}

impl Heard {
    fn new(data: &[u8], memory: &mut Memory) -> Self {
        let mut heard = Self::default();
        let read = Protocol::OpenAi.read_event(data, memory, &mut |event| match event {
            Event::Start { .. } => {}
            Event::Text(text) => heard.text.push_str(&text),
            other => heard.others.push(format!("{other:?}")),
        });
        heard.read = format!("{read:?}");
        heard
    }
}

fn is_json(bytes: &[u8]) -> bool {
    serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok()
}

/// A whole answer is read, or it is told why not.
pub fn openai_whole(bytes: &[u8]) {
    let mut seen = 0;
    let read = Protocol::OpenAi.read_whole(bytes, &mut |_| seen += 1);
    assert!(is_json(bytes) || read.is_err(), "what is no JSON was read");
    let _ = error_message(bytes);
}

/// What a client asks is what its provider is asked.
pub fn openai_request(bytes: &[u8]) {
    let Ok(request) = Protocol::OpenAi.parse_request(bytes) else { return };
    let target = &CONFIG.models["m"].targets[0];
    let limit = request.max_output_tokens;
    let (client, stream) = (Protocol::OpenAi, request.stream);
    let ask = Ask { target, request: &request, client, stream, max_output: limit };
    let call = Protocol::OpenAi.http_call(&ask).expect("every request can be written");
    let again = Protocol::OpenAi.parse_request(&call.body).expect("and read again");
    assert_eq!(again.messages, request.messages);
    assert_eq!((again.stream, again.stop), (request.stream, request.stop));
    assert_eq!(again.max_output_tokens, request.max_output_tokens);
}

/// A request is read or refused.
pub fn token_request(bytes: &[u8]) {
    if let Ok(request) = Protocol::Token.parse_request(bytes) {
        assert_eq!(request.messages.len(), 1);
    }
}

/// Any seam.
pub fn splice(bytes: &[u8]) {
    judge::<Seam>(bytes);
}

/// Any script.
pub fn relay(bytes: &[u8]) {
    judge::<Script>(bytes);
}

fn judge<C: Case>(bytes: &[u8]) {
    let case = C::draw(&mut Choices::from_bytes(bytes));
    if let Err(why) = case.check() {
        panic!("{case}{why}");
    }
}

/// A provider may send anything: the client gets whole events, and one end that says how.
pub fn relay_bytes(bytes: &[u8]) {
    let (first, stream) = bytes.split_first().unwrap_or((&0, &[]));
    let arrival = Arrival {
        visitor: None,
        own_keys: Ok(Vec::new()),
        now: Instant::ZERO,
        unix_seconds: 0,
        random: 1,
        headers: Vec::new(),
    };
    let body = br#"{"model":"m","stream":true,"messages":[{"role":"user","content":"hi"}]}"#;
    let mut answer = GATEWAY.answer(gateway::Client::asked(Protocol::OpenAi), body, &arrival);
    let mut client = Client::default();
    while client.drain(&mut answer) {
        let call = client.call.take().expect("an answer that is not over has made a call");
        let attempt = call.attempt;
        let content_type = if call.stream { "text/event-stream" } else { "application/json" };
        let head = Head { status: 200, content_type, ..Head::default() };
        answer.handle(Instant::ZERO, Input::Head { attempt, head });
        for bytes in stream.chunks(1 + usize::from(*first)) {
            answer.handle(Instant::ZERO, Input::Bytes { attempt, bytes });
            if !client.drain(&mut answer) {
                return;
            }
        }
        answer.handle(Instant::ZERO, Input::End { attempt });
    }
}

#[derive(Default)]
struct Client {
    done: bool,
    status: u16,
    /// The last call made.
    call: Option<Call>,
}

impl Client {
    /// Does what is to be done; whether the answer goes on.
    fn drain(&mut self, answer: &mut Answer) -> bool {
        loop {
            match answer.poll() {
                Output::Call(call) => self.call = Some(call),
                Output::Cancel { .. } | Output::Release { .. } => {}
                Output::Head(head) => self.status = head.status,
                Output::Body(bytes) if self.status == 200 => self.read(bytes),
                Output::Body(_) => {}
                Output::Quota { user, .. } => panic!("{user} has no quota here"),
                Output::Settle(settlement) => {
                    let finished = matches!(settlement.end, End::Finished(_));
                    assert_eq!(self.done, finished, "{:?}", settlement.end);
                    return false;
                }
                Output::Wait { .. } => return true,
            }
        }
    }

    fn read(&mut self, mut bytes: &[u8]) {
        let mut decoder = Decoder::new(1 << 30);
        while let Some(event) = decoder.next(&mut bytes).expect("no event is that long") {
            assert!(!self.done, "an event after the end");
            self.done = event.data == b"[DONE]";
        }
        assert_eq!(decoder.finish(), None, "a write ends within an event");
    }
}

static CONFIG: LazyLock<Config> = LazyLock::new(|| {
    let text = "[providers.a]\nprotocol = \"openai\"\nbase_url = \"http://a/v1\"\n\
                [models.m]\ntargets = [\"a/b\"]\n[fallback]\nretries = 0\n\
                breaker = { failures_max = 4000000000 }";
    Config::parse(text, |_| None).expect("the configuration is valid")
});

static GATEWAY: LazyLock<Gateway> = LazyLock::new(|| Gateway::new(CONFIG.clone()));
