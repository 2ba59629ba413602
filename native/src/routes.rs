//! Requests in, responses out: what core says of a path, as HTTP.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use streamgate_core::failure::{Failure, Reason};
use streamgate_core::gateway::{Arrival, Client, Gateway, Reply, Route};
use streamgate_core::provider_keys::Action;

use crate::access;
use crate::driver::Driver;
use crate::provider_keys;
use crate::serving_thread::ServingThread;

/// How long a client may take to send a request's body.
const BODY_TIME_MAX: Duration = Duration::from_secs(30);

/// The service of one thread. Core decides what a path is, so that both shells agree.
pub(crate) fn router(thread: Arc<ServingThread>) -> Router {
    Router::new().fallback(respond).with_state(thread)
}

async fn respond(State(thread): State<Arc<ServingThread>>, request: Request) -> Response {
    match thread.gateway.route(request.method().as_str(), request.uri().path()) {
        Route::Reply(reply) => whole(reply),
        Route::Private(reply) => match access::admit(&thread, request.headers()).await {
            Ok(_) => whole(reply),
            Err(failure) => whole(Reply::failure(&failure)),
        },
        Route::ProviderKey { action, provider } => {
            whole(provider_key(&thread, action, &provider, request).await)
        }
        Route::Chat(client) => chat(thread, client, request).await,
    }
}

async fn provider_key(
    thread: &ServingThread,
    action: Action,
    provider: &str,
    request: Request,
) -> Reply {
    let caller = match access::admit(thread, request.headers()).await {
        Ok(caller) => caller,
        Err(failure) => return Reply::failure(&failure),
    };
    let body = match action {
        Action::Set => read(&thread.gateway, request.into_body(), BODY_TIME_MAX).await,
        Action::Show | Action::Forget => Ok(bytes::Bytes::new()),
    };
    match body {
        Ok(body) => provider_keys::respond(thread, action, provider, caller.as_ref(), &body).await,
        Err(failure) => Reply::failure(&failure),
    }
}

fn whole(reply: Reply) -> Response {
    let mut response = Response::new(Body::from(reply.body));
    *response.status_mut() = StatusCode::from_u16(reply.status).unwrap_or_default();
    for (name, value) in reply.headers {
        if let Ok(value) = HeaderValue::try_from(value) {
            response.headers_mut().insert(HeaderName::from_static(name), value);
        }
    }
    response
}

/// A header's values as one, as they may be sent on.
fn joined(headers: &HeaderMap, name: &str) -> Option<String> {
    let values: Vec<_> =
        headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect();
    (!values.is_empty()).then(|| values.join(", "))
}

async fn chat(thread: Arc<ServingThread>, client: Client, request: Request) -> Response {
    let headers = client.headers(|name| joined(request.headers(), name));
    let (caller, body) = match access::admit(&thread, request.headers()).await {
        Ok(caller) => (caller, read(&thread.gateway, request.into_body(), BODY_TIME_MAX).await),
        Err(failure) => (None, Err(failure)),
    };
    let own_keys = match &body {
        Ok(_) => provider_keys::of(&thread, caller.as_ref()).await,
        Err(_) => Ok(Vec::new()),
    };
    let arrival = Arrival { own_keys, headers, ..thread.arrival(caller) };
    let answer = match body {
        Ok(body) => thread.gateway.answer(client, &body, &arrival),
        Err(failure) => thread.gateway.refuse(client, failure, &arrival),
    };
    Driver::new(thread, answer).respond().await.map(Body::new)
}

/// Reads a request's body, up to a size and for a time.
async fn read(gateway: &Gateway, body: Body, time_max: Duration) -> Result<bytes::Bytes, Failure> {
    let limited = Limited::new(body, gateway.request_bytes_max());
    match tokio::time::timeout(time_max, limited.collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(gateway.body_too_large()),
        Ok(Err(error)) => {
            Err(Failure::new(Reason::InvalidRequest, format!("The request broke off: {error}.")))
        }
        Err(_) => {
            let seconds = time_max.as_secs();
            let detail = format!("The request's body did not arrive within {seconds} seconds.");
            Err(Failure::new(Reason::RequestTimeout, detail))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use streamgate_core::config::Config;

    use super::*;

    /// A body of which nothing comes.
    struct Silent;

    impl http_body::Body for Silent {
        type Data = bytes::Bytes;
        type Error = std::convert::Infallible;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<http_body::Frame<bytes::Bytes>, Self::Error>>> {
            Poll::Pending
        }
    }

    #[tokio::test]
    async fn a_body_that_does_not_come_is_told_as_such() {
        let gateway = Gateway::new(Config::embedded());
        let read = read(&gateway, Body::new(Silent), Duration::from_millis(20)).await;
        let failure = read.unwrap_err();
        assert_eq!(failure.status(), 408, "{failure}");
    }
}
