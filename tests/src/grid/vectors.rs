//! What providers say: the recorded answers, and how they come over HTTP.

use std::path::PathBuf;

use super::Case;
use crate::gateway::root;

/// A provider's protocol.
#[derive(Debug)]
pub struct Provider {
    /// Its name in configurations, and the folder of its vectors.
    pub protocol: &'static str,
    /// The media type of its streams.
    pub stream_type: &'static str,
}

const SSE: &str = "text/event-stream";

/// Every protocol a provider can speak.
pub static PROVIDERS: &[Provider] = &[
    Provider { protocol: "openai", stream_type: SSE },
    Provider { protocol: "responses", stream_type: SSE },
    Provider { protocol: "anthropic", stream_type: SSE },
    Provider { protocol: "gemini", stream_type: SSE },
    Provider { protocol: "ollama", stream_type: "application/x-ndjson" },
];

/// A response of a provider.
pub(super) struct Response {
    pub(super) status: u16,
    pub(super) content_type: &'static str,
    pub(super) body: Vec<u8>,
}

impl Provider {
    /// The bytes of a stream.
    pub(super) fn stream(&self, case: Case) -> Vec<u8> {
        self.vector(case, "stream")
    }

    /// What it answers to a call.
    pub(super) fn respond(&self, case: Case, stream: bool) -> Response {
        let (status, content_type) = match (stream, case) {
            (true, _) => (200, self.stream_type),
            (false, Case::Error) => (500, "application/json"),
            (false, _) => (200, "application/json"),
        };
        let kind = if stream { "stream" } else { "whole" };
        Response { status, content_type, body: self.vector(case, kind) }
    }

    fn vector(&self, case: Case, kind: &str) -> Vec<u8> {
        let path = PathBuf::from("tests/vectors").join(self.protocol);
        let path = root().join(path).join(format!("{}.{kind}", case.name()));
        std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }
}

/// What the provider that `path` leads to answers: `/PROTOCOL/CASE/...`.
pub(super) fn respond(path: &str, body: &[u8]) -> Option<Response> {
    let mut parts = path.trim_start_matches('/').split('/');
    let (protocol, case) = (parts.next()?, parts.next()?);
    let provider = PROVIDERS.iter().find(|provider| provider.protocol == protocol)?;
    let case = Case::ALL.into_iter().find(|known| known.name() == case)?;
    let asked: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let stream = asked["stream"] == true || path.contains(":streamGenerateContent");
    Some(provider.respond(case, stream))
}
