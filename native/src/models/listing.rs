//! The configured models, whether they are available, and their limits, as text for the operator.

use std::fmt::{self, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use streamgate_core::config::Config;
use streamgate_core::failure::Failure;
use streamgate_core::limit::known::{Fact, Known, Source};
use streamgate_core::limit::learned::Learned;

use super::presence::{Presence, presence};
use super::{by_model, remedy};
use crate::learned;
use crate::startup::StartupError;
use crate::store::Store;

/// Logs whether each model is available, a line per target.
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
                    tracing::info!(model = name, %target, window_tokens, "loads on first use");
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

/// The configured models and whether they are available.
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

/// Each target's limits and their sources, including those learned and saved in the store.
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
            let mut sources = Sources::default();
            for (what, fact) in facts {
                if let Some(Fact { tokens, source }) = fact {
                    sources.add(what, tokens, source_text(source, unix_seconds));
                }
            }
            if let Presence::File { header, .. } = presence(target) {
                sources.add("context", header.window_tokens, "the model's file".into());
            }
            let _ = writeln!(text, "  {target}: {sources}");
        }
    }
    text
}

/// Numbers of tokens by their source.
#[derive(Default)]
struct Sources(Vec<(String, Vec<String>)>);

impl Sources {
    fn add(&mut self, what: &str, tokens: u32, source: String) {
        let number = format!("{what} {tokens}");
        match self.0.iter_mut().find(|(known, _)| *known == source) {
            Some((_, numbers)) => numbers.push(number),
            None => self.0.push((source, vec![number])),
        }
    }
}

impl fmt::Display for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sources =
            self.0.iter().map(|(source, numbers)| format!("{} ({source})", numbers.join(", ")));
        match sources.collect::<Vec<_>>().as_slice() {
            [] => f.write_str("the engine's own"),
            sources => f.write_str(&sources.join("; ")),
        }
    }
}

/// A source for a person, with the age of what was learned.
fn source_text(source: Source<'_>, unix_seconds: u64) -> String {
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

#[cfg(test)]
mod tests {
    use super::super::tests::config;
    use super::*;
    use streamgate_core::limit::refusal::StatedLimits;

    #[test]
    fn the_listing_shows_what_is_missing_and_how_to_get_it() {
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
        let refusal =
            StatedLimits { max_output: Some(2048), source: "vllm", ..StatedLimits::default() };
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
