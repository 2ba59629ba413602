//! The chat page in a browser: alone before an endpoint that misbehaves by script, and before both
//! shells.

use std::path::Path;

use streamgate_tests::gateway::Gateway;
use streamgate_tests::outside;
use streamgate_tests::scenario::Runner;

const SCRIPT: &str = "tests/browser/chat.mjs";

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
