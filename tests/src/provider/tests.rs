//! The provider over real sockets, by a client that knows no HTTP.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

/// Longer than anything takes that a test waits for, on a loaded machine.
const CONDITION_TIME_MAX: Duration = Duration::from_secs(20);

const REQUEST: &[u8] = b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}";

async fn start(text: &str) -> FakeProvider {
    #[derive(serde::Deserialize)]
    struct Scripts {
        call: Vec<Call>,
    }
    let scripts: Scripts = toml::from_str(text).unwrap();
    let any_port = "127.0.0.1:0".parse().unwrap();
    FakeProvider::start(any_port, &scripts.call, AfterLast::Refuse, Instant::now()).await.unwrap()
}

/// Sends one request on a connection of its own and reads until the provider closes.
async fn exchange(provider: &FakeProvider) -> (io::Result<usize>, String) {
    let mut stream = TcpStream::connect(provider.addr).await.unwrap();
    stream.write_all(REQUEST).await.unwrap();
    let mut response = Vec::new();
    let read = stream.read_to_end(&mut response).await;
    (read, String::from_utf8(response).unwrap())
}

#[tokio::test]
async fn each_framing_ends_and_is_cut_in_its_own_way() {
    let provider = start(
        r#"
        [[call]]
        headers = { connection = "close" }
        stream = [{ raw = "abc" }]
        [[call]]
        stream = [{ raw = "abc" }, { cut = true }]
        [[call]]
        framing = "close"
        stream = [{ raw = "abc" }]
        [[call]]
        framing = "length"
        headers = { connection = "close" }
        stream = [{ raw = "abc" }]
        [[call]]
        framing = "length"
        stream = [{ raw = "abc" }, { cut = true }]
        "#,
    )
    .await;
    for (header, body) in [
        ("transfer-encoding: chunked", "\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
        ("transfer-encoding: chunked", "\r\n\r\n3\r\nabc\r\n"),
        ("connection: close", "\r\n\r\nabc"),
        ("content-length: 3", "\r\n\r\nabc"),
        ("content-length: 67", "\r\n\r\nabc"),
    ] {
        let (read, response) = exchange(&provider).await;
        read.unwrap();
        assert!(response.contains(header) && response.ends_with(body), "{response}");
    }
    assert!(provider.calls().iter().all(|call| call.ended.is_some() && call.sent_bytes > 0));
}

#[tokio::test]
async fn a_reset_is_a_reset_and_a_close_sends_nothing() {
    let provider = start(
        r#"
        [[call]]
        stream = [{ raw = "abc" }, { wait = 20 }, { reset = true }]
        [[call]]
        close = true
        "#,
    )
    .await;
    let (read, _) = exchange(&provider).await;
    assert_eq!(read.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    let (read, _) = exchange(&provider).await;
    assert_eq!(read.unwrap(), 0);
}

#[tokio::test]
async fn nobody_listens_where_connections_are_refused() {
    let provider = start("[[call]]\nrefuse = true").await;
    let refused = TcpStream::connect(provider.addr).await.unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn the_peers_close_is_seen_while_sending_waiting_and_stalling() {
    let provider = start(
        r#"
        [[call]]
        stream = [{ stall = true }]
        [[call]]
        stream = [{ wait = 10000 }]
        [[call]]
        silent = true
        [[call]]
        stream = [{ raw = "x", times = 2000, every = 5 }]
        "#,
    )
    .await;
    for index in 0..4 {
        let mut stream = TcpStream::connect(provider.addr).await.unwrap();
        stream.write_all(REQUEST).await.unwrap();
        until(|| provider.calls().len() > index, "the call is recorded").await;
        drop(stream);
        until(|| provider.calls()[index].closed.is_some(), "the close is seen").await;
    }
}

#[tokio::test]
async fn a_peer_that_does_not_read_holds_the_provider_up() {
    let provider = start("[[call]]\nstream = [{ filler = 100000, times = 1000 }]").await;
    let mut stream = TcpStream::connect(provider.addr).await.unwrap();
    stream.write_all(REQUEST).await.unwrap();
    let held = || provider.calls().first().is_some_and(|call| call.held_bytes.is_some());
    until(held, "the provider is held up").await;
    assert!(provider.calls()[0].held_bytes < Some(100_000 * 1000));
}

async fn until(holds: impl Fn() -> bool, what: &str) {
    let patience = Instant::now() + CONDITION_TIME_MAX;
    while !holds() {
        assert!(Instant::now() < patience, "not within {CONDITION_TIME_MAX:?}: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_connection_takes_further_calls_and_records_them() {
    let provider =
        start("[[call]]\nanswer = { text = 'one' }\n[[call]]\nbody = 'two'\nagain = true").await;
    let mut stream = TcpStream::connect(provider.addr).await.unwrap();
    for expected in ["one", "two", "two"] {
        stream.write_all(REQUEST).await.unwrap();
        let mut response = String::new();
        while !response.ends_with("0\r\n\r\n") {
            let mut buffer = [0; 1024];
            let read = stream.read(&mut buffer).await.unwrap();
            assert_ne!(read, 0, "{response}");
            response += std::str::from_utf8(&buffer[..read]).unwrap();
        }
        assert!(response.contains(expected), "{response}");
    }
    let calls = provider.calls();
    assert_eq!(calls.len(), 3);
    assert_eq!(calls[0].method, "POST");
    assert_eq!(calls[0].path, "/v1/chat/completions");
    assert_eq!(calls[0].body, serde_json::json!({}));
}

#[tokio::test]
async fn a_call_without_a_script_is_marked() {
    let provider = start("[[call]]\nbody = ''\nheaders = { connection = 'close' }").await;
    exchange(&provider).await.0.unwrap();
    let (_, response) = exchange(&provider).await;
    assert!(response.starts_with("HTTP/1.1 599"), "{response}");
    assert!(provider.calls()[1].unscripted);
}
