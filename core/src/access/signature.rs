//! Signatures of tokens (RFC 7518, section 3), and the keys they are checked with.
//!
//! An algorithm belongs to a key, never to a token alone: what a token says of its algorithm only
//! chooses among the keys made for it. So no public key is ever taken for a shared secret, and
//! there is no key for `none`.

use std::fmt;

use base64ct::{Base64UrlUnpadded, Encoding};
use hmac::{Hmac, KeyInit, Mac};
use p256::ecdsa::signature::Verifier;
use rsa::{BoxedUint, RsaPublicKey};
use serde::Deserialize;
use sha2::Sha256;

/// The shortest secret of HS256, in bytes (RFC 7518, section 3.2).
pub(super) const SECRET_BYTES_MIN: usize = 32;

/// How large an RSA key may be, in bits (RFC 7518, section 3.3; NIST calls less unsafe).
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// A coordinate of P-256, in bytes.
const COORDINATE_BYTES: usize = 32;

/// How a token is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(super) enum Algorithm {
    HS256,
    RS256,
    ES256,
}

/// A key that checks signatures.
#[derive(Clone)]
pub(super) struct VerifyingKey {
    /// What tokens call it; a key without a name is tried for every token of its algorithm.
    kid: Option<String>,
    material: Material,
}

#[derive(Clone)]
enum Material {
    Secret(Box<[u8]>),
    Rsa(Box<RsaPublicKey>),
    P256(p256::ecdsa::VerifyingKey),
}

/// A public key as a JSON Web Key (RFC 7517): of its many members those that matter here.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl VerifyingKey {
    /// The secret of HS256; the error says what is wrong with it.
    pub(super) fn secret(secret: &[u8]) -> Result<Self, String> {
        if secret.len() < SECRET_BYTES_MIN {
            return Err(format!("it has {} bytes", secret.len()));
        }
        Ok(Self { kid: None, material: Material::Secret(secret.into()) })
    }

    /// The key a JWK holds, if it is one for RS256 or ES256; the error says why it is not.
    pub(super) fn from_jwk(jwk: &Jwk) -> Result<Self, String> {
        if jwk.purpose.as_deref().is_some_and(|purpose| purpose != "sig") {
            return Err("it is not for signatures".into());
        }
        let (algorithm, material) = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
            ("RSA", _) => ("RS256", Material::Rsa(Box::new(jwk.rsa()?))),
            ("EC", Some("P-256")) => ("ES256", Material::P256(jwk.p256()?)),
            (kty, crv) => {
                return Err(format!("it is of type {kty} {}", crv.unwrap_or("")).trim_end().into());
            }
        };
        match jwk.alg.as_deref() {
            Some(other) if other != algorithm => Err(format!("it is for {other}")),
            _ => Ok(Self { kid: jwk.kid.clone(), material }),
        }
    }

    /// Whether a token that names this algorithm and this key may be checked with it.
    pub(super) fn is_for(&self, algorithm: Algorithm, kid: Option<&str>) -> bool {
        let own = match self.material {
            Material::Secret(_) => Algorithm::HS256,
            Material::Rsa(_) => Algorithm::RS256,
            Material::P256(_) => Algorithm::ES256,
        };
        let same_name = match (self.kid.as_deref(), kid) {
            (Some(own), Some(kid)) => own == kid,
            (None, _) | (_, None) => true,
        };
        own == algorithm && same_name
    }

    /// Whether `signature` is this key's under `message`.
    pub(super) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match &self.material {
            Material::Secret(secret) => {
                let mac = Hmac::<Sha256>::new_from_slice(secret);
                // In constant time.
                mac.is_ok_and(|mac| mac.chain_update(message).verify_slice(signature).is_ok())
            }
            Material::Rsa(key) => {
                let key = rsa::pkcs1v15::VerifyingKey::<Sha256>::new((**key).clone());
                rsa::pkcs1v15::Signature::try_from(signature)
                    .is_ok_and(|signature| key.verify(message, &signature).is_ok())
            }
            Material::P256(key) => p256::ecdsa::Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify(message, &signature).is_ok()),
        }
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifyingKey({})", self.kid.as_deref().unwrap_or("unnamed"))
    }
}

impl Jwk {
    fn rsa(&self) -> Result<RsaPublicKey, String> {
        let number = |member, text| {
            Ok::<_, String>(BoxedUint::from_be_slice_vartime(&decoded(member, text)?))
        };
        let (n, e) = (number("n", &self.n)?, number("e", &self.e)?);
        RsaPublicKey::new_with_size_limits(n, e, RSA_BITS).map_err(|error| error.to_string())
    }

    fn p256(&self) -> Result<p256::ecdsa::VerifyingKey, String> {
        // Uncompressed, by SEC 1, section 2.3.3.
        let mut point = vec![4];
        for (member, text) in [("x", &self.x), ("y", &self.y)] {
            let coordinate = decoded(member, text)?;
            if coordinate.len() != COORDINATE_BYTES {
                return Err(format!("`{member}` has {} bytes", coordinate.len()));
            }
            point.extend(coordinate);
        }
        p256::ecdsa::VerifyingKey::from_sec1_bytes(&point)
            .map_err(|_| "it is no point of the curve".into())
    }
}

fn decoded(member: &str, text: &Option<String>) -> Result<Vec<u8>, String> {
    let text = text.as_deref().ok_or_else(|| format!("`{member}` is missing"))?;
    Base64UrlUnpadded::decode_vec(text).map_err(|_| format!("`{member}` is not base64url"))
}
