//! What a machine must have before a chore can run: one row each, how to see that it is there and
//! where it comes from. How the missing are brought in is `install`'s part.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use xshell::{Shell, cmd};

use Source::{Packages, Project, Rustup};

/// Where tools are installed that belong to this project and not to the machine.
pub(crate) const TOOLS: &str = "target/tools";
const CARGO_DENY_PIN: &str = "cargo-deny@0.20.2";
const VENV: &str = "target/venv";
const VENV_PYTHON: &str = "target/venv/bin/python";
const REQUIREMENTS: &str = "tests/requirements.txt";
const LOCKFILE: &str = "package-lock.json";

/// What `streamgate` needs to compile: llama.cpp is C++, and bindgen reads its headers.
pub(crate) static NATIVE: &[&Need] = &[&CPP_COMPILER, &MAKE, &CMAKE, &LIBCLANG];
/// What the Worker needs to be built and to run locally.
pub(crate) static EDGE: &[&Need] = &[&WASM_TARGET, &NODE, &NODE_MODULES];
/// What tests need beyond what they test.
pub(crate) static CLIENTS: &[&Need] =
    &[&NODE, &NODE_MODULES, &PYTHON, &PYTHON_PACKAGES, &CURL, &CHROMIUM, &POSTGRES];

/// One thing that a chore needs.
pub(crate) struct Need {
    /// For messages, and the need's identity.
    pub(crate) name: &'static str,
    pub(crate) found: fn(&Shell) -> bool,
    pub(crate) source: Source,
}

/// Where a missing thing comes from.
pub(crate) enum Source {
    /// The system's package manager, by the name each gives it.
    Packages { apt: &'static [&'static str], brew: &'static [&'static str] },
    /// `rustup`, with these arguments.
    Rustup(&'static [&'static str]),
    /// A function that puts it below the workspace; `with` names the tool it uses.
    Project { with: &'static str, bring: fn(&Shell) -> Result<()> },
}

static CPP_COMPILER: Need = Need {
    name: "a C++ compiler",
    found: |_| on_path("c++").is_some(),
    source: Packages { apt: &["g++"], brew: &["llvm"] },
};

// CMake's default generator on Unix writes makefiles; Debian's cmake only recommends make.
static MAKE: Need = Need {
    name: "make",
    found: |_| on_path("make").is_some(),
    source: Packages { apt: &["make"], brew: &["make"] },
};

static CMAKE: Need = Need {
    name: "CMake",
    found: |_| on_path("cmake").is_some(),
    source: Packages { apt: &["cmake"], brew: &["cmake"] },
};

static LIBCLANG: Need = Need {
    name: "libclang",
    found: |_| libclang_is_installed(),
    source: Packages { apt: &["libclang-dev"], brew: &["llvm"] },
};

static NODE: Need = Need {
    name: "Node.js with npm",
    found: |sh| on_path("npm").is_some() && node_major(sh) >= NODE_MAJOR_MIN,
    source: Packages { apt: &["nodejs", "npm"], brew: &["node"] },
};

static PYTHON: Need = Need {
    name: "Python with venv",
    found: |sh| succeeds(sh, "python3", &["-c", "import ensurepip, venv"]),
    source: Packages { apt: &["python3-venv"], brew: &["python"] },
};

static CURL: Need = Need {
    name: "curl",
    found: |_| on_path("curl").is_some(),
    source: Packages { apt: &["curl"], brew: &["curl"] },
};

static CHROMIUM: Need = Need {
    name: "Chrome or Chromium",
    found: |_| chromium().is_some(),
    source: Packages { apt: &["chromium"], brew: &["google-chrome"] },
};

static POSTGRES: Need = Need {
    name: "a Postgres server",
    found: |_| postgres_is_installed(),
    source: Packages { apt: &["postgresql"], brew: &["postgresql"] },
};

pub(crate) static RUSTFMT: Need = Need {
    name: "rustfmt",
    found: |sh| succeeds(sh, "cargo", &["fmt", "--version"]),
    source: Rustup(&["component", "add", "rustfmt"]),
};

pub(crate) static CLIPPY: Need = Need {
    name: "clippy",
    found: |sh| succeeds(sh, "cargo", &["clippy", "--version"]),
    source: Rustup(&["component", "add", "clippy"]),
};

pub(crate) static WASM_TARGET: Need = Need {
    name: "Rust for WebAssembly",
    found: wasm_target_is_installed,
    source: Rustup(&["target", "add", "wasm32-unknown-unknown"]),
};

pub(crate) static CARGO_DENY: Need = Need {
    name: "cargo-deny",
    found: |sh| succeeds(sh, "cargo", &["deny", "--version"]),
    source: Project { with: "cargo install", bring: install_cargo_deny },
};

static NODE_MODULES: Need = Need {
    name: "node_modules",
    found: |sh| is_stamped(sh, "node_modules", LOCKFILE),
    source: Project { with: "npm ci", bring: install_node_modules },
};

static PYTHON_PACKAGES: Need = Need {
    name: "Python packages",
    found: |sh| is_stamped(sh, VENV, REQUIREMENTS) && succeeds(sh, VENV_PYTHON, &["--version"]),
    source: Project { with: "pip install", bring: install_python_packages },
};

/// npm runs on any of these. On Linux, package.json brings the Node that wrangler wants; elsewhere
/// the machine's own must do.
const NODE_MAJOR_MIN: u32 = if cfg!(target_os = "linux") { 18 } else { 22 };

/// The browser to test the chat page with.
pub(crate) fn chromium() -> Option<PathBuf> {
    let names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
    let application = PathBuf::from("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome");
    let given = env::var_os("CHROMIUM").map(PathBuf::from);
    given
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

/// Where bindgen would look. Only the development package has the name without a version, and it
/// brings the compiler's own headers, which bindgen needs too.
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

/// Debian keeps each version's programs in a folder of its own, off the PATH.
fn postgres_is_installed() -> bool {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut programs = versions.map(|entry| entry.path().join("bin/initdb"));
    on_path("initdb").is_some() || programs.any(|program| program.exists())
}

fn wasm_target_is_installed(sh: &Shell) -> bool {
    let query = cmd!(sh, "rustc --print target-libdir --target wasm32-unknown-unknown");
    query.quiet().read().is_ok_and(|dir| Path::new(&dir).exists())
}

/// Unoptimised it is built in a minute and checks in two seconds.
fn install_cargo_deny(sh: &Shell) -> Result<()> {
    Ok(cmd!(sh, "cargo install --quiet --locked --debug --root {TOOLS} {CARGO_DENY_PIN}").run()?)
}

fn install_node_modules(sh: &Shell) -> Result<()> {
    cmd!(sh, "npm ci --loglevel=error").run()?;
    // npm 9, Debian's, takes back `.bin/node` together with the Node of the other architecture.
    cmd!(sh, "npm rebuild --ignore-scripts --loglevel=error").run()?;
    stamp(sh, "node_modules", LOCKFILE)
}

fn install_python_packages(sh: &Shell) -> Result<()> {
    // --clear: what is there may belong to a Python that has been upgraded away.
    cmd!(sh, "python3 -m venv --clear {VENV}").run()?;
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
    cmd!(sh, "{VENV_PYTHON} {pip...} --requirement {REQUIREMENTS}").run()?;
    stamp(sh, VENV, REQUIREMENTS)
}

/// A directory is stamped with a copy of the file that says what must be in it.
fn stamp(sh: &Shell, dir: &str, contents: &str) -> Result<()> {
    Ok(sh.copy_file(contents, stamp_path(dir))?)
}

fn is_stamped(sh: &Shell, dir: &str, contents: &str) -> bool {
    let stamped = sh.read_binary_file(stamp_path(dir));
    stamped.is_ok_and(|stamped| sh.read_binary_file(contents).is_ok_and(|now| now == stamped))
}

fn stamp_path(dir: &str) -> PathBuf {
    Path::new(dir).join(".installed")
}
