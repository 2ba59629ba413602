//! The stage in which a request's tokens are counted, and no answer is given: by the provider, where
//! its protocol can, by a local model's own tokenizer, else by the estimate that bounds answers. An
//! estimate is marked as one.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::chat::Chat;
use super::context::Context;
use super::{Input, Output, State, Timer};
use crate::chat::{ChatRequest, Event};
use crate::limit::parameter::Parameters;
use crate::limit::{Terms, tokens};
use crate::protocol::ClientProtocol;
use crate::relay::{AttemptId, Call, Purpose};
use crate::reply::Reply;
use crate::store::Outcome;
use crate::target::{ProviderProtocol, Target, Upstream};

/// How long a count may take. A person waits for it, and there is an estimate.
const COUNT_TIME_MAX: Duration = Duration::from_secs(10);
/// The longest response that is read for a number.
const RESPONSE_BYTES_MAX: usize = 64 * 1024;
/// The only call that is made.
const CALL: AttemptId = AttemptId::FIRST;

/// A request that is being counted.
pub(super) struct Counting {
    request: Arc<ChatRequest>,
    client: ClientProtocol,
    /// Who counts by HTTP.
    provider: Option<ProviderProtocol>,
    status: u16,
    body: Vec<u8>,
    counted: Option<u32>,
}

/// Begins to count, with the rows of the user's own keys.
pub(super) fn begin(context: &mut Context, chat: Chat, own_keys: &Outcome) -> State {
    let counted = chat.counted(&context.gateway, own_keys);
    let target = counted.target.filter(|target| counts(target));
    let counting = Counting {
        request: Arc::new(counted.request),
        client: counted.client,
        provider: target.as_ref().and_then(|target| match target.provider.upstream {
            Upstream::Http(protocol) => Some(protocol),
            Upstream::Local => None,
        }),
        status: 0,
        body: Vec::new(),
        counted: None,
    };
    let Some(target) = target else { return counting.reply(context) };
    context.outputs.push_back(Output::Call(Call {
        attempt: CALL,
        purpose: Purpose::Count,
        target,
        request: counting.request.clone(),
        client: counting.client,
        stream: false,
        caller: counted.caller,
        terms: Terms::default(),
        limit: None,
        refused: Parameters::default(),
    }));
    context.expect(Timer::Count, COUNT_TIME_MAX);
    State::Counting(Box::new(counting))
}

/// Whether a target counts.
fn counts(target: &Target) -> bool {
    match target.provider.upstream {
        Upstream::Local => true,
        Upstream::Http(protocol) => protocol.counts(),
    }
}

impl Counting {
    pub(super) fn handle(mut self: Box<Self>, context: &mut Context, input: Input<'_>) -> State {
        match input {
            Input::Head { head, .. } => self.status = head.status,
            Input::Bytes { bytes, .. } => {
                let left = RESPONSE_BYTES_MAX - self.body.len();
                self.body.extend_from_slice(&bytes[..bytes.len().min(left)]);
            }
            Input::Event { event: Event::Usage(usage), .. } => {
                self.counted = Some(usage.input_tokens);
            }
            Input::End { .. } => return self.ended(context),
            Input::Lost { .. } => return self.reply(context),
            Input::Hangup => {
                context.outputs.push_back(Output::Cancel { attempt: CALL });
                return context.end();
            }
            Input::Tick if context.expired().is_some() => {
                context.outputs.push_back(Output::Cancel { attempt: CALL });
                return self.reply(context);
            }
            Input::Event { .. }
            | Input::Body(_)
            | Input::BodyFailed(_)
            | Input::Rows(_)
            | Input::Fetched(_)
            | Input::Quota(_)
            | Input::Pause
            | Input::Resume
            | Input::Tick => {}
        }
        State::Counting(self)
    }

    fn ended(mut self, context: &mut Context) -> State {
        if let (200, Some(provider)) = (self.status, self.provider) {
            self.counted = provider.read_count(&self.body);
            let is_same = self.client.is_spoken_by(Upstream::Http(provider));
            if is_same && self.counted.is_some() {
                return context.reply(Reply::json(200, self.body));
            }
        }
        self.reply(context)
    }

    /// The count, or the estimate in its place.
    fn reply(&self, context: &mut Context) -> State {
        let tokens = self.counted.unwrap_or_else(|| tokens::of_request(&self.request).likely);
        let mut body = json!({self.client.count_field(): tokens});
        if self.counted.is_none() {
            body["estimated"] = true.into();
        }
        context.reply(Reply::json(200, body.to_string().into_bytes()))
    }
}
