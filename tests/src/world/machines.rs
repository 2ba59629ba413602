//! The machines of core that run in a [`World`](super::World).

use streamgate_core::answer::{self, Answer};
use streamgate_core::log::Record;
use streamgate_core::relay::{self, Settlement};
use streamgate_core::request::{self, Input, Request};
use streamgate_core::store::Statement;
use streamgate_core::time::Instant;

use super::{Machine, Output};

impl Machine for Answer {
    type Own = Box<Settlement>;
    type Timer = answer::Timer;

    fn handle(&mut self, now: Instant, input: relay::Input<'_>) {
        Self::handle(self, now, input);
    }

    fn poll(&mut self) -> Output<'_, Self::Own, Self::Timer> {
        match Self::poll(self) {
            answer::Output::Call(call) => Output::Call(call),
            answer::Output::Cancel { attempt } => Output::Cancel(attempt),
            answer::Output::Release { attempt } => Output::Release(attempt),
            answer::Output::Head(head) => Output::Head(head),
            answer::Output::Body(bytes) => Output::Body(bytes),
            answer::Output::Quota { user, op } => Output::Quota(user, op),
            answer::Output::Settle(settlement) => Output::Own(settlement),
            answer::Output::Wait { until } => Output::Wait(until),
        }
    }
}

/// What the request machine asks for besides calls and the response.
pub enum Asked {
    /// The request's body, unless it is longer than this.
    ReadBody {
        /// In bytes.
        bytes_max: usize,
    },
    /// What comes of these in the store.
    Query(Vec<Statement>),
    /// The body of this URL.
    Fetch {
        /// Which.
        url: String,
    },
    /// That these are run in the store; nobody waits for that.
    Keep(Vec<Statement>),
    /// A line of the log.
    Log(Record),
    /// Nothing more.
    Done,
}

impl Machine for Request {
    type Own = Asked;
    type Timer = request::Timer;

    fn handle(&mut self, now: Instant, input: relay::Input<'_>) {
        let input = match input {
            relay::Input::Head { attempt, head } => Input::Head { attempt, head },
            relay::Input::Bytes { attempt, bytes } => Input::Bytes { attempt, bytes },
            relay::Input::Event { attempt, event } => Input::Event { attempt, event },
            relay::Input::End { attempt } => Input::End { attempt },
            relay::Input::Lost { attempt, failure } => Input::Lost { attempt, failure },
            relay::Input::Hangup => Input::Hangup,
            relay::Input::Pause => Input::Pause,
            relay::Input::Resume => Input::Resume,
            relay::Input::Tick => Input::Tick,
        };
        Self::handle(self, now, input);
    }

    fn poll(&mut self) -> Output<'_, Asked, request::Timer> {
        match Self::poll(self) {
            request::Output::ReadBody { bytes_max } => Output::Own(Asked::ReadBody { bytes_max }),
            request::Output::Query(statements) => Output::Own(Asked::Query(statements)),
            request::Output::Fetch { url, .. } => Output::Own(Asked::Fetch { url }),
            request::Output::Quota { user, op } => Output::Quota(user, op),
            request::Output::Call(call) => Output::Call(call),
            request::Output::Cancel { attempt } => Output::Cancel(attempt),
            request::Output::Release { attempt } => Output::Release(attempt),
            request::Output::Head(head) => Output::Head(head),
            request::Output::Body(bytes) => Output::Body(bytes),
            request::Output::Keep(statements) => Output::Own(Asked::Keep(statements)),
            request::Output::Log(record) => Output::Own(Asked::Log(record)),
            request::Output::Done => Output::Own(Asked::Done),
            request::Output::Wait { until } => Output::Wait(until),
        }
    }
}
