//! What a Worker keeps in D1: what takes more than a scenario to show.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use serde_json::json;
use streamgate_core::access::Digest;
use streamgate_tests::client::{self, Goodbye};
use streamgate_tests::gateway::{self, Gateway};
use streamgate_tests::provider::{AfterLast, FakeProvider};
use streamgate_tests::scenario::{Client, Runner, Scenario};

const ADA: &str = "sg_5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a";
const AUTH: &str = r#"
[auth]
keys = [{ sha256 = "009794b63fa205b598997ded280ed34965aa53f2eb6af5143c71390f7233449f", user = "ada" }]
"#;
/// A key that nothing knows, and that only the store could.
const UNKNOWN: &str = "sg_6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b";
const OWN_KEY: &str = "sk-my-own-key-0123456789";

/// Nobody waits for what is kept behind an answer.
const KEPT_WITHIN: Duration = Duration::from_secs(2);

fn config(store: &str, base_url: &str) -> String {
    format!(
        "[store]\nurl = \"d1:DB\"\n{store}\n{AUTH}\n[plans.pro]\n\
         [providers.a]\nprotocol = \"openai\"\nbase_url = \"{base_url}\"\n\
         api_key = {{ env = \"PROVIDER_KEY\", user = true }}\n\
         [providers.ours]\nprotocol = \"openai\"\nbase_url = \"{base_url}\"\n\
         api_key = {{ env = \"PROVIDER_KEY\" }}\n\
         [models.m]\ntargets = [\"a/fake-1\"]\n[models.ours]\ntargets = [\"ours/fake-1\"]\n"
    )
}

const MASTER: &str = "master_key = { env = \"MASTER_KEY\" }";

async fn provider() -> FakeProvider {
    let scenario = r#"
        why = "It answers."
        [[provider.a]]
        stream = ["Hi", { finish = "stop" }, { done = true }]
        [expect]
    "#;
    let scenario = Scenario::parse("d1", scenario).unwrap();
    let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
    let scripts = &scenario.provider["a"];
    FakeProvider::start(any_port, scripts, AfterLast::StartOver, Instant::now()).await.unwrap()
}

/// A request by who holds that key.
fn request(key: &str, method: &str, path: &str) -> Client {
    Client {
        method: Some(method.to_owned()),
        path: Some(path.to_owned()),
        headers: [("x-api-key".to_owned(), key.to_owned())].into(),
        ..Client::default()
    }
}

fn chat(key: &str, model: &str) -> Client {
    let with = json!({ "model": model }).as_object().cloned().unwrap_or_default();
    Client { with, ..request(key, "POST", "/v1/chat/completions") }
}

fn models(key: &str) -> Client {
    request(key, "GET", "/v1/models")
}

fn put() -> Client {
    let body = Some(json!({ "key": OWN_KEY }));
    Client { body, ..request(ADA, "PUT", "/v1/provider-keys/a") }
}

/// The status and the body of what a request is answered.
async fn ask(gateway: &Gateway, client: &Client) -> (u16, String) {
    let answer = client::ask(gateway.addr, client, Goodbye::Reset, Instant::now()).await.unwrap();
    let status = answer.head.as_ref().map(|head| head.status);
    let status = status.unwrap_or_else(|| panic!("no answer:\n{}", gateway.log()));
    (status, String::from_utf8(answer.body()).unwrap())
}

/// Asks, and holds the answer against a status and a word of its body.
async fn expect(gateway: &Gateway, client: &Client, status: u16, word: &str) {
    let (found, body) = ask(gateway, client).await;
    let told =
        || format!("{} {}: {found} {body}\n{}", client.method(), client.path(), gateway.log());
    assert!(found == status && body.contains(word), "{}", told());
}

fn keys(config: &str, folder: &Path, args: &[&str]) -> String {
    let file = folder.join("streamgate.toml");
    std::fs::write(&file, config).unwrap();
    let mut command = Command::new(gateway::native_program().unwrap());
    command
        .args(["keys", "--config"])
        .arg(file)
        .args(args)
        .envs(streamgate_tests::scenario::SECRETS);
    said(&command.output().unwrap())
}

/// Runs a printed command as it stands, but for where the database is.
fn wrangler(printed: &str, folder: &Path, kept: &Path) -> String {
    let command = printed.lines().find(|line| line.starts_with("npx wrangler")).unwrap();
    let file = folder.join("wrangler.toml");
    let database = "[[d1_databases]]\nbinding = \"DB\"\ndatabase_name = \"streamgate\"\n\
                    database_id = \"streamgate-tests\"\n";
    std::fs::write(&file, format!("name = \"test\"\n{database}")).unwrap();
    let place = format!("--local --persist-to '{}' --config '{}'", kept.display(), file.display());
    let command = command.replace("--remote", &place);
    let tools = gateway::root().join("node_modules/.bin");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths([tools].into_iter().chain(std::env::split_paths(&path)));
    let output = Command::new("sh")
        .args(["-c", &command])
        .current_dir(gateway::root())
        .env("PATH", path.unwrap())
        .env("CI", "1")
        .env("WRANGLER_SEND_METRICS", "false")
        .output()
        .unwrap();
    said(&output)
}

fn said(output: &Output) -> String {
    let [stdout, stderr] = [&output.stdout, &output.stderr].map(|out| String::from_utf8_lossy(out));
    assert!(output.status.success(), "{}:\n{stdout}{stderr}", output.status);
    stdout.into_owned()
}

/// Requests share no IO, so each opens the store by itself and knows nothing of the others.
#[tokio::test]
async fn requests_that_come_at_once_make_the_tables_once() {
    let config = config(MASTER, "http://127.0.0.1:9/v1");
    let gateway = Gateway::start(Runner::Worker, Some(&config)).await.unwrap();
    let request = models(UNKNOWN);
    let asked = (0..8).map(|_| expect(&gateway, &request, 401, "invalid_api_key"));
    futures::future::join_all(asked).await;
    expect(&gateway, &put(), 200, "\"set\":true").await;
}

/// What an operator does: the commands that are printed, with wrangler itself.
#[tokio::test]
async fn a_key_is_good_from_its_making_to_its_revoking() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(MASTER, "http://127.0.0.1:9/v1");
    let create = ["create", "--user", "o'ada $HOME", "--plan", "pro", "--name", "a \"name\""];
    let gateway = Gateway::start(Runner::Worker, Some(&config)).await.unwrap();
    // The first request makes the tables.
    expect(&gateway, &models(UNKNOWN), 401, "invalid_api_key").await;

    let printed = keys(&config, folder.path(), &create);
    let key = printed.lines().next().unwrap();
    wrangler(&printed, folder.path(), &gateway.kept());
    let gateway = gateway.restart(Some(&config)).await.unwrap();
    expect(&gateway, &models(key), 200, "\"m\"").await;
    expect(&gateway, &models(UNKNOWN), 401, "invalid_api_key").await;
    assert_eq!(gateway.kept_with(&[key.to_owned()]), None);
    assert!(gateway.kept_with(&["o'ada $HOME".to_owned()]).is_some());

    let listed = keys(&config, folder.path(), &["list"]);
    let listed = wrangler(&listed, folder.path(), &gateway.kept());
    let id = &Digest::of(key).id();
    for word in [id.as_str(), "o'ada $HOME", r#"a \"name\""#] {
        assert!(listed.contains(word), "{listed}");
    }
    let printed = keys(&config, folder.path(), &["revoke", id]);
    wrangler(&printed, folder.path(), &gateway.kept());
    let gateway = gateway.restart(Some(&config)).await.unwrap();
    expect(&gateway, &models(key), 401, "revoked").await;
}

/// A user's key is sealed anew when it is used, so that the former master key can go.
#[tokio::test]
async fn a_master_key_is_changed() {
    let provider = provider().await;
    let config = |store: &str| config(store, &provider.base_url());
    let mut gateway = Gateway::start(Runner::Worker, Some(&config(MASTER))).await.unwrap();
    expect(&gateway, &put(), 200, "\"set\":true").await;
    let next = "master_key = { env = \"NEXT_MASTER_KEY\" }";
    let both = format!("{next}\nprevious_{MASTER}");
    for store in [both.as_str(), next] {
        gateway = gateway.restart(Some(&config(store))).await.unwrap();
        expect(&gateway, &chat(ADA, "m"), 200, "Hi").await;
        tokio::time::sleep(KEPT_WITHIN).await;
    }
    let calls = provider.calls();
    let keys: Vec<_> = calls.iter().map(|call| call.headers["authorization"].as_str()).collect();
    assert_eq!(keys, [format!("Bearer {OWN_KEY}"), format!("Bearer {OWN_KEY}")]);
}

/// What does not need it is answered; what does gets an error, and is not taken for somebody else's.
#[tokio::test]
async fn a_store_out_of_reach_stops_only_what_needs_it() {
    let provider = provider().await;
    let config = config(MASTER, &provider.base_url());
    let gateway = Gateway::start(Runner::Worker, Some(&config)).await.unwrap();
    std::fs::remove_dir_all(gateway.kept().join("v3")).unwrap();
    expect(&gateway, &chat(ADA, "ours"), 200, "Hi").await;
    expect(&gateway, &models(ADA), 200, "\"m\"").await;
    expect(&gateway, &models(UNKNOWN), 503, "auth_unavailable").await;
    expect(&gateway, &put(), 503, "store_unavailable").await;
    expect(&gateway, &chat(ADA, "m"), 503, "store_unavailable").await;
    assert_eq!(provider.calls().len(), 1);
}
