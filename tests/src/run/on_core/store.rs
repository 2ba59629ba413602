//! The store of a run on the pure core: SQLite in memory, which executes core's own statements.

use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{AssertSqlSafe, Column as _, Connection as _, Row as _};
use streamgate_core::failure::{Failure, Reason};
use streamgate_core::store::{Migrating, Outcome, Row, Rows, Statement, Step, Value};
use tokio::runtime::{Builder, Runtime};

pub(super) struct Store {
    connection: SqliteConnection,
    /// Drives the connection.
    runtime: Runtime,
}

impl Store {
    /// An empty store with its tables.
    pub(super) fn open() -> Result<Self, String> {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        let connection = runtime.block_on(SqliteConnection::connect("sqlite::memory:"));
        let connection = connection.map_err(|error| error.to_string())?;
        let mut store = Self { connection, runtime };
        let mut migrating = Migrating::default();
        let mut outcome = None;
        loop {
            match migrating.step(outcome) {
                Step::Run(statements) => outcome = Some(store.run(&statements)),
                Step::Done => return Ok(store),
                Step::Failed(failure) => return Err(failure.to_string()),
            }
        }
    }

    /// Runs statements as one transaction, and gives the rows of each.
    pub(super) fn run(&mut self, statements: &[Statement]) -> Outcome {
        let ran = self.runtime.block_on(async {
            let mut transaction = self.connection.begin().await?;
            let mut all = Vec::new();
            for statement in statements {
                all.push(execute(&mut transaction, statement).await?);
            }
            transaction.commit().await?;
            Ok(all)
        });
        ran.map_err(|error: sqlx::Error| Failure::new(Reason::StoreFailed, error.to_string()))
    }

    /// Every text that is kept.
    pub(super) fn texts(&mut self) -> Result<Vec<String>, String> {
        let mut kept = Vec::new();
        for sql in [
            "SELECT * FROM api_keys",
            "SELECT * FROM provider_keys",
            "SELECT * FROM learned_limits",
        ] {
            let rows =
                self.run(&[Statement::new(sql, [])]).map_err(|failure| failure.to_string())?;
            kept.extend(rows.into_iter().flatten().flat_map(|row| row.0));
        }
        Ok(kept.into_iter().map(|value| format!("{value:?}")).collect())
    }
}

async fn execute(
    connection: &mut SqliteConnection,
    statement: &Statement,
) -> Result<Rows, sqlx::Error> {
    // Safe: core writes the text, and values are only ever parameters.
    let mut query = sqlx::query(AssertSqlSafe(statement.sql.to_owned()));
    for value in &statement.parameters {
        query = match value {
            Value::Integer(number) => query.bind(*number),
            Value::Text(text) => query.bind(text.clone()),
        };
    }
    query.fetch_all(connection).await?.iter().map(row).collect()
}

fn row(row: &SqliteRow) -> Result<Row, sqlx::Error> {
    let value = |column: usize| {
        let text = row.try_get::<String, _>(column).map(Value::Text);
        text.or_else(|_| row.try_get(column).map(Value::Integer))
    };
    row.columns().iter().map(|column| value(column.ordinal())).collect::<Result<_, _>>().map(Row)
}
