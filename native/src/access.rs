//! The way in: does what core's admission asks for.

use std::time::Duration;

use http::HeaderMap;
use streamgate_core::access::{Credentials, KEY_SET_BYTES_MAX, Output, Visitor};
use streamgate_core::failure::{Failure, Reason};

use crate::worker::{Worker, unix_time};

/// How long a key set may take to come.
const FETCH_TIME_MAX: Duration = Duration::from_secs(5);

/// Finds out who sent a request with these headers; nobody where everybody may ask.
pub(crate) async fn admit(
    worker: &Worker,
    headers: &HeaderMap,
) -> Result<Option<Visitor>, Failure> {
    let credentials = Credentials::read(|name| headers.get(name)?.to_str().ok());
    let unix_now = unix_time().as_secs();
    let mut admission = worker.gateway.admit(&credentials, worker.clock.now(), unix_now);
    loop {
        match admission.poll() {
            Output::Admitted(visitor) => return Ok(visitor),
            Output::Refused(failure) => return Err(failure),
            Output::Query(statement) => {
                let found = match &worker.store {
                    Some(store) => store.run(vec![statement]).await,
                    None => Err(Reason::StoreMissing.into()),
                };
                if let Err(failure) = admission.found(found) {
                    tracing::error!(%failure, "keys cannot be looked up");
                }
            }
            Output::Fetch { url } => {
                let body = fetch(worker, &url).await;
                let body = body.as_deref().map_err(Clone::clone);
                if let Err(why) = admission.fetched(worker.clock.now(), body) {
                    tracing::warn!(url, why, "no new keys for tokens");
                }
            }
        }
    }
}

async fn fetch(worker: &Worker, url: &str) -> Result<Vec<u8>, String> {
    let fetched = worker.upstream.get(url, KEY_SET_BYTES_MAX);
    let late = |_| Err(format!("it did not come within {} s", FETCH_TIME_MAX.as_secs()));
    tokio::time::timeout(FETCH_TIME_MAX, fetched).await.unwrap_or_else(late)
}
