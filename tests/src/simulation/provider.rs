//! What a provider puts on the wire for one call: a script as heads, bytes and ends in
//! time. It reads the request as a provider would, and continues an answer as a model would.

use std::ops::Range;

use serde::Deserialize;
use streamgate_core::chat::{self, Event, FinishReason, Role, ToolCall, Usage};
use streamgate_core::failure::Reason;
use streamgate_core::relay::Call;

use super::script::{
    Answer, COST, CallScript, Ending, Form, Frame, Provider, Repeats, RetryAfter, Then,
};

/// What a provider reads of a request.
#[derive(Deserialize)]
pub struct Asked {
    /// Whether a stream is wanted.
    pub stream: bool,
    /// The longest answer wanted.
    pub max_tokens: Option<u32>,
    messages: Vec<Message>,
}

#[derive(Deserialize)]
struct Message {
    role: String,
    content: String,
}

impl Asked {
    /// Reads the body of a call.
    pub fn read(body: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(body).map_err(|error| format!("a call cannot be read: {error}"))
    }

    /// The answer to continue: the assistant's text so far.
    pub fn delivered(&self) -> Option<&str> {
        let said = self.messages.iter().rfind(|message| message.role == "assistant")?;
        Some(&said.content)
    }

    /// What an engine in this process is asked.
    pub fn of(call: &Call) -> Self {
        let message = |message: &chat::Message| Message {
            role: if message.role == Role::Assistant { "assistant" } else { "user" }.into(),
            content: message.as_text().unwrap_or_default().into_owned(),
        };
        Self {
            stream: call.stream,
            max_tokens: call.limit.map(|limit| limit.max_output),
            messages: call.request.messages.iter().map(message).collect(),
        }
    }

    /// Whether the answer so far is the last message.
    pub fn ends_in_prefill(&self) -> bool {
        self.messages.last().is_some_and(|message| message.role == "assistant")
    }
}

/// What a shell would notice of a call, in order.
#[derive(Debug, Default)]
pub struct Response {
    /// What happens, and how many milliseconds after the call.
    pub acts: Vec<(u64, Act)>,
    /// All bytes of the body.
    pub body: Vec<u8>,
    /// How much of the body there is when its first content is.
    pub content_at: Option<usize>,
    /// It finishes, or calls a tool, before it has repeated all that it began to repeat: what is new
    /// in that, nobody can tell.
    pub ends_in_overlap: bool,
}

/// Something a shell would notice.
#[derive(Clone, Debug)]
pub enum Act {
    /// The response's head.
    Head {
        /// Its status.
        status: u16,
        /// Its `content-type`.
        content_type: &'static str,
        /// When to ask again.
        retry_after: RetryAfter,
    },
    /// An engine's event.
    Event(Event<'static>),
    /// These bytes of the body.
    Bytes(Range<usize>),
    /// The body's end.
    End,
    /// The connection's.
    Lost(Reason),
}

const JSON: &str = "application/json";
const SSE: &str = "text/event-stream; charset=utf-8";

/// Plays what `provider` does with its `nth` call.
pub fn respond(provider: &Provider, nth: usize, truth: &str, asked: &Asked) -> Response {
    let mut play = Response::default();
    if provider.local {
        play.local(provider.call_script(nth), truth, asked);
        return play;
    }
    if provider.rejects_prefill && asked.ends_in_prefill() {
        play.refuse(0, 400, RetryAfter::Unsaid, false);
        return play;
    }
    let CallScript { wait_ms, then } = provider.call_script(nth);
    match then {
        Then::Lost(reason) => play.acts.push((*wait_ms, Act::Lost(*reason))),
        Then::Silence => {}
        Then::Status { code, retry_after, stalls } => {
            play.refuse(*wait_ms, *code, *retry_after, *stalls);
        }
        Then::Answer(answer) => {
            play.answer(*wait_ms, answer, Speaker::new(answer, truth, asked), asked);
        }
    }
    play
}

impl Response {
    /// An engine has no head and no bytes.
    fn local(&mut self, call_script: &CallScript, truth: &str, asked: &Asked) {
        let at = call_script.wait_ms;
        match &call_script.then {
            Then::Lost(reason) => self.acts.push((at, Act::Lost(*reason))),
            Then::Silence => {}
            Then::Status { .. } => self.acts.push((at, Act::Lost(Reason::ModelBroken))),
            Then::Answer(answer) => {
                self.events(at, answer, Speaker::new(answer, truth, asked));
            }
        }
    }

    fn events(&mut self, mut at: u64, answer: &Answer, mut speaker: Speaker<'_>) {
        for frame in &answer.frames {
            at += frame.pause_ms();
            match frame {
                Frame::Error => return self.acts.push((at, Act::Lost(Reason::Internal))),
                Frame::Done => {
                    self.ends_in_overlap |= speaker.is_repeating();
                    return self.acts.push((at, Act::End));
                }
                _ => self.acts.extend(speaker.events(*frame).map(|event| (at, Act::Event(event)))),
            }
            let ends = matches!(frame, Frame::Finish | Frame::Last(_) | Frame::Tool);
            self.ends_in_overlap |= ends && speaker.is_repeating();
        }
        self.ends_in_overlap |= speaker.is_repeating();
        self.end(at, answer.end);
    }

    fn refuse(&mut self, at: u64, status: u16, retry_after: RetryAfter, stalls: bool) {
        self.acts.push((at, Act::Head { status, content_type: JSON, retry_after }));
        self.say(at, format!("{{\"error\":{{\"message\":\"no: {status}\"}}}}").as_bytes());
        if !stalls {
            self.acts.push((at, Act::End));
        }
    }

    fn answer(&mut self, at: u64, answer: &Answer, mut speaker: Speaker<'_>, asked: &Asked) {
        let (content_type, stream) = match answer.form {
            Form::AsAsked if asked.stream => (SSE, true),
            Form::AsAsked | Form::Whole => (JSON, false),
            Form::Stream => (SSE, true),
            Form::Html => ("text/html", true),
        };
        let head = Act::Head { status: 200, content_type, retry_after: RetryAfter::Unsaid };
        self.acts.push((at, head));
        let at = if stream {
            self.stream(at, answer, &mut speaker)
        } else {
            self.whole(at, answer, &mut speaker)
        };
        self.end(at, answer.end);
    }

    fn end(&mut self, at: u64, end: Ending) {
        match end {
            Ending::Clean => self.acts.push((at, Act::End)),
            Ending::Reset => self.acts.push((at, Act::Lost(Reason::Lost))),
            Ending::Stall => {}
        }
    }

    /// Frame by frame; gives when the last was sent.
    fn stream(&mut self, mut at: u64, answer: &Answer, speaker: &mut Speaker<'_>) -> u64 {
        for frame in &answer.frames {
            match frame {
                Frame::Pause(ms) => at += ms,
                _ => self.say(at, speaker.frame(*frame, answer.line_end).as_bytes()),
            }
            self.note_content(speaker, *frame);
            let ends = matches!(frame, Frame::Finish | Frame::Last(_) | Frame::Done | Frame::Tool);
            self.ends_in_overlap |= ends && speaker.is_repeating();
        }
        self.ends_in_overlap |= speaker.is_repeating();
        if let Some((frame, bytes)) = &answer.torn {
            let frame = speaker.frame(*frame, answer.line_end);
            self.say(at, &frame.as_bytes()[..torn_bytes(&frame, *bytes)]);
            self.content_at.get_or_insert(self.body.len());
        }
        at
    }

    /// The same frames as one body; gives when it was sent.
    fn whole(&mut self, mut at: u64, answer: &Answer, speaker: &mut Speaker<'_>) -> u64 {
        at += answer.frames.iter().map(|frame| frame.pause_ms()).sum::<u64>();
        let body = speaker.whole(&answer.frames);
        self.ends_in_overlap |= speaker.is_repeating();
        let bytes = match &answer.torn {
            Some((_, bytes)) => torn_bytes(&body, *bytes),
            None => body.len(),
        };
        self.say(at, &body.as_bytes()[..bytes]);
        self.content_at = Some(self.body.len());
        at
    }

    fn note_content(&mut self, speaker: &Speaker<'_>, frame: Frame) {
        if speaker.has_said || matches!(frame, Frame::Thought | Frame::Tool) {
            self.content_at.get_or_insert(self.body.len());
        }
    }

    fn say(&mut self, at: u64, bytes: &[u8]) {
        if !bytes.is_empty() {
            let start = self.body.len();
            self.body.extend_from_slice(bytes);
            self.acts.push((at, Act::Bytes(start..self.body.len())));
        }
    }
}

/// How much of a torn text comes: never all of it.
pub fn torn_bytes(text: &str, bytes: u32) -> usize {
    bytes as usize % text.len().max(1)
}

impl Frame {
    /// How long it is silent, in milliseconds.
    pub const fn pause_ms(self) -> u64 {
        match self {
            Self::Pause(ms) => ms,
            _ => 0,
        }
    }
}

/// A model that answers with the truth, from where it was asked to.
#[derive(Clone, Copy)]
pub struct Speaker<'a> {
    /// What it has still to say.
    left: &'a str,
    /// How much of that was delivered before, in bytes.
    repeats: usize,
    /// It has sent content.
    has_said: bool,
}

impl<'a> Speaker<'a> {
    fn new(answer: &Answer, truth: &'a str, asked: &Asked) -> Self {
        Self::from(truth, asked.delivered().unwrap_or(""), answer.repeats)
    }

    /// A model that continues `delivered`.
    pub fn from(truth: &'a str, delivered: &str, repeats: Repeats) -> Self {
        let said = delivered.chars().count();
        let again = match repeats {
            Repeats::Nothing => 0,
            Repeats::Chars(chars) => chars.min(said),
            Repeats::Everything => said,
        };
        let byte = |chars| truth.char_indices().nth(chars).map_or(truth.len(), |(at, _)| at);
        let (from, to) = (byte(said - again), byte(said));
        Self { left: &truth[from..], repeats: to - from, has_said: false }
    }

    fn is_repeating(&self) -> bool {
        self.repeats > 0
    }

    /// Its next characters.
    pub fn next(&mut self, chars: usize) -> &'a str {
        let end = self.left.char_indices().nth(chars).map_or(self.left.len(), |(at, _)| at);
        let (said, left) = self.left.split_at(end);
        self.left = left;
        self.repeats = self.repeats.saturating_sub(end);
        self.has_said |= !said.is_empty();
        said
    }

    /// Its text in a frame; `None` where a frame has none.
    pub fn text(&mut self, frame: Frame) -> Option<&'a str> {
        match frame {
            Frame::Rest => Some(self.next(usize::MAX)),
            Frame::Text(chars) | Frame::Last(chars) => Some(self.next(chars)),
            _ => None,
        }
    }

    /// The event of an engine where a provider would send a frame.
    fn events(&mut self, frame: Frame) -> impl Iterator<Item = Event<'static>> + use<> {
        let text = self.text(frame).map(|text| Event::Text(text.to_owned().into()));
        let (finish, usage) = match frame {
            Frame::Finish => (true, false),
            Frame::Usage => (false, true),
            Frame::Last(_) => (true, true),
            _ => (false, false),
        };
        let beside_text = match frame {
            Frame::Thought => Some(Event::Reasoning("Hm.".into())),
            Frame::Tool => Some(Event::ToolCall(ToolCall {
                index: 0,
                id: Some("t".into()),
                name: Some("f".into()),
                arguments: "{}".into(),
            })),
            _ => None,
        };
        let (input_tokens, output_tokens) = COST;
        let cost = Usage { input_tokens, output_tokens, ..Usage::default() };
        let finish = finish.then_some(Event::Finish(FinishReason::Stop));
        let usage = usage.then_some(Event::Usage(cost));
        text.into_iter().chain(beside_text).chain(finish).chain(usage)
    }

    /// A frame on the wire.
    pub fn frame(&mut self, frame: Frame, line_end: &str) -> String {
        let said = self.text(frame).unwrap_or("");
        let line = match frame {
            Frame::Pause(_) => return String::new(),
            Frame::Comment => ": still there".to_owned(),
            _ => format!("data: {}", event_data(frame, said)),
        };
        format!("{line}{line_end}{line_end}")
    }

    fn whole(&mut self, frames: &[Frame]) -> String {
        if frames.contains(&Frame::Garbage) {
            return "{\"choices\":[{\"mess".to_owned();
        }
        if frames.contains(&Frame::Error) {
            return ERROR.to_owned();
        }
        let text: String = frames.iter().filter_map(|frame| self.text(*frame)).collect();
        let has = |wanted: &[Frame]| frames.iter().any(|frame| wanted.contains(frame));
        let last = frames.iter().any(|frame| matches!(frame, Frame::Last(_)));
        let thought = if has(&[Frame::Thought]) { THOUGHT } else { "" };
        let tool = if has(&[Frame::Tool]) { TOOL } else { "" };
        let finish = if has(&[Frame::Finish]) || last { FINISH } else { "" };
        let usage = if has(&[Frame::Usage]) || last { usage() } else { String::new() };
        let text = json(&text);
        format!(
            r#"{{{NAMES},"choices":[{{"index":0,"message":{{"content":{text}{thought}{tool}}}{finish}}}]{usage}}}"#
        )
    }
}

const NAMES: &str = r#""id":"c-1","model":"theirs""#;
const FINISH: &str = r#","finish_reason":"stop""#;
const THOUGHT: &str = r#","reasoning_content":"Hm.""#;
const TOOL: &str =
    r#","tool_calls":[{"index":0,"id":"t","function":{"name":"f","arguments":"{}"}}]"#;
const ERROR: &str = r#"{"error":{"message":"out of order","code":500}}"#;

fn event_data(frame: Frame, said: &str) -> String {
    let text = || json(said);
    let choice = |delta: &str, rest: &str| {
        format!(r#"{{{NAMES},"choices":[{{"index":0,"delta":{{{delta}}}{rest}}}]}}"#)
    };
    match frame {
        Frame::Rest | Frame::Text(_) => choice(&format!("\"content\":{}", text()), ""),
        Frame::Role => choice(r#""role":"assistant","content":"""#, ""),
        Frame::Finish => choice("", FINISH),
        Frame::Thought => choice(&THOUGHT[1..], ""),
        Frame::Tool => choice(&TOOL[1..], ""),
        Frame::Last(_) => {
            let (text, usage) = (text(), usage());
            format!(
                r#"{{{NAMES},"choices":[{{"index":0,"delta":{{"content":{text}}}{FINISH}}}]{usage}}}"#
            )
        }
        Frame::Usage => format!(r#"{{{NAMES},"choices":[]{}}}"#, usage()),
        Frame::NoChoices => format!(r#"{{{NAMES},"choices":[]}}"#),
        Frame::Done => "[DONE]".to_owned(),
        Frame::Garbage => "{\"choices\":[{\"del".to_owned(),
        Frame::Error => ERROR.to_owned(),
        Frame::Pause(_) | Frame::Comment => String::new(),
    }
}

fn usage() -> String {
    let (input, output) = COST;
    format!(r#","usage":{{"prompt_tokens":{input},"completion_tokens":{output}}}"#)
}

fn json(text: &str) -> String {
    serde_json::to_string(text).expect("a string is always JSON")
}
