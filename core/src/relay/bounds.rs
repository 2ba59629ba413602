//! What bounds an attempt's answer, and what the refusals of this answer's targets add to it.
//!
//! A target that refuses a request for too many tokens states its limit. That is learned, and the
//! target is called again at once within it: once, and for less than before, so that a provider that
//! contradicts itself is not called for ever. A conversation that is too long for one target goes to
//! those with a larger window.

use super::Relay;
use super::attempt::Attempt;
use super::continuation::Way;
use crate::access::Caller;
use crate::chat::ChatRequest;
use crate::failure::{Failure, Overflow, Reason};
use crate::limit::known::Known;
use crate::limit::learned::LearnedLimit;
use crate::limit::refusal::{self, StatedLimits};
use crate::limit::{Length, Terms, tokens};
use crate::target::Target;

/// What an answer so short is still worth asking for, in tokens, when a provider stopped counting
/// the conversation before its end.
const ANSWER_MIN: u32 = 1024;

pub(super) struct Bounds {
    /// The request's length.
    input: Length,
    /// Its length as counted by the target that is called again.
    counted: Option<Length>,
    /// The largest window that the conversation was too long for.
    overflow: Option<Overflow>,
    /// What was learned.
    learned: Vec<LearnedLimit>,
}

impl Bounds {
    pub(super) fn new(request: &ChatRequest) -> Self {
        let input = tokens::of_request(request);
        Self { input, counted: None, overflow: None, learned: Vec::new() }
    }

    /// How many tokens the request is likely to be.
    pub(super) fn input_tokens(&self) -> u32 {
        self.input.likely
    }

    /// The length to call the refusing target again with, if the next call is that one.
    pub(super) fn take_retry(&mut self) -> Option<Length> {
        self.counted.take()
    }

    /// The limits learned since the last call.
    pub(super) fn take_learned(&mut self) -> Vec<LearnedLimit> {
        std::mem::take(&mut self.learned)
    }

    /// Whether the target may have room for the conversation.
    pub(super) fn admit(&self, target: &Target, terms: &Terms) -> Result<(), Failure> {
        terms.fits().map_err(|overflow| Failure::too_long(overflow, false))?;
        let windows = [terms.context_window, terms.max_input];
        match (self.overflow, windows.into_iter().flatten().min()) {
            (Some(tried), Some(window)) if window <= tried.window => {
                let failure = Failure::from(Reason::ContextLength);
                let detail = format!("{target} has no larger window than one that was too small.");
                Err(Failure { detail, overflow: Some(Overflow { window, ..tried }), ..failure })
            }
            _ => Ok(()),
        }
    }

    fn note_overflow(&mut self, overflow: Overflow) {
        if self.overflow.is_none_or(|known| known.window < overflow.window) {
            self.overflow = Some(overflow);
        }
    }

    pub(super) fn note_learned(&mut self, row: LearnedLimit) {
        let same =
            |known: &LearnedLimit| (&known.endpoint, &known.model) == (&row.endpoint, &row.model);
        self.learned.retain(|known| !same(known));
        self.learned.push(row);
    }
}

impl Relay {
    /// What bounds an answer of this target. One that is given anew is as long as a first one.
    pub(super) fn terms(&self, target: &Target, continues: Option<Way>) -> Terms {
        let job = &self.job;
        let learned =
            job.learned.find(&target.provider.base_url, &target.model, self.unix_seconds());
        let [delivered, instruction] = match continues.is_some_and(Way::includes_answer) {
            false => [Length::default(); 2],
            true => [self.delivered.tokens(0, 0), tokens::of_text(&job.fallback.instruction)],
        };
        let plan = job.caller.as_ref().and_then(Caller::max_output_tokens);
        // What a plan allows is for all answers to a request together.
        let plan = plan.map(|tokens| tokens / self.copies(target));
        Terms {
            input: self.bounds.input.plus(delivered).plus(instruction),
            delivered: delivered.high,
            ..Known::of(target, learned.as_ref()).terms(job.request.max_output_tokens, plan)
        }
    }

    /// How many answers this target is asked for at once: only its own protocol can ask for more
    /// than one.
    pub(super) fn copies(&self, target: &Target) -> u32 {
        let original = self.job.request.original.as_ref();
        let sent = original.filter(|_| self.job.client.is_spoken_by(target.provider.upstream));
        sent.map_or(1, |original| original.copies)
    }

    /// Learns the limits that a failed attempt states, and makes the failure one of limits. `true`: the
    /// target is to be called again at once.
    pub(super) fn apply_limits(&mut self, attempt: &Attempt, failure: &mut Failure) -> bool {
        if let Some(overflow) = failure.overflow {
            self.bounds.note_overflow(overflow);
        }
        let Some(refusal) = stated_limits(attempt, failure) else { return false };
        if refusal.is_overflow() {
            self.learn(&attempt.plan.target, &refusal);
            self.apply_overflow(&attempt.plan.limits.terms, &refusal, failure);
            return false;
        }
        let detail = failure.message();
        *failure = Failure::new(Reason::TooManyTokens, detail).at("max_tokens");
        let shorter =
            |limit: u32| attempt.plan.limits.max_output().is_none_or(|asked| limit < asked);
        if attempt.plan.is_retry || !refusal.max_output.is_none_or(shorter) {
            return false;
        }
        self.learn(&attempt.plan.target, &refusal);
        let terms = self.terms(&attempt.plan.target, attempt.plan.continues);
        let input = counted(&refusal, terms.input);
        let limit = Terms { input, ..terms }.limit();
        let again = limit.is_some_and(|limit| shorter(limit.max_output));
        self.bounds.counted = again.then_some(input);
        again
    }

    /// The provider's own text stays, to be quoted. A number that it does not state is the estimate's
    /// or the catalogue's: clients look for both.
    fn apply_overflow(&mut self, terms: &Terms, refusal: &StatedLimits, failure: &mut Failure) {
        let stated = refusal.context_window.or(refusal.max_input);
        let window = stated.or(terms.max_input).or(terms.context_window);
        let said = refusal.input.or(refusal.input_min);
        let overflow = window.map(|window| {
            let input = said.unwrap_or_else(|| terms.input.likely.max(window.saturating_add(1)));
            Overflow { input, window }
        });
        if let Some(overflow) = overflow.filter(|_| stated.is_some()) {
            self.bounds.note_overflow(overflow);
        }
        let original = failure.original.take();
        let too_long = match (overflow, said) {
            (Some(overflow), Some(_)) => Failure::too_long(overflow, refusal.input.is_some()),
            _ => Failure::new(Reason::ContextLength, failure.message()).at("messages"),
        };
        *failure = Failure { original, overflow, ..too_long };
    }

    fn learn(&mut self, target: &Target, refusal: &StatedLimits) {
        let stated = [refusal.max_output, refusal.context_window, refusal.max_input];
        if stated.iter().any(Option::is_some) {
            let (endpoint, now) = (&target.provider.base_url, self.unix_seconds());
            let row = self.job.learned.note(endpoint, &target.model, refusal, now);
            self.bounds.note_learned(row);
        }
    }

    pub(super) fn unix_seconds(&self) -> u64 {
        (self.job.unix_began + self.now.since(self.began)).as_secs()
    }
}

/// The limits that a failure states: in its message, or elsewhere in the provider's error body.
fn stated_limits(attempt: &Attempt, failure: &Failure) -> Option<StatedLimits> {
    let may = matches!(failure.reason, Reason::Rejected | Reason::InBand | Reason::ServerError);
    if !may || attempt.reading.content {
        return None;
    }
    let body = failure.original.as_ref().map_or(&[][..], |original| &original.body);
    let in_body =
        || refusal::read(&String::from_utf8_lossy(body), attempt.plan.limits.max_output());
    let first = refusal::read(&failure.detail, attempt.plan.limits.max_output());
    first.filter(states_limit).or_else(in_body).or(first)
}

/// Whether the message states a limit, so that the rest of the error body need not be read.
fn states_limit(refusal: &StatedLimits) -> bool {
    refusal.max_output.is_some() || refusal.context_window.is_some() || refusal.max_input.is_some()
}

/// The conversation's length as a target counted it; where it stopped counting, as estimated, as
/// long as that leaves room for an answer.
fn counted(refusal: &StatedLimits, estimated: Length) -> Length {
    let window = refusal.context_window.unwrap_or(u32::MAX);
    match (refusal.input, refusal.input_min) {
        (Some(input), _) => input.into(),
        (None, Some(min)) if estimated.high >= window => {
            min.max(window.saturating_sub(ANSWER_MIN)).into()
        }
        (None, Some(min)) => min.max(estimated.high).into(),
        (None, None) => estimated,
    }
}
