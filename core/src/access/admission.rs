//! Admission: from a request's credentials to its caller, or the reason for refusing it.
//!
//! ```text
//!  credentials ─┬─ no [auth] ───────────────────────────────► Admitted, as nobody
//!               ├─ an API key ─┬─ configured, or known ──────► Admitted
//!               │              └─ else ── Query ── found ─┬──► Admitted
//!               │                                         └──► Refused
//!               └─ a token ─┬─ its key is there, signed it ──► Admitted
//!                           └─ else ── Fetch ── fetched ──┬──► Admitted
//!                                                         └──► Refused
//! ```

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::key_set::{KeySet, Keys, Lookup};
use super::known_keys::KnownKeys;
use super::settings::{Jwt, Source};
use super::signature::VerifyingKey;
use super::token::Token;
use super::{Auth, Caller, Credentials, Digest, Key};
use crate::failure::{Failure, Reason};
use crate::store::api_keys::{self, ApiKey};
use crate::store::{Outcome, Statement};
use crate::time::Instant;

/// What all admissions share. Cheap to clone: clones share it.
#[derive(Clone, Debug)]
pub struct Access {
    auth: Option<Arc<Auth>>,
    key_set: Arc<Mutex<KeySet>>,
    known_keys: Arc<Mutex<KnownKeys>>,
}

/// One request on its way in.
#[derive(Debug)]
pub struct Admission {
    access: Access,
    began: Instant,
    unix_now: u64,
    state: State,
}

#[derive(Debug)]
enum State {
    /// The key set is being fetched that this token needs.
    Fetching(Box<Token>),
    /// The store is asked for the key of this digest.
    Asking(Digest),
    /// It is decided.
    Over(Result<Option<Caller>, Failure>),
}

/// What to do.
#[derive(Clone, Debug)]
pub enum Output {
    /// Get this URL, and hand the result to [`Admission::fetched`].
    Fetch {
        /// A URL of the configuration.
        url: String,
    },
    /// Query the store, and hand its rows to [`Admission::found`].
    Query(Statement),
    /// Answer the request: its caller is this user, or none is needed.
    Admitted(Option<Caller>),
    /// Refuse the request.
    Refused(Failure),
}

impl Access {
    /// Nothing has been fetched yet. Without `auth` everybody may ask.
    pub fn new(auth: Option<Arc<Auth>>) -> Self {
        Self { auth, key_set: Arc::default(), known_keys: Arc::default() }
    }

    /// Begins to admit a request that came at `now`, `unix_now` seconds after 1970.
    pub fn admit(&self, credentials: &Credentials, now: Instant, unix_now: u64) -> Admission {
        let state = State::Over(Ok(None));
        let mut admission = Admission { access: self.clone(), began: now, unix_now, state };
        if let Some(auth) = &self.auth {
            let state = admission.begin(auth, credentials, now);
            admission.state = state.unwrap_or_else(|failure| State::Over(Err(failure)));
        }
        admission
    }

    /// A lock that a panic cannot poison for good: every key set is a valid one.
    fn key_set(&self) -> MutexGuard<'_, KeySet> {
        self.key_set.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same for cached keys.
    fn known_keys(&self) -> MutexGuard<'_, KnownKeys> {
        self.known_keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Admission {
    /// What is to be done now.
    pub fn poll(&self) -> Output {
        match (&self.state, self.jwt().map(|jwt| &jwt.source)) {
            (State::Fetching(_), Some(Source::Fetched { url })) => {
                Output::Fetch { url: url.clone() }
            }
            (State::Asking(digest), _) => Output::Query(api_keys::by_sha256(&digest.to_string())),
            (State::Fetching(_), _) => Output::Refused(Reason::Internal.into()),
            (State::Over(Ok(caller)), _) => Output::Admitted(caller.clone()),
            (State::Over(Err(failure)), _) => Output::Refused(failure.clone()),
        }
    }

    /// Takes in the body of what was fetched, or why there is none. The error, why there are no new
    /// keys, is for the log: the keys fetched before may still serve.
    pub fn fetched(&mut self, now: Instant, body: Result<&[u8], String>) -> Result<(), String> {
        let State::Fetching(token) = &self.state else { return Ok(()) };
        let (fetched, keys) = {
            let mut key_set = self.access.key_set();
            (key_set.fetched(now, body), key_set.keys())
        };
        let decided = match keys {
            Some(keys) => self.check(token, &keys),
            None => Err(Reason::AccessUnavailable.into()),
        };
        self.state = State::Over(decided.map(Some));
        fetched
    }

    /// Takes in the store's rows. The error is for the log.
    pub fn found(&mut self, answered: Outcome) -> Result<(), Failure> {
        let State::Asking(digest) = self.state else { return Ok(()) };
        let found = answered.and_then(|rows| {
            rows.first().and_then(|rows| rows.first()).map(api_keys::read).transpose()
        });
        let (decided, asked) = match found {
            Ok(row) => {
                let holder = self.holder(&digest, row);
                if let Ok(caller) = &holder {
                    // The row is as old as the query, or newer.
                    self.access.known_keys().note(digest, caller.clone(), self.began);
                }
                (holder, Ok(()))
            }
            Err(failure) => (Err(Reason::AccessUnavailable.into()), Err(failure)),
        };
        self.state = State::Over(decided.map(Some));
        asked
    }

    /// Who holds a key that the store knows, or does not.
    fn holder(&self, digest: &Digest, row: Option<ApiKey>) -> Result<Caller, Failure> {
        let auth = self.access.auth.as_ref();
        let known = row.filter(|row| row.sha256.parse() == Ok(*digest));
        let (Some(auth), Some(key)) = (auth, known) else {
            return Err(Reason::CredentialsInvalid.into());
        };
        if key.revoked.is_some() {
            return Err(Failure::new(Reason::CredentialsInvalid, "The key was revoked."));
        }
        let user = key.user.parse().map_err(|_| {
            Failure::new(Reason::CredentialsInvalid, "The key is of nobody: its user has no name.")
        })?;
        auth.caller(user, Some(key.plan.as_str()).filter(|plan| !plan.is_empty()))
    }

    fn begin(
        &self,
        auth: &Auth,
        credentials: &Credentials,
        now: Instant,
    ) -> Result<State, Failure> {
        let secret = credentials.secret()?;
        match &auth.jwt {
            Some(jwt) if Token::is_one(secret) => self.begin_token(jwt, Token::read(secret)?, now),
            _ => {
                let digest = Digest::of(secret);
                let known = || self.access.known_keys().find(&digest, now).cloned();
                match auth.holder(&digest).cloned().or_else(known) {
                    Some(holder) => Ok(State::Over(Ok(Some(holder)))),
                    None if auth.stored && Key::is_one(secret) => Ok(State::Asking(digest)),
                    None => Err(Reason::CredentialsInvalid.into()),
                }
            }
        }
    }

    fn begin_token(&self, jwt: &Jwt, token: Token, now: Instant) -> Result<State, Failure> {
        let keys = match &jwt.source {
            Source::Given(keys) => keys.clone(),
            Source::Fetched { .. } => {
                match self.access.key_set().look_up(now, |key| is_for(key, &token)) {
                    Lookup::Use(keys) => keys,
                    Lookup::Fetch => return Ok(State::Fetching(Box::new(token))),
                    Lookup::Unknown => return Err(unknown_key()),
                    Lookup::Unavailable { until } => {
                        let mut failure = Failure::from(Reason::AccessUnavailable);
                        failure.retry_after = Some(until.since(now));
                        return Err(failure);
                    }
                }
            }
        };
        Ok(State::Over(self.check(&token, &keys).map(Some)))
    }

    /// Who a token is about, if one of the keys signed it and its claims hold.
    fn check(&self, token: &Token, keys: &Keys) -> Result<Caller, Failure> {
        let (Some(auth), Some(jwt)) = (&self.access.auth, self.jwt()) else {
            return Err(Reason::Internal.into());
        };
        let mut fitting = keys.iter().filter(|key| is_for(key, token)).peekable();
        if fitting.peek().is_none() {
            return Err(unknown_key());
        }
        if !fitting.any(|key| token.is_signed_by(key)) {
            let detail = "The token's signature is not valid.";
            return Err(Failure::new(Reason::CredentialsInvalid, detail));
        }
        let subject = token.subject(&jwt.claims, self.unix_now)?;
        auth.caller(subject.user, subject.plan.as_deref())
    }

    fn jwt(&self) -> Option<&Jwt> {
        self.access.auth.as_ref()?.jwt.as_ref()
    }
}

fn is_for(key: &VerifyingKey, token: &Token) -> bool {
    key.is_for(token.algorithm, token.kid.as_deref())
}

fn unknown_key() -> Failure {
    Failure::new(Reason::CredentialsInvalid, "No known key is for the token's algorithm and `kid`.")
}

#[cfg(test)]
mod tests;
