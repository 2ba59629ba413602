//! One case: a provider, the server in front of it, and the client in a home directory of its own.

use std::fs;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use tokio::process::Command;

use super::errors::{Kind, RETRY_AFTER};
use super::page::Settings;
use super::provider::Provider;
use super::{Trial, folder, install};
use crate::gateway::{Gateway, root};
use crate::scenario::Runner;

/// A client that takes longer hangs, or waits for a network that is not there.
const SECONDS_MAX: u64 = 120;

/// How `timeout` ends when it had to end the client.
const TIMED_OUT: [i32; 2] = [124, 137];

/// The SHA-256 of `sg-example-key`, the gateway's key on every page.
const KEY_SHA256: &str = "a8f1629cf94df469a5514b5c52cceb2957581c5aa0c70f0c44f340bba83d40a6";

pub(super) async fn check(trial: &Trial) -> Result<(), String> {
    let programs = install::programs(&trial.client.install)?;
    let provider = Provider::start(&trial.upstream, &trial.case.provider).await?;
    let gateway = Gateway::start(Runner::Native, Some(&config(trial, &provider))).await?;
    let page = root().join("docs/clients").join(&trial.client.page);
    let page = fs::read_to_string(&page).map_err(|error| format!("{}: {error}", page.display()))?;
    let settings = Settings::read(&page, &gateway.addr.to_string())?;
    let output = run(trial, &settings, &programs).await?;
    verdict(trial, &output, &provider).map_err(|wrong| {
        let printed = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
        let [stdout, stderr] = printed;
        format!(
            "{wrong}\n--- stdout ---\n{stdout}\n--- stderr ---\n{stderr}\n--- gateway ---\n{}\n--- provider ---\n{}",
            gateway.log(),
            provider.log()
        )
    })
}

/// The SHA-256 of another key.
const KEY_SHA256_OTHER: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// Each of the provider's errors reaches the client at once.
const NO_RETRIES: &str = "[fallback]\nretries = 0\nbreaker.failures_max = 1000\n";

/// Every model that the client names is the provider's.
fn config(trial: &Trial, provider: &Provider) -> String {
    let upstream = &trial.upstream;
    let base = if upstream == "anthropic" { "" } else { "/v1" };
    let error = trial.case.provider.error;
    let key = if error == Some(Kind::BadKey) { KEY_SHA256_OTHER } else { KEY_SHA256 };
    let mut text = format!(
        "[providers.upstream]\nprotocol = \"{upstream}\"\nbase_url = \"http://{}{base}\"\n\
         [auth]\nkeys = [{{ sha256 = \"{key}\", user = \"ada\" }}]\n",
        provider.addr
    );
    if error.is_some() {
        text += NO_RETRIES;
    }
    let another = ["another".to_owned()];
    let models =
        if error == Some(Kind::UnknownModel) { another.as_slice() } else { &trial.client.models };
    for model in models {
        text += &format!("[models.\"{model}\"]\ntargets = [\"upstream/{model}\"]\n");
    }
    text
}

async fn run(trial: &Trial, settings: &Settings, programs: &Path) -> Result<Output, String> {
    let place = tempfile::tempdir().map_err(|error| error.to_string())?;
    let (home, project) = (place.path().join("home"), place.path().join("project"));
    for made in [&home, &project] {
        fs::create_dir(made).map_err(|error| format!("{}: {error}", made.display()))?;
    }
    settings.write(&home, &project)?;
    let inherited = std::env::var_os("PATH").unwrap_or_default();
    let path = [programs.to_owned()].into_iter().chain(std::env::split_paths(&inherited));
    let path = std::env::join_paths(path).map_err(|error| error.to_string())?;
    let mut command = Command::new("timeout");
    let seconds_max = trial.case.seconds_max.unwrap_or(SECONDS_MAX).to_string();
    command.args(["--kill-after=5", &seconds_max, "sh", "-c"]);
    command.arg(format!("{}{}", settings.exports, trial.case.run));
    command.env_clear().env("PATH", path).env("HOME", &home).env("LANG", "C.UTF-8");
    command.env("VARIANT", &trial.variant).env("PYTHONPATH", &project);
    command.env("CLIENTS", folder()).current_dir(&project);
    command.stdin(Stdio::null()).kill_on_drop(true);
    command.output().await.map_err(|error| format!("timeout: {error}"))
}

fn verdict(trial: &Trial, output: &Output, provider: &Provider) -> Result<(), String> {
    let case = &trial.case;
    if TIMED_OUT.contains(&output.status.code().unwrap_or_default()) {
        return Err(format!("{} does not end", trial.name()));
    }
    if output.status.success() == case.fails {
        return Err(format!("{} ended with {}", trial.name(), output.status));
    }
    let printed = [output.stdout.as_slice(), &output.stderr].concat();
    let printed = String::from_utf8_lossy(&printed);
    if let Some(missing) = case.prints.iter().find(|text| !printed.contains(*text)) {
        return Err(format!("{} does not print {missing:?}", trial.name()));
    }
    if provider.overflowed() != case.overflows {
        return Err(format!("{} overflows: {}", trial.name(), provider.overflowed()));
    }
    let soonest = provider.soonest_retry().filter(|_| case.waits);
    if let Some(early) = soonest.filter(|after| *after < Duration::from_secs(RETRY_AFTER)) {
        return Err(format!("{} tries again after {early:?}", trial.name()));
    }
    Ok(())
}
