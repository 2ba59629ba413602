//! One chunk's way through an answer, beside what it would cost to copy it and to parse and write it.
//!
//! `cargo bench --bench relay` prints, for each setting, what a chunk costs in time and allocations,
//! and how many times ours that is. All take turns and the best turn of each counts, so that a busy
//! machine disturbs them alike. `cargo bench --bench relay -- count ours "forwarded, an event a read"`
//! makes one pass of one of them instead, for a tool that counts instructions.
//!
//! Ours is everything the core does between a read and a write: events found, read, checked, counted
//! and kept for a continuation, deadlines moved, the body written. The peers do less: `values` is
//! what a gateway does that reads each chunk into a `serde_json::Value` and writes it again, `copy`
//! reads nothing and is the floor.

#[path = "../../core/tests/counting/mod.rs"]
mod counting;

use std::borrow::Cow;
use std::env;
use std::hint::black_box;
use std::time::Duration;

use serde_json::{Value, json};
use streamgate_core::answer::{Answer, Output};
use streamgate_core::chat::Event;
use streamgate_core::config::Config;
use streamgate_core::gateway::{Arrival, Client, Gateway};
use streamgate_core::protocol::Protocol;
use streamgate_core::relay::{AttemptId, Head, Input};
use streamgate_core::sse::{Decoder, EVENT_BYTES_MAX_DEFAULT, encode};
use streamgate_core::time::Instant;

const CHUNKS: usize = 4_000;
const TURNS: usize = 60;
/// When, in seconds since 1970.
const CREATED: u64 = 1_741_570_283;

const CONFIG: &str = r#"
[providers.far]
protocol = "openai"
base_url = "http://far/v1"
[providers.here]
protocol = "local"
[models.far]
targets = ["far/m"]
[models.here]
targets = ["here/m"]
"#;

const PLAIN: [&str; 8] = ["The", " quick", " brown", " fox", " jumps", " über", " 狗", "."];
const ESCAPED: [&str; 8] =
    ["\\n\\n", " quick", " \\\"", " fox", "\\u00fcber", " jumps", " \\ud83d\\ude00", "    \\\\t"];

struct Setting {
    name: &'static str,
    client: Protocol,
    /// The contents as JSON has them.
    words: &'static [&'static str],
    arrive: Arrive,
    /// Chunks differ in their contents alone, as those of most providers do.
    alike: bool,
}

/// How chunks come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Arrive {
    EventByEvent,
    /// In reads of so many bytes.
    Reads(usize),
    /// From an engine in this process, which needs no bytes.
    Engine,
}

use Arrive::{Engine, EventByEvent, Reads};

const READS: Arrive = Reads(16 * 1024);

const SETTINGS: [Setting; 11] = [
    Setting { name: "forwarded, an event a read", ..FORWARDED },
    Setting { name: "forwarded, an event a read, escapes", words: &ESCAPED, ..FORWARDED },
    Setting { name: "forwarded, an event a read, no two alike", alike: false, ..FORWARDED },
    Setting { name: "forwarded, 16 KiB reads", arrive: READS, ..FORWARDED },
    Setting {
        name: "forwarded, 16 KiB reads, escapes",
        arrive: READS,
        words: &ESCAPED,
        ..FORWARDED
    },
    Setting {
        name: "forwarded, 16 KiB reads, no two alike",
        arrive: READS,
        alike: false,
        ..FORWARDED
    },
    Setting { name: "to token events, an event a read, escapes", words: &ESCAPED, ..TRANSLATED },
    Setting { name: "to token events, an event a read, no two alike", alike: false, ..TRANSLATED },
    Setting {
        name: "to token events, 16 KiB reads, escapes",
        words: &ESCAPED,
        arrive: READS,
        ..TRANSLATED
    },
    Setting { name: "engine to chunks", arrive: Engine, ..FORWARDED },
    Setting { name: "engine to chunks, escapes", words: &ESCAPED, arrive: Engine, ..FORWARDED },
];

const FORWARDED: Setting = Setting {
    name: "",
    client: Protocol::OpenAi,
    words: &PLAIN,
    arrive: EventByEvent,
    alike: true,
};
const TRANSLATED: Setting = Setting { client: Protocol::Token, ..FORWARDED };

/// What comes in, and where what goes out is joined for a write.
struct Stream {
    setting: &'static Setting,
    reads: Vec<Vec<u8>>,
    texts: Vec<String>,
}

/// Passes everything on; returns the bytes written.
type Pass = fn(&Stream) -> usize;

const PASSES: [(&str, Pass); 3] = [("ours", ours), ("values", values), ("copy", copy)];

fn main() {
    let words: Vec<String> = env::args().skip(1).filter(|word| word != "--bench").collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["count", pass, setting] => count(pass, setting),
        _ => SETTINGS.iter().for_each(compare),
    }
}

fn count(pass: &str, setting: &str) {
    let setting = SETTINGS.iter().find(|it| it.name == setting).expect("a setting");
    let (_, pass) = PASSES.iter().find(|(name, _)| *name == pass).expect("a pass");
    println!("{}", pass(&Stream::of(setting)));
}

fn compare(setting: &'static Setting) {
    let stream = Stream::of(setting);
    let bytes: usize = stream.reads.iter().map(Vec::len).sum();
    println!("{}, {} bytes a chunk", setting.name, bytes / CHUNKS);
    let best = best_turns(&stream);
    for ((name, pass), turn) in PASSES.into_iter().zip(best) {
        let before = counting::allocations();
        black_box(pass(&stream));
        let allocations = (counting::allocations() - before) as f64 / CHUNKS as f64;
        let nanos = turn.as_nanos() as f64 / CHUNKS as f64;
        let ratio = turn.as_secs_f64() / best[0].as_secs_f64();
        println!("  {name:<10}{nanos:>8.1} ns {ratio:>7.2} x {allocations:>8.3} allocations");
    }
}

fn best_turns(stream: &Stream) -> [Duration; PASSES.len()] {
    let mut best = [Duration::MAX; PASSES.len()];
    for _ in 0..TURNS {
        for ((_, pass), best) in PASSES.into_iter().zip(&mut best) {
            let start = std::time::Instant::now();
            black_box(pass(black_box(stream)));
            *best = start.elapsed().min(*best);
        }
    }
    best
}

fn ours(stream: &Stream) -> usize {
    let (mut answer, attempt) = begin(stream.setting);
    let mut written = 0;
    let mut now = Instant::ZERO;
    let mut pass = |input: Input| {
        now = now + Duration::from_micros(10);
        answer.handle(now, input);
        written += drain(&mut answer);
    };
    if stream.setting.arrive == Engine {
        for text in &stream.texts {
            pass(Input::Event { attempt, event: Event::Text(Cow::Borrowed(text)) });
        }
    } else {
        let head = Head { status: 200, content_type: "text/event-stream", ..Head::default() };
        pass(Input::Head { attempt, head });
        for bytes in &stream.reads {
            pass(Input::Bytes { attempt, bytes });
        }
    }
    written
}

/// An answer that waits for its first call's response.
// Not inlined, so that a tool that counts can leave it out.
#[inline(never)]
fn begin(setting: &Setting) -> (Answer, AttemptId) {
    let gateway = Gateway::new(Config::parse(CONFIG, |_| None).expect("a good configuration"));
    let arrival = Arrival {
        visitor: None,
        own_keys: Ok(Vec::new()),
        now: Instant::ZERO,
        unix_seconds: CREATED,
        random: 7,
        headers: Vec::new(),
    };
    let model = if setting.arrive == Engine { "here" } else { "far" };
    let request = json!({
        "model": model,
        "stream": true,
        "messages": [{"role": "user", "content": "Hi"}],
        "message": "Hi",
    });
    let mut answer =
        gateway.answer(Client::asked(setting.client), request.to_string().as_bytes(), &arrival);
    let Output::Call(call) = answer.poll() else { panic!("no call") };
    (answer, call.attempt)
}

fn drain(answer: &mut Answer) -> usize {
    let mut written = 0;
    loop {
        match answer.poll() {
            Output::Body(bytes) => written += black_box(bytes).len(),
            Output::Wait { until } => {
                black_box(until);
                return written;
            }
            _ => {}
        }
    }
}

fn values(stream: &Stream) -> usize {
    let mut out = Vec::new();
    let mut written = 0;
    let mut decoder = Decoder::new(EVENT_BYTES_MAX_DEFAULT);
    for mut read in stream.reads.iter().map(Vec::as_slice) {
        while let Some(event) = decoder.next(&mut read).expect("short events") {
            let value: Value = serde_json::from_slice(event.data).expect("JSON");
            let value = match stream.setting.client {
                Protocol::Token => json!({"token": value["choices"][0]["delta"]["content"]}),
                _ => value,
            };
            write_value(&mut out, &value);
        }
        written += black_box(&out).len();
        out.clear();
    }
    if stream.setting.arrive == Engine {
        for text in &stream.texts {
            write_value(&mut out, &chunk(text));
            written += black_box(&out).len();
            out.clear();
        }
    }
    written
}

fn write_value(out: &mut Vec<u8>, value: &Value) {
    out.extend_from_slice(b"data: ");
    serde_json::to_writer(&mut *out, value).expect("a Vec takes every write");
    out.extend_from_slice(b"\n\n");
}

fn copy(stream: &Stream) -> usize {
    let mut out = Vec::new();
    let mut written = 0;
    for read in stream.reads.iter().map(Vec::as_slice) {
        out.extend_from_slice(read);
        written += black_box(&out).len();
        out.clear();
    }
    if stream.setting.arrive == Engine {
        for text in &stream.texts {
            out.extend_from_slice(text.as_bytes());
            written += black_box(&out).len();
            out.clear();
        }
    }
    written
}

impl Stream {
    fn of(setting: &'static Setting) -> Self {
        let words = setting.words.iter().cycle().take(CHUNKS);
        let created = |number| if setting.alike { CREATED } else { CREATED + number };
        let frames = words.clone().zip(0..).map(|(word, number)| frame(word, created(number)));
        let frames: Vec<_> = frames.collect();
        let (reads, texts) = match setting.arrive {
            EventByEvent => (frames, Vec::new()),
            Reads(bytes) => (frames.concat().chunks(bytes).map(<[u8]>::to_vec).collect(), vec![]),
            Engine => (Vec::new(), words.map(|word| text(word)).collect()),
        };
        Self { setting, reads, texts }
    }
}

/// A chunk's event as OpenAI sends it; `word` is the content as JSON has it.
fn frame(word: &str, created: u64) -> Vec<u8> {
    let data = format!(
        r#"{{"id":"chatcmpl-B9MHDbslfkBeAs8l4bebGdFOJ6PeG","object":"chat.completion.chunk","created":{created},"model":"gpt-4o-2024-08-06","system_fingerprint":"fp_fc9f1d7035","choices":[{{"index":0,"delta":{{"content":"{word}"}},"logprobs":null,"finish_reason":null}}]}}"#
    );
    let mut frame = Vec::new();
    encode(&mut frame, None, None, data.as_bytes());
    frame
}

fn text(word: &str) -> String {
    serde_json::from_str(&format!("\"{word}\"")).expect("a JSON text")
}

fn chunk(text: &str) -> Value {
    json!({
        "id": "chatcmpl-00000000000000000000000000000007",
        "object": "chat.completion.chunk",
        "created": CREATED,
        "model": "here",
        "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": null}],
    })
}
