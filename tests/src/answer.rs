//! What a client got, as bytes in time, and what those bytes say in its protocol.

use std::time::Duration;

use serde_json::{Value, json};
use streamgate_core::sse::{Decoder, EVENT_BYTES_MAX_DEFAULT, Framing, Leftover};

use crate::scenario::Protocol;

/// What a client got. Times count from the moment its request went out.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// The response's head; `None` where there was none.
    pub head: Option<Head>,
    /// The body, read by read.
    pub reads: Vec<Read>,
    /// How the body ended.
    pub ending: Ending,
    /// When the client got the end, or left.
    pub ended: Duration,
}

/// A response's head.
#[derive(Clone, Debug, Default)]
pub struct Head {
    /// The HTTP status.
    pub status: u16,
    /// The headers, names in lower case.
    pub headers: Vec<(String, String)>,
}

impl Head {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// Bytes that came together.
#[derive(Clone, Debug)]
pub struct Read {
    /// When they came.
    pub at: Duration,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// How a body ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Ending {
    /// As its framing demands.
    #[default]
    Complete,
    /// Not so; with what was noticed.
    Broken(String),
    /// The client left before.
    Left,
}

impl Answer {
    /// The whole body.
    pub fn body(&self) -> Vec<u8> {
        self.reads.iter().flat_map(|read| read.bytes.iter().copied()).collect()
    }

    /// Whether the body is a stream of events.
    pub fn is_stream(&self) -> bool {
        let kind = self.head.as_ref().and_then(|head| head.header("content-type"));
        kind.is_some_and(|kind| {
            kind.starts_with("text/event-stream") || kind.starts_with("application/x-ndjson")
        })
    }
}

/// One event as a client understands it.
#[derive(Clone, Debug, Default)]
pub struct Event {
    /// When its last byte came.
    pub at: Duration,
    /// Its data: JSON, or a string where it is none.
    pub data: Value,
    /// The text in it, where it has any; `""` is one too.
    pub text: Option<String>,
    /// The finish reason in it.
    pub finish: Option<String>,
    /// The usage in it.
    pub usage: Option<[u64; 2]>,
    /// The error in it.
    pub error: Option<Value>,
    /// It is the done marker.
    pub done: bool,
}

impl Event {
    /// Whether there is any text in it.
    pub fn has_text(&self) -> bool {
        self.text.as_ref().is_some_and(|text| !text.is_empty())
    }
}

/// Reads a client's events as the bytes come.
#[derive(Debug)]
pub struct Reader {
    protocol: Protocol,
    decoder: Decoder,
}

impl Reader {
    /// A reader of the client's protocol.
    pub fn new(protocol: Protocol) -> Self {
        let framing = match protocol {
            Protocol::Ollama | Protocol::GeminiArray => Framing::Lines,
            _ => Framing::Events,
        };
        Self { protocol, decoder: Decoder::framed(framing, EVENT_BYTES_MAX_DEFAULT) }
    }

    /// The events that are complete with these bytes.
    pub fn read(&mut self, at: Duration, bytes: &[u8]) -> Result<Vec<Event>, String> {
        let mut events = Vec::new();
        let mut rest = bytes;
        while let Some(event) = self.decoder.next(&mut rest).map_err(|error| error.to_string())? {
            let data = std::str::from_utf8(event.data)
                .map_err(|_| format!("an event is not UTF-8: {}", event.data.escape_ascii()))?;
            // An element of a list is a line, its brackets and commas before it.
            let data = match self.protocol {
                Protocol::GeminiArray if data == "]" => continue,
                Protocol::GeminiArray => data.trim_start_matches([' ', '[', ',']),
                _ => data,
            };
            events.push(interpret(self.protocol, at, data));
        }
        Ok(events)
    }

    /// Reports what the end of the body cut off, if anything.
    pub fn finish(&mut self) -> Result<(), String> {
        match self.decoder.finish() {
            None => Ok(()),
            Some(Leftover::Event(event) | Leftover::Cut(event)) => {
                Err(format!("the body ends within an event: {}", event.raw.escape_ascii()))
            }
        }
    }
}

/// All events of an answer.
pub fn events(answer: &Answer, protocol: Protocol) -> Result<Vec<Event>, String> {
    let mut reader = Reader::new(protocol);
    let mut events = Vec::new();
    for read in &answer.reads {
        events.extend(reader.read(read.at, &read.bytes)?);
    }
    if answer.ending == Ending::Complete {
        reader.finish()?;
    }
    Ok(events)
}

/// A whole JSON answer, as one event.
pub fn whole(answer: &Answer, protocol: Protocol) -> Result<Event, String> {
    let body = answer.body();
    let data: Value = match serde_json::from_slice(&body) {
        Ok(data) => data,
        // What a person reads, for its client shows it as it is.
        Err(_) if protocol == Protocol::UiMessage => {
            json!({ "type": "error", "errorText": String::from_utf8_lossy(&body) })
        }
        Err(error) => {
            return Err(format!("the body is no JSON: {error}: {}", body.escape_ascii()));
        }
    };
    if matches!(protocol, Protocol::Ollama | Protocol::Gemini | Protocol::GeminiArray) {
        let mut event = interpret(protocol, answer.ended, &data.to_string());
        event.done = false;
        return Ok(event);
    }
    let choice = &data["choices"][0];
    let text = match protocol {
        Protocol::Completions => &choice["text"],
        Protocol::Notebook => &data["messages"][1]["content"],
        Protocol::Session => &data["message"],
        Protocol::Chat
        | Protocol::Token
        | Protocol::Content
        | Protocol::UiMessage
        | Protocol::Ollama
        | Protocol::Gemini
        | Protocol::GeminiArray
        | Protocol::Other => &choice["message"]["content"],
    };
    Ok(Event {
        at: answer.ended,
        text: text.as_str().map(String::from),
        finish: choice["finish_reason"].as_str().map(String::from),
        usage: usage(&data),
        error: error(protocol, &data),
        done: false,
        data,
    })
}

fn interpret(protocol: Protocol, at: Duration, text: &str) -> Event {
    let data = serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.into()));
    let mut event = Event { at, error: error(protocol, &data), ..Event::default() };
    match protocol {
        Protocol::Chat => {
            let choice = &data["choices"][0];
            event.text = choice["delta"]["content"].as_str().map(String::from);
            event.finish = choice["finish_reason"].as_str().map(String::from);
            event.usage = usage(&data);
            event.done = text == "[DONE]";
        }
        Protocol::Token => {
            event.text = data["token"].as_str().map(String::from);
            event.done = data["done"] == true;
        }
        Protocol::Content => {
            event.text = data["content"].as_str().map(String::from);
            event.done = data["done"] == true;
        }
        Protocol::Notebook | Protocol::Session => {
            if data["type"] == "token" {
                event.text = data["content"].as_str().map(String::from);
            }
            event.done = data["type"] == "complete" || data["type"] == "stream_end";
        }
        Protocol::UiMessage => {
            if data["type"] == "text-delta" {
                event.text = data["delta"].as_str().map(String::from);
            }
            event.finish = data["finishReason"].as_str().map(String::from);
            let usage = &data["messageMetadata"]["usage"];
            let tokens = |name: &str| usage[name].as_u64();
            event.usage = tokens("inputTokens").zip(tokens("outputTokens")).map(|(i, o)| [i, o]);
            event.done = text == "[DONE]";
        }
        Protocol::Ollama => {
            let text = data["message"]["content"].as_str().or(data["response"].as_str());
            event.text = text.map(String::from);
            event.finish = data["done_reason"].as_str().map(String::from);
            let tokens = |name: &str| data[name].as_u64();
            event.usage =
                tokens("prompt_eval_count").zip(tokens("eval_count")).map(|(i, o)| [i, o]);
            event.done = data["done"] == true;
        }
        Protocol::Gemini | Protocol::GeminiArray => {
            let candidate = &data["candidates"][0];
            let parts = candidate["content"]["parts"].as_array();
            let texts = parts.into_iter().flatten().filter(|part| part["thought"] != true);
            let texts: Vec<_> = texts.filter_map(|part| part["text"].as_str()).collect();
            event.text = (!texts.is_empty()).then(|| texts.concat());
            event.finish = candidate["finishReason"].as_str().map(String::from);
            let tokens = |name: &str| data["usageMetadata"][name].as_u64();
            let usage = tokens("promptTokenCount").zip(tokens("candidatesTokenCount"));
            event.usage = usage.map(|(i, o)| [i, o]);
            event.done = event.finish.is_some();
        }
        Protocol::Completions => {
            let choice = &data["choices"][0];
            event.text = choice["text"].as_str().map(String::from);
            event.finish = choice["finish_reason"].as_str().map(String::from);
            event.usage = usage(&data);
            event.done = text == "[DONE]";
        }
        Protocol::Other => {}
    }
    event.data = data;
    event
}

/// The error in an event or an answer: an object with its message.
fn error(protocol: Protocol, data: &Value) -> Option<Value> {
    match protocol {
        Protocol::Ollama if data["error"].is_string() => {
            Some(json!({ "message": data["error"], "code": data["code"] }))
        }
        Protocol::Gemini | Protocol::GeminiArray if data["error"]["code"].is_u64() => {
            let mut error = data["error"].clone();
            error["code"] = error["code"].to_string().into();
            Some(error)
        }
        Protocol::Chat
        | Protocol::Token
        | Protocol::Ollama
        | Protocol::Gemini
        | Protocol::GeminiArray
        | Protocol::Completions
        | Protocol::Other => data.get("error").filter(|error| !error.is_null()).cloned(),
        Protocol::Content => {
            let message = data["error"].as_str()?;
            Some(json!({ "message": message, "code": data["code"] }))
        }
        Protocol::Notebook | Protocol::Session => (data["type"] == "error").then(|| data.clone()),
        Protocol::UiMessage => {
            (data["type"] == "error").then(|| json!({ "message": data["errorText"] }))
        }
    }
}

fn usage(data: &Value) -> Option<[u64; 2]> {
    let usage = &data["usage"];
    Some([usage["prompt_tokens"].as_u64()?, usage["completion_tokens"].as_u64()?])
}
