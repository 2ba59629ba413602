use streamgate_core::limit::learned::LearnedLimit;
use streamgate_core::limit::parameter::Parameters;
use streamgate_core::store::api_keys::{self, ApiKey};
use streamgate_core::store::learned_limits;
use streamgate_core::store::provider_keys::{self, ProviderKey};

use super::*;

mod postgres;

use postgres::Server;

/// A store of its own: its URL, and what must live as long.
struct Place {
    url: StoreUrl,
    _folder: Option<tempfile::TempDir>,
}

impl Place {
    fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("a b.db").display());
        Self { url: StoreUrl::Sqlite(url), _folder: Some(folder) }
    }

    fn postgres() -> Self {
        Self { url: StoreUrl::Postgres(Server::shared().database()), _folder: None }
    }

    fn open(&self) -> Store {
        Store::open(&self.url).unwrap().0
    }
}

/// Each is a test of each engine.
macro_rules! on_both {
    ($($test:ident)*) => {
        mod on_sqlite {
            $(#[test] fn $test() { super::$test(&super::Place::sqlite()); })*
        }
        mod on_postgres {
            $(#[test] fn $test() { super::$test(&super::Place::postgres()); })*
        }
    };
}

on_both! {
    api_keys_are_made_found_and_revoked_once
    what_is_known_twice_is_refused_and_the_batch_with_it
    what_was_learned_is_replaced_and_outlives_the_process
    a_key_is_resealed_only_while_it_is_the_one_that_was_opened
    instances_that_start_at_once_make_the_tables_once
    many_at_once_all_land
}

fn one(store: &Store, statement: Statement) -> Result<Rows, Failure> {
    store.run_blocking(vec![statement]).map(|mut rows| rows.remove(0))
}

fn api_key(number: u64) -> ApiKey {
    ApiKey {
        id: format!("k{number}"),
        sha256: format!("hash {number}"),
        user: "Ada 'O' ?1 Žluťoučký 🦀".into(),
        plan: "pro".into(),
        name: String::new(),
        created: 1_750_000_000 + number,
        revoked: None,
    }
}

fn api_keys_are_made_found_and_revoked_once(place: &Place) {
    let store = place.open();
    for number in [2, 1] {
        assert_eq!(one(&store, api_keys::insert(&api_key(number))).unwrap(), Rows::new());
    }
    let listed = one(&store, api_keys::list()).unwrap();
    let listed: Vec<_> = listed.iter().map(|row| api_keys::read(row).unwrap()).collect();
    assert_eq!(listed, [api_key(1), api_key(2)]);
    assert_eq!(one(&store, api_keys::revoke("k1", 9)).unwrap().len(), 1);
    assert_eq!(one(&store, api_keys::revoke("k1", 10)).unwrap().len(), 0);
    assert_eq!(one(&store, api_keys::revoke("k3", 9)).unwrap().len(), 0);
    let found = one(&store, api_keys::by_sha256("hash 1")).unwrap();
    assert_eq!(api_keys::read(&found[0]).unwrap(), ApiKey { revoked: Some(9), ..api_key(1) });
    assert_eq!(one(&store, api_keys::by_sha256("hash 3")).unwrap(), Rows::new());
}

fn what_is_known_twice_is_refused_and_the_batch_with_it(place: &Place) {
    let store = place.open();
    let twice = vec![api_keys::insert(&api_key(1)), api_keys::insert(&api_key(1))];
    let failure = store.run_blocking(twice).unwrap_err();
    assert_eq!(failure.reason, Reason::StoreFailed, "{failure}");
    assert!(!failure.to_string().contains("hash 1"), "{failure}");
    assert_eq!(one(&store, api_keys::list()).unwrap(), Rows::new());
}

fn what_was_learned_is_replaced_and_outlives_the_process(place: &Place) {
    let limit = |max_output| LearnedLimit {
        endpoint: "https://a.example/v1".into(),
        model: "m".into(),
        max_output,
        context_window: Some(u32::MAX),
        max_input: None,
        refused: Parameters::named("seed,store"),
        source: "a refusal".into(),
        learned_at: 7,
    };
    let (store, thread) = Store::open(&place.url).unwrap();
    // Nobody waits for the second: it is written all the same.
    one(&store, learned_limits::upsert(&limit(Some(1)))).unwrap();
    drop(store.begin(vec![learned_limits::upsert(&limit(None))]).unwrap());
    drop(store);
    thread.join();
    let rows = one(&place.open(), learned_limits::list()).unwrap();
    let read: Vec<_> = rows.iter().map(|row| learned_limits::read(row).unwrap()).collect();
    assert_eq!(read, [limit(None)]);
}

fn a_key_is_resealed_only_while_it_is_the_one_that_was_opened(place: &Place) {
    let key = |sealed: &str, created| ProviderKey {
        user: "ada".into(),
        provider: "openai".into(),
        sealed: sealed.into(),
        key_id: "1".into(),
        base_url: String::new(),
        created,
        updated: created,
    };
    let store = place.open();
    one(&store, provider_keys::upsert(&key("a", 1))).unwrap();
    one(&store, provider_keys::upsert(&key("b", 2))).unwrap();
    let rows = one(&store, provider_keys::of_user("ada")).unwrap();
    let kept = provider_keys::read(&rows[0]).unwrap();
    assert_eq!((rows.len(), &kept), (1, &ProviderKey { created: 1, ..key("b", 2) }));
    assert_eq!(one(&store, provider_keys::reseal(&key("c", 3), "a")).unwrap().len(), 0);
    assert_eq!(one(&store, provider_keys::reseal(&key("c", 3), "b")).unwrap().len(), 1);
    assert_eq!(one(&store, provider_keys::delete("ada", "openai")).unwrap().len(), 1);
    assert_eq!(one(&store, provider_keys::list()).unwrap(), Rows::new());
}

fn instances_that_start_at_once_make_the_tables_once(place: &Place) {
    std::thread::scope(|scope| {
        let starts: Vec<_> = (0..8).map(|_| scope.spawn(|| place.open())).collect();
        for (number, start) in (0..).zip(starts) {
            one(&start.join().unwrap(), api_keys::insert(&api_key(number))).unwrap();
        }
    });
    assert_eq!(one(&place.open(), api_keys::list()).unwrap().len(), 8);
}

fn many_at_once_all_land(place: &Place) {
    let store = place.open();
    let begin = |number| {
        let batch = vec![api_keys::list(), api_keys::insert(&api_key(number))];
        store.begin(batch).unwrap()
    };
    let answers: Vec<_> = (0..200).map(begin).collect();
    for answer in answers {
        answer.blocking_recv().unwrap().unwrap();
    }
    assert_eq!(one(&store, api_keys::list()).unwrap().len(), 200);
}

#[test]
fn the_error_of_an_unreachable_store_hides_its_password() {
    for (url, word) in [
        (StoreUrl::Postgres("postgres://u:hidden@127.0.0.1:9/db".into()), "refused"),
        (StoreUrl::Sqlite("sqlite:/no/such/folder/a.db".into()), "open"),
        (StoreUrl::D1("DB".into()), "sqlite:FILE"),
        (StoreUrl::Postgres("postgres://u:hidden@[/db".into()), "store.url"),
    ] {
        let (StartupError::Io(message) | StartupError::Config(message)) =
            Store::open(&url).map(drop).unwrap_err();
        assert!(message.contains(word) && !message.contains("hidden"), "{message}");
    }
}

/// An outage is a failure, and over when it is over.
#[test]
fn a_server_that_goes_away_and_comes_back() {
    let mut server = Server::start().unwrap();
    let (store, _thread) = Store::open(&StoreUrl::Postgres(server.database())).unwrap();
    one(&store, api_keys::insert(&api_key(1))).unwrap();
    server.stop();
    let failure = one(&store, api_keys::list()).unwrap_err();
    assert_eq!(failure.reason, Reason::StoreUnavailable, "{failure}");
    server.run().unwrap();
    assert_eq!(one(&store, api_keys::list()).unwrap().len(), 1);
}
