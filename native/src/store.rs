//! The store, executed: core's statements on SQLite or Postgres.
//!
//! One thread of its own owns the connections. The serving threads, each with an event loop of its
//! own, hand it batches through one bounded queue; a full queue is a failure and not a wait.

use std::str::FromStr;
use std::thread::JoinHandle;
use std::time::Duration;

use sqlx::any::{AnyConnectOptions, AnyPoolOptions, AnyRow};
use sqlx::pool::PoolConnection;
use sqlx::{
    Any, AnyConnection, AnyPool, AssertSqlSafe, Column as _, ConnectOptions as _, Connection as _,
    Row as _,
};
use streamgate_core::failure::{Failure, Reason};
use streamgate_core::store::StoreUrl;
use streamgate_core::store::{Migrating, Outcome, Row, Rows, Statement, Step, Value};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use crate::startup::StartupError;

/// How many batches wait for a connection at most.
const QUEUE_MAX: usize = 1024;
/// How many batches run at once.
const CONNECTIONS_MAX: u32 = 8;
/// How long a batch may wait for a connection.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);
/// How long a batch may run, so that its connection is free again; core decides how long a request
/// waits for it.
const TIME_MAX: Duration = Duration::from_secs(10);

/// What sqlx calls the one engine that is treated differently.
const SQLITE: &str = "SQLite";

/// A store that is open. Cheap to clone: clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    queue: mpsc::Sender<Batch>,
}

/// The thread of a store, which ends when its last [`Store`] is gone and all is written.
#[derive(Debug)]
pub(crate) struct StoreThread(JoinHandle<()>);

/// Statements that take effect together or not at all.
#[derive(Debug)]
struct Batch {
    statements: Vec<Statement>,
    done: oneshot::Sender<Outcome>,
}

impl Store {
    /// Connects, and makes the tables that are missing.
    pub(crate) fn open(url: &StoreUrl) -> Result<(Self, StoreThread), StartupError> {
        let options = options(url).map_err(StartupError::Config)?;
        let impossible = |why| StartupError::Io(format!("the store: {why}"));
        let (queue, batches) = mpsc::channel(QUEUE_MAX);
        let (ready, opened) = std::sync::mpsc::sync_channel(1);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| impossible(format!("no event loop: {error}")))?;
        let thread = std::thread::Builder::new().name("store".into()).spawn(move || {
            runtime.block_on(async {
                let connected = tokio::time::timeout(TIME_MAX, connect(options)).await;
                match connected.unwrap_or_else(|_| Err(unavailable("it did not answer in time"))) {
                    Ok(pool) => {
                        // Nobody waits any more only where opening was given up.
                        let _ = ready.send(Ok(()));
                        serve(&pool, batches).await;
                        pool.close().await;
                    }
                    Err(failure) => drop(ready.send(Err(failure))),
                }
            });
        });
        let thread = thread.map_err(|error| impossible(format!("no thread: {error}")))?;
        match opened.recv() {
            Ok(Ok(())) => Ok((Self { queue }, StoreThread(thread))),
            Ok(Err(failure)) => Err(impossible(failure.message().to_owned())),
            Err(_) => Err(impossible("its thread ended".to_owned())),
        }
    }

    /// Runs statements as one transaction, and gives the rows of each.
    pub(crate) async fn run(&self, statements: Vec<Statement>) -> Outcome {
        self.begin(statements)?.await.unwrap_or_else(|_| Err(unavailable("its thread ended")))
    }

    /// The same, for who is on no event loop.
    pub(crate) fn run_blocking(&self, statements: Vec<Statement>) -> Outcome {
        let answer = self.begin(statements)?;
        answer.blocking_recv().unwrap_or_else(|_| Err(unavailable("its thread ended")))
    }

    /// Queues statements; their outcome comes through the channel.
    pub(crate) fn begin(
        &self,
        statements: Vec<Statement>,
    ) -> Result<oneshot::Receiver<Outcome>, Failure> {
        let (done, answer) = oneshot::channel();
        match self.queue.try_send(Batch { statements, done }) {
            Ok(()) => Ok(answer),
            Err(mpsc::error::TrySendError::Full(_)) => Err(unavailable("its queue is full")),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(unavailable("its thread ended")),
        }
    }
}

impl StoreThread {
    /// Waits until all that was queued is written. Every [`Store`] must be gone, or this waits for
    /// that.
    pub(crate) fn join(self) {
        if self.0.join().is_err() {
            tracing::error!("the store's thread panicked");
        }
    }
}

fn options(url: &StoreUrl) -> Result<AnyConnectOptions, String> {
    sqlx::any::install_default_drivers();
    let url = match url {
        // Made if it is not there.
        StoreUrl::Sqlite(url) if !url.contains('?') => format!("{url}?mode=rwc"),
        StoreUrl::Sqlite(url) | StoreUrl::Postgres(url) => url.clone(),
        StoreUrl::D1(_) => {
            return Err("store.url: D1 is at the edge only; \
                        expected \"sqlite:FILE\" or \"postgres://...\""
                .into());
        }
    };
    // The error does not repeat the URL, and neither do we: it may hold a password.
    let options = AnyConnectOptions::from_str(&url);
    let options = options.map_err(|error| format!("store.url: {error}"))?;
    Ok(options.disable_statement_logging())
}

async fn connect(options: AnyConnectOptions) -> Result<AnyPool, Failure> {
    // Alone at first: a pool would try again until it runs out of time, and not report why.
    let mut first = options.connect().await.map_err(|error| failure(&error))?;
    if first.backend_name() == SQLITE {
        // Readers and the writer do not wait for each other. The file remembers it, so it does no harm
        // that SQLite rejects it while another instance is at it: it does not wait for this lock.
        let _ = sqlx::query("PRAGMA journal_mode = WAL").execute(&mut first).await;
    }
    migrate(&mut first).await?;
    first.close().await.map_err(|error| failure(&error))?;
    let pool =
        AnyPoolOptions::new().max_connections(CONNECTIONS_MAX).acquire_timeout(CONNECT_TIME_MAX);
    Ok(pool.connect_lazy_with(options))
}

async fn migrate(connection: &mut AnyConnection) -> Result<(), Failure> {
    let mut migrating = Migrating::default();
    let mut outcome = None;
    loop {
        match migrating.step(outcome) {
            Step::Run(statements) => outcome = Some(execute(connection, &statements).await),
            Step::Done => return Ok(()),
            Step::Failed(failure) => return Err(failure),
        }
    }
}

/// Runs batches until nobody can send any. What waits for a connection holds up the queue, so that
/// no more run than there are connections.
async fn serve(pool: &AnyPool, mut batches: mpsc::Receiver<Batch>) {
    let mut running = JoinSet::new();
    while let Some(Batch { statements, done }) = batches.recv().await {
        while running.try_join_next().is_some() {}
        match pool.acquire().await {
            Ok(connection) => drop(running.spawn(answer(connection, statements, done))),
            // Who gave up waiting needs no answer.
            Err(error) => drop(done.send(Err(failure(&error)))),
        }
    }
    running.join_all().await;
}

async fn answer(
    mut connection: PoolConnection<Any>,
    statements: Vec<Statement>,
    done: oneshot::Sender<Outcome>,
) {
    let executed = tokio::time::timeout(TIME_MAX, execute(&mut connection, &statements)).await;
    let outcome = executed.unwrap_or_else(|_| {
        // What it is in the middle of is not for the next one.
        connection.close_on_drop();
        Err(unavailable("it did not answer in time"))
    });
    if let Err(failure) = &outcome {
        tracing::warn!(%failure, "the store");
    }
    // Who gave up waiting needs no answer; what was to be written is.
    let _ = done.send(outcome);
}

async fn execute(connection: &mut AnyConnection, statements: &[Statement]) -> Outcome {
    let outcome = match statements {
        [only] => run(connection, only).await.map(|rows| vec![rows]),
        several => run_together(connection, several).await,
    };
    outcome.map_err(|error| failure(&error))
}

async fn run_together(
    connection: &mut AnyConnection,
    statements: &[Statement],
) -> Result<Vec<Rows>, sqlx::Error> {
    let sqlite = connection.backend_name() == SQLITE;
    let mut transaction = if sqlite {
        // One that begins by reading could not begin to write once another has.
        connection.begin_with("BEGIN IMMEDIATE").await?
    } else {
        connection.begin().await?
    };
    let mut all = Vec::with_capacity(statements.len());
    for statement in statements {
        all.push(run(&mut transaction, statement).await?);
    }
    transaction.commit().await?;
    Ok(all)
}

async fn run(connection: &mut AnyConnection, statement: &Statement) -> Result<Rows, sqlx::Error> {
    let sqlite = connection.backend_name() == SQLITE;
    let sql = if sqlite { statement.sql.to_owned() } else { statement.numbered() };
    // Safe: core writes the text, and values are only ever parameters.
    let mut query = sqlx::query(AssertSqlSafe(sql));
    for value in &statement.parameters {
        query = match value {
            Value::Integer(number) => query.bind(*number),
            Value::Text(text) => query.bind(text.clone()),
        };
    }
    query.fetch_all(connection).await?.iter().map(row).collect()
}

fn row(row: &AnyRow) -> Result<Row, sqlx::Error> {
    let value = |column: usize| {
        let text = row.try_get::<String, _>(column).map(Value::Text);
        text.or_else(|_| row.try_get(column).map(Value::Integer))
    };
    row.columns().iter().map(|column| value(column.ordinal())).collect::<Result<_, _>>().map(Row)
}

fn failure(error: &sqlx::Error) -> Failure {
    match error {
        sqlx::Error::Database(error) => {
            let detail = format!("The store rejected a statement: {}.", error.message());
            Failure::new(Reason::StoreFailed, detail)
        }
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => unavailable(&error.to_string()),
        error => Failure::new(Reason::StoreFailed, format!("The store failed: {error}.")),
    }
}

fn unavailable(why: &str) -> Failure {
    Failure::new(Reason::StoreUnavailable, format!("The store is unavailable: {why}."))
}

#[cfg(test)]
mod tests;
