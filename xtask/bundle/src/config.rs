//! What is deployed with the code: the configuration as a text module, checked here so that a mistake
//! stops the build, and wrangler's configuration with what follows from it.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context as _, Error, Result, bail, ensure};
use serde_json::{Value, json};
use streamgate_core::config::{Config, Reach};
use streamgate_core::store::StoreUrl;
use xshell::Shell;

/// The text module's name, which `edge/src/isolate.rs` imports.
const MODULE: &str = "streamgate.toml";
/// Where the deployment is described, by hand.
const WRANGLER: &str = "wrangler.toml";
/// The same for this build. Wrangler looks for the redirect before it reads the one by hand.
const GENERATED: &str = "wrangler.json";
const REDIRECT: &str = ".wrangler/deploy/config.json";

/// Passes for every kind of secret: those of the Worker are not known here.
const STAND_IN: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

/// Puts the configuration and what follows from it into the bundle.
pub(crate) fn install(sh: &Shell, file: &Path, bundle: &Path) -> Result<()> {
    let wrangler = sh.read_file(WRANGLER)?;
    let wrangler = toml::from_str::<Value>(&wrangler).with_context(|| WRANGLER.to_owned())?;
    let text = read(sh, file)?;
    let secrets = match &text {
        Some(text) => check(text, &wrangler).with_context(|| file.display().to_string())?,
        None => BTreeSet::new(),
    };
    sh.write_file(bundle.join(MODULE), text.unwrap_or_default())?;
    let generated = generate(wrangler, &secrets);
    sh.write_file(bundle.join(GENERATED), format!("{generated:#}\n"))?;
    let redirect = json!({ "configPath": bundle.join(GENERATED) });
    sh.write_file(REDIRECT, format!("{redirect:#}\n"))?;
    Ok(())
}

/// The text of the configuration. A Worker can be built without one, for tests, but not serve.
fn read(sh: &Shell, file: &Path) -> Result<Option<String>> {
    if !sh.path_exists(file) {
        eprintln!("{}: not there, so this Worker answers nothing but errors", file.display());
        return Ok(None);
    }
    Ok(Some(sh.read_file(file)?))
}

/// Makes sure that a Worker can serve this, and names the secrets that it takes.
fn check(text: &str, wrangler: &Value) -> Result<BTreeSet<String>> {
    let secrets = RefCell::new(BTreeSet::new());
    let config = Config::parse(text, |name| {
        secrets.borrow_mut().insert(name.to_owned());
        Some(std::env::var(name).unwrap_or_else(|_| STAND_IN.to_owned()))
    })?;
    config.check_own_keys(Reach::Edge).map_err(Error::msg)?;
    match config.store.map(|store| store.url) {
        None => {}
        Some(StoreUrl::D1(binding)) => ensure!(
            has_database(wrangler, &binding),
            "store.url: {WRANGLER} has no D1 binding `{binding}`; expected\n\
             [[d1_databases]]\nbinding = \"{binding}\""
        ),
        Some(StoreUrl::Sqlite(_) | StoreUrl::Postgres(_)) => bail!(
            "store.url: a Worker stores its data in D1; expected the name of a D1 binding, such as \
             \"d1:DB\""
        ),
    }
    Ok(secrets.into_inner())
}

fn has_database(wrangler: &Value, binding: &str) -> bool {
    let databases = wrangler["d1_databases"].as_array().map_or(&[][..], Vec::as_slice);
    databases.iter().any(|database| database["binding"] == binding)
}

/// The deployment of what lies beside it. Wrangler deploys nothing that lacks one of these secrets.
fn generate(mut wrangler: Value, secrets: &BTreeSet<String>) -> Value {
    let variables = &wrangler["vars"];
    let secrets: Vec<_> =
        secrets.iter().filter(|name| variables[name.as_str()].is_null()).collect();
    let secrets = json!({ "required": secrets });
    wrangler["secrets"] = secrets;
    wrangler["main"] = "index.js".into();
    wrangler["base_dir"] = ".".into();
    wrangler
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORKS: &str = r#"
[store]
url = "d1:DB"
master_key = { env = "MASTER_KEY" }
[providers.openai]
protocol = "openai"
base_url = "https://api.openai.com/v1"
api_key = { env = "OPENAI_API_KEY" }
[models."gpt-4o"]
targets = ["openai/gpt-4o"]
"#;

    fn wrangler() -> Value {
        json!({ "d1_databases": [{ "binding": "DB" }], "vars": { "MASTER_KEY": "public" } })
    }

    #[test]
    fn what_a_worker_cannot_serve_stops_the_build() {
        for (from, to, words) in [
            ("base_url", "base_ulr", ["line 7", "base_ulr"]),
            ("d1:DB", "d1:OTHER", ["store.url", "OTHER"]),
            ("d1:DB", "sqlite:a.db", ["store.url", "D1"]),
            ("openai/gpt-4o\"]", "missing/gpt-4o\"]", ["line 10", "missing"]),
        ] {
            let error = check(&WORKS.replace(from, to), &wrangler()).unwrap_err().to_string();
            assert!(words.iter().all(|word| error.contains(word)), "{to}: {error}");
        }
    }

    #[test]
    fn the_worker_requires_the_secrets_that_are_no_variables() {
        let secrets = check(WORKS, &wrangler()).unwrap();
        let generated = generate(wrangler(), &secrets);
        assert_eq!(generated["secrets"], json!({ "required": ["OPENAI_API_KEY"] }));
    }
}
