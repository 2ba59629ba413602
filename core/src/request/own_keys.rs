//! The stages that wait for the store's rows of a user's own keys: to answer with them, or to set,
//! show or delete one.

use super::chat::{Aim, Chat};
use super::context::{Context, store_is_late};
use super::{Output, State, answering, counting};
use crate::access::Caller;
use crate::provider_keys::{self, Action, Asker, KeyRequest, LOCAL_USER};
use crate::reply::Reply;
use crate::store::Outcome;

/// A chat request whose user's own keys are being loaded.
pub(super) struct LoadingKeys(Chat);

/// A request about a user's own key, which the store executes.
pub(super) struct StoringKey(KeyRequest);

/// The name that a caller's own keys are kept under.
pub(super) fn owner(caller: Option<&Caller>) -> &str {
    caller.map_or(LOCAL_USER, |caller| &caller.user)
}

/// Begins what the request asks for, with the rows of the user's own keys.
fn begin(context: &mut Context, chat: Chat, own_keys: &Outcome) -> State {
    match context.aim {
        Aim::Answer => answering::begin(context, chat, own_keys),
        Aim::Count => counting::begin(context, chat, own_keys),
    }
}

impl LoadingKeys {
    /// Loads the keys, if a target is called with them.
    pub(super) fn begin(context: &mut Context, chat: Chat) -> State {
        match chat.own_keys() {
            Some(statement) => {
                context.query(vec![statement]);
                State::LoadingKeys(Box::new(Self(chat)))
            }
            None => begin(context, chat, &Ok(Vec::new())),
        }
    }

    pub(super) fn loaded(self, context: &mut Context, outcome: Outcome) -> State {
        let Context { gateway, nonces, .. } = context;
        let resealed = provider_keys::reseal(gateway.config(), &outcome, || nonces.next());
        if !resealed.is_empty() {
            context.outputs.push_back(Output::Keep(resealed));
        }
        begin(context, self.0, &outcome)
    }

    pub(super) fn tick(self: Box<Self>, context: &mut Context) -> State {
        match context.expired() {
            Some(_) => self.loaded(context, Err(store_is_late())),
            None => State::LoadingKeys(self),
        }
    }
}

impl StoringKey {
    pub(super) fn begin(
        context: &mut Context,
        action: Action,
        provider: &str,
        body: &[u8],
        caller: Option<&Caller>,
    ) -> State {
        let asker = Asker {
            user: owner(caller),
            unix_now: context.unix_now().as_secs(),
            nonce: context.nonces.next(),
        };
        match KeyRequest::new(context.gateway.config(), action, provider, body, &asker) {
            Ok(request) => {
                context.query(request.statements());
                State::StoringKey(Box::new(Self(request)))
            }
            Err(failure) => context.reply(Reply::failure(&failure)),
        }
    }

    pub(super) fn stored(self, context: &mut Context, outcome: Outcome) -> State {
        context.reply(self.0.reply(outcome))
    }

    pub(super) fn tick(self: Box<Self>, context: &mut Context) -> State {
        match context.expired() {
            Some(_) => self.stored(context, Err(store_is_late())),
            None => State::StoringKey(self),
        }
    }
}
