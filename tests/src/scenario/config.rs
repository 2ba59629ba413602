//! The gateway's configuration in a scenario.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::{PROVIDER_KEY, Scenario};
use crate::step::MODEL;

impl Scenario {
    /// The gateway's configuration, with the providers at these base URLs.
    pub fn config_text(&self, base_urls: &HashMap<String, String>) -> String {
        let mut config = self.usual_config();
        merge(&mut config, &self.config);
        fill_in(&mut config, base_urls);
        toml::to_string(&config).expect("a table that was read from TOML can be written")
    }

    /// Each provider by its name, the model `m` that tries them in order, errors as errors, and no
    /// second round: what is retried is up to the scenario.
    fn usual_config(&self) -> toml::Table {
        let mut providers = toml::Table::new();
        let mut targets = Vec::new();
        for name in self.provider.keys() {
            let base_url = format!("{{{name}}}");
            let provider = json!({
                "protocol": "openai",
                "base_url": base_url,
                "api_key": { "env": PROVIDER_KEY },
            });
            providers.insert(name.clone(), table(provider));
            targets.push(format!("{name}/{MODEL}"));
        }
        let mut config = toml::Table::new();
        config.insert("providers".into(), providers.into());
        let mut fallback = json!({ "retries": 0 });
        if !self.config.contains_key("fallback") {
            fallback["exhausted"] = "error".into();
        }
        config.insert("fallback".into(), table(fallback));
        if !self.config.contains_key("models") {
            config.insert("models".into(), table(json!({ "m": { "targets": targets } })));
        }
        config
    }
}

fn table(json: Value) -> toml::Value {
    toml::Value::try_from(json).expect("there is no null in it")
}

/// Adds what `more` has, table by table.
pub(super) fn merge(base: &mut toml::Table, more: &toml::Table) {
    for (key, value) in more {
        match (base.get_mut(key), value) {
            (Some(toml::Value::Table(base)), toml::Value::Table(more)) => merge(base, more),
            _ => {
                base.insert(key.clone(), value.clone());
            }
        }
    }
}

/// Puts the URL of provider `a` where a text has `{a}`, and its port where it has `{a:port}`.
fn fill_in(config: &mut toml::Table, base_urls: &HashMap<String, String>) {
    for (_, value) in config.iter_mut() {
        match value {
            toml::Value::Table(table) => fill_in(table, base_urls),
            toml::Value::String(text) => {
                for (name, url) in base_urls {
                    *text = text.replace(&format!("{{{name}}}"), url);
                    *text = text.replace(&format!("{{{name}:port}}"), port(url));
                }
            }
            _ => {}
        }
    }
}

fn port(url: &str) -> &str {
    let address = url.split_once("://").map_or(url, |(_, rest)| rest);
    let host = address.split('/').next().unwrap_or_default();
    host.rsplit_once(':').map_or("", |(_, port)| port)
}
