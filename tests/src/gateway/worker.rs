//! The Worker in a real workerd, without wrangler: it starts in a tenth of a second.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use tokio::process::Command;

use super::{built, root, write};
use crate::scenario::SECRETS;

const MAIN_MODULE: &str = "index.js";

pub(super) fn command(folder: &Path, config: &str) -> Result<Command, String> {
    let workerd = workerd()?;
    let bundle = bundle();
    built(bundle.join(MAIN_MODULE), "build the Worker with `cargo xtask edge`")?;
    write(folder.join("streamgate.toml"), config)?;
    for (name, value) in SECRETS {
        write(folder.join(name), value)?;
    }
    let capnp = capnp(&modules(&bundle)?, &Compatibility::read()?);
    let capnp = write(folder.join("worker.capnp"), &capnp)?;
    let mut command = Command::new(workerd);
    command
        .args(["serve", "--control-fd=1"])
        // Paths in the configuration are relative to it: the bundle is imported from here.
        .arg(format!("--import-path={}", bundle.display()))
        .arg(capnp)
        .current_dir(folder);
    Ok(command)
}

/// The port in the line `{"event":"listen","socket":"http","port":PORT}`.
pub(super) fn addr(line: &str) -> Option<SocketAddr> {
    let event: serde_json::Value = serde_json::from_str(line).ok()?;
    let port = u16::try_from(event["port"].as_u64()?).ok()?;
    (event["event"] == "listen").then(|| SocketAddr::from(([127, 0, 0, 1], port)))
}

/// `STREAMGATE_WORKER`, or where `cargo xtask edge` puts it.
fn bundle() -> PathBuf {
    std::env::var_os("STREAMGATE_WORKER").map_or_else(|| root().join("target/edge"), PathBuf::from)
}

/// `WORKERD_BIN`, or npm's. The package's own `bin` may be a script that starts the program, and
/// killing that would leave the program alive.
fn workerd() -> Result<PathBuf, String> {
    if let Some(path) = std::env::var_os("WORKERD_BIN") {
        return Ok(path.into());
    }
    let packages = root().join("node_modules/@cloudflare");
    let entries = std::fs::read_dir(&packages).into_iter().flatten().flatten();
    let platform = entries.map(|entry| entry.path()).find(|path| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("workerd-"))
    });
    let platform = platform.unwrap_or_else(|| packages.join("workerd-*"));
    built(platform.join("bin/workerd"), "install it with `npm ci`")
}

/// The bundle's modules, the main one first: names relative to the bundle.
fn modules(bundle: &Path) -> Result<Vec<String>, String> {
    let mut names = Vec::new();
    let entries = std::fs::read_dir(bundle).map_err(|e| format!("{}: {e}", bundle.display()))?;
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.ends_with(".js") || name.ends_with(".wasm") {
            names.push(name);
        }
    }
    names.sort_by_key(|name| (name != MAIN_MODULE, name.clone()));
    Ok(names)
}

/// What the Worker asks of its runtime, as it is deployed.
#[derive(Deserialize)]
struct Compatibility {
    compatibility_date: String,
    #[serde(default)]
    compatibility_flags: Vec<String>,
}

impl Compatibility {
    fn read() -> Result<Self, String> {
        let path = root().join("wrangler.toml");
        let text = std::fs::read_to_string(&path);
        let text = text.map_err(|error| format!("{}: {error}", path.display()))?;
        toml::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))
    }
}

fn capnp(modules: &[String], compatibility: &Compatibility) -> String {
    let mut list = String::new();
    for name in modules {
        let kind = if name.ends_with(".wasm") { "wasm" } else { "esModule" };
        writeln!(list, "    (name = \"{name}\", {kind} = embed \"/{name}\"),")
            .expect("a String takes every write");
    }
    let mut secrets = String::new();
    for (name, _) in SECRETS {
        writeln!(secrets, "    (name = \"{name}\", text = embed \"{name}\"),")
            .expect("a String takes every write");
    }
    let Compatibility { compatibility_date, compatibility_flags } = compatibility;
    // A list of texts is written alike in both languages.
    format!(
        r#"using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [
    (name = "main", worker = .worker),
    (name = "internet", network = (
      allow = ["public", "private"],
      tlsOptions = (trustBrowserCas = true),
    )),
  ],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "main")],
);

const worker :Workerd.Worker = (
  modules = [
{list}  ],
  bindings = [
    (name = "STREAMGATE_CONFIG", text = embed "streamgate.toml"),
{secrets}    (name = "QUOTA", durableObjectNamespace = "Quota"),
  ],
  durableObjectNamespaces = [(className = "Quota", uniqueKey = "quota")],
  durableObjectStorage = (inMemory = void),
  compatibilityDate = "{compatibility_date}",
  compatibilityFlags = {compatibility_flags:?},
);
"#
    )
}
