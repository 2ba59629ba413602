//! Builds the Worker into `target/edge/`: `index.js`, `index_bg.wasm` and `streamgate.toml`, ready to
//! deploy.
//!
//! Four tools in a row, each for what only it can do: cargo compiles `streamgate-edge`, wasm-bindgen
//! writes the glue between wasm and JavaScript, wasm-opt makes the wasm small, esbuild joins the glue
//! and `edge/js/` into one module. wasm-bindgen is a library here, because its command is
//! slow to install and must match the version of the crate exactly; the last two come from npm.
//!
//! The configuration is checked and deployed with the code: `config`.
//!
//! `--serve` then runs the result on this machine, in Cloudflare's own runtime.

mod config;
mod serve;
mod shrink;

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use flate2::Compression;
use flate2::write::GzEncoder;
use wasm_bindgen_cli_support::Bindgen;
use xshell::{Shell, cmd};

const TARGET: &str = "wasm32-unknown-unknown";

/// Build the Worker into target/edge
#[derive(Parser)]
#[command(name = "streamgate-bundle")]
struct Args {
    /// Then run it at http://localhost:8787, in Cloudflare's own runtime
    #[arg(long)]
    serve: bool,
    /// The Worker's configuration
    #[arg(long, value_name = "FILE", default_value = "streamgate.toml")]
    config: PathBuf,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let sh = Shell::new()?;
    let config = sh.current_dir().join(&args.config);
    sh.change_dir(workspace(&sh)?);

    let bundle = build(&sh, &config)?;
    print_sizes(&sh, &bundle)?;
    if args.serve {
        ensure!(config.exists(), "there is nothing to serve: {} is missing", config.display());
        serve::run(&sh, &config)?;
    }
    Ok(())
}

fn workspace(sh: &Shell) -> Result<PathBuf> {
    let manifest = cmd!(sh, "cargo locate-project --workspace --message-format plain").quiet();
    let manifest = PathBuf::from(manifest.read()?);
    Ok(manifest.parent().context("a manifest lies in a directory")?.to_owned())
}

/// Where the finished bundle lies, and its two files.
struct Bundle {
    script: PathBuf,
    wasm: PathBuf,
}

fn build(sh: &Shell, config: &Path) -> Result<Bundle> {
    let out = sh.create_dir("target/edge")?;
    // First, because it is what fails soonest.
    config::install(sh, config, &out)?;
    let module = compile(sh)?;
    let glue = sh.current_dir().join("target/edge-glue");
    bind(&module, &glue)?;

    let bundle = Bundle { script: out.join("index.js"), wasm: out.join("index_bg.wasm") };
    shrink::run(sh, &glue.join("index_bg.wasm"), &bundle.wasm)?;
    join(sh, &glue.join("index.js"), &bundle.script)?;
    Ok(bundle)
}

fn compile(sh: &Shell) -> Result<PathBuf> {
    // Flags for this target alone: llama.cpp must not be rebuilt for them. Those of RUSTFLAGS would
    // take their place.
    cmd!(sh, "cargo build --package streamgate-edge --profile worker --target {TARGET}")
        .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS", "-Ctarget-feature=+simd128")
        .env_remove("RUSTFLAGS")
        .run()?;
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    Ok(sh.current_dir().join(target).join(TARGET).join("worker/streamgate_edge.wasm"))
}

fn bind(module: &Path, glue: &Path) -> Result<()> {
    Bindgen::new()
        .input_path(module)
        .out_name("index")
        .web(true)?
        .typescript(false)
        .omit_default_module_path(true)
        .remove_name_section(true)
        .remove_producers_section(true)
        // What lets the shim begin again after a trap, instead of failing until it is replaced.
        .reset_state_function(true)
        .generate(glue)
        .with_context(|| format!("wasm-bindgen could not read {}", module.display()))
}

fn join(sh: &Shell, glue: &Path, to: &Path) -> Result<()> {
    let esbuild = npm_tool(sh, "esbuild")?;
    let inside = format!("--alias:streamgate-edge={}", glue.display());
    let outside = ["--external:./index_bg.wasm", "--external:./streamgate.toml"];
    cmd!(
        sh,
        "{esbuild} edge/js/entry.mjs --bundle --format=esm --target=esnext --minify-syntax --minify-whitespace
            --log-level=warning {inside} {outside...} --outfile={to}"
    )
    .run()?;
    Ok(())
}

fn npm_tool(sh: &Shell, name: &str) -> Result<PathBuf> {
    let tool = sh.current_dir().join("node_modules/.bin").join(name);
    ensure!(tool.exists(), "{name} is not installed: run `npm ci`, or `cargo xtask edge`");
    Ok(tool)
}

fn print_sizes(sh: &Shell, bundle: &Bundle) -> Result<()> {
    let mut sum = [0, 0];
    for file in [&bundle.script, &bundle.wasm] {
        let bytes = sh.read_binary_file(file)?;
        let sizes = [bytes.len(), gzipped(&bytes)?];
        print_row(
            &file.strip_prefix(sh.current_dir()).unwrap_or(file).display().to_string(),
            sizes,
        );
        sum = [sum[0] + sizes[0], sum[1] + sizes[1]];
    }
    print_row("together", sum);
    Ok(())
}

fn print_row(name: &str, [raw, gzipped]: [usize; 2]) {
    println!("{name:28} {raw:>9} bytes, {gzipped:>9} gzipped");
}

fn gzipped(bytes: &[u8]) -> Result<usize> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes)?;
    Ok(encoder.finish()?.len())
}
