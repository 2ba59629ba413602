//! The client of the benchmark: asks for streams on several connections at once, reads them as
//! cheaply as it can, and prints what it got.

use std::io;
use std::net::SocketAddr;
use std::time::Instant;

use clap::Parser;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// What every event of a stream has once, its end mark too. One byte, for proxies cut HTTP chunks
/// anywhere.
const MARK: u8 = b'[';
/// How every response ends.
const END: &[u8] = b"\r\n0\r\n\r\n";
const READ_BYTES: usize = 256 * 1024;

/// Asks for streams, one after the other on each of several connections, and counts what comes.
#[derive(Debug, Parser)]
struct Arguments {
    /// Whom to ask.
    addr: SocketAddr,
    /// Connections.
    #[arg(long, default_value_t = 100)]
    connections: usize,
    /// Streams on each connection, one after the other.
    #[arg(long, default_value_t = 1)]
    streams: usize,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    let began = Instant::now();
    let mut connections = JoinSet::new();
    for _ in 0..arguments.connections {
        connections.spawn(ask(arguments.addr, arguments.streams));
    }
    let mut events = 0;
    while let Some(got) = connections.join_next().await {
        events += got.map_err(io::Error::other)??;
    }
    let streams = arguments.connections * arguments.streams;
    let seconds = began.elapsed().as_secs_f64();
    println!("{{\"streams\":{streams},\"events\":{events},\"seconds\":{seconds:.3}}}");
    Ok(())
}

/// Reads so many streams on one connection, and counts their events.
async fn ask(addr: SocketAddr, streams: usize) -> io::Result<usize> {
    let mut connection = TcpStream::connect(addr).await?;
    connection.set_nodelay(true)?;
    let request = request();
    let mut buffer = Vec::with_capacity(READ_BYTES);
    let mut events = 0;
    for _ in 0..streams {
        connection.write_all(&request).await?;
        events += read_stream(&mut connection, &mut buffer).await?;
    }
    Ok(events)
}

fn request() -> Vec<u8> {
    let body = r#"{"model":"fake-1","stream":true,"messages":[{"role":"user","content":"hello"}]}"#;
    format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

async fn read_stream(connection: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<usize> {
    let mut events = 0;
    buffer.clear();
    let mut counted = 0;
    loop {
        if connection.read_buf(buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        events += memchr::memchr_iter(MARK, &buffer[counted..]).count();
        if buffer.ends_with(END) {
            return Ok(events);
        }
        // Only the end is looked for across reads.
        counted = buffer.len().min(END.len());
        buffer.drain(..buffer.len() - counted);
    }
}
