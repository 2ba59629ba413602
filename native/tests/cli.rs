//! The program as the shell sees it: what it prints, and its exit codes.

#![allow(clippy::unwrap_used, reason = "these are tests")]

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

const DONE: i32 = 0;
const FAILED: i32 = 1;
const MISUSED: i32 = 2;

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn with(name: &str, content: impl AsRef<[u8]>) -> Self {
        let folder = Self::new();
        std::fs::write(folder.path(name), content).unwrap();
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_streamgate"));
        command.args(arguments).current_dir(self.0.path()).env_remove("STREAMGATE_CONFIG_FILE");
        command.env("MASTER_A", "a".repeat(64)).env("MASTER_B", "b".repeat(64));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs the program to its end; what it prints must contain all of `expected`.
    #[track_caller]
    fn check(&self, arguments: &[&str], code: i32, expected: &[&str]) {
        let output = self.command(arguments).output().unwrap();
        let text = text(&output);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}");
        for part in expected {
            assert!(text.contains(part), "{arguments:?}: expected `{part}` in: {text}");
        }
    }
}

fn text(output: &Output) -> String {
    let [out, err] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    format!("{out}{err}")
}

#[test]
fn help_lists_every_command() {
    let folder = Folder::new();
    let overview =
        ["serve", "models", "check", "provider-keys", "--listen", "--threads", "Exit codes"];
    folder.check(&["--help"], DONE, &overview);
    folder.check(&["serve", "--help"], DONE, &["--config", "--drain", "--log-format"]);
    folder.check(&["models", "--help"], DONE, &["--config", "missing"]);
    folder.check(&["check", "--help"], DONE, &["GGUF", "exit code"]);
}

#[test]
fn unknown_arguments_are_misuse() {
    Folder::new().check(&["--lisen", "x"], MISUSED, &["--lisen", "--listen"]);
}

#[test]
fn a_port_in_use_is_reported_with_what_to_do() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    let expected = [addr.as_str(), "port is in use", "--listen"];
    Folder::new().check(&["--listen", &addr], FAILED, &expected);
}

#[test]
fn an_address_that_is_none_is_misuse() {
    Folder::new().check(&["--listen", "nowhere"], MISUSED, &["nowhere", "HOST:PORT"]);
}

#[test]
fn an_invalid_configuration_is_reported_by_line_and_key() {
    let text = "[timeouts]\nconnect = 1.0\nfirst_bite = 2.0\n";
    let folder = Folder::with("streamgate.toml", text);
    let expected = ["streamgate.toml", "line 3", "first_bite", "first_byte"];
    folder.check(&["serve"], MISUSED, &expected);
    folder.check(&["models"], MISUSED, &expected);
    folder.check(&["check", "streamgate.toml"], FAILED, &expected);
}

#[test]
fn a_missing_configuration_is_reported_by_name() {
    Folder::new().check(&["--config", "nix.toml"], MISUSED, &["nix.toml", "No such file"]);
}

#[test]
fn a_model_that_leaves_its_folder_is_refused() {
    let text = "providers.l.protocol = \"local\"\nmodels.m.targets = [\"l/../../etc/passwd\"]\n";
    let folder = Folder::with("streamgate.toml", text);
    folder.check(&["serve"], MISUSED, &["l/../../etc/passwd", "leads out"]);
}

#[test]
fn models_are_listed_with_what_is_missing() {
    let text = "providers.l.protocol = \"local\"\n\
                models.small.targets = [\"l/tiny\"]\nmodels.big.targets = [\"l/big\"]\n";
    let folder = Folder::with("streamgate.toml", text);
    folder.check(&["models"], DONE, &["built in", "models/big.gguf", "curl"]);
    Folder::new().check(&["models"], DONE, &["auto (default)", "local/tiny: built in"]);
}

#[test]
fn fine_files_are_fine() {
    let folder = Folder::with(
        "streamgate.toml",
        "providers.l.protocol = \"local\"\nmodels.m.targets = [\"l/tiny\"]\n",
    );
    std::fs::write(folder.path("tiny.gguf"), streamgate::engine::TINY).unwrap();
    let files = ["check", "streamgate.toml", "tiny.gguf"];
    folder.check(&files, DONE, &["streamgate.toml: fine", "tiny.gguf: fine", "llama"]);
}

#[test]
fn broken_files_are_reported_with_what_is_wrong() {
    let folder = Folder::with("not.gguf", "hello");
    let half = &streamgate::engine::TINY[..streamgate::engine::TINY.len() / 2];
    std::fs::write(folder.path("half.gguf"), half).unwrap();
    folder.check(&["check", "not.gguf"], FAILED, &["not.gguf", "not a GGUF model"]);
    folder.check(&["check", "half.gguf"], FAILED, &["half.gguf", "truncated"]);
    folder.check(&["check", "nix.gguf"], FAILED, &["nix.gguf", "No such file"]);
}

/// Longer than any answer takes on a loaded machine.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(60);

/// A server that runs, and is killed when dropped.
struct Server {
    process: Child,
    addr: String,
}

impl Server {
    /// Listens on loopback unless `arguments` name another address.
    fn start(folder: &Folder, arguments: &[&str]) -> Self {
        // A pipe that nobody reads would stop the server once it is full.
        let log = folder.path("server.log");
        let mut command = folder.command(arguments);
        command.env("STREAMGATE_LISTEN", "127.0.0.1:0").stderr(File::create(&log).unwrap());
        let mut process = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let Some(addr) = line.trim().strip_prefix("listening on http://") else {
            panic!("{line}{}", std::fs::read_to_string(log).unwrap());
        };
        Self { addr: addr.to_owned(), process }
    }

    /// What somebody who shows this key is answered.
    fn status(&self, key: &str) -> u16 {
        let request = format!(
            "GET /v1/models HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-api-key: {key}\r\n\r\n"
        );
        let mut answer = String::new();
        self.ask(&request).read_to_string(&mut answer).unwrap();
        answer[9..12].parse().unwrap()
    }

    fn ask(&self, request: &str) -> TcpStream {
        let mut client = TcpStream::connect(&self.addr).unwrap();
        client.set_read_timeout(Some(ANSWER_TIME_MAX)).unwrap();
        client.write_all(request.as_bytes()).unwrap();
        client
    }

    #[cfg(unix)]
    fn signal(&self, name: &str) {
        let pid = self.process.id().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

const CHAT: &str = "POST /chat/stream HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
                    content-length: 33\r\n\r\n{\"message\": \"What is streaming?\"}";

/// Of a model that is built in, and keys that are kept.
const WITH_KEYS: &str = "[store]\nurl = \"sqlite:keys.db\"\n[auth]\n[plans.pro]\n\
                         [providers.l]\nprotocol = \"local\"\n[models.m]\ntargets = [\"l/tiny\"]\n";

/// How long a server may trust a key that was revoked meanwhile, and longer than a loaded machine
/// adds to that.
const REVOKED_WITHIN: Duration = Duration::from_secs(60);

#[test]
fn a_key_is_made_used_and_revoked() {
    let folder = Folder::with("streamgate.toml", WITH_KEYS);
    let create = ["keys", "create", "--user", "ada", "--plan", "pro", "--name", "laptop"];
    let made = text(&folder.command(&create).output().unwrap());
    let key = made.lines().next().unwrap();
    assert!(key.starts_with("sg_") && made.contains("not shown again"), "{made}");

    let listed = text(&folder.command(&["keys", "list"]).output().unwrap());
    let row = listed.lines().find(|line| line.contains("ada")).unwrap();
    assert!(row.contains("pro") && row.contains("laptop"), "{listed}");
    assert!(!listed.contains("sg_") && !listed.contains("revoked"), "{listed}");
    // The file has no more than the list.
    let kept = std::fs::read(folder.path("keys.db")).unwrap();
    assert!(!String::from_utf8_lossy(&kept).contains(key));

    let server = Server::start(&folder, &[]);
    assert_eq!(server.status(key), 200);
    assert_eq!(server.status("sg_wrong"), 401);
    let id = row.split(' ').next().unwrap();
    folder.check(&["keys", "revoke", id], DONE, &[id, "revoked"]);
    let until = Instant::now() + REVOKED_WITHIN;
    while server.status(key) != 401 {
        assert!(Instant::now() < until, "a revoked key still lets in");
        std::thread::sleep(Duration::from_millis(250));
    }
    folder.check(&["keys", "list"], DONE, &["revoked laptop"]);
    folder.check(&["keys", "revoke", id], FAILED, &[id, "not revoked"]);
}

#[test]
fn a_key_that_nobody_could_use_is_not_made() {
    let folder = Folder::with("streamgate.toml", WITH_KEYS);
    let create = |more: [&'static str; 2]| [["keys", "create"], more].concat();
    folder.check(
        &create(["--user", ""]),
        MISUSED,
        &["--user", "expected a name of 1 to 256 bytes"],
    );
    let unknown = [create(["--user", "ada"]), vec!["--plan", "gold"]].concat();
    folder.check(&unknown, MISUSED, &["gold", "[plans]"]);
    // Without a store the operator keeps it, and nobody else sees it.
    let expected = ["sg_", "[auth] keys", "sha256 = ", "user = \"ada\""];
    Folder::new().check(&create(["--user", "ada"]), DONE, &expected);
    Folder::new().check(&["keys", "revoke", "abc"], MISUSED, &["no store", "[auth] keys"]);
}

#[test]
fn the_configuration_is_named_before_or_after_the_command() {
    let folder = Folder::with("other.toml", WITH_KEYS);
    folder.check(&["keys", "--config", "other.toml", "list"], DONE, &["USER"]);
    folder.check(&["keys", "list", "--config", "other.toml"], DONE, &["USER"]);
    let expected = ["master_key"];
    folder.check(&["provider-keys", "rotate", "--config", "other.toml"], MISUSED, &expected);
    folder.check(&["provider-keys", "--config", "other.toml", "rotate"], MISUSED, &expected);
    folder.check(&["keys", "list", "--config", "nix.toml"], MISUSED, &["nix.toml"]);
}

#[test]
fn without_users_only_this_machine_may_ask() {
    let everywhere = ["--listen", "0.0.0.0:0"];
    let expected = ["no [auth]", "other machines", "keys create", "--open"];
    Folder::new().check(&everywhere, MISUSED, &expected);
    let open = Server::start(&Folder::new(), &["--open", "--listen", "0.0.0.0:0"]);
    assert!(open.addr.starts_with("0.0.0.0:"), "{}", open.addr);
    let open = WITH_KEYS.replace("[auth]", "[server]\nopen = true");
    Server::start(&Folder::with("streamgate.toml", open), &everywhere);
    Server::start(&Folder::with("streamgate.toml", WITH_KEYS), &everywhere);
}

#[test]
fn rotating_keys_needs_a_store_that_seals_them() {
    let rotate = ["provider-keys", "rotate"];
    Folder::new().check(&rotate, MISUSED, &["[store]", "master_key"]);
    Folder::new().check(&["provider-keys", "rotate", "--help"], DONE, &["previous_master_key"]);
}

/// The server is killed in between: what it confirmed is kept.
#[test]
fn saved_keys_are_sealed_with_the_new_master_key() {
    let config = |master: &str| {
        format!(
            "[store]\nurl = \"sqlite:keys.db\"\n{master}\n[providers.p]\nprotocol = \"openai\"\n\
             base_url = \"http://127.0.0.1:9/v1\"\napi_key = {{ user = true }}\n\
             [models.m]\ntargets = [\"p/m\"]\n"
        )
    };
    let folder = Folder::with("streamgate.toml", config("master_key = { env = \"MASTER_A\" }"));
    let put = "PUT /v1/provider-keys/p HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
               content-length: 20\r\n\r\n{\"key\": \"sk-secret\"}";
    let mut answer = String::new();
    Server::start(&folder, &[]).ask(put).read_to_string(&mut answer).unwrap();
    assert!(answer.contains("\"set\":true") && !answer.contains("sk-secret"), "{answer}");

    let rotate = ["provider-keys", "rotate"];
    let rewrite = |master| std::fs::write(folder.path("streamgate.toml"), config(master)).unwrap();
    rewrite("master_key = { env = \"MASTER_B\" }");
    folder.check(&rotate, FAILED, &["sealed anew: 0", "p of local", "not configured"]);
    rewrite("master_key = { env = \"MASTER_B\" }\nprevious_master_key = { env = \"MASTER_A\" }");
    folder.check(&rotate, DONE, &["sealed anew: 1; left as they were: 0"]);
    folder.check(&rotate, DONE, &["sealed anew: 0; left as they were: 1"]);
    rewrite("master_key = { env = \"MASTER_B\" }");
    folder.check(&rotate, DONE, &["sealed anew: 0; left as they were: 1"]);
}

#[test]
#[cfg(unix)]
fn a_signal_ends_an_idle_server_well() {
    for name in ["-INT", "-TERM"] {
        let mut server = Server::start(&Folder::new(), &[]);
        server.signal(name);
        assert_eq!(server.process.wait().unwrap().code(), Some(DONE), "{name}");
    }
}

#[test]
#[cfg(unix)]
fn a_running_answer_comes_to_its_end() {
    let mut server = Server::start(&Folder::new(), &[]);
    let mut client = server.ask(CHAT);
    let mut answer = vec![0; 64];
    let first = client.read(&mut answer).unwrap();
    answer.truncate(first);
    server.signal("-INT");
    client.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.contains("\"done\":true"), "{answer}");
    assert_eq!(server.process.wait().unwrap().code(), Some(DONE));
}
