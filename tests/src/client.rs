//! A client over HTTP that notes when each byte came, and can leave.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http1;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use socket2::SockRef;
use tokio::net::TcpSocket;
use tokio::task::JoinHandle;

use crate::answer::{Answer, Ending, Head, Read, Reader};
use crate::scenario::{Client, Leave, Pause};

/// Longer than any scenario takes on a loaded machine: an answer that hangs is a failure, not a
/// hanging test.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(60);

/// What the system may take in for a client that does not read.
const SLOW_BUFFER_BYTES: u32 = 64 * 1024;

/// How a client that leaves closes its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goodbye {
    /// As most do, by a FIN.
    Fin,
    /// By a reset, as when there was more to read, or a proxy stands between.
    Reset,
}

/// Does what the scenario's client does. Times count from `epoch`.
pub async fn ask(
    gateway: SocketAddr,
    client: &Client,
    goodbye: Goodbye,
    epoch: Instant,
) -> io::Result<Answer> {
    ask_and_resume(gateway, client, goodbye, epoch, std::future::ready(())).await
}

/// As [`ask`]; a client that pauses does not read again before `resumable` is ready either.
pub async fn ask_and_resume(
    gateway: SocketAddr,
    client: &Client,
    goodbye: Goodbye,
    epoch: Instant,
    resumable: impl Future<Output = ()>,
) -> io::Result<Answer> {
    let socket = TcpSocket::new_v4()?;
    if client.pause.is_some() {
        socket.set_recv_buffer_size(SLOW_BUFFER_BYTES)?;
    }
    let stream = socket.connect(gateway).await?;
    stream.set_nodelay(true)?;
    if client.leave.is_some() && goodbye == Goodbye::Reset {
        SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
    }
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    let connection = Connection(tokio::spawn(async move {
        // What breaks here shows in the response as well.
        let _ = connection.await;
    }));
    let request = request(gateway, client).map_err(io::Error::other)?;
    let mut asking = Asking { client, epoch, answer: Answer::default() };
    let stay = match client.leave {
        Some(Leave::Ms(ms)) => Duration::from_millis(ms),
        _ => ANSWER_TIME_MAX,
    };
    let came_to_end = tokio::time::timeout(stay, async {
        match sender.send_request(request).await {
            Ok(response) => asking.read(response, resumable).await,
            Err(error) => Ending::Broken(error.to_string()),
        }
    });
    let ending = match (came_to_end.await, client.leave) {
        (Ok(ending), _) => ending,
        (Err(_), Some(_)) => Ending::Left,
        (Err(_), None) => Ending::Broken(format!("not at all within {ANSWER_TIME_MAX:?}")),
    };
    drop(connection);
    let ended = epoch.elapsed();
    Ok(Answer { ending, ended, ..asking.answer })
}

/// Closes the socket when dropped.
struct Connection(JoinHandle<()>);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn request(gateway: SocketAddr, client: &Client) -> hyper::http::Result<Request<Full<Bytes>>> {
    let mut request = Request::builder()
        .method(client.method())
        .uri(client.path())
        .header("host", gateway.to_string());
    if !client.headers.contains_key("content-type") && client.method() != "GET" {
        request = request.header("content-type", "application/json");
    }
    for (name, value) in &client.headers {
        request = request.header(name, value);
    }
    request.body(Full::from(client.body_bytes()))
}

struct Asking<'a> {
    client: &'a Client,
    epoch: Instant,
    answer: Answer,
}

impl Asking<'_> {
    async fn read(
        &mut self,
        response: Response<Incoming>,
        resumable: impl Future<Output = ()>,
    ) -> Ending {
        let mut resumable = Some(resumable);
        self.answer.head = Some(head(&response));
        let mut reader = Reader::new(self.client.protocol());
        let mut pause = self.client.pause;
        let mut texts = 0;
        let mut body = response.into_body();
        while let Some(frame) = body.frame().await {
            let bytes = match frame.map(Frame::into_data) {
                Ok(Ok(bytes)) => bytes,
                Ok(Err(_trailers)) => continue,
                Err(error) => return Ending::Broken(error.to_string()),
            };
            let at = self.epoch.elapsed();
            self.answer.reads.push(Read { at, bytes: bytes.to_vec() });
            if self.client.leave.is_some() || pause.is_some() {
                let events = reader.read(at, &bytes).unwrap_or_default();
                texts += events.iter().filter(|event| event.has_text()).count();
            }
            if self.client.leave.is_some_and(|leave| leave.is_after(texts)) {
                return Ending::Left;
            }
            if let Some(Pause { ms, .. }) = pause.take_if(|pause| texts >= pause.texts) {
                tokio::time::sleep(Duration::from_millis(ms)).await;
                if let Some(resumable) = resumable.take() {
                    resumable.await;
                }
            }
        }
        Ending::Complete
    }
}

fn head(response: &Response<Incoming>) -> Head {
    let headers = response.headers().iter().map(|(name, value)| {
        (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
    });
    Head { status: response.status().as_u16(), headers: headers.collect() }
}
