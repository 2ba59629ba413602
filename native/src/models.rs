//! The local models of the configuration: where their files are, and what is there.

use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use streamgate_core::config::{Config, EMBEDDED_MODEL};
use streamgate_core::failure::Failure;
use streamgate_core::limit::known::{Fact, Known, Source};
use streamgate_core::limit::learned::Learned;
use streamgate_core::target::{ApiKey, Target, Upstream};

use crate::engine::{Engine, EngineConfig, EngineError, Model, ModelSource, gguf};
use crate::learned;
use crate::startup::StartupError;
use crate::store::Store;

/// Where a provider's models are unless it says.
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

/// Logs what is there and what is not, a line per local model.
pub(crate) fn log(config: &Config) {
    for (name, targets) in by_model(config) {
        for target in targets {
            match presence(target) {
                Presence::Remote | Presence::UserKeys => {}
                Presence::NoKey { env } => {
                    tracing::warn!(model = name, %target, "no key: {env} is not set");
                }
                Presence::Embedded => tracing::info!(model = name, %target, "built in"),
                Presence::File { header, .. } => {
                    let window_tokens = header.window_tokens;
                    tracing::info!(model = name, %target, window_tokens, "loads when asked for");
                }
                Presence::Missing { path } => {
                    let path = path.display();
                    tracing::warn!(model = name, %target, "missing. {}", remedy(&path));
                }
                Presence::Broken { error } => tracing::warn!(model = name, %target, "{error}"),
            }
        }
    }
}

/// The models of the configuration and what is there of them, as a text.
pub(crate) fn listing(config: &Config) -> String {
    let mut text = String::new();
    for (name, targets) in by_model(config) {
        let default = config.default_model.as_deref() == Some(name);
        let mark = if default { " (default)" } else { "" };
        // Writing into a String cannot fail.
        let _ = writeln!(text, "{name}{mark}");
        for target in targets {
            let _ = writeln!(text, "  {target}: {}", presence(target));
        }
    }
    text
}

/// What is known of each target's limits, and who says so, as a text; what was learned is in the
/// store.
pub(crate) fn limits(config: &Config) -> Result<String, StartupError> {
    let known = Learned::default();
    if let Some(store) = &config.store {
        let (store, _thread) = Store::open(&store.url)?;
        let impossible = |failure: Failure| StartupError::Io(failure.message().to_owned());
        learned::restore(&store, &known).map_err(impossible)?;
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    Ok(limits_at(config, &known, now.as_secs()))
}

fn limits_at(config: &Config, learned: &Learned, unix_seconds: u64) -> String {
    let mut text = String::new();
    for (name, targets) in by_model(config) {
        // Writing into a String cannot fail.
        let _ = writeln!(text, "{name}");
        for target in targets {
            let row = learned.find(&target.provider.base_url, &target.model, unix_seconds);
            let known = Known::of(target, row.as_ref());
            let facts = [
                ("answer", known.max_output()),
                ("context", known.context_window),
                ("prompt", known.max_input),
            ];
            let mut told = Told::default();
            for (what, fact) in facts {
                if let Some(Fact { tokens, source }) = fact {
                    told.add(what, tokens, says(source, unix_seconds));
                }
            }
            if let Presence::File { header, .. } = presence(target) {
                told.add("context", header.window_tokens, "the model's file".into());
            }
            let _ = writeln!(text, "  {target}: {told}");
        }
    }
    text
}

/// Numbers of tokens by who says so.
#[derive(Default)]
struct Told(Vec<(String, Vec<String>)>);

impl Told {
    fn add(&mut self, what: &str, tokens: u32, source: String) {
        let number = format!("{what} {tokens}");
        match self.0.iter_mut().find(|(known, _)| *known == source) {
            Some((_, numbers)) => numbers.push(number),
            None => self.0.push((source, vec![number])),
        }
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told =
            self.0.iter().map(|(source, numbers)| format!("{} ({source})", numbers.join(", ")));
        match told.collect::<Vec<_>>().as_slice() {
            [] => f.write_str("the engine's own"),
            told => f.write_str(&told.join("; ")),
        }
    }
}

/// Who says so, for a person, and how long ago it was said.
fn says(source: Source<'_>, unix_seconds: u64) -> String {
    match source {
        Source::Learned { text, at } => {
            let ago = match unix_seconds.saturating_sub(at) / 3600 {
                0 => "within the hour".to_owned(),
                hours @ 1..48 => format!("{hours} h ago"),
                hours => format!("{} days ago", hours / 24),
            };
            format!("learned: {text}, {ago}")
        }
        Source::Catalogue("both") => "catalogue: models.dev and litellm".to_owned(),
        Source::Catalogue(one) => format!("catalogue: {one}"),
        Source::Default => "default for unknown models".to_owned(),
        Source::Configured => source.to_string(),
    }
}

/// The first target of the default model, if it is local: the one to load at once.
pub(crate) fn first(config: &Config) -> Option<&Arc<Target>> {
    let default = config.default_model.as_ref().and_then(|name| config.models.get(name))?;
    default.targets.first().filter(|target| is_local(target))
}

/// What there is of a target, found without loading or calling it.
enum Presence {
    /// A provider answers for it.
    Remote,
    NoKey {
        env: String,
    },
    /// A provider answers for it, to users who gave their own key.
    UserKeys,
    Embedded,
    File {
        path: PathBuf,
        header: gguf::Header,
    },
    Missing {
        path: PathBuf,
    },
    Broken {
        error: String,
    },
}

fn presence(target: &Target) -> Presence {
    if !is_local(target) {
        return match &target.provider.api_key {
            ApiKey::Unset { env } => Presence::NoKey { env: env.clone() },
            ApiKey::Unusable(_) => Presence::UserKeys,
            ApiKey::None | ApiKey::Set(_) => Presence::Remote,
        };
    }
    match model(target).map(|model| model.source) {
        Err(error) => Presence::Broken { error },
        Ok(ModelSource::Embedded(_)) => Presence::Embedded,
        Ok(ModelSource::File(path)) => match header(&path) {
            Ok(header) => Presence::File { path, header },
            Err(EngineError::Missing { path }) => Presence::Missing { path },
            Err(error) => Presence::Broken { error: format!("{}: {error}", path.display()) },
        },
    }
}

impl fmt::Display for Presence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Remote => f.write_str("asked by HTTP"),
            Self::UserKeys => f.write_str("asked by HTTP, with users' own keys"),
            Self::NoKey { env } => write!(f, "no key: {env} is not set"),
            Self::Embedded => f.write_str("built in"),
            Self::File { path, header } => write!(f, "{}: {}", path.display(), Summary(header)),
            Self::Missing { path } => {
                let path = path.display();
                write!(f, "missing: {path} is not there. {}", remedy(&path))
            }
            Self::Broken { error } => f.write_str(error),
        }
    }
}

/// A model's header in a few words.
pub(crate) struct Summary<'h>(pub(crate) &'h gguf::Header);

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let header = self.0;
        let name = header.name.as_deref().unwrap_or("a model without a name");
        let megabytes = header.file_bytes.div_ceil(1_000_000);
        let (architecture, window) = (&header.architecture, header.window_tokens);
        write!(f, "{name}, {architecture}, {window} tokens of context, {megabytes} MB")
    }
}

/// Reads and checks a model file's header.
pub(crate) fn header(path: &Path) -> Result<gguf::Header, EngineError> {
    let unreadable = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => EngineError::Missing { path: path.to_owned() },
        _ => EngineError::Unreadable { reason: error.to_string() },
    };
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let bytes = file.metadata().map_err(unreadable)?.len();
    gguf::check(std::io::BufReader::new(file), bytes)
}

/// Where a local target's model is: built in, or `NAME.gguf` in its provider's folder.
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
    config.models.values().flat_map(|model| &model.targets).filter(|target| is_local(target))
}

fn by_model(config: &Config) -> BTreeMap<&str, &[Arc<Target>]> {
    config.models.iter().map(|(name, model)| (name.as_str(), &*model.targets)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use streamgate_core::limit::refusal::Refusal;

    fn config(target: &str) -> Config {
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

    #[test]
    fn the_listing_says_what_is_missing_and_how_to_get_it() {
        let listing = listing(&config("big"));
        assert!(listing.starts_with("it (default)\n  l/big: missing: m/big.gguf"), "{listing}");
        assert!(listing.contains("curl --location --create-dirs --output m/big.gguf"), "{listing}");
    }

    #[test]
    fn limits_are_listed_with_their_sources_and_age() {
        let text = "providers.openai = { protocol = \"openai\", base_url = \"http://a\" }\n\
                    models.m.targets = [\"openai/gpt-5\", \"openai/new\"]";
        let config = Config::parse(text, |_| None).unwrap();
        let learned = Learned::default();
        let refusal = Refusal { max_output: Some(2048), source: "vllm", ..Refusal::default() };
        learned.note("http://a", "new", &refusal, 3600);
        let expected = "m\n  openai/gpt-5: answer 128000, context 400000, prompt 272000 \
                        (catalogue: models.dev and litellm)\n  \
                        openai/new: answer 2048 (learned: vllm, 3 h ago)\n";
        assert_eq!(limits_at(&config, &learned, 4 * 3600), expected);
        for (seconds, expected) in [(4000, "within the hour"), (3600 + 5 * 86_400, "5 days ago")] {
            let listed = limits_at(&config, &learned, seconds);
            assert!(listed.contains(expected), "{listed}");
        }
    }
}
