//! The store: core's statements on the D1 database of a binding.
//!
//! A batch crosses to JavaScript as JSON, `[[text, [value, ...]], ...]`, and what came of it crosses
//! back the same way: of each statement its rows, of each row its values.
//!
//! ```text
//!  new ──► making the tables ──► restoring what was learned ──► open
//!              └─ out of reach ──► new, and for a while opened only for who cannot do without
//! ```
//!
//! An isolate's requests share no IO, so each that comes before the store is open takes these steps by
//! itself; that they are taken at once by many is no harm.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use serde_json::{Value as Json, json};
use streamgate_core::failure::{Failure, Reason};
use streamgate_core::limit::learned::Learned;
use streamgate_core::store::{
    Migrating, Outcome, Row, Rows, Statement, Step, Value, learned_limits,
};
use streamgate_core::time::Instant;

use crate::log;
use crate::wire::Wire;

/// How long a store that could not be reached is left alone by who can do without.
const AGAIN_AFTER: Duration = Duration::from_secs(10);
/// What a number of JavaScript holds exactly.
const INTEGER_MAX: i64 = (1 << 53) - 1;

/// The store of this isolate. Cheap to clone: clones share it.
#[derive(Clone)]
pub(crate) struct Store {
    binding: Rc<str>,
    learned: Learned,
    state: Rc<Cell<State>>,
}

#[derive(Clone, Copy)]
enum State {
    /// Nobody has asked it yet.
    New,
    /// It could not be reached.
    Lost { again: Instant },
    /// Its tables are there.
    Open,
}

/// Statements on their way to a store, which is opened first if it is not open yet.
pub(crate) struct Errand {
    store: Store,
    stage: Stage,
    statements: Vec<Statement>,
}

enum Stage {
    /// Awaits the tables.
    Migrating(Migrating),
    /// Awaits what was learned of limits.
    Restoring,
    /// Awaits what comes of the statements.
    Running,
}

/// What is to be done for an errand.
pub(crate) enum Next {
    /// Run these as one transaction, and hand in what came of them.
    Run(Vec<Statement>),
    /// Nothing: this came of it.
    Done(Outcome),
}

impl Store {
    /// A store that has not been asked yet; what was learned of limits is restored to `learned`.
    pub(crate) fn new(binding: &str, learned: Learned) -> Self {
        Self { binding: binding.into(), learned, state: Rc::new(Cell::new(State::New)) }
    }

    /// Its binding's name.
    pub(crate) fn binding(&self) -> &str {
        &self.binding
    }

    /// Whether who could do without it should open it at `now`.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        match self.state.get() {
            State::New => true,
            State::Lost { again } => again <= now,
            State::Open => false,
        }
    }

    /// Sends these statements on their way: none, if it is only to be opened.
    pub(crate) fn errand(&self, statements: Vec<Statement>) -> Errand {
        let stage = match self.state.get() {
            State::New | State::Lost { .. } => Stage::Migrating(Migrating::default()),
            State::Open => Stage::Running,
        };
        Errand { store: self.clone(), stage, statements }
    }

    /// Keeps something that nobody waits for, unless the store could not be opened.
    pub(crate) fn keep(&self, wire: &Wire, statements: &[Statement]) {
        if !statements.is_empty() && matches!(self.state.get(), State::Open) {
            wire.keep(&self.binding, &written(statements));
        }
    }
}

impl Errand {
    /// Its store.
    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// The next step, by what came of the last one; the first is asked for with nothing.
    pub(crate) fn step(&mut self, now: Instant, outcome: Option<Outcome>, wire: &Wire) -> Next {
        match (&mut self.stage, outcome) {
            (Stage::Migrating(migrating), outcome) => match migrating.step(outcome) {
                Step::Run(statements) => Next::Run(statements),
                Step::Done => {
                    self.stage = Stage::Restoring;
                    Next::Run(vec![learned_limits::list()])
                }
                Step::Failed(failure) => {
                    self.store.state.set(State::Lost { again: now + AGAIN_AFTER });
                    Next::Done(Err(failure))
                }
            },
            (Stage::Restoring, Some(outcome)) => {
                // An isolate can do without, and why it has to was logged.
                if let Ok(rows) = outcome
                    && let Err(failure) = learned_limits::restore(&rows, &self.store.learned)
                {
                    log::store(wire, &failure);
                }
                self.store.state.set(State::Open);
                self.run()
            }
            (Stage::Running, Some(outcome)) => Next::Done(outcome),
            (Stage::Restoring | Stage::Running, None) => self.run(),
        }
    }

    fn run(&mut self) -> Next {
        self.stage = Stage::Running;
        match std::mem::take(&mut self.statements) {
            none if none.is_empty() => Next::Done(Ok(Vec::new())),
            statements => Next::Run(statements),
        }
    }
}

/// A batch as it crosses to JavaScript.
pub(crate) fn written(statements: &[Statement]) -> String {
    let value = |value: &Value| match value {
        Value::Integer(number) => Json::from((*number).clamp(-INTEGER_MAX, INTEGER_MAX)),
        Value::Text(text) => Json::from(text.as_str()),
    };
    let batch = statements.iter().map(|statement| {
        let parameters: Vec<_> = statement.parameters.iter().map(value).collect();
        json!([statement.sql, parameters])
    });
    Json::Array(batch.collect()).to_string()
}

/// What came of a batch: its rows, or why there are none.
pub(crate) fn read(rows: Option<&str>, why: Option<&str>) -> Outcome {
    match rows {
        Some(rows) => serde_json::from_str::<Vec<Vec<Vec<Json>>>>(rows)
            .ok()
            .and_then(|all| all.into_iter().map(rows_of).collect())
            .ok_or_else(|| {
                let detail = "The store gave something else than whole numbers and texts.";
                Failure::new(Reason::StoreFailed, detail)
            }),
        None => Err(failure(why.unwrap_or_default())),
    }
}

fn rows_of(rows: Vec<Vec<Json>>) -> Option<Rows> {
    let value = |value| match value {
        Json::Number(number) => number.as_i64().map(Value::Integer),
        Json::String(text) => Some(Value::Text(text)),
        Json::Null | Json::Bool(_) | Json::Array(_) | Json::Object(_) => None,
    };
    let row = |row: Vec<Json>| row.into_iter().map(value).collect::<Option<_>>().map(Row);
    rows.into_iter().map(row).collect()
}

/// What SQLite itself refused carries its code; all else happened on the way to it.
fn failure(why: &str) -> Failure {
    let (reason, what) = if why.contains("SQLITE_") {
        (Reason::StoreFailed, "The store refused a statement")
    } else {
        (Reason::StoreUnavailable, "The store cannot be reached")
    };
    Failure::new(reason, format!("{what}: {why}."))
}
