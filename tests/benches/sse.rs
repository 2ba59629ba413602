//! The event decoder beside its peers, on the stream a chat model sends.
//!
//! `cargo bench --bench sse` prints, for each setting, what an event costs every decoder in time and
//! allocations, and how many times ours that is. The decoders take turns and the best turn of each
//! counts, so that a busy machine disturbs them alike. `cargo bench --bench sse -- count ours 128`
//! makes one pass of one decoder instead, for a tool that counts instructions.
//!
//! Peers are fed what they are made for: a ready stream of `Bytes`. They also turn the data into
//! owned strings, which ours leaves to its reader; so one of our rows checks UTF-8 as well, and one
//! of theirs is the bare line parser, which makes no events.

#[path = "../../core/tests/counting/mod.rs"]
mod counting;

use std::env;
use std::hint::black_box;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use eventsource_stream::Eventsource;
use futures::executor::block_on;
use futures::stream::{self, Stream, StreamExt};
use sseer::parser::{RawEventLineOwned, parse_line_from_buffer};
use streamgate_core::sse::{Decoder, EVENT_BYTES_MAX_DEFAULT, Event, encode};

const EVENTS: usize = 4_000;
const TURNS: usize = 60;

/// Reads all chunks; returns the number of events and the bytes of their data.
type Decode = fn(&[Bytes]) -> (usize, usize);

const DECODERS: [(&str, Decode); 5] = [
    ("ours", ours),
    ("ours, UTF-8 checked", ours_checked),
    ("sseer", sseer),
    ("sseer, lines only", sseer_lines),
    ("eventsource-stream", eventsource_stream),
];

struct Setting {
    name: &'static str,
    stream: fn() -> Vec<u8>,
    chunk_bytes: usize,
}

const SETTINGS: [Setting; 6] = [
    Setting { name: "128 B chunks", stream: openai, chunk_bytes: 128 },
    Setting { name: "16 KiB reads", stream: openai, chunk_bytes: 16 * 1024 },
    Setting { name: "128 B chunks, CR LF", stream: openai_crlf, chunk_bytes: 128 },
    Setting { name: "16 KiB reads, CR LF", stream: openai_crlf, chunk_bytes: 16 * 1024 },
    Setting { name: "128 B chunks, named events", stream: anthropic, chunk_bytes: 128 },
    Setting { name: "16 KiB reads, named events", stream: anthropic, chunk_bytes: 16 * 1024 },
];

fn main() {
    let words: Vec<String> = env::args().skip(1).filter(|word| word != "--bench").collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["count", decoder, setting] => count(decoder, setting),
        _ => SETTINGS.iter().for_each(compare),
    }
}

fn count(decoder: &str, setting: &str) {
    let setting = SETTINGS.iter().find(|it| it.name.starts_with(setting)).expect("a setting");
    let (_, decode) = DECODERS.iter().find(|(name, _)| *name == decoder).expect("a decoder");
    println!("{:?}", decode(&setting.chunks()));
}

fn compare(setting: &Setting) {
    let chunks = setting.chunks();
    let read = ours(&chunks);
    let bytes: usize = chunks.iter().map(Bytes::len).sum();
    println!("{}, {} bytes an event", setting.name, bytes / EVENTS);
    let best = best_turns(&chunks);
    for ((name, decode), turn) in DECODERS.into_iter().zip(best) {
        let before = counting::allocations();
        assert_eq!(decode(&chunks), read, "{name} reads something else");
        let allocations = (counting::allocations() - before) as f64 / EVENTS as f64;
        let nanos = turn.as_nanos() as f64 / EVENTS as f64;
        let ratio = turn.as_secs_f64() / best[0].as_secs_f64();
        println!("  {name:<20}{nanos:>8.1} ns {ratio:>7.2} x {allocations:>8.3} allocations");
    }
}

fn best_turns(chunks: &[Bytes]) -> [Duration; DECODERS.len()] {
    let mut best = [Duration::MAX; DECODERS.len()];
    for _ in 0..TURNS {
        for ((_, decode), best) in DECODERS.into_iter().zip(&mut best) {
            let start = Instant::now();
            black_box(decode(black_box(chunks)));
            *best = start.elapsed().min(*best);
        }
    }
    best
}

fn ours(chunks: &[Bytes]) -> (usize, usize) {
    decode_ours(chunks, |event| event.data.len())
}

fn ours_checked(chunks: &[Bytes]) -> (usize, usize) {
    decode_ours(chunks, |event| str::from_utf8(event.data).expect("UTF-8").len())
}

fn decode_ours(chunks: &[Bytes], data_bytes: impl Fn(&Event) -> usize) -> (usize, usize) {
    let mut decoder = Decoder::new(EVENT_BYTES_MAX_DEFAULT);
    let mut read = (0, 0);
    for mut chunk in chunks.iter().map(|chunk| &chunk[..]) {
        while let Some(event) = decoder.next(&mut chunk).expect("short events") {
            read = (read.0 + 1, read.1 + data_bytes(black_box(&event)));
        }
    }
    read
}

fn sseer(chunks: &[Bytes]) -> (usize, usize) {
    let mut events = sseer::EventStream::new(ready(chunks));
    let mut read = (0, 0);
    block_on(async {
        while let Some(event) = events.next().await {
            let event = black_box(event.expect("an event"));
            read = (read.0 + 1, read.1 + event.data.len());
        }
    });
    read
}

fn sseer_lines(chunks: &[Bytes]) -> (usize, usize) {
    let mut buffer = BytesMut::new();
    let mut searched = 0;
    let mut read = (0, 0);
    for chunk in chunks {
        buffer.extend_from_slice(chunk);
        while let Some(line) = parse_line_from_buffer(&mut buffer, &mut searched) {
            match black_box(line) {
                RawEventLineOwned::Field { field_name, field_value: Some(value) }
                    if field_name == b"data"[..] =>
                {
                    read = (read.0 + 1, read.1 + value.len());
                }
                _ => {}
            }
        }
    }
    read
}

fn eventsource_stream(chunks: &[Bytes]) -> (usize, usize) {
    let mut events = ready(chunks).eventsource();
    let mut read = (0, 0);
    block_on(async {
        while let Some(event) = events.next().await {
            let event = black_box(event.expect("an event"));
            read = (read.0 + 1, read.1 + event.data.len());
        }
    });
    read
}

fn ready(chunks: &[Bytes]) -> impl Stream<Item = Result<Bytes, ()>> + Unpin {
    stream::iter(chunks.iter().cloned().map(Ok))
}

impl Setting {
    fn chunks(&self) -> Vec<Bytes> {
        let stream = (self.stream)();
        stream.chunks(self.chunk_bytes).map(Bytes::copy_from_slice).collect()
    }
}

fn openai() -> Vec<u8> {
    stream_of(None, |word| {
        format!(
            r#"{{"id":"chatcmpl-B9MHDbslfkBeAs8l4bebGdFOJ6PeG","object":"chat.completion.chunk","created":1741570283,"model":"gpt-4o-2024-08-06","service_tier":"default","system_fingerprint":"fp_fc9f1d7035","choices":[{{"index":0,"delta":{{"content":"{word}"}},"logprobs":null,"finish_reason":null}}]}}"#
        )
    })
}

fn openai_crlf() -> Vec<u8> {
    String::from_utf8(openai()).expect("UTF-8").replace('\n', "\r\n").into_bytes()
}

fn anthropic() -> Vec<u8> {
    stream_of(Some("content_block_delta"), |word| {
        format!(
            r#"{{"type":"content_block_delta","index":0,"delta":{{"type":"text_delta","text":"{word}"}}}}"#
        )
    })
}

fn stream_of(event: Option<&str>, data: impl Fn(&str) -> String) -> Vec<u8> {
    let words = ["The", " quick", " brown", " fox", " jumps", " über", " 狗", ".", " ", "\\n\\n"];
    let mut stream = Vec::new();
    for number in 0..EVENTS {
        encode(&mut stream, event, None, data(words[number % words.len()]).as_bytes());
    }
    stream
}
