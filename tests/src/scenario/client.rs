//! What a client of a scenario does.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::step::Hex;

/// What the client does. Without anything it asks the model `m` for a stream of chat chunks.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Client {
    /// `POST` unless given.
    pub method: Option<String>,
    /// `/v1/chat/completions` unless given.
    pub path: Option<String>,
    /// Request headers.
    pub headers: BTreeMap<String, String>,
    /// Fields that are added to the path's usual body, or replace them.
    pub with: Map<String, Value>,
    /// The body in place of the usual one.
    pub body: Option<Value>,
    /// The body as it is, JSON or not.
    pub raw: Option<String>,
    /// The body as it is, in hexadecimal, blanks ignored.
    pub hex: Option<Hex>,
    /// Makes the user's message a text of so many bytes.
    pub filler: Option<usize>,
    /// When it stops reading for a while.
    pub pause: Option<Pause>,
    /// When the client leaves; it stays to the end unless given.
    pub leave: Option<Leave>,
}

/// When a client stops reading, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pause {
    /// After so many events with text.
    pub texts: usize,
    /// For so many milliseconds.
    pub ms: u64,
}

/// When the client leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Leave {
    /// After so many events with text.
    Texts(usize),
    /// So many milliseconds after its request.
    Ms(u64),
}

impl Leave {
    /// Whether so many events with text are enough.
    pub fn is_after(self, texts: usize) -> bool {
        matches!(self, Self::Texts(enough) if texts >= enough)
    }
}

/// The path and the protocol a client speaks there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// OpenAI Chat Completions.
    Chat,
    /// `token` events.
    Token,
    /// `notebook` events.
    Notebook,
    /// `content` events.
    Content,
    /// `session` events.
    Session,
    /// The AI SDK's UI message stream.
    UiMessage,
    /// Ollama's chat and its completions.
    Ollama,
    /// Google's Gemini API.
    Gemini,
    /// The same, its streams as one JSON list.
    GeminiArray,
    /// OpenAI's completions.
    Completions,
    /// Nothing that streams.
    Other,
}

impl Client {
    /// The HTTP method.
    pub fn method(&self) -> &str {
        self.method.as_deref().unwrap_or("POST")
    }

    /// The path.
    pub fn path(&self) -> &str {
        self.path.as_deref().unwrap_or("/v1/chat/completions")
    }

    /// What is spoken at the path.
    pub fn protocol(&self) -> Protocol {
        let (path, query) = self.path().split_once('?').unwrap_or((self.path(), ""));
        let is_use_chat =
            || self.body.as_ref().is_none_or(|body| body["messages"][0]["parts"].is_array());
        match path {
            path if path.ends_with("/chat/completions") => Protocol::Chat,
            "/chat/stream" => Protocol::Token,
            "/chat/execute/stream" | "/chat/execute" => Protocol::Notebook,
            "/api/chat/stream" => Protocol::Content,
            "/api/ai/chat/stream" | "/api/ai/chat" => Protocol::Session,
            "/api/chat" | "/api/generate" if self.asks_nothing() => Protocol::Other,
            "/api/chat" if is_use_chat() => Protocol::UiMessage,
            "/api/chat" | "/api/generate" => Protocol::Ollama,
            "/v1/completions" => Protocol::Completions,
            path if path.starts_with("/v1beta/models/") && path.ends_with("enerateContent") => {
                let is_array = path.contains(":stream") && !query.contains("alt=sse");
                if is_array { Protocol::GeminiArray } else { Protocol::Gemini }
            }
            _ => Protocol::Other,
        }
    }

    /// Whether it has a model of Ollama's loaded, or unloaded.
    fn asks_nothing(&self) -> bool {
        let Some(body) = &self.body else { return false };
        let is_empty = |field: &str| match &body[field] {
            Value::Null => true,
            Value::String(text) => text.is_empty(),
            Value::Array(list) => list.is_empty(),
            _ => false,
        };
        is_empty("prompt") && is_empty("messages")
    }

    /// The credentials it sends: its own, and its key for a provider.
    pub(super) fn secrets(&self) -> Vec<String> {
        const HEADERS: [&str; 4] = ["authorization", "x-api-key", "api-key", "x-goog-api-key"];
        let headers = HEADERS.iter().filter_map(|name| self.headers.get(*name));
        let headers = headers.filter_map(|text| text.rsplit(' ').next());
        let key = self.body.as_ref().and_then(|body| body["key"].as_str());
        // What is shorter may stand anywhere by chance.
        headers.chain(key).filter(|text| text.len() >= 8).map(str::to_owned).collect()
    }

    /// The request's body as it is sent.
    pub fn body_bytes(&self) -> Vec<u8> {
        if let Some(raw) = &self.raw {
            return raw.clone().into_bytes();
        }
        if let Some(Hex(bytes)) = &self.hex {
            return bytes.to_vec();
        }
        if self.method() == "GET" {
            return Vec::new();
        }
        self.json().to_string().into_bytes()
    }

    /// Whether it asks for a stream of events.
    pub fn wants_stream(&self) -> bool {
        match self.protocol() {
            Protocol::Chat | Protocol::Completions => self.json()["stream"] == true,
            Protocol::Ollama => self.json()["stream"] != false,
            Protocol::Gemini | Protocol::GeminiArray => self.path().contains(":stream"),
            Protocol::Notebook | Protocol::Session => self.path().contains("/stream"),
            Protocol::Token | Protocol::Content | Protocol::UiMessage => true,
            Protocol::Other => false,
        }
    }

    fn json(&self) -> Value {
        let mut body = self.body.clone().unwrap_or_else(|| self.usual_body());
        if let Value::Object(fields) = &mut body {
            fields.extend(self.with.clone());
        }
        body
    }

    fn usual_body(&self) -> Value {
        let message = match self.filler {
            Some(bytes) => "abcdefg ".chars().cycle().take(bytes).collect(),
            None => String::from("Hi"),
        };
        match self.protocol() {
            Protocol::Token | Protocol::Content | Protocol::Session => {
                json!({ "message": message, "model": "m" })
            }
            Protocol::Notebook => {
                json!({ "session_id": "s1", "message": message, "model_override": "m" })
            }
            Protocol::UiMessage => json!({
                "id": "chat-1",
                "model": "m",
                "messages": [{
                    "id": "u1",
                    "role": "user",
                    "parts": [{ "type": "text", "text": message }],
                }],
                "trigger": "submit-message",
            }),
            Protocol::Chat
            | Protocol::Ollama
            | Protocol::Gemini
            | Protocol::GeminiArray
            | Protocol::Completions
            | Protocol::Other => json!({
                "model": "m",
                "stream": true,
                "messages": [{ "role": "user", "content": message }],
            }),
        }
    }
}
