//! Runs a scenario against the pure core in virtual time: no socket, no clock, one thread. A
//! [`World`] for each request plays the shell, so a run takes microseconds and is the same every time.
//!
//! Each scenario runs once per [`Delivery`]: where a provider's bytes are cut on their way must make
//! no difference, and neither must what a call still sends after it was cancelled.

mod client;
mod providers;
mod request;
mod store;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use streamgate_core::config::Config;
use streamgate_core::gateway::Gateway;
use streamgate_core::log::Level;
use streamgate_core::request::{Arrival, RANDOM_BYTES, Request, RequestHead};
use streamgate_core::store::{Outcome, Statement, learned_limits};
use streamgate_core::time::Instant;

use self::client::Client;
use self::request::Host;
use self::store::Store;
use crate::check::{Seen, check, check_log};
use crate::scenario::{self, Exchange, Runner, Scenario, secret};
use crate::world::World;

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

/// When virtual time begins, since 1970.
const UNIX_BEGAN: Duration = Duration::from_secs(1_750_000_000);

/// Plays the scenario in every delivery and judges what came of it.
pub fn on_core(scenario: &Scenario) -> Result<(), String> {
    for delivery in DELIVERIES {
        play(scenario, delivery).map_err(|wrong| format!("{delivery:?}: {wrong}"))?;
    }
    Ok(())
}

/// Plays the scenario's requests, group by group, and judges what came of them.
fn play(scenario: &Scenario, delivery: Delivery) -> Result<(), String> {
    let mut stage = Stage::set(scenario, delivery)?;
    let mut now = Instant::ZERO;
    let mut seen = Vec::new();
    for group in scenario.groups() {
        if group[0].restart {
            stage.gateway = stage.restarted()?;
        }
        let (over, group) = stage.play(&group, now)?;
        now = over;
        seen.extend(group);
    }
    let shown = || seen.iter().map(|one| format!("\n{one}")).collect::<String>();
    check(scenario, &seen).map_err(|wrong| format!("{wrong}{}", shown()))?;
    let log = stage.log.into_inner();
    check_log(scenario, &log).map_err(|wrong| format!("{wrong}:\n{}", log.join("\n")))?;
    let kept = stage.store.map_or(Ok(Vec::new()), |store| store.into_inner().texts())?;
    match scenario.secrets().iter().find(|secret| holds(&log, secret) || holds(&kept, secret)) {
        Some(_) => Err(format!("a secret is in the log or the store:\n{}", log.join("\n"))),
        None => Ok(()),
    }
}

fn holds(texts: &[String], part: &str) -> bool {
    texts.iter().any(|text| text.contains(part))
}

/// What is the same for every request.
struct Stage<'a> {
    scenario: &'a Scenario,
    delivery: Delivery,
    gateway: Gateway,
    store: Option<RefCell<Store>>,
    /// How often each provider was called.
    called: RefCell<BTreeMap<String, usize>>,
    /// How many requests there were.
    requests: Cell<u8>,
    log: RefCell<Vec<String>>,
}

impl<'a> Stage<'a> {
    fn set(scenario: &'a Scenario, delivery: Delivery) -> Result<Self, String> {
        let gateway = gateway(scenario)?;
        let store = gateway.config().store.as_ref().map(|_| Store::open().map(RefCell::new));
        Ok(Self {
            scenario,
            delivery,
            gateway,
            store: store.transpose()?,
            called: RefCell::default(),
            requests: Cell::default(),
            log: RefCell::default(),
        })
    }

    /// Runs statements in the store.
    fn query(&self, statements: &[Statement]) -> Result<Outcome, String> {
        let store = self.store.as_ref().ok_or("no store is configured")?;
        Ok(store.borrow_mut().run(statements))
    }

    /// A gateway that knows no more than the store does.
    fn restarted(&self) -> Result<Gateway, String> {
        let gateway = gateway(self.scenario)?;
        if self.store.is_some() {
            let rows = self.query(&[learned_limits::list()])?;
            let restored = rows.and_then(|rows| learned_limits::restore(&rows, gateway.learned()));
            restored.map_err(|failure| failure.to_string())?;
        }
        Ok(gateway)
    }

    /// Plays requests that are made while the others are under way; also when all are over.
    fn play(
        &self,
        group: &[Exchange<'_>],
        mut now: Instant,
    ) -> Result<(Instant, Vec<Seen>), String> {
        let mut requests = Vec::new();
        for exchange in group {
            now = now + exchange.wait;
            advance(&mut requests, Some(now))?;
            requests.push(self.begin(exchange.client, now)?);
        }
        advance(&mut requests, None)?;
        if !requests.iter().all(World::is_over) {
            return Err("a request waits for nothing and is not over".into());
        }
        let seen = requests.into_iter().map(|request| request.host.over());
        let (ended, seen): (Vec<_>, Vec<_>) = seen.unzip();
        Ok((ended.into_iter().fold(now, Instant::max), seen))
    }

    fn begin<'b>(
        &'b self,
        client: &'b scenario::Client,
        now: Instant,
    ) -> Result<World<Request, Host<'b>>, String> {
        let (path, query) = client.path().split_once('?').unwrap_or((client.path(), ""));
        let header = |name: &str| client.headers.get(name).cloned();
        let head = RequestHead { method: client.method(), path, query, header: &header };
        self.requests.set(self.requests.get().wrapping_add(1));
        let random = [self.requests.get(); RANDOM_BYTES];
        let unix_now = UNIX_BEGAN + now.since(Instant::ZERO);
        let request = Request::new(&self.gateway, &head, &Arrival { now, unix_now, random });
        let client = Client::new(client, now);
        let moments = client.moments();
        World::begin(request, Host::new(self, client, now), now, moments)
    }
}

/// Lets happen what happens before `until`, in its order.
fn advance(
    requests: &mut [World<Request, Host<'_>>],
    until: Option<Instant>,
) -> Result<(), String> {
    loop {
        let next = requests.iter_mut().filter_map(|request| Some((request.next()?, request)));
        match next.min_by_key(|(at, _)| *at) {
            Some((at, request)) if until.is_none_or(|until| at < until) => request.step()?,
            _ => return Ok(()),
        };
    }
}

fn gateway(scenario: &Scenario) -> Result<Gateway, String> {
    let base_url = |name: &String| (name.clone(), format!("http://{name}/v1"));
    let mut base_urls: HashMap<_, _> = scenario.provider.keys().map(base_url).collect();
    base_urls.insert("store".into(), Runner::Core.store_url().into());
    let config = Config::parse(&scenario.config_text(&base_urls), secret);
    let gateway = Gateway::new(config.map_err(|error| format!("the configuration: {error}"))?);
    Ok(gateway.with_verbosity(Some(Level::Debug)))
}
