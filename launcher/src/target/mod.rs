//! How a host is reached: this machine's noded over its unix socket, or an installed one over
//! TLS. What is said over the connection is not known here.

mod error;
mod installed;
mod local;
mod stream;

use std::sync::Arc;

use a2arun_rt::tls::Purpose;
use tonic::transport::Channel;

pub(crate) use error::{ConnectError, chain};
pub(crate) use installed::Installed;
pub(crate) use local::{Local, find_noded};
pub(crate) use stream::Verdict;

/// The port of an installed noded where the hostfile says no other.
pub(crate) const NODED_PORT: u16 = 7741;

/// A host, and what is needed to dial it.
#[derive(Debug, Clone)]
pub(crate) enum Target {
    /// The user's noded on this machine, started when it is not there.
    Local(Arc<Local>),
    /// An installed noded.
    Installed(Arc<Installed>),
}

/// An open connection.
#[derive(Debug)]
pub(crate) struct Connection {
    /// For calls.
    pub(crate) channel: Channel,
    /// The address under which the host was reached; `None`: this machine.
    pub(crate) address: Option<std::net::IpAddr>,
    /// What the peer said when it refused us, once it has.
    pub(crate) verdict: Verdict,
}

/// Whether a noded that is not there may be started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnDemand {
    /// Start it.
    Start,
    /// Only look.
    Never,
}

impl Target {
    /// Opens one connection, within 5 s.
    ///
    /// # Cancel safety
    /// Dropping it closes what was opened; a noded that was started stays.
    pub(crate) async fn connect(
        &self,
        purpose: Purpose,
        on_demand: OnDemand,
    ) -> Result<Connection, ConnectError> {
        match self {
            Self::Local(local) => local.connect(purpose, on_demand).await,
            Self::Installed(installed) => installed.connect(purpose).await,
        }
    }
}

/// A channel over a unix socket that is open already: to a head of this user.
pub(crate) async fn local_channel(
    stream: tokio::net::UnixStream,
) -> Result<Channel, tonic::transport::Error> {
    stream::channel(stream, Purpose::Control).await.map(|(channel, _)| channel)
}
