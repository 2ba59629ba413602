//! The Worker in a real workerd, without wrangler: it starts in a tenth of a second.
//!
//! Where its configuration has a store it gets a D1 database, the binding `DB`: miniflare's, by
//! `d1.capnp`.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use tokio::process::Command;

use super::{KEPT, built, root, write};
use crate::scenario::SECRETS;

const MAIN_MODULE: &str = "index.js";
/// In a Worker's folder, a module that takes the main one's place and imports it.
pub(super) const OUTER_MODULE: &str = "outer.js";
/// The configuration's module: each Worker has its own, in its folder.
const CONFIG: &str = "streamgate.toml";
const D1_CAPNP: &str = "d1.capnp";
/// Where miniflare has its Workers.
const MINIFLARE: &str = "node_modules/miniflare/dist/src/workers";
/// Where wrangler keeps D1's files, below the folder it is given.
const D1_FILES: &str = "v3/d1";

pub(super) fn command(folder: &Path, config: &str) -> Result<Command, String> {
    let workerd = workerd()?;
    let miniflare = built(root().join(MINIFLARE), "install it with `npm ci`")?;
    let bundle = bundle();
    built(bundle.join(MAIN_MODULE), "build the Worker with `cargo xtask edge`")?;
    write(folder.join(CONFIG), config)?;
    for (name, value) in SECRETS {
        write(folder.join(name), value)?;
    }
    let files = folder.join(KEPT).join(D1_FILES);
    std::fs::create_dir_all(&files).map_err(|error| format!("{}: {error}", files.display()))?;
    write(folder.join(D1_CAPNP), include_str!("d1.capnp"))?;
    let capnp = capnp(&modules(folder, &bundle)?, &Compatibility::read()?, &D1::of(config));
    let capnp = write(folder.join("worker.capnp"), &capnp)?;
    let mut command = Command::new(workerd);
    command
        // Experimental is a flag that miniflare's Workers ask for.
        .args(["serve", "--experimental", "--control-fd=1"])
        // Paths in the configuration are relative to it: the modules are imported from here.
        .arg(format!("--import-path={}", bundle.display()))
        .arg(format!("--import-path={}", miniflare.display()))
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

/// The Worker's modules as capnp, the main one first: the bundle's are embedded by absolute names.
fn modules(folder: &Path, bundle: &Path) -> Result<String, String> {
    let mut names = Vec::new();
    let entries = std::fs::read_dir(bundle).map_err(|e| format!("{}: {e}", bundle.display()))?;
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.ends_with(".js") || name.ends_with(".wasm") {
            names.push(name);
        }
    }
    names.sort_by_key(|name| (name != MAIN_MODULE, name.clone()));
    let mut modules = String::new();
    if folder.join(OUTER_MODULE).exists() {
        modules += &module(OUTER_MODULE, "esModule", OUTER_MODULE);
    }
    for name in names {
        let kind = if name.ends_with(".wasm") { "wasm" } else { "esModule" };
        modules += &module(&name, kind, &format!("/{name}"));
    }
    Ok(modules + &module(CONFIG, "text", CONFIG))
}

fn module(name: &str, kind: &str, file: &str) -> String {
    format!("    (name = \"{name}\", {kind} = embed \"{file}\"),\n")
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

/// The Worker's parts that go with a store, place by place: nothing where there is none.
#[derive(Default)]
struct D1 {
    import: &'static str,
    services: String,
    extension: &'static str,
    binding: &'static str,
}

impl D1 {
    /// Where the configuration has a store; without one the Worker starts sooner.
    fn of(config: &str) -> Self {
        if !config.parse::<toml::Table>().is_ok_and(|config| config.contains_key("store")) {
            return Self::default();
        }
        Self {
            import: "using D1 = import \"d1.capnp\";\n",
            services: format!(
                "    (name = \"d1\", worker = D1.entry),\n    \
                 (name = \"d1-database\", worker = D1.database),\n    \
                 (name = \"d1-files\", disk = (path = \"{KEPT}/{D1_FILES}\", writable = true)),\n"
            ),
            extension: "  extensions = [D1.extension],\n",
            binding: "    (name = \"DB\", wrapped = (moduleName = \"cloudflare-internal:d1-api\", \
                      innerBindings = [(name = \"fetcher\", service = \"d1\")])),\n",
        }
    }
}

fn capnp(modules: &str, compatibility: &Compatibility, d1: &D1) -> String {
    let mut secrets = String::new();
    for (name, _) in SECRETS {
        writeln!(secrets, "    (name = \"{name}\", text = embed \"{name}\"),")
            .expect("a String takes every write");
    }
    let D1 { import, services, extension, binding } = d1;
    let Compatibility { compatibility_date, compatibility_flags } = compatibility;
    // A list of texts is written alike in both languages.
    format!(
        r#"using Workerd = import "/workerd/workerd.capnp";
{import}
const config :Workerd.Config = (
  services = [
    (name = "main", worker = .worker),
    (name = "internet", network = (
      allow = ["public", "private"],
      tlsOptions = (trustBrowserCas = true),
    )),
{services}  ],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "main")],
{extension});

const worker :Workerd.Worker = (
  modules = [
{modules}  ],
  bindings = [
{secrets}{binding}    (name = "QUOTA", durableObjectNamespace = "Quota"),
  ],
  durableObjectNamespaces = [(className = "Quota", uniqueKey = "quota")],
  durableObjectStorage = (inMemory = void),
  compatibilityDate = "{compatibility_date}",
  compatibilityFlags = {compatibility_flags:?},
);
"#
    )
}
