//! The protocols that providers speak: requests are written, answers read.

pub(super) mod adapted;
pub(super) mod finish;
pub(super) mod left_out;
pub(super) mod schema;
pub(super) mod web_search;

use std::borrow::Cow;

use serde_json::Value;

use self::web_search::WebSearch;
use super::body::Body;
use super::{
    ClientProtocol, ReadError, Sink, ToolNames, anthropic, gemini, ollama, openai, responses,
};
use crate::chat::{ChatRequest, Piece};
use crate::failure::Failure;
use crate::limit::parameter::Parameters;
use crate::sse::Framing;
use crate::target::{ApiKey, Instructions, ProviderProtocol, Target, Upstream};

/// An HTTP call to a provider, ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpRequest {
    /// Always a POST to this URL.
    pub url: String,
    /// Headers by lower-case name.
    pub headers: Vec<(Cow<'static, str>, String)>,
    /// The JSON body.
    pub body: Vec<u8>,
}

impl HttpRequest {
    pub(super) fn new(url: String, headers: Vec<(&'static str, String)>, body: Vec<u8>) -> Self {
        let headers = headers.into_iter().map(|(name, value)| (name.into(), value)).collect();
        Self { url, headers, body }
    }

    /// The body as a value.
    #[cfg(test)]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// What a provider is asked for.
#[derive(Clone, Copy, Debug)]
pub struct ProviderRequest<'a> {
    /// The provider and its model.
    pub target: &'a Target,
    /// The conversation and its parameters.
    pub request: &'a ChatRequest,
    /// What the request's original is written in.
    pub client: ClientProtocol,
    /// As a stream, or as one complete answer.
    pub stream: bool,
    /// The longest answer, in tokens; with `None` the provider's own default holds.
    pub max_output: Option<u32>,
    /// What is left out because the target refuses it.
    pub refused: Parameters,
}

impl<'a> ProviderRequest<'a> {
    /// The request as the client wrote it, if it wrote it in the target's own protocol, and the
    /// conversation in pieces if it was edited since.
    pub(super) fn original(&self) -> Option<(Body<'a>, Option<Vec<Piece<'a>>>)> {
        let original = self.request.original.as_ref().filter(|_| self.passes_through())?;
        Some((Body::read(&original.body), original.pieces(&self.request.messages)))
    }

    /// The body: the client's own, `patched`, if it wrote it in the target's own protocol, else a new
    /// one.
    pub(super) fn body(
        &self,
        patched: impl FnOnce(Body<'a>, Option<Vec<Piece<'a>>>) -> Result<String, Failure>,
        written: impl FnOnce() -> Result<String, Failure>,
    ) -> Result<Vec<u8>, Failure> {
        let body = match self.original() {
            Some((body, pieces)) => patched(body, pieces),
            None => written(),
        };
        body.map(String::into_bytes)
    }

    /// The headers of every call, and the key by the name that the provider has for it, behind a scheme.
    pub(super) fn headers(&self, name: &'static str, scheme: &str) -> Vec<(&'static str, String)> {
        let accept = match self.target.provider.upstream {
            _ if !self.stream => "application/json",
            Upstream::Http(ProviderProtocol::Ollama) => "application/x-ndjson",
            Upstream::Http(_) | Upstream::Local => "text/event-stream",
        };
        let mut headers =
            vec![("content-type", "application/json".to_owned()), ("accept", accept.to_owned())];
        if let ApiKey::Set(key) = &self.target.provider.api_key {
            headers.push((name, format!("{scheme}{key}")));
        }
        headers
    }

    /// The client's own headers, where the provider speaks its protocol and does not only imitate who
    /// made it. Those that the operator set are the operator's.
    fn forwarded_headers(&self) -> impl Iterator<Item = (Cow<'static, str>, String)> {
        let configured = &self.target.provider.headers;
        let is_own = !(self.client == ClientProtocol::Anthropic
            && anthropic::is_imitated_at(&self.target.provider.base_url));
        let original = self.request.original.iter();
        original
            .filter(move |_| is_own && self.passes_through())
            .flat_map(|original| &original.headers)
            .filter(|(name, _)| configured.iter().all(|(set, _)| set != name))
            .map(|(name, value)| (Cow::Borrowed(*name), value.clone()))
    }

    /// The names of a client's own body that are sent as others.
    fn own_names(&self) -> ToolNames {
        match self.passes_through() {
            true => ToolNames::of(self.request, self.client, self.target),
            false => ToolNames::default(),
        }
    }

    fn passes_through(&self) -> bool {
        self.client.is_spoken_by(self.target.provider.upstream)
    }
}

impl ProviderProtocol {
    /// How a stream is cut into events.
    pub const fn framing(self) -> Framing {
        match self {
            Self::OpenAi | Self::Responses | Self::Anthropic | Self::Gemini => Framing::Events,
            Self::Ollama => Framing::Lines,
        }
    }

    /// Writes a call.
    pub fn http_request(self, ask: &ProviderRequest<'_>) -> Result<HttpRequest, Failure> {
        let request = self.adapted(ask);
        let ask = &ProviderRequest { request: &request, ..*ask };
        let mut call = match self {
            Self::OpenAi => openai::http_request(ask),
            Self::Responses => responses::http_request(ask),
            Self::Anthropic => anthropic::http_request(ask),
            Self::Gemini => gemini::http_request(ask),
            Self::Ollama => ollama::http_request(ask),
        }?;
        if let Some(body) = self.with_search(&call.body, ask) {
            call.body = body;
        }
        if !ask.refused.is_empty() {
            call.body = without(&call.body, ask.refused);
        }
        if let Some(body) = ask.own_names().put_in(&call.body) {
            call.body = body;
        }
        call.headers.extend(ask.forwarded_headers());
        let own = ask.target.provider.headers.iter();
        call.headers.extend(own.map(|(name, value)| (name.clone().into(), value.clone())));
        Ok(call)
    }

    /// Whether it has a call that counts a request's tokens.
    pub(crate) const fn counts(self) -> bool {
        match self {
            Self::Anthropic | Self::Gemini => true,
            Self::OpenAi | Self::Responses | Self::Ollama => false,
        }
    }

    /// The call that counts a request's tokens in place of answering it.
    pub(crate) fn counting(self, call: HttpRequest) -> HttpRequest {
        match self {
            Self::Anthropic => anthropic::counting(call),
            Self::Gemini => gemini::counting(call),
            Self::OpenAi | Self::Responses | Self::Ollama => call,
        }
    }

    /// The number that it answers.
    pub(crate) fn read_count(self, body: &[u8]) -> Option<u32> {
        let field = match self {
            Self::Anthropic => anthropic::COUNT,
            Self::Gemini => gemini::COUNT,
            Self::OpenAi | Self::Responses | Self::Ollama => return None,
        };
        let body: Value = serde_json::from_slice(body).ok()?;
        u32::try_from(body[field].as_u64()?).ok()
    }

    /// The body with the search of the web that a client of another protocol asks for.
    fn with_search(self, body: &[u8], ask: &ProviderRequest<'_>) -> Option<Vec<u8>> {
        if ask.passes_through() {
            return None;
        }
        WebSearch::of(ask.request)?.put_in(body, self, ask.target)
    }

    /// The request as the target takes it.
    fn adapted<'a>(self, ask: &ProviderRequest<'a>) -> Cow<'a, ChatRequest> {
        let (target, passes_through) = (ask.target, ask.passes_through());
        let mut request = adapted::with_choice_of_tools_there(ask.request);
        if !passes_through {
            request = adapted::with_names_taken(adapted::with_results_first(request), target);
        }
        let takes_midway = || anthropic::Generation::of(&target.model).instructed_midway;
        match self {
            Self::OpenAi => match target.provider.dialect().instructions(&target.model) {
                Instructions::First => adapted::with_one_instruction(request),
                Instructions::Anywhere => request,
            },
            // Its renderers refuse what the models' templates do: ollama/ollama#17774.
            Self::Ollama => adapted::with_one_instruction(request),
            Self::Anthropic if passes_through && !takes_midway() => {
                adapted::with_instructions_as_users(request)
            }
            Self::Responses | Self::Anthropic | Self::Gemini => request,
        }
    }

    /// Reads a complete, non-streaming answer.
    pub fn read_complete(self, body: &[u8], sink: &mut Sink<'_>) -> Result<(), ReadError> {
        match self {
            Self::OpenAi => openai::read_complete(body, sink),
            Self::Responses => responses::read_complete(body, sink),
            Self::Anthropic => anthropic::read_complete(body, sink),
            Self::Gemini => gemini::read_complete(body, sink),
            Self::Ollama => ollama::read_complete(body, sink),
        }
    }

    /// Whether a model refuses stop sequences, or the protocol has none: then the answer is cut here.
    pub(crate) fn cuts_at_no_stop(self, model: &str) -> bool {
        match self {
            Self::OpenAi => !openai::Generation::of(model).stops,
            Self::Responses => true,
            Self::Anthropic | Self::Gemini | Self::Ollama => false,
        }
    }

    /// A complete answer as a client of the same protocol must see it: with a finish reason, which is
    /// that of calls if it is `with_calls`.
    pub(crate) fn finished(self, body: &[u8], with_calls: bool) -> Option<Vec<u8>> {
        finish::finished(self, body, with_calls)
    }
}

fn without(body: &[u8], refused: Parameters) -> Vec<u8> {
    let mut body = Body::read(body);
    refused.paths().for_each(|path| body.remove_at(path));
    body.text().into_bytes()
}

#[cfg(test)]
mod tests;
