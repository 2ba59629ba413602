//! The reference model: what must come of a script, said from the script alone. It knows targets,
//! what each says and in what order they are asked; it knows no frames, no buffers, no inputs and
//! no outputs, and shares no code with the relay.
//!
//! Where the outcome hangs on the exact moment of something, which is not the model's to know, it
//! says nothing, and only the promises hold.

use std::collections::VecDeque;

use streamgate_core::config::{Continuation, Exhausted, Midstream};
use streamgate_core::failure::Reason;
use streamgate_core::protocol::Protocol;

use super::provider::{Speaker, torn_bytes};
use super::script::{
    Answer, COST, Conduct, Ending, Form, Frame, Provider, RetryAfter, Script, Then,
};
use super::splice::join;
use super::world::Called;

/// What must come of a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// How it ends.
    pub end: End,
    /// The text of models that arrives.
    pub text: String,
    /// Every call, in order.
    pub calls: Vec<Called>,
    /// What providers reported it to cost; `None` where some of it must be an estimate.
    pub cost: Option<(u32, u32)>,
}

/// How an answer ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// A model finished it.
    Finished,
    /// Nobody was left, and a message says so.
    Message,
    /// It failed, with this status where nothing was sent.
    Failed(u16),
}

/// The deadlines of the default configuration, in milliseconds.
const FIRST_BYTE_MS: u64 = 15_000;
const FIRST_CONTENT_MS: u64 = 30_000;
const WHOLE_MS: u64 = 120_000;
const BETWEEN_TOKENS_MS: u64 = 20_000;
const AFTER_FINISH_MS: u64 = 2_000;
const REFUSAL_BODY_MS: u64 = 2_000;
/// The longest wait for a target that asks for one, in milliseconds.
const WAIT_MS: u64 = 10_000;
/// How often an answer goes on.
const CONTINUATIONS_MAX: u32 = 4;
/// What all deadlines of an answer must stay clear of, for the model to be sure, in milliseconds.
const TOTAL_MS: u64 = 580_000;

/// What is tried after a failure, before any content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// The same target, for a whole answer.
    Whole,
    /// The next target.
    Target,
    /// The next target, and this one again later.
    Again(RetryAfter),
    /// Nothing: the request is wrong.
    Nothing,
}

/// What one call comes to.
struct Played {
    /// What it says.
    text: String,
    /// How much of that came before a tool call; all of it where there was none.
    text_before_tool: Option<usize>,
    /// It said something, were it no text.
    content: bool,
    /// The last it said was no text.
    beside_text: bool,
    cost: bool,
    /// How it fails: with which status, and what is tried next.
    failure: Option<(u16, Next)>,
    took_ms: u64,
    /// When its first content came, or when it was over.
    silent_ms: u64,
}

/// What must come of `script`; `None` where timing decides.
pub fn expect(script: &Script) -> Option<Expected> {
    Walk::new(script).walk()
}

struct Walk<'a> {
    script: &'a Script,
    pass: VecDeque<Turn>,
    again: Vec<(usize, RetryAfter, Time)>,
    passes: u32,
    continuations: u32,
    failures: [u32; 3],
    content: bool,
    beside_text: bool,
    text: String,
    calls: Vec<Called>,
    cause: Option<u16>,
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
            failures: [0; 3],
            content: false,
            beside_text: false,
            text: String::new(),
            calls: Vec::new(),
            cause: None,
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
            if self.failures[place] >= self.script.gateway.failures_max {
                return None; // Its breaker is open, or was; that is a matter of time.
            }
            if let Some(end) = self.ask(place, way)? {
                return Some(self.end(end));
            }
        }
    }

    /// Asks one target in all the ways there are, until it is over or another's turn.
    fn ask(&mut self, place: usize, mut way: Continuation) -> Option<Option<End>> {
        let mut stream = self.script.client.stream;
        loop {
            let continues = self.content;
            let played = self.call(place, stream, way)?;
            let Some((status, next)) = played.failure else { return Some(Some(End::Finished)) };
            let cause = *self.cause.get_or_insert(status);
            self.failures[place] += u32::from(next != Next::Nothing);
            if !self.content {
                match next {
                    Next::Nothing => return Some(Some(End::Failed(cause))),
                    Next::Whole if stream => stream = false,
                    Next::Again(asked) => {
                        self.again.push((place, asked, self.now));
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
                if !self.pass.iter().any(|(_, other)| *other == place) {
                    self.pass.push_back((Time::default(), place));
                }
            } else if next == Next::Nothing
                && way == Continuation::Prefill
                && self.script.gateway.instruction
            {
                way = Continuation::Ask;
                continue;
            } else if let Next::Again(asked) = next {
                self.again.push((place, asked, self.now));
            }
            return Some(None);
        }
    }

    /// One call, and what it adds to the answer.
    fn call(&mut self, place: usize, stream: bool, way: Continuation) -> Option<Played> {
        let provider = &self.script.providers[place];
        let nth = self.calls.iter().filter(|called| called.place == place).count();
        let continues = self.content;
        self.calls.push(Called { place, stream, continues });
        let delivered = continues.then_some(self.text.as_str());
        let prefilled =
            continues && (way == Continuation::Prefill || !self.script.gateway.instruction);
        let played = if provider.rejects_prefill && prefilled {
            Played::failed(0, 400, Next::Nothing)
        } else {
            play(provider, nth, stream, delivered, self.script.truth)
        };
        let hedge = self.script.gateway.hedge_after_ms;
        if hedge > 0 && played.silent_ms >= hedge {
            return None;
        }
        self.now = self.now.plus(played.took_ms);
        if self.now.to > TOTAL_MS {
            return None;
        }
        self.add(&played, continues);
        Some(played)
    }

    fn add(&mut self, played: &Played, continues: bool) {
        if played.cost {
            self.cost = self.cost.map(|(input, output)| (input + COST.0, output + COST.1));
        } else if played.content {
            self.cost = None;
        }
        if played.content {
            self.content = true;
            self.beside_text = played.beside_text;
        }
        // What a tool call follows is no repetition any more.
        let at_seam = played.text_before_tool.unwrap_or(played.text.len());
        let (head, rest) = played.text.split_at(if continues { at_seam } else { 0 });
        let finished = played.failure.is_none() || played.text_before_tool.is_some();
        let new = join(&self.text, head, finished).len();
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
        for (place, asked, at) in std::mem::take(&mut self.again) {
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
                RetryAfter::Date(seconds) => (seconds * 1000).saturating_sub(at.from),
            };
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
            Protocol::Token => Exhausted::Message,
            Protocol::OpenAi | Protocol::Local => Exhausted::Error,
        };
        let message = self.script.gateway.exhausted.unwrap_or(by_protocol) == Exhausted::Message;
        let failed = End::Failed(self.cause.unwrap_or(500));
        let silent = !self.content;
        self.end(if message && silent { End::Message } else { failed })
    }

    fn end(self, end: End) -> Expected {
        Expected { end, text: self.text, calls: self.calls, cost: self.cost }
    }
}

// --- one call ---------------------------------------------------------------------------------

impl Played {
    fn failed(took_ms: u64, status: u16, next: Next) -> Self {
        Self {
            text: String::new(),
            text_before_tool: None,
            content: false,
            beside_text: false,
            cost: false,
            failure: Some((status, next)),
            took_ms,
            silent_ms: took_ms,
        }
    }
}

/// What a provider's `nth` call comes to.
fn play(
    provider: &Provider,
    nth: usize,
    stream: bool,
    delivered: Option<&str>,
    truth: &str,
) -> Played {
    let Conduct { wait_ms, then } = provider.conduct(nth);
    let late = stream && *wait_ms > FIRST_BYTE_MS;
    if late || (stream && matches!(then, Then::Silence)) {
        // A connection that is lost in time is no silence.
        return Played::failed(FIRST_BYTE_MS, 504, Next::Target);
    }
    match then {
        Then::Silence => Played::failed(WHOLE_MS, 504, Next::Target),
        Then::Lost(reason) => {
            let next = match reason {
                Reason::Tls => Next::Target,
                _ => Next::Again(RetryAfter::Unsaid),
            };
            Played::failed(*wait_ms, 502, next)
        }
        Then::Status { code, retry_after, stalls } => {
            let (status, next) = refusal(*code, *retry_after);
            Played::failed(wait_ms + if *stalls { REFUSAL_BODY_MS } else { 0 }, status, next)
        }
        Then::Answer(answer) => Hearing::new(*wait_ms, answer, delivered, truth).hear(stream),
    }
}

/// What a status tells the client, and what is tried next.
fn refusal(code: u16, asked: RetryAfter) -> (u16, Next) {
    match code {
        401..=404 => (502, Next::Target),
        429 => (429, Next::Again(asked)),
        503 | 529 => (503, Next::Again(asked)),
        408 | 409 | 425 | 500.. => (502, Next::Again(asked)),
        _ => (code, Next::Nothing),
    }
}

/// One answer as it is heard.
struct Hearing<'a> {
    answer: &'a Answer,
    speaker: Speaker<'a>,
    continues: bool,
    finished: bool,
    now_ms: u64,
    heard_ms: u64,
    first_ms: Option<u64>,
    played: Played,
}

impl<'a> Hearing<'a> {
    fn new(wait_ms: u64, answer: &'a Answer, delivered: Option<&str>, truth: &'a str) -> Self {
        Self {
            answer,
            speaker: Speaker::from(truth, delivered.unwrap_or(""), answer.repeats),
            continues: delivered.is_some(),
            finished: false,
            now_ms: wait_ms,
            heard_ms: wait_ms,
            first_ms: None,
            played: Played { failure: None, ..Played::failed(0, 0, Next::Nothing) },
        }
    }

    fn hear(mut self, stream: bool) -> Played {
        self.played.failure = match (self.answer.form, stream) {
            (Form::Html, _) => Some((502, Next::Whole)),
            (Form::AsAsked | Form::Stream, true) => self.stream(),
            (Form::Stream, false) => self.nonsense(),
            (Form::Whole, _) | (Form::AsAsked, false) => self.whole(),
        };
        self.played.took_ms = self.now_ms;
        self.played.silent_ms = self.first_ms.unwrap_or(self.now_ms);
        self.played
    }

    /// A stream, frame by frame: how it fails, or `None` if it is complete.
    fn stream(&mut self) -> Option<(u16, Next)> {
        let mut pause_ms = 0;
        for frame in &self.answer.frames {
            if let Frame::Pause(ms) = frame {
                pause_ms += ms;
            } else if let Some(over) = self.silence(pause_ms).or_else(|| self.frame(*frame)) {
                return over;
            } else {
                pause_ms = 0;
            }
        }
        if let Some(over) = self.silence(pause_ms) {
            return over;
        }
        if let Some(over) = self.torn().and_then(|frame| self.frame(frame)) {
            return over;
        }
        match self.answer.end {
            Ending::Clean => self.verdict(false),
            Ending::Reset if self.finished => self.verdict(false),
            Ending::Reset => Some((502, Next::Again(RetryAfter::Unsaid))),
            Ending::Stall => self.silence(u64::MAX / 2).unwrap_or(None),
        }
    }

    /// Whether a deadline passes in a silence: how the call is over then.
    fn silence(&mut self, ms: u64) -> Option<Option<(u16, Next)>> {
        let until = self.now_ms + ms;
        let (deadline, by_finish) = match (self.finished, self.played.content) {
            (true, _) => (self.heard_ms + AFTER_FINISH_MS, true),
            (false, true) => (self.heard_ms + BETWEEN_TOKENS_MS, false),
            (false, false) => (FIRST_CONTENT_MS, false),
        };
        if until < deadline {
            self.now_ms = until;
            return None;
        }
        self.now_ms = deadline;
        Some(if by_finish { self.verdict(false) } else { Some((504, Next::Target)) })
    }

    /// Takes in one event: how the call is over with it, if it is.
    fn frame(&mut self, frame: Frame) -> Option<Option<(u16, Next)>> {
        if frame != Frame::Comment {
            self.heard_ms = self.now_ms;
        }
        if let Some(text) = self.speaker.text(frame) {
            self.say(text);
        }
        match frame {
            Frame::Thought => self.think(),
            Frame::Tool => self.call_tool(),
            Frame::Finish => self.finished = true,
            Frame::Usage => self.played.cost = true,
            Frame::Last(_) => (self.finished, self.played.cost) = (true, true),
            Frame::Done => return Some(self.verdict(true)),
            Frame::Error if self.finished && self.verdict(false).is_none() => return Some(None),
            Frame::Error => return Some(Some((502, Next::Target))),
            _ => {}
        }
        None
    }

    fn say(&mut self, text: &str) {
        if !text.is_empty() {
            self.content();
            self.played.beside_text = false;
            self.played.text.push_str(text);
        }
    }

    /// Who goes on with an answer may think first; that is no part of it.
    fn think(&mut self) {
        let before = self.played.beside_text;
        self.beside_text();
        self.played.beside_text = !self.continues || before;
    }

    fn call_tool(&mut self) {
        self.beside_text();
        self.played.text_before_tool.get_or_insert(self.played.text.len());
    }

    fn beside_text(&mut self) {
        self.content();
        self.played.beside_text = true;
    }

    fn content(&mut self) {
        self.played.content = true;
        self.first_ms.get_or_insert(self.now_ms);
    }

    /// The torn frame, if as much of it came as counts: all up to its line's end when the body then
    /// ends in good order.
    fn torn(&mut self) -> Option<Frame> {
        let (frame, bytes) = self.answer.torn?;
        if matches!(frame, Frame::Pause(_) | Frame::Comment) {
            return None;
        }
        let line_end = self.answer.line_end;
        let mut ahead = self.speaker;
        let text = ahead.frame(frame, line_end);
        let bytes = torn_bytes(&text, bytes);
        let line = text.len() - 2 * line_end.len();
        // A blank line that ends in a carriage return is whole without its line feed.
        let whole = line_end == "\r\n" && bytes + 1 == text.len();
        (whole || (bytes >= line && self.answer.end == Ending::Clean)).then_some(frame)
    }

    /// Whether it is complete, now that no more comes; `marked`: it said so.
    fn verdict(&self, marked: bool) -> Option<(u16, Next)> {
        match self.played.content {
            false if self.continues && self.finished => None,
            false => Some((502, Next::Whole)),
            true if marked || self.finished => None,
            true => Some((502, Next::Target)),
        }
    }

    /// A whole answer: nothing is known of it before its end.
    fn whole(&mut self) -> Option<(u16, Next)> {
        let frames = &self.answer.frames;
        self.now_ms += frames.iter().map(|frame| frame.pause_ms()).sum::<u64>();
        if self.answer.end != Ending::Clean || self.answer.torn.is_some() || self.now_ms > WHOLE_MS
        {
            return self.nonsense_now();
        }
        if frames.contains(&Frame::Garbage) {
            return Some((502, Next::Whole));
        }
        if frames.contains(&Frame::Error) {
            return Some((502, Next::Target));
        }
        // It says its thoughts first, then its text, then its tool calls.
        let order = |frame: &&Frame| match frame {
            Frame::Thought => 0,
            Frame::Tool => 2,
            _ => 1,
        };
        let mut frames: Vec<&Frame> =
            frames.iter().filter(|frame| **frame != Frame::Done).collect();
        frames.sort_by_key(order);
        for frame in frames {
            let _ = self.frame(*frame);
        }
        self.verdict(true)
    }

    /// What was not asked for, and cannot be read.
    fn nonsense(&mut self) -> Option<(u16, Next)> {
        self.now_ms += self.answer.frames.iter().map(|frame| frame.pause_ms()).sum::<u64>();
        self.nonsense_now()
    }

    fn nonsense_now(&mut self) -> Option<(u16, Next)> {
        let stalls = self.answer.end == Ending::Stall || self.now_ms > WHOLE_MS;
        Some(match self.answer.end {
            _ if stalls => {
                self.now_ms = WHOLE_MS;
                (504, Next::Target)
            }
            Ending::Reset => (502, Next::Again(RetryAfter::Unsaid)),
            Ending::Clean | Ending::Stall => (502, Next::Whole),
        })
    }
}
