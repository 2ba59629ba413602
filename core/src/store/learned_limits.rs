//! Limits that were learned from providers' refusals, by endpoint and model.

use super::{Row, Rows, Statement, Value};
use crate::failure::Failure;
use crate::limit::learned::{Learned, LearnedLimit, ROWS_MAX};
use crate::limit::parameter::Parameters;

/// Keeps what was learned, each in place of what was known of that endpoint and model before.
pub fn keep(limits: &[LearnedLimit]) -> Vec<Statement> {
    limits.iter().map(upsert).collect()
}

/// Takes in what came of [`list`].
pub fn restore(rows: &[Rows], learned: &Learned) -> Result<(), Failure> {
    let kept = rows.iter().flatten().map(read).collect::<Result<Vec<_>, _>>()?;
    learned.restore(kept);
    Ok(())
}

/// Keeps one.
pub fn upsert(limit: &LearnedLimit) -> Statement {
    Statement::new(
        "INSERT INTO learned_limits \
         (endpoint, model, max_output, context_window, max_input, source, learned_at, refused) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) \
         ON CONFLICT (endpoint, model) DO UPDATE SET max_output = excluded.max_output, \
         context_window = excluded.context_window, max_input = excluded.max_input, \
         source = excluded.source, \
         learned_at = excluded.learned_at, refused = excluded.refused",
        [
            limit.endpoint.as_str().into(),
            limit.model.as_str().into(),
            limit.max_output.unwrap_or(0).into(),
            limit.context_window.unwrap_or(0).into(),
            limit.max_input.unwrap_or(0).into(),
            limit.source.as_str().into(),
            limit.learned_at.into(),
            limit.refused.names().as_str().into(),
        ],
    )
}

/// Lists what was learned, the latest first, as much as is remembered: rows for [`read`].
pub fn list() -> Statement {
    Statement::new(
        "SELECT endpoint, model, max_output, context_window, max_input, source, learned_at, refused \
         FROM learned_limits ORDER BY learned_at DESC, endpoint, model LIMIT ?1",
        [Value::from(ROWS_MAX as u64)],
    )
}

/// Reads a row.
pub fn read(row: &Row) -> Result<LearnedLimit, Failure> {
    let tokens = |column| {
        let number = row.unsigned(column);
        number.map(|number| u32::try_from(number).ok().filter(|&tokens| tokens > 0))
    };
    Ok(LearnedLimit {
        endpoint: row.text(0)?,
        model: row.text(1)?,
        max_output: tokens(2)?,
        context_window: tokens(3)?,
        max_input: tokens(4)?,
        source: row.text(5)?,
        learned_at: row.unsigned(6)?,
        refused: Parameters::named(&row.text(7)?),
    })
}
