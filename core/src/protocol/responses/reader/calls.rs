//! The calls of a stream: its events name them by their places in the output, where there are other
//! items too.

use crate::protocol::ReadError;
use crate::protocol::reader::calls::{TOOL_CALLS_MAX, too_many_calls};

/// The calls that were begun, in order.
#[derive(Debug, Default)]
pub(super) struct PlacedCalls(Vec<Call>);

#[derive(Debug)]
struct Call {
    place: Option<u32>,
    id: String,
    /// Some of its arguments were emitted.
    argued: bool,
}

impl PlacedCalls {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The number of the call that begins at this place; `None` where it began before.
    pub(super) fn begin(&mut self, place: Option<u32>, id: &str) -> Result<Option<u32>, ReadError> {
        let is_same = |call: &Call| !id.is_empty() && call.id == id;
        let known = |call: &Call| is_same(call) || (place.is_some() && call.place == place);
        if self.0.iter().any(known) {
            return Ok(None);
        }
        if self.0.len() == TOOL_CALLS_MAX {
            return Err(too_many_calls());
        }
        self.0.push(Call { place, id: id.to_owned(), argued: false });
        Ok(Some(self.0.len() as u32 - 1))
    }

    /// The number of the call at this place, of whose arguments some are emitted now.
    pub(super) fn argue(&mut self, place: Option<u32>) -> Option<u32> {
        let at = self.at(place)?;
        self.0[at].argued = true;
        Some(at as u32)
    }

    /// Whether the call at this place has had no arguments yet.
    pub(super) fn lacks_arguments(&self, place: Option<u32>) -> bool {
        self.at(place).is_some_and(|at| !self.0[at].argued)
    }

    /// The last ones are looked up most. Items come one after another: without a place, it is the
    /// last.
    fn at(&self, place: Option<u32>) -> Option<usize> {
        let known = place.and_then(|_| self.0.iter().rposition(|call| call.place == place));
        let last = self.0.len().checked_sub(1);
        known.or(last.filter(|&last| place.is_none() || self.0[last].place.is_none()))
    }
}
