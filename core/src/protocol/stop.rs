//! Stop sequences, as requests of OpenAI's protocols and Ollama's write them.

use serde::Deserialize;

/// One sequence or several.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a string or a list of strings")]
pub(super) enum Stop {
    One(String),
    Several(Vec<String>),
}

impl From<Stop> for Vec<String> {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::One(text) => vec![text],
            Stop::Several(texts) => texts,
        }
    }
}
