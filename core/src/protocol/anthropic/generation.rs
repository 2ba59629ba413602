//! What a generation of Claude takes, by the model's name: other generations refuse it. Sources:
//! "Adaptive thinking", "Extended thinking", "Mid-conversation system messages" and the migration
//! guides of platform.claude.com.

/// How a model is asked to think.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Thinks {
    /// It is not.
    Never,
    /// By a budget of tokens.
    Budget,
    /// As much as it sees fit, at a level of effort.
    Adaptively,
}

/// What a generation takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::protocol) struct Generation {
    /// How it is asked to think.
    pub(super) thinks: Thinks,
    /// Whether it takes `temperature`, `top_p` and `top_k`.
    pub(super) samples: bool,
    /// Whether it takes instructions within the conversation.
    pub(in crate::protocol) instructed_midway: bool,
    /// The levels of `output_config.effort`, the least first.
    levels: &'static [&'static str],
}

/// Sources: "Effort", platform.claude.com/docs/en/build-with-claude/effort; "This model does not
/// support the effort parameter." elsewhere.
const NO_LEVELS: &[&str] = &[];
const TO_HIGH: &[&str] = &["low", "medium", "high"];
const TO_MAX: &[&str] = &["low", "medium", "high", "max"];
const EVERY_LEVEL: &[&str] = &["low", "medium", "high", "xhigh", "max"];

type Row = (&'static str, Thinks, bool, bool, &'static [&'static str]);

/// By the name after `claude-`; the first row that matches counts. What is not listed is
/// newer.
const GENERATIONS: &[Row] = &[
    ("2", Thinks::Never, true, false, NO_LEVELS),
    ("instant", Thinks::Never, true, false, NO_LEVELS),
    ("3-7", Thinks::Budget, true, false, NO_LEVELS),
    ("3", Thinks::Never, true, false, NO_LEVELS),
    ("4-6", Thinks::Adaptively, true, false, TO_MAX),
    ("4-", Thinks::Budget, true, false, NO_LEVELS),
    ("opus-4-5", Thinks::Budget, true, false, TO_HIGH),
    ("opus-4-6", Thinks::Adaptively, true, false, TO_MAX),
    ("sonnet-4-6", Thinks::Adaptively, true, false, TO_MAX),
    ("opus-4-7", Thinks::Adaptively, false, false, EVERY_LEVEL),
    ("opus-4-8", Thinks::Adaptively, false, true, EVERY_LEVEL),
    ("opus-4", Thinks::Budget, true, false, NO_LEVELS),
    ("sonnet-4", Thinks::Budget, true, false, NO_LEVELS),
    ("haiku-4", Thinks::Budget, true, false, NO_LEVELS),
    ("", Thinks::Adaptively, false, true, EVERY_LEVEL),
];

impl Generation {
    /// The level of this name, or the least of the model's that is no less, else its highest; `None`
    /// where it has none.
    pub(super) fn level(self, word: &str) -> Option<&'static str> {
        let rank = |word: &str| EVERY_LEVEL.iter().position(|level| *level == word);
        let enough = self.levels.iter().find(|level| rank(level) >= rank(word));
        enough.or(self.levels.last()).copied()
    }

    /// The generation of a model. One that is not Anthropic's own takes what the protocol had first.
    pub(in crate::protocol) fn of(model: &str) -> Self {
        let row = ("", Thinks::Budget, true, false, EVERY_LEVEL);
        Self::known(model).unwrap_or_else(|| Self::read(&row))
    }

    /// The generation of one of Anthropic's own models.
    pub(super) fn known(model: &str) -> Option<Self> {
        let name = model.to_ascii_lowercase().replace('.', "-");
        let (_, rest) = name.split_once("claude-")?;
        GENERATIONS.iter().find(|(prefix, ..)| rest.starts_with(prefix)).map(Self::read)
    }

    fn read(row: &Row) -> Self {
        let (_, thinks, samples, instructed_midway, levels) = *row;
        Self { thinks, samples, instructed_midway, levels }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_known_by_its_name() {
        let rows = [
            ("claude-3-5-sonnet-20241022", Thinks::Never, true),
            ("claude-3-7-sonnet-latest", Thinks::Budget, true),
            ("claude-sonnet-4-20250514", Thinks::Budget, true),
            ("anthropic/claude-opus-4.5", Thinks::Budget, true),
            ("claude-4-opus-20250514", Thinks::Budget, true),
            ("claude-haiku-4-5", Thinks::Budget, true),
            ("claude-sonnet-4-6", Thinks::Adaptively, true),
            ("us.anthropic.claude-opus-4-6-v1", Thinks::Adaptively, true),
            ("claude-opus-4-7-20260416", Thinks::Adaptively, false),
            ("claude-sonnet-5", Thinks::Adaptively, false),
            ("deepseek-chat", Thinks::Budget, true),
        ];
        for (model, thinks, samples) in rows {
            let generation = Generation::of(model);
            assert_eq!((generation.thinks, generation.samples), (thinks, samples), "{model}");
        }
    }

    #[test]
    fn newer_models_take_instructions_within_the_conversation() {
        let rows = [
            ("claude-sonnet-4-5", false),
            ("claude-opus-4-7", false),
            ("claude-opus-4-8", true),
            ("claude-sonnet-5", true),
            ("deepseek-chat", false),
        ];
        for (model, expected) in rows {
            assert_eq!(Generation::of(model).instructed_midway, expected, "{model}");
        }
    }
}
