//! How many prompt tokens go into one step: as many as are computed in a bounded time, which is
//! measured as the model runs.
//!
//! A step cannot be interrupted, so its length is what a long prompt adds to everyone's next
//! token, and how long a cancelled one still computes. A GPU reads its whole batch in that time,
//! a laptop a few tokens of a large model.

use std::time::Duration;

/// What a prompt may add to the time between two tokens of other answers.
const STEP_BESIDE_ANSWERS: Duration = Duration::from_millis(100);
/// How long a prompt that delays no one else may compute at once.
const STEP_ALONE: Duration = Duration::from_millis(500);
/// Taken before anything is known.
const FIRST_TOKENS: usize = 64;
/// Fewer cost nearly as much as these: reading the weights is what takes the time.
const LEAST_TOKENS: usize = 16;
/// How much of the estimate a new measure replaces: one part of so many.
const SMOOTHING: u32 = 4;

/// The speed at which a model reads prompts.
#[derive(Debug, Default)]
pub(super) struct PromptBudget {
    per_token: Option<Duration>,
}

impl PromptBudget {
    /// The prompt tokens of the next step.
    pub(super) fn prompt_tokens(&self, beside_answers: bool) -> usize {
        let step = if beside_answers { STEP_BESIDE_ANSWERS } else { STEP_ALONE };
        match self.per_token {
            None => FIRST_TOKENS,
            Some(per_token) => {
                let tokens = step.as_nanos() / per_token.as_nanos().max(1);
                usize::try_from(tokens).unwrap_or(usize::MAX).max(LEAST_TOKENS)
            }
        }
    }

    /// Records how long a step of so many tokens took. Small steps are no measure of prompts.
    pub(super) fn learn(&mut self, tokens: usize, took: Duration) {
        let Some(tokens) = u32::try_from(tokens).ok().filter(|&n| n as usize >= LEAST_TOKENS)
        else {
            return;
        };
        let measured = took / tokens;
        self.per_token = Some(match self.per_token {
            None => measured,
            Some(known) => (known * (SMOOTHING - 1) + measured) / SMOOTHING,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_model_reads_few_tokens_at_once() {
        let mut budget = PromptBudget::default();
        assert_eq!(budget.prompt_tokens(true), FIRST_TOKENS);
        budget.learn(64, Duration::from_millis(64 * 4));
        assert_eq!(budget.prompt_tokens(true), 25);
        assert_eq!(budget.prompt_tokens(false), 125);
        budget.learn(64, Duration::from_secs(640));
        assert_eq!(budget.prompt_tokens(true), LEAST_TOKENS);
    }

    #[test]
    fn a_fast_model_is_not_held_back() {
        let mut budget = PromptBudget::default();
        budget.learn(512, Duration::from_millis(5));
        assert!(budget.prompt_tokens(true) > 512);
        budget.learn(512, Duration::ZERO);
        assert!(budget.prompt_tokens(true) > 512);
    }

    #[test]
    fn small_steps_teach_nothing() {
        let mut budget = PromptBudget::default();
        budget.learn(1, Duration::from_secs(1));
        assert_eq!(budget.prompt_tokens(false), FIRST_TOKENS);
    }
}
