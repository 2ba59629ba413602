//! How many requests a model takes on: those in its slots, and a queue with a bound.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The seats of one model.
#[derive(Debug)]
pub(super) struct Seats {
    taken: AtomicUsize,
    most: usize,
}

/// Held by a request from its arrival to its end.
#[derive(Debug)]
pub(super) struct Seat(Arc<Seats>);

impl Seats {
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { taken: AtomicUsize::new(0), most })
    }

    /// None when all are taken.
    pub(super) fn take(self: &Arc<Self>) -> Option<Seat> {
        let next = |taken| (taken < self.most).then_some(taken + 1);
        let taken = self.taken.fetch_update(Ordering::AcqRel, Ordering::Acquire, next);
        taken.ok().map(|_| Seat(Arc::clone(self)))
    }

    pub(super) fn are_free(&self) -> bool {
        self.taken.load(Ordering::Acquire) == 0
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seat_is_free_again_when_its_request_ends() {
        let seats = Seats::new(2);
        let first = seats.take();
        let second = seats.take();
        assert!(first.is_some() && second.is_some());
        assert!(seats.take().is_none());
        drop(first);
        assert!(seats.take().is_some());
        assert!(!seats.are_free());
        drop(second);
        assert!(seats.are_free());
    }
}
