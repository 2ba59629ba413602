//! The stage that waits for a request's body.

use super::coding::Codings;
use super::context::Context;
use super::own_keys::{LoadingKeys, StoringKey};
use super::route::{Client, Headers};
use super::{Asked, BodyFailure, Chat, Output, State, Timer, answering, models};
use crate::access::Caller;
use crate::failure::{Failure, Reason};
use crate::provider_keys::Action;
use crate::reply::Reply;

/// A request whose body is on its way.
pub(super) struct ReadingBody {
    codings: Codings,
    caller: Option<Caller>,
    wanted: Wanted,
}

/// What the body is for.
pub(super) enum Wanted {
    OwnKey {
        action: Action,
        provider: String,
    },
    /// One of the models, which it names.
    ShowModel,
    Chat {
        client: Client,
        headers: Headers,
    },
}

impl ReadingBody {
    pub(super) fn begin(context: &mut Context, caller: Option<Caller>, wanted: Wanted) -> State {
        let codings = match Codings::read(context.content_encoding.as_deref()) {
            Ok(codings) => codings,
            Err(failure) => return wanted.refuse(context, caller, failure),
        };
        let bytes_max = context.gateway.config().limits.request_bytes;
        context.outputs.push_back(Output::ReadBody { bytes_max });
        context.expect(Timer::Body, Timer::BODY_TIME_MAX);
        State::ReadingBody(Box::new(Self { codings, caller, wanted }))
    }

    pub(super) fn read(self, context: &mut Context, body: &[u8]) -> State {
        let bytes_max = context.gateway.config().limits.request_bytes;
        match self.codings.undo(body, bytes_max) {
            Ok(body) => self.decoded(context, &body),
            Err(why) => self.failed(context, why),
        }
    }

    fn decoded(self, context: &mut Context, body: &[u8]) -> State {
        let Self { caller, wanted, .. } = self;
        let (client, headers) = match wanted {
            Wanted::OwnKey { action, provider } => {
                return StoringKey::begin(context, action, &provider, body, caller.as_ref());
            }
            Wanted::ShowModel => {
                let model = models::show(&context.gateway, body);
                return context.reply(model);
            }
            Wanted::Chat { client, headers } => (client.of_body(body), headers),
        };
        let (history, now) = (context.gateway.history(), context.unix_now().as_secs());
        let user = caller.as_ref().map_or("", |caller| &*caller.user);
        let body = &client.protocol.resolve(body, history, user, now);
        let named = context.model.take();
        let config = context.gateway.config();
        let asked = Asked { aim: context.aim, client };
        match Chat::parse(config, asked, caller.clone(), headers, named, body) {
            Ok(chat) => match chat.loaded(body, now) {
                Some(loaded) => context.reply(Reply::json(200, loaded)),
                None => LoadingKeys::begin(context, chat),
            },
            Err(failure) => answering::refuse(context, client, caller, failure),
        }
    }

    pub(super) fn failed(self, context: &mut Context, why: BodyFailure) -> State {
        let failure = match why {
            BodyFailure::TooLarge => {
                let bytes_max = context.gateway.config().limits.request_bytes;
                let detail = format!("The request body is longer than {bytes_max} bytes.");
                Failure::new(Reason::BodyTooLarge, detail)
            }
            BodyFailure::Broken(why) => {
                Failure::new(Reason::InvalidRequest, format!("The request broke off: {why}."))
            }
            BodyFailure::Coding(why) => {
                Failure::new(Reason::InvalidRequest, format!("The request's body is no {why}."))
            }
        };
        self.wanted.refuse(context, self.caller, failure)
    }

    pub(super) fn tick(self: Box<Self>, context: &mut Context) -> State {
        if context.expired().is_none() {
            return State::ReadingBody(self);
        }
        let seconds = Timer::BODY_TIME_MAX.as_secs();
        let detail = format!("The request's body did not arrive within {seconds} seconds.");
        let failure = Failure::new(Reason::RequestTimeout, detail);
        self.wanted.refuse(context, self.caller, failure)
    }
}

impl Wanted {
    fn refuse(self, context: &mut Context, caller: Option<Caller>, failure: Failure) -> State {
        match self {
            Self::OwnKey { .. } => context.reply(Reply::failure(&failure)),
            Self::ShowModel => {
                context.reply(Reply::failure_to(models::Listing::Ollama.protocol(), &failure))
            }
            Self::Chat { client, .. } => answering::refuse(context, client, caller, failure),
        }
    }
}
