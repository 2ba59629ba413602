//! What an answer means, in no protocol's words.

use serde_json::{Value, json};

use super::Case;
use super::clients::Client;

/// What a client understood.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Meaning {
    /// The answer's text.
    pub text: String,
    /// What the model thought aloud.
    pub reasoning: String,
    /// The tools called, in order, with their arguments.
    pub calls: Vec<(String, Value)>,
    /// Why the model stopped: `stop`, `length` or `tool_calls`.
    pub finish: Option<String>,
    /// Tokens read and written.
    pub usage: Option<[u64; 2]>,
    /// The error, in place of an end.
    pub error: Option<String>,
    /// How often the answer ended: with an error, an end mark, or as a whole.
    pub ends: u32,
}

impl Meaning {
    /// What a case means.
    pub(super) fn of(case: Case, stream: bool) -> Self {
        let text = |text: &str, finish: &str| Self {
            text: text.into(),
            finish: Some(finish.into()),
            usage: Some([12, 7]),
            ends: 1,
            ..Self::default()
        };
        match case {
            Case::Text => text("Hello, wörld 😀!", "stop"),
            Case::Tools => Self {
                calls: vec![
                    ("get_weather".into(), json!({"city": "Paris"})),
                    ("get_time".into(), json!({"zone": "CET"})),
                ],
                ..text("Let me look.", "tool_calls")
            },
            Case::Reasoning => Self { reasoning: "Let me think.".into(), ..text("42", "stop") },
            Case::Length => text("Once upon", "length"),
            Case::Error => Self {
                text: if stream { "Hel".into() } else { String::new() },
                error: Some("The engine is on fire.".into()),
                ends: 1,
                ..Self::default()
            },
        }
    }

    /// The same without what the client's protocol has no words for.
    pub(super) fn carried_by(self, client: &Client) -> Self {
        let carries = |what: &str| client.carries.contains(&what);
        Self {
            reasoning: if carries("reasoning") { self.reasoning } else { String::new() },
            calls: if carries("tools") { self.calls } else { Vec::new() },
            finish: self.finish.filter(|_| carries("finish")),
            usage: self.usage.filter(|_| carries("usage")),
            ..self
        }
    }

    /// Notes an error; its words may stand within more of them.
    pub(super) fn fail(&mut self, message: &Value) {
        let message = message.as_str().unwrap_or("no message");
        let fire = "The engine is on fire.";
        self.error = Some(if message.contains(fire) { fire } else { message }.to_owned());
        self.ends += 1;
    }
}
