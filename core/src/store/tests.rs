use super::api_keys::{self, ApiKey};
use super::learned_limits;
use super::provider_keys::{self, ProviderKey};
use super::*;
use crate::limit::learned::LearnedLimit;

fn statements() -> Vec<Statement> {
    let api_key = ApiKey {
        id: "k1".into(),
        sha256: "ab".into(),
        user: "ada".into(),
        plan: String::new(),
        name: String::new(),
        created: 1,
        revoked: None,
    };
    let limit = LearnedLimit {
        endpoint: "https://a.example".into(),
        model: "m".into(),
        max_output: Some(4096),
        learned_at: 1,
        ..LearnedLimit::default()
    };
    let key = ProviderKey {
        user: "ada".into(),
        provider: "openai".into(),
        sealed: "secret".into(),
        key_id: "1".into(),
        base_url: String::new(),
        created: 1,
        updated: 1,
    };
    vec![
        api_keys::insert(&api_key),
        api_keys::by_sha256("ab"),
        api_keys::list(),
        api_keys::revoke("k1", 2),
        learned_limits::upsert(&limit),
        learned_limits::list(),
        provider_keys::upsert(&key),
        provider_keys::reseal(&key, "before"),
        provider_keys::delete("ada", "openai"),
        provider_keys::of_user("ada"),
        provider_keys::list(),
    ]
}

/// A `?` anywhere else would become a `$` for Postgres.
#[test]
fn every_parameter_is_used_by_its_number_and_has_a_value() {
    for statement in statements() {
        let mut numbers: Vec<usize> =
            statement.sql.split('?').skip(1).map(|rest| number(rest, statement.sql)).collect();
        numbers.sort_unstable();
        numbers.dedup();
        let expected: Vec<_> = (1..=statement.parameters.len()).collect();
        assert_eq!(numbers, expected, "{statement:?}");
    }
}

fn number(rest: &str, sql: &str) -> usize {
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest[..end].parse().unwrap_or_else(|_| panic!("a parameter without a number in {sql}"))
}

#[test]
fn postgres_reads_the_same_text() {
    let statement = api_keys::revoke("k1", 2);
    assert!(statement.numbered().contains("SET revoked = $2 WHERE id = $1 "));
}

#[test]
fn a_person_can_run_it() {
    let statement = api_keys::revoke("o'?2", 7);
    let expected =
        "UPDATE api_keys SET revoked = 7 WHERE id = 'o''?2' AND revoked = 0 RETURNING id";
    assert_eq!(statement.literal(), expected);
    for statement in statements() {
        assert!(!statement.literal().contains('?') && !statement.literal().contains("NULL"));
    }
}

#[test]
fn what_is_shown_of_a_statement_is_no_secret() {
    for statement in statements() {
        assert!(!format!("{statement:?}").contains("secret"));
    }
}

#[test]
fn rows_are_read_or_refused_without_being_shown() {
    let row = Row(vec!["secret".into(), Value::Integer(-1), 7u64.into()]);
    assert_eq!(row.text(0).unwrap(), "secret");
    assert_eq!(row.unsigned(2).unwrap(), 7);
    for refused in [row.text(1), row.text(9), row.integer(0).map(|_| String::new())] {
        let failure = refused.unwrap_err();
        assert_eq!(failure.reason, Reason::StoreFailed);
        assert!(!failure.to_string().contains("secret"), "{failure}");
    }
    assert!(row.unsigned(1).is_err());
}
