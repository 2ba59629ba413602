//! Ways to providers: names resolved, TCP connected, TLS agreed, and which of these failed.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use rustls::pki_types::ServerName;
use rustls_platform_verifier::BuilderVerifierExt;
use streamgate_core::egress;
use streamgate_core::failure::{Failure, Reason};
use streamgate_core::target::{ChosenBy, Provider};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;
use tower_service::Service;

/// A connection, with or without TLS.
pub(super) type Stream = Either<TcpStream, Box<TlsStream<TcpStream>>>;

/// Who is at the other end: scheme, host and port; and where that may be.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Origin {
    uri: Uri,
    reach: Reach,
}

/// Where a call may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Reach {
    /// Wherever the configuration leads.
    Anywhere,
    /// To the public internet: a user chose the URL.
    Public,
}

impl Reach {
    /// How far a call of this provider may reach.
    pub(crate) fn of(provider: &Provider) -> Self {
        match provider.chosen_by {
            ChosenBy::Operator | ChosenBy::User => Self::Anywhere,
            ChosenBy::UserWithUrl => Self::Public,
        }
    }

    fn allows(self, address: IpAddr) -> bool {
        self == Self::Anywhere || egress::is_public(address)
    }
}

impl Origin {
    /// Whom a URL leads to. The error is a text for a person.
    pub(super) fn of(url: &str, reach: Reach) -> Result<Self, String> {
        let none = || format!("`{url}` is no URL");
        let parts = url.parse::<Uri>().map_err(|_| none())?.into_parts();
        let mut origin = http::uri::Parts::default();
        origin.scheme = parts.scheme;
        origin.authority = parts.authority;
        origin.path_and_query = Some(http::uri::PathAndQuery::from_static("/"));
        Uri::from_parts(origin).map(|uri| Self { uri, reach }).map_err(|_| none())
    }

    /// Whether its connections are kept for the next call. What users choose has no bound, so
    /// theirs are not.
    pub(super) fn is_kept(&self) -> bool {
        self.reach == Reach::Anywhere
    }

    fn is_secure(&self) -> bool {
        self.uri.scheme() == Some(&http::uri::Scheme::HTTPS)
    }

    fn host(&self) -> &str {
        self.uri.host().unwrap_or_default().trim_matches(['[', ']'])
    }
}

/// TLS as every call speaks it: by rustls and ring, trusting whom the system trusts.
#[derive(Clone, Debug)]
pub(super) struct TlsConfig(Arc<rustls::ClientConfig>);

impl TlsConfig {
    /// The error is a text for a person.
    pub(super) fn new() -> Result<Self, String> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(BuilderVerifierExt::with_platform_verifier)
            .map_err(|error| format!("no TLS: {error}"))?
            .with_no_client_auth();
        Ok(Self(Arc::new(config)))
    }

    /// The same for a client that speaks HTTP/2 with servers that do.
    pub(super) fn with_http2(&self) -> rustls::ClientConfig {
        let mut config = rustls::ClientConfig::clone(&self.0);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        config
    }
}

/// Makes connections.
pub(super) struct Connector {
    /// Resolves names, and tries IPv6 and IPv4 side by side.
    anywhere: HttpConnector<Resolver>,
    /// The same for the public internet.
    public: HttpConnector<Resolver>,
    tls: TlsConnector,
    time_max: Duration,
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").field("time_max", &self.time_max).finish_non_exhaustive()
    }
}

impl Connector {
    pub(super) fn new(tls: &TlsConfig, time_max: Duration) -> Self {
        let tcp = |reach| {
            let resolver = Resolver { system: GaiResolver::new(), reach };
            let mut tcp = HttpConnector::new_with_resolver(resolver);
            tcp.enforce_http(false);
            tcp.set_nodelay(true);
            tcp
        };
        let tls = TlsConnector::from(tls.0.clone());
        let (anywhere, public) = (tcp(Reach::Anywhere), tcp(Reach::Public));
        Self { anywhere, public, tls, time_max }
    }

    /// Connects, within the time for it. `target` is what failures name.
    pub(super) async fn connect(&self, origin: &Origin, target: &str) -> Result<Stream, Failure> {
        let connected = tokio::time::timeout(self.time_max, self.connect_at_last(origin)).await;
        connected.unwrap_or(Err(Broken::Late)).map_err(|broken| broken.failure(target))
    }

    async fn connect_at_last(&self, origin: &Origin) -> Result<Stream, Broken> {
        // An address is not resolved, so it is checked here.
        if origin.host().parse().is_ok_and(|address| !origin.reach.allows(address)) {
            return Err(Broken::Forbidden);
        }
        let tcp = match origin.reach {
            Reach::Anywhere => &self.anywhere,
            Reach::Public => &self.public,
        };
        let tcp = tcp.clone().call(origin.uri.clone()).await;
        let tcp = tcp.map_err(|error| Broken::tcp(&error))?.into_inner();
        if !origin.is_secure() {
            return Ok(Either::Left(tcp));
        }
        let name = ServerName::try_from(origin.host().to_owned())
            .map_err(|e| Broken::Tls(e.to_string()))?;
        let tls = self.tls.connect(name, tcp).await.map_err(|e| Broken::Tls(e.to_string()))?;
        Ok(Either::Right(Box::new(tls)))
    }
}

/// The step that failed, and why.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Broken {
    Dns(String),
    /// A user's URL leads elsewhere than to the public internet.
    Forbidden,
    Connect(String),
    Tls(String),
    /// The time for all of it was over.
    Late,
}

impl Broken {
    fn tcp(error: &(dyn Error + 'static)) -> Self {
        let causes = || std::iter::successors(Some(error), |&error| error.source());
        let cause = causes().last().unwrap_or(error).to_string();
        match causes().find_map(|cause| cause.downcast_ref::<Unresolved>()) {
            Some(Unresolved::Forbidden) => Self::Forbidden,
            Some(Unresolved::Name(_)) => Self::Dns(cause),
            None => Self::Connect(cause),
        }
    }

    /// The failure of a call to `target`.
    pub(super) fn failure(self, target: &str) -> Failure {
        let (reason, what) = match self {
            // Which address it is may be a secret of the operator's network.
            Self::Forbidden => (
                Reason::AddressForbidden,
                "its base URL leads elsewhere than to the public internet".to_owned(),
            ),
            Self::Dns(why) => (Reason::Dns, format!("its host name cannot be resolved ({why})")),
            Self::Connect(why) => (Reason::Connect, format!("it cannot be reached ({why})")),
            Self::Tls(why) => (Reason::Tls, format!("no secure connection ({why})")),
            Self::Late => {
                (Reason::ConnectTimeout, "it did not accept the connection in time".to_owned())
            }
        };
        Failure::new(reason, format!("{target}: {what}."))
    }
}

/// The system's resolver, whose errors are distinct from others. Where only the public internet may
/// be reached, a name that has any other address has none: what is connected to is what was
/// checked, however often the name changes its mind.
#[derive(Clone)]
struct Resolver {
    system: GaiResolver,
    reach: Reach,
}

#[derive(Debug)]
enum Unresolved {
    Name(io::Error),
    Forbidden,
}

impl fmt::Display for Unresolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(error) => error.fmt(f),
            Self::Forbidden => f.write_str("the name has an address that is not public"),
        }
    }
}

impl Error for Unresolved {}

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = Unresolved;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Unresolved>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Unresolved>> {
        self.system.poll_ready(context).map_err(Unresolved::Name)
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let (resolving, reach) = (self.system.call(name), self.reach);
        Box::pin(async move {
            let addresses: Vec<_> = resolving.await.map_err(Unresolved::Name)?.collect();
            if addresses.iter().all(|address| reach.allows(address.ip())) {
                Ok(addresses.into_iter())
            } else {
                Err(Unresolved::Forbidden)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn failure(url: &str) -> Failure {
        failure_within(url, Reach::Anywhere).await
    }

    async fn failure_within(url: &str, reach: Reach) -> Failure {
        let connector = Connector::new(&TlsConfig::new().unwrap(), Duration::from_secs(5));
        let origin = Origin::of(url, reach).unwrap();
        connector.connect(&origin, "openai/gpt").await.map(drop).unwrap_err()
    }

    async fn listener() -> (tokio::net::TcpListener, String) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap().to_string();
        (listener, addr)
    }

    #[test]
    fn an_origin_is_a_url_without_its_path() {
        let of = |url| Origin::of(url, Reach::Anywhere).unwrap();
        assert_eq!(of("https://a.example/v1/x?y"), of("https://a.example/z"));
        assert_ne!(of("https://a.example/"), of("http://a.example/"));
        assert_ne!(of("https://a.example/"), of("https://a.example:8443/"));
        assert!(Origin::of("no url", Reach::Anywhere).is_err());
        // A connection the operator's call left is not a user's to use.
        assert_ne!(
            of("https://a.example/"),
            Origin::of("https://a.example/", Reach::Public).unwrap()
        );
    }

    /// Somebody listens there: who is not refused is answered.
    #[tokio::test]
    async fn what_users_choose_reaches_no_private_address() {
        let (listener, addr) = listener().await;
        let port = listener.local_addr().unwrap().port();
        let names = [
            addr,
            format!("localhost:{port}"),
            format!("api.example.com@localhost:{port}"),
            format!("2130706433:{port}"),
            format!("0x7f.1:{port}"),
            format!("0177.0.0.1:{port}"),
            format!("127.1:{port}"),
            format!("0:{port}"),
            format!("[::1]:{port}"),
            format!("[::ffff:127.0.0.1]:{port}"),
            format!("[::ffff:7f00:1]:{port}"),
            "10.0.0.1".to_owned(),
            "169.254.169.254".to_owned(),
        ];
        for name in names {
            let failure = failure_within(&format!("https://{name}/"), Reach::Public).await;
            assert_eq!(failure.reason, Reason::AddressForbidden, "{name}: {failure}");
            assert!(!failure.message().contains("127."), "{failure}");
        }
    }

    #[tokio::test]
    async fn a_closed_port_is_a_failed_connection() {
        let (listener, addr) = listener().await;
        drop(listener);
        let failure = failure(&format!("http://{addr}/")).await;
        assert_eq!(failure.reason, Reason::Connect, "{failure}");
        assert!(failure.message().contains("refused"), "{failure}");
    }

    #[tokio::test]
    async fn an_unknown_host_is_a_dns_failure() {
        let failure = failure("http://does-not-exist.invalid/").await;
        assert_eq!(failure.reason, Reason::Dns, "{failure}");
    }

    #[tokio::test]
    async fn a_server_without_tls_is_a_tls_failure() {
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
    async fn a_silent_server_runs_into_the_timeout() {
        let (_listener, addr) = listener().await;
        let connector = Connector::new(&TlsConfig::new().unwrap(), Duration::from_millis(50));
        let origin = Origin::of(&format!("https://{addr}/"), Reach::Anywhere).unwrap();
        let failure = connector.connect(&origin, "openai/gpt").await.map(drop).unwrap_err();
        assert_eq!(failure.reason, Reason::ConnectTimeout, "{failure}");
    }
}
