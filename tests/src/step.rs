//! One step of a provider's stream, and OpenAI's events by shorthand.
//!
//! A step is a string (a text delta) or a table with the keys of exactly one of three kinds: a chunk
//! (keys can be combined into one event), an event or bytes as they are, or something that happens
//! without sending. The first two take `times`, `every` and `split` as well.

use std::time::Duration;

use bytes::Bytes;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::script::{Act, ErrorBody, split};

/// One step of a stream.
#[derive(Clone, Debug)]
pub struct Step {
    kind: Kind,
    pace: Pace,
}

#[derive(Clone, Debug)]
enum Kind {
    Chunk(Chunk),
    Event(Event),
    Control(Control),
}

/// How often and in what pieces a step sends.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Pace {
    /// Send it this many times.
    times: Option<usize>,
    /// Milliseconds before each time after the first.
    every: u64,
    /// Cut each send into pieces of this many bytes.
    split: Option<usize>,
}

/// A `chat.completion.chunk` event.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Chunk {
    /// The role and an empty text, as first chunks have them.
    role: bool,
    /// A text delta.
    text: Option<String>,
    /// A text delta of so many bytes.
    filler: Option<usize>,
    /// A delta of reasoning, as `reasoning_content`.
    reasoning: Option<String>,
    /// A fragment of a tool call, as it stands in `tool_calls`.
    tool: Option<Value>,
    /// Why the model stopped.
    finish: Option<String>,
    /// Prompt and completion tokens; alone it makes the usage-only chunk, without choices.
    usage: Option<[u32; 2]>,
    /// `choices` is empty.
    empty: bool,
}

/// An event or bytes that no provider should send, or that every stream ends in.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Event {
    /// `[DONE]`.
    Done(Yes),
    /// An error in OpenAI's shape, within the stream.
    Error(ErrorBody),
    /// An event with this JSON.
    Json(Value),
    /// An event with this text as its data.
    Data(String),
    /// These characters as they are.
    Raw(String),
    /// These bytes as they are, in hexadecimal, blanks ignored.
    Hex(Hex),
}

/// `true`, which is all that a key without a value can say.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "bool")]
struct Yes;

/// Bytes in hexadecimal, blanks ignored.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
pub struct Hex(pub Bytes);

/// What happens without sending.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Control {
    /// Milliseconds of nothing.
    Wait(u64),
    /// The clean end, which a stream has anyway.
    End(Yes),
    /// Close without ending.
    Cut(Yes),
    /// Reset the connection.
    Reset(Yes),
    /// Nothing until the peer leaves.
    Stall(Yes),
}

const PACE_KEYS: [&str; 3] = ["times", "every", "split"];
const EVENT_KEYS: [&str; 6] = ["done", "error", "json", "data", "raw", "hex"];
const CONTROL_KEYS: [&str; 5] = ["wait", "end", "cut", "reset", "stall"];

impl<'de> Deserialize<'de> for Step {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match toml::Value::deserialize(deserializer)? {
            toml::Value::String(text) => Ok(Self::text(text)),
            toml::Value::Table(table) => Self::from_table(table).map_err(D::Error::custom),
            other => Err(D::Error::custom(format!(
                "a step is a text delta or a table, not {}",
                other.type_str()
            ))),
        }
    }
}

impl Step {
    fn text(text: String) -> Self {
        let chunk = Chunk { text: Some(text), ..Chunk::default() };
        Self { kind: Kind::Chunk(chunk), pace: Pace::default() }
    }

    fn from_table(mut table: toml::Table) -> Result<Self, toml::de::Error> {
        let mut pace = toml::Table::new();
        for key in PACE_KEYS {
            pace.extend(table.remove_entry(key));
        }
        let has = |keys: &[&str]| keys.iter().any(|key| table.contains_key(*key));
        let kind = if has(&CONTROL_KEYS) {
            Kind::Control(table.try_into()?)
        } else if has(&EVENT_KEYS) {
            Kind::Event(table.try_into()?)
        } else {
            Kind::Chunk(table.try_into()?)
        };
        Ok(Self { kind, pace: pace.try_into()? })
    }

    /// Whether nothing can follow it.
    pub fn is_last(&self) -> bool {
        matches!(&self.kind, Kind::Control(control) if control.act().is_last())
    }

    /// What it means in time; `newline` ends the lines of events.
    pub fn acts(&self, newline: &str) -> Vec<Act> {
        let bytes = match &self.kind {
            Kind::Control(control) => return vec![control.act()],
            Kind::Chunk(chunk) => event_bytes(&chunk.to_json(), newline),
            Kind::Event(event) => event.bytes(newline),
        };
        self.pace.acts(bytes)
    }
}

impl Pace {
    fn acts(&self, bytes: Bytes) -> Vec<Act> {
        let mut acts = Vec::new();
        for time in 0..self.times.unwrap_or(1) {
            if time > 0 && self.every > 0 {
                acts.push(Act::Wait(Duration::from_millis(self.every)));
            }
            acts.extend(split(Act::Send(bytes.clone()), self.split.unwrap_or(usize::MAX)));
        }
        acts
    }
}

impl Control {
    fn act(&self) -> Act {
        match self {
            Self::Wait(ms) => Act::Wait(Duration::from_millis(*ms)),
            Self::End(_) => Act::End,
            Self::Cut(_) => Act::Cut,
            Self::Reset(_) => Act::Reset,
            Self::Stall(_) => Act::Stall,
        }
    }
}

impl Event {
    fn bytes(&self, newline: &str) -> Bytes {
        match self {
            Self::Done(_) => event_bytes("[DONE]", newline),
            Self::Error(error) => event_bytes(&error.to_json().to_string(), newline),
            Self::Json(value) => event_bytes(&value.to_string(), newline),
            Self::Data(text) => event_bytes(text, newline),
            Self::Raw(text) => text.clone().into(),
            Self::Hex(Hex(bytes)) => bytes.clone(),
        }
    }
}

fn event_bytes(data: &str, newline: &str) -> Bytes {
    format!("data: {data}{newline}{newline}").into()
}

impl TryFrom<bool> for Yes {
    type Error = &'static str;

    fn try_from(said: bool) -> Result<Self, Self::Error> {
        if said { Ok(Self) } else { Err("say `true`, or leave the step out") }
    }
}

impl TryFrom<String> for Hex {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let digits: String = text.split_whitespace().collect();
        let bytes = digits.as_bytes().chunks(2).map(|pair| {
            let pair = std::str::from_utf8(pair).map_err(|error| error.to_string())?;
            u8::from_str_radix(pair, 16).map_err(|error| format!("hex: {pair:?}: {error}"))
        });
        bytes.collect::<Result<Bytes, _>>().map(Self)
    }
}

/// The model that fake answers name.
pub const MODEL: &str = "fake-1";
const ID: &str = "chatcmpl-fake";
const CREATED: u64 = 1_750_000_000;

impl Chunk {
    fn to_json(&self) -> String {
        let delta = WireDelta {
            role: self.role.then_some("assistant"),
            content: self.content(),
            reasoning_content: self.reasoning.as_deref(),
            tool_calls: self.tool.as_ref().map(|tool| [tool]),
        };
        let choice = WireChoice { index: 0, delta, finish_reason: self.finish.as_deref() };
        let chunk = WireChunk {
            id: ID,
            object: "chat.completion.chunk",
            created: CREATED,
            model: MODEL,
            choices: if self.has_choice() { vec![choice] } else { vec![] },
            usage: self.usage.map(WireUsage::from),
        };
        serde_json::to_string(&chunk).expect("strings and numbers are JSON")
    }

    fn content(&self) -> Option<String> {
        let filler = self.filler.map(|bytes| "abcdefg ".chars().cycle().take(bytes).collect());
        self.text.clone().or(filler).or(self.role.then(String::new))
    }

    fn has_choice(&self) -> bool {
        let usage_only = self.usage.is_some()
            && self.content().is_none()
            && self.reasoning.is_none()
            && self.tool.is_none()
            && self.finish.is_none();
        !self.empty && !usage_only
    }
}

/// One whole chat completion.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Answer {
    /// The message's text.
    text: String,
    /// Why the model stopped: `stop` unless given.
    finish: Option<String>,
    /// Prompt and completion tokens.
    usage: Option<[u32; 2]>,
}

impl Answer {
    /// The completion as a provider sends it.
    pub fn to_json(&self) -> Value {
        let finish = self.finish.as_deref().unwrap_or("stop");
        let mut whole = serde_json::json!({
            "id": ID,
            "object": "chat.completion",
            "created": CREATED,
            "model": MODEL,
            "choices": [{
                "index": 0,
                "message": { "role": "assistant", "content": self.text },
                "finish_reason": finish,
            }],
        });
        if let Some(usage) = self.usage {
            whole["usage"] = serde_json::json!(WireUsage::from(usage));
        }
        whole
    }
}

#[derive(Serialize)]
struct WireChunk<'a> {
    id: &'a str,
    object: &'a str,
    created: u64,
    model: &'a str,
    choices: Vec<WireChoice<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<WireUsage>,
}

#[derive(Serialize)]
struct WireChoice<'a> {
    index: u32,
    delta: WireDelta<'a>,
    finish_reason: Option<&'a str>,
}

#[derive(Serialize)]
struct WireDelta<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_calls: Option<[&'a Value; 1]>,
}

#[derive(Serialize)]
struct WireUsage {
    prompt_tokens: u32,
    completion_tokens: u32,
    total_tokens: u32,
}

impl From<[u32; 2]> for WireUsage {
    fn from([prompt_tokens, completion_tokens]: [u32; 2]) -> Self {
        Self { prompt_tokens, completion_tokens, total_tokens: prompt_tokens + completion_tokens }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(text: &str) -> Step {
        #[derive(Deserialize)]
        struct Line {
            step: Step,
        }
        toml::from_str::<Line>(&format!("step = {text}")).unwrap().step
    }

    fn data(text: &str) -> Value {
        let acts = step(text).acts("\n");
        let [Act::Send(bytes)] = acts.as_slice() else { panic!("{acts:?}") };
        let text = std::str::from_utf8(bytes).unwrap();
        serde_json::from_str(text.strip_prefix("data: ").unwrap()).unwrap()
    }

    #[test]
    fn keys_of_a_chunk_combine_into_one_event() {
        let all = data(r#"{ text = "x", finish = "stop", usage = [3, 2] }"#);
        assert_eq!(all["choices"][0]["delta"]["content"], "x");
        assert_eq!(all["choices"][0]["finish_reason"], "stop");
        assert_eq!(all["usage"]["total_tokens"], 5);
    }

    #[test]
    fn usage_alone_has_no_choices_and_a_role_has_an_empty_text() {
        assert_eq!(data("{ usage = [3, 2] }")["choices"], serde_json::json!([]));
        let role = data("{ role = true }");
        assert_eq!(role["choices"][0]["delta"]["content"], "");
        assert_eq!(role["choices"][0]["finish_reason"], Value::Null);
    }

    #[test]
    fn a_step_can_repeat_with_a_pause_between() {
        let acts = step(r#"{ raw = "x", times = 3, every = 5 }"#).acts("\n");
        assert_eq!(acts.iter().filter(|act| matches!(act, Act::Send(_))).count(), 3);
        assert_eq!(acts.iter().filter(|act| matches!(act, Act::Wait(_))).count(), 2);
        assert!(matches!(acts[0], Act::Send(_)));
    }

    #[test]
    fn hex_is_bytes() {
        let acts = step("{ hex = 'ff 00 c3' }").acts("\n");
        assert_eq!(acts, [Act::Send(Bytes::from_static(&[0xff, 0, 0xc3]))]);
        assert!(Hex::try_from(String::from("zz")).is_err());
    }
}
