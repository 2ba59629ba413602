//! Ways to providers: names resolved, TCP connected, TLS agreed, and which of these failed.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::{GaiAddrs, GaiResolver, Name};
use rustls::pki_types::ServerName;
use rustls_platform_verifier::BuilderVerifierExt;
use streamgate_core::failure::{Failure, Reason};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;
use tower_service::Service;

/// A connection, with or without TLS.
pub(super) type Stream = Either<TcpStream, Box<TlsStream<TcpStream>>>;

/// Who is at the other end: scheme, host and port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Origin(Uri);

impl Origin {
    /// Whom a URL leads to. The error is a text for a person.
    pub(super) fn of(url: &str) -> Result<Self, String> {
        let none = || format!("`{url}` is no URL");
        let parts = url.parse::<Uri>().map_err(|_| none())?.into_parts();
        let mut origin = http::uri::Parts::default();
        origin.scheme = parts.scheme;
        origin.authority = parts.authority;
        origin.path_and_query = Some(http::uri::PathAndQuery::from_static("/"));
        Uri::from_parts(origin).map(Self).map_err(|_| none())
    }

    fn is_secure(&self) -> bool {
        self.0.scheme() == Some(&http::uri::Scheme::HTTPS)
    }
}

/// Makes connections.
pub(super) struct Connector {
    /// Resolves names, and tries IPv6 and IPv4 side by side.
    tcp: HttpConnector<Resolver>,
    tls: TlsConnector,
    time_max: Duration,
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").field("time_max", &self.time_max).finish_non_exhaustive()
    }
}

impl Connector {
    /// The error is a text for a person.
    pub(super) fn new(time_max: Duration) -> Result<Self, String> {
        let mut tcp = HttpConnector::new_with_resolver(Resolver(GaiResolver::new()));
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(BuilderVerifierExt::with_platform_verifier)
            .map_err(|error| format!("no TLS: {error}"))?
            .with_no_client_auth();
        Ok(Self { tcp, tls: TlsConnector::from(Arc::new(config)), time_max })
    }

    /// Connects, within the time for it. `target` is for what is said of failures.
    pub(super) async fn connect(&self, origin: &Origin, target: &str) -> Result<Stream, Failure> {
        match tokio::time::timeout(self.time_max, self.connect_at_last(origin)).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(broken)) => Err(broken.failure(target)),
            Err(_) => {
                let detail = format!("{target} did not accept the connection in time.");
                Err(Failure::new(Reason::ConnectTimeout, detail))
            }
        }
    }

    async fn connect_at_last(&self, origin: &Origin) -> Result<Stream, Broken> {
        let tcp = self.tcp.clone().call(origin.0.clone()).await;
        let tcp = tcp.map_err(|error| Broken::tcp(&error))?.into_inner();
        if !origin.is_secure() {
            return Ok(Either::Left(tcp));
        }
        let host = origin.0.host().unwrap_or_default().trim_matches(['[', ']']);
        let name = ServerName::try_from(host.to_owned()).map_err(|e| Broken::Tls(e.to_string()))?;
        let tls = self.tls.connect(name, tcp).await.map_err(|e| Broken::Tls(e.to_string()))?;
        Ok(Either::Right(Box::new(tls)))
    }
}

/// The step that failed, and why.
#[derive(Debug, PartialEq, Eq)]
enum Broken {
    Dns(String),
    Connect(String),
    Tls(String),
}

impl Broken {
    fn tcp(error: &(dyn Error + 'static)) -> Self {
        let causes = || std::iter::successors(Some(error), |&error| error.source());
        let cause = causes().last().unwrap_or(error).to_string();
        if causes().any(|cause| cause.is::<Unresolved>()) {
            Self::Dns(cause)
        } else {
            Self::Connect(cause)
        }
    }

    fn failure(self, target: &str) -> Failure {
        let (reason, what) = match self {
            Self::Dns(why) => (Reason::Dns, format!("its host name cannot be resolved ({why})")),
            Self::Connect(why) => (Reason::Connect, format!("it cannot be reached ({why})")),
            Self::Tls(why) => (Reason::Tls, format!("no secure connection ({why})")),
        };
        Failure::new(reason, format!("{target}: {what}."))
    }
}

/// The system's resolver, whose errors can be told from others.
#[derive(Clone)]
struct Resolver(GaiResolver);

#[derive(Debug)]
struct Unresolved(io::Error);

impl fmt::Display for Unresolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for Unresolved {}

impl Service<Name> for Resolver {
    type Response = GaiAddrs;
    type Error = Unresolved;
    type Future = Pin<Box<dyn Future<Output = Result<GaiAddrs, Unresolved>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Unresolved>> {
        self.0.poll_ready(context).map_err(Unresolved)
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let resolving = self.0.call(name);
        Box::pin(async { resolving.await.map_err(Unresolved) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn failure(url: &str) -> Failure {
        let connector = Connector::new(Duration::from_secs(5)).unwrap();
        let origin = Origin::of(url).unwrap();
        connector.connect(&origin, "openai/gpt").await.map(drop).unwrap_err()
    }

    async fn listener() -> (tokio::net::TcpListener, String) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap().to_string();
        (listener, addr)
    }

    #[test]
    fn an_origin_is_a_url_without_its_path() {
        let of = |url| Origin::of(url).unwrap();
        assert_eq!(of("https://a.example/v1/x?y"), of("https://a.example/z"));
        assert_ne!(of("https://a.example/"), of("http://a.example/"));
        assert_ne!(of("https://a.example/"), of("https://a.example:8443/"));
        assert!(Origin::of("no url").is_err());
    }

    #[tokio::test]
    async fn nobody_listening_is_told_as_such() {
        let (listener, addr) = listener().await;
        drop(listener);
        let failure = failure(&format!("http://{addr}/")).await;
        assert_eq!(failure.reason, Reason::Connect, "{failure}");
        assert!(failure.message().contains("refused"), "{failure}");
    }

    #[tokio::test]
    async fn a_name_that_is_none_is_told_as_such() {
        let failure = failure("http://does-not-exist.invalid/").await;
        assert_eq!(failure.reason, Reason::Dns, "{failure}");
    }

    #[tokio::test]
    async fn a_server_without_tls_is_told_as_such() {
        let (listener, addr) = listener().await;
        let plain = tokio::spawn(async move {
            use tokio::io::AsyncWriteExt;
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        });
        let failure = failure(&format!("https://{addr}/")).await;
        plain.await.unwrap();
        assert_eq!(failure.reason, Reason::Tls, "{failure}");
    }

    #[tokio::test]
    async fn a_server_that_says_nothing_runs_out_of_time() {
        let (_listener, addr) = listener().await;
        let connector = Connector::new(Duration::from_millis(50)).unwrap();
        let origin = Origin::of(&format!("https://{addr}/")).unwrap();
        let failure = connector.connect(&origin, "openai/gpt").await.map(drop).unwrap_err();
        assert_eq!(failure.reason, Reason::ConnectTimeout, "{failure}");
    }
}
