//! What outlives a process: tables, their migrations and every statement, as data. Shells execute
//! statements and hand rows back; they know no SQL of their own.
//!
//! One text serves SQLite, D1 and Postgres, so it keeps to what the three share:
//!
//! - parameters are `?1`, `?2`, ...; for Postgres [`Statement::numbered`] makes them `$1`, `$2`;
//! - a column is `BIGINT` or `TEXT`, and nothing is NULL, for a NULL parameter has a type in one
//!   engine and none in another: what is not known is `0` or `''`;
//! - `ON CONFLICT` replaces, `RETURNING` tells what was changed;
//! - statements that belong together are one batch, which an engine runs as one transaction.

pub mod api_keys;
pub mod learned_limits;
mod migration;
pub mod provider_keys;
mod settings;

pub use migration::{Migrating, Step};
pub(crate) use settings::StoreEntry;
pub use settings::{Store, StoreUrl};

use std::fmt;

use crate::failure::{Failure, Reason};

/// What a column or a parameter holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A whole number; times are seconds since 1970.
    Integer(i64),
    /// A text; bytes are written as hexadecimal.
    Text(String),
}

/// One statement. Its `Debug` leaves the parameters out: some are secrets.
#[derive(Clone, PartialEq, Eq)]
pub struct Statement {
    /// The text, with the parameters `?1`, `?2`, ... in order.
    pub sql: &'static str,
    /// The parameters' values.
    pub parameters: Vec<Value>,
}

/// One row of an answer, its columns in the order the statement names them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row(pub Vec<Value>);

/// The rows one statement gave; none where it asks for none.
pub type Rows = Vec<Row>;

/// What came of statements that were run as one transaction: the rows of each.
pub type Outcome = Result<Vec<Rows>, Failure>;

impl Statement {
    /// A statement with these parameters.
    pub fn new(sql: &'static str, parameters: impl IntoIterator<Item = Value>) -> Self {
        Self { sql, parameters: parameters.into_iter().collect() }
    }

    /// The text with its parameters named as Postgres does.
    pub fn numbered(&self) -> String {
        self.sql.replace('?', "$")
    }

    /// The text with the values in it, for who has to run it by hand.
    pub fn literal(&self) -> String {
        let mut parts = self.sql.split('?');
        let mut text = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let (number, rest) = part.split_at(part.bytes().take_while(u8::is_ascii_digit).count());
            let place = number.parse::<usize>().ok().and_then(|number| number.checked_sub(1));
            match place.and_then(|place| self.parameters.get(place)) {
                Some(Value::Integer(number)) => text.push_str(&number.to_string()),
                Some(Value::Text(value)) => {
                    text.push_str(&format!("'{}'", value.replace('\'', "''")));
                }
                // A test holds that each has a value.
                None => text.push_str("NULL"),
            }
            text.push_str(rest);
        }
        text
    }
}

impl fmt::Debug for Statement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.sql)
    }
}

impl Row {
    /// The text in this column.
    pub fn text(&self, column: usize) -> Result<String, Failure> {
        match self.0.get(column) {
            Some(Value::Text(text)) => Ok(text.clone()),
            other => Err(unexpected(column, "a text", other)),
        }
    }

    /// The number in this column.
    pub fn integer(&self, column: usize) -> Result<i64, Failure> {
        match self.0.get(column) {
            Some(Value::Integer(number)) => Ok(*number),
            other => Err(unexpected(column, "a number", other)),
        }
    }

    /// The number in this column as one that cannot be negative.
    pub fn unsigned(&self, column: usize) -> Result<u64, Failure> {
        let number = self.integer(column)?;
        u64::try_from(number).map_err(|_| unexpected(column, "a number from 0", None))
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<u64> for Value {
    /// Beyond what the engines hold it is the largest they do.
    fn from(number: u64) -> Self {
        Self::Integer(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Integer(number.into())
    }
}

/// What a row holds is not shown: it may be a secret.
fn unexpected(column: usize, expected: &str, found: Option<&Value>) -> Failure {
    let found = match found {
        Some(Value::Integer(_)) => "a number",
        Some(Value::Text(_)) => "a text",
        None => "nothing of the kind",
    };
    let detail = format!("The store gave {found} in column {column}; expected {expected}.");
    Failure::new(Reason::StoreFailed, detail)
}

#[cfg(test)]
mod tests;
