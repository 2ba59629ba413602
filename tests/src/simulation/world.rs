//! Plays a script against the pure core in virtual time, while the promises watch every step.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use streamgate_core::answer::{Answer, Head, Timer};
use streamgate_core::config::Config;
use streamgate_core::gateway::{self, Arrival, Gateway};
use streamgate_core::health;
use streamgate_core::limit::ByteLimits;
use streamgate_core::protocol::ClientProtocol;
use streamgate_core::relay::{self, AttemptId, Call, Fallback, Input, Settlement, Timeouts};
use streamgate_core::target::{
    ApiKey, ChosenBy, Model, Provider, ProviderProtocol, Target, Transport, Upstream,
};
use streamgate_core::time::Instant;

use super::choices::Random;
use super::promises::Promises;
use super::provider::{Act, Asked, Response, respond};
use super::reader::Read;
use super::script::{Leave, RetryAfter, Script};
use crate::world::{Closed, Host, Moment, Reaction, World};

/// When every request comes, since 1970.
const UNIX_BEGAN: u64 = 1_750_000_000;
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
    pub ended_in_overlap: bool,
}

/// One call as its provider saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Called {
    /// Which of the targets.
    pub place: usize,
    /// For a stream, or a whole answer.
    pub stream: bool,
    /// To continue an answer.
    pub continues: bool,
}

/// Plays the script. The error is which promise was broken.
pub fn play(script: &Script) -> Result<Outcome, String> {
    let mut random = Random::new(u64::from(script.ordering_seed));
    let answer = answer(script, u128::from(random.bits()));
    let mut world =
        World::begin(answer, Stage::new(script, random), Instant::ZERO, moments(script))?;
    world.run()?;
    let Stage { promises, outcome, .. } = world.host;
    promises.over(&outcome)?;
    Ok(outcome)
}

/// What the client does by the clock, in order.
fn moments(script: &Script) -> VecDeque<(Instant, Moment)> {
    let leave = match script.client.leaves {
        Some(Leave::AtMs(ms)) => Some((ms, Moment::Leave)),
        Some(Leave::AfterWrites(_)) | None => None,
    };
    let pauses = script.client.pauses;
    let pauses = pauses.map(|(from, to)| [(from, Moment::Pause), (to, Moment::Resume)]);
    let mut all: Vec<_> = leave.into_iter().chain(pauses.into_iter().flatten()).collect();
    all.sort_by_key(|(ms, _)| *ms);
    all.into_iter().map(|(ms, moment)| (Instant::from_millis(ms), moment)).collect()
}

/// The providers and the client of a script, and the promises that watch.
struct Stage<'a> {
    script: &'a Script,
    random: Random,
    cuts: Cuts,
    /// The body of each call.
    bodies: Vec<Body>,
    /// The `retry-after` of the last head, in either form.
    retry_after: (Option<String>, Option<String>),
    writes: u32,
    promises: Promises<'a>,
    outcome: Outcome,
}

/// The body of a call's response, and how much of it there is with its first content.
struct Body {
    attempt: AttemptId,
    bytes: Vec<u8>,
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

impl<'a> Stage<'a> {
    fn new(script: &'a Script, random: Random) -> Self {
        let cuts = [Cuts::AsSent, Cuts::EachByte, Cuts::Joined, Cuts::Anywhere];
        Self {
            script,
            random,
            cuts: cuts[script.ordering_seed as usize % cuts.len()],
            bodies: Vec::new(),
            retry_after: (None, None),
            writes: 0,
            promises: Promises::new(script),
            outcome: Outcome::default(),
        }
    }

    /// The acts of a call at their times, its bytes cut as the seed has it.
    fn deliver(&mut self, now: Instant, acts: Vec<(u64, Act)>) -> VecDeque<(Instant, Act)> {
        let mut due: VecDeque<(Instant, Act)> = VecDeque::new();
        for (ms, act) in acts {
            let at = now + Duration::from_millis(ms);
            let Act::Bytes(bytes) = act else {
                due.push_back((at, act));
                continue;
            };
            match (self.cuts, due.back_mut()) {
                (Cuts::Joined, Some((before, Act::Bytes(joined)))) if *before == at => {
                    joined.end = bytes.end;
                }
                (Cuts::AsSent | Cuts::Joined, _) => due.push_back((at, Act::Bytes(bytes))),
                (Cuts::EachByte, _) => {
                    due.extend(bytes.map(|byte| (at, Act::Bytes(byte..byte + 1))));
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

    /// A call is over, and most often silent from now on.
    fn close(&mut self) -> Closed {
        if self.random.below(4) == 0 { Closed::Late } else { Closed::Silent }
    }
}

impl Host<Answer> for Stage<'_> {
    type Act = Act;

    fn call(&mut self, now: Instant, call: &Call) -> Result<VecDeque<(Instant, Act)>, String> {
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
        let response = respond(&self.script.providers[place], nth, self.script.truth, &asked);
        self.outcome.ended_in_overlap |= response.ends_in_overlap && continues;
        self.outcome.calls.push(Called { place, stream: asked.stream, continues });
        let Response { acts, body: bytes, content_at, .. } = response;
        self.bodies.push(Body { attempt: call.attempt, bytes, content_at });
        Ok(self.deliver(now, acts))
    }

    fn act<'a>(&'a mut self, _now: Instant, attempt: AttemptId, act: &'a Act) -> Input<'a> {
        self.promises.acts(attempt);
        match act {
            Act::Head { status, content_type, retry_after } => {
                self.promises.answered(attempt, *status);
                self.retry_after = retry_after_headers(*retry_after);
                let (retry_after, retry_after_ms) = &self.retry_after;
                let head = relay::Head {
                    status: *status,
                    content_type,
                    retry_after: retry_after.as_deref(),
                    retry_after_ms: retry_after_ms.as_deref(),
                    ..relay::Head::default()
                };
                Input::Head { attempt, head }
            }
            Act::Event(event) => {
                if event.is_content() {
                    self.promises.content();
                }
                Input::Event { attempt, event: event.clone() }
            }
            Act::Bytes(range) => {
                let body = self.bodies.iter().find(|body| body.attempt == attempt);
                let body = body.expect("only a call that was made has bytes");
                // An event may be whole before its last line end.
                if body.content_at.is_some_and(|at| at <= range.end + 3) {
                    self.promises.content();
                }
                Input::Bytes { attempt, bytes: &body.bytes[range.clone()] }
            }
            Act::End => {
                self.promises.ended(attempt);
                Input::End { attempt }
            }
            Act::Lost(reason) => {
                self.promises.ended(attempt);
                Input::Lost { attempt, failure: (*reason).into() }
            }
        }
    }

    fn cancel(&mut self, _now: Instant, attempt: AttemptId) -> Result<Closed, String> {
        self.promises.cancelled(attempt)?;
        Ok(self.close())
    }

    fn release(&mut self, _now: Instant, attempt: AttemptId) -> Result<Closed, String> {
        self.promises.released(attempt)?;
        Ok(self.close())
    }

    fn head(&mut self, now: Instant, head: Head) -> Result<(), String> {
        self.outcome.head = Some((now, head.status));
        self.promises.head(now, &head)
    }

    fn body(&mut self, _now: Instant, bytes: &[u8]) -> Result<Reaction, String> {
        self.promises.body(bytes, &mut self.outcome.read)?;
        self.writes += 1;
        let enough = self.script.client.leaves == Some(Leave::AfterWrites(self.writes));
        Ok(if enough { Reaction::Leave } else { Reaction::Read })
    }

    fn moment(&mut self, _now: Instant, moment: Moment) {
        if moment == Moment::Leave {
            self.outcome.left = true;
            self.promises.left();
        }
    }

    fn own(
        &mut self,
        _answer: &mut Answer,
        now: Instant,
        settlement: Box<Settlement>,
    ) -> Result<bool, String> {
        self.promises.settled(&settlement)?;
        self.outcome.settlement = Some((now, *settlement));
        Ok(true)
    }

    fn waits(&mut self, now: Instant, until: Option<(Instant, Timer)>) -> Result<(), String> {
        self.promises.waits(now, until, &self.outcome.read)
    }

    fn choose(&mut self, equals: usize) -> usize {
        self.random.below(equals as u32) as usize
    }

    /// A shell may always do that.
    fn looks_at_the_clock(&mut self) -> bool {
        self.random.below(8) == 0
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

/// The answer to the script's client.
fn answer(script: &Script, random: u128) -> Answer {
    let arrival = Arrival {
        caller: None,
        own_keys: Ok(Vec::new()),
        now: Instant::ZERO,
        unix_seconds: UNIX_BEGAN,
        random,
        headers: Vec::new(),
    };
    let client = gateway::Client::new(script.client.protocol);
    gateway(script).answer(client, &request(script), &arrival)
}

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
                transport: Transport::default(),
                proxy: None,
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
        patterns: Vec::new(),
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
