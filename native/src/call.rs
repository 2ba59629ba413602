//! A call to a model, wherever it runs.

use std::task::{Context, Poll};

use streamgate_core::relay::{self, AttemptId};
use streamgate_core::request::Input;
use streamgate_core::target::Upstream;

use crate::progress::Progress;
use crate::serving_thread::ServingThread;
use crate::{local, upstream};

/// A call that is being made. Dropping it aborts it.
pub(crate) enum Call {
    Upstream(upstream::Call),
    Local(local::Call),
}

impl Call {
    /// Begins a call; it makes no progress before it is polled.
    pub(crate) fn begin(thread: &ServingThread, call: &relay::Call) -> Self {
        match call.target.provider.upstream {
            Upstream::Local => Self::Local(local::Call::new(&thread.engine, call)),
            Upstream::Http(_) => Self::Upstream(thread.upstream.call(call)),
        }
    }

    /// Passes whatever is ready to `take`.
    pub(crate) fn poll(
        &mut self,
        context: &mut Context<'_>,
        attempt: AttemptId,
        take: &mut dyn FnMut(Input<'_>),
    ) -> Poll<Progress> {
        match self {
            Self::Upstream(call) => call.poll(context, attempt, take),
            Self::Local(call) => call.poll(context, attempt, take),
        }
    }

    /// Ends the call and lets its connection be reused.
    pub(crate) fn release(self) {
        match self {
            Self::Upstream(call) => call.release(),
            Self::Local(call) => drop(call),
        }
    }
}
