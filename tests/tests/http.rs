//! HTTP as clients and providers use it at its edges, byte by byte: responses that come before their
//! request is sent, connections that are closed on one side.
#![allow(clippy::unwrap_used, reason = "these are tests")]

use std::time::Duration;

use streamgate_tests::gateway::Gateway;
use streamgate_tests::scenario::Runner;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// Longer than anything here takes on a loaded machine.
const TIME_MAX: Duration = Duration::from_secs(30);

/// What a client on a fast line sends before its first read, and no socket's buffer holds.
const LARGE: usize = 40_000_000;

const ANSWER: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\
    content-length: 97\r\n\r\n{\"choices\":[{\"index\":0,\"message\":{\
    \"role\":\"assistant\",\"content\":\"Hello\"},\"finish_reason\":\"stop\"}]}";

/// A gateway whose model `m` is at `provider`.
async fn gateway(provider: &str) -> Gateway {
    gateway_by(provider, "sans-io").await
}

/// The same by a transport.
async fn gateway_by(provider: &str, transport: &str) -> Gateway {
    let config = format!(
        "[providers.a]\nprotocol = \"openai\"\nbase_url = \"http://{provider}/v1\"\n\
         transport = \"{transport}\"\n[models.m]\ntargets = [\"a/fake-1\"]\n[fallback]\nretries = 0\n"
    );
    Gateway::start(Runner::Native, Some(&config)).await.unwrap()
}

async fn connect(gateway: &Gateway) -> TcpStream {
    TcpStream::connect(gateway.addr).await.unwrap()
}

fn head(path: &str, length: usize, more: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n{more}\r\n"
    )
}

fn question(stream: bool) -> String {
    let body = format!(
        "{{\"model\":\"m\",\"stream\":{stream},\"messages\":[{{\"role\":\"user\",\"content\":\"Hi\"}}]}}"
    );
    head("/v1/chat/completions", body.len(), "") + &body
}

/// All that comes until the other side closes; an error if it resets.
async fn read_to_end(stream: &mut TcpStream) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    timeout(TIME_MAX, stream.read_to_end(&mut bytes)).await.unwrap()?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// One response with a length.
async fn read_response(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    loop {
        let mut byte = [0];
        let read = timeout(TIME_MAX, stream.read(&mut byte)).await.unwrap().unwrap();
        assert_eq!(read, 1, "the connection ended after: {text}");
        text.push(byte[0] as char);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.split("content-length: ").nth(1).unwrap();
            let length: usize = length.split("\r\n").next().unwrap().parse().unwrap();
            if body.len() == length {
                return text;
            }
        }
    }
}

#[tokio::test]
async fn who_sends_before_it_reads_reads_the_rejection() {
    let gateway = gateway("127.0.0.1:9").await;
    for (path, status) in [("/v1/chat/completions", "413"), ("/nowhere", "404")] {
        let mut stream = connect(&gateway).await;
        stream.write_all(head(path, LARGE, "").as_bytes()).await.unwrap();
        // As `requests` and Go do: nothing is read before all is sent.
        let piece = vec![b' '; 1 << 20];
        let mut left = LARGE;
        while left > 0 {
            let piece = &piece[..left.min(piece.len())];
            stream.write_all(piece).await.unwrap_or_else(|error| panic!("{path}: {error}"));
            left -= piece.len();
        }
        let response = read_to_end(&mut stream).await.unwrap();
        assert!(response.starts_with(&format!("HTTP/1.1 {status} ")), "{response}");
        assert!(response.contains("connection: close\r\n"), "{response}");
    }
}

#[tokio::test]
async fn a_rejection_leaves_a_connection_that_can_be_used_again() {
    let gateway = gateway("127.0.0.1:9").await;
    let mut stream = connect(&gateway).await;
    for length in [100_000, 900_000, 0] {
        stream.write_all(head("/nowhere", length, "").as_bytes()).await.unwrap();
        stream.write_all(&vec![b' '; length]).await.unwrap();
        let response = read_response(&mut stream).await;
        assert!(response.starts_with("HTTP/1.1 404 "), "{response}");
        assert!(!response.contains("connection: close"), "{response}");
    }
}

#[tokio::test]
async fn a_body_that_is_held_back_is_rejected_unsent() {
    let gateway = gateway("127.0.0.1:9").await;
    for (path, length, status) in [("/v1/messages", LARGE, "413"), ("/nowhere", 10, "404")] {
        let mut stream = connect(&gateway).await;
        let head = head(path, length, "expect: 100-continue\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let response = read_response(&mut stream).await;
        assert!(response.starts_with(&format!("HTTP/1.1 {status} ")), "{response}");
        assert!(response.contains("connection: close\r\n"), "{response}");
    }
}

#[tokio::test]
async fn who_sends_no_more_gets_its_response() {
    let provider = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gateway = gateway(&provider.local_addr().unwrap().to_string()).await;
    let answering = tokio::spawn(async move {
        loop {
            let (mut call, _) = provider.accept().await.unwrap();
            tokio::spawn(async move {
                let mut request = vec![0; 4096];
                assert!(call.read(&mut request).await.unwrap() > 0);
                tokio::time::sleep(Duration::from_millis(300)).await;
                call.write_all(ANSWER.as_bytes()).await.unwrap();
            });
        }
    });
    for stream in [false, true] {
        let mut client = connect(&gateway).await;
        client.write_all(question(stream).as_bytes()).await.unwrap();
        client.shutdown().await.unwrap();
        let response = read_to_end(&mut client).await.unwrap();
        let last = response.trim_start_matches("HTTP/1.1 100 Continue\r\n\r\n");
        assert!(last.starts_with("HTTP/1.1 200 ") && last.contains("Hello"), "{response}");
    }
    answering.abort();
}

#[tokio::test]
async fn a_provider_that_answers_before_the_request_is_sent_is_understood() {
    answers_before_the_request_is_sent("sans-io", Afterwards::Resets).await;
    answers_before_the_request_is_sent("reqwest", Afterwards::Reads).await;
}

/// What a provider does with the rest of a request that it has answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Afterwards {
    /// It closes over what it has not read, so that the rest is refused by a reset.
    Resets,
    /// It reads and drops it, as servers do that linger. hyper may see a reset before the response.
    Reads,
}

async fn answers_before_the_request_is_sent(transport: &str, afterwards: Afterwards) {
    let provider = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gateway = gateway_by(&provider.local_addr().unwrap().to_string(), transport).await;
    let refusing = tokio::spawn(async move {
        let (mut call, _) = provider.accept().await.unwrap();
        let mut head = vec![0; 1000];
        call.read_exact(&mut head).await.unwrap();
        let body = "{\"error\":{\"message\":\"That is too much.\",\"code\":\"too_much\"}}";
        let refusal = format!(
            "HTTP/1.1 413 Content Too Large\r\ncontent-type: application/json\r\n\
             connection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        call.write_all(refusal.as_bytes()).await.unwrap();
        if afterwards == Afterwards::Reads {
            tokio::io::copy(&mut call, &mut tokio::io::sink()).await.unwrap();
        }
    });
    let body = format!(
        "{{\"model\":\"m\",\"messages\":[{{\"role\":\"user\",\"content\":\"{}\"}}]}}",
        "word ".repeat(4_000_000)
    );
    let mut client = connect(&gateway).await;
    let head = head("/v1/chat/completions", body.len(), "connection: close\r\n");
    client.write_all(head.as_bytes()).await.unwrap();
    client.write_all(body.as_bytes()).await.unwrap();
    let response = read_to_end(&mut client).await.unwrap();
    assert!(response.starts_with("HTTP/1.1 413 "), "{transport}: {response}");
    assert!(response.contains("That is too much."), "{transport}: {response}");
    refusing.await.unwrap();
}
