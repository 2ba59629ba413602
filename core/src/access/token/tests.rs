use super::*;
use crate::access::signature::Jwk;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::json;

/// The payload of the examples of RFC 7515, appendix A: `iss` is joe, `exp` this.
const PAYLOAD: &str = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
const EXP: u64 = 1_300_819_380;

/// Appendix A.1.
const HS256: (&str, &str, &str) = (
    "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9",
    "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
    "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow",
);
/// Appendix A.2.
const RS256: (&str, &str, &str) = (
    "eyJhbGciOiJSUzI1NiJ9",
    "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw",
    "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ",
);
/// Appendix A.3.
const ES256: (&str, &str, &str) = (
    "eyJhbGciOiJFUzI1NiJ9",
    "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
    "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
);

fn jwk(value: Value) -> Result<VerifyingKey, String> {
    VerifyingKey::from_jwk(&serde_json::from_value::<Jwk>(value).unwrap())
}

fn keys() -> [VerifyingKey; 3] {
    let secret = Base64UrlUnpadded::decode_vec(HS256.2).unwrap();
    [
        VerifyingKey::secret(&secret).unwrap(),
        jwk(json!({"kty": "RSA", "n": RS256.2, "e": "AQAB"})).unwrap(),
        jwk(json!({
            "kty": "EC", "crv": "P-256", "y": ES256.2,
            "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        }))
        .unwrap(),
    ]
}

fn read((header, signature, _): (&str, &str, &str)) -> Token {
    Token::read(&format!("{header}.{PAYLOAD}.{signature}")).unwrap()
}

#[test]
fn the_examples_of_the_standard_are_signed_by_their_keys_and_no_other() {
    let tokens = [HS256, RS256, ES256].map(read);
    for (t, token) in tokens.iter().enumerate() {
        for (k, key) in keys().iter().enumerate() {
            assert_eq!(key.is_for(token.algorithm, None), t == k, "{token:?} {key:?}");
            assert_eq!(token.is_signed_by(key), t == k, "{token:?} {key:?}");
        }
    }
}

#[test]
fn a_changed_byte_is_noticed_wherever_it_is() {
    for (example, key) in [HS256, RS256, ES256].into_iter().zip(keys()) {
        let whole = format!("{}.{PAYLOAD}.{}", example.0, example.1);
        for at in (0..whole.len() - 2).step_by(7) {
            let mut bytes = whole.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(bytes).unwrap();
            let signed = Token::read(&changed)
                .is_ok_and(|token| key.is_for(token.algorithm, None) && token.is_signed_by(&key));
            assert!(!signed, "{changed}");
        }
    }
}

/// The old attack: the public key, which everybody has, as the secret of HS256.
#[test]
fn a_public_key_is_no_secret() {
    let signed = format!("{}.{PAYLOAD}", encode(&json!({"alg": "HS256"})));
    let forged = format!("{signed}.{}", mac(RS256.2.as_bytes(), &signed));
    let token = Token::read(&forged).unwrap();
    assert!(keys()[1..].iter().all(|key| !key.is_for(token.algorithm, None)));
    assert!(keys().iter().all(|key| !token.is_signed_by(key)));
}

#[test]
fn what_is_no_signed_token_is_not_read() {
    let payload = json!({"sub": "ada", "exp": 2});
    for (header, word) in [
        (json!({"alg": "none"}), "HS256, RS256 or ES256"),
        (json!({"alg": "None"}), "HS256, RS256 or ES256"),
        (json!({"alg": "HS512"}), "HS256, RS256 or ES256"),
        (json!({"alg": ["HS256"]}), "malformed"),
        (json!({}), "malformed"),
        (json!([]), "malformed"),
        (json!({"alg": "HS256", "crit": ["exp"]}), "critical"),
    ] {
        let failure = Token::read(&made(&header, &payload)).unwrap_err();
        assert_eq!(failure.reason, Reason::CredentialsInvalid);
        assert!(failure.detail.contains(word), "{header}: {failure}");
    }
    for text in ["", ".", "..", "a.b.c", "e30.e30", "e30.e30.!", "é.e30.e30"] {
        assert!(Token::read(text).is_err(), "{text}");
    }
}

#[test]
fn keys_that_are_weak_or_for_something_else_are_none() {
    assert!(VerifyingKey::secret(&[7; 31]).unwrap_err().contains("31 bytes"));
    let short = Base64UrlUnpadded::encode_string(&[0xff; 128]);
    for (value, word) in [
        (json!({"kty": "RSA", "n": short, "e": "AQAB"}), "small"),
        (json!({"kty": "RSA", "n": RS256.2}), "`e` is missing"),
        (json!({"kty": "RSA", "n": "*", "e": "AQAB"}), "`n` is not base64url"),
        (json!({"kty": "RSA", "n": RS256.2, "e": "AQAB", "alg": "PS256"}), "PS256"),
        (json!({"kty": "RSA", "n": RS256.2, "e": "AQAB", "use": "enc"}), "signatures"),
        (json!({"kty": "EC", "crv": "P-384", "x": "AA", "y": "AA"}), "EC P-384"),
        (json!({"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}), "`x` has 1 bytes"),
        (json!({"kty": "EC", "crv": "P-256", "x": ES256.2, "y": ES256.2}), "no point"),
        (json!({"kty": "oct", "k": HS256.2}), "oct"),
    ] {
        let why = jwk(value.clone()).unwrap_err();
        assert!(why.contains(word), "{value}: {why}");
    }
}

#[test]
fn a_named_key_is_for_tokens_that_name_it_or_none() {
    let key = jwk(json!({"kty": "RSA", "n": RS256.2, "e": "AQAB", "kid": "k1"})).unwrap();
    assert!(key.is_for(Algorithm::RS256, Some("k1")));
    assert!(key.is_for(Algorithm::RS256, None));
    assert!(!key.is_for(Algorithm::RS256, Some("k2")));
    assert!(!key.is_for(Algorithm::HS256, Some("k1")));
}

fn claims() -> Claims {
    Claims {
        issuer: None,
        audience: Vec::new(),
        user: "sub".into(),
        plan: Some("plan".into()),
        leeway: Duration::from_secs(60),
    }
}

#[test]
fn the_examples_claims_hold_until_they_expire() {
    let claims = Claims { user: "iss".into(), issuer: Some("joe".into()), ..claims() };
    let subject = |at| read(HS256).subject(&claims, at);
    assert_eq!(subject(EXP), Ok(Subject { user: "joe".parse().unwrap(), plan: None }));
    assert!(subject(EXP + 59).is_ok());
    assert_eq!(subject(EXP + 60).unwrap_err().reason, Reason::CredentialsExpired);
}

/// Each row: what the claims are beside a user and an end, and who that is or what is wrong.
#[test]
fn claims_are_checked() {
    let ours = Claims {
        issuer: Some("https://id.example".into()),
        audience: vec!["gate".into(), "gate2".into()],
        ..claims()
    };
    let rows: &[(Value, &str)] = &[
        (json!({"aud": "gate"}), "ada/-"),
        (json!({"aud": ["other", "gate2"], "plan": "pro"}), "ada/pro"),
        (json!({"aud": "gate", "plan": null}), "ada/-"),
        (json!({"aud": "gate", "sub": 12}), "12/-"),
        (json!({"aud": "gate", "exp": 1000.5}), "ada/-"),
        (json!({"aud": "gate", "nbf": 1060}), "ada/-"),
        (json!({"aud": "gate", "nbf": 1061}), "not valid yet"),
        (json!({"aud": "gate", "nbf": "now"}), "`nbf` is not a date"),
        (json!({"aud": "gate", "exp": null}), "`exp` is not a date"),
        (json!({"aud": "gate", "exp": 940}), "expired"),
        (json!({"aud": "other"}), "another audience"),
        (json!({"aud": 7}), "`aud` is not a text"),
        (json!({}), "another audience"),
        (json!({"aud": "gate", "iss": "https://evil.example"}), "configured issuer"),
        (json!({"aud": "gate", "iss": null}), "configured issuer"),
        (json!({"aud": "gate", "sub": ""}), "`sub` does not name a user"),
        (json!({"aud": "gate", "sub": "a\nb"}), "`sub` does not name a user"),
        (json!({"aud": "gate", "sub": null}), "`sub` does not name a user"),
        (json!({"aud": "gate", "sub": {"a": 1}}), "`sub` is not a text"),
        (json!({"aud": "gate", "plan": 7}), "`plan` is not a text"),
    ];
    for (own, expected) in rows {
        let mut all = json!({"sub": "ada", "exp": 2000, "iss": "https://id.example"});
        all.as_object_mut().unwrap().extend(own.as_object().unwrap().clone());
        let token = Token::read(&made(&json!({"alg": "HS256"}), &all)).unwrap();
        match token.subject(&ours, 1000) {
            Ok(Subject { user, plan }) => {
                assert_eq!(format!("{user}/{}", plan.as_deref().unwrap_or("-")), *expected);
            }
            Err(failure) => assert!(failure.message().contains(expected), "{own}: {failure}"),
        }
    }
}

#[test]
fn a_token_for_somebody_is_not_for_a_gateway_without_a_name() {
    let token = |payload| Token::read(&made(&json!({"alg": "HS256"}), &payload)).unwrap();
    let anybodys = token(json!({"sub": "ada", "exp": 2000}));
    assert!(anybodys.subject(&claims(), 1000).is_ok());
    let somebodys = token(json!({"sub": "ada", "exp": 2000, "aud": "gate"}));
    assert!(somebodys.subject(&claims(), 1000).is_err());
    let endless = token(json!({"sub": "ada"}));
    assert!(endless.subject(&claims(), 1000).unwrap_err().detail.contains("no `exp`"));
}

#[test]
fn a_claim_may_lie_within_another() {
    let payload = json!({
        "https://a.example/user": "ada", "app_metadata": {"plan": "pro"}, "exp": 2000,
    });
    let claims = Claims {
        user: "https://a.example/user".into(),
        plan: Some("app_metadata.plan".into()),
        ..claims()
    };
    let token = Token::read(&made(&json!({"alg": "HS256"}), &payload)).unwrap();
    let ada = Subject { user: "ada".parse().unwrap(), plan: Some("pro".into()) };
    assert_eq!(token.subject(&claims, 1000), Ok(ada));
}

fn made(header: &Value, payload: &Value) -> String {
    let signed = format!("{}.{}", encode(header), encode(payload));
    let signature = mac(&[7; 32], &signed);
    format!("{signed}.{signature}")
}

fn encode(value: &Value) -> String {
    Base64UrlUnpadded::encode_string(value.to_string().as_bytes())
}

fn mac(secret: &[u8], signed: &str) -> String {
    let mac = Hmac::<sha2::Sha256>::new_from_slice(secret).unwrap();
    Base64UrlUnpadded::encode_string(&mac.chain_update(signed).finalize().into_bytes())
}
