//! The way in: does what core's admission asks for.

use std::time::Duration;

use http::HeaderMap;
use streamgate_core::access::{Caller, Credentials, KEY_SET_BYTES_MAX, Output};
use streamgate_core::failure::{Failure, Reason};

use crate::serving_thread::{ServingThread, unix_time};

/// How long a key set may take to come.
const FETCH_TIME_MAX: Duration = Duration::from_secs(5);

/// Finds out who sent a request with these headers; nobody where everybody may ask.
pub(crate) async fn admit(
    thread: &ServingThread,
    headers: &HeaderMap,
) -> Result<Option<Caller>, Failure> {
    let credentials = Credentials::read(|name| headers.get(name)?.to_str().ok());
    let unix_now = unix_time().as_secs();
    let mut admission = thread.gateway.admit(&credentials, thread.clock.now(), unix_now);
    loop {
        match admission.poll() {
            Output::Admitted(caller) => return Ok(caller),
            Output::Refused(failure) => return Err(failure),
            Output::Query(statement) => {
                let found = match &thread.store {
                    Some(store) => store.run(vec![statement]).await,
                    None => Err(Reason::StoreMissing.into()),
                };
                if let Err(failure) = admission.found(found) {
                    tracing::error!(%failure, "keys cannot be looked up");
                }
            }
            Output::Fetch { url } => {
                let body = fetch(thread, &url).await;
                let body = body.as_deref().map_err(Clone::clone);
                if let Err(why) = admission.fetched(thread.clock.now(), body) {
                    tracing::warn!(url, why, "no new keys for tokens");
                }
            }
        }
    }
}

async fn fetch(thread: &ServingThread, url: &str) -> Result<Vec<u8>, String> {
    let fetched = thread.upstream.get(url, KEY_SET_BYTES_MAX);
    let late = |_| Err(format!("it did not come within {} s", FETCH_TIME_MAX.as_secs()));
    tokio::time::timeout(FETCH_TIME_MAX, fetched).await.unwrap_or_else(late)
}
