//! The chat page in a browser: before native with its embedded model, and before the Worker with a
//! provider behind it.

use streamgate_tests::gateway::Gateway;
use streamgate_tests::outside;
use streamgate_tests::scenario::Runner;

const SCRIPT: &str = "tests/browser/chat.mjs";

#[tokio::test]
async fn native() {
    let ran = async {
        let node = outside::node("playwright-core")?;
        let gateway = Gateway::start(Runner::Native, None).await?;
        let ran = outside::run(&node, SCRIPT, &gateway.url()).await;
        ran.map_err(|said| format!("{said}\n--- gateway ---\n{}", gateway.log()))
    };
    if let Err(said) = ran.await {
        panic!("{said}");
    }
}

#[tokio::test]
async fn worker() {
    let ran = async {
        let node = outside::node("playwright-core")?;
        outside::run_on_stage(Runner::Worker, &node, SCRIPT).await
    };
    if let Err(said) = ran.await {
        panic!("{said}");
    }
}
