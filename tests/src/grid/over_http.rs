//! The grid on a built shell, with a provider that answers by the path it is called at.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use memchr::memmem;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

use super::{Answer, Pair, config_text, vectors};
use crate::client::{self, Goodbye};
use crate::gateway::Gateway;
use crate::provider::wire::{Connection, Request};
use crate::scenario::{self, Runner};

/// A shell with every provider behind it.
#[derive(Debug)]
pub struct Grid {
    gateway: Gateway,
    provider: AbortHandle,
    requests: Requests,
}

/// What the providers were asked, as many as there are clients to look for it.
#[derive(Clone, Debug, Default)]
struct Requests(Arc<Mutex<Vec<Request>>>);

impl Requests {
    fn note(&self, request: Request) {
        self.0.lock().expect("no one panics while holding the requests").push(request);
    }

    /// Takes out those of this pair: each carries its own name.
    fn of(&self, pair: &Pair) -> Vec<Request> {
        let name = format!("{pair}\"");
        let says_it =
            |request: &mut Request| memmem::find(&request.body, name.as_bytes()).is_some();
        let mut requests = self.0.lock().expect("no one panics while holding the requests");
        requests.extract_if(.., says_it).collect()
    }
}

impl Grid {
    /// Starts the provider, then the shell.
    pub async fn start(runner: Runner) -> Result<Self, String> {
        let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = TcpListener::bind(any_port).await.map_err(|error| error.to_string())?;
        let addr = listener.local_addr().map_err(|error| error.to_string())?;
        let requests = Requests::default();
        let provider = tokio::spawn(serve(listener, requests.clone())).abort_handle();
        let gateway = Gateway::start(runner, Some(&config_text(&format!("http://{addr}")))).await?;
        Ok(Self { gateway, provider, requests })
    }

    /// The shell, for clients that are not ours.
    pub fn gateway(&self) -> &Gateway {
        &self.gateway
    }

    /// Asks and checks.
    pub async fn check(&self, pair: &Pair) -> Result<(), String> {
        let client = scenario::Client {
            path: Some(pair.path()),
            body: Some(pair.request()),
            ..scenario::Client::default()
        };
        let asked = client::ask(self.gateway.addr, &client, Goodbye::Fin, Instant::now()).await;
        let read = asked.map_err(|error| error.to_string())?;
        let body = read.body();
        let head = read.head.unwrap_or_default();
        let retry_after = head.header("retry-after").map(str::to_owned);
        let answer = Answer { status: head.status, retry_after, body };
        pair.check(&self.requests.of(pair), &answer)
            .map_err(|wrong| format!("{wrong}\n--- gateway ---\n{}", self.gateway.log()))
    }
}

impl Drop for Grid {
    fn drop(&mut self) {
        self.provider.abort();
    }
}

async fn serve(listener: TcpListener, requests: Requests) {
    while let Ok((stream, _)) = listener.accept().await {
        let requests = requests.clone();
        tokio::spawn(async move {
            if let Err(error) = answer(stream, &requests).await {
                eprintln!("the grid's provider: {error}");
            }
        });
    }
}

async fn answer(stream: TcpStream, requests: &Requests) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut connection = Connection::new(stream);
    while let Some(request) = connection.read_request().await? {
        let response = vectors::respond(&request);
        requests.note(request);
        let bytes = match response {
            Some(response) => response.http(),
            None => b"HTTP/1.1 599 No Vector\r\ncontent-length: 0\r\n\r\n".to_vec(),
        };
        connection.write_all(&bytes).await?;
    }
    Ok(())
}
