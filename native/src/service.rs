//! The HTTP service of one thread: a request becomes a [`Driver`], whose response is the driver's
//! head and, as its body, the driver itself.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::header::EXPECT;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use streamgate_core::request::{self, Head, RequestHead};

use crate::driver::Driver;
use crate::request_body::RequestBody;
use crate::serve::Carried;
use crate::serving_thread::ServingThread;

/// The service of one thread, for one connection. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Service {
    thread: Arc<ServingThread>,
    carried: Carried,
}

/// A response whose head is not known yet.
pub(crate) struct Responding(Option<Box<Driver>>);

impl Service {
    pub(crate) fn new(thread: ServingThread) -> Self {
        Self { thread: Arc::new(thread), carried: Carried::default() }
    }

    /// The same service for the connection whose socket knows this.
    pub(crate) fn carried(&self, carried: Carried) -> Self {
        Self { thread: self.thread.clone(), carried }
    }
}

impl hyper::service::Service<Request<Incoming>> for Service {
    type Response = Response<Box<Driver>>;
    type Error = std::io::Error;
    type Future = Responding;

    fn call(&self, request: Request<Incoming>) -> Responding {
        Responding(self.begin(request).map(Box::new))
    }
}

impl Service {
    /// `None` if the system has no random numbers: no secret can be made, so the connection is closed
    /// without a response.
    fn begin(&self, request: Request<Incoming>) -> Option<Driver> {
        let arrival = self.thread.arrival().inspect_err(|error| {
            tracing::error!(%error, "no random numbers");
        });
        let (parts, incoming) = request.into_parts();
        let head = RequestHead {
            method: parts.method.as_str(),
            path: parts.uri.path(),
            query: parts.uri.query().unwrap_or(""),
            header: &|name| joined(&parts.headers, name),
        };
        let request = request::Request::new(&self.thread.gateway, &head, &arrival.ok()?);
        let expects_continue = parts.headers.contains_key(EXPECT);
        let body = RequestBody::new(incoming, expects_continue);
        // HTTP/1.0 knows no interim responses.
        let is_old = parts.version < Version::HTTP_11;
        let carried = if is_old { Carried::default() } else { self.carried.clone() };
        Some(Driver::new(self.thread.clone(), carried, request, body))
    }
}

impl Future for Responding {
    type Output = std::io::Result<Response<Box<Driver>>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(mut driver) = self.0.take() else {
            return Poll::Ready(Err(std::io::Error::other("no random numbers")));
        };
        match driver.poll_head(context) {
            Poll::Ready(head) => Poll::Ready(Ok(response(head, driver))),
            Poll::Pending => {
                self.0 = Some(driver);
                Poll::Pending
            }
        }
    }
}

fn response(head: Head, driver: Box<Driver>) -> Response<Box<Driver>> {
    let mut response = Response::new(driver);
    *response.status_mut() = StatusCode::from_u16(head.status).unwrap_or_default();
    let headers = response.headers_mut();
    for (name, value) in head.headers {
        // A configured name may contain bytes that a header value cannot; it is left out then.
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.append(HeaderName::from_static(name), value);
        }
    }
    response
}

/// All values of a header, joined by commas as RFC 9110 allows.
fn joined(headers: &HeaderMap, name: &str) -> Option<String> {
    let values: Vec<_> =
        headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect();
    (!values.is_empty()).then(|| values.join(", "))
}
