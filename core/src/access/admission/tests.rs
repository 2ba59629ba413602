use super::*;
use crate::config::Config;
use crate::store::{Row, Value};

/// A set with the key of RFC 7515, appendix A.3, under this name.
fn key_set(kid: &str) -> String {
    format!(
        r#"{{"keys": [{{"kty": "EC", "crv": "P-256", "kid": "{kid}",
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}}]}}"#
    )
}

/// The token of that appendix: joe's, until [`EXP`].
const TOKEN: &str = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
const EXP: u64 = 1_300_819_380;

fn access(auth: &str) -> Access {
    let text = format!(
        "[providers.local]\nprotocol = \"local\"\n[models.m]\ntargets = [\"local/m\"]\n\
         [plans.pro]\nmax_output_tokens = 8000\n[plans.free]\nmax_output_tokens = 2000\n{auth}"
    );
    Access::new(Config::parse(&text, |_| None).unwrap().auth)
}

fn shown(secret: &str) -> Credentials {
    let bearer = format!("Bearer {secret}");
    Credentials::read(|name| (name == "authorization").then_some(bearer.as_str()))
}

fn admit(access: &Access, secret: &str, seconds: u64) -> Admission {
    access.admit(&shown(secret), Instant::from_millis(seconds * 1000), EXP)
}

#[track_caller]
fn check(admission: &Admission, expected: &str) {
    let reported = match admission.poll() {
        Output::Fetch { url } => url,
        Output::Query(statement) => format!("{:?}", statement.parameters),
        Output::Admitted(None) => "nobody".into(),
        Output::Admitted(Some(Caller { user, plan })) => {
            format!("{user}/{}", plan.map_or_else(|| "-".into(), |plan| plan.name.clone()))
        }
        Output::Refused(failure) => failure.reason.code().into(),
    };
    assert_eq!(reported, expected);
}

const JWKS: &str = "[auth.jwt]\njwks_url = \"https://id.example/keys\"\nuser_claim = \"iss\"\n";
const URL: &str = "https://id.example/keys";

#[test]
fn without_auth_everybody_is_let_in_as_nobody() {
    check(&admit(&access(""), "anything", 0), "nobody");
}

#[test]
fn an_api_key_lets_its_user_in() {
    let [ada, bob] = [1, 2].map(|n| Key::new([n; 32]));
    let access = access(&format!(
        "[auth]\ndefault_plan = \"free\"\nkeys = [{{ sha256 = \"{}\", user = \"ada\", plan = \
         \"pro\" }}, {{ sha256 = \"{}\", user = \"bob\" }}]",
        ada.digest(),
        bob.digest()
    ));
    check(&admit(&access, ada.reveal(), 0), "ada/pro");
    check(&admit(&access, bob.reveal(), 0), "bob/free");
    check(&admit(&access, &ada.reveal().to_uppercase(), 0), "invalid_api_key");
    check(&admit(&access, &ada.digest().to_string(), 0), "invalid_api_key");
    check(&admit(&access, "", 0), "missing_credentials");
    // Nobody signs tokens here, so one is a key that is not known.
    check(&admit(&access, TOKEN, 0), "invalid_api_key");
}

/// A stale token of another service stands in one header, the good key in the other.
#[test]
fn one_good_credential_of_several_is_enough() {
    let [ada, stored, unknown] = [1, 2, 3].map(|n| Key::new([n; 32]));
    let keys = format!("[auth]\nkeys = [{{ sha256 = \"{}\", user = \"ada\" }}]\n", ada.digest());
    let store = "[store]\nurl = \"sqlite:a.db\"\n";
    let access = access(&format!("{keys}{JWKS}{store}"));
    let admit = |bearer: &str, bare: &str| {
        let bearer = format!("Bearer {bearer}");
        let credentials = Credentials::read(|name| match name {
            "authorization" => Some(bearer.as_str()),
            "x-api-key" => Some(bare),
            _ => None,
        });
        access.admit(&credentials, Instant::ZERO, EXP)
    };
    check(&admit("stale", ada.reveal()), "ada/-");
    check(&admit(ada.reveal(), "stale"), "ada/-");
    check(&admit("stale", "another"), "invalid_api_key");
    // What is looked up first may turn out to be unknown.
    let mut first = admit(unknown.reveal(), ada.reveal());
    check(&first, &format!("{:?}", [Value::Text(unknown.digest().to_string())]));
    assert_eq!(first.found(Ok(vec![vec![]])), Ok(()));
    check(&first, "ada/-");
    let mut second = admit(TOKEN, stored.reveal());
    check(&second, URL);
    assert!(second.fetched(Instant::ZERO, Err("refused".into())).is_err());
    check(&second, &format!("{:?}", [Value::Text(stored.digest().to_string())]));
    // The provider of tokens is out of reach: the request may be good all the same.
    assert_eq!(second.found(Ok(vec![vec![]])), Ok(()));
    check(&second, "auth_unavailable");
}

#[test]
fn a_tokens_key_is_fetched_and_then_known() {
    let access = access(JWKS);
    let mut first = admit(&access, TOKEN, 0);
    check(&first, URL);
    assert_eq!(first.fetched(Instant::ZERO, Ok(key_set("a").as_bytes())), Ok(()));
    check(&first, "joe/-");
    check(&admit(&access, TOKEN, 1), "joe/-");
    check(&admit(&access, &TOKEN.replace("DtEh", "DtEi"), 1), "invalid_api_key");
}

#[test]
fn keys_outlive_a_fetch_that_fails() {
    let access = access(JWKS);
    let mut first = admit(&access, TOKEN, 0);
    assert_eq!(first.fetched(Instant::ZERO, Ok(key_set("a").as_bytes())), Ok(()));
    let mut later = admit(&access, TOKEN, 601);
    check(&later, URL);
    check(&admit(&access, TOKEN, 601), "joe/-");
    assert!(later.fetched(Instant::ZERO, Err("unreachable".into())).is_err());
    check(&later, "joe/-");
}

#[test]
fn without_any_key_the_gateway_is_to_blame() {
    let access = access(JWKS);
    let mut first = admit(&access, TOKEN, 0);
    assert!(first.fetched(Instant::ZERO, Ok(b"<html>")).is_err());
    check(&first, "auth_unavailable");
    let second = admit(&access, TOKEN, 1);
    let Output::Refused(failure) = second.poll() else { panic!("expected a refusal") };
    assert_eq!(failure.reason, Reason::AccessUnavailable);
    assert_eq!(failure.retry_after, Some(std::time::Duration::from_secs(1)));
}

#[test]
fn a_key_that_was_rotated_out_is_no_longer_good() {
    // Signed by the key of that appendix, and naming it.
    let access = access(JWKS);
    let mut first = admit(&access, TOKEN, 0);
    let other = r#"{"keys": [{"kty": "EC", "crv": "P-256", "kid": "b",
        "x": "weNJy2HscCSM6AEDTDg04biOvhFhyyWvOHQfeF_PxMQ",
        "y": "e8lnCO-AlStT-NJVX-crhB7QRYhiix03illJOVAOyck"}]}"#;
    assert_eq!(first.fetched(Instant::ZERO, Ok(other.as_bytes())), Ok(()));
    check(&first, "invalid_api_key");
}

#[test]
fn an_unknown_plan_is_the_default_one_or_refused() {
    let keys = key_set("a");
    for (plan, expected) in
        [("", "plan_unknown"), ("[auth]\ndefault_plan = \"free\"\n", "joe/free")]
    {
        let access = access(&format!("{plan}{JWKS}plan_claim = \"iss\"\n"));
        let mut admission = admit(&access, TOKEN, 0);
        assert_eq!(admission.fetched(Instant::ZERO, Ok(keys.as_bytes())), Ok(()));
        check(&admission, expected);
    }
}

#[test]
fn nothing_is_asked_for_what_is_no_token() {
    let access = access(JWKS);
    check(&admit(&access, "sg_00", 0), "invalid_api_key");
    check(&admit(&access, "a.b.c", 0), "invalid_api_key");
    check(&admit(&access, "", 0), "missing_credentials");
}

#[test]
fn no_failure_repeats_the_credential() {
    let access = access(JWKS);
    for secret in ["sg_secret", "secret.secret.secret", TOKEN] {
        let mut admission = admit(&access, secret, 0);
        let _ = admission.fetched(Instant::ZERO, Err("unreachable".into()));
        let told = format!("{admission:?} {:?}", admission.poll());
        assert!(!told.contains("secret") && !told.contains(&TOKEN[..20]), "{told}");
    }
}

/// A row of the store.
fn row(key: &Key, plan: &str, revoked: i64) -> Row {
    let text = |text: &str| Value::Text(text.to_owned());
    let digest = key.digest();
    Row(vec![
        text(&digest.id()),
        text(&digest.to_string()),
        text("ada"),
        text(plan),
        text(""),
        Value::Integer(1),
        Value::Integer(revoked),
    ])
}

const STORE: &str = "[store]\nurl = \"sqlite:x.db\"\n[auth]\ndefault_plan = \"free\"\n";

#[test]
fn a_key_that_is_not_configured_is_looked_for_in_the_store() {
    let (key, other) = (Key::new([1; 32]), Key::new([2; 32]));
    let cases = [
        (Ok(vec![vec![row(&key, "pro", 0)]]), "ada/pro"),
        (Ok(vec![vec![row(&key, "", 0)]]), "ada/free"),
        (Ok(vec![vec![row(&key, "gone", 0)]]), "ada/free"),
        (Ok(vec![vec![row(&key, "pro", 9)]]), "invalid_api_key"),
        (Ok(vec![vec![row(&other, "pro", 0)]]), "invalid_api_key"),
        (Ok(vec![vec![]]), "invalid_api_key"),
        (Ok(vec![]), "invalid_api_key"),
        (Ok(vec![vec![Row(vec![])]]), "auth_unavailable"),
        (Err(Reason::StoreUnavailable.into()), "auth_unavailable"),
    ];
    for (answered, expected) in cases {
        let mut admission = admit(&access(STORE), key.reveal(), 0);
        check(&admission, &format!("[Text(\"{}\")]", key.digest()));
        assert_eq!(admission.found(answered).is_err(), expected == "auth_unavailable");
        check(&admission, expected);
    }
}

/// Counted from when it was asked for: how long the store took is no reason to trust it longer.
#[test]
fn the_store_is_not_asked_for_a_key_it_told_of_lately() {
    let (access, key) = (access(STORE), Key::new([1; 32]));
    let query = format!("[Text(\"{}\")]", key.digest());
    let mut first = admit(&access, key.reveal(), 5);
    assert_eq!(first.found(Ok(vec![vec![row(&key, "pro", 0)]])), Ok(()));
    check(&admit(&access, key.reveal(), 14), "ada/pro");
    let mut later = admit(&access, key.reveal(), 15);
    check(&later, &query);
    assert_eq!(later.found(Ok(vec![vec![row(&key, "pro", 9)]])), Ok(()));
    check(&later, "invalid_api_key");
    check(&admit(&access, key.reveal(), 15), &query);
}

#[test]
fn the_store_is_not_asked_for_what_is_no_key_of_ours() {
    check(&admit(&access(STORE), "hello", 0), "invalid_api_key");
    check(&admit(&access(STORE), TOKEN, 0), "invalid_api_key");
}
