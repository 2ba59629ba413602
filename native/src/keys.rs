//! `streamgate keys`: makes, lists and revokes the API keys that users ask with.

use std::fmt::Write as _;

use clap::Subcommand;
use streamgate_core::access::{Digest, KEY_RANDOM_BYTES, Key};
use streamgate_core::config::{Config, StoreUrl};
use streamgate_core::failure::Failure;
use streamgate_core::store::api_keys::{self, ApiKey};
use streamgate_core::store::{Rows, Statement};

use crate::serve::Failed;
use crate::store::Store;
use crate::worker::unix_time;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a key; it is printed once, and only its hash is kept
    Create {
        /// Whose it is: quotas and conversations are counted and kept by this name
        #[arg(long)]
        user: String,
        /// The plan it is for, one of [plans]; else auth.default_plan
        #[arg(long)]
        plan: Option<String>,
        /// What you call it, such as the machine it is used on
        #[arg(long, default_value = "")]
        name: String,
    },
    /// List the keys, those of [auth] and those of the store
    List,
    /// Revoke a key of the store
    Revoke {
        /// Its name in `streamgate keys list`
        id: String,
    },
}

/// Does what is asked, and prints what came of it.
pub(crate) fn run(command: &Command, config: &Config) -> Result<(), Failed> {
    let store = open(config)?;
    let printed = match command {
        Command::Create { user, plan, name } => {
            create(config, store.as_ref(), user, plan.as_deref(), name)?
        }
        Command::List => list(config, store.as_ref())?,
        Command::Revoke { id } => revoke(store.as_ref(), id)?,
    };
    print!("{printed}");
    Ok(())
}

/// The store, if it can be reached from here.
fn open(config: &Config) -> Result<Option<Store>, Failed> {
    match &config.store {
        None => Ok(None),
        Some(store) if matches!(store.url, StoreUrl::D1(_)) => Ok(None),
        Some(store) => Store::open(&store.url).map(|(store, _)| Some(store)),
    }
}

fn create(
    config: &Config,
    store: Option<&Store>,
    user: &str,
    plan: Option<&str>,
    name: &str,
) -> Result<String, Failed> {
    check(config, user, plan)?;
    let mut random = [0; KEY_RANDOM_BYTES];
    getrandom::fill(&mut random)
        .map_err(|error| Failed::Impossible(format!("no random numbers: {error}")))?;
    let key = Key::new(random);
    let mut printed = format!("{}\n\nKeep it: it is not shown again.\n", key.reveal());
    let Some(store) = store else {
        let plan = plan.map(|plan| format!(", plan = {plan:?}")).unwrap_or_default();
        let row = format!("{{ sha256 = \"{}\", user = {user:?}{plan} }}", key.digest());
        write!(printed, "There is no store to keep it in. Add this to [auth] keys:\n\n{row}\n")
            .expect("a String takes every write");
        return Ok(printed);
    };
    let row = ApiKey {
        id: key.digest().id(),
        sha256: key.digest().to_string(),
        user: user.to_owned(),
        plan: plan.unwrap_or_default().to_owned(),
        name: name.to_owned(),
        created: unix_time().as_secs(),
        revoked: None,
    };
    ask(store, api_keys::insert(&row))?;
    if config.auth.is_none() {
        printed.push_str("No key is asked for yet: add an [auth] table to the configuration.\n");
    }
    Ok(printed)
}

/// A user or a plan that no request could use is refused here.
fn check(config: &Config, user: &str, plan: Option<&str>) -> Result<(), Failed> {
    if user.is_empty() || user.contains(char::is_control) {
        let what = "--user: expected a name without control characters";
        return Err(Failed::Misconfigured(what.into()));
    }
    match (plan, &config.auth) {
        (Some(plan), Some(auth)) if !auth.has_plan(plan) => {
            let what = format!("--plan: there is no plan `{plan}`; expected one of [plans]");
            Err(Failed::Misconfigured(what))
        }
        _ => Ok(()),
    }
}

fn list(config: &Config, store: Option<&Store>) -> Result<String, Failed> {
    let mut lines = String::new();
    let mut line = |id: &str, user: &str, plan: &str, rest: &str| {
        writeln!(lines, "{id:14}{user:24}{plan:14}{rest}").expect("a String takes every write");
    };
    line("ID", "USER", "PLAN", "");
    for (digest, visitor) in config.auth.iter().flat_map(|auth| auth.keys()) {
        let plan = visitor.plan.as_ref().map_or("-", |plan| &plan.name);
        line(&Digest::id(digest), &visitor.user, plan, "configured");
    }
    for row in store.map(|store| ask(store, api_keys::list())).transpose()?.unwrap_or_default() {
        let key = api_keys::read(&row).map_err(|failure| failed(&failure))?;
        let plan = if key.plan.is_empty() { "-" } else { &key.plan };
        let state = if key.revoked.is_some() { "revoked " } else { "" };
        line(&key.id, &key.user, plan, &format!("{state}{}", key.name));
    }
    Ok(lines)
}

fn revoke(store: Option<&Store>, id: &str) -> Result<String, Failed> {
    let Some(store) = store else {
        let what = "there is no store: to revoke a key, remove its row from [auth] keys";
        return Err(Failed::Misconfigured(what.into()));
    };
    match ask(store, api_keys::revoke(id, unix_time().as_secs()))?.as_slice() {
        [] => Err(Failed::Impossible(format!("there is no key {id} that is not revoked"))),
        _ => Ok(format!("{id} is revoked\n")),
    }
}

fn ask(store: &Store, statement: Statement) -> Result<Rows, Failed> {
    let rows = store.run_blocking(vec![statement]).map_err(|failure| failed(&failure))?;
    Ok(rows.into_iter().next().unwrap_or_default())
}

fn failed(failure: &Failure) -> Failed {
    Failed::Impossible(failure.to_string())
}
