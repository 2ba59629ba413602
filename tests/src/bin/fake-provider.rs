//! The fake provider as a program: plays scenarios by hand, or streams at a steady pace for
//! benchmarks.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Parser;
use streamgate_tests::load::{self, Load};
use streamgate_tests::provider::{AfterLast, FakeProvider};
use streamgate_tests::scenario::Scenario;

/// A provider of chat completions that misbehaves on demand.
///
/// With scenario files it plays the scripts of their providers, one call after the other, and begins
/// anew after the last. With --paced it answers every POST with the same stream.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Where to listen. With several providers each gets a port, the first this one.
    #[arg(long, default_value = "127.0.0.1:9000")]
    listen: SocketAddr,
    /// Scenarios whose providers are played.
    #[arg(required_unless_present = "paced")]
    scenarios: Vec<PathBuf>,
    /// Write a gateway configuration for these providers; for one scenario only.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Stream with this pause between chunks, such as 10ms or 0s (at full speed).
    #[arg(long, value_name = "PAUSE", value_parser = pause, conflicts_with = "scenarios")]
    paced: Option<Duration>,
    /// Chunks per stream.
    #[arg(long, default_value_t = 100, requires = "paced")]
    chunks: usize,
    /// Bytes per chunk.
    #[arg(long, default_value_t = 200, requires = "paced")]
    size: usize,
}

fn pause(text: &str) -> Result<Duration, String> {
    let expected = || String::from("expected a number with a unit, such as 10ms or 0.5s");
    let (number, unit) = match text.strip_suffix("ms") {
        Some(number) => (number, 1e-3),
        None => (text.strip_suffix('s').ok_or_else(expected)?, 1.0),
    };
    let number: f64 = number.parse().map_err(|_| expected())?;
    Duration::try_from_secs_f64(number * unit).map_err(|_| expected())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), String> {
    let arguments = Arguments::parse();
    if let Some(pause) = arguments.paced {
        let load = Load { pause, chunks: arguments.chunks, size: arguments.size };
        return load::serve(arguments.listen, load).await.map_err(|error| error.to_string());
    }
    let _providers = play(&arguments).await?;
    tokio::signal::ctrl_c().await.map_err(|error| error.to_string())
}

async fn play(arguments: &Arguments) -> Result<Vec<FakeProvider>, String> {
    let mut providers = Vec::new();
    let mut addr = arguments.listen;
    for path in &arguments.scenarios {
        let scenario = Scenario::load(path)?;
        let mut base_urls = std::collections::HashMap::new();
        for (name, scripts) in &scenario.provider {
            let started = FakeProvider::start(addr, scripts, AfterLast::StartOver, Instant::now());
            let provider = started.await.map_err(|error| format!("{addr}: {error}"))?;
            println!("{}: {name} at {}", scenario.name, provider.base_url());
            base_urls.insert(name.clone(), provider.base_url());
            providers.push(provider);
            addr.set_port(if addr.port() == 0 { 0 } else { addr.port() + 1 });
        }
        if let Some(file) = &arguments.config {
            std::fs::write(file, scenario.config_text(&base_urls))
                .map_err(|error| format!("{}: {error}", file.display()))?;
        }
    }
    Ok(providers)
}
