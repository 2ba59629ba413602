//! What an answer means, in no protocol's words.

use serde_json::{Value, json};

use super::clients::Client;
use super::{Case, Pair};

/// What a client understood.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Meaning {
    /// The answer's text.
    pub text: String,
    /// What the model thought aloud.
    pub reasoning: String,
    /// The text in which the model declined.
    pub refusal: String,
    /// The tools called, in order, with their arguments.
    pub calls: Vec<(String, Value)>,
    /// Why the model stopped: `stop`, `length`, `tool_calls` or `refusal`.
    pub finish: Option<String>,
    /// Tokens read and written.
    pub usage: Option<[u64; 2]>,
    /// The error, in place of an end.
    pub error: Option<String>,
    /// How often the answer ended: with an error, an end mark, or as a whole.
    pub ends: u32,
}

impl Meaning {
    /// What the client of a pair should understand; of an error, some words of it.
    pub(super) fn of(pair: &Pair) -> Self {
        let Pair { client, provider, case, stream } = pair;
        if let Some(words) = provider.words_instead(*case) {
            return Self::error("", words);
        }
        let meaning = match case {
            Case::Text | Case::Conversation | Case::ImageData | Case::ImageUrl => {
                Self::text("Hello, wörld 😀!", "stop")
            }
            Case::Tools => Self {
                calls: vec![
                    ("get_weather".into(), json!({"city": "Paris"})),
                    ("get_time".into(), json!({"zone": "CET"})),
                ],
                ..Self::text("Let me look.", "tool_calls")
            },
            Case::Reasoning => {
                Self { reasoning: "Let me think.".into(), ..Self::text("42", "stop") }
            }
            Case::Length => Self::text("Once upon", "length"),
            Case::Spent => Self::text("", "length"),
            Case::Structured => Self::text(r#"{"city":"Paris","celsius":20}"#, "stop"),
            Case::Refusal => {
                Self { refusal: "I can't help with that.".into(), ..Self::text("", "refusal") }
            }
            Case::Error => Self::error(if *stream { "Hel" } else { "" }, "The engine is on fire."),
            Case::Limited => Self::error("", "Too many requests."),
        };
        meaning.carried_by(client)
    }

    fn text(text: &str, finish: &str) -> Self {
        Self {
            text: text.into(),
            finish: Some(finish.into()),
            usage: Some([12, 7]),
            ends: 1,
            ..Self::default()
        }
    }

    fn error(text: &str, words: &str) -> Self {
        Self { text: text.into(), error: Some(words.into()), ends: 1, ..Self::default() }
    }

    /// The same without what the client's protocol has no words for.
    fn carried_by(self, client: &Client) -> Self {
        let carries = |what: &str| client.carries.contains(&what);
        let is_refusal = carries("refusal");
        Self {
            text: if is_refusal { self.text } else { self.text + &self.refusal },
            refusal: if is_refusal { self.refusal } else { String::new() },
            reasoning: if carries("reasoning") { self.reasoning } else { String::new() },
            calls: if carries("tools") { self.calls } else { Vec::new() },
            // What has no calls stops like any other.
            finish: self.finish.filter(|_| carries("finish")).map(|finish| match &*finish {
                "tool_calls" if !carries("tools") => "stop".into(),
                _ => finish,
            }),
            usage: self.usage.filter(|_| carries("usage")),
            ..self
        }
    }

    /// Whether it means what was expected: an error's words may stand within more of them.
    pub(super) fn is(&self, expected: &Self) -> bool {
        let both = self.error.as_ref().zip(expected.error.as_ref());
        let error = match both {
            Some((message, words)) if message.contains(words.as_str()) => Some(words.clone()),
            _ => self.error.clone(),
        };
        Self { error, ..self.clone() } == *expected
    }

    /// Notes an error.
    pub(super) fn fail(&mut self, message: &Value) {
        self.error = Some(message.as_str().unwrap_or("no message").to_owned());
        self.ends += 1;
    }
}
