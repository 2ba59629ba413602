//! Restores the limits learned by earlier processes from the store.

use streamgate_core::failure::Failure;
use streamgate_core::limit::learned::Learned;
use streamgate_core::store::learned_limits;

use crate::store::Store;

/// Restores the saved limits.
pub(crate) fn restore(store: &Store, learned: &Learned) -> Result<(), Failure> {
    let rows = store.run_blocking(vec![learned_limits::list()])?;
    learned_limits::restore(&rows, learned)
}
