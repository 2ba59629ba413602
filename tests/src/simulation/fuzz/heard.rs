//! What a client receives while its provider sends arbitrary bytes, read as strictly as its protocol
//! allows.

use std::sync::LazyLock;

use serde_json::{Value, json};
use streamgate_core::answer::{Answer, Output};
use streamgate_core::gateway::{self, Arrival, Gateway};
use streamgate_core::protocol::ClientProtocol;
use streamgate_core::relay::{Call, End, Head, Input};
use streamgate_core::sse::{Decoder, Framing};
use streamgate_core::target::ProviderProtocol;
use streamgate_core::time::Instant;

use super::CONFIG;

/// How many bytes a client may be sent for each that its provider sent, and for none: an answer is
/// repeated at its end, in some protocols, and each of its events has a frame.
const GROWTH_MAX: usize = 1024;
const LEAST_BYTES_MAX: usize = 16 * 1024;

/// The response's status, its events in order, and how the answer ended.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Heard {
    status: u16,
    events: Vec<(String, String)>,
    end: String,
}

impl Heard {
    /// What comes of a stream that is sent in pieces of so many bytes, whatever is asked.
    pub(super) fn by(
        client: ClientProtocol,
        provider: ProviderProtocol,
        stream: &[u8],
        piece: usize,
    ) -> Self {
        let mut answer = ask(client, provider);
        let mut hearing = Hearing::new(client);
        while hearing.drain(&mut answer) {
            let call = hearing.call.take().expect("an answer that is not over has made a call");
            let attempt = call.attempt;
            let content_type = match provider.framing() {
                _ if !call.stream => "application/json",
                Framing::Events => "text/event-stream",
                Framing::Lines => "application/x-ndjson",
            };
            let head = Head { status: 200, content_type, ..Head::default() };
            answer.handle(Instant::ZERO, Input::Head { attempt, head });
            let over = stream.chunks(piece).any(|bytes| {
                answer.handle(Instant::ZERO, Input::Bytes { attempt, bytes });
                !hearing.drain(&mut answer)
            });
            if over {
                break;
            }
            answer.handle(Instant::ZERO, Input::End { attempt });
        }
        let bytes_max = LEAST_BYTES_MAX + GROWTH_MAX * stream.len();
        assert!(hearing.bytes <= bytes_max, "{} bytes of {}", hearing.bytes, stream.len());
        hearing.heard
    }
}

fn ask(client: ClientProtocol, provider: ProviderProtocol) -> Answer {
    static GATEWAY: LazyLock<Gateway> = LazyLock::new(|| Gateway::new(CONFIG.clone()));
    let arrival = Arrival {
        caller: None,
        own_keys: Ok(Vec::new()),
        now: Instant::ZERO,
        unix_seconds: 0,
        random: 1,
        headers: Vec::new(),
    };
    let body = request(client, provider.name()).to_string();
    GATEWAY.answer(gateway::Client::streaming(client), body.as_bytes(), &arrival)
}

/// The same question in each protocol.
pub(super) fn request(client: ClientProtocol, model: &str) -> Value {
    let said = json!([{"role": "user", "content": "hi"}]);
    let parts = json!([{"role": "user", "parts": [{"type": "text", "text": "hi"}]}]);
    match client {
        ClientProtocol::Responses => json!({"model": model, "stream": true, "input": said}),
        ClientProtocol::Anthropic => {
            json!({"model": model, "stream": true, "max_tokens": 9, "messages": said})
        }
        ClientProtocol::UiMessage => json!({"model": model, "messages": parts}),
        ClientProtocol::Notebook => {
            json!({"model_override": model, "session_id": "s", "message": "hi"})
        }
        ClientProtocol::Token | ClientProtocol::Content | ClientProtocol::Session => {
            json!({"model": model, "message": "hi"})
        }
        ClientProtocol::OllamaGenerate => json!({"model": model, "prompt": "hi"}),
        ClientProtocol::Completions => json!({"model": model, "prompt": "hi", "stream": true}),
        ClientProtocol::Gemini | ClientProtocol::GeminiArray => {
            json!({"model": model, "contents": [{"role": "user", "parts": [{"text": "hi"}]}]})
        }
        _ => json!({"model": model, "stream": true, "messages": said}),
    }
}

/// A client that listens.
struct Hearing {
    protocol: ClientProtocol,
    heard: Heard,
    bytes: usize,
    done: bool,
    /// The last call made.
    call: Option<Call>,
}

impl Hearing {
    fn new(protocol: ClientProtocol) -> Self {
        Self { protocol, heard: Heard::default(), bytes: 0, done: false, call: None }
    }

    /// Does what the answer asks for. Returns whether it is not over.
    fn drain(&mut self, answer: &mut Answer) -> bool {
        loop {
            match answer.poll() {
                Output::Call(call) => self.call = Some(call),
                Output::Cancel { .. } | Output::Release { .. } => {}
                Output::Head(head) => self.heard.status = head.status,
                Output::Body(bytes) => {
                    self.bytes += bytes.len();
                    if self.heard.status == 200 {
                        self.read(bytes);
                    }
                }
                Output::Quota { user, .. } => panic!("{user} has no quota here"),
                Output::Settle(settlement) => {
                    let finished = matches!(settlement.end, End::Finished(_));
                    assert_eq!(self.done, finished, "{:?}", settlement.end);
                    self.heard.end = format!("{:?}", settlement.end);
                    return false;
                }
                Output::Wait { .. } => return true,
            }
        }
    }

    fn read(&mut self, mut bytes: &[u8]) {
        let mut decoder = Decoder::framed(self.protocol.framing(), 1 << 30);
        while let Some(event) = decoder.next(&mut bytes).expect("no event is that long") {
            // Gemini's last event may be followed by one with the usage alone, and a list by its end.
            let more_follows =
                matches!(self.protocol, ClientProtocol::Gemini | ClientProtocol::GeminiArray);
            assert!(!self.done || more_follows, "an event after the end");
            self.done |= is_end(self.protocol, event.data);
            let data = String::from_utf8_lossy(event.data).into_owned();
            self.heard.events.push((event.name.to_owned(), data));
        }
        assert_eq!(decoder.finish(), None, "a write ends within an event");
    }
}

/// Whether this is the event that ends an answer well.
fn is_end(protocol: ClientProtocol, data: &[u8]) -> bool {
    match protocol {
        ClientProtocol::OpenAi | ClientProtocol::UiMessage | ClientProtocol::Completions => {
            return data == b"[DONE]";
        }
        _ => {}
    }
    // A list ends alike whether its last member is an answer's end or an error.
    let data = match protocol {
        ClientProtocol::GeminiArray => {
            data.strip_prefix(b"[").or(data.strip_prefix(b",")).unwrap_or(data)
        }
        _ => data,
    };
    let json: Value = serde_json::from_slice(data).unwrap_or_default();
    let kind = json["type"].as_str().unwrap_or("");
    match protocol {
        ClientProtocol::Responses => matches!(kind, "response.completed" | "response.incomplete"),
        ClientProtocol::Anthropic => kind == "message_stop",
        ClientProtocol::Notebook => kind == "complete",
        ClientProtocol::Session => kind == "stream_end",
        ClientProtocol::Gemini | ClientProtocol::GeminiArray => {
            let reason = json["candidates"][0]["finishReason"].as_str().unwrap_or("");
            !matches!(reason, "" | "FINISH_REASON_UNSPECIFIED")
        }
        _ => json["done"] == true,
    }
}
