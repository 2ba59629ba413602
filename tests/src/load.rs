//! The provider's load mode: the same stream for every call, as cheap per chunk as a socket allows,
//! so that a benchmark measures the gateway and not the provider.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep_until};

use crate::provider::wire::Connection;

/// What every call is answered with.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// The pause between chunks; with none they go out in as few writes as possible.
    pub pause: Duration,
    /// Chunks with text per stream.
    pub chunks: usize,
    /// Bytes of each of them, as an event.
    pub size: usize,
}

/// Everything that is ever sent, framed.
#[derive(Debug)]
struct Frames {
    head: Vec<u8>,
    chunk: Vec<u8>,
    end: Vec<u8>,
    /// Head, all chunks and end in one, where there is no pause.
    burst: Vec<u8>,
    load: Load,
}

const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\
                    cache-control: no-cache\r\ntransfer-encoding: chunked\r\n\r\n";
const BEFORE_TEXT: &str = "data: {\"id\":\"chatcmpl-fake\",\"object\":\"chat.completion.chunk\",\
                           \"created\":1750000000,\"model\":\"fake-1\",\"choices\":[{\"index\":0,\
                           \"delta\":{\"content\":\"";
const AFTER_TEXT: &str = "\"},\"finish_reason\":null}]}\n\n";
const FINISH: &str = "data: {\"id\":\"chatcmpl-fake\",\"object\":\"chat.completion.chunk\",\
                      \"created\":1750000000,\"model\":\"fake-1\",\"choices\":[{\"index\":0,\
                      \"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
const DONE: &str = "data: [DONE]\n\n";

impl Frames {
    fn new(load: Load) -> Self {
        let filler = load.size.saturating_sub(BEFORE_TEXT.len() + AFTER_TEXT.len()).max(1);
        let chunk = frame(&format!("{BEFORE_TEXT}{}{AFTER_TEXT}", "x".repeat(filler)));
        let end = [frame(FINISH), frame(DONE), b"0\r\n\r\n".to_vec()].concat();
        let burst = if load.pause.is_zero() {
            [HEAD.as_bytes(), &chunk.repeat(load.chunks), &end].concat()
        } else {
            Vec::new()
        };
        Self { head: HEAD.into(), chunk, end, burst, load }
    }
}

fn frame(text: &str) -> Vec<u8> {
    format!("{:x}\r\n{text}\r\n", text.len()).into_bytes()
}

/// Answers calls at `addr` until the process ends.
pub async fn serve(addr: SocketAddr, load: Load) -> io::Result<()> {
    let listener = TcpListener::bind(addr).await?;
    println!("streaming at http://{}/v1", listener.local_addr()?);
    let frames = Arc::new(Frames::new(load));
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(answer_all(stream, frames.clone()));
    }
}

async fn answer_all(stream: TcpStream, frames: Arc<Frames>) {
    let mut connection = Connection::new(stream);
    while let Ok(Some(_)) = connection.read_request().await {
        if stream_once(&mut connection, &frames).await.is_err() {
            return;
        }
    }
}

async fn stream_once(connection: &mut Connection, frames: &Frames) -> io::Result<()> {
    if frames.load.pause.is_zero() {
        return connection.write_all(&frames.burst).await;
    }
    connection.write_all(&frames.head).await?;
    // Chunks are due at fixed times, so that a late one does not delay the rest.
    let mut due = Instant::now();
    for _ in 0..frames.load.chunks {
        connection.write_all(&frames.chunk).await?;
        due += frames.load.pause;
        sleep_until(due).await;
    }
    connection.write_all(&frames.end).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_have_the_size_asked_for() {
        let frames = Frames::new(Load { pause: Duration::ZERO, chunks: 3, size: 200 });
        assert!(frames.chunk.starts_with(b"c8\r\ndata: {"));
        assert_eq!(frames.chunk.len(), 4 + 200 + 2);
        assert_eq!(frames.burst.len(), HEAD.len() + 3 * frames.chunk.len() + frames.end.len());
    }
}
