//! The cost of one chunk of an answer, beside that of copying it and of parsing and writing it.
//!
//! `cargo bench --bench relay` prints, for each setting, what a chunk costs in time and allocations,
//! and how many times ours that is. All take turns and the best turn of each counts, so that a busy
//! machine disturbs them alike. `cargo bench --bench relay -- anthropic` prints the settings with that in
//! their names. `cargo bench --bench relay -- count ours "forwarded, an event a read"`
//! makes one pass of one of them instead, for a tool that counts instructions.
//!
//! `ours` is everything core does between a read and a write: events are found, parsed, validated,
//! counted and kept for a continuation, deadlines moved, the body written. The peers do less:
//! `values` parses each chunk into a `serde_json::Value` and writes it again, `copy` parses nothing
//! and is the floor.

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
use streamgate_core::protocol::ClientProtocol;
use streamgate_core::relay::{AttemptId, Head, Input};
use streamgate_core::sse::{Decoder, EVENT_BYTES_MAX_DEFAULT, Framing, encode};
use streamgate_core::target::{ProviderProtocol, Upstream};
use streamgate_core::time::Instant;

const CHUNKS: usize = 4_000;
const TURNS: usize = 60;
/// When, in seconds since 1970.
const CREATED: u64 = 1_741_570_283;

/// What providers speak; a provider and a model have the name of each.
const PROVIDERS: [Upstream; 6] = [OPENAI, RESPONSES, ANTHROPIC, GEMINI, OLLAMA, Upstream::Local];

const OPENAI: Upstream = Upstream::Http(ProviderProtocol::OpenAi);
const RESPONSES: Upstream = Upstream::Http(ProviderProtocol::Responses);
const ANTHROPIC: Upstream = Upstream::Http(ProviderProtocol::Anthropic);
const GEMINI: Upstream = Upstream::Http(ProviderProtocol::Gemini);
const OLLAMA: Upstream = Upstream::Http(ProviderProtocol::Ollama);

const PLAIN: [&str; 8] = ["The", " quick", " brown", " fox", " jumps", " über", " 狗", "."];
const ESCAPED: [&str; 8] =
    ["\\n\\n", " quick", " \\\"", " fox", "\\u00fcber", " jumps", " \\ud83d\\ude00", "    \\\\t"];

struct Setting {
    name: &'static str,
    provider: Upstream,
    client: ClientProtocol,
    /// The contents as JSON has them.
    words: &'static [&'static str],
    arrive: Arrive,
    /// Chunks differ in their contents alone, as those of most providers do.
    alike: bool,
}

/// How chunks arrive.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Arrive {
    EventByEvent,
    /// In reads of this many bytes.
    Reads(usize),
    /// From an engine in this process, which needs no bytes.
    Engine,
}

use Arrive::{Engine, EventByEvent, Reads};

const READS: Arrive = Reads(16 * 1024);

const SETTINGS: [Setting; 20] = [
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
    Setting { name: "openai to anthropic", client: ClientProtocol::Anthropic, ..ACROSS },
    Setting { name: "openai to responses", client: ClientProtocol::Responses, ..ACROSS },
    Setting { name: "openai to ui-message", client: ClientProtocol::UiMessage, ..ACROSS },
    Setting { name: "responses to openai", provider: RESPONSES, ..ACROSS },
    Setting { name: "anthropic to openai", provider: ANTHROPIC, ..ACROSS },
    Setting { name: "gemini to openai", provider: GEMINI, ..ACROSS },
    Setting { name: "ollama to openai", provider: OLLAMA, ..ACROSS },
    Setting {
        name: "responses forwarded",
        provider: RESPONSES,
        client: ClientProtocol::Responses,
        ..ACROSS
    },
    Setting {
        name: "anthropic forwarded",
        provider: ANTHROPIC,
        client: ClientProtocol::Anthropic,
        ..ACROSS
    },
    Setting { name: "engine to chunks", arrive: Engine, ..LOCAL },
    Setting { name: "engine to chunks, escapes", words: &ESCAPED, arrive: Engine, ..LOCAL },
];

const FORWARDED: Setting = Setting {
    name: "",
    provider: OPENAI,
    client: ClientProtocol::OpenAi,
    words: &PLAIN,
    arrive: EventByEvent,
    alike: true,
};
const TRANSLATED: Setting = Setting { client: ClientProtocol::Token, ..FORWARDED };
/// From one protocol to another or the same, an event a read.
const ACROSS: Setting = Setting { words: &ESCAPED, ..FORWARDED };
const LOCAL: Setting = Setting { provider: Upstream::Local, ..FORWARDED };

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
        [] => SETTINGS.iter().for_each(compare),
        ref parts => {
            let asked = |setting: &&Setting| parts.iter().any(|part| setting.name.contains(part));
            SETTINGS.iter().filter(asked).for_each(compare);
        }
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
        let content_type = match stream.setting.provider {
            OLLAMA => "application/x-ndjson",
            _ => "text/event-stream",
        };
        let head = Head { status: 200, content_type, ..Head::default() };
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
    let config = Config::parse(&config(), |_| None).expect("a good configuration");
    let gateway = Gateway::new(config);
    let arrival = Arrival {
        caller: None,
        own_keys: Ok(Vec::new()),
        now: Instant::ZERO,
        unix_seconds: CREATED,
        random: 7,
        headers: Vec::new(),
    };
    let mut request = json!({"model": setting.provider.name(), "stream": true, "max_tokens": 4096});
    let message = match setting.client {
        ClientProtocol::Token => json!("Hi"),
        ClientProtocol::UiMessage => json!([
            {"id": "u1", "role": "user", "parts": [{"type": "text", "text": "Hi"}]}
        ]),
        _ => json!([{"role": "user", "content": "Hi"}]),
    };
    let field = match setting.client {
        ClientProtocol::Token => "message",
        ClientProtocol::Responses => "input",
        _ => "messages",
    };
    request[field] = message;
    let mut answer =
        gateway.answer(Client::new(setting.client), request.to_string().as_bytes(), &arrival);
    let Output::Call(call) = answer.poll() else { panic!("no call") };
    (answer, call.attempt)
}

fn config() -> String {
    let entry = |upstream: Upstream| {
        let name = upstream.name();
        let base_url = match upstream {
            Upstream::Local => String::new(),
            Upstream::Http(_) => format!("base_url = \"http://{name}/v1\"\n"),
        };
        format!(
            "[providers.{name}]\nprotocol = \"{name}\"\n{base_url}\
             [models.{name}]\ntargets = [\"{name}/m\"]\n"
        )
    };
    PROVIDERS.into_iter().map(entry).collect()
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
    let framing = match stream.setting.provider {
        Upstream::Http(protocol) => protocol.framing(),
        Upstream::Local => Framing::Events,
    };
    let mut decoder = Decoder::framed(framing, EVENT_BYTES_MAX_DEFAULT);
    for mut read in stream.reads.iter().map(Vec::as_slice) {
        while let Some(event) = decoder.next(&mut read).expect("short events") {
            let value: Value = serde_json::from_slice(event.data).expect("JSON");
            let value = match stream.setting.client {
                ClientProtocol::Token => json!({"token": value["choices"][0]["delta"]["content"]}),
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
        let frame = |(word, number): (&&str, u64)| match setting.provider {
            RESPONSES => responses_frame(word, number),
            ANTHROPIC => anthropic_frame(word),
            GEMINI => gemini_frame(word, number),
            OLLAMA => ollama_line(word, number),
            _ => openai_frame(word, created(number)),
        };
        let opening = opening(setting.provider);
        let frames = [opening].into_iter().chain(words.clone().zip(0..).map(frame));
        let frames: Vec<_> = frames.filter(|frame| !frame.is_empty()).collect();
        let (reads, texts) = match setting.arrive {
            EventByEvent => (frames, Vec::new()),
            Reads(bytes) => (frames.concat().chunks(bytes).map(<[u8]>::to_vec).collect(), vec![]),
            Engine => (Vec::new(), words.map(|word| text(word)).collect()),
        };
        Self { setting, reads, texts }
    }
}

/// What a provider's stream begins with.
fn opening(provider: Upstream) -> Vec<u8> {
    let events: &[(&str, &str)] = match provider {
        ANTHROPIC => &[
            (
                "message_start",
                r#"{"type":"message_start","message":{"id":"msg_01","type":"message","role":"assistant","model":"m","content":[],"stop_reason":null,"usage":{"input_tokens":9,"output_tokens":1}}}"#,
            ),
            (
                "content_block_start",
                r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
            ),
        ],
        RESPONSES => &[
            (
                "response.created",
                r#"{"type":"response.created","sequence_number":0,"response":{"id":"resp_1","object":"response","created_at":1,"status":"in_progress","model":"m","output":[]}}"#,
            ),
            (
                "response.output_item.added",
                r#"{"type":"response.output_item.added","sequence_number":1,"output_index":0,"item":{"id":"msg_1","type":"message","status":"in_progress","content":[],"role":"assistant"}}"#,
            ),
            (
                "response.content_part.added",
                r#"{"type":"response.content_part.added","sequence_number":2,"item_id":"msg_1","output_index":0,"content_index":0,"part":{"type":"output_text","annotations":[],"logprobs":[],"text":""}}"#,
            ),
        ],
        _ => &[],
    };
    events.iter().flat_map(|(name, data)| event(Some(name), data)).collect()
}

/// A chunk's event as OpenAI sends it; `word` is the content as JSON has it.
fn openai_frame(word: &str, created: u64) -> Vec<u8> {
    event(
        None,
        &format!(
            r#"{{"id":"chatcmpl-B9MHDbslfkBeAs8l4bebGdFOJ6PeG","object":"chat.completion.chunk","created":{created},"model":"gpt-4o-2024-08-06","system_fingerprint":"fp_fc9f1d7035","choices":[{{"index":0,"delta":{{"content":"{word}"}},"logprobs":null,"finish_reason":null}}]}}"#
        ),
    )
}

fn responses_frame(word: &str, number: u64) -> Vec<u8> {
    let name = "response.output_text.delta";
    let number = number + 3;
    event(
        Some(name),
        &format!(
            r#"{{"type":"{name}","sequence_number":{number},"item_id":"msg_1","output_index":0,"content_index":0,"delta":"{word}","logprobs":[],"obfuscation":"bVRHxvJzTOqN"}}"#
        ),
    )
}

fn anthropic_frame(word: &str) -> Vec<u8> {
    let name = "content_block_delta";
    event(
        Some(name),
        &format!(
            r#"{{"type":"{name}","index":0,"delta":{{"type":"text_delta","text":"{word}"}}}}"#
        ),
    )
}

/// Each frame reports the usage so far.
fn gemini_frame(word: &str, number: u64) -> Vec<u8> {
    let total = number + 9;
    event(
        None,
        &format!(
            r#"{{"candidates": [{{"content": {{"parts": [{{"text": "{word}"}}],"role": "model"}},"index": 0}}],"usageMetadata": {{"promptTokenCount": 9,"candidatesTokenCount": {number},"totalTokenCount": {total},"promptTokensDetails": [{{"modality": "TEXT","tokenCount": 9}}]}},"modelVersion": "gemini-2.5-flash","responseId": "9oBEaOm1GcSCqtsP"}}"#
        ),
    )
}

/// Each line has its own time.
fn ollama_line(word: &str, number: u64) -> Vec<u8> {
    format!(
        "{{\"model\":\"llama3.2\",\"created_at\":\"2025-05-27T21:08:44.{number:09}Z\",\"message\":{{\"role\":\"assistant\",\"content\":\"{word}\"}},\"done\":false}}\n"
    )
    .into_bytes()
}

fn event(name: Option<&str>, data: &str) -> Vec<u8> {
    let mut frame = Vec::new();
    encode(&mut frame, name, None, data.as_bytes());
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
