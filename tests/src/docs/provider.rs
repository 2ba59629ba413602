//! The provider of the examples: it always gives the same response, and records the requests.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

use crate::grid::{Case, vectors};
use crate::provider::wire::{Connection, Request};

/// A provider's response: its protocol, and which case.
pub(super) type Vector = (&'static str, Case);

/// A provider at an address of its own.
pub(super) struct Provider {
    pub(super) addr: SocketAddr,
    requests: Requests,
    serving: AbortHandle,
}

type Requests = Arc<Mutex<Vec<Request>>>;

impl Provider {
    pub(super) async fn start(vector: Vector) -> Result<Self, String> {
        let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = TcpListener::bind(any_port).await.map_err(|error| error.to_string())?;
        let addr = listener.local_addr().map_err(|error| error.to_string())?;
        let requests = Requests::default();
        let serving = tokio::spawn(serve(listener, vector, requests.clone())).abort_handle();
        Ok(Self { addr, requests, serving })
    }

    /// The requests it received.
    pub(super) fn asked(&self) -> Vec<Request> {
        self.requests.lock().expect("no one panics while holding the requests").clone()
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(listener: TcpListener, vector: Vector, requests: Requests) {
    while let Ok((stream, _)) = listener.accept().await {
        let requests = requests.clone();
        tokio::spawn(async move {
            if let Err(error) = answer(stream, vector, &requests).await {
                eprintln!("the example's provider: {error}");
            }
        });
    }
}

async fn answer(
    stream: TcpStream,
    (protocol, case): Vector,
    requests: &Requests,
) -> std::io::Result<()> {
    let mut connection = Connection::new(stream);
    while let Some(request) = connection.read_request().await? {
        let response = vectors::answer(protocol, case, &request);
        requests.lock().expect("no one panics while holding the requests").push(request);
        let bytes = response.map(|response| response.http()).unwrap_or_default();
        connection.write_all(&bytes).await?;
    }
    Ok(())
}
