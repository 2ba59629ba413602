//! One case: a provider, the server in front of it, and the client in a home directory of its own.

use std::fs;
use std::path::Path;
use std::process::{Output, Stdio};

use tokio::process::Command;

use super::page::Settings;
use super::provider::Provider;
use super::{Trial, folder, install};
use crate::gateway::{Gateway, root};
use crate::scenario::Runner;

/// A client that takes longer hangs, or waits for a network that is not there.
const SECONDS_MAX: &str = "120";

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

/// Every model that the client names is the provider's.
fn config(trial: &Trial, provider: &Provider) -> String {
    let upstream = &trial.upstream;
    let base = if upstream == "anthropic" { "" } else { "/v1" };
    let mut text = format!(
        "[providers.upstream]\nprotocol = \"{upstream}\"\nbase_url = \"http://{}{base}\"\n\
         [auth]\nkeys = [{{ sha256 = \"{KEY_SHA256}\", user = \"ada\" }}]\n",
        provider.addr
    );
    for model in &trial.client.models {
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
    command.args(["--kill-after=5", SECONDS_MAX, "sh", "-c"]);
    command.arg(format!("{}{}", settings.exports, trial.case.run));
    command.env_clear().env("PATH", path).env("HOME", &home).env("LANG", "C.UTF-8");
    command.env("VARIANT", &trial.variant).env("PYTHONPATH", &project);
    command.env("CLIENTS", folder()).current_dir(&project);
    command.stdin(Stdio::null()).kill_on_drop(true);
    command.output().await.map_err(|error| format!("timeout: {error}"))
}

fn verdict(trial: &Trial, output: &Output, provider: &Provider) -> Result<(), String> {
    let case = &trial.case;
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
    Ok(())
}
