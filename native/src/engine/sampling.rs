//! Chooses the next token from the model's logits.

use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::sampling::LlamaSampler;
use llama_cpp_2::token::LlamaToken;
use streamgate_core::chat::Sampling;

const TEMPERATURE: f32 = 0.8;
const TOP_K: u32 = 40;
const TOP_P: f32 = 0.95;
/// Drops tokens that are this much less likely than the likeliest.
const MIN_P: f32 = 0.05;
/// llama.cpp takes this seed as "any".
const SEED_OF_CHANCE: u32 = u32::MAX;

/// The state of one answer's choices.
#[derive(Debug)]
pub(super) enum Sampler {
    /// The likeliest token; needs no state and no copy of the logits.
    Greedy,
    /// A chain of llama.cpp's samplers.
    Chain(LlamaSampler),
}

impl Sampler {
    /// `memory` is how many tokens back the penalties look.
    pub(super) fn new(sampling: &Sampling, vocabulary: i32, memory: u32) -> Self {
        let temperature = finite(sampling.temperature).unwrap_or(TEMPERATURE);
        let mut chain = Vec::new();
        chain.extend(penalties(sampling, vocabulary, memory));
        if temperature <= 0.0 {
            if chain.is_empty() {
                return Self::Greedy;
            }
            chain.push(LlamaSampler::greedy());
            return Self::Chain(LlamaSampler::chain(chain, true));
        }
        let top_k = sampling.top_k.unwrap_or(TOP_K);
        if top_k > 0 {
            chain.push(LlamaSampler::top_k(i32::try_from(top_k).unwrap_or(i32::MAX)));
        }
        let top_p = finite(sampling.top_p).unwrap_or(TOP_P).clamp(0.0, 1.0);
        chain.push(LlamaSampler::top_p(top_p, 1));
        chain.push(LlamaSampler::min_p(MIN_P, 1));
        chain.push(LlamaSampler::temp(temperature));
        chain.push(LlamaSampler::dist(seed(sampling.seed)));
        Self::Chain(LlamaSampler::chain(chain, true))
    }

    /// Chooses from the logits at `index` of the batch just decoded, which must be one that
    /// logits were asked for. None if the model computed something that is not a number.
    pub(super) fn next(&mut self, context: &LlamaContext<'_>, index: i32) -> Option<LlamaToken> {
        let logits = context.get_logits_ith(index);
        match self {
            Self::Greedy => likeliest(logits),
            Self::Chain(_) if logits.iter().any(|logit| logit.is_nan()) => None,
            Self::Chain(chain) => Some(chain.sample(context, index)),
        }
    }
}

fn penalties(sampling: &Sampling, vocabulary: i32, memory: u32) -> Option<LlamaSampler> {
    let frequency = finite(sampling.frequency_penalty).unwrap_or(0.0);
    let presence = finite(sampling.presence_penalty).unwrap_or(0.0);
    let memory = i32::try_from(memory).unwrap_or(i32::MAX);
    (frequency != 0.0 || presence != 0.0)
        .then(|| LlamaSampler::penalties(vocabulary, memory, 1.0, frequency, presence))
}

#[allow(clippy::cast_possible_truncation, reason = "a sampler's numbers are small")]
fn finite(value: Option<f64>) -> Option<f32> {
    value.map(|value| value as f32).filter(|value| value.is_finite())
}

/// The seed asked for, or one from the operating system. llama.cpp's have 32 bits.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "equal stay equal")]
fn seed(asked: Option<i64>) -> u32 {
    match asked.map(|seed| seed as u32) {
        Some(SEED_OF_CHANCE) => 0,
        Some(seed) => seed,
        None => getrandom::u32().unwrap_or(SEED_OF_CHANCE),
    }
}

/// The first of the greatest logits; none if any is not a number.
fn likeliest(logits: &[f32]) -> Option<LlamaToken> {
    let greatest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    if logits.iter().any(|logit| logit.is_nan()) {
        return None;
    }
    let index = logits.iter().position(|&logit| logit == greatest)?;
    i32::try_from(index).ok().map(LlamaToken::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_likeliest_is_the_first_of_the_greatest() {
        assert_eq!(likeliest(&[0.0, 3.0, 3.0, -1.0]), Some(LlamaToken::new(1)));
        assert_eq!(likeliest(&[f32::NEG_INFINITY]), Some(LlamaToken::new(0)));
    }

    #[test]
    fn no_token_is_chosen_from_what_is_not_a_number() {
        assert_eq!(likeliest(&[1.0, f32::NAN]), None);
        assert_eq!(likeliest(&[]), None);
    }

    #[test]
    fn temperature_zero_needs_no_chain_unless_there_are_penalties() {
        let cold = Sampling { temperature: Some(0.0), ..Sampling::default() };
        assert!(matches!(Sampler::new(&cold, 8, 8), Sampler::Greedy));
        let penalised = Sampling { presence_penalty: Some(0.5), ..cold };
        assert!(matches!(Sampler::new(&penalised, 8, 8), Sampler::Chain(_)));
    }

    #[test]
    fn values_that_are_not_numbers_are_the_usual() {
        let odd = Sampling {
            temperature: Some(f64::NAN),
            top_p: Some(f64::INFINITY),
            frequency_penalty: Some(f64::NAN),
            ..Sampling::default()
        };
        assert!(matches!(Sampler::new(&odd, 8, 8), Sampler::Chain(_)));
    }
}
