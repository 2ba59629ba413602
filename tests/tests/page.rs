//! The chat page in a browser: alone before an endpoint that misbehaves by script, and before both
//! shells.

use std::path::Path;

use streamgate_tests::gateway::Gateway;
use streamgate_tests::outside;
use streamgate_tests::run::Stage;
use streamgate_tests::scenario::Runner;

const SCRIPT: &str = "tests/browser/chat.mjs";

/// A key, and the `[auth]` that knows it.
const KEY: &str = "sg_5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a";
const AUTH: &str = "keys = [{ sha256 = \"009794b63fa205b598997ded280ed34965aa53f2eb6af5143c71390f7233449f\", user = \"ada\" }]";

#[tokio::test]
async fn alone() {
    passes(async |node: &Path| outside::run(node, SCRIPT, &["--self"]).await).await;
}

#[tokio::test]
async fn native() {
    passes(async |node: &Path| outside::run_on_stage(Runner::Native, node, SCRIPT).await).await;
}

#[tokio::test]
async fn worker() {
    passes(async |node: &Path| outside::run_on_stage(Runner::Worker, node, SCRIPT).await).await;
}

#[tokio::test]
async fn native_with_keys() {
    passes(async |node: &Path| asks_for_a_key(Runner::Native, node).await).await;
}

#[tokio::test]
async fn worker_with_keys() {
    passes(async |node: &Path| asks_for_a_key(Runner::Worker, node).await).await;
}

async fn asks_for_a_key(runner: Runner, node: &Path) -> Result<(), String> {
    let mut scenario = outside::scenario()?;
    let auth: toml::Table = AUTH.parse().map_err(|error| format!("{error}"))?;
    scenario.config.insert("auth".into(), auth.into());
    let stage = Stage::set(&scenario, runner).await?;
    let ran = outside::run(node, SCRIPT, &[&stage.gateway.url(), "--key", KEY]).await;
    ran.map_err(|said| format!("{said}\n--- gateway ---\n{}", stage.gateway.log()))
}

/// What a newcomer sees: no configuration, no provider.
#[tokio::test]
async fn embedded_model() {
    passes(async |node: &Path| {
        let gateway = Gateway::start(Runner::Native, None).await?;
        let ran = outside::run(node, SCRIPT, &[&gateway.url(), "--fast"]).await;
        ran.map_err(|said| format!("{said}\n--- gateway ---\n{}", gateway.log()))
    })
    .await;
}

async fn passes(check: impl AsyncFnOnce(&Path) -> Result<(), String>) {
    let ran = async { check(&outside::node("playwright-core")?).await };
    if let Err(said) = ran.await {
        panic!("{said}");
    }
}
