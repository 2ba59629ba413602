//! `transport = "reqwest"` beside real servers: nginx speaks HTTP/2 in front of the fake provider, and
//! tinyproxy is the way to it.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use streamgate_tests::answer::Ending;
use streamgate_tests::client::{self, Goodbye};
use streamgate_tests::gateway::Gateway;
use streamgate_tests::provider::{AfterLast, FakeProvider};
use streamgate_tests::scenario::{Client, Leave, Runner, Scenario};
use tempfile::TempDir;

/// Longer than anything here takes on a loaded machine.
const TIME_MAX: Duration = Duration::from_secs(20);

/// More than nginx takes, and than any socket's buffer holds, in bytes.
const LARGE: usize = 20_000_000;

const ANSWERS: &str = r#"
why = "It answers."
[[provider.a]]
stream = ["Hello", { finish = "stop" }, { done = true }]
[expect]
"#;

const STALLS: &str = r#"
why = "It falls silent after a token."
[[provider.a]]
stream = ["Hello", { stall = true }]
[expect]
"#;

#[tokio::test]
async fn reqwest_speaks_http2() {
    let network = Network::start(ANSWERS).await;
    network.check("transport = \"reqwest\"", &[]).await;
    assert_eq!(network.requests().await, ["HTTP/2.0 POST 200"]);
}

#[tokio::test]
async fn sans_io_speaks_http1() {
    let network = Network::start(ANSWERS).await;
    network.check("", &[]).await;
    assert_eq!(network.requests().await, ["HTTP/1.1 POST 200"]);
}

#[tokio::test]
async fn a_client_that_leaves_ends_its_call_over_http2() {
    let network = Network::start(STALLS).await;
    let gateway = network.gateway("transport = \"reqwest\"", &[]).await;
    let leaves = Client { leave: Some(Leave::Texts(1)), ..Client::default() };
    let answer = client::ask(gateway.addr, &leaves, Goodbye::Fin, Instant::now()).await.unwrap();
    assert_eq!(answer.ending, Ending::Left, "{}", gateway.log());
    wait_until(|| network.provider.calls().iter().any(|call| call.closed.is_some())).await;
}

#[tokio::test]
async fn a_configured_proxy_is_used_and_http2_within() {
    let network = Network::start(ANSWERS).await;
    let proxy = Proxy::start().await;
    network.check(&format!("transport = \"reqwest\"\nproxy = \"{}\"", proxy.url()), &[]).await;
    assert_eq!(proxy.tunnels(), 1);
    assert_eq!(network.requests().await, ["HTTP/2.0 POST 200"]);
}

#[tokio::test]
async fn the_environments_proxy_is_used_unless_it_excludes_the_host() {
    for (excluded, tunnels) in [("example.com", 1), ("localhost", 0)] {
        let network = Network::start(ANSWERS).await;
        let proxy = Proxy::start().await;
        let env = [("HTTPS_PROXY", proxy.url()), ("NO_PROXY", excluded.to_owned())];
        network.check("transport = \"reqwest\"", &env).await;
        assert_eq!(proxy.tunnels(), tunnels, "NO_PROXY={excluded}");
        assert_eq!(network.requests().await, ["HTTP/2.0 POST 200"]);
    }
}

/// nginx rejects a body by its announced length, and reads no more of it.
#[tokio::test]
async fn a_response_that_comes_before_its_request_is_sent_is_read() {
    for (keys, expected) in
        [("transport = \"reqwest\"", "HTTP/2.0 POST 413"), ("", "HTTP/1.1 POST 413")]
    {
        let network = Network::start(ANSWERS).await;
        let gateway = network.gateway(keys, &[]).await;
        let large = Client { filler: Some(LARGE), ..Client::default() };
        let asked = client::ask(gateway.addr, &large, Goodbye::Fin, Instant::now());
        let answer = asked.await.unwrap();
        let body = String::from_utf8(answer.body()).unwrap();
        assert!(body.contains("answered 413"), "{expected}: {body}\n{}", gateway.log());
        assert_eq!(network.requests().await, [expected]);
    }
}

/// A provider behind an nginx that speaks HTTP/2 over TLS, by a certificate of its own.
struct Network {
    provider: FakeProvider,
    nginx: Server,
}

impl Network {
    async fn start(scripts: &str) -> Self {
        let scenario = Scenario::parse("transport", scripts).unwrap();
        let (any_port, scripts) = (SocketAddr::from(([127, 0, 0, 1], 0)), &scenario.provider["a"]);
        let provider = FakeProvider::start(any_port, scripts, AfterLast::Refuse, Instant::now());
        let provider = provider.await.unwrap();
        let upstream = provider.base_url();
        let upstream = upstream.trim_end_matches("/v1").to_owned();
        let nginx = Server::start("nginx", |folder, port| {
            make_certificate(folder);
            let config = NGINX
                .replace("FOLDER", &folder.display().to_string())
                .replace("PORT", &port.to_string())
                .replace("UPSTREAM", &upstream);
            fs::write(folder.join("nginx.conf"), config).unwrap();
            // Debian's /usr/sbin is on the PATH of root alone.
            let sbin = Path::new("/usr/sbin/nginx");
            let mut command = Command::new(if sbin.exists() { sbin } else { Path::new("nginx") });
            command.arg("-p").arg(folder).arg("-c").arg(folder.join("nginx.conf"));
            command.arg("-e").arg(folder.join("error.log"));
            command
        });
        Self { provider, nginx: nginx.await }
    }

    async fn gateway(&self, keys: &str, env: &[(&str, String)]) -> Gateway {
        let port = self.nginx.port;
        let config = format!(
            "[providers.a]\nprotocol = \"openai\"\nbase_url = \"https://localhost:{port}/v1\"\n\
             api_key = {{ env = \"PROVIDER_KEY\" }}\n{keys}\n[models.m]\ntargets = [\"a/fake-1\"]\n"
        );
        let trusted = self.nginx.path("cert.pem").display().to_string();
        let env: Vec<_> = env.iter().cloned().chain([("SSL_CERT_FILE", trusted)]).collect();
        Gateway::start_with_env(Runner::Native, Some(&config), &env).await.unwrap()
    }

    /// Asks a gateway whose provider is configured with these keys, and expects an answer.
    async fn check(&self, keys: &str, env: &[(&str, String)]) {
        let gateway = self.gateway(keys, env).await;
        let client = Client::default();
        let asked = client::ask(gateway.addr, &client, Goodbye::Fin, Instant::now());
        let answer = asked.await.unwrap();
        assert_eq!(answer.ending, Ending::Complete, "{}", gateway.log());
        let body = String::from_utf8(answer.body()).unwrap();
        assert!(body.contains("Hello"), "{body}\n{}", gateway.log());
    }

    /// The requests that nginx served, at least one: protocol, method and status. It writes its log
    /// after the client has the answer.
    async fn requests(&self) -> Vec<String> {
        let log = || fs::read_to_string(self.nginx.path("access.log")).unwrap();
        wait_until(|| log().ends_with('\n')).await;
        log().lines().map(str::to_owned).collect()
    }
}

const NGINX: &str = "
daemon off;
# One process: it runs as who started it.
master_process off;
pid FOLDER/pid;
events {}
http {
  log_format seen '$server_protocol $request_method $status';
  access_log FOLDER/access.log seen;
  client_body_temp_path FOLDER/body;
  proxy_temp_path FOLDER/proxy;
  fastcgi_temp_path FOLDER/fastcgi;
  uwsgi_temp_path FOLDER/uwsgi;
  scgi_temp_path FOLDER/scgi;
  server {
    listen 127.0.0.1:PORT ssl http2;
    ssl_certificate FOLDER/cert.pem;
    ssl_certificate_key FOLDER/key.pem;
    location / {
      proxy_pass UPSTREAM;
      proxy_http_version 1.1;
      proxy_set_header Connection '';
      proxy_buffering off;
    }
  }
}
";

/// A certificate for localhost, which is no authority: whoever trusts it trusts it alone.
fn make_certificate(folder: &Path) {
    let config = "[req]\ndistinguished_name = name\nx509_extensions = extensions\nprompt = no\n\
                  [name]\nCN = localhost\n\
                  [extensions]\nsubjectAltName = DNS:localhost\n\
                  basicConstraints = critical, CA:FALSE\n";
    let config_file = folder.join("certificate.conf");
    fs::write(&config_file, config).unwrap();
    let mut command = Command::new("openssl");
    command.args(["req", "-x509", "-nodes", "-days", "2", "-newkey", "ec"]);
    command.args(["-pkeyopt", "ec_paramgen_curve:prime256v1", "-config"]).arg(config_file);
    command.arg("-keyout").arg(folder.join("key.pem")).arg("-out").arg(folder.join("cert.pem"));
    let made = command.output().expect("openssl is installed");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

/// A forward proxy.
struct Proxy(Server);

impl Proxy {
    async fn start() -> Self {
        let server = Server::start("tinyproxy", |folder, port| {
            let config = format!(
                "Port {port}\nListen 127.0.0.1\nAllow 127.0.0.1\nTimeout 60\nMaxClients 20\n\
                 LogFile \"{}\"\nLogLevel Connect\n",
                folder.join("proxy.log").display()
            );
            fs::write(folder.join("tinyproxy.conf"), config).unwrap();
            let mut command = Command::new("tinyproxy");
            command.arg("-d").arg("-c").arg(folder.join("tinyproxy.conf"));
            command
        });
        Self(server.await)
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.0.port)
    }

    /// How many tunnels it was asked for.
    fn tunnels(&self) -> usize {
        let log = fs::read_to_string(self.0.path("proxy.log")).unwrap();
        log.lines().filter(|line| line.contains("CONNECT localhost")).count()
    }
}

/// A server from a package, in a folder of its own; killed when dropped.
struct Server {
    port: u16,
    process: Child,
    folder: TempDir,
}

impl Server {
    /// Starts what `command` configures in a folder for a port, and waits until it listens.
    async fn start(name: &str, command: impl FnOnce(&Path, u16) -> Command) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        let mut command = command(folder.path(), port);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let process = command.spawn().unwrap_or_else(|error| panic!("{name}: {error}"));
        let server = Self { port, process, folder };
        wait_until(|| TcpStream::connect(("127.0.0.1", port)).is_ok()).await;
        server
    }

    fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

async fn wait_until(is_so: impl Fn() -> bool) {
    let patience = Instant::now() + TIME_MAX;
    while !is_so() {
        assert!(Instant::now() < patience, "it did not happen within {TIME_MAX:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
