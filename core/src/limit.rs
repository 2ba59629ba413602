//! The token-limit policy: the smallest of what the request, the plan, the model and the context
//! allow, never below 1, and which of them it was.

use std::fmt;

use crate::failure::Overflow;

mod bytes;
pub mod catalogue;
pub mod known;
pub mod learned;
pub mod parameter;
pub mod refusal;
pub mod tokens;

pub use bytes::ByteLimits;

/// What an unknown model is trusted with, in tokens, where the client names no limit of its own or
/// a plan binds it.
pub const UNKNOWN_MODEL_MAX_OUTPUT: u32 = 4096;

/// How much room an answer must be sure to have before the context window is let shorten it to
/// that room, in tokens. With less the estimate is not trusted: see [`Terms::limit`].
const ROOM_SURE_MIN: u32 = 1024;

/// What bounds an answer, each in tokens and each optional.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// The client's limit.
    pub requested: Option<u32>,
    /// What the user's plan allows.
    pub plan: Option<u32>,
    /// What the model can, by the configuration or the catalogue.
    pub model: Option<u32>,
    /// The limit in a provider's rejection.
    pub learned: Option<u32>,
    /// What prompt and answer share.
    pub context_window: Option<u32>,
    /// Whether the window is from a provider's rejection.
    pub window_learned: bool,
    /// The longest prompt, where that is capped apart.
    pub max_input: Option<u32>,
    /// The prompt's length.
    pub input: Length,
    /// What the client has been given of the answer already: the rest of it may be that much
    /// shorter than the client and its plan allow.
    pub delivered: u32,
}

/// How long a text is, in tokens, for whichever tokenizer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Length {
    /// Not less than this, but for one text in a hundred.
    pub low: u32,
    /// What it is likely to be.
    pub likely: u32,
    /// Not more than this, but for one text in a hundred.
    pub high: u32,
}

/// Which term decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Term {
    /// The client's limit.
    Requested,
    /// The user's plan.
    Plan,
    /// The model's own limit.
    Model,
    /// The limit in a provider's rejection.
    Learned,
    /// What the prompt leaves of the context window.
    Context,
}

impl Term {
    /// Its name in a log line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Plan => "plan",
            Self::Model => "model",
            Self::Learned => "learned",
            Self::Context => "context",
        }
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
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
    ///
    /// The context window leaves what the longest estimate of the prompt leaves of it. Where that is
    /// less than `ROOM_SURE_MIN` and less than what is wanted, an estimate would cut an answer
    /// short that may have all the room it needs: then the shortest estimate counts, for a provider
    /// that finds it too much states its limit, and is asked again within that.
    pub fn limit(&self) -> Option<Limit> {
        let rest = |allowed: u32| allowed.saturating_sub(self.delivered);
        let wanted = [
            (self.requested.map(rest), Term::Requested),
            (self.plan.map(rest), Term::Plan),
            (self.model, Term::Model),
            (self.learned, Term::Learned),
        ];
        let wanted = smallest(wanted);
        let room = self.room(wanted.map_or(u32::MAX, |limit| limit.max_output));
        let context = smallest([(room, Term::Context)]);
        wanted.into_iter().chain(context).min_by_key(|limit| limit.max_output)
    }

    fn room(&self, wanted: u32) -> Option<u32> {
        let window = self.context_window?;
        let sure = window.saturating_sub(self.input.high);
        if sure >= wanted.min(ROOM_SURE_MIN) {
            return Some(sure);
        }
        Some(window.saturating_sub(self.input.low))
    }

    /// Whether the prompt may fit: one that is too long by the shortest estimate is not sent at all.
    pub fn fits(&self) -> Result<(), Overflow> {
        let input = self.input.low;
        let too_long = |window: &u32| input > *window;
        let capped = self.max_input.filter(too_long);
        // One token of the window is the answer's.
        let full = self.context_window.filter(|window| input >= *window);
        match capped.into_iter().chain(full).min() {
            Some(window) => Err(Overflow { input, window }),
            None => Ok(()),
        }
    }

    /// Whether a limit has to be sent: because the client, its plan or a rejection sets one. Where
    /// none does, the provider's own default is a better limit than the largest it would accept.
    pub fn need_limit(&self) -> bool {
        let by_window = || self.limit().is_some_and(|limit| limit.term == Term::Context);
        self.requested.is_some()
            || self.plan.is_some()
            || self.learned.is_some()
            || (self.window_learned && by_window())
    }
}

/// The first of the smallest.
fn smallest(terms: impl IntoIterator<Item = (Option<u32>, Term)>) -> Option<Limit> {
    terms
        .into_iter()
        .filter_map(|(tokens, term)| Some(Limit { max_output: tokens?.max(1), term }))
        .min_by_key(|limit| limit.max_output)
}

impl Length {
    /// The length of two texts, one after the other.
    pub fn plus(self, other: Self) -> Self {
        Self {
            low: self.low.saturating_add(other.low),
            likely: self.likely.saturating_add(other.likely),
            high: self.high.saturating_add(other.high),
        }
    }
}

impl From<u32> for Length {
    /// What was counted.
    fn from(counted: u32) -> Self {
        Self { low: counted, likely: counted, high: counted }
    }
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
            let input = Length::from(input);
            let terms = Terms {
                requested,
                plan,
                model,
                learned,
                context_window,
                input,
                ..Terms::default()
            };
            let limit = terms.limit().map(|limit| (limit.max_output, limit.term));
            assert_eq!(limit, expected, "{terms:?}");
        }
    }

    #[test]
    fn an_answer_nobody_bounded_is_left_to_the_provider() {
        assert!(!Terms { model: Some(4096), ..Terms::default() }.need_limit());
        assert!(Terms { plan: Some(1), ..Terms::default() }.need_limit());
    }
    /// Each row: low, high, window, requested -> limit.
    #[test]
    fn an_estimate_does_not_cut_an_answer_short_that_may_have_room() {
        let rows = [
            (100, 300, 8192, 4000, 4000),
            (2000, 6000, 8192, 4000, 2192),
            (2000, 7000, 8192, 500, 500),
            (2000, 7300, 8192, 4000, 4000),
            (5000, 15000, 8192, 4000, 3192),
            (8191, 30000, 8192, 4000, 1),
        ];
        for (low, high, window, requested, expected) in rows {
            let terms = Terms {
                requested: Some(requested),
                context_window: Some(window),
                input: Length { low, likely: low, high },
                ..Terms::default()
            };
            assert_eq!(terms.limit().map(|limit| limit.max_output), Some(expected), "{terms:?}");
            assert_eq!(terms.fits(), Ok(()), "{terms:?}");
        }
    }

    #[test]
    fn what_was_delivered_counts_against_what_is_allowed_and_not_against_the_model() {
        let terms = Terms {
            requested: Some(3000),
            plan: Some(2500),
            model: Some(600),
            delivered: 1000,
            ..Terms::default()
        };
        assert_eq!(terms.limit(), Some(Limit { max_output: 600, term: Term::Model }));
        let terms = Terms { delivered: 2000, ..terms };
        assert_eq!(terms.limit(), Some(Limit { max_output: 500, term: Term::Plan }));
        let terms = Terms { delivered: 2500, ..terms };
        assert_eq!(terms.limit(), Some(Limit { max_output: 1, term: Term::Plan }));
    }

    /// Each row: low, window, longest prompt -> what is too long for what.
    #[test]
    fn what_is_too_long_by_the_shortest_estimate_does_not_fit() {
        let rows = [
            (8191, Some(8192), None, None),
            (8192, Some(8192), None, Some((8192, 8192))),
            (272_000, Some(400_000), Some(272_000), None),
            (272_001, Some(400_000), Some(272_000), Some((272_001, 272_000))),
            (500_000, Some(400_000), Some(272_000), Some((500_000, 272_000))),
            (u32::MAX, None, None, None),
        ];
        for (low, context_window, max_input, expected) in rows {
            let input = Length { low, likely: low, high: u32::MAX };
            let terms = Terms { context_window, max_input, input, ..Terms::default() };
            let overflow = terms.fits().err().map(|overflow| (overflow.input, overflow.window));
            assert_eq!(overflow, expected, "{terms:?}");
        }
    }

    #[test]
    fn a_window_the_provider_told_us_is_kept_even_if_nobody_asks() {
        let terms = Terms {
            model: Some(4096),
            context_window: Some(8192),
            input: Length::from(6000),
            ..Terms::default()
        };
        assert!(!terms.need_limit());
        assert!(Terms { window_learned: true, ..terms }.need_limit());
        let short = Terms { window_learned: true, input: Length::from(60), ..terms };
        assert!(!short.need_limit());
    }
}
