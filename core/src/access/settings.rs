//! `[plans]` and `[auth]`, as configured.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Deserializer};
use toml::Spanned;

use super::key::{Digest, Ring};
use super::key_set::Keys;
use super::signature::{Jwk, SECRET_BYTES_MIN, VerifyingKey};
use super::token::Claims;
use super::{Caller, InvalidUserName, Plan, UserName};
use crate::failure::{Failure, Reason};
use crate::toml::{Document, Error, SecretName, one_of, seconds_or_zero};

/// Plans by name.
pub(crate) type Plans = BTreeMap<String, Arc<Plan>>;

/// Who is let in, and with which plan.
#[derive(Clone, Debug)]
pub struct Auth {
    plans: Plans,
    /// For users who have no plan, or one that is not configured.
    default_plan: Option<Arc<Plan>>,
    keys: Ring<Caller>,
    pub(super) jwt: Option<Jwt>,
    /// Keys that are not configured may be in the store.
    pub(super) stored: bool,
}

/// Whose tokens are taken.
#[derive(Clone, Debug)]
pub(super) struct Jwt {
    pub(super) source: Source,
    pub(super) claims: Claims,
}

/// Where the keys are that check tokens.
#[derive(Clone, Debug)]
pub(super) enum Source {
    /// In the configuration.
    Given(Keys),
    /// In a key set that is fetched.
    Fetched {
        /// From where.
        url: String,
    },
}

impl Auth {
    /// Who holds the configured key of this digest.
    pub(super) fn holder(&self, digest: &Digest) -> Option<&Caller> {
        self.keys.get(digest)
    }

    /// The configured keys and who holds them.
    pub fn keys(&self) -> impl Iterator<Item = (&Digest, &Caller)> {
        self.keys.iter().map(|(digest, caller)| (digest, caller))
    }

    /// Whether a plan of that name is configured.
    pub fn has_plan(&self, name: &str) -> bool {
        self.plans.contains_key(name)
    }

    /// The user of that name, with the plan of that name or the default one. A plan that is not
    /// configured, where there is no default one, is refused: it might have been a bound.
    pub fn caller(&self, user: UserName, plan: Option<&str>) -> Result<Caller, Failure> {
        let named = plan.and_then(|name| self.plans.get(name)).or(self.default_plan.as_ref());
        match (plan, named) {
            (Some(unknown), None) => {
                let detail = format!("The plan `{unknown}` of {user} is not configured.");
                Err(Failure::new(Reason::PlanUnknown, detail))
            }
            (_, plan) => Ok(Caller { user, plan: plan.cloned() }),
        }
    }
}

/// `[auth]` as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AuthEntry {
    default_plan: Option<Spanned<String>>,
    #[serde(default)]
    keys: Vec<ApiKeyEntry>,
    jwt: Option<Spanned<JwtEntry>>,
}

/// `[auth.jwt]` as written: exactly one of the first three.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JwtEntry {
    jwks_url: Option<Spanned<String>>,
    secret: Option<Spanned<SecretName>>,
    keys: Option<Vec<Spanned<Jwk>>>,
    issuer: Option<String>,
    #[serde(default, deserialize_with = "one_or_several")]
    audience: Vec<String>,
    #[serde(default = "subject")]
    user_claim: String,
    plan_claim: Option<String>,
    #[serde(default = "leeway", deserialize_with = "seconds_or_zero")]
    leeway: Duration,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ApiKeyEntry {
    sha256: Spanned<String>,
    user: Spanned<String>,
    plan: Option<Spanned<String>>,
}

impl AuthEntry {
    /// Checks what is written; `start` is where it is in the document.
    pub(crate) fn resolve(
        self,
        document: &Document<'_>,
        start: usize,
        plans: &Plans,
        stored: bool,
    ) -> Result<Auth, Error> {
        if self.keys.is_empty() && self.jwt.is_none() && !stored {
            let expected = "keys = [{ sha256 = \"...\", user = \"...\" }], jwt, or a [store]";
            return Err(document.at(start, "auth", "it admits nobody", expected));
        }
        let default_plan = plan(self.default_plan.as_ref(), "auth.default_plan", document, plans)?;
        let mut keys = Ring::default();
        for entry in &self.keys {
            let digest = entry.digest(document)?;
            let user = user(&entry.user, document)?;
            let own = plan(entry.plan.as_ref(), "auth.keys.plan", document, plans)?;
            let caller = Caller { user, plan: own.or_else(|| default_plan.clone()) };
            if let Some(before) = keys.insert(digest, caller) {
                let what = format!("the same key is also {}'s", before.user);
                let start = entry.sha256.span().start;
                return Err(document.at(start, "auth.keys.sha256", &what, "each key once"));
            }
        }
        let jwt = self.jwt.map(|entry| {
            let start = entry.span().start;
            entry.into_inner().resolve(document, start)
        });
        Ok(Auth { plans: plans.clone(), default_plan, keys, jwt: jwt.transpose()?, stored })
    }
}

impl JwtEntry {
    fn resolve(self, document: &Document<'_>, start: usize) -> Result<Jwt, Error> {
        let source = match (&self.jwks_url, &self.secret, &self.keys) {
            (Some(url), None, None) => {
                Source::Fetched { url: document.http_url(url, "auth.jwt.jwks_url")? }
            }
            (None, Some(name), None) => Source::Given([shared(name, document)?].into()),
            (None, None, Some(keys)) if !keys.is_empty() => {
                let key = |jwk| public(jwk, document);
                Source::Given(keys.iter().map(key).collect::<Result<Vec<_>, _>>()?.into())
            }
            _ => {
                let expected = "exactly one of jwks_url, secret and keys";
                return Err(document.at(
                    start,
                    "auth.jwt",
                    "it has none of its keys, or two",
                    expected,
                ));
            }
        };
        let claims = Claims {
            issuer: self.issuer,
            audience: self.audience,
            user: self.user_claim,
            plan: self.plan_claim,
            leeway: self.leeway,
        };
        Ok(Jwt { source, claims })
    }
}

/// A secret that is not set is an error here: without it nobody could come in.
fn shared(name: &Spanned<SecretName>, document: &Document<'_>) -> Result<VerifyingKey, Error> {
    let env = &name.get_ref().env;
    let wrong = |what: &str| {
        let expected = format!("a secret of {SECRET_BYTES_MIN} bytes or more in {env}");
        document.at(name.span().start, "auth.jwt.secret", what, &expected)
    };
    let value = document.secret(env).ok_or_else(|| wrong("it is not set"))?;
    VerifyingKey::secret(value.trim().as_bytes()).map_err(|why| wrong(&why))
}

fn public(jwk: &Spanned<Jwk>, document: &Document<'_>) -> Result<VerifyingKey, Error> {
    VerifyingKey::from_jwk(jwk.get_ref()).map_err(|why| {
        let expected = "a public JWK for RS256 or ES256";
        document.at(jwk.span().start, "auth.jwt.keys", &why, expected)
    })
}

fn subject() -> String {
    "sub".to_owned()
}

/// How much the clocks of two machines may differ.
fn leeway() -> Duration {
    Duration::from_secs(60)
}

/// A text, or a list of texts.
fn one_or_several<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "expected a text or a list of texts")]
    enum OneOrSeveral {
        One(String),
        Several(Vec<String>),
    }
    Ok(match OneOrSeveral::deserialize(from)? {
        OneOrSeveral::One(one) => vec![one],
        OneOrSeveral::Several(several) => several,
    })
}

impl ApiKeyEntry {
    fn digest(&self, document: &Document<'_>) -> Result<Digest, Error> {
        self.sha256.get_ref().parse().map_err(|()| {
            let start = self.sha256.span().start;
            // What stands there may be the key itself: it is not repeated.
            let expected = "the 64 hexadecimal digits that `streamgate keys create` prints";
            document.at(start, "auth.keys.sha256", "not a SHA-256 digest", expected)
        })
    }
}

fn user(name: &Spanned<String>, document: &Document<'_>) -> Result<UserName, Error> {
    name.get_ref().parse().map_err(|expected: InvalidUserName| {
        let start = name.span().start;
        document.at(start, "auth.keys.user", "not a user name", &expected.to_string())
    })
}

fn plan(
    name: Option<&Spanned<String>>,
    key: &str,
    document: &Document<'_>,
    plans: &Plans,
) -> Result<Option<Arc<Plan>>, Error> {
    let Some(name) = name else { return Ok(None) };
    if let Some(plan) = plans.get(name.get_ref()) {
        return Ok(Some(plan.clone()));
    }
    let what = format!("there is no plan `{}`", name.get_ref());
    Err(document.at(name.span().start, key, &what, &one_of(plans.keys())))
}
