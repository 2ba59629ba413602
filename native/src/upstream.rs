//! Calls to providers over HTTP.

use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::header::{ACCEPT_ENCODING, HeaderMap, HeaderValue};
use http_body::Body as _;
use http_body_util::BodyExt;
use reqwest::redirect::Policy;
use reqwest::{Body, Client, Response};
use streamgate_core::config::Target;
use streamgate_core::failure::{Failure, Reason};
use streamgate_core::protocol::HttpCall;
use streamgate_core::relay::{self, AttemptId, Head, Input};

use crate::driver::Progress;

/// What a response may still hold when its answer is complete, for its connection to be used again.
const LEFTOVER_BYTES_MAX: usize = 16 * 1024;
/// How long that may take.
const LEFTOVER_TIME_MAX: Duration = Duration::from_secs(1);

/// The connections of one thread to providers.
#[derive(Clone, Debug)]
pub(crate) struct Upstream {
    client: Client,
}

impl Upstream {
    /// No connections yet. The error is a text for a person.
    pub(crate) fn new(connect_timeout: Duration) -> Result<Self, String> {
        // Fails if it was done before, which is as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .connect_timeout(connect_timeout)
            .tcp_nodelay(true)
            .redirect(Policy::none())
            // Compressing tokens delays them. One that compresses unasked is understood.
            .default_headers(HeaderMap::from_iter([(
                ACCEPT_ENCODING,
                HeaderValue::from_static("identity"),
            )]))
            .build()
            .map_err(|error| format!("no HTTP client: {}", root_cause(&error)))?;
        Ok(Self { client })
    }

    /// Begins a call.
    pub(crate) fn call(&self, call: &relay::Call) -> Call {
        let target = call.target.to_string();
        let state = match call.http().and_then(|http| self.send(http, &call.target)) {
            Ok(sending) => State::Sending(sending),
            Err(failure) => State::Refused(Some(failure)),
        };
        Call { target, state }
    }

    fn send(&self, call: HttpCall, target: &Target) -> Result<Sending, Failure> {
        let mut request = self.client.post(&call.url).body(call.body);
        for (name, value) in call.headers {
            request = request.header(name, value);
        }
        let request = request.build().map_err(|error| {
            let detail = format!("{target} cannot be called: {}.", root_cause(&error));
            Failure::new(Reason::Internal, detail)
        })?;
        Ok(Box::pin(self.client.execute(request)))
    }
}

type Sending = Pin<Box<dyn Future<Output = reqwest::Result<Response>> + Send>>;

/// A call to a provider. Dropping it breaks the connection off.
pub(crate) struct Call {
    /// Whom, for what is said of failures.
    target: String,
    state: State,
}

enum State {
    /// The call cannot be made at all.
    Refused(Option<Failure>),
    Sending(Sending),
    Reading(Body),
}

impl Call {
    /// Says the next thing that is ready.
    pub(crate) fn poll(
        &mut self,
        context: &mut Context<'_>,
        attempt: AttemptId,
        say: &mut dyn FnMut(Input<'_>),
    ) -> Poll<Progress> {
        let failure = match &mut self.state {
            State::Refused(failure) => failure.take().unwrap_or_else(|| Reason::Internal.into()),
            State::Sending(sending) => match ready!(sending.as_mut().poll(context)) {
                Ok(response) => {
                    say(Input::Head { attempt, head: head(&response) });
                    self.state = State::Reading(response.into());
                    return Poll::Ready(Progress::More);
                }
                Err(error) => failure(&self.target, &error),
            },
            State::Reading(body) => match ready!(Pin::new(body).poll_frame(context)) {
                Some(Ok(frame)) => {
                    if let Some(bytes) = frame.data_ref() {
                        say(Input::Bytes { attempt, bytes });
                    }
                    return Poll::Ready(Progress::More);
                }
                Some(Err(error)) => failure(&self.target, &error),
                None => {
                    say(Input::End { attempt });
                    return Poll::Ready(Progress::Over);
                }
            },
        };
        say(Input::Lost { attempt, failure });
        Poll::Ready(Progress::Over)
    }

    /// Lets the connection be used again, if the response ends soon.
    pub(crate) fn release(self) {
        if let State::Reading(body) = self.state {
            tokio::spawn(tokio::time::timeout(LEFTOVER_TIME_MAX, read_out(body)));
        }
    }
}

async fn read_out(mut body: Body) {
    let mut left = LEFTOVER_BYTES_MAX;
    while let Some(Ok(frame)) = body.frame().await {
        let bytes = frame.data_ref().map_or(0, bytes::Bytes::len);
        match left.checked_sub(bytes) {
            Some(rest) => left = rest,
            None => return,
        }
    }
}

fn head(response: &Response) -> Head<'_> {
    Head::read(response.status().as_u16(), |name| response.headers().get(name)?.to_str().ok())
}

/// What broke, and at which step of the way.
fn failure(target: &str, error: &reqwest::Error) -> Failure {
    let (reason, what) = match error {
        _ if error.is_dns() => (Reason::Dns, "its host name could not be resolved"),
        _ if error.is_connect() && is_tls(error) => (Reason::Tls, "no secure connection"),
        _ if error.is_connect() && error.is_timeout() => {
            (Reason::ConnectTimeout, "it did not accept the connection in time")
        }
        _ if error.is_connect() => (Reason::Connect, "it could not be reached"),
        _ => (Reason::Lost, "the connection broke"),
    };
    Failure::new(reason, format!("{target}: {what} ({}).", root_cause(error)))
}

fn is_tls(error: &reqwest::Error) -> bool {
    causes(error).any(|cause| {
        // An io::Error shows what it wraps here, but not among its sources.
        let wrapped = cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        cause.is::<rustls::Error>() || wrapped.is_some_and(|wrapped| wrapped.is::<rustls::Error>())
    })
}

fn root_cause(error: &reqwest::Error) -> String {
    causes(error).last().map_or_else(|| error.to_string(), ToString::to_string)
}

fn causes(error: &reqwest::Error) -> impl Iterator<Item = &(dyn Error + 'static)> {
    std::iter::successors(error.source(), |&error| error.source())
}
