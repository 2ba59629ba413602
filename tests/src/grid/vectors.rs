//! What providers say: the recorded answers, and how they come over HTTP.

use std::path::PathBuf;

use super::Case;
use super::providers::{PROVIDERS, Provider};
use crate::gateway::root;
use crate::provider::wire::Request;

/// How long a provider that is asked too often wants to be left alone, in seconds: longer than an
/// answer waits.
pub(super) const RETRY_AFTER: &str = "30";

/// A response of a provider.
pub(crate) struct Response {
    pub(super) status: u16,
    pub(super) content_type: &'static str,
    pub(super) retry_after: Option<&'static str>,
    pub(super) body: Vec<u8>,
}

impl Response {
    /// All of it, in one piece.
    pub(crate) fn http(&self) -> Vec<u8> {
        let wait = self.retry_after.map(|wait| format!("retry-after: {wait}\r\n"));
        let head = format!(
            "HTTP/1.1 {} Vector\r\ncontent-type: {}\r\n{}content-length: {}\r\n\r\n",
            self.status,
            self.content_type,
            wait.unwrap_or_default(),
            self.body.len()
        );
        [head.as_bytes(), &self.body].concat()
    }
}

impl Provider {
    /// What it answers to a call.
    fn respond(&self, case: Case, stream: bool) -> Response {
        let (status, content_type, kind) = match (case, stream) {
            (Case::Limited, _) => (429, "application/json", "whole"),
            (_, true) => (200, self.stream_type, "stream"),
            (Case::Error, false) => (500, "application/json", "whole"),
            (_, false) => (200, "application/json", "whole"),
        };
        let retry_after = (status == 429).then_some(RETRY_AFTER);
        Response { status, content_type, retry_after, body: self.vector(case, kind) }
    }

    /// The bytes of a `stream` or a `whole` answer.
    pub(super) fn vector(&self, case: Case, kind: &str) -> Vec<u8> {
        let path = PathBuf::from("tests/vectors").join(self.protocol);
        let path = root().join(path).join(format!("{}.{kind}", case.vector()));
        std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }
}

/// What the provider that the path leads to answers: `/PROTOCOL/CASE/...`.
pub(super) fn respond(request: &Request) -> Option<Response> {
    let mut parts = request.path.trim_start_matches('/').split('/');
    let (protocol, case) = (parts.next()?, parts.next()?);
    let case = Case::ALL.into_iter().find(|known| known.name() == case)?;
    answer(protocol, case, request)
}

/// What a provider of this protocol answers.
pub(crate) fn answer(protocol: &str, case: Case, request: &Request) -> Option<Response> {
    let provider = PROVIDERS.iter().find(|provider| provider.protocol == protocol)?;
    Some(provider.respond(case, (provider.read)(request).stream))
}
