//! Clients as their makers ship them stream from both shells.

use std::path::PathBuf;

use streamgate_tests::outside;
use streamgate_tests::scenario::Runner;

async fn check(runner: Runner, program: Result<PathBuf, String>, script: &str) {
    let ran = match program {
        Ok(program) => outside::run_on_stage(runner, &program, script).await,
        Err(missing) => Err(missing),
    };
    if let Err(said) = ran {
        panic!("{said}");
    }
}

#[tokio::test]
async fn python_native() {
    check(Runner::Native, outside::python(), "tests/sdk/stream.py").await;
}

#[tokio::test]
async fn python_worker() {
    check(Runner::Worker, outside::python(), "tests/sdk/stream.py").await;
}

#[tokio::test]
async fn javascript_native() {
    check(Runner::Native, outside::node("openai"), "tests/sdk/stream.mjs").await;
}

#[tokio::test]
async fn javascript_worker() {
    check(Runner::Worker, outside::node("openai"), "tests/sdk/stream.mjs").await;
}

#[tokio::test]
async fn curl_native() {
    check(Runner::Native, outside::node("openai"), "tests/sdk/curl.mjs").await;
}

#[tokio::test]
async fn curl_worker() {
    check(Runner::Worker, outside::node("openai"), "tests/sdk/curl.mjs").await;
}

async fn check_on_grid(runner: Runner, program: Result<PathBuf, String>, script: &str) {
    let ran = match program {
        Ok(program) => outside::run_on_grid(runner, &program, script).await,
        Err(missing) => Err(missing),
    };
    if let Err(said) = ran {
        panic!("{said}");
    }
}

#[tokio::test]
async fn every_python_client_native() {
    check_on_grid(Runner::Native, outside::python(), "tests/sdk/clients.py").await;
}

#[tokio::test]
async fn every_python_client_worker() {
    check_on_grid(Runner::Worker, outside::python(), "tests/sdk/clients.py").await;
}

#[tokio::test]
async fn every_javascript_client_native() {
    check_on_grid(Runner::Native, outside::node("openai"), "tests/sdk/clients.mjs").await;
}

#[tokio::test]
async fn every_javascript_client_worker() {
    check_on_grid(Runner::Worker, outside::node("openai"), "tests/sdk/clients.mjs").await;
}
