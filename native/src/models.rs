//! The local models of the configuration: their names in the engine, and where their files are.

mod listing;
mod presence;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Component, Path};
use std::sync::Arc;

use streamgate_core::config::{Config, EMBEDDED_MODEL};
use streamgate_core::target::{Target, Upstream};

use crate::engine::{Engine, EngineConfig, Model};

pub(crate) use listing::{limits, listing, log};
pub(crate) use presence::{Summary, header};

/// The default directory of models.
const MODELS_DIR: &str = "models";

/// An engine that knows every local model of the configuration. The error is a text for a person.
pub(crate) fn engine(config: &Config) -> Result<Engine, String> {
    let engine = Engine::new(EngineConfig::default());
    for target in local_targets(config) {
        engine.register(engine_name(target), model(target)?);
    }
    Ok(engine)
}

/// A target's name in the engine.
pub(crate) fn engine_name(target: &Target) -> String {
    target.to_string()
}

/// What to do about a file that is not there.
pub(crate) fn remedy(path: &dyn fmt::Display) -> String {
    format!(
        "Put a GGUF file there, for instance with `curl --location --create-dirs --output {path} URL`."
    )
}

/// The first target of the default model if it is local: it is loaded at startup.
pub(crate) fn first(config: &Config) -> Option<&Arc<Target>> {
    let default = config.default_model.as_ref().and_then(|name| config.models.get(name))?;
    default.targets.first().filter(|target| is_local(target))
}

/// A local target's model: built in, or `NAME.gguf` in its provider's directory.
fn model(target: &Target) -> Result<Model, String> {
    let name = Path::new(&target.model);
    if target.model == EMBEDDED_MODEL {
        return Ok(Model::tiny());
    }
    if !name.components().all(|component| matches!(component, Component::Normal(_))) {
        return Err(format!("{target}: the name leads out of the models' folder"));
    }
    let folder = target.provider.models_dir.as_deref().unwrap_or(MODELS_DIR);
    Ok(Model::file(Path::new(folder).join(format!("{}.gguf", target.model))))
}

fn is_local(target: &Target) -> bool {
    target.provider.upstream == Upstream::Local
}

fn local_targets(config: &Config) -> impl Iterator<Item = &Arc<Target>> {
    config.targets().filter(|target| is_local(target))
}

fn by_model(config: &Config) -> BTreeMap<&str, &[Arc<Target>]> {
    config.models.iter().map(|(name, model)| (name.as_str(), &*model.targets)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::ModelSource;

    pub(super) fn config(target: &str) -> Config {
        let text = format!(
            "providers.l = {{ protocol = \"local\", models_dir = \"m\" }}\n\
             models.it.targets = [\"l/{target}\"]"
        );
        Config::parse(&text, |_| None).unwrap()
    }

    fn source(target: &str) -> Result<ModelSource, String> {
        model(&config(target).models["it"].targets[0]).map(|model| model.source)
    }

    #[test]
    fn names_are_files_of_the_folder() {
        let path = |name| match source(name) {
            Ok(ModelSource::File(path)) => path,
            other => panic!("{other:?}"),
        };
        assert_eq!(path("llama-3.1"), Path::new("m/llama-3.1.gguf"));
        assert_eq!(path("meta/llama"), Path::new("m/meta/llama.gguf"));
        assert!(matches!(source("tiny"), Ok(ModelSource::Embedded(_))));
    }

    #[test]
    fn names_that_leave_the_folder_are_refused() {
        for name in ["../secret", "a/../../b", "/etc/passwd"] {
            assert!(source(name).unwrap_err().contains("leads out"), "{name}");
        }
    }
}
