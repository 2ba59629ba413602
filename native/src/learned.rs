//! The limits that providers named, as the store has them from earlier processes.

use streamgate_core::failure::Failure;
use streamgate_core::limit::learned::Learned;
use streamgate_core::store::learned_limits;

use crate::store::Store;

/// Restores what was kept.
pub(crate) fn restore(store: &Store, learned: &Learned) -> Result<(), Failure> {
    let rows = store.run_blocking(vec![learned_limits::list()])?;
    learned_limits::restore(&rows, learned)
}
