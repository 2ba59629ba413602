//! The built shells, started for one scenario and killed when dropped.

mod native;
mod worker;

pub use native::program as native_program;

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use memchr::memmem;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;

use crate::scenario::Runner;

/// Longer than either shell takes to start on a loaded machine.
const START_TIME_MAX: Duration = Duration::from_secs(20);

/// How much of what a gateway said is told when a scenario fails, in lines.
const LOG_LINES_MAX: usize = 40;

/// The part of a gateway's folder that it works in: what it keeps is there.
const KEPT: &str = "kept";

/// A running gateway.
#[derive(Debug)]
pub struct Gateway {
    /// Where it listens.
    pub addr: SocketAddr,
    shell: Runner,
    log: Lines,
    // Dropped in this order: the process first, then the folder it works in.
    process: Child,
    folder: TempDir,
}

impl Gateway {
    /// Starts a shell with this configuration; without one native serves its embedded model.
    ///
    /// # Errors
    ///
    /// When it is not built, with the command that builds it; when it does not start, with what it
    /// said.
    pub async fn start(runner: Runner, config: Option<&str>) -> Result<Self, String> {
        let folder =
            tempfile::tempdir().map_err(|error| format!("no folder to work in: {error}"))?;
        let kept = std::fs::create_dir(folder.path().join(KEPT));
        kept.map_err(|error| format!("no folder to work in: {error}"))?;
        start(runner, config, folder, Lines::default()).await
    }

    /// Kills it and starts it again, with this configuration and what it kept.
    ///
    /// # Errors
    ///
    /// As [`Self::start`].
    pub async fn restart(mut self, config: Option<&str>) -> Result<Self, String> {
        self.process.kill().await.map_err(|error| format!("it cannot be killed: {error}"))?;
        start(self.shell, config, self.folder, self.log).await
    }

    /// Its address for clients that take a URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Its process, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.process.id()
    }

    /// Asks it to end as an operator does, and says whether it has, once nothing runs in it any
    /// more.
    #[cfg(unix)]
    pub async fn ends_within(&mut self, time_max: Duration) -> bool {
        let pid = self.pid().map(|pid| pid.to_string());
        let asked = Command::new("kill").args(pid).status().await;
        let ended = tokio::time::timeout(time_max, self.process.wait()).await;
        asked.is_ok_and(|asked| asked.success())
            && matches!(ended, Ok(Ok(ended)) if ended.success())
    }

    /// The last lines it said.
    pub fn log(&self) -> String {
        self.log.last()
    }

    /// All it said.
    pub fn lines(&self) -> Vec<String> {
        self.log.all()
    }

    /// The line of all it said that holds one of these.
    pub fn line_with(&self, parts: &[String]) -> Option<String> {
        self.log.find(parts)
    }

    /// The folder of what it keeps.
    pub fn kept(&self) -> PathBuf {
        self.folder.path().join(KEPT)
    }

    /// The file it keeps in which one of these stands.
    pub fn kept_with(&self, parts: &[String]) -> Option<PathBuf> {
        file_with(&self.kept(), parts)
    }
}

fn file_with(folder: &Path, parts: &[String]) -> Option<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).find_map(|path| {
        if path.is_dir() {
            return file_with(&path, parts);
        }
        let bytes = std::fs::read(&path).ok()?;
        let stands = |part: &String| memmem::find(&bytes, part.as_bytes()).is_some();
        parts.iter().any(stands).then_some(path)
    })
}

async fn start(
    shell: Runner,
    config: Option<&str>,
    folder: TempDir,
    log: Lines,
) -> Result<Gateway, String> {
    let mut command = match shell {
        Runner::Native => native::command(folder.path(), config)?,
        Runner::Worker => worker::command(folder.path(), config.unwrap_or_default())?,
        Runner::Core => return Err("the core is no program".into()),
    };
    let find_addr = match shell {
        Runner::Worker => worker::addr,
        Runner::Native | Runner::Core => native::addr,
    };
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut process = command.spawn().map_err(|error| format!("{command:?}: {error}"))?;
    let (found, mut addr) = mpsc::channel(1);
    let stdout = process.stdout.take().expect("stdout is piped");
    let stderr = process.stderr.take().expect("stderr is piped");
    let searched = log.clone();
    tokio::spawn(async move {
        let told = follow(stdout, &searched, |line| {
            if let Some(addr) = find_addr(line) {
                // Only the first matters, and only to a starter that still waits.
                let _ = found.try_send(addr);
            }
        });
        told.await
    });
    let said = log.clone();
    tokio::spawn(async move { follow(stderr, &said, |_| ()).await });
    match tokio::time::timeout(START_TIME_MAX, addr.recv()).await {
        Ok(Some(addr)) => Ok(Gateway { addr, shell, log, process, folder }),
        Ok(None) => {
            let status = process.wait().await.map_err(|error| error.to_string())?;
            tokio::time::sleep(Duration::from_millis(20)).await;
            Err(format!("{command:?} ended with {status}:\n{}", log.last()))
        }
        Err(_) => Err(format!("{command:?} told no address:\n{}", log.last())),
    }
}

/// Notes every line until the stream ends.
async fn follow(stream: impl AsyncRead + Unpin, log: &Lines, mut heard: impl FnMut(&str)) {
    let mut lines = BufReader::new(stream).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        heard(&line);
        log.push(line);
    }
}

/// What a process said on stdout and stderr.
#[derive(Clone, Debug, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

impl Lines {
    fn push(&self, line: String) {
        self.0.lock().expect("no one panics while holding the lines").push(line);
    }

    fn find(&self, parts: &[String]) -> Option<String> {
        let lines = self.0.lock().expect("no one panics while holding the lines");
        lines.iter().find(|line| parts.iter().any(|part| line.contains(part))).cloned()
    }

    fn all(&self) -> Vec<String> {
        self.0.lock().expect("no one panics while holding the lines").clone()
    }

    fn last(&self) -> String {
        let lines = self.0.lock().expect("no one panics while holding the lines");
        lines[lines.len().saturating_sub(LOG_LINES_MAX)..].join("\n")
    }
}

/// The repository's root.
pub fn root() -> PathBuf {
    let tests = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    tests.parent().map_or_else(|| tests.clone(), PathBuf::from)
}

/// The file at `path`, or what is to be done for it to be there.
pub(crate) fn built(path: PathBuf, remedy: &str) -> Result<PathBuf, String> {
    if path.exists() {
        return Ok(path);
    }
    Err(format!("{} is not there; {remedy}", path.display()))
}

fn write(path: PathBuf, text: &str) -> Result<PathBuf, String> {
    let written: io::Result<()> = std::fs::write(&path, text);
    written.map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(path)
}
