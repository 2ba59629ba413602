//! Effort, thinking and sampling in a client's own body, as the target's model takes them: a client
//! writes them for the model that it asked for, and the target may be another.

use serde_json::{Map, Value, json};

use super::generation::{Generation, Thinks};
use super::imitators;
use super::provider_request::{budget, effort_name, effort_tokens};
use crate::chat::Effort;
use crate::protocol::Body;

/// Settings that are refused by models that choose their own.
const SAMPLING: [&str; 3] = ["temperature", "top_p", "top_k"];

/// What the model is known not to take is left out, or written as it has it.
pub(super) fn fit(
    body: &mut Body<'_>,
    model: &str,
    base_url: &str,
    effort: Option<Effort>,
    max_output: u32,
) {
    // Imitators have what the protocol had first; of others' models nothing is known.
    let imitated = || imitators::are_at(base_url);
    let known = Generation::known(model).or_else(|| imitated().then(|| Generation::of(model)));
    let Some(generation) = known else { return };
    if !generation.samples {
        SAMPLING.iter().for_each(|name| drop(body.remove(name)));
    }
    fit_thinking(body, generation, effort, max_output);
    fit_level(body, generation);
}

fn fit_thinking(
    body: &mut Body<'_>,
    generation: Generation,
    effort: Option<Effort>,
    max_output: u32,
) {
    let written = body.get("thinking").and_then(|text| serde_json::from_str(text).ok());
    let Some(Value::Object(mut thinking)) = written else { return };
    let kind = thinking.get("type").and_then(Value::as_str);
    match (kind, generation.thinks) {
        (Some("enabled" | "adaptive"), Thinks::Never) => drop(body.remove("thinking")),
        // Those before that think adaptively take a budget too.
        (Some("enabled"), Thinks::Adaptively) if !generation.samples => {
            thinking.remove("budget_tokens");
            thinking.insert("type".into(), "adaptive".into());
            body.set("thinking", &thinking.into());
            let level = effort.and_then(|effort| effort_name(effort, generation));
            if let (Some(level), None) = (level, own_level(body)) {
                body.set_in("output_config", "effort", &level.into());
            }
        }
        (Some("adaptive"), Thinks::Budget) => {
            // The level where none is named.
            let tokens = effort_tokens(effort.unwrap_or(Effort::High));
            body.remove("thinking");
            if let Some(tokens) = budget(tokens, max_output) {
                body.set("thinking", &json!({"type": "enabled", "budget_tokens": tokens}));
            }
        }
        _ => {}
    }
}

fn fit_level(body: &mut Body<'_>, generation: Generation) {
    let Some(own) = own_level(body) else { return };
    match generation.level(&own) {
        Some(level) if level == own => {}
        Some(level) => body.set_in("output_config", "effort", &level.into()),
        None => {
            body.remove_at("output_config.effort");
            if body.get("output_config") == Some("{}") {
                body.remove("output_config");
            }
        }
    }
}

fn own_level(body: &Body<'_>) -> Option<String> {
    let config: Map<String, Value> = serde_json::from_str(body.get("output_config")?).ok()?;
    config.get("effort")?.as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each row: a model, fields of a client's own body, and what the model is sent of them.
    #[test]
    fn a_clients_own_thinking_is_what_the_model_takes() {
        let enabled = r#""thinking":{"type":"enabled","budget_tokens":2048}"#;
        let adaptive = r#""thinking":{"type":"adaptive"}"#;
        let max = r#""output_config":{"effort":"max"}"#;
        let rows = [
            ("claude-sonnet-4-5", enabled, enabled),
            ("claude-opus-4-6", enabled, enabled),
            (
                "claude-opus-4-8",
                enabled,
                r#""thinking":{"type":"adaptive"},"output_config":{"effort":"low"}"#,
            ),
            ("claude-3-5-haiku-latest", enabled, ""),
            ("claude-sonnet-4-6", adaptive, adaptive),
            (
                "claude-haiku-4-5",
                adaptive,
                r#""thinking":{"budget_tokens":16384,"type":"enabled"}"#,
            ),
            ("claude-opus-4-6", max, max),
            ("claude-opus-4-5", max, r#""output_config":{"effort":"high"}"#),
            ("claude-haiku-4-5", max, ""),
            ("claude-opus-4-6", r#""output_config":{"effort":"xhigh"}"#, max),
            (
                "claude-haiku-4-5",
                r#""output_config":{"effort":"low","format":{}}"#,
                r#""output_config":{"format":{}}"#,
            ),
            ("claude-opus-4-8", r#""temperature":0.2,"top_k":5"#, ""),
            ("claude-opus-4-6", r#""temperature":0.2,"top_k":5"#, r#""temperature":0.2,"top_k":5"#),
            ("mine", adaptive, adaptive),
            ("z.ai/glm-5", adaptive, r#""thinking":{"budget_tokens":16384,"type":"enabled"}"#),
        ];
        for (model, fields, expected) in rows {
            let written = format!(
                r#"{{"max_tokens":32000,{fields},"messages":[{{"role":"user","content":"x"}}]}}"#
            );
            let effort = super::super::parse_request(written.as_bytes()).unwrap().effort;
            let (base_url, model) = match model.split_once('/') {
                Some((host, model)) => (format!("https://{host}"), model),
                None => ("http://localhost".to_owned(), model),
            };
            let mut body = Body::read(written.as_bytes());
            fit(&mut body, model, &base_url, effort, 32_000);
            body.remove("max_tokens");
            body.remove("messages");
            assert_eq!(body.text(), format!("{{{expected}}}"), "{model} {fields}");
        }
    }
}
