//! What a generation of OpenAI's models, or of xAI's, takes, by the model's name: others refuse it with
//! 400. Sources:
//! "Reasoning models", the migration guides and the models' pages of developers.openai.com.

use crate::chat::{ChatRequest, Effort, Sampling};

/// What a generation takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::protocol) struct Generation {
    /// Its levels of effort, the least first; `None` where they are not known.
    levels: Option<&'static [Effort]>,
    samples: Samples,
    /// Whether `stop` is taken.
    pub(in crate::protocol) stops: bool,
}

/// When `temperature`, `top_p` and penalties are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Samples {
    Always,
    /// With the effort `none`.
    WithoutThinking,
    Never,
}

/// Models that do not think have no `reasoning_effort`.
const NO_LEVELS: &[Effort] = &[];
const MEDIUM: &[Effort] = &[Effort::Medium];
const FROM_NONE: &[Effort] = &[Effort::None, Effort::Low, Effort::Medium, Effort::High];
const FROM_MINIMAL: &[Effort] = &[Effort::Minimal, Effort::Low, Effort::Medium, Effort::High];
const FROM_LOW: &[Effort] = &[Effort::Low, Effort::Medium, Effort::High];
const FROM_NONE_TO_XHIGH: &[Effort] =
    &[Effort::None, Effort::Low, Effort::Medium, Effort::High, Effort::XHigh];
const FROM_LOW_TO_XHIGH: &[Effort] = &[Effort::Low, Effort::Medium, Effort::High, Effort::XHigh];
const FROM_MEDIUM_TO_XHIGH: &[Effort] = &[Effort::Medium, Effort::High, Effort::XHigh];
const HIGH: &[Effort] = &[Effort::High];
const LOW_OR_HIGH: &[Effort] = &[Effort::Low, Effort::High];

/// A model's name begins so; its levels, when it samples, and whether it takes `stop`.
type Row = (&'static str, &'static [Effort], Samples, bool);

/// By the beginning of the name; the first row that matches counts. `stop`: "Unsupported parameter:
/// 'stop' is not supported with this model." (huggingface/smolagents#1662), and xAI's "Model grok-4.6
/// does not support parameter stop." (lidge-jun/opencodex#5278, BerriAI/litellm#12635). xAI's levels:
/// docs.x.ai/developers/model-capabilities/text/reasoning, and as tried in
/// NousResearch/hermes-agent#23435.
const GENERATIONS: &[Row] = &[
    ("gpt-3.5", NO_LEVELS, Samples::Always, true),
    ("gpt-4", NO_LEVELS, Samples::Always, true),
    ("chatgpt-4o", NO_LEVELS, Samples::Always, true),
    ("gpt-5-chat", NO_LEVELS, Samples::Always, true),
    ("gpt-5-pro", HIGH, Samples::Never, false),
    ("gpt-5-codex", FROM_LOW, Samples::Never, false),
    ("gpt-5.1-chat", MEDIUM, Samples::Never, false),
    ("gpt-5.1-codex-max", FROM_LOW_TO_XHIGH, Samples::Never, false),
    ("gpt-5.1-codex", FROM_LOW, Samples::Never, false),
    ("gpt-5.1", FROM_NONE, Samples::WithoutThinking, false),
    ("gpt-5.2-chat", MEDIUM, Samples::Never, false),
    ("gpt-5.2-codex", FROM_LOW_TO_XHIGH, Samples::Never, false),
    ("gpt-5.2-pro", FROM_MEDIUM_TO_XHIGH, Samples::Never, false),
    ("gpt-5.3-codex", FROM_LOW_TO_XHIGH, Samples::Never, false),
    ("gpt-5.", FROM_NONE_TO_XHIGH, Samples::WithoutThinking, false),
    ("gpt-5", FROM_MINIMAL, Samples::Never, false),
    ("o1-mini", NO_LEVELS, Samples::Never, false),
    ("o1-preview", NO_LEVELS, Samples::Never, false),
    ("o1", FROM_LOW, Samples::Never, false),
    ("o3", FROM_LOW, Samples::Never, false),
    ("o4", FROM_LOW, Samples::Never, false),
    ("grok-2", NO_LEVELS, Samples::Always, true),
    ("grok-3-mini", LOW_OR_HIGH, Samples::Always, false),
    ("grok-3", NO_LEVELS, Samples::Always, true),
    ("grok-4.20-multi-agent", FROM_LOW_TO_XHIGH, Samples::Always, false),
    ("grok-4.20", NO_LEVELS, Samples::Always, false),
    ("grok-4.", FROM_NONE, Samples::Always, false),
    ("grok-4-fast-non-reasoning", NO_LEVELS, Samples::Always, true),
    ("grok-4-1-fast-non-reasoning", NO_LEVELS, Samples::Always, true),
    ("grok-4-fast", NO_LEVELS, Samples::Always, false),
    ("grok-4-1-fast", NO_LEVELS, Samples::Always, false),
    ("grok-4-0709", NO_LEVELS, Samples::Always, false),
    ("grok-4", FROM_NONE, Samples::Always, false),
    ("grok-code", NO_LEVELS, Samples::Always, false),
    ("grok-build", NO_LEVELS, Samples::Always, false),
];

impl Generation {
    /// The generation of a model; of one that is not listed nothing is known.
    pub(in crate::protocol) fn of(model: &str) -> Self {
        let name = model.rsplit('/').next().unwrap_or(model).to_ascii_lowercase();
        let name = name.strip_prefix("ft:").unwrap_or(&name);
        let row = GENERATIONS.iter().find(|(prefix, ..)| name.starts_with(prefix));
        match row {
            Some((_, levels, samples, stops)) => {
                Self { levels: Some(levels), samples: *samples, stops: *stops }
            }
            None => Self { levels: None, samples: Samples::Always, stops: true },
        }
    }

    /// Whether anything is known of it.
    pub(in crate::protocol) fn is_known(self) -> bool {
        self.levels.is_some()
    }

    /// The least level that is no less than the one asked for, else the highest; `None` where the
    /// model does not think. Most that are not known have none above `high`.
    pub(in crate::protocol) fn effort(self, wanted: Effort) -> Option<Effort> {
        let Some(levels) = self.levels else { return Some(wanted.up_to_high()) };
        let enough = levels.iter().find(|level| rank(**level) >= rank(wanted));
        enough.or(levels.last()).copied()
    }

    /// How the next token is chosen, as far as the model leaves it to the request.
    pub(in crate::protocol) fn sampling(self, request: &ChatRequest) -> Sampling {
        let sampling = request.sampling.clone();
        match self.samples(request) {
            true => sampling,
            false => Sampling { seed: sampling.seed, ..Sampling::default() },
        }
    }

    /// Whether the request chooses how the next token is chosen.
    pub(in crate::protocol) fn samples(self, request: &ChatRequest) -> bool {
        match self.samples {
            Samples::Always => true,
            Samples::WithoutThinking => request.effort == Some(Effort::None),
            Samples::Never => false,
        }
    }
}

fn rank(effort: Effort) -> usize {
    let names = ["none", "minimal", "low", "medium", "high", "xhigh", "max"];
    names.iter().position(|name| *name == effort.as_str()).unwrap_or(names.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each row: a model, an effort, and the level and the temperature that are sent.
    #[test]
    fn a_model_is_sent_what_it_takes() {
        let rows = [
            ("gpt-4.1", Effort::Budget(10_000), None, Some(0.2)),
            ("openai/gpt-4o-mini", Effort::None, None, Some(0.2)),
            ("ft:gpt-4o:acme", Effort::High, None, Some(0.2)),
            ("gpt-5", Effort::None, Some(Effort::Minimal), None),
            ("gpt-5-mini", Effort::Budget(10_000), Some(Effort::Medium), None),
            ("gpt-5-pro", Effort::Low, Some(Effort::High), None),
            ("gpt-5-chat-latest", Effort::Low, None, Some(0.2)),
            ("gpt-5.1", Effort::Minimal, Some(Effort::Low), None),
            ("gpt-5.2", Effort::None, Some(Effort::None), Some(0.2)),
            ("gpt-5.2-chat-latest", Effort::High, Some(Effort::Medium), None),
            ("gpt-5.1", Effort::XHigh, Some(Effort::High), None),
            ("gpt-5.1-codex-max", Effort::Max, Some(Effort::XHigh), None),
            ("gpt-5.1-codex-mini", Effort::XHigh, Some(Effort::High), None),
            ("gpt-5.4", Effort::XHigh, Some(Effort::XHigh), None),
            ("qwen3", Effort::Max, Some(Effort::High), Some(0.2)),
            ("o3-mini", Effort::Minimal, Some(Effort::Low), None),
            ("o1-mini", Effort::High, None, None),
            ("qwen3", Effort::Budget(9), Some(Effort::Budget(9)), Some(0.2)),
            ("x-ai/grok-4-fast", Effort::Low, None, Some(0.2)),
            ("grok-3-mini", Effort::Medium, Some(Effort::High), Some(0.2)),
        ];
        for (model, wanted, effort, temperature) in rows {
            let generation = Generation::of(model);
            assert_eq!(generation.effort(wanted), effort, "{model}");
            let sampling =
                Sampling { temperature: Some(0.2), seed: Some(5), ..Sampling::default() };
            let effort = Some(wanted);
            let sent =
                generation.sampling(&ChatRequest { sampling, effort, ..ChatRequest::default() });
            assert_eq!((sent.temperature, sent.seed), (temperature, Some(5)), "{model}");
        }
    }
}
