//! What is known of one target's limits, and its source: the operator, the provider in a rejection,
//! the catalogue, or a default.

use std::fmt;

use super::learned::LearnedLimit;
use super::{Terms, UNKNOWN_MODEL_MAX_OUTPUT, catalogue};
use crate::target::{Target, Upstream};

/// What is known of one target's limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Known<'a> {
    /// The model's longest answer; `None` where its own engine decides.
    pub model: Option<Fact<'a>>,
    /// The longest answer according to the provider.
    pub learned: Option<Fact<'a>>,
    /// What prompt and answer share.
    pub context_window: Option<Fact<'a>>,
    /// The longest prompt, where that is capped apart.
    pub max_input: Option<Fact<'a>>,
}

/// A number of tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fact<'a> {
    /// The limit in tokens.
    pub tokens: u32,
    /// Where it is from.
    pub source: Source<'a>,
}

/// Where a fact is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source<'a> {
    /// The operator, in the configuration.
    Configured,
    /// The provider, in a rejection.
    Learned {
        /// Whose text it was.
        text: &'a str,
        /// When, in seconds since 1970.
        at: u64,
    },
    /// The catalogue, by these sources.
    Catalogue(&'static str),
    /// The default for an unknown model.
    Default,
}

impl<'a> Known<'a> {
    /// What is known of `target`, of whose provider `learned` is known.
    ///
    /// The provider's window overrides the catalogue's, within what the operator allows. A local
    /// model's own engine knows its window and counts the prompt exactly, so it decides what fits.
    pub fn of(target: &Target, learned: Option<&'a LearnedLimit>) -> Self {
        let configured = |tokens| Fact { tokens, source: Source::Configured };
        let model = target.max_output_tokens.map(configured);
        if target.provider.upstream == Upstream::Local {
            return Self { model, ..Self::default() };
        }
        let said = learned.map(|row| Source::Learned { text: &row.source, at: row.learned_at });
        let said = |pick: fn(&LearnedLimit) -> Option<u32>| {
            Some(Fact { tokens: pick(learned?)?, source: said? })
        };
        let listed = |pick: fn(&catalogue::Facts) -> Option<u32>| {
            let facts = target.listed.as_ref()?;
            Some(Fact { tokens: pick(facts)?, source: Source::Catalogue(facts.source) })
        };
        let learned = said(|row| row.max_output);
        let unknown = Fact { tokens: UNKNOWN_MODEL_MAX_OUTPUT, source: Source::Default };
        let windows = [target.context_window.map(configured), said(|row| row.context_window)];
        let window = windows.into_iter().flatten().min_by_key(|fact| fact.tokens);
        // A configured window covers the prompt too.
        let unless_configured =
            || listed(|facts| facts.max_input).filter(|_| target.context_window.is_none());
        Self {
            model: model
                .or_else(|| listed(|facts| facts.max_output))
                .or_else(|| learned.is_none().then_some(unknown)),
            learned,
            context_window: window.or_else(|| listed(|facts| facts.context_window)),
            max_input: said(|row| row.max_input).or_else(unless_configured),
        }
    }

    /// The terms that follow from these limits, the client's own limit and its plan's, in tokens.
    ///
    /// The default for an unknown model is a guess, which bounds what a plan allows. A client's own
    /// limit it does not: the provider states its real one if that is less.
    pub fn terms(&self, requested: Option<u32>, plan: Option<u32>) -> Terms {
        let is_guess = |fact: &Fact<'_>| fact.source == Source::Default;
        let counts = |fact: &Fact<'_>| !is_guess(fact) || requested.is_none() || plan.is_some();
        let tokens = |fact: Option<Fact<'_>>| fact.map(|fact| fact.tokens);
        let learned = |fact: Fact<'_>| matches!(fact.source, Source::Learned { .. });
        Terms {
            requested,
            plan,
            model: tokens(self.model.filter(counts)),
            learned: tokens(self.learned),
            context_window: tokens(self.context_window),
            window_learned: self.context_window.is_some_and(learned),
            max_input: tokens(self.max_input),
            ..Terms::default()
        }
    }

    /// The longest answer that may be asked for.
    pub fn max_output(&self) -> Option<Fact<'a>> {
        self.model.into_iter().chain(self.learned).min_by_key(|fact| fact.tokens)
    }
}

impl fmt::Display for Source<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Configured => f.write_str("configured"),
            Self::Learned { text, .. } => write!(f, "learned ({text})"),
            Self::Catalogue(source) => write!(f, "catalogue ({source})"),
            Self::Default => f.write_str("default"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn known(
        target: &str,
        keys: &str,
        learned: Option<&LearnedLimit>,
    ) -> [Option<(u32, String)>; 3] {
        let text = format!(
            "[providers.openai]\nprotocol = \"openai\"\nbase_url = \"http://a\"\n\
             [providers.here]\nprotocol = \"local\"\n[models.m]\ntargets = [\"{target}\"]\n{keys}"
        );
        let config = Config::parse(&text, |_| None).unwrap();
        let known = Known::of(&config.models["m"].targets[0], learned);
        [known.max_output(), known.context_window, known.max_input]
            .map(|fact| fact.map(|fact| (fact.tokens, fact.source.to_string())))
    }

    fn fact(tokens: u32, source: &str) -> Option<(u32, String)> {
        Some((tokens, source.to_owned()))
    }

    /// Each row: what the client asks for, what its plan allows -> the model's term.
    #[test]
    fn a_guess_bounds_a_plan_and_not_a_client() {
        let guess = Fact { tokens: UNKNOWN_MODEL_MAX_OUTPUT, source: Source::Default };
        let known = Known { model: Some(guess), ..Known::default() };
        let rows = [
            (Some(8000), None, None),
            (Some(8000), Some(8000), Some(4096)),
            (None, Some(8000), Some(4096)),
            (None, None, Some(4096)),
        ];
        for (requested, plan, expected) in rows {
            assert_eq!(known.terms(requested, plan).model, expected, "{requested:?} {plan:?}");
        }
        let configured = Fact { source: Source::Configured, ..guess };
        let known = Known { model: Some(configured), ..known };
        assert_eq!(known.terms(Some(8000), None).model, Some(4096));
    }

    #[test]
    fn every_value_has_its_source() {
        let row = LearnedLimit {
            max_output: Some(2000),
            context_window: Some(8000),
            source: "vllm".into(),
            learned_at: 7,
            ..LearnedLimit::default()
        };
        let both = "max_output_tokens = 3000\ncontext_window = 7000";
        let [listed, vllm] = ["catalogue (both)", "learned (vllm)"];
        let rows = [
            ("openai/gpt-4-turbo", "", None, [fact(4096, listed), fact(128_000, listed), None]),
            ("openai/gpt-4-turbo", "", Some(&row), [fact(2000, vllm), fact(8000, vllm), None]),
            ("openai/gpt-4-turbo", both, None, {
                [fact(3000, "configured"), fact(7000, "configured"), None]
            }),
            ("openai/gpt-4-turbo", both, Some(&row), {
                [fact(2000, vllm), fact(7000, "configured"), None]
            }),
            ("openai/unheard-of", "", None, [fact(4096, "default"), None, None]),
            ("openai/unheard-of", "", Some(&row), [fact(2000, vllm), fact(8000, vllm), None]),
            ("openai/gpt-5", "", None, {
                [fact(128_000, listed), fact(400_000, listed), fact(272_000, listed)]
            }),
            ("here/tiny", "context_window = 9", Some(&row), [None, None, None]),
        ];
        for (target, keys, learned, expected) in rows {
            assert_eq!(known(target, keys, learned), expected, "{target} {keys} {learned:?}");
        }
    }
}
