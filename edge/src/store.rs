//! The store: core's statements on the D1 database of a binding.
//!
//! ```text
//!  new ──► making the tables ──► restoring what was learned ──► open
//!              └─ unreachable ──► lost, and for a while opened only for requests that need it
//! ```
//!
//! An isolate's requests share no IO, so each that comes before the store is open takes these steps by
//! itself; it does no harm that many take them at once.

use std::cell::Cell;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use futures::future::{Either, FutureExt as _, LocalBoxFuture, Shared, select};
use serde::Deserialize;
use streamgate_core::failure::{Failure, Reason};
use streamgate_core::limit::learned::Learned;
use streamgate_core::store::{
    Migrating, Outcome, Row, Rows, Statement, Step, Value, learned_limits,
};
use streamgate_core::time::Instant;
use worker::js_sys::Object;
use worker::wasm_bindgen::JsValue;
use worker::{Context, D1Database, D1PreparedStatement, D1Result, Delay, Env, Error};

use crate::clock::now;
use crate::{error, log};

/// How long a request waits for one batch.
const BATCH_TIME_MAX: Duration = Duration::from_secs(3);
/// How long requests that do not need the store leave it alone after it was unreachable.
const RETRY_AFTER: Duration = Duration::from_secs(10);
/// The largest integer that a JavaScript number holds exactly.
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
    /// Nobody has used it yet.
    New,
    /// It could not be reached.
    Lost { retry_at: Instant },
    /// Its tables are there.
    Open,
}

/// The store as one request uses it. One try is enough for one request: if the store cannot be
/// opened, every query of the request fails.
#[derive(Clone)]
pub(crate) struct Session {
    store: Store,
    env: Env,
    opening: Shared<LocalBoxFuture<'static, Result<(), Failure>>>,
}

impl Session {
    /// Waits until what was learned is restored, if this request is to do that.
    pub(crate) async fn ready(&self) {
        let _ = self.opening.clone().await;
    }

    /// Runs statements as one transaction.
    pub(crate) async fn query(&self, statements: &[Statement]) -> Outcome {
        self.opening.clone().await?;
        match self.store.state.get() {
            State::New | State::Lost { .. } => self.store.open(&self.env).await?,
            State::Open => {}
        }
        self.store.batch(&self.env, statements).await
    }

    /// Runs a write that no request waits for; skipped if the store is not open.
    pub(crate) async fn keep(&self, statements: &[Statement]) {
        if matches!(self.store.state.get(), State::Open)
            && let Err(failure) = self.store.batch(&self.env, statements).await
        {
            log::not_kept(&failure);
        }
    }
}

impl Store {
    /// A store that was not used yet; what was learned of limits is restored to `learned`.
    pub(crate) fn new(binding: &str, learned: Learned) -> Self {
        Self { binding: binding.into(), learned, state: Rc::new(Cell::new(State::New)) }
    }

    /// The store for one request, which begins to open it if nobody has.
    pub(crate) fn session(&self, env: &Env, ctx: &Context) -> Session {
        let (store, env) = (self.clone(), env.clone());
        let is_due = match self.state.get() {
            State::New => true,
            State::Lost { retry_at } => retry_at <= now(),
            State::Open => false,
        };
        let opening = {
            let (store, env) = (store.clone(), env.clone());
            async move { if is_due { store.open(&env).await } else { Ok(()) } }
        };
        let session = Session { store, env, opening: opening.boxed_local().shared() };
        if is_due {
            let session = session.clone();
            ctx.wait_until(async move { session.ready().await });
        }
        session
    }

    async fn open(&self, env: &Env) -> Result<(), Failure> {
        let mut migrating = Migrating::default();
        let mut outcome = None;
        loop {
            match migrating.step(outcome.take()) {
                Step::Run(statements) => outcome = Some(self.batch(env, &statements).await),
                Step::Done => break,
                Step::Failed(failure) => {
                    self.state.set(State::Lost { retry_at: now() + RETRY_AFTER });
                    return Err(failure);
                }
            }
        }
        // An isolate can do without what others learned.
        let learned = self.batch(env, &[learned_limits::list()]).await;
        if let Err(failure) = learned.and_then(|rows| learned_limits::restore(&rows, &self.learned))
        {
            log::store(&failure);
        }
        self.state.set(State::Open);
        Ok(())
    }

    async fn batch(&self, env: &Env, statements: &[Statement]) -> Outcome {
        if statements.is_empty() {
            return Ok(Vec::new());
        }
        let batch = async {
            let database = env.d1(&self.binding)?;
            let prepared = statements.iter().map(|statement| prepare(&database, statement));
            database.batch(prepared.collect::<worker::Result<_>>()?).await
        };
        let results = match within(BATCH_TIME_MAX, batch).await {
            Some(results) => results.map_err(|error| failure(&error))?,
            None => {
                let detail = "The store did not answer in time.";
                return Err(Failure::new(Reason::StoreUnavailable, detail));
            }
        };
        results.iter().map(rows).collect()
    }
}

fn prepare(database: &D1Database, statement: &Statement) -> worker::Result<D1PreparedStatement> {
    let value = |value: &Value| match value {
        Value::Integer(number) => JsValue::from((*number).clamp(-INTEGER_MAX, INTEGER_MAX) as f64),
        Value::Text(text) => JsValue::from(text.as_str()),
    };
    let values: Vec<_> = statement.parameters.iter().map(value).collect();
    database.prepare(statement.sql).bind(&values)
}

/// A row as it comes: an object, whose values are in the order of its columns.
#[derive(Deserialize)]
struct Columns(#[serde(with = "worker::d1::serde_wasm_bindgen::preserve")] Object);

fn rows(result: &D1Result) -> Result<Rows, Failure> {
    let rows = result.results::<Columns>().map_err(|error| failure(&error))?;
    let row = |Columns(row)| Object::values(&row).iter().map(value).collect::<Option<_>>().map(Row);
    rows.into_iter().map(row).collect::<Option<_>>().ok_or_else(|| {
        let detail = "The store returned something else than whole numbers and texts.";
        Failure::new(Reason::StoreFailed, detail)
    })
}

fn value(value: JsValue) -> Option<Value> {
    let integer = value.as_f64().filter(|number| number.fract() == 0.0);
    integer
        .map(|number| Value::Integer(number as i64))
        .or_else(|| value.as_string().map(Value::Text))
}

/// An error of SQLite itself carries its code; any other one is a failure to reach it.
fn failure(error: &Error) -> Failure {
    let message = error::message(error);
    let (reason, what) = if message.contains("SQLITE_") {
        (Reason::StoreFailed, "The store rejected a statement")
    } else {
        (Reason::StoreUnavailable, "The store is unavailable")
    };
    Failure::new(reason, format!("{what}: {message}."))
}

/// The output of a future, or `None` if it takes longer than `time_max`.
async fn within<T>(time_max: Duration, future: impl Future<Output = T>) -> Option<T> {
    match select(pin!(future), Delay::from(time_max)).await {
        Either::Left((value, _)) => Some(value),
        Either::Right(((), _)) => None,
    }
}
