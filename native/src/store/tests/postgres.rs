//! A Postgres server for tests: a cluster of its own below a folder of its own, on a free port.

use std::ffi::OsStr;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Runs a server until its own standard input ends, which is when the tests do, however that is;
/// then takes the folder with it.
const KEEPER: &str =
    r#"folder="$1"; shift; "$@" & read -r _; kill -QUIT $!; wait; rm -rf "$folder""#;

/// How long it may take to start on a loaded machine.
const START_TIME_MAX: Duration = Duration::from_secs(60);

pub(super) struct Server {
    programs: PathBuf,
    folder: tempfile::TempDir,
    port: u16,
    keepers: Vec<Child>,
    databases: AtomicUsize,
}

impl Server {
    /// One for all tests.
    pub(super) fn shared() -> &'static Self {
        static SERVER: LazyLock<Server> = LazyLock::new(|| Server::start().unwrap());
        &SERVER
    }

    pub(super) fn start() -> Result<Self, String> {
        let programs = programs()?;
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|free| free.local_addr());
        let port = free.map_err(|error| error.to_string())?.port();
        let databases = AtomicUsize::new(0);
        let mut server = Self { programs, folder, port, keepers: Vec::new(), databases };
        server.give_folder_away()?;
        let mut init = server.command(server.programs.join("initdb"));
        init.args(["--auth=trust", "--username=test", "--encoding=UTF8", "--locale=C"]);
        run(init.args(["--no-sync", "--pgdata"]).arg(server.data()))?;
        server.run()?;
        Ok(server)
    }

    /// The URL of a database of its own.
    pub(super) fn database(&self) -> String {
        let name = format!("test{}", self.databases.fetch_add(1, Ordering::Relaxed));
        run(self.client("createdb").arg(&name)).unwrap();
        format!("postgres://test@127.0.0.1:{}/{name}", self.port)
    }

    pub(super) fn run(&mut self) -> Result<(), String> {
        let mut postgres = self.command("sh");
        postgres.args(["-c", KEEPER, "sh"]).arg(self.folder.path());
        postgres
            .arg(self.programs.join("postgres"))
            .arg("-D")
            .arg(self.data())
            .arg("-k")
            .arg(self.folder.path());
        postgres.args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-F"]);
        postgres.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        self.keepers.push(postgres.spawn().map_err(|error| format!("{postgres:?}: {error}"))?);
        let patience = Instant::now() + START_TIME_MAX;
        while let Err(why) = run(&mut self.client("pg_isready")) {
            if Instant::now() > patience {
                return Err(format!("Postgres did not start: {why}"));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Stops it as a crash would; [`Self::run`] runs it again.
    pub(super) fn stop(&self) {
        let mut stop = self.command(self.programs.join("pg_ctl"));
        run(stop.args(["stop", "--mode=immediate", "--pgdata"]).arg(self.data())).unwrap();
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn client(&self, program: &str) -> Command {
        let mut client = Command::new(self.programs.join(program));
        client.args(["--host=127.0.0.1", "--username=test", "--port", &self.port.to_string()]);
        client
    }

    /// Postgres does not run as root; Debian's package brings a user for it.
    fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.folder.path());
        if let Some((user, group)) = demoted() {
            command.uid(user).gid(group);
        }
        command
    }

    fn give_folder_away(&self) -> Result<(), String> {
        let Some((user, group)) = demoted() else { return Ok(()) };
        let given = std::os::unix::fs::chown(self.folder.path(), Some(user), Some(group));
        given.map_err(|error| error.to_string())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        for mut keeper in self.keepers.drain(..) {
            drop(keeper.stdin.take());
            // What it leaves behind is in the folder, which goes too.
            let _ = keeper.wait();
        }
    }
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(format!("{command:?}: {stderr}")) }
}

/// User and group to run as, where this is root.
fn demoted() -> Option<(u32, u32)> {
    let id = |of: &str, user: &[&str]| {
        let output = Command::new("id").arg(of).args(user).output().ok()?;
        String::from_utf8(output.stdout).ok()?.trim().parse::<u32>().ok()
    };
    (id("-u", &[])? == 0).then_some(())?;
    Some((id("-u", &["postgres"])?, id("-g", &["postgres"])?))
}

/// Where the server's programs are: on Debian not on the PATH.
fn programs() -> Result<PathBuf, String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let debian = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut folders =
        std::env::split_paths(&path).chain(debian.map(|entry| entry.path().join("bin")));
    let has_all = |folder: &PathBuf| ["initdb", "postgres"].iter().all(|p| folder.join(p).exists());
    let found = folders.find(has_all);
    found.map(|folder| resolved(&folder)).ok_or_else(|| {
        "Postgres is not there; install it with `apt-get install postgresql`, or run `./x test`"
            .to_owned()
    })
}

/// A folder of links leads to the one that has all programs.
fn resolved(folder: &Path) -> PathBuf {
    let program = folder.join("initdb").canonicalize().unwrap_or_default();
    program.parent().map_or_else(|| folder.to_owned(), Path::to_owned)
}
