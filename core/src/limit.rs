//! The token-limit policy: the smallest of what the request, the plan, the model and the context
//! allow, never below 1, and which of them it was.

use std::fmt;

pub mod catalogue;
pub mod refusal;

/// What an unknown model is trusted with, in tokens.
pub const UNKNOWN_MODEL_MAX_OUTPUT: u32 = 4096;

/// What bounds an answer, each in tokens and each optional.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// What the client asked for.
    pub requested: Option<u32>,
    /// What the user's plan allows.
    pub plan: Option<u32>,
    /// What the model can, by the configuration or the catalogue.
    pub model: Option<u32>,
    /// What the provider said it can when it refused more.
    pub learned: Option<u32>,
    /// The context window.
    pub context_window: Option<u32>,
    /// The prompt's length; counts only beside a context window.
    pub input: u32,
}

/// Which term decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Term {
    /// What the client asked for.
    Requested,
    /// The user's plan.
    Plan,
    /// The model's own limit.
    Model,
    /// The limit a provider told us.
    Learned,
    /// What the prompt leaves of the context window.
    Context,
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Requested => "requested",
            Self::Plan => "plan",
            Self::Model => "model",
            Self::Learned => "learned",
            Self::Context => "context",
        })
    }
}

/// The longest answer to ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Tokens, at least 1.
    pub max_output: u32,
    /// Which term decided; the first of them where several are equal.
    pub term: Term,
}

impl Terms {
    /// The smallest term; `None` where nothing bounds the answer.
    pub fn limit(&self) -> Option<Limit> {
        let context = self.context_window.map(|window| window.saturating_sub(self.input));
        [
            (self.requested, Term::Requested),
            (self.plan, Term::Plan),
            (self.model, Term::Model),
            (self.learned, Term::Learned),
            (context, Term::Context),
        ]
        .into_iter()
        .filter_map(|(tokens, term)| Some(Limit { max_output: tokens?.max(1), term }))
        .min_by_key(|limit| limit.max_output)
    }

    /// Whether anybody asked for a bound: the client, its plan or a refusal. Where nobody did, the
    /// provider's own default is the better limit than the largest it would accept.
    pub fn is_asked(&self) -> bool {
        self.requested.is_some() || self.plan.is_some() || self.learned.is_some()
    }
}

/// Tokens in a text of so many bytes, at a guess that errs upwards: text and code of most languages
/// have three bytes or more to a token.
pub fn estimate_tokens(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(3)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// requested, plan, model, learned, window, input -> limit and term
    type Row = ([Option<u32>; 5], u32, Option<(u32, Term)>);

    #[test]
    fn the_smallest_term_wins_and_is_named() {
        let rows: &[Row] = &[
            ([None, Some(8000), Some(4096), None, None], 0, Some((4096, Term::Model))),
            (
                [Some(8000), None, Some(UNKNOWN_MODEL_MAX_OUTPUT), None, None],
                0,
                Some((4096, Term::Model)),
            ),
            ([Some(100), Some(8000), Some(4096), None, None], 0, Some((100, Term::Requested))),
            ([Some(9000), Some(2000), Some(4096), None, None], 0, Some((2000, Term::Plan))),
            ([Some(32000), None, Some(65536), Some(28672), None], 0, Some((28672, Term::Learned))),
            ([Some(4000), None, Some(4096), None, Some(8192)], 8000, Some((192, Term::Context))),
            ([Some(4000), None, None, None, Some(8192)], 9000, Some((1, Term::Context))),
            ([Some(0), None, None, None, None], 0, Some((1, Term::Requested))),
            ([Some(7), Some(7), Some(7), Some(7), Some(7)], 0, Some((7, Term::Requested))),
            ([None; 5], 50, None),
        ];
        for ([requested, plan, model, learned, context_window], input, expected) in
            rows.iter().copied()
        {
            let terms = Terms { requested, plan, model, learned, context_window, input };
            let limit = terms.limit().map(|limit| (limit.max_output, limit.term));
            assert_eq!(limit, expected, "{terms:?}");
        }
    }

    #[test]
    fn an_answer_nobody_bounded_is_left_to_the_provider() {
        assert!(!Terms { model: Some(4096), ..Terms::default() }.is_asked());
        assert!(Terms { plan: Some(1), ..Terms::default() }.is_asked());
    }
}
