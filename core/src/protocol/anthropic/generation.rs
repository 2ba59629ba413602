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
}

/// By the name after `claude-`; the first row that matches counts. What is not listed is
/// newer.
const GENERATIONS: &[(&str, Thinks, bool, bool)] = &[
    ("2", Thinks::Never, true, false),
    ("instant", Thinks::Never, true, false),
    ("3-7", Thinks::Budget, true, false),
    ("3", Thinks::Never, true, false),
    ("4-", Thinks::Budget, true, false),
    ("opus-4-6", Thinks::Adaptively, true, false),
    ("sonnet-4-6", Thinks::Adaptively, true, false),
    ("opus-4-7", Thinks::Adaptively, false, false),
    ("opus-4-8", Thinks::Adaptively, false, true),
    ("opus-4", Thinks::Budget, true, false),
    ("sonnet-4", Thinks::Budget, true, false),
    ("haiku-4", Thinks::Budget, true, false),
    ("", Thinks::Adaptively, false, true),
];

impl Generation {
    /// Whether its levels of effort have one between `high` and `max`: from Opus 4.7 on. Source:
    /// "Effort", platform.claude.com/docs/en/build-with-claude/effort.
    pub(super) fn has_xhigh(self) -> bool {
        self.thinks == Thinks::Adaptively && !self.samples
    }

    /// The generation of a model. One that is not Anthropic's own takes what the protocol had first.
    pub(in crate::protocol) fn of(model: &str) -> Self {
        let name = model.to_ascii_lowercase().replace('.', "-");
        let row = name
            .split_once("claude-")
            .and_then(|(_, rest)| GENERATIONS.iter().find(|(prefix, ..)| rest.starts_with(prefix)));
        let (_, thinks, samples, instructed_midway) =
            *row.unwrap_or(&("", Thinks::Budget, true, false));
        Self { thinks, samples, instructed_midway }
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
