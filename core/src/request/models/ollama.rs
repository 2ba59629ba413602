//! Models as Ollama lists and shows them. Files, sizes and digests are the provider's own affair.

use serde_json::{Map, Value, json};

use super::{Limits, NEVER};
use crate::target::{Model, Upstream};

pub(super) fn list(models: &[(&str, &Model)]) -> Value {
    let entry = |(name, model): &(&str, &Model)| {
        json!({
            "name": name,
            "model": name,
            "modified_at": NEVER,
            "size": 0,
            "digest": "",
            "details": details(model),
        })
    };
    json!({"models": models.iter().map(entry).collect::<Vec<_>>()})
}

pub(super) fn show(model: &Model, limits: &Limits) -> Value {
    let mut info = Map::new();
    info.insert("general.architecture".into(), ARCHITECTURE.into());
    if let Some(tokens) = limits.context_window {
        info.insert(format!("{ARCHITECTURE}.context_length"), tokens.into());
    }
    json!({
        "modelfile": "",
        "parameters": "",
        "template": "",
        "modified_at": NEVER,
        "details": details(model),
        "model_info": info,
        "capabilities": capabilities(model),
    })
}

/// What a model's architecture is called: clients look for its context's length under that name.
const ARCHITECTURE: &str = "streamgate";

fn details(model: &Model) -> Value {
    let family = &model.targets[0].provider.name;
    json!({
        "parent_model": "",
        "format": "",
        "family": family,
        "families": [family],
        "parameter_size": "",
        "quantization_level": "",
    })
}

/// What a request may have. Of a provider's model it is not known whether it takes all of that.
fn capabilities(model: &Model) -> &'static [&'static str] {
    match model.targets[0].provider.upstream {
        Upstream::Http(_) => &["completion", "tools", "vision", "thinking"],
        Upstream::Local => &["completion"],
    }
}
