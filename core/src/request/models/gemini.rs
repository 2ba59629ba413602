//! Models as Gemini's API lists them.

use serde_json::{Value, json};

use super::Limits;

pub(super) fn list(models: Vec<Value>) -> Value {
    json!({"models": models})
}

pub(super) fn description(name: &str, limits: &Limits) -> Value {
    let mut description = json!({
        "name": format!("models/{name}"),
        "version": "",
        "displayName": name,
        "description": "",
        "supportedGenerationMethods": ["generateContent", "streamGenerateContent", "countTokens"],
    });
    for (field, tokens) in [("inputTokenLimit", limits.input), ("outputTokenLimit", limits.output)]
    {
        if let Some(tokens) = tokens {
            description[field] = tokens.into();
        }
    }
    description
}
