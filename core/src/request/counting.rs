//! The stage in which a request's tokens are counted, and no answer is given: by the provider, where
//! its protocol can, by a local model's own tokenizer, else by the estimate that bounds answers. An
//! estimate is marked as one.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
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
    status: u16,
    body: Vec<u8>,
    counted: Option<u32>,
}

/// What a provider answers.
#[derive(Deserialize)]
struct Count {
    input_tokens: u32,
}

/// Begins to count, with the rows of the user's own keys.
pub(super) fn begin(context: &mut Context, chat: Chat, own_keys: &Outcome) -> State {
    let counted = chat.counted(&context.gateway, own_keys);
    let request = Arc::new(counted.request);
    let counting = Counting { request, status: 0, body: Vec::new(), counted: None };
    let Some(target) = counted.target.filter(|target| counts(target)) else {
        return counting.reply(context);
    };
    context.outputs.push_back(Output::Call(Call {
        attempt: CALL,
        purpose: Purpose::Count,
        target,
        request: counting.request.clone(),
        client: ClientProtocol::Anthropic,
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
    matches!(
        target.provider.upstream,
        Upstream::Local | Upstream::Http(ProviderProtocol::Anthropic)
    )
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
        if self.status == 200 {
            let count = serde_json::from_slice(&self.body).ok();
            self.counted = count.map(|Count { input_tokens }| input_tokens);
        }
        self.reply(context)
    }

    /// The count, or the estimate in its place.
    fn reply(&self, context: &mut Context) -> State {
        let body = match self.counted {
            Some(tokens) => json!({"input_tokens": tokens}),
            None => {
                let tokens = tokens::of_request(&self.request).likely;
                json!({"input_tokens": tokens, "estimated": true})
            }
        };
        context.reply(Reply::json(200, body.to_string().into_bytes()))
    }
}
