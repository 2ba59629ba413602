//! A script: one client, one gateway, up to three providers and everything that goes wrong between
//! them. Drawn from [`Choices`], so that a seed, a fuzzer and a search through all short scripts
//! share it.

use std::fmt;

use streamgate_core::failure::Reason;
use streamgate_core::protocol::ClientProtocol;
use streamgate_core::relay::{Exhausted, Midstream};
use streamgate_core::target::Continuation;

use super::choices::Choices;

/// What happens in one run.
#[derive(Clone, Debug)]
pub struct Script {
    /// What every provider would say if nothing went wrong.
    pub truth: &'static str,
    /// Who asks.
    pub client: Client,
    /// How the gateway is configured.
    pub gateway: Gateway,
    /// Who is asked, in order.
    pub providers: Vec<Provider>,
    /// Chooses where bytes are cut on their way, which of two things at one time comes first, and
    /// whether a cancelled call still sends. No promise may depend on it.
    pub ordering_seed: u32,
}

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub struct Client {
    /// What it reads.
    pub protocol: ClientProtocol,
    /// As a stream, or whole.
    pub stream: bool,
    /// Whether it asks for the usage.
    pub include_usage: bool,
    /// The longest answer it asks for, in tokens.
    pub max_tokens: Option<u32>,
    /// When it leaves before the end.
    pub leaves: Option<Leave>,
    /// From when to when it does not read, in milliseconds.
    pub pauses: Option<(u64, u64)>,
}

/// When a client leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    /// At this time, in milliseconds.
    AtMs(u64),
    /// On getting so many writes.
    AfterWrites(u32),
}

/// How the gateway is configured.
#[derive(Clone, Copy, Debug)]
pub struct Gateway {
    /// What happens to an answer that breaks.
    pub midstream: Midstream,
    /// Whether a continuation is asked for by an instruction.
    pub instruction: bool,
    /// What the client gets when nobody is left.
    pub exhausted: Option<Exhausted>,
    /// When a second target joins, in milliseconds; 0 is never.
    pub hedge_after_ms: u64,
    /// How often targets that failed in passing are asked again.
    pub retries: u32,
    /// Failures in a row that open a breaker.
    pub failures_max: u32,
}

/// A provider of one target.
#[derive(Clone, Debug)]
pub struct Provider {
    /// It is a model in the gateway's own process, that emits events instead of bytes: no statuses,
    /// no frames that are none.
    pub local: bool,
    /// How it is asked to continue an answer.
    pub continuation: Continuation,
    /// It answers 400 when the last message is the assistant's.
    pub rejects_prefill: bool,
    /// Its model's limit by the configuration, in tokens.
    pub max_tokens: Option<u32>,
    /// What it does when called, call by call; the last again and again.
    pub calls: Vec<CallScript>,
}

/// What a provider does with one call.
#[derive(Clone, Debug)]
pub struct CallScript {
    /// How long it does nothing, in milliseconds.
    pub wait_ms: u64,
    /// And then.
    pub then: Then,
}

/// What a provider does after a while.
#[derive(Clone, Debug)]
pub enum Then {
    /// No connection is made, or it breaks before the head.
    Lost(Reason),
    /// Nothing, ever.
    Silence,
    /// It refuses.
    Status {
        /// With this status.
        code: u16,
        /// When it wants to be asked again.
        retry_after: RetryAfter,
        /// Its explanation never ends.
        stalls: bool,
    },
    /// It answers.
    Answer(Answer),
}

/// The forms of asking for a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryAfter {
    /// None.
    Unsaid,
    /// `retry-after`, in seconds.
    Seconds(u64),
    /// `retry-after`, a date so many seconds after the request came.
    Date(u64),
    /// `retry-after-ms`.
    Millis(u64),
}

/// An answer, good or bad.
#[derive(Clone, Debug)]
pub struct Answer {
    /// What the body is.
    pub form: Form,
    /// What a continuation repeats of what was delivered.
    pub repeats: Repeats,
    /// Its frames, in order.
    pub frames: Vec<Frame>,
    /// One more frame, of which only so many bytes come.
    pub torn: Option<(Frame, u32)>,
    /// How lines end.
    pub line_end: &'static str,
    /// How the body ends.
    pub end: Ending,
}

/// What the body of an answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A stream or a whole answer, as it was asked for.
    AsAsked,
    /// A whole answer in any case.
    Whole,
    /// A stream in any case.
    Stream,
    /// A web page.
    Html,
}

/// What a continuation repeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeats {
    /// Nothing: it continues where the answer broke.
    Nothing,
    /// The last characters that were delivered, this many; enough for the splice to tell.
    Chars(usize),
    /// The answer from its beginning.
    Everything,
}

/// One event of a stream, or a while without any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame {
    /// The rest of the truth.
    Rest,
    /// The next characters of the truth.
    Text(usize),
    /// Why it stopped.
    Finish,
    /// What it cost.
    Usage,
    /// `[DONE]`.
    Done,
    /// The role and an empty text.
    Role,
    /// The next characters, why it stopped and what it cost, in one event.
    Last(usize),
    /// Nothing for so many milliseconds.
    Pause(u64),
    /// A comment.
    Comment,
    /// `choices` is empty.
    NoChoices,
    /// No JSON.
    Garbage,
    /// An error in the stream.
    Error,
    /// A thought aloud.
    Thought,
    /// A fragment of a tool call.
    Tool,
}

/// How a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// In good order.
    Clean,
    /// The connection breaks.
    Reset,
    /// Not: it stays open and silent.
    Stall,
}

/// What a provider reports an attempt to cost: input and output tokens.
pub const COST: (u32, u32) = (7, 11);

/// No run of eight characters comes twice in any of these, and none begins with the same text
/// twice: so what a continuation repeats is always decidable, for a gateway that does it right.
pub const TRUTHS: [&str; 4] = [
    "The quick brown fox jumps over the lazy dog.",
    "Grüße aus \"Köln\" \\ 三つ😀 Zeile\nzwei\u{7}\tund 🧵 Ende.",
    "Hi",
    "A slow reader tells a fast writer to wait, and backpressure is how; without it one of them \
     drowns. Nobody likes queues that grow, yet everybody builds some — until the memory is gone.",
];

/// Times that lie well apart from each other, from every deadline and from their sums, in
/// milliseconds: within all deadlines, past the hedge, past two seconds, past the head's, past the
/// first byte's, past the one between tokens, past the first content's.
const TIMES_MS: [u64; 8] = [0, 3, 701, 2_903, 11_009, 16_033, 21_101, 31_307];

const INSTRUCTION: &str = "Go on.";
const FRAMES_MAX: u32 = 7;

impl Script {
    /// Any script.
    pub fn any(choices: &mut Choices<'_>) -> Self {
        let providers = choices.pick(&[1, 2, 2, 2, 3, 3]);
        Self {
            truth: choices.pick(&TRUTHS),
            client: Client::any(choices),
            gateway: Gateway::any(choices),
            providers: (0..providers).map(|_| Provider::any(choices)).collect(),
            ordering_seed: choices.below(256),
        }
    }

    /// One of the short scripts, few enough to try them all: what one or two providers can do in
    /// one or two calls each, seen by each kind of client.
    pub fn short(choices: &mut Choices<'_>) -> Self {
        let client = match choices.below(3) {
            0 => Client::PLAIN,
            1 => Client { stream: false, ..Client::PLAIN },
            _ => Client { protocol: ClientProtocol::Token, ..Client::PLAIN },
        };
        let gateway = Gateway { retries: choices.below(2), ..Gateway::PLAIN };
        let providers = 1 + choices.below(2);
        let providers = (0..providers).map(|_| Provider::short(choices)).collect();
        Self { truth: TRUTHS[0], client, gateway, providers, ordering_seed: 0 }
    }

    /// One of the short streams: every sequence of so many frames with every ending, and a second
    /// provider to mend it.
    pub fn short_stream(choices: &mut Choices<'_>, frames: u32) -> Self {
        let client = match choices.below(2) {
            0 => Client::PLAIN,
            _ => Client { protocol: ClientProtocol::Token, ..Client::PLAIN },
        };
        let frames = (0..frames).map(|_| choices.pick(&Frame::SHORT)).collect();
        let end = choices.pick(&[Ending::Clean, Ending::Reset, Ending::Stall]);
        let first = Then::Answer(Answer { frames, end, ..Answer::healthy() });
        let mut second = Answer::healthy();
        second.repeats = choices.pick(&[Repeats::Nothing, Repeats::Everything]);
        let providers = vec![Provider::of(first), Provider::of(Then::Answer(second))];
        Self { truth: TRUTHS[0], client, gateway: Gateway::PLAIN, providers, ordering_seed: 0 }
    }
}

impl Client {
    const PLAIN: Self = Self {
        protocol: ClientProtocol::OpenAi,
        stream: true,
        include_usage: false,
        max_tokens: None,
        leaves: None,
        pauses: None,
    };

    fn any(choices: &mut Choices<'_>) -> Self {
        let protocol =
            choices.pick(&[ClientProtocol::OpenAi, ClientProtocol::OpenAi, ClientProtocol::Token]);
        let token = protocol == ClientProtocol::Token;
        Self {
            protocol,
            stream: !choices.once_in(5) || token,
            include_usage: choices.once_in(2),
            max_tokens: choices.pick(&[None, Some(1), Some(50), Some(9_000)]).filter(|_| !token),
            leaves: match choices.below(12) {
                10 => Some(Leave::AtMs(choices.pick(&TIMES_MS))),
                11 => Some(Leave::AfterWrites(1 + choices.below(4))),
                _ => None,
            },
            pauses: choices.once_in(12).then(|| {
                let from = choices.pick(&TIMES_MS);
                (from, from + choices.pick(&TIMES_MS))
            }),
        }
    }
}

impl Gateway {
    const PLAIN: Self = Self {
        midstream: Midstream::Continue,
        instruction: false,
        exhausted: None,
        hedge_after_ms: 0,
        retries: 2,
        failures_max: 5,
    };

    fn any(choices: &mut Choices<'_>) -> Self {
        Self {
            midstream: if choices.once_in(6) { Midstream::Stop } else { Midstream::Continue },
            instruction: choices.once_in(2),
            exhausted: choices.pick(&[None, Some(Exhausted::Message), Some(Exhausted::Error)]),
            hedge_after_ms: choices.pick(&[0, 0, 0, 0, 500]),
            retries: choices.below(3),
            failures_max: choices.pick(&[5, 5, 5, 2, 1]),
        }
    }

    /// The instruction for a continuation; none if empty.
    pub fn instruction(&self) -> &'static str {
        if self.instruction { INSTRUCTION } else { "" }
    }
}

impl Provider {
    fn of(then: Then) -> Self {
        Self {
            local: false,
            continuation: Continuation::Ask,
            rejects_prefill: false,
            max_tokens: None,
            calls: vec![CallScript { wait_ms: 0, then }],
        }
    }

    fn any(choices: &mut Choices<'_>) -> Self {
        let ways =
            [Continuation::Ask, Continuation::Prefill, Continuation::Prefill, Continuation::Stop];
        let calls = 1 + choices.below(3);
        Self {
            local: choices.once_in(8),
            continuation: choices.pick(&ways),
            rejects_prefill: choices.once_in(6),
            max_tokens: choices.pick(&[None, None, Some(40)]),
            calls: (0..calls).map(|_| CallScript::any(choices)).collect(),
        }
    }

    fn short(choices: &mut Choices<'_>) -> Self {
        let calls = 1 + choices.below(2);
        let call_script = |_| CallScript { wait_ms: 0, then: Then::short(choices) };
        let calls = (0..calls).map(call_script).collect();
        Self { calls, ..Self::of(Then::Silence) }
    }

    /// What it does when it is called for the `nth` time, from 0.
    pub fn call_script(&self, nth: usize) -> &CallScript {
        &self.calls[nth.min(self.calls.len() - 1)]
    }
}

impl CallScript {
    fn any(choices: &mut Choices<'_>) -> Self {
        let then = Then::any(choices);
        let wait_ms = if choices.once_in(4) { choices.pick(&TIMES_MS) } else { 0 };
        Self { wait_ms, then }
    }
}

const CODES: [u16; 18] =
    [400, 401, 402, 403, 404, 408, 409, 413, 422, 425, 429, 429, 500, 501, 502, 503, 504, 529];

impl Then {
    fn any(choices: &mut Choices<'_>) -> Self {
        match choices.below(12) {
            0..=2 => Self::Answer(Answer::healthy()),
            3 => Self::Lost(choices.pick(&[Reason::Connect, Reason::Dns, Reason::Tls])),
            4 => Self::Silence,
            5 | 6 => Self::Status {
                code: choices.pick(&CODES),
                retry_after: RetryAfter::any(choices),
                stalls: false,
            },
            7 if choices.once_in(4) => Self::Status {
                code: choices.pick(&CODES),
                retry_after: RetryAfter::Unsaid,
                stalls: true,
            },
            _ => Self::Answer(Answer::any(choices)),
        }
    }

    fn short(choices: &mut Choices<'_>) -> Self {
        let status = |code| Self::Status { code, retry_after: RetryAfter::Unsaid, stalls: false };
        let answer = |frames: &[Frame], end| {
            Self::Answer(Answer { frames: frames.to_vec(), end, ..Answer::healthy() })
        };
        match choices.below(12) {
            0 => Self::Answer(Answer::healthy()),
            1 => Self::Lost(Reason::Connect),
            2 => Self::Silence,
            3 => status(401),
            4 => status(422),
            5 => status(500),
            6 => answer(&[Frame::Role, Frame::Done], Ending::Clean),
            7 => answer(&[Frame::Garbage], Ending::Clean),
            8 => answer(&[Frame::Text(10)], Ending::Clean),
            9 => answer(&[Frame::Text(10), Frame::Text(9)], Ending::Stall),
            10 => answer(&[Frame::Rest, Frame::Finish], Ending::Reset),
            _ => Self::Answer(Answer { repeats: Repeats::Everything, ..Answer::healthy() }),
        }
    }
}

impl RetryAfter {
    fn any(choices: &mut Choices<'_>) -> Self {
        let seconds = choices.pick(&[1, 3, 8, 21]);
        match choices.below(5) {
            0 | 1 => Self::Unsaid,
            2 => Self::Seconds(seconds),
            3 => Self::Date(seconds),
            _ => Self::Millis(seconds * 5),
        }
    }
}

impl Answer {
    /// Nothing goes wrong with it on its way.
    pub fn is_unharmed(&self) -> bool {
        self.form == Form::AsAsked && self.torn.is_none() && self.end == Ending::Clean
    }

    /// An answer as it should be.
    pub fn healthy() -> Self {
        Self {
            form: Form::AsAsked,
            repeats: Repeats::Nothing,
            frames: vec![
                Frame::Role,
                Frame::Text(9),
                Frame::Rest,
                Frame::Finish,
                Frame::Usage,
                Frame::Done,
            ],
            torn: None,
            line_end: "\n",
            end: Ending::Clean,
        }
    }

    fn any(choices: &mut Choices<'_>) -> Self {
        let mut frames: Vec<Frame> =
            (0..choices.below(FRAMES_MAX + 1)).map(|_| Frame::any(choices)).collect();
        if choices.once_in(2) {
            frames.extend([Frame::Rest, Frame::Finish, Frame::Done]);
        }
        Self {
            form: match choices.below(16) {
                13 => Form::Whole,
                14 => Form::Stream,
                15 => Form::Html,
                _ => Form::AsAsked,
            },
            repeats: match choices.below(4) {
                0 | 1 => Repeats::Nothing,
                2 => Repeats::Chars(8 + choices.below(12) as usize),
                _ => Repeats::Everything,
            },
            frames,
            torn: choices.once_in(3).then(|| (Frame::any(choices), choices.below(400))),
            line_end: choices.pick(&["\n", "\n", "\r\n", "\r"]),
            end: choices.pick(&[Ending::Clean, Ending::Reset, Ending::Clean, Ending::Stall]),
        }
    }
}

impl Frame {
    /// What the short streams are made of.
    const SHORT: [Self; 9] = [
        Self::Text(9),
        Self::Rest,
        Self::Finish,
        Self::Usage,
        Self::Done,
        Self::Role,
        Self::Last(9),
        Self::Garbage,
        Self::Error,
    ];

    fn any(choices: &mut Choices<'_>) -> Self {
        match choices.below(24) {
            0..=6 => Self::Text(1 + choices.below(16) as usize),
            7 | 8 => Self::Role,
            9 | 10 => Self::Finish,
            11 => Self::Done,
            12 => Self::Usage,
            13 => Self::Last(choices.below(9) as usize),
            14..=16 => Self::Pause(choices.pick(&TIMES_MS)),
            17 => Self::Comment,
            18 => Self::NoChoices,
            19 => Self::Garbage,
            20 => Self::Error,
            21 => Self::Thought,
            22 => Self::Tool,
            _ => Self::Rest,
        }
    }
}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "truth     {:?}", self.truth)?;
        writeln!(f, "{:?}", self.client)?;
        writeln!(f, "{:?}", self.gateway)?;
        writeln!(f, "ordering_seed   {}", self.ordering_seed)?;
        for (place, provider) in self.providers.iter().enumerate() {
            let Provider { local, continuation, rejects_prefill, max_tokens, calls } = provider;
            writeln!(
                f,
                "target {place}: local {local}, {continuation:?}, rejects_prefill {rejects_prefill}, \
                 max_tokens {max_tokens:?}"
            )?;
            for CallScript { wait_ms, then } in calls {
                writeln!(f, "    after {wait_ms} ms {then:?}")?;
            }
        }
        Ok(())
    }
}
