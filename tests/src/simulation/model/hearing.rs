//! What one call comes to: what its provider sends, how it fails, and how long that takes.

use streamgate_core::failure::Reason;

use crate::simulation::provider::{Speaker, torn_bytes};
use crate::simulation::script::{
    Answer, CallScript, Ending, Form, Frame, Provider, RetryAfter, Then,
};

/// The deadlines of the default configuration, in milliseconds.
const FIRST_BYTE_MS: u64 = 15_000;
const FIRST_CONTENT_MS: u64 = 30_000;
const WHOLE_MS: u64 = 120_000;
const BETWEEN_TOKENS_MS: u64 = 20_000;
const AFTER_FINISH_MS: u64 = 2_000;
const REFUSAL_BODY_MS: u64 = 2_000;

/// What is tried after an error that is reported in place of an answer: as after its status, 500.
const SERVER_ERROR: Next = Next::Again(RetryAfter::Unsaid);

/// What is tried after a failure, before any content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
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
pub(super) struct Played {
    /// Its text.
    pub(super) text: String,
    /// How much of that came before a tool call; all of it where there was none.
    pub(super) text_before_tool: Option<usize>,
    /// It sent content, even if no text.
    pub(super) content: bool,
    /// Its last content was no text.
    pub(super) beside_text: bool,
    /// It sent a role before its first content.
    pub(super) role: bool,
    /// It reported its usage.
    pub(super) cost: bool,
    /// It failed with an error of the provider's own.
    pub(super) reported: bool,
    /// How it fails: with which status, and what is tried next.
    pub(super) failure: Option<(u16, Next)>,
    pub(super) took_ms: u64,
    /// Of that, what passed after the head of a refusal.
    pub(super) refusing_ms: u64,
    /// When its first content came, or when it was over.
    pub(super) silent_ms: u64,
}

impl Played {
    pub(super) fn failed(took_ms: u64, status: u16, next: Next) -> Self {
        Self {
            text: String::new(),
            text_before_tool: None,
            content: false,
            beside_text: false,
            role: false,
            cost: false,
            reported: false,
            failure: Some((status, next)),
            took_ms,
            refusing_ms: 0,
            silent_ms: took_ms,
        }
    }
}

/// What a provider's `nth` call comes to.
pub(super) fn play(
    provider: &Provider,
    nth: usize,
    stream: bool,
    delivered: Option<&str>,
    truth: &str,
) -> Played {
    let CallScript { wait_ms, then } = provider.call_script(nth);
    let stream = stream || provider.local;
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
        Then::Status { .. } if provider.local => Played::failed(*wait_ms, 503, Next::Target),
        Then::Status { code, retry_after, stalls } => {
            let (status, next) = refusal(*code, *retry_after);
            let refusing_ms = if *stalls { REFUSAL_BODY_MS } else { 0 };
            let failed = Played::failed(wait_ms + refusing_ms, status, next);
            Played { refusing_ms, reported: true, ..failed }
        }
        Then::Answer(answer) => {
            let mut hearing = Hearing::new(*wait_ms, answer, delivered, truth);
            hearing.local = provider.local;
            hearing.hear(stream)
        }
    }
}

/// What a status is to the client, and what is tried next.
fn refusal(code: u16, asked: RetryAfter) -> (u16, Next) {
    match code {
        401..=404 => (502, Next::Target),
        429 => (429, Next::Again(asked)),
        503 | 529 => (503, Next::Again(asked)),
        408 | 409 | 425 | 500.. => (502, Next::Again(asked)),
        _ => (code, Next::Nothing),
    }
}

/// One answer as it is received.
struct Hearing<'a> {
    answer: &'a Answer,
    speaker: Speaker<'a>,
    continues: bool,
    /// It is an engine, which emits events: the first of them is its first byte.
    local: bool,
    begun: bool,
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
            local: false,
            begun: false,
            finished: false,
            now_ms: wait_ms,
            heard_ms: wait_ms,
            first_ms: None,
            played: Played { failure: None, ..Played::failed(0, 0, Next::Nothing) },
        }
    }

    fn hear(mut self, stream: bool) -> Played {
        self.played.failure = match (self.answer.form, stream) {
            _ if self.local => self.stream(),
            (Form::AsAsked | Form::Stream | Form::Html, true) => self.stream(),
            (Form::Stream | Form::Html, false) => self.stream_at_once(),
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
            (false, false) if self.local && !self.begun => (FIRST_BYTE_MS, false),
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
        let silent = match frame {
            Frame::Comment => true,
            Frame::Role | Frame::NoChoices | Frame::Garbage => self.local,
            _ => false,
        };
        if silent {
            return None;
        }
        (self.begun, self.heard_ms) = (true, self.now_ms);
        if let Some(text) = self.speaker.text(frame) {
            self.say(text);
        }
        match frame {
            Frame::Role => self.played.role |= !self.played.content,
            Frame::Thought => self.think(),
            Frame::Tool => self.call_tool(),
            Frame::Finish => self.finished = true,
            Frame::Usage => self.played.cost = true,
            Frame::Last(_) => (self.finished, self.played.cost) = (true, true),
            Frame::Done => return Some(self.verdict(!self.local)),
            Frame::Error if self.local && self.finished => return Some(self.verdict(false)),
            Frame::Error if self.local => return Some(Some((500, Next::Target))),
            Frame::Error if self.finished && self.verdict(false).is_none() => return Some(None),
            Frame::Error => return Some(Some(self.error())),
            _ => {}
        }
        None
    }

    /// An error that the provider reports: in place of an answer, it is as its status.
    fn error(&mut self) -> (u16, Next) {
        self.played.reported = true;
        (502, if self.played.content { Next::Target } else { SERVER_ERROR })
    }

    fn say(&mut self, text: &str) {
        if !text.is_empty() {
            self.content();
            self.played.beside_text = false;
            self.played.text.push_str(text);
        }
    }

    /// A continuation may begin with reasoning; that is no part of it, up to a tool call.
    fn think(&mut self) {
        if self.continues && self.played.text_before_tool.is_none() {
            self.content();
        } else {
            self.beside_text();
        }
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
        let (frame, bytes) = self.answer.torn.filter(|_| !self.local)?;
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

    /// Whether it is complete, now that no more comes; `marked`: it had an end marker.
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
            return Some(self.error());
        }
        // Its reasoning comes first, then its text, then its tool calls.
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

    /// A stream that was not asked for: it is read once it is over.
    fn stream_at_once(&mut self) -> Option<(u16, Next)> {
        self.now_ms += self.answer.frames.iter().map(|frame| frame.pause_ms()).sum::<u64>();
        if self.answer.end != Ending::Clean || self.now_ms > WHOLE_MS {
            return self.nonsense_now();
        }
        for frame in &self.answer.frames {
            if !matches!(frame, Frame::Pause(_))
                && let Some(over) = self.frame(*frame)
            {
                return over;
            }
        }
        match self.torn().and_then(|frame| self.frame(frame)) {
            Some(over) => over,
            None => self.verdict(false),
        }
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
