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

/// How long a gateway may take to let go of the calls of an answer that is over: it may read out
/// what is left of a complete one for a while, to use the connection again.
const SETTLE_TIME_MAX: Duration = Duration::from_secs(3);

/// How long a gateway may take to log the last of what it did.
const LOG_TIME: Duration = Duration::from_millis(50);

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
    let told = |seen: &[Seen]| seen.iter().map(|one| format!("{one}\n")).collect::<String>();
    check(scenario, &seen).map_err(|wrong| {
        format!("{wrong}\n{}--- gateway ---\n{}", told(&seen), stage.gateway.log())
    })?;
    tokio::time::sleep(LOG_TIME).await;
    if let Some(line) = stage.gateway.line_with(&scenario.secrets()) {
        return Err(format!("a secret is in the log: {line}"));
    }
    if let Some(file) = stage.gateway.kept_with(&scenario.secrets()) {
        return Err(format!("a secret is kept as it is, in {}", file.display()));
    }
    let patience = Instant::now() + SETTLE_TIME_MAX;
    while let Err(wrong) = check_log(scenario, &stage.gateway.lines()) {
        if Instant::now() >= patience {
            return Err(format!("{wrong}\n--- gateway ---\n{}", stage.gateway.log()));
        }
        tokio::time::sleep(LOG_TIME).await;
    }
    Ok(())
}

/// workerd takes a FIN for the end of the client's requests, which HTTP allows it to be, and learns
/// that the client left when it next writes. On Cloudflare's network clients end at a proxy that
/// tells it at once; here a reset does.
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
                self.play(exchange.client).await.map(|seen| (began, seen))
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
        let goodbye = goodbye(self.runner);
        let before = self.providers.call_counts();
        let began = Instant::now();
        let answer = client::ask(self.gateway.addr, client, goodbye, began)
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
        let patience = Instant::now() + SETTLE_TIME_MAX;
        loop {
            let mut calls = self.calls(began);
            for (name, calls) in &mut calls {
                calls.drain(..before.get(name).copied().unwrap_or_default());
            }
            let open = |call: &CallRecord| call.ended.is_none() && call.closed.is_none();
            if !calls.values().flatten().any(open) || Instant::now() > patience {
                return calls;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
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
