//! What the stages of one request share: the gateway, the time, and what is to be done next.

use std::collections::VecDeque;
use std::time::Duration;

use super::nonces::Nonces;
use super::{Aim, Arrival, Began, Head, Output, RequestHead, State, Timer};
use crate::failure::{Failure, Reason};
use crate::gateway::Gateway;
use crate::log::{Level, Record};
use crate::reply::Reply;
use crate::store::Statement;
use crate::time::Instant;

pub(super) struct Context {
    pub(super) gateway: Gateway,
    pub(super) now: Instant,
    pub(super) outputs: VecDeque<Output<'static>>,
    /// When what is awaited is late. An answer has further deadlines of its own.
    pub(super) deadline: Option<(Instant, Timer)>,
    pub(super) nonces: Nonces,
    /// The `content-encoding` of the request's body.
    pub(super) content_encoding: Option<String>,
    /// What a chat request asks for.
    pub(super) aim: Aim,
    /// The model that the path names, whatever the body says.
    pub(super) model: Option<String>,
    arrived: Instant,
    unix_arrived: Duration,
    answer_id: u128,
    is_head: bool,
}

impl Context {
    pub(super) fn new(gateway: &Gateway, head: &RequestHead<'_>, arrival: &Arrival) -> Self {
        let (id, seed) = super::nonces::split(&arrival.random);
        Self {
            gateway: gateway.clone(),
            now: arrival.now,
            outputs: VecDeque::new(),
            deadline: None,
            nonces: Nonces::new(seed),
            content_encoding: (head.header)("content-encoding"),
            aim: Aim::Answer,
            model: None,
            arrived: arrival.now,
            unix_arrived: arrival.unix_now,
            answer_id: u128::from_be_bytes(id),
            is_head: head.method == "HEAD",
        }
    }

    /// The time since 1970.
    pub(super) fn unix_now(&self) -> Duration {
        self.unix_arrived + self.now.since(self.arrived)
    }

    /// An answer that begins now.
    pub(super) fn began(&self) -> Began {
        Began { id: self.answer_id, unix_now: self.unix_now() }
    }

    /// The next thing to do, of what is waiting to be polled.
    pub(super) fn next(&mut self) -> Output<'static> {
        self.outputs.pop_front().unwrap_or(Output::Wait { until: self.deadline })
    }

    /// Asks the store; its rows are due in time.
    pub(super) fn query(&mut self, statements: Vec<Statement>) {
        self.outputs.push_back(Output::Query(statements));
        self.expect(Timer::Store, Timer::STORE_TIME_MAX);
    }

    /// What is awaited now, and how long.
    pub(super) fn expect(&mut self, timer: Timer, time_max: Duration) {
        self.deadline = Some((self.now + time_max, timer));
    }

    /// Whether that is awaited now.
    pub(super) fn expects(&self, timer: Timer) -> bool {
        self.deadline.is_some_and(|(_, own)| own == timer)
    }

    /// Whether what is awaited is late, and what that is.
    pub(super) fn expired(&self) -> Option<Timer> {
        let (due, timer) = self.deadline?;
        (due <= self.now).then_some(timer)
    }

    /// Logs a record, which is built only if its level is wanted.
    pub(super) fn log(&mut self, level: Level, record: impl FnOnce() -> Record) {
        if self.gateway.logs(level) {
            self.outputs.push_back(Output::Log(record()));
        }
    }

    /// Answers with a complete response.
    pub(super) fn reply(&mut self, reply: Reply) -> State {
        let reply = if self.is_head { reply.without_body() } else { reply };
        let Reply { status, headers, body } = reply;
        self.deadline = None;
        self.outputs.push_back(Output::Head(Head { status, headers }));
        if body.is_empty() {
            self.outputs.push_back(Output::Done);
        }
        State::Replying { due: !body.is_empty(), body }
    }

    /// Ends the request without more of a response.
    pub(super) fn end(&mut self) -> State {
        self.deadline = None;
        self.outputs.push_back(Output::Done);
        State::Over
    }
}

/// The failure of a store whose rows did not come in time.
pub(super) fn store_is_late() -> Failure {
    let seconds = Timer::STORE_TIME_MAX.as_secs();
    let detail = format!("The store cannot be reached: it did not answer within {seconds} s.");
    Failure::new(Reason::StoreUnavailable, detail)
}
