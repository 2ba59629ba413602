//! Clients as their makers ship them, unmodified and pinned, against the native server with a
//! provider behind it: `tests/clients/NAME.toml`, one file per client.
//!
//! Client, server and provider share a network [`namespace`] that has a loopback interface and
//! nothing else, so a client that calls home fails here and not in production. What a client is
//! configured with is taken from its page in `docs/clients`, with the server's address in place of
//! `localhost:8000`: a page whose settings do not work fails its test.

mod errors;
mod install;
pub mod namespace;
mod page;
mod provider;
mod reply;
mod run;

use std::path::PathBuf;

use serde::Deserialize;
use serde_json::Value;

use self::errors::{Errors, Kind};
use crate::gateway::root;

/// One client, and what is tried with it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Client {
    /// From its file.
    #[serde(skip)]
    pub name: String,
    /// Its page in `docs/clients`.
    page: String,
    /// Where its programs are installed: a name that [`install`] knows.
    install: String,
    /// Left out unless requested, as by `cargo xtask clients`.
    #[serde(default)]
    pub is_heavy: bool,
    /// The model names it uses.
    models: Vec<String>,
    /// The protocols of the providers it is tried with.
    upstreams: Vec<String>,
    /// The values of `$VARIANT` that each case runs with.
    #[serde(default = "no_variant")]
    variants: Vec<String>,
    #[serde(rename = "case")]
    cases: Vec<Case>,
    errors: Errors,
}

fn no_variant() -> Vec<String> {
    vec![String::new()]
}

/// One thing that a client does.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    /// A command for `sh`.
    run: String,
    /// Of the client's upstreams, those that it is tried with; by default all.
    upstreams: Option<Vec<String>>,
    #[serde(default)]
    provider: Script,
    /// Whether the command fails.
    #[serde(default)]
    fails: bool,
    /// Whether the provider rejects a request as too long.
    #[serde(default)]
    overflows: bool,
    /// Whether a request that the provider has just refused comes again no sooner than it allows.
    #[serde(skip)]
    waits: bool,
    /// The longest it may take.
    seconds_max: Option<u64>,
    /// What it prints, among other things.
    prints: Vec<String>,
    /// Why it is not run.
    skip: Option<String>,
}

/// What the provider does with every call.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Script {
    /// The text of its answers. By default a tool's result is repeated.
    answer: Option<String>,
    /// It first calls this tool, where it is offered.
    call: Option<Call>,
    /// Every call of this client ends so.
    #[serde(skip)]
    error: Option<Kind>,
    /// It rejects longer requests as too long for its context.
    request_bytes_max: Option<usize>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Call {
    tool: String,
    arguments: Value,
    /// How often, in all.
    #[serde(default = "once")]
    times: usize,
}

const fn once() -> usize {
    1
}

/// One case of one client with one provider.
#[derive(Clone, Debug)]
pub struct Trial {
    client: Client,
    upstream: String,
    variant: String,
    case: Case,
}

impl Client {
    /// Every client, by name.
    ///
    /// # Errors
    ///
    /// The file that cannot be read, and why.
    pub fn all() -> Result<Vec<Self>, String> {
        let entries = std::fs::read_dir(folder()).map_err(|error| error.to_string())?;
        let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
        paths.retain(|path| path.extension().is_some_and(|kind| kind == "toml"));
        paths.sort();
        paths.into_iter().map(Self::load).collect()
    }

    fn load(path: PathBuf) -> Result<Self, String> {
        let wrong = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
        let text = std::fs::read_to_string(&path).map_err(|error| wrong(&error))?;
        let mut client: Self = toml::from_str(&text).map_err(|error| wrong(&error))?;
        client.cases.extend(client.errors.cases().map_err(|error| wrong(&error))?);
        client.name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Ok(client)
    }

    /// Each of its cases with each provider.
    pub fn trials(&self) -> Vec<Trial> {
        let mut trials = Vec::new();
        for case in self.cases.iter().filter(|case| case.skip.is_none()) {
            // An error's wording does not depend on the provider: one is enough.
            let upstreams = if case.provider.error.is_some() { 1 } else { self.upstreams.len() };
            for (upstream, variant) in self.settings(upstreams) {
                if case.upstreams.as_ref().is_some_and(|only| !only.contains(&upstream)) {
                    continue;
                }
                let (client, case) = (self.clone(), case.clone());
                trials.push(Trial { client, upstream, variant, case });
            }
        }
        trials
    }

    /// Each of the first `upstreams` with each variant.
    fn settings(&self, upstreams: usize) -> impl Iterator<Item = (String, String)> {
        let upstreams = &self.upstreams[..upstreams];
        self.variants.iter().flat_map(move |variant| {
            upstreams.iter().map(|upstream| (upstream.clone(), variant.clone()))
        })
    }
}

impl Trial {
    /// `CLIENT::UPSTREAM::CASE`, and the variant.
    pub fn name(&self) -> String {
        let Self { client, upstream, variant, case } = self;
        let name = format!("{}::{upstream}::{}", client.name, case.name);
        if variant.is_empty() { name } else { format!("{name}::{variant}") }
    }

    /// Runs the client and checks what it prints.
    ///
    /// # Errors
    ///
    /// What is wrong, with all that the client printed and the provider received.
    pub async fn check(&self) -> Result<(), String> {
        run::check(self).await
    }
}

fn folder() -> PathBuf {
    root().join("tests/clients")
}
