//! What a request waits for besides its calls to models: its body, the store or a key set. At most
//! one of them is pending at any time.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use streamgate_core::failure::Reason;
use streamgate_core::request::{BodyFailure, Input};
use streamgate_core::store::{Outcome, Statement};

use crate::request_body::RequestBody;
use crate::serving_thread::ServingThread;

/// An operation in progress.
pub(crate) enum Pending {
    Body { body: RequestBody, bytes_max: usize },
    Rows(Pin<Box<dyn Future<Output = Outcome> + Send>>),
    KeySet(Pin<Box<dyn Future<Output = Result<Vec<u8>, String>> + Send>>),
}

/// The result of an operation.
pub(crate) enum Completed {
    Body(Result<Bytes, BodyFailure>),
    Rows(Outcome),
    KeySet(Result<Vec<u8>, String>),
}

impl Pending {
    /// Runs statements in the store, if there is one.
    pub(crate) fn rows(thread: &ServingThread, statements: Vec<Statement>) -> Self {
        let store = thread.store.clone();
        Self::Rows(Box::pin(async move {
            match store {
                Some(store) => store.run(statements).await,
                None => Err(Reason::StoreMissing.into()),
            }
        }))
    }

    /// Fetches a key set.
    pub(crate) fn key_set(thread: &ServingThread, url: String, bytes_max: usize) -> Self {
        let upstream = thread.upstream.clone();
        Self::KeySet(Box::pin(async move { upstream.get(&url, bytes_max).await }))
    }

    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Completed> {
        Poll::Ready(match self {
            Self::Body { body, bytes_max } => {
                Completed::Body(ready!(body.poll(context, *bytes_max)))
            }
            Self::Rows(rows) => Completed::Rows(ready!(rows.as_mut().poll(context))),
            Self::KeySet(key_set) => Completed::KeySet(ready!(key_set.as_mut().poll(context))),
        })
    }
}

impl Completed {
    /// The input of the request machine for it.
    pub(crate) fn as_input(&mut self) -> Input<'_> {
        match self {
            Self::Body(Ok(body)) => Input::Body(body),
            Self::Body(Err(why)) => Input::BodyFailed(why.clone()),
            Self::Rows(outcome) => Input::Rows(std::mem::replace(outcome, Ok(Vec::new()))),
            Self::KeySet(body) => Input::Fetched(body.as_deref().map_err(String::as_str)),
        }
    }
}
