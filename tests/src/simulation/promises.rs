//! The six promises as assertions on every step of a run and on what came of it. They hold whatever
//! the script is; what exactly must come out of it is the model's to compute.

use streamgate_core::answer::{Head, Timer};
use streamgate_core::failure::Reason;
use streamgate_core::protocol::ClientProtocol;
use streamgate_core::relay::{AttemptId, Call, End, Settlement};
use streamgate_core::relay::{Exhausted, Midstream};
use streamgate_core::target::Continuation;
use streamgate_core::time::Instant;

use super::provider::Asked;
use super::reader::Read;
use super::script::{Answer, COST, CallScript, Frame, Provider, Script, Then};
use super::world::{Outcome, place};

/// What a message costs beside its text, at most, in tokens.
const MESSAGE_TOKENS_MAX: u32 = 16;
/// When a waiting client gets a head at the latest.
const HEAD: Instant = Instant::from_millis(10_000);
/// When every answer is over at the latest.
const TOTAL: Instant = Instant::from_millis(600_000);

/// Watches a run.
pub struct Promises<'a> {
    script: &'a Script,
    live: Vec<AttemptId>,
    calls: usize,
    /// The text that a call was to continue, or that it had none; checked when the client
    /// has been given everything from before it.
    told: Option<Option<String>>,
    /// Each target's last call, and how far that is from beginning anew.
    last: [Option<(AttemptId, Prefill)>; 3],
    head: Option<(Instant, u16)>,
    /// Some provider has sent content.
    content: bool,
    /// Whose input is taken in, and whether another was stopped on it.
    acting: Option<AttemptId>,
    unfair: Option<AttemptId>,
    left: bool,
    settled: bool,
}

/// Whether a call ends with the answer so far, and what came of that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Prefill {
    Without,
    Sent,
    Rejected,
}

type Kept = Result<(), String>;

/// The error is what was promised, unless it was kept.
fn promise(kept: bool, what: impl FnOnce() -> String) -> Kept {
    if kept { Ok(()) } else { Err(what()) }
}

impl<'a> Promises<'a> {
    /// Watches a run of this script.
    pub fn new(script: &'a Script) -> Self {
        Self {
            script,
            live: Vec::new(),
            calls: 0,
            told: None,
            last: [None; 3],
            head: None,
            content: false,
            acting: None,
            unfair: None,
            left: false,
            settled: false,
        }
    }

    /// The client left.
    pub fn left(&mut self) {
        self.left = true;
    }

    /// A call's input is taken in.
    pub fn acts(&mut self, attempt: AttemptId) {
        self.acting = Some(attempt);
    }

    /// A provider has sent content.
    pub fn content(&mut self) {
        self.content = true;
    }

    /// A call ended by itself.
    pub fn ended(&mut self, attempt: AttemptId) {
        self.live.retain(|live| *live != attempt);
    }

    /// A call is made.
    pub fn called(&mut self, call: &Call, asked: &Asked, outcome: &Outcome) -> Kept {
        self.not_settled("a call")?;
        promise(!self.left, || "a call after the client left".into())?;
        promise(!self.live.contains(&call.attempt), || "an attempt's name comes twice".into())?;
        self.live.push(call.attempt);
        self.calls += 1;
        let together = if self.script.gateway.hedge_after_ms > 0 { 2 } else { 1 };
        promise(self.live.len() <= together, || format!("{} calls at once", self.live.len()))?;
        promise(asked.stream == call.stream, || "the call asks for another form".into())?;
        self.may_go_on(call, asked, outcome)?;
        let anew = asked.delivered().is_none() && !outcome.read.text.is_empty();
        let prefill = if asked.ends_in_prefill() { Prefill::Sent } else { Prefill::Without };
        self.last[place(call)] = Some((call.attempt, prefill));
        // Who wants a whole answer has been given nothing yet.
        let is_told = self.script.client.stream && !anew;
        self.told = is_told.then(|| asked.delivered().map(str::to_owned));
        self.allowed(call, asked)
    }

    /// The head of a call's response came.
    pub fn answered(&mut self, attempt: AttemptId, status: u16) {
        let rejected = (attempt, Prefill::Sent);
        let mut last = self.last.iter_mut().flatten().filter(|last| **last == rejected);
        if let Some((_, prefill)) = last.next()
            && matches!(status, 400 | 413 | 422)
        {
            *prefill = Prefill::Rejected;
        }
    }

    /// Goes on only where both the operator and the provider have it so; begins anew after content
    /// only with a target whose own last call was rejected with the answer so far as the last message.
    fn may_go_on(&self, call: &Call, asked: &Asked, outcome: &Outcome) -> Kept {
        if asked.delivered().is_none() {
            let rejected =
                self.last[place(call)].is_some_and(|(_, last)| last == Prefill::Rejected);
            let may = outcome.read.text.is_empty() || rejected;
            return promise(may, || "begun anew after content".into());
        }
        let continuation = self.script.providers[place(call)].continuation;
        let may = self.script.gateway.midstream == Midstream::Continue
            && continuation != Continuation::Stop;
        promise(may, || "continued where nobody should".into())
    }

    /// Promise 5: the smallest of what the client and the model allow, less what was delivered: at
    /// most a token for each byte of it and for the frame of its message, at least one for eight.
    fn allowed(&self, call: &Call, asked: &Asked) -> Kept {
        let model = self.script.providers[place(call)].max_tokens.unwrap_or(u32::MAX);
        let less = |spent: u32| {
            let wanted = self.script.client.max_tokens?;
            Some(wanted.saturating_sub(spent).max(1).min(model))
        };
        let (least, most) = match asked.delivered().map(str::len) {
            None => (less(0), less(0)),
            Some(bytes) => {
                (less(bytes as u32 + MESSAGE_TOKENS_MAX), less(bytes.div_ceil(8) as u32))
            }
        };
        promise((least..=most).contains(&asked.max_tokens), || {
            format!(
                "asked for {:?} tokens where {least:?} to {most:?} are allowed",
                asked.max_tokens
            )
        })
    }

    /// A call is stopped.
    pub fn cancelled(&mut self, attempt: AttemptId) -> Kept {
        self.not_settled("a cancel")?;
        let is_live = self.live.contains(&attempt);
        self.ended(attempt);
        if self.acting.is_some_and(|acting| acting != attempt) && !self.content {
            self.unfair = Some(attempt);
        }
        promise(is_live, || format!("cancelled {attempt}, which is over"))
    }

    /// A call is let go.
    pub fn released(&mut self, attempt: AttemptId) -> Kept {
        self.cancelled(attempt)
    }

    /// The response begins.
    pub fn head(&mut self, now: Instant, head: &Head) -> Kept {
        self.not_settled("a head")?;
        promise(self.head.is_none(), || "a second head".into())?;
        self.head = Some((now, head.status));
        Ok(())
    }

    /// The client gets bytes.
    pub fn body(&mut self, bytes: &[u8], read: &mut Read) -> Kept {
        self.not_settled("a body")?;
        let (_, status) = self.head.ok_or("a body before its head")?;
        if self.script.client.stream && status == 200 {
            read.stream(self.script.client.protocol, bytes)
        } else {
            promise(!read.done && !read.error, || "a whole answer in two pieces".into())?;
            read.whole(bytes)
        }
    }

    /// The answer is over.
    pub fn settled(&mut self, _settlement: &Settlement) -> Kept {
        self.not_settled("a second settlement")?;
        self.settled = true;
        promise(self.live.is_empty(), || format!("settled while {:?} still run", self.live))
    }

    fn not_settled(&self, what: &str) -> Kept {
        promise(!self.settled, || format!("{what} after the settlement"))
    }

    /// Nothing is left to do now.
    pub fn waits(&mut self, now: Instant, until: Option<(Instant, Timer)>, read: &Read) -> Kept {
        if self.settled {
            return promise(until.is_none(), || format!("settled, and waits for {until:?}"));
        }
        promise(!self.left, || "the client left, and the answer goes on".into())?;
        self.acting = None;
        if let Some(rival) = self.unfair {
            return Err(format!("{rival} was stopped for a rival that said nothing"));
        }
        let Some((at, _)) = until else { return Err("waits for nothing".into()) };
        promise(now < at, || format!("waits for what is past: {until:?} at {now:?}"))?;
        promise(at <= TOTAL, || format!("waits past the end: {until:?}"))?;
        self.begins_honestly(now)?;
        match self.told.take() {
            Some(told) => promise(told.as_deref().unwrap_or("") == read.text, || {
                format!("told to go on with {told:?} where {:?} was delivered", read.text)
            }),
            None => Ok(()),
        }
    }

    /// Promise 1: no head before content, or before its time.
    fn begins_honestly(&self, now: Instant) -> Kept {
        let Some((at, status)) = self.head else {
            let waits = self.script.client.stream && HEAD <= now;
            return promise(!waits, || "the client waits without a sign of life".into());
        };
        promise(status == 200 && (self.content || HEAD <= at), || {
            format!("a head of {status} with nothing to say")
        })
    }

    /// What came of it all.
    pub fn over(&self, outcome: &Outcome) -> Kept {
        let Some((at, settlement)) = &outcome.settlement else {
            return Err("it is not settled, and nothing more happens".into());
        };
        promise(*at <= TOTAL, || format!("settled late: {at:?}"))?;
        let took = at.since(Instant::ZERO);
        promise(settlement.took == took, || {
            format!("it took {took:?}, not {:?}", settlement.took)
        })?;
        promise(settlement.attempts.len() >= self.calls, || "a call without a record".into())?;
        self.waits_for_its_client(settlement)?;
        self.ends_once(outcome, settlement)?;
        self.every_token_once(outcome, settlement)?;
        self.accounted(outcome, settlement)?;
        let finished = matches!(settlement.end, End::Finished(_)) && !settlement.fallback;
        promise(finished || outcome.left || !self.script.must_finish(), || {
            "a healthy provider was there, and it is not finished".into()
        })
    }

    /// While a client does not read, a model's silence is not its own.
    fn waits_for_its_client(&self, settlement: &Settlement) -> Kept {
        let Some((from, to)) = self.script.client.pauses else { return Ok(()) };
        let is_silent = |end: &End| matches!(end, End::Failed(failure) if failure.reason == Reason::BetweenTokensTimeout);
        let mut silent = settlement.attempts.iter().filter(|attempt| is_silent(&attempt.end));
        let unjust = silent.any(|attempt| {
            let at = (attempt.began + attempt.took).as_millis();
            u128::from(from) < at && at < u128::from(to)
        });
        promise(!unjust, || "given up for the client's own silence".into())
    }

    /// Promises 2 and 4: one end with an outcome, and never an empty answer.
    fn ends_once(&self, outcome: &Outcome, settlement: &Settlement) -> Kept {
        let read = &outcome.read;
        let told = (read.finishes, read.done, read.error);
        let stream = self.script.client.stream;
        let kept = match &settlement.end {
            End::Finished(_) => {
                let dry = settlement.chunks == 0 && !settlement.fallback;
                promise(!dry, || "finished with nothing".into())?;
                matches!(told, (1, true, false)) || (!stream && matches!(told, (0, true, false)))
            }
            End::Failed(failure) => {
                let (_, status) = outcome.head.unwrap_or_default();
                let honest = status == failure.status() || (stream && status == 200);
                promise(honest, || format!("{failure} is told as {status}"))?;
                told == (0, false, true)
            }
            End::Cancelled => outcome.left && told == (0, false, false),
        };
        promise(kept, || format!("{:?} is told as {told:?}", settlement.end))
    }

    /// Promise 3: what arrived is the truth, as far as it goes.
    fn every_token_once(&self, outcome: &Outcome, settlement: &Settlement) -> Kept {
        let text = &outcome.read.text;
        if settlement.fallback {
            let may = match self.script.gateway.exhausted {
                Some(exhausted) => exhausted == Exhausted::Message,
                None => self.script.client.protocol == ClientProtocol::Token,
            };
            return promise(may && text.starts_with("Sorry"), || format!("a message: {text:?}"));
        }
        promise(outcome.ended_in_overlap || self.script.truth.starts_with(text.as_str()), || {
            format!("{text:?} is not how {:?} begins", self.script.truth)
        })
    }

    /// Promise 6: the provider's own number or an estimate marked as one; nothing for nothing.
    fn accounted(&self, outcome: &Outcome, settlement: &Settlement) -> Kept {
        let usage = &settlement.usage;
        let calls = self.calls as u32;
        let reported =
            usage.output_tokens.is_multiple_of(COST.1) && usage.output_tokens <= calls * COST.1;
        promise(usage.estimated || reported, || format!("{usage:?} is nobody's count"))?;
        let nothing = settlement.chunks == 0 && usage.estimated;
        promise(!nothing, || format!("{usage:?} for nothing"))?;
        let text = outcome.read.text.is_empty() || settlement.fallback || usage.output_tokens > 0;
        promise(text, || "an answer for nothing".into())?;
        let wants_usage = self.script.client.include_usage;
        promise(wants_usage || !outcome.read.usage_event, || "usage that nobody asked for".into())?;
        let must_tell = wants_usage
            && self.script.client.stream
            && self.script.client.protocol == ClientProtocol::OpenAi
            && matches!(settlement.end, End::Finished(_))
            && !settlement.fallback;
        promise(!must_tell || outcome.read.usage.is_some(), || "the usage is not told".into())
    }
}

impl Script {
    /// Whether nothing can keep the answer from being finished: somebody always would, and nobody
    /// rejects the request, or begins what nobody can continue.
    fn must_finish(&self) -> bool {
        let mut calls = self.providers.iter().flat_map(|provider| &provider.calls);
        let may_go_on = self.gateway.midstream == Midstream::Continue;
        may_go_on
            && self.providers.iter().any(Provider::is_healthy)
            && calls.all(|call| !call.ends_all())
    }
}

impl Provider {
    fn is_healthy(&self) -> bool {
        self.continuation != Continuation::Stop
            && !self.rejects_prefill
            && self.calls.iter().all(CallScript::is_healthy)
    }
}

impl CallScript {
    fn is_healthy(&self) -> bool {
        self.wait_ms == 0
            && matches!(&self.then, Then::Answer(answer)
                if answer.frames == Answer::healthy().frames && answer.is_unharmed())
    }

    /// Whether nothing is tried after it, whoever is left.
    fn ends_all(&self) -> bool {
        let beside_text = |frame: &Frame| matches!(frame, Frame::Thought | Frame::Tool);
        match &self.then {
            Then::Status { code, .. } => matches!(code, 400 | 413 | 422),
            Then::Answer(answer) => {
                let torn = answer.torn.iter().map(|(frame, _)| frame);
                answer.frames.iter().chain(torn).any(beside_text)
            }
            Then::Lost(_) | Then::Silence => false,
        }
    }
}
