use super::*;
use crate::store::Row;

const KEY: &str = "sk-user-0123456789abcdef";

fn config() -> Config {
    let text = r#"
        [store]
        url = "sqlite:a.db"
        master_key = { env = "MASTER" }
        [providers.both]
        protocol = "openai"
        base_url = "http://127.0.0.1:1/v1"
        api_key = { env = "KEY", user = true }
        [providers.own]
        protocol = "openai"
        base_url = "https://own.example/v1"
        api_key = { user = true }
        [providers.ours]
        protocol = "openai"
        base_url = "https://ours.example/v1"
        api_key = { env = "KEY" }
        [models.m]
        targets = ["both/a", "own/b", "ours/c"]
    "#;
    let secret = |name: &str| match name {
        "MASTER" => Some("0".repeat(64)),
        _ => Some("sk-operator".to_owned()),
    };
    Config::parse(text, secret).unwrap()
}

fn asker(user: &str) -> Asker<'_> {
    Asker { user, unix_now: 1_750_000_000, nonce: [7; NONCE_BYTES] }
}

fn request(action: Action, provider: &str, body: &str) -> Result<KeyRequest, Failure> {
    KeyRequest::new(&config(), action, provider, body.as_bytes(), &asker("ada"))
}

/// The row that a `PUT` leaves in the store.
fn put(provider: &str, body: &str) -> Row {
    let request = request(Action::Set, provider, body).unwrap();
    Row(request.statements()[0].parameters.clone())
}

fn shown(action: Action, rows: Vec<Row>) -> (u16, Value) {
    let reply = request(action, "own", r#"{"key": "x"}"#).unwrap().reply(Ok(vec![rows]));
    (reply.status, serde_json::from_slice(&reply.body).unwrap())
}

fn called(rows: Outcome) -> Vec<Arc<Target>> {
    let config = config();
    apply(&config.models["m"].targets, &config, "ada", &rows)
}

fn unusable(target: &Target) -> Reason {
    match &target.provider.api_key {
        ApiKey::Unusable(failure) => failure.reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_key_is_sealed_before_the_store_has_it_and_never_told() {
    let body = format!(r#"{{"key": "{KEY}"}}"#);
    let row = put("own", &body);
    assert!(!format!("{row:?}").contains("0123456789"), "{row:?}");
    let expected = json!({"provider": "own", "set": true, "created": 1_750_000_000,
        "updated": 1_750_000_000, "last4": "cdef"});
    assert_eq!(shown(Action::Show, vec![row.clone()]), (200, expected.clone()));
    assert_eq!(shown(Action::Set, vec![put("both", &body), row]), (200, expected));
}

#[test]
fn nothing_is_told_of_a_short_key_and_where_there_is_none() {
    let row = put("own", r#"{"key": "short-0123456789"}"#);
    assert!(shown(Action::Show, vec![row]).1.get("last4").is_none());
    let none = (200, json!({"provider": "own", "set": false}));
    assert_eq!(shown(Action::Show, vec![]), none);
    assert_eq!(shown(Action::Forget, vec![]), none);
    assert_eq!(shown(Action::Show, vec![put("both", r#"{"key": "k"}"#)]), none);
}

#[test]
fn what_cannot_be_is_refused_and_not_repeated() {
    let long = format!(r#"{{"key": "{}"}}"#, "secret".repeat(1000));
    let rows: [(&str, &str, Reason, &str); 10] = [
        ("own", "{}", Reason::InvalidRequest, "key"),
        ("own", r#"{"key": 3}"#, Reason::InvalidRequest, "key"),
        ("own", r#"{"key": ""}"#, Reason::InvalidRequest, "key"),
        ("own", r#"{"key": "secret\r\nx: y"}"#, Reason::InvalidRequest, "key"),
        ("own", &long, Reason::InvalidRequest, "key"),
        ("own", r#"{"key": "secret", "url": "https://a.example"}"#, Reason::InvalidRequest, "url"),
        (
            "own",
            r#"{"key": "secret", "base_url": "https://127.1/v1"}"#,
            Reason::AddressForbidden,
            "base_url",
        ),
        ("own", "secret", Reason::InvalidRequest, "JSON"),
        ("ours", r#"{"key": "secret"}"#, Reason::NotFound, "`both`, `own`"),
        ("x", r#"{"key": "secret"}"#, Reason::NotFound, "`both`, `own`"),
    ];
    for (provider, body, reason, word) in rows {
        let failure = request(Action::Set, provider, body).unwrap_err();
        assert_eq!(failure.reason, reason, "{body}: {failure}");
        let told = failure.to_string();
        assert!(told.contains(word) && !told.contains("secret"), "{body}: {told}");
    }
}

#[test]
fn without_a_store_no_key_is_taken() {
    let failure = KeyRequest::new(&Config::embedded(), Action::Show, "own", b"", &asker("ada"));
    assert_eq!(failure.unwrap_err().reason, Reason::StoreMissing);
}

#[test]
fn ones_own_key_is_used_in_place_of_the_configured_one() {
    let body = format!(r#"{{"key": "{KEY}", "base_url": "https://API.example/v2/"}}"#);
    let targets =
        called(Ok(vec![vec![put("both", &format!(r#"{{"key": "{KEY}"}}"#)), put("own", &body)]]));
    let providers: Vec<_> = targets.iter().map(|target| &*target.provider).collect();
    let [both, own, ours] = providers.as_slice() else { panic!("{targets:?}") };
    assert_eq!(both.api_key, ApiKey::Set(KEY.into()));
    assert_eq!((both.base_url.as_str(), both.chosen_by), ("http://127.0.0.1:1/v1", ChosenBy::User));
    assert_eq!(own.api_key, ApiKey::Set(KEY.into()));
    assert_eq!(own.base_url, "https://api.example/v2");
    assert_eq!(own.chosen_by, ChosenBy::UserWithUrl);
    assert_eq!(ours.api_key, ApiKey::Set("sk-operator".into()));
    assert_eq!(ours.chosen_by, ChosenBy::Operator);
}

#[test]
fn who_gave_no_key_is_served_with_the_configured_one_or_told_so() {
    let targets = called(Ok(vec![vec![]]));
    assert_eq!(targets[0].provider.api_key, ApiKey::Set("sk-operator".into()));
    assert_eq!(unusable(&targets[1]), Reason::UserKeyMissing);
}

#[test]
fn a_store_that_fails_does_not_make_the_operator_pay() {
    let targets = called(Err(Reason::StoreUnavailable.into()));
    assert_eq!(unusable(&targets[0]), Reason::StoreUnavailable);
    assert_eq!(unusable(&targets[1]), Reason::StoreUnavailable);
    assert_eq!(targets[2].provider.api_key, ApiKey::Set("sk-operator".into()));
}

#[test]
fn a_row_that_was_tampered_with_opens_nothing() {
    let row = put("own", &format!(r#"{{"key": "{KEY}"}}"#));
    let columns = ["user", "provider", "sealed", "key_id", "base_url"];
    for (column, name) in columns.iter().enumerate().skip(1) {
        let mut row = row.clone();
        row.0[column] = match *name {
            "provider" => "both".into(),
            "base_url" => "https://evil.example".into(),
            _ => "00000000".into(),
        };
        let targets = called(Ok(vec![vec![row]]));
        let place = usize::from(*name != "provider");
        assert_eq!(unusable(&targets[place]), Reason::SealBroken, "{name}");
    }
    // Another user's row, as if it were ada's.
    let bobs =
        KeyRequest::new(&config(), Action::Set, "own", br#"{"key": "k"}"#, &asker("bob")).unwrap();
    let row = Row(bobs.statements()[0].parameters.clone());
    assert_eq!(unusable(&called(Ok(vec![vec![row]]))[1]), Reason::SealBroken);
}

#[test]
fn keys_are_sealed_anew_once() {
    let keys = |current: &str, previous: Option<&str>| {
        let key = |digit: &str| crate::seal::MasterKey::parse(&digit.repeat(64)).unwrap();
        MasterKeys::new(key(current), previous.map(key))
    };
    let row = put("own", &format!(r#"{{"key": "{KEY}"}}"#));
    let key = provider_keys::read(&row).unwrap();
    let nonce = [8; NONCE_BYTES];
    assert_eq!(resealed(&keys("0", None), &key, nonce), Ok(None));
    let new = resealed(&keys("1", Some("0")), &key, nonce).unwrap().unwrap();
    assert_eq!(open(&keys("1", None), "ada", &new).as_deref(), Ok(KEY));
    assert_eq!(resealed(&keys("1", Some("0")), &new, nonce), Ok(None));
    assert_eq!(resealed(&keys("2", None), &key, nonce).unwrap_err().reason, Reason::SealBroken);
    // The same, of whatever the store gave.
    let mut config = config();
    config.store.as_mut().unwrap().master_keys = Some(keys("1", Some("0")));
    let of = |key: &ProviderKey| Row(provider_keys::upsert(key).parameters);
    let statements = |rows: Outcome| reseal(&config, &rows, || nonce);
    let anew = provider_keys::reseal(&new, &key.sealed);
    assert_eq!(statements(Ok(vec![vec![of(&new), of(&key)]])), [anew]);
    assert_eq!(statements(Ok(vec![vec![of(&new)]])), []);
    let unknown = ProviderKey { key_id: "x".into(), ..key };
    assert_eq!(statements(Ok(vec![vec![of(&unknown)]])), []);
    assert_eq!(statements(Err(Reason::StoreUnavailable.into())), []);
}
