//! One HTTP request, from its head to the end of its response: which path it is for, who sent it,
//! its body, the user's own keys, the answer, and what is kept of it. What a shell drives.
//!
//! Sans-IO, like the relay: inputs go in and cannot fail, outputs are polled until the machine says
//! what it waits for. A shell executes outputs and decides nothing: deadlines and policies are here.
//!
//! ```text
//! loop {
//!     match request.poll() {
//!         ReadBody { bytes_max }   => read the request's body, then handle Body or BodyFailed
//!         Query(statements)        => run them in the store as one transaction, then handle Rows
//!         Fetch { url, bytes_max } => get that URL, then handle Fetched
//!         Quota { user, op }       => apply it to the user's quota, then handle Quota
//!         Call(call)               => call that target; handle its Head, Bytes, Event, End, Lost
//!         Cancel { attempt }       => abort that call at once
//!         Release { attempt }      => read that call's body to its end, or abort it
//!         Head(head), Body(bytes)  => send them to the client
//!         Keep(statements)         => run them in the store; nobody waits for that
//!         Log(record)              => write a line of the log
//!         Done                     => end the response; comes once, and nothing follows it
//!         Wait { until }           => wait for any of the above, the client's leaving, or that time
//!     }
//! }
//! ```

mod admitting;
mod answering;
mod chat;
mod coding;
mod context;
mod counting;
mod encoded;
mod models;
mod nonces;
mod own_keys;
mod path;
mod reading_body;
mod route;

use std::sync::Arc;
use std::time::Duration;

use crate::access::Credentials;
use crate::access::quota::{Denial, QuotaOp};
use crate::answer;
use crate::chat::Event;
use crate::failure::Failure;
use crate::gateway::Gateway;
use crate::log::Record;
use crate::relay::{self, AttemptId, Call};
use crate::store::{Outcome, Statement};
use crate::time::Instant;

pub use answer::Head;
pub use route::Client;

use admitting::{Admitting, Purpose};
use answering::Answering;
use context::Context;
use counting::Counting;
use encoded::Encoded;
use own_keys::{LoadingKeys, StoringKey};
use reading_body::ReadingBody;
use route::Route;

pub(crate) use chat::{Aim, Asked, Began, Chat};

/// Random bytes that a request takes: its answer's name, and the seed of its nonces.
pub const RANDOM_BYTES: usize = 16 + nonces::SEED_BYTES;

/// The head of a request.
pub struct RequestHead<'a> {
    /// The method, in capitals.
    pub method: &'a str,
    /// The path, without a query.
    pub path: &'a str,
    /// What follows the path's question mark; empty where there is none.
    pub query: &'a str,
    /// Finds a header by its lower-case name; several of one name are joined with `, `.
    pub header: &'a dyn Fn(&str) -> Option<String>,
}

/// What only the shell knows of a request's arrival.
#[derive(Clone, Copy)]
pub struct Arrival {
    /// When it came, on the clock of [`Request::handle`].
    pub now: Instant,
    /// The same, since 1970.
    pub unix_now: Duration,
    /// From the system's generator, and never used before: keys are sealed with nonces made of it.
    pub random: [u8; RANDOM_BYTES],
}

/// What happened.
#[derive(Debug)]
pub enum Input<'a> {
    /// The request's complete body, as it was sent: compressed or not.
    Body(&'a [u8]),
    /// The request's body could not be read.
    BodyFailed(BodyFailure),
    /// What came of the last [`Output::Query`].
    Rows(Outcome),
    /// The body of what was fetched, or why there is none.
    Fetched(Result<&'a [u8], &'a str>),
    /// What the user's quota answered; the error is why it could not be asked.
    Quota(Result<Result<(), Denial>, String>),
    /// An attempt's response begins.
    Head {
        /// Whose.
        attempt: AttemptId,
        /// What it says.
        head: relay::Head<'a>,
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
        /// What the engine made.
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
    /// The client left.
    Hangup,
    /// The client does not read for now.
    Pause,
    /// The client reads again.
    Resume,
    /// Only time passed.
    Tick,
}

/// Why a request's body could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BodyFailure {
    /// It is longer than [`Output::ReadBody`] allows.
    TooLarge,
    /// The connection broke, or what came is no body; for a person.
    Broken(String),
    /// It is not in the coding that its head names: which, and why not, for a person.
    Coding(String),
}

/// What a shell is to do.
#[derive(Debug)]
pub enum Output<'a> {
    /// Read the request's body.
    ReadBody {
        /// The longest that is accepted.
        bytes_max: usize,
    },
    /// Run these in the store as one transaction. Comes again only after [`Input::Rows`], or once
    /// its deadline has passed: then the former result is of no interest any more.
    Query(Vec<Statement>),
    /// Get a URL of the configuration, without following redirects.
    Fetch {
        /// Which.
        url: String,
        /// The longest body that is accepted.
        bytes_max: usize,
    },
    /// Apply this to the user's quota.
    Quota {
        /// Whose.
        user: Arc<str>,
        /// What.
        op: QuotaOp,
    },
    /// Call this target.
    Call(Call),
    /// Abort this attempt's call at once; what still comes of it is ignored.
    Cancel {
        /// Which.
        attempt: AttemptId,
    },
    /// This attempt's call is no longer needed; its connection may be used again.
    Release {
        /// Which.
        attempt: AttemptId,
    },
    /// Send the response's head. Whatever is left of the request's body is not needed any more.
    Head(Head),
    /// Send more of the response's body, in one write.
    Body(&'a [u8]),
    /// Run these in the store as one transaction, which nobody waits for.
    Keep(Vec<Statement>),
    /// Write a line of the log.
    Log(Record),
    /// The response is complete; without a [`Self::Head`] before it, there is none to send.
    Done,
    /// Nothing, until an input comes or the time does.
    Wait {
        /// When, and why then.
        until: Option<(Instant, Timer)>,
    },
}

/// Why a request waits until a certain time and no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timer {
    /// The request's body is due.
    Body,
    /// The store's rows are due.
    Store,
    /// The key set is due.
    KeySet,
    /// The count of a request's tokens is due.
    Count,
    /// The quota's answer is due.
    Quota,
    /// A deadline of the answer.
    Answer(answer::Timer),
}

impl Timer {
    /// What an upload of the largest body takes over a slow line. A client that takes longer holds
    /// a connection and its memory for nothing.
    const BODY_TIME_MAX: Duration = Duration::from_secs(30);
    /// Longer than a database takes to accept a connection anew, and shorter than a person's
    /// patience: nothing has been sent to the client meanwhile.
    const STORE_TIME_MAX: Duration = Duration::from_secs(5);
    /// The same for whoever publishes keys: one server, seldom asked.
    const KEY_SET_TIME_MAX: Duration = crate::access::KEY_SET_TIME_MAX;
    /// Shorter than the rest, because an answer that cannot be counted begins all the same.
    const QUOTA_TIME_MAX: Duration = Duration::from_secs(2);
}

/// One request. States are named for what they await.
///
/// ```text
///  new ─┬─ open to all ────────────────────────────────────────────────► Replying ──► Done
///       └─► Admitting ─┬─ the list of models, or a refusal ────────────► Replying
///                      ├─ a user's key: ReadingBody ──► StoringKey ────► Replying
///                      └─ chat: ReadingBody ─┬────────► LoadingKeys ──┬► Answering ─► Done
///                                            └─ needs no keys ────────┴► Counting ──► Replying
/// ```
///
/// A chat request that is refused on the way is answered at once, in its client's protocol. When the
/// client leaves, an answer is settled; every other state ends without one.
pub struct Request {
    context: Context,
    encoded: Encoded,
    state: State,
}

enum State {
    /// The store's rows for a key, or the key set.
    Admitting(Box<Admitting>),
    /// The request's body.
    ReadingBody(Box<ReadingBody>),
    /// The store's rows of the user's own keys.
    LoadingKeys(Box<LoadingKeys>),
    /// That the store has done what was wanted with a user's own key.
    StoringKey(Box<StoringKey>),
    /// That the client takes a complete response.
    Replying { body: Vec<u8>, due: bool },
    /// What the answer awaits.
    Answering(Box<Answering>),
    /// The number of the request's tokens.
    Counting(Box<Counting>),
    /// Nothing.
    Over,
}

impl Request {
    /// A request of which the head has come.
    pub fn new(gateway: &Gateway, head: &RequestHead<'_>, arrival: &Arrival) -> Self {
        let mut context = Context::new(gateway, head, arrival);
        let header = |name: &'static str| (head.header)(name);
        let wants_websocket =
            header("upgrade").is_some_and(|name| name.eq_ignore_ascii_case("websocket"));
        let route = if wants_websocket {
            Route::of_websocket(head.path)
        } else {
            Route::of(head.method, head.path, head.query)
        };
        let is_google =
            ["x-goog-api-key", "x-goog-api-client"].map(header).iter().any(Option::is_some);
        let credentials = Credentials::read(header).or_key(route.key_in_query(head.query));
        let purpose = match route {
            Route::Reply(reply) => {
                let state = context.reply(reply);
                return Self { context, encoded: Encoded::default(), state };
            }
            Route::Models(listing) => Purpose::Models(listing.asked_by(is_google)),
            Route::Model(listing, name) => Purpose::Model(listing.asked_by(is_google), name),
            Route::ShowModel => Purpose::ShowModel,
            Route::ProviderKey { action, provider } => Purpose::OwnKey { action, provider },
            Route::Chat { asked: Asked { aim, client }, model } => {
                (context.aim, context.model) = (aim, model);
                Purpose::Chat { client, headers: client.headers(header) }
            }
        };
        let state = Admitting::begin(&mut context, purpose, &credentials);
        Self { context, encoded: Encoded::default(), state }
    }

    /// Takes in what happened at `now`. What comes late, or was not asked for, is ignored.
    pub fn handle(&mut self, now: Instant, input: Input<'_>) {
        let bytes_max = self.context.gateway.config().limits.event_bytes;
        if let Input::Head { attempt, head } = &input {
            self.encoded.begin(*attempt, head.content_encoding);
        }
        if let Input::Bytes { attempt, bytes } = input
            && self.encoded.has(attempt)
        {
            let decoded = self.encoded.receive(attempt, bytes, bytes_max);
            return self.decoded(now, attempt, decoded);
        }
        if let Input::End { attempt } = input
            && self.encoded.has(attempt)
        {
            let decoded = self.encoded.end(attempt, bytes_max);
            self.decoded(now, attempt, decoded);
        }
        self.step(now, input);
    }

    /// Takes in what a response is that was compressed, or that it cannot be read.
    fn decoded(&mut self, now: Instant, attempt: AttemptId, decoded: Result<Vec<u8>, Failure>) {
        match decoded {
            Ok(bytes) if bytes.is_empty() => {}
            Ok(bytes) => self.step(now, Input::Bytes { attempt, bytes: &bytes }),
            Err(failure) => {
                self.context.outputs.push_back(Output::Cancel { attempt });
                self.step(now, Input::Lost { attempt, failure });
            }
        }
    }

    fn step(&mut self, now: Instant, input: Input<'_>) {
        let context = &mut self.context;
        context.now = context.now.max(now);
        self.state = match (std::mem::replace(&mut self.state, State::Over), input) {
            (State::Answering(state), input) => state.handle(context, input),
            (State::Counting(state), input) => state.handle(context, input),
            (State::Admitting(state), Input::Rows(outcome)) => state.found(context, outcome),
            (State::Admitting(state), Input::Fetched(body)) => state.fetched(context, body),
            (State::Admitting(state), Input::Tick) => state.tick(context),
            (State::ReadingBody(state), Input::Body(body)) => state.read(context, body),
            (State::ReadingBody(state), Input::BodyFailed(why)) => state.failed(context, why),
            (State::ReadingBody(state), Input::Tick) => state.tick(context),
            (State::LoadingKeys(state), Input::Rows(outcome)) => state.loaded(context, outcome),
            (State::LoadingKeys(state), Input::Tick) => state.tick(context),
            (State::StoringKey(state), Input::Rows(outcome)) => state.stored(context, outcome),
            (State::StoringKey(state), Input::Tick) => state.tick(context),
            (State::Replying { due: false, .. } | State::Over, _) => State::Over,
            (_, Input::Hangup) => context.end(),
            (
                state @ (State::Admitting(_)
                | State::ReadingBody(_)
                | State::LoadingKeys(_)
                | State::StoringKey(_)
                | State::Replying { .. }),
                Input::Body(_)
                | Input::BodyFailed(_)
                | Input::Rows(_)
                | Input::Fetched(_)
                | Input::Quota(_)
                | Input::Head { .. }
                | Input::Bytes { .. }
                | Input::Event { .. }
                | Input::End { .. }
                | Input::Lost { .. }
                | Input::Pause
                | Input::Resume
                | Input::Tick,
            ) => state,
        };
    }

    /// The next thing to do. Ends in [`Output::Wait`], also after [`Output::Done`].
    pub fn poll(&mut self) -> Output<'_> {
        if let Some(output) = self.context.outputs.pop_front() {
            return output;
        }
        match &mut self.state {
            State::Answering(answering) => answering.poll(&mut self.context),
            State::Replying { body, due } if *due => {
                *due = false;
                self.context.outputs.push_back(Output::Done);
                Output::Body(body)
            }
            State::Admitting(_)
            | State::ReadingBody(_)
            | State::LoadingKeys(_)
            | State::StoringKey(_)
            | State::Counting(_)
            | State::Replying { .. }
            | State::Over => self.context.next(),
        }
    }
}

#[cfg(test)]
mod tests;
