//! Sets up the providers and a built shell between them and a client, over real sockets and in real
//! time, and runs scenarios there.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use futures::future::try_join_all;

use crate::check::{Seen, check, check_log};
use crate::client::{self, Goodbye};
use crate::gateway::Gateway;
use crate::provider::{AfterLast, CallRecord, FakeProvider};
use crate::scenario::{Client, Exchange, Runner, Scenario};

/// Longer than a gateway takes, on a loaded machine, to let go of the calls of an answer that is
/// over, to log it, or to stop reading a provider. It may read out what is left of a complete call
/// for a while, to use the connection again.
const SETTLE_TIME_MAX: Duration = Duration::from_secs(15);

/// How often a condition is looked at.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// Plays the scenario and judges what came of it.
pub async fn over_http(scenario: &Scenario, runner: Runner) -> Result<(), String> {
    let mut stage = Stage::set(scenario, runner).await?;
    let mut seen = Vec::new();
    for group in scenario.groups() {
        tokio::time::sleep(group[0].wait).await;
        if group[0].restart {
            stage = stage.restart().await?;
        }
        seen.extend(stage.play_group(&group).await?);
    }
    let lines = |seen: &[Seen]| seen.iter().map(|one| format!("{one}\n")).collect::<String>();
    check(scenario, &seen).map_err(|wrong| {
        format!("{wrong}\n{}--- gateway ---\n{}", lines(&seen), stage.gateway.log())
    })?;
    let logged = || check_log(scenario, &stage.gateway.lines());
    until(|| logged().is_ok()).await;
    logged().map_err(|wrong| format!("{wrong}\n--- gateway ---\n{}", stage.gateway.log()))?;
    check_secrets(scenario, stage.gateway).await
}

/// No secret may be in the log of a gateway that is over, or in what it kept.
async fn check_secrets(scenario: &Scenario, mut gateway: Gateway) -> Result<(), String> {
    gateway.stop(SETTLE_TIME_MAX).await?;
    if let Some(line) = gateway.line_with(&scenario.secrets()) {
        return Err(format!("a secret is in the log: {line}"));
    }
    match gateway.kept_with(&scenario.secrets()) {
        Some(file) => Err(format!("a secret is kept as it is, in {}", file.display())),
        None => Ok(()),
    }
}

/// Waits for a condition, as long as it may take.
async fn until(holds: impl Fn() -> bool) {
    let patience = Instant::now() + SETTLE_TIME_MAX;
    while !holds() && Instant::now() < patience {
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// workerd takes a FIN for the end of the client's requests, which HTTP allows it to be, and learns
/// that the client left when it next writes. On Cloudflare's network clients end at a proxy that
/// reports it at once; here a reset does.
fn goodbye(runner: Runner) -> Goodbye {
    match runner {
        Runner::Worker => Goodbye::Reset,
        Runner::Native | Runner::Core => Goodbye::Fin,
    }
}

/// A shell with the scenario's providers behind it, ready for any client, until it is dropped.
#[derive(Debug)]
pub struct Stage {
    /// The shell.
    pub gateway: Gateway,
    config: String,
    runner: Runner,
    providers: Providers,
}

impl Stage {
    /// Starts the providers, then the shell.
    pub async fn set(scenario: &Scenario, runner: Runner) -> Result<Self, String> {
        let providers = Providers::start(scenario).await.map_err(|error| error.to_string())?;
        let mut places = providers.base_urls();
        places.insert("store".into(), runner.store_url().into());
        let config = scenario.config_text(&places);
        let gateway = Gateway::start(runner, Some(&config)).await?;
        Ok(Self { gateway, config, runner, providers })
    }

    /// Kills the shell and starts it again.
    async fn restart(self) -> Result<Self, String> {
        let gateway = self.gateway.restart(Some(&self.config)).await?;
        Ok(Self { gateway, ..self })
    }

    /// Where a provider listens.
    pub fn provider_addr(&self, name: &str) -> Option<SocketAddr> {
        self.providers.by_name.get(name).map(FakeProvider::addr)
    }

    /// Asks what is asked while other answers are under way. Of the calls each request is shown
    /// those that came until the next was made.
    async fn play_group(&self, group: &[Exchange<'_>]) -> Result<Vec<Seen>, String> {
        let mut after = Duration::ZERO;
        let plays = group.iter().map(|exchange| {
            if exchange.meanwhile {
                after += exchange.wait;
            }
            let after = after;
            async move {
                tokio::time::sleep(after).await;
                let began = Instant::now();
                let seen = self.play_held(exchange.client, &exchange.expect.slowed).await?;
                Ok::<_, String>((began, seen))
            }
        });
        let mut played = try_join_all(plays).await?;
        for next in 1..played.len() {
            let (began, _) = played[next];
            let (before, seen) = &mut played[next - 1];
            let until = began - *before;
            seen.calls.values_mut().for_each(|calls| calls.retain(|call| call.came < until));
        }
        Ok(played.into_iter().map(|(_, seen)| seen).collect())
    }

    /// Asks once, and waits until the calls made for that are over.
    pub async fn play(&self, client: &Client) -> Result<Seen, String> {
        self.play_held(client, &BTreeMap::new()).await
    }

    /// As [`Self::play`]; a client that pauses does so until these providers cannot send on.
    async fn play_held(
        &self,
        client: &Client,
        slowed: &BTreeMap<String, usize>,
    ) -> Result<Seen, String> {
        let goodbye = goodbye(self.runner);
        let before = self.providers.call_counts();
        let began = Instant::now();
        let held = until(|| self.providers.are_held(slowed.keys()));
        let answer = client::ask_and_resume(self.gateway.addr, client, goodbye, began, held)
            .await
            .map_err(|error| format!("{error}\n{}", self.gateway.log()))?;
        let calls = self.providers.settled_calls(began, &before).await;
        Ok(Seen { answer, calls })
    }
}

/// The providers of a scenario.
#[derive(Debug)]
struct Providers {
    by_name: BTreeMap<String, FakeProvider>,
    epoch: Instant,
}

impl Providers {
    async fn start(scenario: &Scenario) -> std::io::Result<Self> {
        let epoch = Instant::now();
        let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut by_name = BTreeMap::new();
        for (name, scripts) in &scenario.provider {
            let provider = FakeProvider::start(any_port, scripts, AfterLast::Refuse, epoch).await?;
            by_name.insert(name.clone(), provider);
        }
        Ok(Self { by_name, epoch })
    }

    fn base_urls(&self) -> HashMap<String, String> {
        self.by_name.iter().map(|(name, provider)| (name.clone(), provider.base_url())).collect()
    }

    fn call_counts(&self) -> BTreeMap<String, usize> {
        self.by_name.iter().map(|(name, p)| (name.clone(), p.calls().len())).collect()
    }

    /// The calls after those `before`, once none is open any more or the time for that is over;
    /// times count from `began`.
    async fn settled_calls(
        &self,
        began: Instant,
        before: &BTreeMap<String, usize>,
    ) -> BTreeMap<String, Vec<CallRecord>> {
        let calls = || {
            let mut calls = self.calls(began);
            for (name, calls) in &mut calls {
                calls.drain(..before.get(name).copied().unwrap_or_default());
            }
            calls
        };
        let open = |call: &CallRecord| call.ended.is_none() && call.closed.is_none();
        until(|| !calls().values().flatten().any(open)).await;
        calls()
    }

    /// Whether each of these had to stop sending because it is not read.
    fn are_held<'a>(&self, names: impl IntoIterator<Item = &'a String>) -> bool {
        let held = |call: CallRecord| call.held_bytes.is_some();
        names.into_iter().all(|name| self.by_name[name].calls().into_iter().any(held))
    }

    fn calls(&self, began: Instant) -> BTreeMap<String, Vec<CallRecord>> {
        let before = began - self.epoch;
        let since = |call: CallRecord| CallRecord {
            came: call.came.saturating_sub(before),
            closed: call.closed.map(|closed| closed.saturating_sub(before)),
            ended: call.ended.map(|ended| ended.saturating_sub(before)),
            ..call
        };
        let calls = self.by_name.iter();
        calls.map(|(name, p)| (name.clone(), p.calls().into_iter().map(since).collect())).collect()
    }
}
