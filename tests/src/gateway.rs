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
use tokio::task::JoinHandle;

use crate::scenario::Runner;

/// Longer than either shell takes to start on a loaded machine.
const START_TIME_MAX: Duration = Duration::from_secs(60);

/// How much of a gateway's log is shown when a test fails, in lines.
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
    /// They note its output until it ends.
    readers: [JoinHandle<()>; 2],
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
    /// printed.
    pub async fn start(runner: Runner, config: Option<&str>) -> Result<Self, String> {
        Self::start_with_env(runner, config, &[]).await
    }

    /// The same, with more in its environment.
    ///
    /// # Errors
    ///
    /// As [`Self::start`].
    pub async fn start_with_env(
        runner: Runner,
        config: Option<&str>,
        env: &[(&str, String)],
    ) -> Result<Self, String> {
        start(runner, config, env, folder()?, Lines::default()).await
    }

    /// Starts the Worker inside a module of JavaScript, which imports it as `./index.js`.
    ///
    /// # Errors
    ///
    /// As [`Self::start`].
    pub async fn start_inside(module: &str, config: &str) -> Result<Self, String> {
        let folder = folder()?;
        write(folder.path().join(worker::OUTER_MODULE), module)?;
        start(Runner::Worker, Some(config), &[], folder, Lines::default()).await
    }

    /// Kills it and starts it again, with this configuration and what it kept.
    ///
    /// # Errors
    ///
    /// As [`Self::start`].
    pub async fn restart(mut self, config: Option<&str>) -> Result<Self, String> {
        self.process.kill().await.map_err(|error| format!("it cannot be killed: {error}"))?;
        start(self.shell, config, &[], self.folder, self.log).await
    }

    /// Its address for clients that take a URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Its process, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.process.id()
    }

    /// Ends it, the server as an operator does, once nothing runs in it any more. After that its
    /// log and what it kept are complete.
    ///
    /// # Errors
    ///
    /// When it has not ended well and in time.
    pub async fn stop(&mut self, time_max: Duration) -> Result<(), String> {
        match self.shell {
            Runner::Native => self.terminate(time_max).await?,
            // workerd waits for its clients, and a Worker does not notice that it ends.
            Runner::Worker | Runner::Core => {
                let killed = self.process.kill().await;
                killed.map_err(|error| format!("it cannot be killed: {error}"))?;
            }
        }
        for reader in &mut self.readers {
            reader.await.map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    async fn terminate(&mut self, time_max: Duration) -> Result<(), String> {
        let pid = self.pid().ok_or("it has ended already")?.to_string();
        let asked = Command::new("kill").arg(pid).status().await;
        asked.map_err(|error| format!("kill: {error}"))?;
        match tokio::time::timeout(time_max, self.process.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => Err(format!("it ended with {status}:\n{}", self.log())),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("it did not end within {time_max:?}:\n{}", self.log())),
        }
    }

    /// The last lines of its log, without an engine's own trace.
    pub fn log(&self) -> String {
        self.log.last()
    }

    /// Every line it printed.
    pub fn lines(&self) -> Vec<String> {
        self.log.all()
    }

    /// The first line it printed that contains one of these.
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

fn folder() -> Result<TempDir, String> {
    let folder = tempfile::tempdir().and_then(|folder| {
        std::fs::create_dir(folder.path().join(KEPT))?;
        Ok(folder)
    });
    folder.map_err(|error| format!("no folder to work in: {error}"))
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
    env: &[(&str, String)],
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
    command.envs(env.iter().map(|(name, value)| (name, value)));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut process = command.spawn().map_err(|error| format!("{command:?}: {error}"))?;
    let (found, mut addr) = mpsc::channel(1);
    let stdout = process.stdout.take().expect("stdout is piped");
    let stderr = process.stderr.take().expect("stderr is piped");
    let read_stdout = follow(stdout, log.clone(), move |line| {
        if let Some(addr) = find_addr(line) {
            // Only the first matters, and only to a starter that still waits.
            let _ = found.try_send(addr);
        }
    });
    let read_stderr = follow(stderr, log.clone(), |_| ());
    let readers = [tokio::spawn(read_stdout), tokio::spawn(read_stderr)];
    match tokio::time::timeout(START_TIME_MAX, addr.recv()).await {
        Ok(Some(addr)) => Ok(Gateway { addr, shell, log, readers, process, folder }),
        Ok(None) => {
            let status = process.wait().await.map_err(|error| error.to_string())?;
            for reader in readers {
                reader.await.map_err(|error| error.to_string())?;
            }
            Err(format!("{command:?} ended with {status}:\n{}", log.last()))
        }
        Err(_) => Err(format!(
            "{command:?} printed no address within {START_TIME_MAX:?}:\n{}",
            log.last()
        )),
    }
}

/// Notes every line until the stream ends.
async fn follow(stream: impl AsyncRead + Unpin, log: Lines, mut on_line: impl FnMut(&str)) {
    let mut lines = BufReader::new(stream).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        on_line(&line);
        log.push(line);
    }
}

/// What a process printed on stdout and stderr.
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
        let shown: Vec<_> = lines.iter().filter(|line| !is_engine_trace(line)).collect();
        let tail = &shown[shown.len().saturating_sub(LOG_LINES_MAX)..];
        tail.iter().map(|line| format!("{line}\n")).collect()
    }
}

/// Whether a line is one of the hundreds that llama.cpp logs while it loads a model. Nothing else is
/// logged at this level.
fn is_engine_trace(line: &str) -> bool {
    line.contains("\"level\":\"TRACE\"")
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
