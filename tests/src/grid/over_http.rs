//! The grid on a built shell, with a provider that answers by the path it is called at.

use std::net::SocketAddr;
use std::time::Instant;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

use super::{Pair, config_text, vectors};
use crate::client::{self, Goodbye};
use crate::gateway::Gateway;
use crate::provider::wire::Connection;
use crate::scenario::{self, Runner};

/// A shell with every provider behind it.
#[derive(Debug)]
pub struct Grid {
    gateway: Gateway,
    provider: AbortHandle,
}

impl Grid {
    /// Starts the provider, then the shell.
    pub async fn start(runner: Runner) -> Result<Self, String> {
        let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = TcpListener::bind(any_port).await.map_err(|error| error.to_string())?;
        let addr = listener.local_addr().map_err(|error| error.to_string())?;
        let provider = tokio::spawn(serve(listener)).abort_handle();
        let gateway = Gateway::start(runner, Some(&config_text(&format!("http://{addr}")))).await?;
        Ok(Self { gateway, provider })
    }

    /// The shell, for clients that are not ours.
    pub fn gateway(&self) -> &Gateway {
        &self.gateway
    }

    /// Asks and checks.
    pub async fn check(&self, pair: &Pair) -> Result<(), String> {
        let client = scenario::Client {
            path: Some(pair.client.path(pair.stream).into()),
            body: Some(pair.client.request(&pair.model(), pair.stream)),
            ..scenario::Client::default()
        };
        let asked = client::ask(self.gateway.addr, &client, Goodbye::Fin, Instant::now()).await;
        let answer = asked.map_err(|error| error.to_string())?;
        let status = answer.head.as_ref().map_or(0, |head| head.status);
        pair.check(status, &answer.body())
            .map_err(|wrong| format!("{wrong}\n--- gateway ---\n{}", self.gateway.log()))
    }
}

impl Drop for Grid {
    fn drop(&mut self) {
        self.provider.abort();
    }
}

async fn serve(listener: TcpListener) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(async move {
            if let Err(error) = answer(stream).await {
                eprintln!("the grid's provider: {error}");
            }
        });
    }
}

async fn answer(stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut connection = Connection::new(stream);
    while let Some(request) = connection.read_request().await? {
        let bytes = match vectors::respond(&request.path, &request.body) {
            Some(response) => http(&response),
            None => b"HTTP/1.1 599 No Vector\r\ncontent-length: 0\r\n\r\n".to_vec(),
        };
        connection.write_all(&bytes).await?;
    }
    Ok(())
}

/// The response in two chunks, as providers do, or with its length.
fn http(response: &vectors::Response) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 {} Vector\r\ncontent-type: {}\r\ncontent-length: {}\r\n\r\n",
        response.status,
        response.content_type,
        response.body.len()
    );
    [head.as_bytes(), &response.body].concat()
}
