//! What a machine must have before a task can run, one row each: how to detect it and where it comes
//! from. `install` installs what is missing.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use xshell::{Shell, cmd};

use Source::{Packages, Rustup, Workspace};

/// Where this project's own tools are installed, apart from the machine's.
pub(crate) const TOOLS: &str = "target/tools";
const CARGO_DENY_PIN: &str = "cargo-deny@0.20.2";
const CARGO_MUTANTS_PIN: &str = "cargo-mutants@27.1.0";
/// Where cargo-mutants writes what it did.
pub(crate) const MUTANTS_OUT: &str = "target";
const VENV: &str = "target/venv";
const REQUIREMENTS: &str = "tests/requirements.txt";
const LOCKFILE: &str = "package-lock.json";

/// What `streamgate` needs to compile: llama.cpp is C++, and bindgen reads its headers.
pub(crate) static NATIVE: &[&Requirement] = &[&CPP_COMPILER, &MAKE, &CMAKE, &LIBCLANG];
/// What building the Worker and running it locally needs.
pub(crate) static EDGE: &[&Requirement] = &[&WASM_TARGET, &NODE, &NODE_MODULES];
/// What tests need beyond what they test.
pub(crate) static CLIENTS: &[&Requirement] = &[
    &NODE,
    &NODE_MODULES,
    &PYTHON,
    &PYTHON_PACKAGES,
    &CURL,
    &CHROMIUM,
    &POSTGRES,
    &NGINX,
    &TINYPROXY,
    &OPENSSL,
];

/// Something a task requires.
pub(crate) struct Requirement {
    /// Identifies it, and names it in messages.
    pub(crate) name: &'static str,
    pub(crate) is_installed: fn(&Shell) -> bool,
    pub(crate) source: Source,
}

/// Where a missing requirement comes from.
pub(crate) enum Source {
    /// The system's package manager; each has its own names.
    Packages { apt: &'static [&'static str], brew: &'static [&'static str] },
    /// `rustup`, with these arguments.
    Rustup(&'static [&'static str]),
    /// A function that installs it inside the workspace; `tool` is what it runs.
    Workspace { tool: &'static str, install: fn(&Shell) -> Result<()> },
}

static CPP_COMPILER: Requirement = Requirement {
    name: "a C++ compiler",
    is_installed: |_| on_path("c++").is_some(),
    source: Packages { apt: &["g++"], brew: &["llvm"] },
};

// CMake's default generator on Unix writes makefiles; Debian's cmake only recommends make.
static MAKE: Requirement = Requirement {
    name: "make",
    is_installed: |_| on_path("make").is_some(),
    source: Packages { apt: &["make"], brew: &["make"] },
};

static CMAKE: Requirement = Requirement {
    name: "CMake",
    is_installed: |_| on_path("cmake").is_some(),
    source: Packages { apt: &["cmake"], brew: &["cmake"] },
};

static LIBCLANG: Requirement = Requirement {
    name: "libclang",
    is_installed: |_| libclang_is_installed(),
    source: Packages { apt: &["libclang-dev"], brew: &["llvm"] },
};

static NODE: Requirement = Requirement {
    name: "Node.js with npm",
    is_installed: |sh| on_path("npm").is_some() && node_major(sh) >= NODE_MAJOR_MIN,
    source: Packages { apt: &["nodejs", "npm"], brew: &["node"] },
};

static PYTHON: Requirement = Requirement {
    name: "Python with venv",
    is_installed: |sh| succeeds(sh, "python3", &["-c", "import ensurepip, venv"]),
    source: Packages { apt: &["python3-venv"], brew: &["python"] },
};

static CURL: Requirement = Requirement {
    name: "curl",
    is_installed: |_| on_path("curl").is_some(),
    source: Packages { apt: &["curl"], brew: &["curl"] },
};

static CHROMIUM: Requirement = Requirement {
    name: "Chrome or Chromium",
    is_installed: |_| chromium().is_some(),
    source: Packages { apt: &["chromium"], brew: &["google-chrome"] },
};

static POSTGRES: Requirement = Requirement {
    name: "a Postgres server",
    is_installed: |_| postgres_is_installed(),
    source: Packages { apt: &["postgresql"], brew: &["postgresql"] },
};

// A provider that speaks HTTP/2.
static NGINX: Requirement = Requirement {
    name: "nginx",
    // Debian's /usr/sbin is on the PATH of root alone.
    is_installed: |_| on_path("nginx").is_some() || Path::new("/usr/sbin/nginx").exists(),
    source: Packages { apt: &["nginx"], brew: &["nginx"] },
};

static TINYPROXY: Requirement = Requirement {
    name: "tinyproxy",
    is_installed: |_| on_path("tinyproxy").is_some(),
    source: Packages { apt: &["tinyproxy"], brew: &["tinyproxy"] },
};

static OPENSSL: Requirement = Requirement {
    name: "the openssl command",
    is_installed: |_| on_path("openssl").is_some(),
    source: Packages { apt: &["openssl"], brew: &["openssl"] },
};

pub(crate) static RUSTFMT: Requirement = Requirement {
    name: "rustfmt",
    is_installed: |sh| succeeds(sh, "cargo", &["fmt", "--version"]),
    source: Rustup(&["component", "add", "rustfmt"]),
};

pub(crate) static CLIPPY: Requirement = Requirement {
    name: "clippy",
    is_installed: |sh| succeeds(sh, "cargo", &["clippy", "--version"]),
    source: Rustup(&["component", "add", "clippy"]),
};

pub(crate) static WASM_TARGET: Requirement = Requirement {
    name: "Rust for WebAssembly",
    is_installed: wasm_target_is_installed,
    source: Rustup(&["target", "add", "wasm32-unknown-unknown"]),
};

pub(crate) static CARGO_DENY: Requirement = Requirement {
    name: "cargo-deny",
    is_installed: |sh| succeeds(sh, "cargo", &["deny", "--version"]),
    source: Workspace { tool: "cargo install", install: install_cargo_deny },
};

pub(crate) static CARGO_MUTANTS: Requirement = Requirement {
    name: "cargo-mutants",
    is_installed: |sh| succeeds(sh, "cargo", &["mutants", "--version"]),
    source: Workspace { tool: "cargo install", install: install_cargo_mutants },
};

static NODE_MODULES: Requirement = Requirement {
    name: "node_modules",
    is_installed: |sh| is_stamped(sh, "node_modules", LOCKFILE),
    source: Workspace { tool: "npm ci", install: install_node_modules },
};

static PYTHON_PACKAGES: Requirement = Requirement {
    name: "Python packages",
    is_installed: |sh| is_venv(sh, VENV, REQUIREMENTS),
    source: Workspace { tool: "pip install", install: |sh| install_venv(sh, VENV, REQUIREMENTS) },
};

/// npm runs on any of these. On Linux, package.json installs the Node that wrangler requires;
/// elsewhere the machine's own is used.
const NODE_MAJOR_MIN: u32 = if cfg!(target_os = "linux") { 18 } else { 22 };

/// The browser to test the chat page with.
pub(crate) fn chromium() -> Option<PathBuf> {
    let names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
    let application = PathBuf::from("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome");
    let configured = env::var_os("CHROMIUM").map(PathBuf::from);
    configured
        .or_else(|| names.into_iter().find_map(on_path))
        .or_else(|| Some(application).filter(|path| path.exists()))
}

pub(crate) fn on_path(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|dir| dir.join(program)).find(|file| file.is_file())
}

fn succeeds(sh: &Shell, program: &str, args: &[&str]) -> bool {
    cmd!(sh, "{program} {args...}").quiet().ignore_stdout().ignore_stderr().run().is_ok()
}

fn node_major(sh: &Shell) -> u32 {
    let version = cmd!(sh, "node --version").quiet().ignore_stderr().read().unwrap_or_default();
    let major = version.trim_start_matches('v').split('.').next();
    major.and_then(|major| major.parse().ok()).unwrap_or(0)
}

/// Where bindgen looks. Only the development package has the name without a version; it also
/// contains the compiler's own headers, which bindgen needs.
fn libclang_is_installed() -> bool {
    let fixed = [
        "/usr/lib",
        "/usr/lib64",
        "/usr/local/lib",
        "/opt/homebrew/opt/llvm/lib",
        "/usr/local/opt/llvm/lib",
        "/Library/Developer/CommandLineTools/usr/lib",
        "/Applications/Xcode.app/Contents/Developer/Toolchains/XcodeDefault.xctoolchain/usr/lib",
    ];
    // Debian: /usr/lib/llvm-14/lib.
    let versioned = fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    let dirs = fixed.map(PathBuf::from).into_iter();
    let mut dirs = dirs.chain(versioned.map(|entry| entry.path().join("lib")));
    env::var_os("LIBCLANG_PATH").is_some()
        || dirs.any(|dir| dir.join("libclang.so").exists() || dir.join("libclang.dylib").exists())
}

/// Debian keeps each version's programs in a directory of its own, not on the PATH.
fn postgres_is_installed() -> bool {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut programs = versions.map(|entry| entry.path().join("bin/initdb"));
    on_path("initdb").is_some() || programs.any(|program| program.exists())
}

fn wasm_target_is_installed(sh: &Shell) -> bool {
    let query = cmd!(sh, "rustc --print target-libdir --target wasm32-unknown-unknown");
    query.quiet().read().is_ok_and(|dir| Path::new(&dir).exists())
}

/// Unoptimised, it builds in a minute and checks in two seconds.
fn install_cargo_deny(sh: &Shell) -> Result<()> {
    Ok(cmd!(sh, "cargo install --quiet --locked --debug --root {TOOLS} {CARGO_DENY_PIN}").run()?)
}

fn install_cargo_mutants(sh: &Shell) -> Result<()> {
    let options = ["--quiet", "--locked", "--debug"];
    Ok(cmd!(sh, "cargo install {options...} --root {TOOLS} {CARGO_MUTANTS_PIN}").run()?)
}

fn install_node_modules(sh: &Shell) -> Result<()> {
    cmd!(sh, "npm ci --loglevel=error").run()?;
    // Debian's npm 9 removes `.bin/node` together with the Node of the other architecture.
    cmd!(sh, "npm rebuild --ignore-scripts --loglevel=error").run()?;
    stamp(sh, "node_modules", LOCKFILE)
}

/// Installs these packages into a Python environment of their own.
pub(crate) fn install_venv(sh: &Shell, venv: &str, packages: &str) -> Result<()> {
    // --clear: an existing environment may belong to a Python that was upgraded since.
    cmd!(sh, "python3 -m venv --clear {venv}").run()?;
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
    cmd!(sh, "{venv}/bin/python {pip...} --requirement {packages}").run()?;
    stamp(sh, venv, packages)
}

pub(crate) fn is_venv(sh: &Shell, venv: &str, packages: &str) -> bool {
    let python = format!("{venv}/bin/python");
    is_stamped(sh, venv, packages) && succeeds(sh, &python, &["--version"])
}

/// Stamps a directory with a copy of the file that specifies its contents.
pub(crate) fn stamp(sh: &Shell, dir: &str, contents: &str) -> Result<()> {
    Ok(sh.copy_file(contents, stamp_path(dir))?)
}

pub(crate) fn is_stamped(sh: &Shell, dir: &str, contents: &str) -> bool {
    let stamped = sh.read_binary_file(stamp_path(dir));
    stamped.is_ok_and(|stamped| sh.read_binary_file(contents).is_ok_and(|now| now == stamped))
}

fn stamp_path(dir: &str) -> PathBuf {
    Path::new(dir).join(".installed")
}
