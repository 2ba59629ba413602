//! The steps of a request one by one, for drivers that do not run [`crate::request`] yet.

use std::time::Duration;

use super::Gateway;
use crate::access::Caller;
use crate::answer::Answer;
use crate::failure::{Failure, Reason};
use crate::provider_keys::{Action, Asker, KeyRequest, LOCAL_USER};
use crate::reply::Reply;
use crate::request::{self, Began, Chat, Client, PathRoute};
use crate::seal::NONCE_BYTES;
use crate::store::{self, Outcome, Statement};
use crate::time::Instant;

/// What a path is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// Chat.
    Chat(Client),
    /// A user's own key for a provider.
    ProviderKey {
        /// What is wanted with it.
        action: Action,
        /// The provider.
        provider: String,
    },
    /// A response that is known already.
    Reply(Reply),
    /// The same, for who is let in.
    Private(Reply),
}

/// What only the shell knows of a request.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// Who sent it; `None` where everybody may ask.
    pub caller: Option<Caller>,
    /// What came of [`Gateway::own_keys`]; no rows where nothing was asked.
    pub own_keys: Outcome,
    /// When, on the clock of [`Answer::handle`].
    pub now: Instant,
    /// When, in seconds since 1970.
    pub unix_seconds: u64,
    /// A random number: names the answer.
    pub random: u128,
    /// What came of [`Client::headers`].
    pub headers: Vec<(&'static str, String)>,
}

impl Arrival {
    fn began(&self) -> Began {
        Began { id: self.random, unix_now: Duration::from_secs(self.unix_seconds) }
    }
}

impl Gateway {
    /// The largest request body to read, in bytes.
    pub fn request_bytes_max(&self) -> usize {
        self.config.limits.request_bytes
    }

    /// What this path is for. `path` has no query.
    pub fn route(&self, method: &str, path: &str) -> Route {
        match PathRoute::of(method, path) {
            PathRoute::Chat(client) => Route::Chat(client),
            PathRoute::ProviderKey { action, provider } => Route::ProviderKey { action, provider },
            PathRoute::Models => Route::Private(request::list_models(self)),
            PathRoute::Reply(reply) => Route::Reply(reply),
        }
    }

    /// What to ask the store before a chat request of this caller is answered, if anything.
    pub fn own_keys(&self, caller: Option<&Caller>) -> Option<Statement> {
        let asked = self.config.providers.values().any(|provider| provider.user_keys);
        let user = caller.map_or(LOCAL_USER, |caller| &caller.user);
        asked.then(|| store::provider_keys::of_user(user))
    }

    /// Begins to do what is wanted with a caller's own key for a provider.
    pub fn provider_key(
        &self,
        action: Action,
        provider: &str,
        body: &[u8],
        caller: Option<&Caller>,
        unix_now: u64,
        nonce: [u8; NONCE_BYTES],
    ) -> Result<KeyRequest, Failure> {
        if caller.is_none() && self.config.auth.is_some() {
            return Err(Reason::CredentialsMissing.into());
        }
        let user = caller.map_or(LOCAL_USER, |caller| &caller.user);
        KeyRequest::new(&self.config, action, provider, body, &Asker { user, unix_now, nonce })
    }

    /// Begins to answer a chat request.
    pub fn answer(&self, client: Client, body: &[u8], arrival: &Arrival) -> Answer {
        if arrival.caller.is_none() && self.config.auth.is_some() {
            return self.refuse(client, Reason::CredentialsMissing.into(), arrival);
        }
        let (caller, headers) = (arrival.caller.clone(), arrival.headers.clone());
        match Chat::parse(&self.config, client, caller, headers, body) {
            Ok(chat) => {
                let (job, meta) = chat.job(self, &arrival.own_keys, arrival.began());
                Answer::new(job, meta, arrival.now)
            }
            Err(failure) => self.refuse(client, failure, arrival),
        }
    }

    /// Answers a chat request that could not even be read.
    pub fn refuse(&self, client: Client, failure: Failure, arrival: &Arrival) -> Answer {
        let chat = Chat::unread(client, arrival.caller.clone());
        let (job, meta) = chat.job(self, &Ok(Vec::new()), arrival.began());
        Answer::refused(job, meta, arrival.now, failure)
    }

    /// The failure of a body that is longer than [`Self::request_bytes_max`].
    pub fn body_too_large(&self) -> Failure {
        let max = self.request_bytes_max();
        Failure::new(Reason::BodyTooLarge, format!("The request body is longer than {max} bytes."))
    }
}
