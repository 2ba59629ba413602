//! Calls through `reqwest`: what is off the path of a token, and the providers whose transport it
//! is, for HTTP/2 and proxies.
//!
//! A call takes the same form as [`direct`](super::direct)'s and fails for the same reasons. Only
//! what the operator configured comes this way: behind a proxy the address that a user's base URL
//! leads to could not be checked.

use std::collections::HashMap;
use std::error::Error;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::header::{ACCEPT_ENCODING, HeaderValue};
use http_body::Body as _;
use reqwest::{Body, Client, Proxy, RequestBuilder, Response};
use streamgate_core::failure::Failure;
use streamgate_core::protocol::HttpRequest;
use streamgate_core::relay::{self, AttemptId};
use streamgate_core::request::Input;

use super::connect::{Broken, TlsConfig};
use super::decoder::Decoder;
use super::exchange::{AGENT, facts};
use super::idle::{IDLE_MAX, IDLE_TIME_MAX};
use super::{LEFTOVER_BYTES_MAX, LEFTOVER_TIME_MAX, lost};
use crate::progress::Progress;

/// The clients of one thread, one per proxy: their connections are served by its event loop. Cheap
/// to clone: clones share them.
#[derive(Clone, Debug)]
pub(super) struct Clients {
    tls: TlsConfig,
    connect_time_max: Duration,
    /// By the configured proxy; `None` follows the environment's `HTTP_PROXY`, `HTTPS_PROXY` and
    /// `NO_PROXY`.
    by_proxy: Arc<Mutex<HashMap<Option<String>, Client>>>,
}

impl Clients {
    pub(super) fn new(tls: TlsConfig, connect_time_max: Duration) -> Self {
        Self { tls, connect_time_max, by_proxy: Arc::default() }
    }

    /// Begins a call.
    pub(super) fn call(&self, call: &relay::Call) -> Call {
        let target = call.target.to_string();
        let client = self.client(call.target.provider.proxy.as_deref());
        let (http, name) = (call.http(), target.clone());
        let response = async move {
            let client = client.map_err(|error| broken(&error, &name))?;
            let sent = post(&client, http?).send().await;
            sent.map_err(|error| broken(&error, &name))
        };
        Call { target, state: State::Beginning(Box::pin(response)) }
    }

    /// Gets what is at a URL, if it is no larger than that. The error is a text for a person.
    pub(super) async fn get(&self, url: &str, bytes_max: usize) -> Result<Vec<u8>, String> {
        let why = |error: reqwest::Error| broken(&error, url).message().to_owned();
        let request = self.client(None).map_err(why)?.get(url);
        let mut response = uncompressed(request).send().await.map_err(why)?;
        let mut decoder = Decoder::of(response.headers());
        let mut body = Vec::new();
        while let Some(bytes) = response.chunk().await.map_err(why)? {
            let mut take = |bytes: &[u8]| body.extend_from_slice(bytes);
            decode(&mut decoder, &bytes, &mut take).map_err(|error| error.to_string())?;
            if body.len() > bytes_max {
                return Err(format!("it is longer than {bytes_max} bytes"));
            }
        }
        match response.status().as_u16() {
            200 => Ok(body),
            status => Err(format!("the answer has status {status}")),
        }
    }

    fn client(&self, proxy: Option<&str>) -> Result<Client, reqwest::Error> {
        let mut clients = self.by_proxy.lock().unwrap_or_else(PoisonError::into_inner);
        let proxy = proxy.map(str::to_owned);
        if let Some(client) = clients.get(&proxy) {
            return Ok(client.clone());
        }
        let client = self.build(proxy.as_deref())?;
        clients.insert(proxy, client.clone());
        Ok(client)
    }

    fn build(&self, proxy: Option<&str>) -> Result<Client, reqwest::Error> {
        let builder = Client::builder()
            .tls_backend_preconfigured(self.tls.with_http2())
            .connect_timeout(self.connect_time_max)
            // Whom a provider redirects to is not whom the operator gave the key for.
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(AGENT)
            .pool_max_idle_per_host(IDLE_MAX)
            .pool_idle_timeout(IDLE_TIME_MAX);
        match proxy {
            Some(proxy) => builder.proxy(Proxy::all(proxy)?).build(),
            None => builder.build(),
        }
    }
}

fn post(client: &Client, call: HttpRequest) -> RequestBuilder {
    let request = client.post(&call.url);
    let headers = call.headers.iter();
    let request = headers.fold(request, |request, (name, value)| request.header(&**name, value));
    uncompressed(request).body(call.body)
}

/// To compress tokens is to delay them.
fn uncompressed(request: RequestBuilder) -> RequestBuilder {
    request.header(ACCEPT_ENCODING, HeaderValue::from_static("identity"))
}

/// Passes a body's bytes on, decompressed where its server compresses unasked.
fn decode(
    decoder: &mut Option<Box<Decoder>>,
    bytes: &[u8],
    take: &mut dyn FnMut(&[u8]),
) -> io::Result<()> {
    match decoder {
        Some(decoder) => decoder.receive(bytes, take),
        None => {
            take(bytes);
            Ok(())
        }
    }
}

/// A call to a provider. Dropping it closes the connection, or with HTTP/2 resets the stream.
pub(crate) struct Call {
    /// For what failures are called.
    target: String,
    state: State,
}

enum State {
    Beginning(Pin<Box<dyn Future<Output = Result<Response, Failure>> + Send>>),
    Reading(Body, Option<Box<Decoder>>),
    Over,
}

impl Call {
    /// Hands over what is ready.
    pub(super) fn poll(
        &mut self,
        context: &mut Context<'_>,
        attempt: AttemptId,
        take: &mut dyn FnMut(Input<'_>),
    ) -> Poll<Progress> {
        let read = match &mut self.state {
            State::Beginning(response) => match ready!(response.as_mut().poll(context)) {
                Ok(response) => {
                    let response = http::Response::from(response);
                    take(Input::Head { attempt, head: facts(&response) });
                    let decoder = Decoder::of(response.headers());
                    self.state = State::Reading(response.into_body(), decoder);
                    return Poll::Ready(Progress::More);
                }
                Err(failure) => Err(failure),
            },
            State::Reading(body, decoder) => {
                let mut bytes = |bytes: &[u8]| take(Input::Bytes { attempt, bytes });
                match ready!(read(body, decoder, context, &mut bytes)) {
                    Ok(Progress::More) => return Poll::Ready(Progress::More),
                    Ok(Progress::Over) => Ok(()),
                    Err(error) => Err(lost(&self.target, &error)),
                }
            }
            State::Over => return Poll::Ready(Progress::Over),
        };
        take(match read {
            Ok(()) => Input::End { attempt },
            Err(failure) => Input::Lost { attempt, failure },
        });
        self.state = State::Over;
        Poll::Ready(Progress::Over)
    }

    /// Lets the connection be used again, if the response ends soon.
    pub(super) fn release(self) {
        if let State::Reading(body, _) = self.state {
            tokio::spawn(tokio::time::timeout(LEFTOVER_TIME_MAX, finish(body)));
        }
    }
}

/// Reads one frame of a response's body.
fn read(
    body: &mut Body,
    decoder: &mut Option<Box<Decoder>>,
    context: &mut Context<'_>,
    take: &mut dyn FnMut(&[u8]),
) -> Poll<io::Result<Progress>> {
    Poll::Ready(match ready!(Pin::new(body).poll_frame(context)) {
        Some(Ok(frame)) => {
            let bytes = frame.data_ref().map_or(&[][..], |bytes| bytes);
            decode(decoder, bytes, take).map(|()| Progress::More)
        }
        Some(Err(error)) => Err(io::Error::other(root(&error).to_string())),
        None => Ok(Progress::Over),
    })
}

/// Reads what is left of a response, for the sake of its connection.
async fn finish(mut body: Body) {
    let mut left = LEFTOVER_BYTES_MAX;
    while let Some(Ok(frame)) =
        std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await
    {
        match left.checked_sub(frame.data_ref().map_or(0, bytes::Bytes::len)) {
            Some(rest) => left = rest,
            None => return,
        }
    }
}

/// The failure of a request that has no response.
fn broken(error: &reqwest::Error, target: &str) -> Failure {
    let why = root(error).to_string();
    match (error.is_connect(), error.is_timeout()) {
        _ if error.is_dns() => Broken::Dns(why).failure(target),
        (true, true) => Broken::Late.failure(target),
        (true, false) if is_tls(error) => Broken::Tls(why).failure(target),
        (true, false) => Broken::Connect(why).failure(target),
        (false, _) => lost(target, &io::Error::other(why)),
    }
}

/// The cause of the causes: the texts above it only repeat the step that failed, and the URL.
fn root<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    std::iter::successors(Some(error), |&error| error.source()).last().unwrap_or(error)
}

/// Whether a connection failed in its TLS handshake: an error of rustls, which I/O errors wrap, or a
/// connection that was there and broke.
fn is_tls(error: &(dyn Error + 'static)) -> bool {
    let io = error.downcast_ref::<io::Error>();
    let wrapped = io.and_then(io::Error::get_ref);
    error.is::<rustls::Error>()
        || io.is_some_and(|io| is_broken(io.kind()))
        || wrapped.is_some_and(|error| is_tls(error))
        || error.source().is_some_and(is_tls)
}

/// What happens to an open connection only.
fn is_broken(kind: io::ErrorKind) -> bool {
    matches!(
        kind,
        io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
    )
}
