//! JSON Web Tokens (RFC 7519), signed and in the compact form (RFC 7515, section 7.1).

use std::fmt;
use std::time::Duration;

use base64ct::{Base64UrlUnpadded, Encoding};
use serde::Deserialize;
use serde_json::Value;

use super::UserName;
use super::signature::{Algorithm, VerifyingKey};
use crate::failure::{Failure, Reason};
use crate::json;

/// Whom tokens must come from, be for, and name.
#[derive(Clone, Debug)]
pub(super) struct Claims {
    /// What `iss` must be.
    pub(super) issuer: Option<String>,
    /// One of these must be in `aud`; with none a token must have no `aud`.
    pub(super) audience: Vec<String>,
    /// The claim that names the user.
    pub(super) user: String,
    /// The claim that names the plan.
    pub(super) plan: Option<String>,
    /// How much clocks may differ.
    pub(super) leeway: Duration,
}

/// A token whose signature nobody has checked yet. Its `Debug` leaves out what would let somebody in.
#[derive(Clone)]
pub(super) struct Token {
    pub(super) algorithm: Algorithm,
    /// What it calls the key that signed it.
    pub(super) kid: Option<String>,
    /// The bytes that were signed: header and payload as they came.
    signed: String,
    payload: Vec<u8>,
    signature: Vec<u8>,
}

/// Who a token is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Subject {
    pub(super) user: UserName,
    pub(super) plan: Option<String>,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    crit: Option<Value>,
}

impl Token {
    /// Whether a credential has a token's form.
    pub(super) fn is_one(credential: &str) -> bool {
        credential.split('.').count() == 3
    }

    /// Reads a token.
    pub(super) fn read(text: &str) -> Result<Self, Failure> {
        let malformed = || invalid("The token is malformed.");
        let (signed, signature) = text.rsplit_once('.').ok_or_else(malformed)?;
        let (header, payload) = signed.split_once('.').ok_or_else(malformed)?;
        let decode = |part| Base64UrlUnpadded::decode_vec(part).map_err(|_| malformed());
        let header: Header = json::read_bytes(&decode(header)?).map_err(|_| malformed())?;
        if header.crit.is_some() {
            return Err(invalid("The token has critical extensions, and none is understood."));
        }
        let algorithm = match header.alg.as_str() {
            "HS256" => Algorithm::HS256,
            "RS256" => Algorithm::RS256,
            "ES256" => Algorithm::ES256,
            _ => return Err(invalid("The token is not signed by HS256, RS256 or ES256.")),
        };
        Ok(Self {
            algorithm,
            kid: header.kid,
            signed: signed.to_owned(),
            payload: decode(payload)?,
            signature: decode(signature)?,
        })
    }

    /// Whether this key signed it.
    pub(super) fn is_signed_by(&self, key: &VerifyingKey) -> bool {
        key.verifies(self.signed.as_bytes(), &self.signature)
    }

    /// Who it is about, if its claims hold at this time; the signature is the caller's to check.
    pub(super) fn subject(&self, claims: &Claims, unix_now: u64) -> Result<Subject, Failure> {
        let payload: Value = json::read_bytes(&self.payload)
            .map_err(|_| invalid("The token's claims are not JSON."))?;
        claims.check_time(&payload, unix_now)?;
        claims.check_source(&payload)?;
        let user = claims.user(&payload)?;
        let plan = claims.plan.as_ref().map(|claim| text(&payload, claim)).transpose()?.flatten();
        Ok(Subject { user, plan })
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({:?}, {:?})", self.algorithm, self.kid)
    }
}

impl Claims {
    /// `exp` must be there: a token that never ends cannot be taken back.
    fn check_time(&self, payload: &Value, unix_now: u64) -> Result<(), Failure> {
        let (now, leeway) = (unix_now as f64, self.leeway.as_secs_f64());
        let date = |claim: &str| match payload.get(claim) {
            None => Ok(None),
            Some(value) => value
                .as_f64()
                .map(Some)
                .ok_or_else(|| invalid(format!("The token's `{claim}` is not a date."))),
        };
        let expires = date("exp")?.ok_or_else(|| invalid("The token has no `exp`."))?;
        if now >= expires + leeway {
            return Err(Reason::CredentialsExpired.into());
        }
        match date("nbf")? {
            Some(begins) if now + leeway < begins => Err(invalid("The token is not valid yet.")),
            _ => Ok(()),
        }
    }

    fn check_source(&self, payload: &Value) -> Result<(), Failure> {
        if self.issuer.is_some() && text(payload, "iss")? != self.issuer {
            return Err(invalid("The token is not of the configured issuer."));
        }
        let named: Vec<&str> = match payload.get("aud") {
            None => Vec::new(),
            Some(Value::String(one)) => vec![one],
            Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
            Some(_) => return Err(invalid("The token's `aud` is not a text, nor a list of them.")),
        };
        let meant = match self.audience.as_slice() {
            // It is for somebody, and nobody said that it is us (RFC 7519, section 4.1.3).
            [] => payload.get("aud").is_none(),
            ours => ours.iter().any(|ours| named.contains(&ours.as_str())),
        };
        if meant { Ok(()) } else { Err(invalid("The token is for another audience.")) }
    }

    fn user(&self, payload: &Value) -> Result<UserName, Failure> {
        let claim = &self.user;
        let user = match find(payload, claim) {
            Some(Value::Number(number)) => Some(number.to_string()),
            _ => text(payload, claim)?,
        };
        user.and_then(|user| user.parse().ok())
            .ok_or_else(|| invalid(format!("The token's `{claim}` does not name a user.")))
    }
}

/// A claim by its name or, where there is none of that name, by the path `object.member`.
fn find<'a>(payload: &'a Value, claim: &str) -> Option<&'a Value> {
    let by_path = || claim.split('.').try_fold(payload, |value, member| value.get(member));
    payload.get(claim).or_else(by_path)
}

fn text(payload: &Value, claim: &str) -> Result<Option<String>, Failure> {
    match find(payload, claim) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(invalid(format!("The token's `{claim}` is not a text."))),
    }
}

fn invalid(detail: impl Into<String>) -> Failure {
    Failure::new(Reason::CredentialsInvalid, detail)
}

#[cfg(test)]
mod tests;
