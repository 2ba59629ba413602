//! What goes into the relay and what comes out.

use std::sync::Arc;

use super::{AttemptId, Settlement};
use crate::access::Caller;
use crate::chat::{ChatRequest, Event};
use crate::failure::{Failure, Reason};
use crate::limit::{Limit, Terms};
use crate::protocol::{ClientProtocol, HttpCall, ProviderRequest};
use crate::target::{Target, Upstream};
use crate::time::Instant;

/// What happened.
#[derive(Debug)]
pub enum Input<'a> {
    /// An attempt's response begins.
    Head {
        /// Whose.
        attempt: AttemptId,
        /// What it says.
        head: Head<'a>,
    },
    /// Bytes of an attempt's response body.
    Bytes {
        /// Whose.
        attempt: AttemptId,
        /// As they came; events may be cut anywhere.
        bytes: &'a [u8],
    },
    /// A local engine's event; it needs no head and no bytes.
    Event {
        /// Whose.
        attempt: AttemptId,
        /// What the engine says.
        event: Event<'a>,
    },
    /// An attempt's response body, or local generation, ended in good order.
    End {
        /// Whose.
        attempt: AttemptId,
    },
    /// An attempt could not be made, or broke.
    Lost {
        /// Whose.
        attempt: AttemptId,
        /// Why.
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

/// What matters of a response's head.
#[derive(Clone, Copy, Debug, Default)]
pub struct Head<'a> {
    /// The HTTP status.
    pub status: u16,
    /// The `content-type` header; empty where there is none.
    pub content_type: &'a str,
    /// The `retry-after` header: seconds, or an HTTP date.
    pub retry_after: Option<&'a str>,
    /// The `retry-after-ms` header.
    pub retry_after_ms: Option<&'a str>,
}

impl<'a> Head<'a> {
    /// What matters of a head whose headers `header` finds by their lower-case names.
    pub fn read(status: u16, header: impl Fn(&'static str) -> Option<&'a str>) -> Self {
        Self {
            status,
            content_type: header("content-type").unwrap_or(""),
            retry_after: header("retry-after"),
            retry_after_ms: header("retry-after-ms"),
        }
    }
}

/// What to do.
#[derive(Debug)]
pub enum Output<'a> {
    /// Call this target.
    Call(Call),
    /// Stop this attempt's call at once; nothing it still says matters.
    Cancel {
        /// Which.
        attempt: AttemptId,
    },
    /// This attempt's answer is complete though its call has not ended: read out the little that
    /// may be left, so that the connection can be used again, or cancel it.
    Release {
        /// Which.
        attempt: AttemptId,
    },
    /// Hand this on to the client.
    Send(Sent<'a>),
    /// The answer is over. Comes exactly once, and last.
    Settle(Box<Settlement>),
    /// Nothing, until an input comes or the time does.
    Wait {
        /// When, and why then; `None`: only an input can help.
        until: Option<(Instant, Timer)>,
    },
}

/// Something for the client.
#[derive(Debug, PartialEq)]
pub enum Sent<'a> {
    /// Whole frames in the client's own protocol, as they came.
    Original(&'a [u8]),
    /// An event to be written in the client's protocol.
    Event(Event<'a>),
}

/// Why a relay waits until a certain time and no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timer {
    /// The response's first byte is due.
    FirstByte,
    /// The first content is due.
    FirstContent,
    /// The next target joins, for there is no content yet.
    Hedge,
    /// A target that failed in passing is asked again.
    Backoff,
    /// The next event is due.
    BetweenTokens,
    /// A finished stream's end mark is due.
    AfterFinish,
    /// An error answer's body is due.
    RefusalBody,
    /// The whole answer is due.
    Total,
    /// The client's response head is due.
    Head,
    /// A sign of life to the client is due.
    Heartbeat,
    /// A sign of life to the user's quota is due.
    Quota,
}

/// A call to be made.
#[derive(Clone, Debug)]
pub struct Call {
    /// Its name in what is told of it.
    pub attempt: AttemptId,
    /// Whom to call.
    pub target: Arc<Target>,
    /// What to ask.
    pub request: Arc<ChatRequest>,
    /// What the request's original is written in.
    pub client: ClientProtocol,
    /// As a stream, or as one whole answer.
    pub stream: bool,
    /// Who asks.
    pub caller: Option<Caller>,
    /// What bounds the answer.
    pub terms: Terms,
    /// The bound to ask for; `None`: the provider's own default.
    pub limit: Option<Limit>,
}

impl Call {
    /// The call as an HTTP request; a local model is called without one, where there is an engine.
    pub fn http(&self) -> Result<HttpCall, Failure> {
        let Upstream::Http(protocol) = self.target.provider.upstream else {
            let detail = format!("{} runs on a native server only.", self.target);
            return Err(Failure::new(Reason::ModelUnavailable, detail));
        };
        protocol.http_call(&ProviderRequest {
            target: &self.target,
            request: &self.request,
            client: self.client,
            stream: self.stream,
            max_output: self.limit.map(|limit| limit.max_output),
        })
    }
}
