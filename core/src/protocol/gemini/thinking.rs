//! How a model of Google's is asked to think: by a budget of tokens up to Gemini 2.5, by levels from
//! Gemini 3 on. Source: "Gemini thinking", ai.google.dev/gemini-api/docs/thinking.

use serde_json::{Map, Value, json};

use crate::chat::Effort;
use crate::protocol::{Body, ProviderRequest};

/// What depends on a model's generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Generation {
    /// Up to Gemini 2.5, and whatever is no Gemini.
    Two,
    /// From Gemini 3 on.
    Three,
}

impl Generation {
    /// By the model's name; one that names no generation is the newest.
    pub(super) fn of(model: &str) -> Self {
        match last_name(model).strip_prefix("gemini-") {
            Some(rest) if !rest.starts_with(['1', '2']) => Self::Three,
            _ => Self::Two,
        }
    }
}

/// Budgets are those that Google's OpenAI-compatible API takes for the same levels. Gemini 3 has
/// levels of its own, and cannot but think; from 3.5 on it refuses a budget.
pub(super) fn thinking(effort: Effort, model: &str) -> Option<Value> {
    let bounds = Budgets::of(model)?;
    if Generation::of(model) == Generation::Three {
        let mut config = json!({"thinkingLevel": level(effort.as_str(), model)});
        if effort != Effort::None {
            config["includeThoughts"] = true.into();
        }
        return Some(config);
    }
    let tokens = bounds.nearest(match effort {
        Effort::Budget(tokens) => tokens,
        Effort::None => 0,
        Effort::Minimal | Effort::Low => 1024,
        Effort::Medium => 8192,
        Effort::High => 24_576,
        Effort::XHigh | Effort::Max => 32_768,
    });
    let shows = tokens > 0 && effort != Effort::None;
    Some(json!({"thinkingBudget": tokens, "includeThoughts": shows}))
}

/// Those that some model has, the least first.
const EVERY_LEVEL: &[&str] = &["minimal", "low", "medium", "high"];

/// By the beginning of the name; the first row that matches counts.
const LEVELS: &[(&str, &[&str])] = &[
    ("gemini-3-pro", &["low", "high"]),
    ("gemini-3-flash", EVERY_LEVEL),
    ("gemini-3.1-flash", EVERY_LEVEL),
    ("gemini-3.5-flash", EVERY_LEVEL),
    ("gemini-3.6-flash", EVERY_LEVEL),
    ("", &["low", "medium", "high"]),
];

/// The model's least level that is no less than this one, else its highest. What is below all is the
/// least.
fn level(word: &str, model: &str) -> &'static str {
    let name = last_name(model);
    let row = LEVELS.iter().find(|(prefix, _)| name.starts_with(prefix));
    let levels = row.map_or(EVERY_LEVEL, |(_, levels)| *levels);
    let rank = |word: &str| EVERY_LEVEL.iter().position(|level| *level == word);
    let wanted = if word == "none" { Some(0) } else { rank(word).or(Some(EVERY_LEVEL.len())) };
    let enough = levels.iter().find(|level| rank(level) >= wanted);
    enough.or(levels.last()).copied().unwrap_or("high")
}

fn last_name(model: &str) -> &str {
    model.rsplit('/').next().unwrap_or(model)
}

/// The fields of a client's own configuration, by both of their names.
const CONFIGS: [&str; 2] = ["generationConfig", "generation_config"];
const THINKING: [&str; 2] = ["thinkingConfig", "thinking_config"];
const OWN_BUDGET: [&str; 2] = ["thinkingBudget", "thinking_budget"];
const OWN_LEVEL: [&str; 2] = ["thinkingLevel", "thinking_level"];

/// In a client's own body: what the model is known not to take is left out, or becomes what it has.
pub(super) fn fit(body: &mut Body<'_>, ask: &ProviderRequest<'_>) {
    for name in CONFIGS {
        let Some(text) = body.get(name).filter(|text| text.starts_with('{')) else { continue };
        let text = text.to_owned();
        let mut config = Body::read(text.as_bytes());
        if fit_config(&mut config, ask.request.effort, &ask.target.model) {
            let text = config.text();
            body.set_text(name, text);
        }
    }
}

/// Whether something was changed.
fn fit_config(config: &mut Body<'_>, effort: Option<Effort>, model: &str) -> bool {
    let own = |name: &&&str| config.get(name).is_some_and(|text| text.starts_with('{'));
    let Some(name) = THINKING.iter().find(own) else { return false };
    let own = config.get(name).and_then(|text| serde_json::from_str(text).ok());
    let Some(mut own): Option<Map<String, Value>> = own else { return false };
    if is_taken(&own, model) {
        return false;
    }
    config.remove(name);
    if Budgets::of(model).is_none() {
        return true;
    }
    OWN_BUDGET.iter().chain(&OWN_LEVEL).for_each(|name| drop(own.remove(*name)));
    // Without an effort the model thinks as much as it sees fit.
    if let Some(Value::Object(mut fitted)) = effort.and_then(|effort| thinking(effort, model)) {
        fitted.remove("includeThoughts");
        own.extend(fitted);
    }
    config.set(name, &own.into());
    true
}

/// Whether the model takes this configuration.
fn is_taken(own: &Map<String, Value>, model: &str) -> bool {
    let find = |names: [&str; 2]| names.iter().find_map(|name| own.get(*name));
    let (budget, own_level) = (find(OWN_BUDGET), find(OWN_LEVEL).and_then(Value::as_str));
    let Some(bounds) = Budgets::of(model) else { return false };
    match (Generation::of(model), budget, own_level) {
        (_, None, None) => true,
        (Generation::Three, None, Some(word)) => {
            let word = word.to_ascii_lowercase();
            !EVERY_LEVEL.contains(&word.as_str()) || level(&word, model) == word
        }
        (Generation::Two, Some(budget), None) => match budget.as_i64() {
            // As much as the model sees fit.
            None | Some(-1) => true,
            Some(tokens) => u32::try_from(tokens).is_ok_and(|it| bounds.nearest(it) == it),
        },
        (Generation::Two | Generation::Three, _, _) => false,
    }
}

/// The budgets for thinking that a model takes, in tokens.
#[derive(Clone, Copy, Debug)]
struct Budgets {
    least: u32,
    most: u32,
    can_be_off: bool,
}

/// By the beginning of the name; the first row that matches counts. `None`: the model does not think
/// and refuses a budget.
const BUDGETS: &[(&str, Option<Budgets>)] = &[
    ("gemini-1", None),
    ("gemini-2.0", None),
    ("gemma", None),
    ("gemini-2.5-flash-image", None),
    ("gemini-2.5-pro", Some(Budgets { least: 128, most: 32_768, can_be_off: false })),
    ("gemini-2.5-flash-lite", Some(Budgets { least: 512, most: 24_576, can_be_off: true })),
    ("gemini-2.5-flash", Some(Budgets { least: 1, most: 24_576, can_be_off: true })),
    ("gemini-", Some(Budgets { least: 128, most: 32_768, can_be_off: false })),
    ("", Some(Budgets { least: 1, most: u32::MAX, can_be_off: true })),
];

impl Budgets {
    fn of(model: &str) -> Option<Self> {
        let name = last_name(model);
        let row = BUDGETS.iter().find(|(prefix, _)| name.starts_with(prefix));
        row.and_then(|(_, budgets)| *budgets)
    }

    fn nearest(self, tokens: u32) -> u32 {
        if tokens == 0 && self.can_be_off { 0 } else { tokens.clamp(self.least, self.most) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each row: a model, a client's own configuration, and what the model is sent.
    #[test]
    fn a_clients_own_thinking_is_what_the_model_takes() {
        let rows = [
            ("gemini-2.5-pro", r#"{"thinkingBudget":0}"#, r#"{"thinkingBudget":128}"#),
            ("gemini-2.5-pro", r#"{"thinking_budget":-1}"#, r#"{"thinking_budget":-1}"#),
            ("gemini-2.5-flash", r#"{"thinkingBudget":0}"#, r#"{"thinkingBudget":0}"#),
            ("gemini-2.5-flash", r#"{"thinkingBudget":99999}"#, r#"{"thinkingBudget":24576}"#),
            (
                "gemini-2.5-flash",
                r#"{"thinkingLevel":"HIGH","includeThoughts":true}"#,
                r#"{"includeThoughts":true,"thinkingBudget":24576}"#,
            ),
            ("gemini-3-pro-preview", r#"{"thinkingLevel":"LOW"}"#, r#"{"thinkingLevel":"LOW"}"#),
            (
                "gemini-3-pro-preview",
                r#"{"thinkingLevel":"medium"}"#,
                r#"{"thinkingLevel":"high"}"#,
            ),
            ("gemini-3.7-flash", r#"{"thinkingLevel":"minimal"}"#, r#"{"thinkingLevel":"low"}"#),
            ("gemini-3.5-flash", r#"{"thinkingBudget":512}"#, r#"{"thinkingLevel":"low"}"#),
            ("gemini-3.5-flash", r#"{"thinkingBudget":-1}"#, "{}"),
            ("gemini-2.0-flash", r#"{"thinkingBudget":512}"#, ""),
        ];
        for (model, own, expected) in rows {
            let body = format!(
                r#"{{"contents":[{{"parts":[{{"text":"x"}}]}}],"generationConfig":{{"thinkingConfig":{own}}}}}"#
            );
            let effort = super::super::parse_request(body.as_bytes()).unwrap().effort;
            let config = format!(r#"{{"thinkingConfig":{own}}}"#);
            let mut config = Body::read(config.as_bytes());
            let is_changed = fit_config(&mut config, effort, model);
            assert_eq!(config.get("thinkingConfig").unwrap_or(""), expected, "{model} {own}");
            assert_eq!(is_changed, own != expected, "{model} {own}");
        }
    }
}
