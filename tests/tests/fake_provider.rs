//! The fake provider as a program.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

const PROGRAM: &str = env!("CARGO_BIN_EXE_fake-provider");

/// The running program and the first line it prints.
struct Running(Child, String);

impl Running {
    fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(PROGRAM);
        command.args(["--listen", "127.0.0.1:0"]).args(arguments).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self(child, line)
    }

    /// What it answers, up to the end of the response.
    fn call(&self) -> String {
        let (_, address) = self.1.split_once("http://").unwrap();
        let mut stream = TcpStream::connect(address.trim().trim_end_matches("/v1")).unwrap();
        stream.write_all(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
        let mut response = Vec::new();
        let mut byte = [0];
        while !response.ends_with(b"\r\n0\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
            response.extend_from_slice(&byte);
        }
        String::from_utf8(response).unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[test]
fn plays_a_scenario_and_begins_anew_after_its_last_script() {
    let scenario = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios/empty_stream_then_whole.toml");
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("gateway.toml");
    let running = Running::start(&["--config", config.to_str().unwrap(), scenario]);
    assert!(
        running.1.starts_with("empty_stream_then_whole: a at http://127.0.0.1:"),
        "{}",
        running.1
    );
    for _ in 0..2 {
        assert!(running.call().contains("[DONE]"));
        assert!(running.call().contains("Hello there"));
    }
    let config = std::fs::read_to_string(config).unwrap();
    assert!(config.contains("base_url = \"http://127.0.0.1:"), "{config}");
}

#[test]
fn streams_at_a_pace() {
    let running = Running::start(&["--paced", "20ms", "--chunks", "5", "--size", "300"]);
    let began = std::time::Instant::now();
    let response = running.call();
    assert!(began.elapsed().as_millis() >= 80, "{:?}", began.elapsed());
    assert_eq!(response.matches("\r\n12c\r\n").count(), 5, "{response}");
    assert!(response.contains("\"finish_reason\":\"stop\""), "{response}");
    let burst = Running::start(&["--paced", "0s", "--chunks", "100"]);
    assert_eq!(burst.call().matches("xxx\"}").count(), 100);
}

#[test]
fn says_what_is_wrong_with_its_arguments() {
    for (arguments, said) in [
        (&["--paced", "10"][..], "such as 10ms"),
        (&["/no/such/scenario.toml"], "/no/such/scenario.toml"),
        (&[], "--help"),
    ] {
        let output = Command::new(PROGRAM).args(arguments).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && stderr.contains(said), "{arguments:?}: {stderr}");
    }
}
