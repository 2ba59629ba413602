//! Runs a scenario against the pure core in virtual time: no socket, no clock, one thread. What a
//! shell does with hyper and timers, a queue of due inputs does here, so a run takes microseconds
//! and is the same every time.
//!
//! Each scenario runs once per [`Delivery`]: where a provider's bytes are cut on their way must make
//! no difference, and neither must what a call still says after it was cancelled.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use serde_json::Value;
use streamgate_core::access::{self, Credentials};
use streamgate_core::answer::{Answer, Output};
use streamgate_core::config::Config;
use streamgate_core::failure::{Failure, Reason};
use streamgate_core::gateway::{Arrival, Gateway, Reply, Route};
use streamgate_core::relay::{AttemptId, Call, Head, Input};
use streamgate_core::time::Instant;

use crate::answer::{self, Ending, Read, Reader};
use crate::check::{Seen, check};
use crate::provider::CallRecord;
use crate::scenario::{Client, Leave, Pause, Scenario, secret};
use crate::script::{self, Act, AnswerMeta, Framing, split};

/// How a provider's bytes come to the core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Delivery {
    /// Each send by itself.
    AsSent,
    /// Each byte by itself; of many, a few at a time.
    ByteByByte,
    /// Everything that is sent without a pause in one piece.
    Joined,
    /// Each send by itself, and those of a cancelled call too.
    Late,
}

const DELIVERIES: [Delivery; 4] =
    [Delivery::AsSent, Delivery::ByteByByte, Delivery::Joined, Delivery::Late];

/// No answer takes longer; one that waits for nothing ends here.
const VIRTUAL_TIME_MAX: Duration = Duration::from_secs(3600);

/// In how many pieces a call's bytes come at most, about.
const PIECES_MAX: usize = 100_000;

/// When virtual time begins, in seconds since 1970.
const UNIX_SECONDS: u64 = 1_750_000_000;

/// Plays the scenario in every delivery and judges what came of it.
pub fn on_core(scenario: &Scenario) -> Result<(), String> {
    for delivery in DELIVERIES {
        let seen = play(scenario, delivery)?;
        let told = |seen: &[Seen]| seen.iter().map(|one| format!("\n{one}")).collect::<String>();
        check(scenario, &seen).map_err(|wrong| format!("{delivery:?}: {wrong}{}", told(&seen)))?;
    }
    Ok(())
}

/// Plays the scenario's requests, group by group.
fn play(scenario: &Scenario, delivery: Delivery) -> Result<Vec<Seen>, String> {
    let gateway = gateway(scenario)?;
    let stage = Stage { scenario, delivery, gateway: &gateway, made: RefCell::default() };
    let mut now = Instant::ZERO;
    let mut seen = Vec::new();
    for group in scenario.groups() {
        let mut requests = Vec::new();
        let mut over = now;
        for exchange in &group {
            now = now + exchange.wait;
            advance(&mut requests, Some(now))?;
            requests.push(Request::begin(&stage, exchange.client, now)?);
        }
        advance(&mut requests, None)?;
        for request in requests {
            let (ended, one) = request.over()?;
            over = over.max(ended);
            seen.push(one);
        }
        now = over;
    }
    Ok(seen)
}

/// Lets happen what happens before `until`, in its order.
fn advance(requests: &mut [Request<'_>], until: Option<Instant>) -> Result<(), String> {
    loop {
        let running = requests.iter_mut().filter_map(|request| match &mut request.progress {
            Progress::Known(_) => None,
            Progress::Running(run) => Some((run.next_moment()?, run)),
        });
        match running.min_by_key(|(at, _)| *at) {
            Some((at, run)) if until.is_none_or(|until| at < until) => run.step(at)?,
            _ => return Ok(()),
        }
    }
}

/// One request, as far as it has come.
struct Request<'a> {
    began: Instant,
    /// What was fetched to let it in.
    fetched: Vec<(String, CallRecord)>,
    progress: Progress<'a>,
}

enum Progress<'a> {
    Known(Seen),
    Running(Box<CoreRun<'a>>),
}

impl<'a> Request<'a> {
    fn begin(stage: &'a Stage<'a>, client: &'a Client, now: Instant) -> Result<Self, String> {
        let (asked, fetched) = ask(stage, client, now)?;
        let progress = match asked {
            Asked::Known(reply) => Progress::Known(known(stage.scenario, reply)),
            Asked::Answer(answer) => {
                Progress::Running(Box::new(CoreRun::begin(stage, client, answer, now)?))
            }
        };
        Ok(Self { began: now, fetched, progress })
    }

    /// What was seen of it, now that nothing more happens, and when it was over.
    fn over(self) -> Result<(Instant, Seen), String> {
        let mut seen = match self.progress {
            Progress::Known(seen) => seen,
            Progress::Running(run) => run.over()?,
        };
        for (provider, record) in self.fetched {
            seen.calls.entry(provider).or_default().insert(0, record);
        }
        Ok((self.began + seen.answer.ended, seen))
    }
}

/// What a shell does with a request.
enum Asked {
    Known(Reply),
    Answer(Box<Answer>),
}

/// Lets the request in, and begins to answer it. Returns too what was fetched on the way.
fn ask(
    stage: &Stage<'_>,
    client: &Client,
    now: Instant,
) -> Result<(Asked, Vec<(String, CallRecord)>), String> {
    let gateway = stage.gateway;
    let path = client.path().split('?').next().unwrap_or_default();
    let route = gateway.route(client.method(), path);
    match route.clone() {
        Route::Reply(reply) => return Ok((Asked::Known(reply), Vec::new())),
        // The core has no store by itself.
        Route::ProviderKey { .. } => {
            let missing = Reply::failure(&Reason::StoreMissing.into());
            return Ok((Asked::Known(missing), Vec::new()));
        }
        Route::Private(_) | Route::Chat(_) => {}
    }
    let unix_seconds = UNIX_SECONDS + now.since(Instant::ZERO).as_secs();
    let mut admission =
        gateway.admit(&Credentials::read(|name| client.headers.get(name)), now, unix_seconds);
    let mut fetched = Vec::new();
    let caller = loop {
        match admission.poll() {
            access::Output::Admitted(caller) => break Ok(caller),
            access::Output::Refused(failure) => break Err(failure),
            access::Output::Query(_) => return Err("the core has no store".into()),
            access::Output::Fetch { url } => {
                let (provider, record, body) = stage.fetch(&url)?;
                fetched.push((provider, record));
                // Why there are no new keys is for the log.
                let _ = admission.fetched(now, body.as_deref().map_err(Clone::clone));
            }
        }
    };
    let protocol = match (route, &caller) {
        (Route::Chat(protocol), _) => protocol,
        (Route::Reply(reply) | Route::Private(reply), Ok(_)) => {
            return Ok((Asked::Known(reply), fetched));
        }
        (Route::ProviderKey { .. }, Ok(_)) => return Err("the core has no store".into()),
        (Route::ProviderKey { .. } | Route::Reply(_) | Route::Private(_), Err(failure)) => {
            return Ok((Asked::Known(Reply::failure(failure)), fetched));
        }
    };
    let random = u128::from(now.as_micros());
    let headers = protocol.headers(|name| client.headers.get(name).cloned());
    let arrival =
        |caller| Arrival { caller, own_keys: Ok(Vec::new()), now, unix_seconds, random, headers };
    let body = client.body_bytes();
    let answer = match caller {
        Err(failure) => gateway.refuse(protocol, failure, &arrival(None)),
        Ok(caller) if body.len() > gateway.request_bytes_max() => {
            gateway.refuse(protocol, gateway.body_too_large(), &arrival(caller))
        }
        Ok(caller) => gateway.answer(protocol, &body, &arrival(caller)),
    };
    Ok((Asked::Answer(Box::new(answer)), fetched))
}

fn gateway(scenario: &Scenario) -> Result<Gateway, String> {
    let base_url = |name: &String| (name.clone(), format!("http://{name}/v1"));
    let base_urls: HashMap<_, _> = scenario.provider.keys().map(base_url).collect();
    let config = Config::parse(&scenario.config_text(&base_urls), secret);
    Ok(Gateway::new(config.map_err(|error| format!("the configuration: {error}"))?))
}

/// What a client sees of a response that needs no provider.
fn known(scenario: &Scenario, reply: Reply) -> Seen {
    let read = Read { at: Duration::ZERO, bytes: reply.body };
    let answer = answer::Answer {
        head: Some(head(reply.status, &reply.headers)),
        reads: vec![read],
        ..answer::Answer::default()
    };
    let calls = scenario.provider.keys().map(|name| (name.clone(), Vec::new())).collect();
    Seen { answer, calls }
}

fn head(status: u16, headers: &[(&'static str, String)]) -> answer::Head {
    let headers = headers.iter().map(|(name, value)| (name.to_string(), value.clone()));
    answer::Head { status, headers: headers.collect() }
}

/// What is the same for every request.
struct Stage<'a> {
    scenario: &'a Scenario,
    delivery: Delivery,
    gateway: &'a Gateway,
    /// How often each provider was called.
    made: RefCell<BTreeMap<String, usize>>,
}

/// One answer, its client and the calls it makes.
struct CoreRun<'a> {
    stage: &'a Stage<'a>,
    answer: Box<Answer>,
    began: Instant,
    now: Instant,
    until: Option<Instant>,
    calls: Vec<LiveCall>,
    client: CoreClient<'a>,
    records: BTreeMap<String, Vec<CallRecord>>,
    settled: bool,
}

/// A call and what is still to come of it.
struct LiveCall {
    attempt: AttemptId,
    provider: String,
    /// Which of the provider's calls.
    index: usize,
    /// What happens next, and when.
    due: VecDeque<(Instant, Happening)>,
}

/// Something a shell would tell the core.
#[derive(Clone, Debug)]
enum Happening {
    Head(script::Head),
    Bytes(bytes::Bytes),
    End,
    Lost(Reason),
}

impl<'a> CoreRun<'a> {
    fn begin(
        stage: &'a Stage<'a>,
        client: &'a Client,
        answer: Box<Answer>,
        began: Instant,
    ) -> Result<Self, String> {
        let no_calls = |name: &String| (name.clone(), Vec::new());
        let mut run = Self {
            records: stage.scenario.provider.keys().map(no_calls).collect(),
            stage,
            answer,
            began,
            now: began,
            until: None,
            calls: Vec::new(),
            client: CoreClient::new(client, began),
            settled: false,
        };
        run.drain()?;
        Ok(run)
    }

    /// Lets one thing happen that is due at `next`.
    fn step(&mut self, next: Instant) -> Result<(), String> {
        if next > self.began + VIRTUAL_TIME_MAX {
            return Err(format!("the answer is not over after {VIRTUAL_TIME_MAX:?}"));
        }
        self.now = self.now.max(next);
        self.happen();
        self.drain()
    }

    fn over(self) -> Result<Seen, String> {
        if !self.settled {
            return Err("the answer waits for nothing and is not settled".into());
        }
        Ok(Seen { answer: self.client.answer, calls: self.records })
    }

    /// When the next thing happens; of calls that were cancelled too, where they come late.
    fn next_moment(&self) -> Option<Instant> {
        let calls = self.calls.iter().filter(|_| self.is_read());
        let calls = calls.filter_map(|call| Some(call.due.front()?.0));
        let client = self.client.leaves_at().into_iter().chain(self.client.paused_until);
        let own = self.until.into_iter().chain(client);
        let own = own.filter(|_| !self.settled);
        calls.chain(own).min()
    }

    /// Whether providers are read: not while their client does not read.
    fn is_read(&self) -> bool {
        self.client.paused_until.is_none() || self.settled
    }

    /// Tells the core one thing that is due: the client's leaving, a provider's act, or the time.
    fn happen(&mut self) {
        let now = self.now;
        if self.client.leaves_at().is_some_and(|at| at <= now) && !self.settled {
            self.client.leave(now);
            return self.answer.handle(now, Input::Hangup);
        }
        if self.client.paused_until.is_some_and(|until| until <= now) && !self.settled {
            return self.resume();
        }
        let is_read = self.is_read();
        let due = |call: &LiveCall| is_read && call.due.front().is_some_and(|(at, _)| *at <= now);
        match self.calls.iter().position(due) {
            Some(place) => self.happen_in_call(place),
            None => self.answer.handle(now, Input::Tick),
        }
    }

    /// The client reads again; whoever could send on had to wait for that.
    fn resume(&mut self) {
        self.client.paused_until = None;
        for record in self.records.values_mut().flatten() {
            if record.ended.is_none() && record.closed.is_none() {
                record.held_bytes = Some(record.sent_bytes);
            }
        }
        self.answer.handle(self.now, Input::Resume);
    }

    fn happen_in_call(&mut self, place: usize) {
        let call = &mut self.calls[place];
        let attempt = call.attempt;
        let Some((_, happening)) = call.due.pop_front() else { return };
        let record = self.records.get_mut(&call.provider).map(|records| &mut records[call.index]);
        if let (Some(record), Happening::Bytes(bytes)) = (record, &happening) {
            record.sent_bytes += bytes.len();
        }
        match &happening {
            Happening::Head(head) => {
                let head =
                    head.at(Duration::from_secs(UNIX_SECONDS) + self.now.since(Instant::ZERO));
                let header = |name: &str| head.headers.get(name).map(String::as_str);
                let head = Head::read(head.status, header);
                self.answer.handle(self.now, Input::Head { attempt, head });
            }
            Happening::Bytes(bytes) => {
                self.answer.handle(self.now, Input::Bytes { attempt, bytes });
            }
            Happening::End => self.answer.handle(self.now, Input::End { attempt }),
            Happening::Lost(reason) => {
                let failure = Failure::new(*reason, "");
                self.answer.handle(self.now, Input::Lost { attempt, failure });
            }
        }
        let call = &mut self.calls[place];
        if let (true, Some(records)) =
            (call.due.is_empty() && happening.is_last(), self.records.get_mut(&call.provider))
        {
            records[call.index].ended = Some(self.now.since(self.began));
        }
    }

    /// Does what the core asks for.
    fn drain(&mut self) -> Result<(), String> {
        loop {
            match self.answer.poll() {
                Output::Wait { until } => {
                    self.until = until.map(|(at, _)| at);
                    return Ok(());
                }
                output if self.settled => {
                    return Err(format!("the settlement was not the last: {output:?}"));
                }
                Output::Call(call) => self.call(&call)?,
                Output::Cancel { attempt } => self.cancel(attempt),
                Output::Release { attempt } => self.release(attempt),
                Output::Head(sent) => {
                    self.client.answer.head = Some(head(sent.status, &sent.headers));
                }
                Output::Body(bytes) => match self.client.read(self.now, bytes) {
                    Reaction::ReadOn => {}
                    Reaction::Pause => self.answer.handle(self.now, Input::Pause),
                    Reaction::Leave => {
                        self.client.leave(self.now);
                        self.answer.handle(self.now, Input::Hangup);
                    }
                },
                Output::Quota { user, op } => {
                    let entered = self.stage.gateway.apply(&user, &op, self.now);
                    self.answer.entered(self.now, entered);
                }
                Output::Settle(_) => {
                    self.settled = true;
                    self.client.end(self.now);
                }
            }
        }
    }

    fn call(&mut self, call: &Call) -> Result<(), String> {
        let http = call.http().map_err(|failure| failure.to_string())?;
        let path = http.url.split_once("://").and_then(|(_, rest)| rest.split_once('/'));
        let (provider, path) = path.ok_or_else(|| format!("{} is no URL", http.url))?;
        let script = self.stage.next_script(provider)?;
        let records = self.records.entry(provider.into()).or_default();
        let index = records.len();
        let headers = http.headers.iter().map(|(name, value)| (name.to_string(), value.clone()));
        let record = CallRecord {
            method: "POST".into(),
            path: format!("/{path}"),
            headers: headers.collect(),
            body: serde_json::from_slice(&http.body).unwrap_or(Value::Null),
            came: self.now.since(self.began),
            unscripted: script.is_none(),
            ..CallRecord::default()
        };
        let due = match script {
            Some(script) => self.stage.happenings(script, self.now),
            None => [(self.now, Happening::Lost(Reason::Connect))].into(),
        };
        let unreachable = script.is_some_and(script::Call::is_unreachable);
        if !unreachable {
            records.push(record);
        }
        // A call that does not come has no record, and none is looked for by this name.
        let provider = if unreachable { String::new() } else { provider.to_owned() };
        self.calls.push(LiveCall { attempt: call.attempt, provider, index, due });
        Ok(())
    }

    fn cancel(&mut self, attempt: AttemptId) {
        let now = self.now.since(self.began);
        let late = self.stage.delivery == Delivery::Late;
        self.give_up(attempt, !late, |record| record.closed = Some(now));
    }

    fn release(&mut self, attempt: AttemptId) {
        let now = self.now.since(self.began);
        self.give_up(attempt, true, |record| record.ended = Some(now));
    }

    fn give_up(&mut self, attempt: AttemptId, silence: bool, mark: impl FnOnce(&mut CallRecord)) {
        let Some(call) = self.calls.iter_mut().find(|call| call.attempt == attempt) else { return };
        if silence {
            call.due.clear();
        }
        if let Some(records) = self.records.get_mut(&call.provider) {
            mark(&mut records[call.index]);
        }
    }
}

impl Happening {
    fn is_last(&self) -> bool {
        match self {
            Self::Head(_) | Self::Bytes(_) => false,
            Self::End | Self::Lost(_) => true,
        }
    }
}

impl<'a> Stage<'a> {
    /// What a provider does when it is called now. Who cannot be reached is not called.
    fn next_script(&self, provider: &str) -> Result<Option<&'a script::Call>, String> {
        let scripts = self.scenario.provider.get(provider);
        let scripts = scripts.ok_or_else(|| format!("there is no provider {provider}"))?;
        let mut made = self.made.borrow_mut();
        let index = made.entry(provider.into()).or_default();
        let script = scripts.get(*index).or(scripts.last().filter(|last| last.again));
        if !script.is_some_and(script::Call::is_unreachable) {
            *index += 1;
        }
        Ok(script)
    }

    /// Plays a provider's next script to who only wants its body.
    #[expect(clippy::type_complexity, reason = "it is taken apart where it is made")]
    fn fetch(&self, url: &str) -> Result<(String, CallRecord, Result<Vec<u8>, String>), String> {
        let path = url.split_once("://").and_then(|(_, rest)| rest.split_once('/'));
        let (provider, path) = path.ok_or_else(|| format!("{url} is no URL"))?;
        let script = self.next_script(provider)?;
        let plan = script.ok_or_else(|| format!("{provider} has no script left"))?.plan();
        let body = match plan.opening {
            AnswerMeta::Head(head) if head.status == 200 => {
                let sent = plan.acts.into_iter().map(|act| match act {
                    Act::Send(bytes) => bytes.to_vec(),
                    Act::Wait(_) | Act::End | Act::Cut | Act::Reset | Act::Stall => Vec::new(),
                });
                Ok(sent.flatten().collect())
            }
            AnswerMeta::Head(head) => Err(format!("the answer has status {}", head.status)),
            AnswerMeta::Refuse
            | AnswerMeta::Unresolved
            | AnswerMeta::Unresponsive
            | AnswerMeta::NoTls
            | AnswerMeta::Close
            | AnswerMeta::Silent => Err("there is no answer".into()),
        };
        let record = CallRecord {
            method: "GET".into(),
            path: format!("/{path}"),
            came: Duration::ZERO,
            ended: Some(Duration::ZERO),
            ..CallRecord::default()
        };
        Ok((provider.to_owned(), record, body))
    }

    /// What a shell would notice of a call, and when.
    fn happenings(&self, script: &script::Call, now: Instant) -> VecDeque<(Instant, Happening)> {
        // The shell decompresses; the core never sees it.
        let plan = script::Call { gzip: false, ..script.clone() }.plan();
        let lost = |at, reason| VecDeque::from([(at, Happening::Lost(reason))]);
        match plan.opening {
            AnswerMeta::Refuse => lost(now, Reason::Connect),
            AnswerMeta::Unresolved => lost(now, Reason::Dns),
            AnswerMeta::Unresponsive => {
                lost(now + self.gateway.config().timeouts.connect, Reason::ConnectTimeout)
            }
            AnswerMeta::NoTls => lost(now, Reason::Tls),
            AnswerMeta::Close => lost(now, Reason::Lost),
            AnswerMeta::Silent => VecDeque::new(),
            AnswerMeta::Head(head) => response(head, deliver(plan.acts, self.delivery), now),
        }
    }
}

fn response(head: script::Head, acts: Vec<Act>, now: Instant) -> VecDeque<(Instant, Happening)> {
    let framing = head.framing;
    let mut at = now + head.wait;
    let mut due = VecDeque::from([(at, Happening::Head(head))]);
    for act in acts {
        let happening = match act {
            Act::Send(bytes) => Happening::Bytes(bytes),
            Act::Wait(pause) => {
                at = at + pause;
                continue;
            }
            Act::End => Happening::End,
            // Without a framing the end and the cut look the same.
            Act::Cut if framing == Framing::Close => Happening::End,
            Act::Cut | Act::Reset => Happening::Lost(Reason::Lost),
            Act::Stall => return due,
        };
        due.push_back((at, happening));
    }
    if due.back().is_some_and(|(_, last)| !last.is_last()) {
        due.push_back((at, Happening::End));
    }
    due
}

fn deliver(acts: Vec<Act>, delivery: Delivery) -> Vec<Act> {
    match delivery {
        Delivery::AsSent | Delivery::Late => acts,
        Delivery::ByteByByte => {
            let length = |act: &Act| if let Act::Send(bytes) = act { bytes.len() } else { 0 };
            let piece = 1 + acts.iter().map(length).sum::<usize>() / PIECES_MAX;
            acts.into_iter().flat_map(|act| split(act, piece)).collect()
        }
        Delivery::Joined => acts.into_iter().fold(Vec::new(), |mut joined, act| {
            match (joined.last_mut(), act) {
                (Some(Act::Send(before)), Act::Send(bytes)) => {
                    *before = [before.as_ref(), bytes.as_ref()].concat().into();
                }
                (_, act) => joined.push(act),
            }
            joined
        }),
    }
}

/// What a client does once it has read something.
enum Reaction {
    ReadOn,
    Pause,
    Leave,
}

/// The client, as far as it reads and leaves.
struct CoreClient<'a> {
    client: &'a Client,
    began: Instant,
    reader: Reader,
    texts: usize,
    answer: answer::Answer,
    /// When it stops reading, if it still will.
    pause: Option<Pause>,
    /// Until when it does not read.
    paused_until: Option<Instant>,
    left: bool,
}

impl<'a> CoreClient<'a> {
    fn new(client: &'a Client, began: Instant) -> Self {
        let reader = Reader::new(client.protocol());
        let answer = answer::Answer::default();
        let pause = client.pause;
        Self { client, began, reader, texts: 0, answer, pause, paused_until: None, left: false }
    }

    /// When it leaves by the clock.
    fn leaves_at(&self) -> Option<Instant> {
        match self.client.leave {
            Some(Leave::Ms(ms)) if !self.left => Some(self.began + Duration::from_millis(ms)),
            _ => None,
        }
    }

    /// Takes in bytes.
    fn read(&mut self, now: Instant, bytes: &[u8]) -> Reaction {
        if self.left {
            return Reaction::ReadOn;
        }
        let at = now.since(self.began);
        self.answer.reads.push(Read { at, bytes: bytes.to_vec() });
        if self.client.leave.is_none() && self.pause.is_none() {
            return Reaction::ReadOn;
        }
        let events = self.reader.read(at, bytes).unwrap_or_default();
        self.texts += events.iter().filter(|event| event.has_text()).count();
        if self.client.leave.is_some_and(|leave| leave.is_after(self.texts)) {
            return Reaction::Leave;
        }
        let Some(Pause { ms, .. }) = self.pause.take_if(|pause| self.texts >= pause.texts) else {
            return Reaction::ReadOn;
        };
        self.paused_until = Some(now + Duration::from_millis(ms));
        Reaction::Pause
    }

    fn leave(&mut self, now: Instant) {
        self.left = true;
        self.answer.ending = Ending::Left;
        self.answer.ended = now.since(self.began);
    }

    fn end(&mut self, now: Instant) {
        if !self.left {
            self.answer.ending = Ending::Complete;
            self.answer.ended = now.since(self.began);
        }
    }
}
