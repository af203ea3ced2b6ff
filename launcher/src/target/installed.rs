//! An installed noded: TCP, then TLS 1.3 with certificates on both sides.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use a2arun_core::ids::HostName;
use a2arun_rt::tls::{Credentials, Purpose, refusal, server_name};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::target::{ConnectError, Connection, stream};

/// From the first packet to the end of the handshake (DESIGN §5).
const LIMIT: Duration = Duration::from_secs(5);

/// A host that listens with mutual TLS.
#[derive(Debug)]
pub(crate) struct Installed {
    host: HostName,
    address: String,
    port: u16,
    credentials: Arc<Credentials>,
}

impl Installed {
    /// `host` is the name that its certificate must show; `address` is what is dialled.
    pub(crate) fn new(
        host: HostName,
        address: String,
        port: u16,
        credentials: Arc<Credentials>,
    ) -> Self {
        Self { host, address, port, credentials }
    }

    pub(super) async fn connect(&self, purpose: Purpose) -> Result<Connection, ConnectError> {
        let shown = || format!("{}:{}", self.address, self.port);
        let config = self.credentials.client_config(self.host.as_str(), purpose)?;
        let dial = async {
            let tcp = TcpStream::connect((self.address.as_str(), self.port))
                .await
                .map_err(|source| ConnectError::Dial { address: shown(), source })?;
            let setup = |source| ConnectError::Dial { address: shown(), source };
            tcp.set_nodelay(true).map_err(setup)?;
            let address = tcp.peer_addr().map_err(setup)?.ip().to_canonical();
            let tls = TlsConnector::from(config)
                .connect(server_name(), tcp)
                .await
                .map_err(|source| handshake(source, shown()))?;
            let (channel, verdict) = stream::channel(tls, purpose).await.map_err(|e| {
                ConnectError::Broken { address: shown(), why: super::error::chain(&e) }
            })?;
            Ok(Connection { channel, address: Some(address), verdict })
        };
        // Dropping the dial closes its socket: nothing is left behind on the way.
        match timeout(LIMIT, dial).await {
            Ok(result) => result,
            Err(_) => Err(ConnectError::Timeout { address: shown(), limit: LIMIT }),
        }
    }
}

fn handshake(source: io::Error, address: String) -> ConnectError {
    match refusal(&source) {
        Some(refusal) => ConnectError::Refused(refusal),
        None => ConnectError::Handshake { address, source },
    }
}
