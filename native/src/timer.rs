//! One timer for all deadlines of a request.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use streamgate_core::time::Instant;
use tokio::time::Sleep;

use crate::serving_thread::Clock;

/// Deadlines move with every token. The timer is reset only when it fires, or when it would fire too
/// late, so that a token costs no timer operation.
#[derive(Default)]
pub(crate) struct Timer {
    sleep: Option<Pin<Box<Sleep>>>,
    fires: Instant,
}

impl Timer {
    /// Ready with the time once it is `until`.
    pub(crate) fn poll(
        &mut self,
        context: &mut Context<'_>,
        until: Option<Instant>,
        clock: Clock,
    ) -> Poll<Instant> {
        let Some(until) = until else { return Poll::Pending };
        if self.sleep.is_none() || until < self.fires {
            self.set(until, clock);
        }
        while let Some(sleep) = &mut self.sleep {
            ready!(sleep.as_mut().poll(context));
            let now = clock.now();
            if until <= now {
                self.sleep = None;
                return Poll::Ready(now);
            }
            self.set(until, clock);
        }
        Poll::Pending
    }

    fn set(&mut self, until: Instant, clock: Clock) {
        self.fires = until;
        let at = clock.tokio(until);
        match &mut self.sleep {
            Some(sleep) => sleep.as_mut().reset(at),
            None => self.sleep = Some(Box::pin(tokio::time::sleep_until(at))),
        }
    }
}
