//! Calls to providers, and everything else that is fetched over HTTP.
//!
//! `direct` carries tokens by default. `clients` is `reqwest`: key sets, and the providers that are
//! configured with `transport = "reqwest"`.

mod clients;
mod connect;
mod decoder;
mod direct;
mod exchange;
mod idle;

use std::task::{Context, Poll};
use std::time::Duration;

use streamgate_core::failure::{Failure, Reason};
use streamgate_core::relay::{self, AttemptId};
use streamgate_core::request::Input;
use streamgate_core::target::Transport;

use crate::progress::Progress;
use clients::Clients;
use connect::{Connector, Reach, TlsConfig};
use decoder::Undecodable;
use direct::Direct;

/// The most that is read of a response after its answer is complete, so that its connection can be
/// reused, in bytes.
const LEFTOVER_BYTES_MAX: usize = 16 * 1024;
/// The longest time spent on that.
const LEFTOVER_TIME_MAX: Duration = Duration::from_secs(1);

/// The connections of one thread to providers. Cheap to clone: clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Upstream {
    direct: Direct,
    clients: Clients,
}

impl Upstream {
    /// No connections yet. The error is a text for a person.
    pub(crate) fn new(connect_time_max: Duration) -> Result<Self, String> {
        let tls = TlsConfig::new()?;
        let connector = Connector::new(&tls, connect_time_max);
        Ok(Self { direct: Direct::new(connector), clients: Clients::new(tls, connect_time_max) })
    }

    /// Begins a call. If a user chose the base URL the call is always direct, because that client
    /// checks the address it connects to.
    pub(crate) fn call(&self, call: &relay::Call) -> Call {
        let provider = &call.target.provider;
        match (provider.transport, Reach::of(provider)) {
            (Transport::Reqwest, Reach::Anywhere) => Call::Client(self.clients.call(call)),
            (Transport::SansIo, _) | (Transport::Reqwest, Reach::Public) => {
                Call::Direct(self.direct.call(call))
            }
        }
    }

    /// Fetches a document of at most `bytes_max` bytes. The error is a text for the operator.
    pub(crate) async fn get(&self, url: &str, bytes_max: usize) -> Result<Vec<u8>, String> {
        self.clients.get(url, bytes_max).await
    }
}

/// A call to a provider. Dropping it cancels it.
pub(crate) enum Call {
    Direct(direct::Call),
    Client(clients::Call),
}

impl Call {
    /// Passes whatever is ready to `take`.
    pub(crate) fn poll(
        &mut self,
        context: &mut Context<'_>,
        attempt: AttemptId,
        take: &mut dyn FnMut(Input<'_>),
    ) -> Poll<Progress> {
        match self {
            Self::Direct(call) => call.poll(context, attempt, take),
            Self::Client(call) => call.poll(context, attempt, take),
        }
    }

    /// Lets the connection be reused if the response ends soon.
    pub(crate) fn release(self) {
        match self {
            Self::Direct(call) => call.release(),
            Self::Client(call) => call.release(),
        }
    }
}

fn lost(target: &str, error: &std::io::Error) -> Failure {
    if let Some(undecodable) = error.get_ref().and_then(|error| error.downcast_ref::<Undecodable>())
    {
        return Failure::new(Reason::Garbage, format!("{target}: its response has {undecodable}."));
    }
    Failure::new(Reason::Lost, format!("{target}: the connection was lost ({error})."))
}
