//! The server's side of HTTP/1.1, as far as a fake provider needs it: requests with a body of known
//! length or chunked, responses in any framing.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::script::{Framing, Head};

/// More than any test sends.
const REQUEST_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A request, whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
    pub(crate) expects_continue: bool,
}

/// The peer closed or broke the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gone;

/// A write that is pending for this long is blocked by a peer that does not read, not by a busy
/// machine.
const HELD_MIN: Duration = Duration::from_millis(300);

/// How a response is getting on.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Progress {
    /// So many more bytes were sent.
    Sent(usize),
    /// The peer does not read: the socket takes no more.
    Held,
}

/// A client's connection.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    /// Bytes that came and were not read yet.
    unread: Vec<u8>,
}

impl Connection {
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self { stream, unread: Vec::new() }
    }

    pub(crate) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// The next request; `None` when the peer closed between requests.
    pub(crate) async fn read_request(&mut self) -> io::Result<Option<Request>> {
        loop {
            if let Some((request, used)) = parse_request(&self.unread)? {
                self.unread.drain(..used);
                return Ok(Some(request));
            }
            if self.unread.len() > REQUEST_BYTES_MAX {
                return Err(invalid("the request is too large"));
            }
            if self.stream.read_buf(&mut self.unread).await? == 0 {
                return Ok(None);
            }
        }
    }

    /// Sends all bytes, unless the peer goes first.
    pub(crate) async fn send(
        &mut self,
        bytes: &[u8],
        report: &impl Fn(Progress),
    ) -> Result<(), Gone> {
        let (mut read, mut write) = self.stream.split();
        let unread = &mut self.unread;
        let sending = async {
            let mut rest = bytes;
            while !rest.is_empty() {
                let mut writing = std::pin::pin!(write.write(rest));
                let in_time = tokio::time::timeout(HELD_MIN, &mut writing).await;
                let written = match in_time {
                    Ok(written) => written,
                    Err(_) => {
                        report(Progress::Held);
                        writing.await
                    }
                };
                let bytes = written.map_err(|_| Gone)?;
                report(Progress::Sent(bytes));
                rest = &rest[bytes..];
            }
            Ok(())
        };
        let leaving = async {
            while let Ok(1..) = read.read_buf(unread).await {}
            Gone
        };
        tokio::select! {
            biased;
            sent = sending => sent,
            gone = leaving => Err(gone),
        }
    }

    /// Sends all bytes without looking out for the peer.
    pub(crate) async fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// Waits, unless the peer goes first.
    pub(crate) async fn wait(&mut self, pause: Duration) -> Result<(), Gone> {
        if pause.is_zero() {
            return Ok(());
        }
        tokio::time::timeout(pause, self.until_gone()).await.map_or(Ok(()), Err)
    }

    /// Waits for the peer to go.
    pub(crate) async fn until_gone(&mut self) -> Gone {
        while let Ok(1..) = self.stream.read_buf(&mut self.unread).await {}
        Gone
    }

    /// Answers a call that should not have come.
    pub(crate) async fn refuse(&mut self, why: &str) -> Result<(), Gone> {
        let response = format!(
            "HTTP/1.1 599 Unscripted\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{why}",
            why.len()
        );
        self.send(response.as_bytes(), &|_| ()).await
    }
}

/// The head of a response whose body has `length` bytes.
pub(crate) fn head_bytes(head: &Head, length: usize) -> Vec<u8> {
    let mut text = format!("HTTP/1.1 {} {}\r\n", head.status, reason(head.status));
    for (name, value) in &head.headers {
        text += &format!("{name}: {value}\r\n");
    }
    text += &match head.framing {
        Framing::Chunked => String::from("transfer-encoding: chunked\r\n"),
        Framing::Close => String::from("connection: close\r\n"),
        Framing::Length => format!("content-length: {length}\r\n"),
    };
    text += "\r\n";
    text.into_bytes()
}

fn reason(status: u16) -> &'static str {
    if status < 400 { "OK" } else { "Not OK" }
}

/// The bytes as they are sent.
pub(crate) fn frame(framing: Framing, bytes: &[u8]) -> Vec<u8> {
    match framing {
        // An empty chunk would end the body.
        Framing::Chunked if !bytes.is_empty() => {
            let mut framed = format!("{:x}\r\n", bytes.len()).into_bytes();
            framed.extend_from_slice(bytes);
            framed.extend_from_slice(b"\r\n");
            framed
        }
        Framing::Chunked | Framing::Close | Framing::Length => bytes.to_vec(),
    }
}

/// What a clean end adds.
pub(crate) fn terminator(framing: Framing) -> &'static [u8] {
    match framing {
        Framing::Chunked => b"0\r\n\r\n",
        Framing::Close | Framing::Length => b"",
    }
}

/// Whether another request may follow on the connection.
pub(crate) fn keeps_alive(head: &Head) -> bool {
    let closes = head.headers.get("connection").is_some_and(|value| value == "close");
    head.framing != Framing::Close && !closes
}

/// A request at the front of `bytes` and its length, once it is there whole.
fn parse_request(bytes: &[u8]) -> io::Result<Option<(Request, usize)>> {
    if bytes.first().is_some_and(|first| !first.is_ascii_uppercase()) {
        return Err(invalid("this is no HTTP"));
    }
    let Some(head_len) = find(bytes, b"\r\n\r\n") else { return Ok(None) };
    let mut request = parse_head(&bytes[..head_len])?;
    let rest = &bytes[head_len + 4..];
    let chunked =
        request.headers.get("transfer-encoding").is_some_and(|coding| coding == "chunked");
    let body = if chunked { parse_chunked(rest)? } else { parse_sized(&request, rest)? };
    let Some((body, used)) = body else { return Ok(None) };
    request.body = body;
    Ok(Some((request, head_len + 4 + used)))
}

fn parse_head(bytes: &[u8]) -> io::Result<Request> {
    let text = std::str::from_utf8(bytes).map_err(|_| invalid("the head is not UTF-8"))?;
    let mut lines = text.split("\r\n");
    let mut first = lines.next().unwrap_or_default().split(' ');
    let mut request = Request {
        method: first.next().unwrap_or_default().into(),
        path: first.next().ok_or_else(|| invalid("the request line has no path"))?.into(),
        ..Request::default()
    };
    for line in lines {
        let (name, value) = line.split_once(':').ok_or_else(|| invalid("a header has no colon"))?;
        request.headers.insert(name.to_lowercase(), value.trim().into());
    }
    request.expects_continue = request.headers.contains_key("expect");
    Ok(request)
}

/// A body and how many bytes it took; `None` while there is more to come.
type Body = Option<(Vec<u8>, usize)>;

fn parse_sized(request: &Request, bytes: &[u8]) -> io::Result<Body> {
    let length = match request.headers.get("content-length") {
        Some(text) => text.parse().map_err(|_| invalid("content-length is no number"))?,
        None => 0,
    };
    Ok(bytes.get(..length).map(|body| (body.to_vec(), length)))
}

fn parse_chunked(bytes: &[u8]) -> io::Result<Body> {
    let mut body = Vec::new();
    let mut at = 0;
    while let Some(line_len) = find(&bytes[at..], b"\r\n") {
        let size = std::str::from_utf8(&bytes[at..at + line_len])
            .ok()
            .and_then(|text| usize::from_str_radix(text.split(';').next()?.trim(), 16).ok())
            .ok_or_else(|| invalid("a chunk has no size"))?;
        at += line_len + 2;
        let Some(chunk) = bytes.get(at..at + size + 2) else { return Ok(None) };
        body.extend_from_slice(&chunk[..size]);
        at += size + 2;
        if size == 0 {
            return Ok(Some((body, at)));
        }
    }
    Ok(None)
}

fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    bytes.windows(needle.len()).position(|window| window == needle)
}

fn invalid(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whole, and not before its last byte.
    fn check(wire: &[u8], body: &[u8]) {
        for cut in 0..wire.len() {
            assert_eq!(parse_request(&wire[..cut]).unwrap(), None, "cut at {cut}");
        }
        let mut trailed = wire.to_vec();
        trailed.extend_from_slice(b"POST");
        for bytes in [wire, &trailed] {
            let (request, used) = parse_request(bytes).unwrap().unwrap();
            assert_eq!(used, wire.len());
            assert_eq!(request.method, "POST");
            assert_eq!(request.path, "/v1/x");
            assert_eq!(request.body, body);
        }
    }

    #[test]
    fn requests_are_read_in_either_framing() {
        check(b"POST /v1/x HTTP/1.1\r\nContent-Length: 4\r\n\r\n\r\n{}", b"\r\n{}");
        check(b"POST /v1/x HTTP/1.1\r\nHost: a\r\n\r\n", b"");
        check(
            b"POST /v1/x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA;x\r\n0123456789\r\n0\r\n\r\n",
            b"abc0123456789",
        );
    }

    #[test]
    fn nonsense_is_an_error() {
        assert!(parse_request(b"\x16\x03\x01").is_err());
        assert!(parse_request(b"POST\r\n\r\n").is_err());
        assert!(parse_request(b"POST /v1/x HTTP/1.1\r\nno colon\r\n\r\n").is_err());
    }
}
