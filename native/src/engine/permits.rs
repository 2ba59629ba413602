//! How many requests a model takes on: those in its slots, and a queue with a bound.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The permits of one model.
#[derive(Debug)]
pub(super) struct QueuePermits {
    in_use: AtomicUsize,
    most: usize,
}

/// Held by a request from its arrival to its end.
#[derive(Debug)]
pub(super) struct QueuePermit(Arc<QueuePermits>);

impl QueuePermits {
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { in_use: AtomicUsize::new(0), most })
    }

    /// A permit, unless all are in use.
    pub(super) fn take(self: &Arc<Self>) -> Option<QueuePermit> {
        let next = |in_use| (in_use < self.most).then_some(in_use + 1);
        let taken = self.in_use.fetch_update(Ordering::AcqRel, Ordering::Acquire, next);
        taken.ok().map(|_| QueuePermit(Arc::clone(self)))
    }

    pub(super) fn are_unused(&self) -> bool {
        self.in_use.load(Ordering::Acquire) == 0
    }
}

impl Drop for QueuePermit {
    fn drop(&mut self) {
        self.0.in_use.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_permit_can_be_taken_again_when_its_request_ends() {
        let permits = QueuePermits::new(2);
        let first = permits.take();
        let second = permits.take();
        assert!(first.is_some() && second.is_some());
        assert!(permits.take().is_none());
        drop(first);
        assert!(permits.take().is_some());
        assert!(!permits.are_unused());
        drop(second);
        assert!(permits.are_unused());
    }
}
