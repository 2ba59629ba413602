//! One call to a provider, up to its response's head.

use streamgate_core::failure::{Failure, Reason};
use streamgate_core::protocol::HttpCall;
use streamgate_core::relay::{self, AttemptId};
use worker::js_sys::Uint8Array;
use worker::web_sys::ReadableStream;
use worker::{
    AbortController, AbortSignal, Fetch, Method, Request, RequestInit, RequestRedirect,
    ResponseBody, Result,
};

use crate::response;

/// A call that was made.
pub(crate) struct PendingCall {
    pub(crate) attempt: AttemptId,
    /// Its response's head came.
    pub(crate) answered: bool,
    abort: Option<AbortController>,
}

/// What came of a call: a head, and the body if there is one.
pub(crate) struct Answered {
    status: u16,
    headers: [Option<String>; HEADERS.len()],
    pub(crate) body: Option<ReadableStream>,
}

/// The headers that [`relay::Head::read`] looks for.
const HEADERS: [&str; 3] = ["content-type", "retry-after", "retry-after-ms"];

impl PendingCall {
    /// A call, and what stops it.
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

    /// What the runtime's message means. It is a text without a promise, so only what it cannot
    /// mean otherwise is read from it.
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

/// Posts a call, and waits for the head.
pub(crate) async fn post(http: HttpCall, signal: AbortSignal) -> Result<Answered> {
    let mut init = RequestInit::new();
    init.with_method(Method::Post)
        .with_headers(response::headers(http.headers))
        .with_body(Some(Uint8Array::from(http.body.as_slice()).into()))
        // The key would follow to wherever it leads.
        .with_redirect(RequestRedirect::Manual);
    let request = Request::new_with_init(&http.url, &init)?;
    let response = Fetch::Request(request).send_with_signal(&signal).await?;
    let headers = HEADERS.map(|name| response.headers().get(name).ok().flatten());
    let status = response.status_code();
    let body = match response.into_parts().1 {
        ResponseBody::Stream(stream) => Some(stream),
        ResponseBody::Empty | ResponseBody::Body(_) => None,
    };
    Ok(Answered { status, headers, body })
}

impl Answered {
    pub(crate) fn head(&self) -> relay::Head<'_> {
        relay::Head::read(self.status, |name| {
            let at = HEADERS.iter().position(|&known| known == name)?;
            self.headers[at].as_deref()
        })
    }
}
