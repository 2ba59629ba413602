//! A complete HTTP response: what is answered without streaming anything.

use crate::failure::Failure;
use crate::page;
use crate::protocol::{ClientProtocol, error_body};

/// A complete response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// Headers by lower-case name.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Reply {
    /// A JSON response.
    pub fn json(status: u16, body: Vec<u8>) -> Self {
        Self { status, headers: vec![("content-type", "application/json".to_owned())], body }
    }

    /// A failure outside of any chat protocol, in the shape of OpenAI's.
    pub fn failure(failure: &Failure) -> Self {
        Self::failure_to(ClientProtocol::OpenAi, failure)
    }

    /// A failure in the shape of a client's protocol.
    pub(crate) fn failure_to(protocol: ClientProtocol, failure: &Failure) -> Self {
        let body = error_body(protocol, failure, None);
        let mut reply = Self::json(failure.status(), body);
        reply.headers.extend(failure.headers());
        reply
    }

    /// A line of text.
    pub(crate) fn text(text: &str) -> Self {
        let headers = vec![("content-type", "text/plain; charset=utf-8".to_owned())];
        Self { status: 200, headers, body: text.as_bytes().to_vec() }
    }

    /// The chat page.
    pub(crate) fn page() -> Self {
        let headers = vec![
            ("content-type", "text/html; charset=utf-8".to_owned()),
            ("content-security-policy", page::CHAT_CSP.to_owned()),
            ("cache-control", "no-cache".to_owned()),
            ("x-content-type-options", "nosniff".to_owned()),
            ("referrer-policy", "no-referrer".to_owned()),
        ];
        Self { status: 200, headers, body: page::CHAT.as_bytes().to_vec() }
    }

    /// The response to a `HEAD` request: the body's length in place of the body.
    pub(crate) fn without_body(mut self) -> Self {
        self.headers.push(("content-length", self.body.len().to_string()));
        self.body.clear();
        self
    }
}
