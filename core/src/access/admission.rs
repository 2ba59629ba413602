//! Admission: from a request's credentials to its caller, or the reason for refusing it.
//!
//! Of several credentials one that is good is enough: where this shows one refused, the next is
//! tried, and the request is refused when none is left.
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

use std::collections::VecDeque;
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
    /// Those that follow the one that is being checked.
    untried: VecDeque<Result<String, Failure>>,
    /// Why those before it were refused.
    refusal: Option<Failure>,
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
        let missing = self.auth.is_some().then(|| Reason::CredentialsMissing.into());
        let mut admission = Admission {
            access: self.clone(),
            began: now,
            unix_now,
            untried: VecDeque::new(),
            refusal: None,
            state: State::Over(missing.map_or(Ok(None), Err)),
        };
        if self.auth.is_some() {
            let owned = |secret: Result<&str, Failure>| secret.map(str::to_owned);
            admission.untried = credentials.secrets().map(owned).collect();
            admission.try_untried(now);
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
        self.decide(decided, now);
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
        self.decide(decided, self.began);
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

    /// What is known of the credential that was looked up.
    fn decide(&mut self, decided: Result<Caller, Failure>, now: Instant) {
        match decided {
            Ok(caller) => self.state = State::Over(Ok(Some(caller))),
            Err(failure) => {
                self.refuse(failure);
                self.try_untried(now);
            }
        }
    }

    /// Tries the credentials that are left, until one is good or must be looked up.
    fn try_untried(&mut self, now: Instant) {
        while let Some(secret) = self.untried.pop_front() {
            match secret.and_then(|secret| self.begin(&secret, now)) {
                Ok(state) => {
                    self.state = state;
                    return;
                }
                Err(failure) => self.refuse(failure),
            }
        }
    }

    fn refuse(&mut self, failure: Failure) {
        let refusal = match self.refusal.take() {
            Some(earlier) => more_informative(earlier, failure),
            None => failure,
        };
        self.state = State::Over(Err(refusal.clone()));
        self.refusal = Some(refusal);
    }

    fn begin(&self, secret: &str, now: Instant) -> Result<State, Failure> {
        let Some(auth) = &self.access.auth else { return Err(Reason::Internal.into()) };
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
        Ok(State::Over(Ok(Some(self.check(&token, &keys)?))))
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

/// Of two refusals, the more specific one: an unknown credential is reported if there is nothing else.
fn more_informative(first: Failure, second: Failure) -> Failure {
    if first.reason == Reason::CredentialsInvalid && second.reason != first.reason {
        second
    } else {
        first
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
