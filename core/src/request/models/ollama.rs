//! Models as Ollama lists and shows them. Files, sizes and digests are the provider's own affair.

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::{Limits, NEVER};
use crate::target::{Model, Upstream};

pub(super) fn list(models: &[(&str, &Model)]) -> Value {
    let entry = |(name, model): &(&str, &Model)| {
        json!({
            "name": name,
            "model": name,
            "modified_at": NEVER,
            "size": 0,
            "digest": digest(name),
            // Of the models that are running.
            "size_vram": 0,
            "expires_at": FOREVER,
            "details": details(model),
        })
    };
    json!({"models": models.iter().map(entry).collect::<Vec<_>>()})
}

/// Clients show the beginning of it, and take two models of the same digest for one.
fn digest(name: &str) -> String {
    Sha256::digest(name).iter().map(|byte| format!("{byte:02x}")).collect()
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

/// When a model is unloaded, as Ollama has it for one that never is.
const FOREVER: &str = "2318-01-01T00:00:00Z";

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
