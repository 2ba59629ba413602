//! One response. It is held back until it is known whether the whole body is ready at once; if so it
//! is sent with a `content-length`.

use futures::channel::oneshot;
use streamgate_core::request::Head;
use worker::{Headers, Response};

use crate::pump::Pump;

/// The status for a client that disconnected before its response began; nobody receives it.
const CLIENT_CLOSED_REQUEST: u16 = 499;

/// A response on its way to the client.
pub(crate) struct Outgoing {
    state: State,
    respond: Option<oneshot::Sender<Response>>,
}

enum State {
    /// Nothing is sent yet.
    Held { head: Option<Head>, body: Vec<u8> },
    /// The head is sent, and the pump takes the body.
    Open,
}

impl Outgoing {
    /// A response, and the receiver it is sent to.
    pub(crate) fn new() -> (Self, oneshot::Receiver<Response>) {
        let (respond, response) = oneshot::channel();
        let state = State::Held { head: None, body: Vec::new() };
        (Self { state, respond: Some(respond) }, response)
    }

    pub(crate) fn head(&mut self, head: Head) {
        if let State::Held { head: held, .. } = &mut self.state {
            *held = Some(head);
        }
    }

    pub(crate) fn body(&mut self, bytes: &[u8], pump: &Pump) {
        match &mut self.state {
            State::Held { body, .. } => body.extend_from_slice(bytes),
            State::Open => pump.write(bytes),
        }
    }

    /// Sends what is held: the rest will be streamed.
    pub(crate) fn open(&mut self, pump: &Pump) {
        if let State::Held { head: head @ Some(_), body } = &mut self.state
            && let Some(Head { status, headers: pairs }) = head.take()
        {
            let stream = pump.open();
            if !body.is_empty() {
                pump.write(body);
            }
            self.state = State::Open;
            let response = Response::builder().with_status(status).with_headers(headers(pairs));
            self.send(response.stream(stream));
        }
    }

    /// Sends what is held as a complete response with its length.
    pub(crate) fn close(&mut self) {
        if let State::Held { head, body } = &mut self.state {
            let body = std::mem::take(body);
            let head = head.take();
            let head = head.unwrap_or(Head { status: CLIENT_CLOSED_REQUEST, headers: Vec::new() });
            self.send(complete(head, body));
        }
    }

    fn send(&mut self, response: Response) {
        if let Some(respond) = self.respond.take() {
            // Nobody waits for it where the runtime gave the request up.
            let _ = respond.send(response);
        }
    }
}

/// A response whose whole body is known. No bytes are no body: an answer to HEAD must not have one.
pub(crate) fn complete(head: Head, body: Vec<u8>) -> Response {
    let response = Response::builder().with_status(head.status).with_headers(headers(head.headers));
    if body.is_empty() { response.empty() } else { response.fixed(body) }
}

/// These as headers. A name of the configuration may hold what no header can: it is left out.
pub(crate) fn headers(pairs: Vec<(impl AsRef<str>, String)>) -> Headers {
    let headers = Headers::new();
    for (name, value) in pairs {
        let _ = headers.append(name.as_ref(), &value);
    }
    headers
}
