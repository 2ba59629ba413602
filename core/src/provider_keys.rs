//! Users' own keys for providers: how they are set and shown, and the targets as their user has
//! them called.
//!
//! A key is sealed before it comes near the store, and bound to its user, its provider and the base
//! URL it is for: a key that is moved to another row, or whose URL is changed there, opens nothing.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::config::Config;
use crate::egress;
use crate::failure::{Failure, Reason};
use crate::protocol::parse_json;
use crate::reply::Reply;
use crate::seal::{MasterKeys, NONCE_BYTES, Sealed};
use crate::store::provider_keys::{self, ProviderKey};
use crate::store::{Outcome, Rows, Statement};
use crate::target::{ApiKey, ChosenBy, Provider, Target};

/// The longest key, in bytes.
const KEY_BYTES_MAX: usize = 4096;
/// A key is long enough for its end to be shown if it has this many bytes.
const SHOWN_KEY_BYTES_MIN: usize = 20;
/// How much of its end is shown, in bytes.
const SHOWN_BYTES: usize = 4;

/// The user where no `[auth]` is configured.
pub const LOCAL_USER: &str = "local";

/// What a request about one's own key wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// `PUT`: set it.
    Set,
    /// `GET`: show whether there is one.
    Show,
    /// `DELETE`: delete it.
    Forget,
}

impl Action {
    /// What an HTTP method wants.
    pub fn of(method: &str) -> Option<Self> {
        match method {
            "PUT" => Some(Self::Set),
            "GET" => Some(Self::Show),
            "DELETE" => Some(Self::Forget),
            _ => None,
        }
    }
}

/// Who asks, and when.
#[derive(Clone, Copy, Debug)]
pub struct Asker<'a> {
    /// The user.
    pub user: &'a str,
    /// Seconds since 1970.
    pub unix_now: u64,
    /// Random, and never used before.
    pub nonce: [u8; NONCE_BYTES],
}

/// A request about one's own key, on its way through the store.
#[derive(Clone, Debug)]
pub struct KeyRequest {
    master: MasterKeys,
    user: String,
    provider: String,
    statements: Vec<Statement>,
}

/// The body of a `PUT`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    key: String,
    base_url: Option<String>,
}

impl KeyRequest {
    /// Checks what is wanted with the asker's key for a provider.
    pub fn new(
        config: &Config,
        action: Action,
        provider: &str,
        body: &[u8],
        asker: &Asker<'_>,
    ) -> Result<Self, Failure> {
        let store = config.store.as_ref().ok_or(Reason::StoreMissing)?;
        let takes = |provider: &&Arc<Provider>| provider.user_keys;
        let Some(_) = config.providers.get(provider).filter(takes) else {
            return Err(not_taken(config, provider));
        };
        let master = store.master_keys.clone().ok_or(Reason::StoreMissing)?;
        let user = asker.user;
        let mut statements = match action {
            Action::Set => vec![provider_keys::upsert(&seal(&master, provider, body, asker)?)],
            Action::Show => vec![],
            Action::Forget => vec![provider_keys::delete(user, provider)],
        };
        // The response shows what the store has afterwards.
        statements.push(provider_keys::of_user(user));
        Ok(Self { master, user: user.to_owned(), provider: provider.to_owned(), statements })
    }

    /// What the store is to run, as one transaction.
    pub fn statements(&self) -> Vec<Statement> {
        self.statements.clone()
    }

    /// The response, by the rows that the store returned.
    pub fn reply(&self, outcome: Outcome) -> Reply {
        let kept = outcome.and_then(|rows| kept(&rows));
        match kept {
            Ok(keys) => {
                let key = keys.iter().find(|key| key.provider == self.provider);
                Reply::json(200, self.shown(key).to_string().into_bytes())
            }
            Err(failure) => Reply::failure(&failure),
        }
    }

    /// What is shown of a key: never the key itself.
    fn shown(&self, key: Option<&ProviderKey>) -> Value {
        let provider = &self.provider;
        let Some(key) = key else { return json!({"provider": provider, "set": false}) };
        let mut shown = json!({
            "provider": provider,
            "set": true,
            "created": key.created,
            "updated": key.updated,
        });
        let opened = open(&self.master, &self.user, key);
        if let Some(end) = opened.as_deref().ok().and_then(end_of) {
            shown["last4"] = end.into();
        }
        if !key.base_url.is_empty() {
            shown["base_url"] = key.base_url.as_str().into();
        }
        shown
    }
}

/// The targets with their user's own keys; `outcome` is the result of [`provider_keys::of_user`].
/// A target whose user's key is unknown because the store failed, or cannot be opened, is not
/// called: nobody else's key is used in its place.
pub fn apply(
    targets: &[Arc<Target>],
    config: &Config,
    user: &str,
    outcome: &Outcome,
) -> Vec<Arc<Target>> {
    if !targets.iter().any(|target| target.provider.user_keys) {
        return targets.to_vec();
    }
    let keys = outcome.as_ref().map_err(Failure::clone).and_then(|rows| kept(rows));
    let master = config.store.as_ref().and_then(|store| store.master_keys.as_ref());
    let own = |provider: &Provider| -> Result<Option<Provider>, Failure> {
        let keys = keys.as_ref().map_err(Failure::clone)?;
        let Some(key) = keys.iter().find(|key| key.provider == provider.name) else {
            return Ok(None);
        };
        let opened = open(master.ok_or(Reason::StoreMissing)?, user, key)?;
        called_with(provider, opened, &key.base_url).map(Some)
    };
    let apply = |target: &Arc<Target>| {
        let provider = match own(&target.provider) {
            _ if !target.provider.user_keys => return target.clone(),
            Ok(None) => return target.clone(),
            Ok(Some(provider)) => provider,
            Err(failure) => {
                let api_key = ApiKey::Unusable(Box::new(failure));
                Provider { api_key, ..Provider::clone(&target.provider) }
            }
        };
        Arc::new(Target { provider: Arc::new(provider), ..Target::clone(target) })
    };
    targets.iter().map(apply).collect()
}

fn called_with(provider: &Provider, key: String, base_url: &str) -> Result<Provider, Failure> {
    let mut own =
        Provider { api_key: ApiKey::Set(key), chosen_by: ChosenBy::User, ..provider.clone() };
    if !base_url.is_empty() {
        // The rules may have become stricter since it was set.
        own.base_url = egress::public_url(base_url).map_err(|why| forbidden(&why))?;
        own.chosen_by = ChosenBy::UserWithUrl;
        // What the operator configured for its own URL need not hold for the user's.
        (own.dialect, own.headers) = (None, Vec::new());
    }
    Ok(own)
}

fn seal(
    master: &MasterKeys,
    provider: &str,
    body: &[u8],
    asker: &Asker<'_>,
) -> Result<ProviderKey, Failure> {
    let Body { key, base_url } = parse_json(body)?;
    let base_url = match base_url.as_deref() {
        None | Some("") => String::new(),
        Some(url) => egress::public_url(url).map_err(|why| forbidden(&why))?,
    };
    if key.is_empty() || key.len() > KEY_BYTES_MAX || !key.bytes().all(|b| b.is_ascii_graphic()) {
        let detail = format!("key: expected 1 to {KEY_BYTES_MAX} visible ASCII characters");
        return Err(Failure::new(Reason::InvalidRequest, detail).at("key"));
    }
    let Sealed { text, key_id } =
        master.seal(&key, &[asker.user, provider, &base_url], asker.nonce);
    Ok(ProviderKey {
        user: asker.user.to_owned(),
        provider: provider.to_owned(),
        sealed: text,
        key_id,
        base_url,
        created: asker.unix_now,
        updated: asker.unix_now,
    })
}

fn open(master: &MasterKeys, user: &str, key: &ProviderKey) -> Result<String, Failure> {
    let sealed = Sealed { text: key.sealed.clone(), key_id: key.key_id.clone() };
    master.open(&sealed, &[user, &key.provider, &key.base_url])
}

/// The same key, sealed with the current master key; `None` if it already is.
pub fn resealed(
    master: &MasterKeys,
    key: &ProviderKey,
    nonce: [u8; NONCE_BYTES],
) -> Result<Option<ProviderKey>, Failure> {
    if master.is_current(&key.key_id) {
        return Ok(None);
    }
    let opened = open(master, &key.user, key)?;
    let place = [key.user.as_str(), &key.provider, &key.base_url];
    let Sealed { text, key_id } = master.seal(&opened, &place, nonce);
    Ok(Some(ProviderKey { sealed: text, key_id, ..key.clone() }))
}

/// Statements that reseal those of a user's keys that the previous master key sealed; `outcome` is
/// as for [`apply`]. `nonce` returns fresh random bytes each time.
pub fn reseal(
    config: &Config,
    outcome: &Outcome,
    mut nonce: impl FnMut() -> [u8; NONCE_BYTES],
) -> Vec<Statement> {
    let master = config.store.as_ref().and_then(|store| store.master_keys.as_ref());
    let (Some(master), Ok(rows)) = (master, outcome) else { return Vec::new() };
    let reseal = |key: &ProviderKey| {
        // A key that cannot be opened stays as it is: its user gets the error when it is used.
        let anew = resealed(master, key, nonce()).ok().flatten()?;
        Some(provider_keys::reseal(&anew, &key.sealed))
    };
    let keys = kept(rows).unwrap_or_default();
    keys.iter().filter(|key| !master.is_current(&key.key_id)).filter_map(reseal).collect()
}

fn kept(rows: &[Rows]) -> Result<Vec<ProviderKey>, Failure> {
    rows.last().into_iter().flatten().map(provider_keys::read).collect()
}

fn end_of(key: &str) -> Option<&str> {
    key.get(key.len().checked_sub(SHOWN_BYTES)?..).filter(|_| key.len() >= SHOWN_KEY_BYTES_MIN)
}

fn forbidden(why: &str) -> Failure {
    let detail = format!("base_url: {why}");
    Failure::new(Reason::AddressForbidden, detail).at("base_url")
}

fn not_taken(config: &Config, provider: &str) -> Failure {
    let taking = config.providers.values().filter(|provider| provider.user_keys);
    let names: Vec<_> = taking.map(|provider| format!("`{}`", provider.name)).collect();
    let detail = match names.as_slice() {
        [] => "No provider takes users' own keys here.".to_owned(),
        names => {
            let names = names.join(", ");
            format!("`{provider}` takes no keys of users: expected one of {names}.")
        }
    };
    Failure::new(Reason::NotFound, detail)
}

#[cfg(test)]
mod tests;
