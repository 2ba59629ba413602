//! The reference model: what must come of a script, computed from the script alone. It knows targets,
//! what each sends and in what order they are called; it knows no frames, no buffers, no inputs and
//! no outputs, and shares no code with the relay.
//!
//! Where the outcome hangs on the exact moment of something, which is not the model's to know, it
//! predicts nothing, and only the promises hold.

mod hearing;

use std::collections::VecDeque;

use streamgate_core::protocol::ClientProtocol;
use streamgate_core::relay::{Exhausted, Midstream};
use streamgate_core::target::Continuation;

use super::script::{COST, RetryAfter, Script};
use super::splice::join;
use super::world::Called;
use hearing::{Next, Played, play};

/// What must come of a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// How it ends.
    pub end: End,
    /// The text of models that arrives.
    pub text: String,
    /// Every call, in order.
    pub calls: Vec<Called>,
    /// The client of a stream gets a role, because the provider sent one.
    pub role: bool,
    /// What providers reported it to cost; `None` where some of it must be an estimate.
    pub cost: Option<(u32, u32)>,
}

/// How an answer ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// A model finished it.
    Finished,
    /// No target was left, and a message is the answer.
    Message,
    /// It failed, with this status where nothing was sent.
    Failed(u16),
}

/// The longest wait for a target that asks for one, in milliseconds.
const WAIT_MS: u64 = 10_000;
/// How long a breaker is open, the first time, in milliseconds.
const COOLDOWN_MS: u64 = 10_000;
/// How often an answer is continued.
const CONTINUATIONS_MAX: u32 = 4;
/// What all deadlines of an answer must stay clear of, for the model to be sure, in milliseconds.
const TOTAL_MS: u64 = 580_000;

/// What must come of `script`; `None` where timing decides.
pub fn expect(script: &Script) -> Option<Expected> {
    Walk::new(script).walk()
}

struct Walk<'a> {
    script: &'a Script,
    pass: VecDeque<Turn>,
    again: Vec<Failed>,
    passes: u32,
    continuations: u32,
    /// Whose answer stalled: nobody is asked twice more after that.
    stalled: [bool; 3],
    breakers: [Breaker; 3],
    content: bool,
    beside_text: bool,
    text: String,
    calls: Vec<Called>,
    /// The status of the first failure, and whether that was an answer without any words.
    cause: Option<(u16, bool)>,
    role: bool,
    cost: Option<(u32, u32)>,
    now: Time,
}

/// A time as far as it is known, for a backoff has its jitter: the earliest and the latest it can
/// be, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Time {
    from: u64,
    to: u64,
}

impl Time {
    const fn plus(self, ms: u64) -> Self {
        Self { from: self.from + ms, to: self.to + ms }
    }
}

/// What is known of a target that fails.
#[derive(Clone, Copy, Debug, Default)]
struct Breaker {
    failures: u32,
    opened: u32,
    until: Time,
}

impl Breaker {
    fn fail(&mut self, now: Time, failures_max: u32) {
        self.failures += 1;
        if self.failures >= failures_max {
            self.until = self.until.max(now.plus(COOLDOWN_MS << self.opened));
            self.opened += 1;
        }
    }
}

/// A target that failed in passing.
struct Failed {
    place: usize,
    /// How long it asked to be left alone, from its answer's head on.
    asked: RetryAfter,
    /// When it was over.
    at: Time,
    /// How long after the head.
    after_head_ms: u64,
}

/// When a target is asked at the earliest, and which.
type Turn = (Time, usize);

impl<'a> Walk<'a> {
    fn new(script: &'a Script) -> Self {
        Self {
            script,
            pass: (0..script.providers.len()).map(|place| (Time::default(), place)).collect(),
            again: Vec::new(),
            passes: 0,
            continuations: 0,
            stalled: [false; 3],
            breakers: [Breaker::default(); 3],
            content: false,
            beside_text: false,
            text: String::new(),
            calls: Vec::new(),
            cause: None,
            role: false,
            cost: Some((0, 0)),
            now: Time::default(),
        }
    }

    /// Target by target, pass by pass.
    fn walk(mut self) -> Option<Expected> {
        loop {
            let Some((ready, place)) = self.pass.pop_front() else {
                if self.next_pass()? {
                    continue;
                }
                return Some(self.exhausted());
            };
            self.now = Time { from: self.now.from.max(ready.from), to: self.now.to.max(ready.to) };
            let way = self.script.providers[place].continuation;
            if self.content && way == Continuation::Stop {
                continue;
            }
            if self.is_cooling(place)? {
                continue;
            }
            if let Some(end) = self.ask(place, way)? {
                return Some(self.end(end));
            }
        }
    }

    /// Whether a target is left alone for having failed, where the time is known well enough.
    fn is_cooling(&self, place: usize) -> Option<bool> {
        let until = self.breakers[place].until;
        match (self.now.to < until.from, until.to <= self.now.from) {
            (true, _) => Some(true),
            (_, true) => Some(false),
            (false, false) => None,
        }
    }

    /// Asks one target in all the ways there are, until it is over or another's turn.
    fn ask(&mut self, place: usize, mut way: Continuation) -> Option<Option<End>> {
        let mut stream = self.script.client.stream || self.script.providers[place].local;
        let mut anew = false;
        loop {
            let continues = self.content;
            let played = self.call(place, stream, way, anew)?;
            let Some((status, next)) = played.failure else { return Some(Some(End::Finished)) };
            let cause = self.blame(status, next, played.reported);
            let local = self.script.providers[place].local;
            if next != Next::Nothing && !local {
                self.breakers[place].fail(self.now, self.script.gateway.failures_max);
            }
            if !self.content {
                match next {
                    Next::Nothing => return Some(Some(End::Failed(cause))),
                    Next::Whole if stream && !local => stream = false,
                    Next::Again(asked) => {
                        self.may_be_asked_again(place, asked, &played);
                        return Some(None);
                    }
                    Next::Whole | Next::Target => return Some(None),
                }
                continue;
            }
            if self.script.gateway.midstream == Midstream::Stop || self.beside_text {
                return Some(Some(End::Failed(cause)));
            }
            if !continues || played.content {
                self.continuations += 1;
                if self.continuations > CONTINUATIONS_MAX {
                    return Some(Some(End::Failed(cause)));
                }
                self.again.clear();
                let enough = anew || (status == 504 && self.stalled[place]);
                self.stalled[place] |= status == 504;
                if !enough && !self.pass.iter().any(|(_, other)| *other == place) {
                    self.pass.push_back((Time::default(), place));
                }
            } else if next == Next::Nothing && !anew && self.prefills(way) {
                (way, anew) = (Continuation::Ask, !self.script.gateway.instruction);
                continue;
            } else if let Next::Again(asked) = next {
                self.may_be_asked_again(place, asked, &played);
            }
            return Some(None);
        }
    }

    /// Whether the answer so far is the last message.
    fn prefills(&self, way: Continuation) -> bool {
        way == Continuation::Prefill || !self.script.gateway.instruction
    }

    /// The first failure counts; a provider's own words do before an answer without any.
    fn blame(&mut self, status: u16, next: Next, reported: bool) -> u16 {
        let silent = self.cause.is_none_or(|(_, silent)| silent && reported);
        if silent {
            self.cause = Some((status, next == Next::Whole));
        }
        self.cause.map_or(status, |(status, _)| status)
    }

    fn may_be_asked_again(&mut self, place: usize, asked: RetryAfter, played: &Played) {
        let after_head_ms = played.refusing_ms;
        self.again.push(Failed { place, asked, at: self.now, after_head_ms });
    }

    /// One call, and what it adds to the answer.
    fn call(
        &mut self,
        place: usize,
        stream: bool,
        way: Continuation,
        anew: bool,
    ) -> Option<Played> {
        // What is not how the truth begins, nobody gives anew.
        if anew && !self.script.truth.starts_with(&self.text) {
            return None;
        }
        let provider = &self.script.providers[place];
        let nth = self.calls.iter().filter(|called| called.place == place).count();
        let continues = self.content;
        self.calls.push(Called { place, stream, continues: continues && !anew });
        let delivered = continues.then_some(if anew { "" } else { self.text.as_str() });
        let prefilled = continues && !anew && self.prefills(way);
        let played = if provider.rejects_prefill && prefilled && !provider.local {
            Played { reported: true, ..Played::failed(0, 400, Next::Nothing) }
        } else {
            play(provider, nth, stream, delivered, self.script.truth)
        };
        let hedge = self.script.gateway.hedge_after_ms;
        if hedge > 0 && played.silent_ms >= hedge {
            return None;
        }
        // One that ends, or calls a tool, before all is repeated is another answer.
        let to_seam = played.text_before_tool.unwrap_or(played.text.len());
        let ends = played.failure.is_none() || played.text_before_tool.is_some();
        if anew && ends && to_seam < self.text.len() {
            return None;
        }
        self.now = self.now.plus(played.took_ms);
        if self.now.to > TOTAL_MS {
            return None;
        }
        self.add(&played, continues, anew);
        Some(played)
    }

    fn add(&mut self, played: &Played, continues: bool, anew: bool) {
        if played.cost {
            self.cost = self.cost.map(|(input, output)| (input + COST.0, output + COST.1));
        } else if played.content || played.failure.is_none() {
            self.cost = None;
        }
        if played.content {
            self.role |= !self.content && played.role;
            self.content = true;
            self.beside_text = played.beside_text;
        }
        // What a tool call follows is no repetition any more.
        let at_seam = played.text_before_tool.unwrap_or(played.text.len());
        let (head, rest) = played.text.split_at(if continues { at_seam } else { 0 });
        let finished = played.failure.is_none() || played.text_before_tool.is_some();
        let new = match anew {
            true => head.len().saturating_sub(self.text.len()),
            false => join(&self.text, head, finished).len(),
        };
        self.text.push_str(&head[head.len() - new..]);
        self.text.push_str(rest);
    }

    /// Whether those that failed in passing are asked again.
    fn next_pass(&mut self) -> Option<bool> {
        let passes = self.passes;
        self.passes += 1;
        if passes >= self.script.gateway.retries {
            return Some(false);
        }
        let backoff = 250 << passes;
        let now = self.now;
        let mut turns: Vec<Turn> = Vec::new();
        for failed in std::mem::take(&mut self.again) {
            let Failed { place, asked, at, after_head_ms } = failed;
            let asked_ms = match asked {
                RetryAfter::Unsaid => {
                    turns
                        .push((Time { from: now.from + backoff / 2, to: now.to + backoff }, place));
                    continue;
                }
                RetryAfter::Seconds(seconds) => seconds * 1000,
                RetryAfter::Millis(ms) => ms,
                // Held against the time of the answer, which may be known too badly to tell.
                RetryAfter::Date(_) if at.from < at.to => return None,
                RetryAfter::Date(seconds) => {
                    (seconds * 1000).saturating_sub(at.from - after_head_ms)
                }
            };
            let asked_ms = asked_ms.saturating_sub(after_head_ms);
            if asked_ms <= WAIT_MS {
                turns.push((at.plus(asked_ms), place));
            }
        }
        turns.sort_unstable();
        let is_open = |pair: &[Turn]| pair[1].0.from <= pair[0].0.to && pair[0].0 != pair[1].0;
        if turns.windows(2).any(is_open) {
            return None;
        }
        self.pass = turns.into();
        Some(!self.pass.is_empty())
    }

    fn exhausted(self) -> Expected {
        let by_protocol = match self.script.client.protocol {
            ClientProtocol::Token => Exhausted::Message,
            _ => Exhausted::Error,
        };
        let message = self.script.gateway.exhausted.unwrap_or(by_protocol) == Exhausted::Message;
        let failed = End::Failed(self.cause.map_or(500, |(status, _)| status));
        let silent = !self.content;
        self.end(if message && silent { End::Message } else { failed })
    }

    fn end(self, end: End) -> Expected {
        let Self { text, calls, role, cost, .. } = self;
        Expected { end, text, calls, role, cost }
    }
}
