//! The limits that providers named, kept in the store from one process to the next.

use streamgate_core::failure::Failure;
use streamgate_core::limit::learned::{Learned, LearnedLimit};
use streamgate_core::store::learned_limits;

use crate::store::Store;

/// Takes in what was kept.
pub(crate) fn restore(store: &Store, learned: &Learned) -> Result<(), Failure> {
    let rows = store.run_blocking(vec![learned_limits::list()])?;
    learned_limits::restore(&rows, learned)
}

/// Keeps what an answer learned. Nobody waits for it: what is lost is learned again.
pub(crate) fn keep(store: &Store, rows: &[LearnedLimit]) {
    if rows.is_empty() {
        return;
    }
    if let Err(failure) = store.begin(learned_limits::keep(rows)) {
        tracing::warn!("a learned limit is not kept: {}", failure.message());
    }
}
