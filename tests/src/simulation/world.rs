//! Plays a script against the pure core in virtual time: no socket, no clock, one thread. A queue
//! of due acts stands for hyper and its timers; the promises watch every step.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use streamgate_core::answer::{Answer, Output};
use streamgate_core::config::Config;
use streamgate_core::failure::Failure;
use streamgate_core::gateway::{self, Arrival, Gateway};
use streamgate_core::health;
use streamgate_core::limit::ByteLimits;
use streamgate_core::protocol::ClientProtocol;
use streamgate_core::relay::{AttemptId, Call, Fallback, Head, Input, Settlement, Timeouts};
use streamgate_core::target::{
    ApiKey, ChosenBy, Model, Provider, ProviderProtocol, Target, Upstream,
};
use streamgate_core::time::Instant;

use super::choices::Random;
use super::promises::Promises;
use super::provider::{Act, Asked, Performance, perform};
use super::reader::Read;
use super::script::{Leave, RetryAfter, Script};

/// When every request comes, since 1970.
const UNIX_BEGAN: u64 = 1_750_000_000;
/// More steps than any script can take: beyond it the gateway turns in circles.
const STEPS_MAX: u32 = 50_000;
/// The name of the model that clients ask for.
const MODEL: &str = "m";
/// The length of the only message, in bytes.
const QUESTION: &str = "hi";

/// What came of a script.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The calls made, in order.
    pub calls: Vec<Called>,
    /// The response's head: when, and its status.
    pub head: Option<(Instant, u16)>,
    /// What the client read.
    pub read: Read,
    /// The client left before the end.
    pub left: bool,
    /// How it was accounted, and when.
    pub settlement: Option<(Instant, Settlement)>,
    /// A continuation finished within what it repeated.
    pub mumbled: bool,
}

/// One call as its provider saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Called {
    /// Which of the targets.
    pub place: usize,
    /// For a stream, or a whole answer.
    pub stream: bool,
    /// To go on with an answer.
    pub continues: bool,
}

/// Plays the script; an error says which promise was broken.
pub fn play(script: &Script) -> Result<Outcome, String> {
    World::new(script).run()
}

struct World<'a> {
    script: &'a Script,
    random: Random,
    cuts: Cuts,
    answer: Answer,
    now: Instant,
    until: Option<Instant>,
    calls: Vec<LiveCall>,
    writes: u32,
    /// When the client stops to read, and goes on.
    pauses: VecDeque<(Instant, bool)>,
    promises: Promises<'a>,
    outcome: Outcome,
}

struct LiveCall {
    attempt: AttemptId,
    due: VecDeque<(Instant, Act)>,
    body: Vec<u8>,
    content_at: Option<usize>,
}

/// How bytes are cut on their way.
#[derive(Clone, Copy, Debug)]
enum Cuts {
    AsSent,
    EachByte,
    Joined,
    Anywhere,
}

/// Something that is due.
#[derive(Clone, Copy)]
enum Due {
    Call(usize),
    Leave,
    Pause,
    Tick,
}

impl<'a> World<'a> {
    fn new(script: &'a Script) -> Self {
        let mut random = Random::new(u64::from(script.weather));
        let cuts = [Cuts::AsSent, Cuts::EachByte, Cuts::Joined, Cuts::Anywhere];
        let cuts = cuts[script.weather as usize % cuts.len()];
        let arrival = Arrival {
            caller: None,
            own_keys: Ok(Vec::new()),
            now: Instant::ZERO,
            unix_seconds: UNIX_BEGAN,
            random: u128::from(random.bits()),
            headers: Vec::new(),
        };
        let client = &script.client;
        let at = Instant::from_millis;
        let pauses = client.pauses.map(|(from, to)| [(at(from), true), (at(to), false)]);
        Self {
            script,
            random,
            cuts,
            answer: gateway(script).answer(
                gateway::Client::asked(client.protocol),
                &request(script),
                &arrival,
            ),
            now: Instant::ZERO,
            until: None,
            calls: Vec::new(),
            writes: 0,
            pauses: pauses.into_iter().flatten().collect(),
            promises: Promises::new(script),
            outcome: Outcome::default(),
        }
    }

    fn run(mut self) -> Result<Outcome, String> {
        self.drain()?;
        let mut steps = 0;
        while let Some((at, due)) = self.next() {
            steps += 1;
            if steps > STEPS_MAX {
                return Err("it goes on for ever".into());
            }
            self.now = self.now.max(at);
            self.happen(due);
            self.drain()?;
        }
        self.promises.over(&self.outcome)?;
        Ok(self.outcome)
    }

    /// What is due next; of several at the same time, any.
    fn next(&mut self) -> Option<(Instant, Due)> {
        let settled = self.outcome.settlement.is_some();
        let leaves = match self.script.client.leaves {
            Some(Leave::AtMs(ms)) if !self.outcome.left => Some(Instant::from_millis(ms)),
            _ => None,
        };
        let own = [
            (leaves.filter(|_| !settled), Due::Leave),
            (self.pauses.front().map(|(at, _)| *at), Due::Pause),
            (self.until.filter(|_| !settled), Due::Tick),
        ];
        let calls = self.calls.iter().enumerate();
        let calls =
            calls.map(|(index, call)| (call.due.front().map(|(at, _)| *at), Due::Call(index)));
        let (mut next, mut equals) = (None::<(Instant, Due)>, 0);
        for (at, due) in own.into_iter().chain(calls) {
            let Some(at) = at.map(|at| at.max(self.now)) else { continue };
            let is_first = next.is_none_or(|(first, _)| at < first);
            equals = if is_first {
                1
            } else {
                equals + u32::from(next.is_some_and(|(first, _)| at == first))
            };
            let is_equal = !is_first && next.is_some_and(|(first, _)| at == first);
            if is_first || (is_equal && self.random.below(equals) == 0) {
                next = Some((at, due));
            }
        }
        next
    }

    fn happen(&mut self, due: Due) {
        match due {
            Due::Leave => self.leave(),
            Due::Tick => self.answer.handle(self.now, Input::Tick),
            Due::Pause => match self.pauses.pop_front() {
                Some((_, true)) => self.answer.handle(self.now, Input::Pause),
                _ => self.answer.handle(self.now, Input::Resume),
            },
            Due::Call(index) => self.act(index),
        }
        if self.random.below(8) == 0 {
            // A shell may always look at the clock.
            self.answer.handle(self.now, Input::Tick);
        }
    }

    fn leave(&mut self) {
        self.outcome.left = true;
        self.promises.left();
        self.answer.handle(self.now, Input::Hangup);
    }

    fn act(&mut self, index: usize) {
        let call = &mut self.calls[index];
        let attempt = call.attempt;
        let Some((_, act)) = call.due.pop_front() else { return };
        self.promises.acts(attempt);
        match act {
            Act::Head { status, content_type, retry_after } => {
                let (header, millis) = retry_after_headers(retry_after);
                let head = Head {
                    status,
                    content_type,
                    retry_after: header.as_deref(),
                    retry_after_ms: millis.as_deref(),
                };
                self.answer.handle(self.now, Input::Head { attempt, head });
            }
            Act::Event(event) => {
                if event.is_content() {
                    self.promises.content();
                }
                self.answer.handle(self.now, Input::Event { attempt, event });
            }
            Act::Bytes(range) => {
                // An event may be whole before its last line end.
                if call.content_at.is_some_and(|at| at <= range.end + 3) {
                    self.promises.content();
                }
                let bytes = &call.body[range];
                self.answer.handle(self.now, Input::Bytes { attempt, bytes });
            }
            Act::End => {
                self.promises.ended(attempt);
                self.answer.handle(self.now, Input::End { attempt });
            }
            Act::Lost(reason) => {
                self.promises.ended(attempt);
                let failure = Failure::from(reason);
                self.answer.handle(self.now, Input::Lost { attempt, failure });
            }
        }
    }

    /// Does what the core asks for, until it waits.
    fn drain(&mut self) -> Result<(), String> {
        loop {
            match self.answer.poll() {
                Output::Wait { until } => {
                    self.promises.waits(self.now, until, &self.outcome.read)?;
                    self.until = until.map(|(at, _)| at);
                    return Ok(());
                }
                Output::Call(call) => self.call(&call)?,
                Output::Cancel { attempt } => {
                    self.promises.cancelled(attempt)?;
                    self.hush(attempt);
                }
                Output::Release { attempt } => {
                    self.promises.released(attempt)?;
                    self.hush(attempt);
                }
                Output::Head(head) => {
                    self.promises.head(self.now, &head)?;
                    self.outcome.head = Some((self.now, head.status));
                }
                Output::Body(bytes) => {
                    self.promises.body(bytes, &mut self.outcome.read)?;
                    self.writes += 1;
                    let enough = matches!(self.script.client.leaves, Some(Leave::AfterWrites(n)) if n == self.writes);
                    if enough && !self.outcome.left {
                        self.leave();
                    }
                }
                Output::Quota { user, .. } => return Err(format!("{user} has no quota here")),
                Output::Settle(settlement) => {
                    self.promises.settled(&settlement)?;
                    self.outcome.settlement = Some((self.now, *settlement));
                }
            }
        }
    }

    fn call(&mut self, call: &Call) -> Result<(), String> {
        let asked = if call.target.provider.upstream == Upstream::Local {
            Asked::of(call)
        } else {
            let http = call.http().map_err(|failure| failure.to_string())?;
            Asked::read(&http.body)?
        };
        self.promises.called(call, &asked, &self.outcome)?;
        let place = place(call);
        let nth = self.outcome.calls.iter().filter(|called| called.place == place).count();
        let continues = asked.delivered().is_some();
        let provider = &self.script.providers[place];
        let performance = perform(provider, nth, self.script.truth, &asked);
        self.outcome.mumbled |= performance.mumbles && continues;
        self.outcome.calls.push(Called { place, stream: asked.stream, continues });
        let due = self.deliver(&performance);
        let Performance { body, content_at, .. } = performance;
        self.calls.push(LiveCall { attempt: call.attempt, due, body, content_at });
        Ok(())
    }

    /// The acts of a call at their times, its bytes cut as the weather has it.
    fn deliver(&mut self, performance: &Performance) -> VecDeque<(Instant, Act)> {
        let mut due: VecDeque<(Instant, Act)> = VecDeque::new();
        for (ms, act) in &performance.acts {
            let at = self.now + Duration::from_millis(*ms);
            let Act::Bytes(bytes) = act else {
                due.push_back((at, act.clone()));
                continue;
            };
            match (self.cuts, due.back_mut()) {
                (Cuts::Joined, Some((before, Act::Bytes(joined)))) if *before == at => {
                    joined.end = bytes.end;
                }
                (Cuts::AsSent | Cuts::Joined, _) => due.push_back((at, act.clone())),
                (Cuts::EachByte, _) => {
                    due.extend(bytes.clone().map(|byte| (at, Act::Bytes(byte..byte + 1))));
                }
                (Cuts::Anywhere, _) => {
                    let mut start = bytes.start;
                    while start < bytes.end {
                        let end = bytes.end.min(start + 1 + self.random.below(90) as usize);
                        due.push_back((at, Act::Bytes(start..end)));
                        start = end;
                    }
                }
            }
        }
        due
    }

    /// The call is over, and most often silent from now on.
    fn hush(&mut self, attempt: AttemptId) {
        let talks_on = self.random.below(4) == 0;
        let call = self.calls.iter_mut().find(|call| call.attempt == attempt);
        if let Some(call) = call.filter(|_| !talks_on) {
            call.due.clear();
        }
    }
}

/// Which of the targets is called: providers are named by their place.
pub fn place(call: &Call) -> usize {
    usize::from(call.target.provider.name.as_bytes()[0] - b'a')
}

fn retry_after_headers(asked: RetryAfter) -> (Option<String>, Option<String>) {
    match asked {
        RetryAfter::Unsaid => (None, None),
        RetryAfter::Seconds(seconds) => (Some(seconds.to_string()), None),
        RetryAfter::Date(seconds) => {
            // 1_750_000_000 is 15:06:40 on that day.
            let (minute, second) = (6 + (40 + seconds) / 60, (40 + seconds) % 60);
            (Some(format!("Sun, 15 Jun 2025 15:{minute:02}:{second:02} GMT")), None)
        }
        RetryAfter::Millis(ms) => (None, Some(ms.to_string())),
    }
}

/// What the client sends.
fn request(script: &Script) -> Vec<u8> {
    let client = &script.client;
    if client.protocol == ClientProtocol::Token {
        return format!(r#"{{"message":"{QUESTION}","model":"{MODEL}"}}"#).into_bytes();
    }
    let max_tokens = client.max_tokens.map(|n| format!(r#","max_tokens":{n}"#)).unwrap_or_default();
    let options =
        if client.include_usage { r#","stream_options":{"include_usage":true}"# } else { "" };
    format!(
        r#"{{"model":"{MODEL}","stream":{},"messages":[{{"role":"user","content":"{QUESTION}"}}]{max_tokens}{options}}}"#,
        client.stream
    )
    .into_bytes()
}

const OPENAI: Upstream = Upstream::Http(ProviderProtocol::OpenAi);

static TIMEOUTS: LazyLock<Timeouts> = LazyLock::new(Timeouts::default);

/// The gateway of a script, as its configuration would have made it.
fn gateway(script: &Script) -> Gateway {
    let targets = script.providers.iter().zip(["a", "b", "c"]);
    let targets = targets.map(|(provider, name)| {
        Arc::new(Target {
            provider: Arc::new(Provider {
                name: name.into(),
                upstream: if provider.local { Upstream::Local } else { OPENAI },
                base_url: "http://x/v1".into(),
                api_key: ApiKey::None,
                user_keys: false,
                chosen_by: ChosenBy::Operator,
                models_dir: None,
                continuation: provider.continuation,
                dialect: None,
                headers: Vec::new(),
                stream: true,
            }),
            model: "unknown".into(),
            max_output_tokens: provider.max_tokens,
            context_window: None,
            listed: None,
        })
    });
    let model = Model { targets: targets.collect() };
    let knobs = &script.gateway;
    let breaker = health::Settings {
        failures_max: knobs.failures_max.try_into().expect("a breaker opens after some failures"),
        ..health::Settings::default()
    };
    Gateway::new(Config {
        default_model: None,
        listen: None,
        open: false,
        auth: None,
        store: None,
        providers: BTreeMap::new(),
        models: BTreeMap::from([(MODEL.to_owned(), model)]),
        timeouts: TIMEOUTS.clone(),
        fallback: Fallback {
            midstream: knobs.midstream,
            instruction: knobs.instruction().into(),
            exhausted: knobs.exhausted,
            hedge_after: Duration::from_millis(knobs.hedge_after_ms),
            retries: knobs.retries,
            breaker,
            ..Fallback::default()
        },
        limits: ByteLimits::default(),
    })
}
