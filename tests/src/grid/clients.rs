//! Clients of every protocol: what they ask, and how they understand an answer. Written anew and not
//! with the core's readers, which would share its mistakes.

use serde_json::{Value, json};
use streamgate_core::sse::{Decoder, EVENT_BYTES_MAX_DEFAULT};

use super::Case;
use super::asked::Asked;
use super::meaning::Meaning;

mod anthropic;
mod apps;
mod completions;
mod gemini;
mod ollama;
mod openai;
mod responses;
mod ui_message;

/// A client's protocol.
#[derive(Debug)]
pub struct Client {
    /// Its name.
    pub protocol: &'static str,
    /// Where it requests a stream, and a non-streaming answer; `MODEL` stands for the model.
    pub paths: [&'static str; 2],
    /// Whether it streams, and whether it can do without.
    pub ways: &'static [bool],
    /// Whether its streams begin before a provider is asked.
    pub(super) opens_at_once: bool,
    /// What it has a form for in a request: `tools`, `schema`, `images`, `image-urls`, `limit`.
    pub(super) asks: &'static [&'static str],
    /// What it has words for: `tools`, `reasoning`, `refusal`, `finish`, `usage`.
    pub carries: &'static [&'static str],
    /// How it asks a model; in place of the provider's name for it, its own.
    pub(super) request: fn(model: &str, asked: &Asked) -> Value,
    /// How it understands a stream.
    pub(super) read_stream: fn(&[u8]) -> Result<Meaning, String>,
    /// How it reads a non-streaming answer, or an error.
    pub(super) read_whole: fn(&[u8]) -> Result<Meaning, String>,
}

const BOTH: &[bool] = &[true, false];
const STREAM: &[bool] = &[true];

/// Every protocol a client can speak.
pub static CLIENTS: &[Client] = &[
    Client {
        protocol: "openai",
        paths: ["/v1/chat/completions"; 2],
        ways: BOTH,
        opens_at_once: false,
        asks: &["tools", "schema", "images", "image-urls", "limit"],
        carries: &["tools", "reasoning", "refusal", "finish", "usage"],
        request: openai::request,
        read_stream: openai::read_stream,
        read_whole: openai::read_whole,
    },
    Client {
        protocol: "responses",
        paths: ["/v1/responses"; 2],
        ways: BOTH,
        opens_at_once: false,
        asks: &["tools", "schema", "images", "image-urls", "limit"],
        carries: &["tools", "reasoning", "refusal", "finish", "usage"],
        request: responses::request,
        read_stream: responses::read_stream,
        read_whole: responses::read_whole,
    },
    Client {
        protocol: "anthropic",
        paths: ["/v1/messages"; 2],
        ways: BOTH,
        opens_at_once: false,
        asks: &["tools", "schema", "images", "image-urls", "limit"],
        carries: &["tools", "reasoning", "refusal", "finish", "usage"],
        request: anthropic::request,
        read_stream: anthropic::read_stream,
        read_whole: anthropic::read_whole,
    },
    Client {
        protocol: "ui-message",
        paths: ["/api/chat"; 2],
        ways: STREAM,
        opens_at_once: false,
        asks: &["tools", "images", "image-urls", "limit"],
        carries: &["tools", "reasoning", "finish"],
        request: ui_message::request,
        read_stream: ui_message::read_stream,
        read_whole: ui_message::refused,
    },
    Client {
        protocol: "token",
        paths: ["/chat/stream"; 2],
        ways: STREAM,
        opens_at_once: false,
        asks: &[],
        carries: &[],
        request: apps::ask_token,
        read_stream: apps::read_token,
        read_whole: apps::refused,
    },
    Client {
        protocol: "notebook",
        paths: ["/chat/execute/stream", "/chat/execute"],
        ways: BOTH,
        opens_at_once: true,
        asks: &[],
        carries: &[],
        request: apps::ask_notebook,
        read_stream: apps::read_notebook,
        read_whole: apps::whole_notebook,
    },
    Client {
        protocol: "content",
        paths: ["/api/chat/stream"; 2],
        ways: STREAM,
        opens_at_once: false,
        asks: &[],
        carries: &[],
        request: apps::ask_content,
        read_stream: apps::read_content,
        read_whole: apps::refused,
    },
    Client {
        protocol: "session",
        paths: ["/api/ai/chat/stream", "/api/ai/chat"],
        ways: BOTH,
        opens_at_once: true,
        asks: &[],
        carries: &[],
        request: apps::ask_session,
        read_stream: apps::read_session,
        read_whole: apps::whole_session,
    },
    Client {
        protocol: "ollama",
        paths: ["/api/chat"; 2],
        ways: BOTH,
        opens_at_once: false,
        asks: &["tools", "schema", "images", "limit"],
        carries: &["tools", "reasoning", "finish", "usage"],
        request: ollama::request,
        read_stream: ollama::read_stream,
        read_whole: ollama::read_whole,
    },
    Client {
        protocol: "ollama-generate",
        paths: ["/api/generate"; 2],
        ways: BOTH,
        opens_at_once: false,
        asks: &["schema", "images", "limit"],
        carries: &["reasoning", "finish", "usage"],
        request: ollama::ask_generate,
        read_stream: ollama::read_generate,
        read_whole: ollama::whole_generate,
    },
    Client {
        protocol: "gemini",
        paths: [
            "/v1beta/models/MODEL:streamGenerateContent?alt=sse",
            "/v1beta/models/MODEL:generateContent",
        ],
        ways: BOTH,
        opens_at_once: false,
        asks: &["tools", "schema", "images", "image-urls", "limit"],
        carries: &["tools", "reasoning", "finish", "usage"],
        request: gemini::request,
        read_stream: gemini::read_stream,
        read_whole: gemini::read_whole,
    },
    Client {
        protocol: "gemini-array",
        paths: ["/v1beta/models/MODEL:streamGenerateContent"; 2],
        ways: STREAM,
        opens_at_once: false,
        asks: &["tools", "schema", "images", "image-urls", "limit"],
        carries: &["tools", "reasoning", "finish", "usage"],
        request: gemini::request,
        read_stream: gemini::read_array,
        read_whole: gemini::read_whole,
    },
    Client {
        protocol: "completions",
        paths: ["/v1/completions"; 2],
        ways: BOTH,
        opens_at_once: false,
        asks: &["limit"],
        carries: &["finish", "usage"],
        request: completions::request,
        read_stream: completions::read_stream,
        read_whole: completions::read_whole,
    },
];

impl Client {
    pub(super) fn path(&self, stream: bool, model: &str) -> String {
        self.paths[usize::from(!stream)].replace("MODEL", model)
    }

    /// Whether it has a form for such a question.
    pub(super) fn can_ask(&self, case: Case) -> bool {
        case.needs().is_none_or(|needed| self.asks.contains(&needed))
    }
}

/// The data of each event of a stream.
fn events(body: &[u8]) -> Result<Vec<String>, String> {
    let mut decoder = Decoder::new(EVENT_BYTES_MAX_DEFAULT);
    let mut rest = body;
    let mut events = Vec::new();
    while let Some(event) = decoder.next(&mut rest).map_err(|error| error.to_string())? {
        let data = String::from_utf8(event.data.to_vec()).map_err(|error| error.to_string())?;
        events.push(data);
    }
    match decoder.finish() {
        None => Ok(events),
        Some(_) => Err("the stream ends within an event".into()),
    }
}

fn parse(data: &str) -> Result<Value, String> {
    serde_json::from_str(data).map_err(|error| format!("{error}: {data}"))
}

fn parse_whole(body: &[u8]) -> Result<Value, String> {
    parse(&String::from_utf8_lossy(body))
}

/// A call's fragments, joined.
#[derive(Default)]
struct Calls(Vec<(String, String)>);

impl Calls {
    fn at(&mut self, index: usize) -> &mut (String, String) {
        if self.0.len() <= index {
            self.0.resize_with(index + 1, Default::default);
        }
        &mut self.0[index]
    }

    fn read(self) -> Result<Vec<(String, Value)>, String> {
        let calls = self.0.into_iter().map(|(name, arguments)| Ok((name, parse(&arguments)?)));
        calls.collect()
    }
}

fn text_of(value: &Value) -> &str {
    value.as_str().unwrap_or("")
}

fn two(usage: &Value, read: &str, written: &str) -> Option<[u64; 2]> {
    Some([usage[read].as_u64()?, usage[written].as_u64()?])
}

/// The request with those fields that are given and not empty.
fn with<const N: usize>(mut request: Value, fields: [(&str, Value); N]) -> Value {
    let is_given =
        |value: &Value| !matches!(value, Value::Null) && *value != "" && *value != json!([]);
    for (name, value) in fields.into_iter().filter(|(_, value)| is_given(value)) {
        request[name] = value;
    }
    request
}

/// The identifier of an earlier call.
fn call_id(place: usize) -> String {
    format!("call_{place}")
}
