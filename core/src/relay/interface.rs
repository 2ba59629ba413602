//! What goes into the relay and what comes out.

use std::sync::Arc;

use super::{AttemptId, Settlement, Timer};
use crate::access::Caller;
use crate::chat::{ChatRequest, Event};
use crate::failure::{Failure, Reason};
use crate::limit::parameter::Parameters;
use crate::limit::{Limit, Terms};
use crate::protocol::{ClientProtocol, HttpRequest, ProviderRequest};
use crate::target::{Target, Upstream};
use crate::time::Instant;

/// What happened.
#[derive(Debug)]
pub enum Input<'a> {
    /// The head of an attempt's response arrived.
    Head {
        /// The attempt.
        attempt: AttemptId,
        /// Its response's head.
        head: Head<'a>,
    },
    /// Bytes of an attempt's response body arrived.
    Bytes {
        /// The attempt.
        attempt: AttemptId,
        /// As they came: events may be split anywhere.
        bytes: &'a [u8],
    },
    /// A local engine produced an event; it has no head and no bytes.
    Event {
        /// The attempt.
        attempt: AttemptId,
        /// What the engine produced.
        event: Event<'a>,
    },
    /// An attempt's response body, or local generation, ended in good order.
    End {
        /// The attempt.
        attempt: AttemptId,
    },
    /// An attempt could not be made, or its connection broke.
    Lost {
        /// The attempt.
        attempt: AttemptId,
        /// The cause.
        failure: Failure,
    },
    /// The client left, or asked to stop.
    Hangup,
    /// The client does not read for now: the upstream's silence is not its fault.
    Pause,
    /// The client reads again.
    Resume,
    /// Only time passed.
    Tick,
}

/// The parts of a response's head that matter.
#[derive(Clone, Copy, Debug, Default)]
pub struct Head<'a> {
    /// The HTTP status.
    pub status: u16,
    /// The `content-type` header; empty where there is none.
    pub content_type: &'a str,
    /// The coding in which the body is handed over. A shell that decompresses by itself leaves it out.
    pub content_encoding: Option<&'a str>,
    /// The `retry-after` header: seconds, or an HTTP date.
    pub retry_after: Option<&'a str>,
    /// The `retry-after-ms` header.
    pub retry_after_ms: Option<&'a str>,
}

impl<'a> Head<'a> {
    /// Reads a head whose headers `header` finds by their lower-case names.
    pub fn read(status: u16, header: impl Fn(&'static str) -> Option<&'a str>) -> Self {
        Self {
            status,
            content_type: header("content-type").unwrap_or(""),
            content_encoding: header("content-encoding"),
            retry_after: header("retry-after"),
            retry_after_ms: header("retry-after-ms"),
        }
    }
}

/// Where the answer goes as it arrives.
pub trait Downstream {
    /// Takes whole frames of the client's own protocol, to be sent as they came; with the events they
    /// mean where the job is to be kept, else without.
    fn forward(&mut self, frames: &[u8], events: Vec<Event<'static>>);

    /// Takes an event, to be sent in the client's protocol.
    fn event(&mut self, event: &Event<'_>);
}

/// What to do.
#[derive(Debug)]
pub enum Output {
    /// Call this target.
    Call(Box<Call>),
    /// Stop this attempt's call at once; whatever still arrives from it is ignored.
    Cancel {
        /// The attempt.
        attempt: AttemptId,
    },
    /// This attempt's answer is complete though its call has not ended: read the little that may be
    /// left, so that the connection can be used again, or cancel it.
    Release {
        /// The attempt.
        attempt: AttemptId,
    },
    /// The answer is over. Comes exactly once, and last.
    Settle(Box<Settlement>),
    /// Nothing, until an input comes or the time does.
    Wait {
        /// When, and why then; `None`: only an input can help.
        until: Option<(Instant, Timer)>,
    },
}

/// What a call is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// An answer.
    Answer,
    /// The number of the request's tokens: an HTTP response with it, or an [`Event::Usage`] of a
    /// local engine.
    Count,
}

/// A call to be made.
#[derive(Clone, Debug)]
pub struct Call {
    /// Its name in every input and output about it.
    pub attempt: AttemptId,
    /// What it is for.
    pub purpose: Purpose,
    /// The target to call.
    pub target: Arc<Target>,
    /// The request to send.
    pub request: Arc<ChatRequest>,
    /// The protocol in which the client wrote the request.
    pub client: ClientProtocol,
    /// As a stream, or as one response.
    pub stream: bool,
    /// Who asks; `None` where no credentials are required.
    pub caller: Option<Caller>,
    /// What bounds the answer.
    pub terms: Terms,
    /// The bound to ask for; `None`: the provider's own default.
    pub limit: Option<Limit>,
    /// What is left out because the target refused it before.
    pub refused: Parameters,
}

impl Call {
    /// The call as an HTTP request; a local model is called without one, where there is an engine.
    pub fn http(&self) -> Result<HttpRequest, Failure> {
        let Upstream::Http(protocol) = self.target.provider.upstream else {
            let detail = format!("{} runs on a native server only.", self.target);
            return Err(Failure::new(Reason::ModelUnavailable, detail));
        };
        let http = protocol.http_request(&ProviderRequest {
            target: &self.target,
            request: &self.request,
            client: self.client,
            stream: self.stream,
            max_output: match self.purpose {
                Purpose::Answer => self.limit.map(|limit| limit.max_output),
                // The count has no limit, and depends on none.
                Purpose::Count => Some(u32::MAX),
            },
            refused: self.refused,
        })?;
        Ok(match self.purpose {
            Purpose::Answer => http,
            Purpose::Count => protocol.counting(http),
        })
    }
}
