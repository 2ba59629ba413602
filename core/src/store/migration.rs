//! The tables, and how a store gets them.
//!
//! A migration's first statement notes its version, whose uniqueness is the lock: of two instances
//! that begin at once, the second fails there, or waits and then fails, changes nothing, and finds
//! on looking again that the work is done. A store that is newer than this build is left as it is,
//! for migrations only add.

use super::{Outcome, Rows, Statement, Value};
use crate::failure::{Failure, Reason};

/// How often others may be in the way before that is a failure.
const FAILURES_MAX: u32 = 5;

/// Each version's statements, the first version first. What has been released is never changed.
static VERSIONS: &[&[&str]] = &[
    &[
        "CREATE TABLE api_keys (
            id TEXT NOT NULL PRIMARY KEY,
            sha256 TEXT NOT NULL UNIQUE,
            user_id TEXT NOT NULL,
            plan TEXT NOT NULL,
            name TEXT NOT NULL,
            created BIGINT NOT NULL,
            revoked BIGINT NOT NULL
        )",
        "CREATE TABLE provider_keys (
            user_id TEXT NOT NULL,
            provider TEXT NOT NULL,
            sealed TEXT NOT NULL,
            key_id TEXT NOT NULL,
            base_url TEXT NOT NULL,
            created BIGINT NOT NULL,
            updated BIGINT NOT NULL,
            PRIMARY KEY (user_id, provider)
        )",
        "CREATE TABLE learned_limits (
            endpoint TEXT NOT NULL,
            model TEXT NOT NULL,
            max_output BIGINT NOT NULL,
            context_window BIGINT NOT NULL,
            max_input BIGINT NOT NULL,
            source TEXT NOT NULL,
            learned_at BIGINT NOT NULL,
            PRIMARY KEY (endpoint, model)
        )",
    ],
    &["ALTER TABLE learned_limits ADD COLUMN refused TEXT NOT NULL DEFAULT ''"],
];

/// A store on its way to the tables this build knows.
#[derive(Debug, Default)]
pub struct Migrating {
    state: State,
    failures: u32,
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    #[default]
    New,
    /// Awaits the store's version.
    Looking,
    /// Awaits that this version is made.
    Making(usize),
}

/// What is to be done next.
#[derive(Debug)]
pub enum Step {
    /// Run these as one transaction, and hand in what came of them.
    Run(Vec<Statement>),
    /// Nothing: the tables are there.
    Done,
    /// Nothing: it cannot be done.
    Failed(Failure),
}

impl Migrating {
    /// The next step, by what came of the last one; the first is asked for with nothing.
    pub fn step(&mut self, outcome: Option<Outcome>) -> Step {
        match (self.state, outcome) {
            (State::New, _) | (_, None) => self.look(),
            (_, Some(Err(failure))) if failure.reason == Reason::StoreUnavailable => {
                Step::Failed(failure)
            }
            (_, Some(Err(failure))) => self.again(failure),
            (State::Looking, Some(Ok(rows))) => match version(&rows) {
                Ok(version) => self.make(version),
                Err(failure) => Step::Failed(failure),
            },
            (State::Making(version), Some(Ok(_))) => self.make(version),
        }
    }

    fn look(&mut self) -> Step {
        self.state = State::Looking;
        Step::Run(vec![
            Statement::new(
                "CREATE TABLE IF NOT EXISTS streamgate_versions \
                 (version BIGINT NOT NULL PRIMARY KEY)",
                [],
            ),
            Statement::new("SELECT COALESCE(MAX(version), 0) FROM streamgate_versions", []),
        ])
    }

    /// Makes the version after `known`.
    fn make(&mut self, known: usize) -> Step {
        let Some(statements) = VERSIONS.get(known) else { return Step::Done };
        self.state = State::Making(known + 1);
        let note = Statement::new(
            "INSERT INTO streamgate_versions (version) VALUES (?1)",
            [Value::from(known as u64 + 1)],
        );
        let changes = statements.iter().map(|sql| Statement::new(sql, []));
        Step::Run([note].into_iter().chain(changes).collect())
    }

    fn again(&mut self, failure: Failure) -> Step {
        self.failures += 1;
        if self.failures < FAILURES_MAX { self.look() } else { Step::Failed(failure) }
    }
}

fn version(rows: &[Rows]) -> Result<usize, Failure> {
    let row = rows.last().and_then(|rows| rows.first());
    let version = row.map_or(Ok(0), |row| row.unsigned(0))?;
    Ok(usize::try_from(version).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Row;

    fn version_row(version: u64) -> Option<Outcome> {
        Some(Ok(vec![vec![], vec![Row(vec![version.into()])]]))
    }

    fn first_sql(step: Step) -> &'static str {
        match step {
            Step::Run(statements) => statements[0].sql,
            Step::Done => "done",
            Step::Failed(_) => "failed",
        }
    }

    #[test]
    fn a_new_store_gets_every_version_once() {
        let mut migrating = Migrating::default();
        assert!(first_sql(migrating.step(None)).starts_with("CREATE TABLE IF NOT EXISTS"));
        let mut step = migrating.step(version_row(0));
        for (made, changes) in VERSIONS.iter().enumerate() {
            let Step::Run(statements) = step else { panic!("{step:?}") };
            assert_eq!(statements[0].parameters, [Value::from(made as u64 + 1)]);
            assert_eq!(statements.len(), changes.len() + 1);
            step = migrating.step(Some(Ok(vec![])));
        }
        assert!(matches!(step, Step::Done), "{step:?}");
    }

    #[test]
    fn a_store_that_has_them_or_is_newer_is_left_as_it_is() {
        for version in [VERSIONS.len() as u64, 1_000_000] {
            let mut migrating = Migrating::default();
            migrating.step(None);
            assert_eq!(first_sql(migrating.step(version_row(version))), "done");
        }
    }

    #[test]
    fn who_comes_second_looks_again_and_is_done() {
        let mut migrating = Migrating::default();
        let taken = || Some(Err(Failure::from(Reason::StoreFailed)));
        migrating.step(None);
        assert!(first_sql(migrating.step(version_row(0))).starts_with("INSERT"));
        assert!(first_sql(migrating.step(taken())).starts_with("CREATE TABLE IF NOT EXISTS"));
        assert_eq!(first_sql(migrating.step(version_row(VERSIONS.len() as u64))), "done");
    }

    #[test]
    fn what_fails_each_time_is_told() {
        let mut migrating = Migrating::default();
        let mut step = migrating.step(None);
        for _ in 0..FAILURES_MAX {
            assert!(matches!(step, Step::Run(_)), "{step:?}");
            step = migrating.step(Some(Err(Reason::StoreFailed.into())));
        }
        assert!(matches!(step, Step::Failed(_)), "{step:?}");
    }

    #[test]
    fn a_store_that_is_out_of_reach_is_not_asked_again() {
        let mut migrating = Migrating::default();
        migrating.step(None);
        let step = migrating.step(Some(Err(Reason::StoreUnavailable.into())));
        assert!(matches!(step, Step::Failed(_)), "{step:?}");
    }
}
