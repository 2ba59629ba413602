//! Requests in, responses out: what core says of a path, as HTTP.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use http::{HeaderName, HeaderValue, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use streamgate_core::failure::{Failure, Reason};
use streamgate_core::gateway::{Client, Reply, Route};

use crate::driver::Driver;
use crate::worker::Worker;

/// How long a client may take to send a request's body.
const BODY_TIME_MAX: Duration = Duration::from_secs(30);

/// The service of one thread. Core decides what a path is, so that both shells agree.
pub(crate) fn router(worker: Arc<Worker>) -> Router {
    Router::new().fallback(respond).with_state(worker)
}

async fn respond(State(worker): State<Arc<Worker>>, request: Request) -> Response {
    match worker.gateway.route(request.method().as_str(), request.uri().path()) {
        Route::Reply(reply) => whole(reply),
        Route::Chat(client) => chat(worker, client, request.into_body()).await,
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

async fn chat(worker: Arc<Worker>, client: Client, body: Body) -> Response {
    let body = read(&worker, body).await;
    let arrival = worker.arrival();
    let answer = match body {
        Ok(body) => worker.gateway.answer(client, &body, &arrival),
        Err(failure) => worker.gateway.refuse(client, failure, &arrival),
    };
    Driver::new(worker, answer, client.protocol).respond().await.map(Body::new)
}

/// Reads a request's body, up to a size and for a time.
async fn read(worker: &Worker, body: Body) -> Result<bytes::Bytes, Failure> {
    let limited = Limited::new(body, worker.gateway.request_bytes_max());
    match tokio::time::timeout(BODY_TIME_MAX, limited.collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(worker.gateway.body_too_large()),
        Ok(Err(error)) => {
            Err(Failure::new(Reason::InvalidRequest, format!("The request broke off: {error}.")))
        }
        Err(_) => {
            let seconds = BODY_TIME_MAX.as_secs();
            let detail = format!("The request body did not arrive within {seconds} seconds.");
            Err(Failure::new(Reason::InvalidRequest, detail))
        }
    }
}
