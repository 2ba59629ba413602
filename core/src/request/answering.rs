//! The stage in which the answer is given: the last one of a chat request.

use std::sync::Arc;

use super::chat::Chat;
use super::context::Context;
use super::route::Client;
use super::{Input, Output, State, Timer};
use crate::access::Caller;
use crate::access::quota::{Act, Denial};
use crate::answer::{self, Answer};
use crate::failure::Failure;
use crate::log::{self, Answered, Field, Level, Record};
use crate::relay::{self, Settlement};
use crate::store::{Outcome, learned_limits};

/// An answer that is being given.
pub(super) struct Answering {
    answer: Answer,
    /// The same as the answer has, to be logged while the answer is borrowed.
    answered: Arc<Answered>,
}

/// Begins to answer, with the rows of the user's own keys.
pub(super) fn begin(context: &mut Context, chat: Chat, own_keys: &Outcome) -> State {
    let (job, meta) = chat.job(&context.gateway, own_keys, context.began());
    Answering::state(context, Answer::new(job, meta, context.now))
}

/// Answers with a failure, in the client's protocol.
pub(super) fn refuse(
    context: &mut Context,
    client: Client,
    caller: Option<Caller>,
    failure: Failure,
) -> State {
    let chat = Chat::unread(client, caller);
    let (job, meta) = chat.job(&context.gateway, &Ok(Vec::new()), context.began());
    Answering::state(context, Answer::refused(job, meta, context.now, failure))
}

impl Answering {
    fn state(context: &mut Context, answer: Answer) -> State {
        context.deadline = None;
        State::Answering(Box::new(Self { answered: answer.answered(), answer }))
    }

    pub(super) fn handle(mut self: Box<Self>, context: &mut Context, input: Input<'_>) -> State {
        let now = context.now;
        let input = match input {
            Input::Head { attempt, head } => relay::Input::Head { attempt, head },
            Input::Bytes { attempt, bytes } => relay::Input::Bytes { attempt, bytes },
            Input::Event { attempt, event } => relay::Input::Event { attempt, event },
            Input::End { attempt } => relay::Input::End { attempt },
            Input::Lost { attempt, failure } => relay::Input::Lost { attempt, failure },
            Input::Hangup => relay::Input::Hangup,
            Input::Pause => relay::Input::Pause,
            Input::Resume => relay::Input::Resume,
            Input::Tick => {
                if context.expired().is_some() {
                    let seconds = Timer::QUOTA_TIME_MAX.as_secs();
                    self.quota(context, Err(format!("it did not answer within {seconds} s")));
                }
                relay::Input::Tick
            }
            Input::Quota(answered) => {
                self.quota(context, answered);
                return State::Answering(self);
            }
            // Late: the answer has begun without them.
            Input::Body(_) | Input::BodyFailed(_) | Input::Rows(_) | Input::Fetched(_) => {
                return State::Answering(self);
            }
        };
        self.answer.handle(now, input);
        State::Answering(self)
    }

    /// A quota that cannot be asked stops nobody: better an answer uncounted than none.
    fn quota(&mut self, context: &mut Context, answered: Result<Result<(), Denial>, String>) {
        let entered = answered.unwrap_or_else(|why| {
            context.log(Level::Warn, || {
                Record::new(Level::Warn, "quota not asked")
                    .with(Field::StreamId, self.answered.stream_id.clone())
                    .with(Field::Detail, why)
            });
            Ok(())
        });
        context.deadline = None;
        self.answer.entered(context.now, entered);
    }

    pub(super) fn poll(&mut self, context: &mut Context) -> Output<'_> {
        let stream_id = &self.answered.stream_id;
        match self.answer.poll() {
            answer::Output::Body(bytes) => Output::Body(bytes),
            answer::Output::Call(call) => {
                context.log(Level::Debug, || log::call(stream_id, &call));
                Output::Call(call)
            }
            answer::Output::Cancel { attempt } => Output::Cancel { attempt },
            answer::Output::Release { attempt } => Output::Release { attempt },
            answer::Output::Head(head) => {
                if head.status == 200 {
                    context.log(Level::Debug, || log::stream_created(stream_id));
                }
                Output::Head(head)
            }
            answer::Output::Quota { user, op } => {
                // Only a beginning is waited for.
                if let Act::Begin(_) = op.act {
                    context.expect(Timer::Quota, Timer::QUOTA_TIME_MAX);
                }
                Output::Quota { user, op }
            }
            answer::Output::Settle(settlement) => {
                settle(context, &self.answered, settlement);
                context.next()
            }
            answer::Output::Wait { until } => {
                let own = until.map(|(at, timer)| (at, Timer::Answer(timer)));
                let until = own.into_iter().chain(context.deadline).min_by_key(|(at, _)| *at);
                Output::Wait { until }
            }
        }
    }
}

/// Keeps and logs what an answer left behind, and ends the request.
fn settle(context: &mut Context, answered: &Answered, mut settlement: Box<Settlement>) {
    context.deadline = None;
    if let Some(exchange) = settlement.exchange.take() {
        let user = settlement.caller.as_ref().map(|caller| caller.user.shared());
        let now = context.unix_now().as_secs();
        context.gateway.history().keep(&user.unwrap_or_default(), *exchange, now);
    }
    let learned = learned_limits::keep(&settlement.learned);
    if !learned.is_empty() && context.gateway.config().store.is_some() {
        context.outputs.push_back(Output::Keep(learned));
    }
    context.log(log::answer_level(&settlement.end), || log::answer(answered, &settlement));
    context.outputs.push_back(Output::Done);
}
