//! `streamgate keys`: makes, lists and revokes the API keys that users ask with.

use std::fmt::Write as _;

use clap::Subcommand;
use streamgate_core::access::{Digest, KEY_RANDOM_BYTES, Key, UserName};
use streamgate_core::config::Config;
use streamgate_core::failure::Failure;
use streamgate_core::store::StoreUrl;
use streamgate_core::store::api_keys::{self, ApiKey};
use streamgate_core::store::{Rows, Statement};

use crate::serving_thread::unix_time;
use crate::startup::StartupError;
use crate::store::Store;

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

/// Where keys are kept.
enum Place {
    /// In `[auth] keys` only.
    Configuration,
    Store(Store),
    /// In the database of this binding, which only Cloudflare's own tool reaches from here: what it is
    /// to do is printed.
    D1(String),
}

/// Does what is asked, and prints what came of it.
pub(crate) fn run(command: &Command, config: &Config) -> Result<(), StartupError> {
    let place = place(config)?;
    let printed = match command {
        Command::Create { user, plan, name } => {
            create(config, &place, user, plan.as_deref(), name)?
        }
        Command::List => list(config, &place)?,
        Command::Revoke { id } => revoke(&place, id)?,
    };
    print!("{printed}");
    Ok(())
}

fn place(config: &Config) -> Result<Place, StartupError> {
    match config.store.as_ref().map(|store| &store.url) {
        None => Ok(Place::Configuration),
        Some(StoreUrl::D1(binding)) => Ok(Place::D1(binding.clone())),
        Some(url) => Store::open(url).map(|(store, _)| Place::Store(store)),
    }
}

fn create(
    config: &Config,
    place: &Place,
    user: &str,
    plan: Option<&str>,
    name: &str,
) -> Result<String, StartupError> {
    check(config, user, plan)?;
    let mut random = [0; KEY_RANDOM_BYTES];
    getrandom::fill(&mut random)
        .map_err(|error| StartupError::Io(format!("no random numbers: {error}")))?;
    let key = Key::new(random);
    let mut printed = format!("{}\n\nKeep it: it is not shown again.\n", key.reveal());
    let row = ApiKey {
        id: key.digest().id(),
        sha256: key.digest().to_string(),
        user: user.to_owned(),
        plan: plan.unwrap_or_default().to_owned(),
        name: name.to_owned(),
        created: unix_time().as_secs(),
        revoked: None,
    };
    match place {
        Place::Store(store) => drop(ask(store, api_keys::insert(&row))?),
        Place::D1(binding) => {
            let command = wrangler(binding, &api_keys::insert(&row));
            printed.push_str(&format!("It is good once this has run:\n\n{command}"));
        }
        Place::Configuration => {
            let plan = plan.map(|plan| format!(", plan = {plan:?}")).unwrap_or_default();
            let row = format!("{{ sha256 = \"{}\", user = {user:?}{plan} }}", row.sha256);
            printed.push_str("There is no store to keep it in. Add this to [auth] keys:\n\n");
            printed.push_str(&format!("{row}\n"));
            return Ok(printed);
        }
    }
    if config.auth.is_none() {
        printed.push_str("No key is asked for yet: add an [auth] table to the configuration.\n");
    }
    Ok(printed)
}

/// A user or a plan that no request could use is refused here.
fn check(config: &Config, user: &str, plan: Option<&str>) -> Result<(), StartupError> {
    if let Err(expected) = user.parse::<UserName>() {
        return Err(StartupError::Config(format!("--user: expected a name of {expected}")));
    }
    match (plan, &config.auth) {
        (Some(plan), Some(auth)) if !auth.has_plan(plan) => {
            let what = format!("--plan: there is no plan `{plan}`; expected one of [plans]");
            Err(StartupError::Config(what))
        }
        _ => Ok(()),
    }
}

fn list(config: &Config, place: &Place) -> Result<String, StartupError> {
    let mut lines = String::new();
    let mut line = |id: &str, user: &str, plan: &str, rest: &str| {
        writeln!(lines, "{id:14}{user:24}{plan:14}{rest}").expect("a String takes every write");
    };
    line("ID", "USER", "PLAN", "");
    for (digest, caller) in config.auth.iter().flat_map(|auth| auth.keys()) {
        let plan = caller.plan.as_ref().map_or("-", |plan| &plan.name);
        line(&Digest::id(digest), &caller.user, plan, "configured");
    }
    let rows = match place {
        Place::Store(store) => ask(store, api_keys::list())?,
        Place::Configuration | Place::D1(_) => Rows::new(),
    };
    for row in rows {
        let key = api_keys::read(&row).map_err(|failure| failed(&failure))?;
        let plan = if key.plan.is_empty() { "-" } else { &key.plan };
        let state = if key.revoked.is_some() { "revoked " } else { "" };
        line(&key.id, &key.user, plan, &format!("{state}{}", key.name));
    }
    if let Place::D1(binding) = place {
        let command = wrangler(binding, &api_keys::list());
        lines.push_str(&format!("\nThose of the store are listed by this:\n\n{command}"));
    }
    Ok(lines)
}

fn revoke(place: &Place, id: &str) -> Result<String, StartupError> {
    let statement = api_keys::revoke(id, unix_time().as_secs());
    let store = match place {
        Place::Store(store) => store,
        Place::D1(binding) => {
            let command = wrangler(binding, &statement);
            return Ok(format!("It is revoked once this command has printed its id:\n\n{command}"));
        }
        Place::Configuration => {
            let what = "there is no store: to revoke a key, remove its row from [auth] keys";
            return Err(StartupError::Config(what.into()));
        }
    };
    match ask(store, statement)?.as_slice() {
        [] => Err(StartupError::Io(format!("there is no key {id} that is not revoked"))),
        _ => Ok(format!("{id} is revoked\n")),
    }
}

/// The command that runs a statement in a Worker's database.
fn wrangler(binding: &str, statement: &Statement) -> String {
    format!("npx wrangler d1 execute {binding} --remote --command {}\n", word(&statement.literal()))
}

/// A text as one word of a shell: in double quotes, as SQL has single ones, where it can be.
fn word(text: &str) -> String {
    if text.contains(['"', '$', '`', '\\', '!']) {
        return format!("'{}'", text.replace('\'', r"'\''"));
    }
    format!("\"{text}\"")
}

fn ask(store: &Store, statement: Statement) -> Result<Rows, StartupError> {
    let rows = store.run_blocking(vec![statement]).map_err(|failure| failed(&failure))?;
    Ok(rows.into_iter().next().unwrap_or_default())
}

fn failed(failure: &Failure) -> StartupError {
    StartupError::Io(failure.to_string())
}
