//! `useChat` of the AI SDK in a browser, unmodified, before both shells.

use streamgate_tests::outside;
use streamgate_tests::scenario::Runner;

const SCRIPT: &str = "tests/browser/use_chat.mjs";

#[tokio::test]
async fn native() {
    passes(Runner::Native).await;
}

#[tokio::test]
async fn worker() {
    passes(Runner::Worker).await;
}

async fn passes(runner: Runner) {
    let ran = match outside::node("@ai-sdk/react") {
        Ok(node) => outside::run_on_stage(runner, &node, SCRIPT).await,
        Err(missing) => Err(missing),
    };
    if let Err(said) = ran {
        panic!("{said}");
    }
}
