//! One call to a provider, up to its response's head.

use streamgate_core::failure::{Failure, Reason};
use streamgate_core::protocol::HttpRequest;
use streamgate_core::relay::{self, AttemptId};
use worker::js_sys::Uint8Array;
use worker::web_sys::ReadableStream;
use worker::{
    AbortController, AbortSignal, Fetch, Method, Request, RequestInit, RequestRedirect,
    ResponseBody, Result,
};

use crate::response;

/// A call in progress.
pub(crate) struct PendingCall {
    pub(crate) attempt: AttemptId,
    /// Whether the response's head has arrived.
    pub(crate) answered: bool,
    abort: Option<AbortController>,
}

/// The response to a call: its head, and its body if it has one.
pub(crate) struct CallResponse {
    status: u16,
    headers: [Option<String>; HEADERS.len()],
    pub(crate) body: Option<ReadableStream>,
}

/// The headers that [`relay::Head::read`] looks for.
const HEADERS: [&str; 4] = ["content-type", "content-encoding", "retry-after", "retry-after-ms"];

impl PendingCall {
    /// A call, and the signal that aborts it.
    pub(crate) fn new(attempt: AttemptId) -> (Self, AbortSignal) {
        let abort = AbortController::default();
        let signal = abort.signal();
        (Self { attempt, answered: false, abort: Some(abort) }, signal)
    }

    /// Stops it at once.
    pub(crate) fn abort(&mut self) {
        if let Some(abort) = self.abort.take() {
            abort.abort();
        }
    }

    /// Classifies the runtime's error message. Its wording is not documented, so only unambiguous
    /// words count.
    pub(crate) fn failure(&self, message: &str) -> Failure {
        let contains = |word: &str| message.contains(word);
        let reason = match () {
            () if self.answered => Reason::Lost,
            () if contains("DNS") => Reason::Dns,
            () if contains("TLS") || contains("SSL") || contains("certificate") => Reason::Tls,
            () => Reason::Connect,
        };
        Failure::new(reason, format!("{} {message}", reason.row().text))
    }
}

/// Sends a request and waits for the head of its response.
pub(crate) async fn post(http: HttpRequest, signal: AbortSignal) -> Result<CallResponse> {
    let mut init = RequestInit::new();
    init.with_method(Method::Post)
        .with_headers(response::headers(http.headers))
        .with_body(Some(Uint8Array::from(http.body.as_slice()).into()))
        // A redirect would take the API key along.
        .with_redirect(RequestRedirect::Manual);
    let request = Request::new_with_init(&http.url, &init)?;
    let response = Fetch::Request(request).send_with_signal(&signal).await?;
    let headers = HEADERS.map(|name| response.headers().get(name).ok().flatten());
    let status = response.status_code();
    let body = match response.into_parts().1 {
        ResponseBody::Stream(stream) => Some(stream),
        ResponseBody::Empty | ResponseBody::Body(_) => None,
    };
    Ok(CallResponse { status, headers, body })
}

impl CallResponse {
    pub(crate) fn head(&self) -> relay::Head<'_> {
        relay::Head::read(self.status, |name| {
            let at = HEADERS.iter().position(|&known| known == name)?;
            self.headers[at].as_deref()
        })
    }
}
