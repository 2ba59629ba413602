//! Reads complete bodies, up to a bound.

use futures::TryStreamExt as _;
use streamgate_core::request::BodyFailure;
use worker::{ByteStream, Fetch, Request, RequestInit, RequestRedirect, Result};

use crate::error;

/// The body of a request.
pub(crate) async fn of_request(
    mut request: Request,
    bytes_max: usize,
) -> std::result::Result<Vec<u8>, BodyFailure> {
    if request.inner().body().is_none() {
        return Ok(Vec::new());
    }
    match async { read(request.stream()?, bytes_max).await }.await {
        Ok(Some(body)) => Ok(body),
        Ok(None) => Err(BodyFailure::TooLarge),
        Err(error) => Err(BodyFailure::Broken(error::message(&error))),
    }
}

/// The body at a URL, without following redirects; or why there is none.
pub(crate) async fn of_url(url: &str, bytes_max: usize) -> std::result::Result<Vec<u8>, String> {
    let fetch = async {
        let mut init = RequestInit::new();
        init.with_redirect(RequestRedirect::Manual);
        let mut response = Fetch::Request(Request::new_with_init(url, &init)?).send().await?;
        match response.status_code() {
            200 => read(response.stream()?, bytes_max).await,
            status => Err(format!("the response has status {status}").into()),
        }
    };
    let body = fetch.await.map_err(|error| error::message(&error))?;
    body.ok_or_else(|| format!("it is longer than {bytes_max} bytes"))
}

/// Reads a stream to its end; `None` if it is longer than `bytes_max`.
async fn read(mut stream: ByteStream, bytes_max: usize) -> Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    while let Some(chunk) = stream.try_next().await? {
        if bytes.len() + chunk.len() > bytes_max {
            return Ok(None);
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(Some(bytes))
}
