//! The calls of a stream: its events name them by their places in the output, where there are other
//! items too.

use crate::protocol::ReadError;
use crate::protocol::calls::{TOOL_CALLS_MAX, too_many_calls};

/// The calls that were begun, in order.
#[derive(Debug, Default)]
pub(super) struct PlacedCalls(Vec<Call>);

#[derive(Debug)]
struct Call {
    place: u32,
    /// Some of its arguments were emitted.
    argued: bool,
}

impl PlacedCalls {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The number of the call that begins at this place; `None` where it began before.
    pub(super) fn begin(&mut self, place: u32) -> Result<Option<u32>, ReadError> {
        if self.at(place).is_some() {
            return Ok(None);
        }
        if self.0.len() == TOOL_CALLS_MAX {
            return Err(too_many_calls());
        }
        self.0.push(Call { place, argued: false });
        Ok(Some(self.0.len() as u32 - 1))
    }

    /// The number of the call at this place, of whose arguments some are emitted now.
    pub(super) fn argue(&mut self, place: u32) -> Option<u32> {
        let at = self.at(place)?;
        self.0[at].argued = true;
        Some(at as u32)
    }

    /// Whether the call at this place has had no arguments yet.
    pub(super) fn lacks_arguments(&self, place: u32) -> bool {
        self.at(place).is_some_and(|at| !self.0[at].argued)
    }

    /// The last ones are looked up most.
    fn at(&self, place: u32) -> Option<usize> {
        self.0.iter().rposition(|call| call.place == place)
    }
}
