//! Accepting: the unix socket checks the peer's uid, TCP checks a certificate. There is no other
//! way in, and none without encryption.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use a2arun_rt::tls::{self, TrustDomain};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Server;

use a2arun_proto::v1::control_server::ControlServer;

use super::conn::Conn;
use super::control::ControlService;
use super::hello::{self, Wants};

/// From the first byte to a finished handshake.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(5);
/// Connections that are still shaking hands, per address.
const HANDSHAKES_PER_ADDRESS: usize = 32;
/// Accepted connections that may wait.
const ACCEPTED_DEPTH: usize = 64;
/// How often a silent connection is asked whether it is there.
const KEEPALIVE: Duration = Duration::from_secs(10);

/// What TLS needs.
#[derive(Clone)]
pub struct Tls {
    /// Does handshakes.
    pub acceptor: TlsAcceptor,
    /// Whose certificates count.
    pub domain: TrustDomain,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").field("domain", &self.domain).finish_non_exhaustive()
    }
}

/// Listens on a unix socket, 0600, replacing what an earlier noded left. The caller holds the
/// lock of the state folder.
pub fn unix_listener(path: &Path) -> io::Result<UnixListener> {
    match std::fs::remove_file(path) {
        Ok(()) => {}
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => return Err(e),
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Listens on a TCP port.
pub async fn tcp_listener(address: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(address).await
}

/// Accepts from a unix socket; whoever is not our own user is dropped before a byte is read.
pub(super) async fn accept_unix(listener: UnixListener, accepted: mpsc::Sender<io::Result<Conn>>) {
    let own = rustix::process::geteuid().as_raw();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => match stream.peer_cred() {
                Ok(cred) if cred.uid() == own => {
                    if accepted.send(Ok(Conn::unix(stream))).await.is_err() {
                        return;
                    }
                }
                Ok(cred) => tracing::warn!(uid = cred.uid(), "refused a process of another user"),
                Err(error) => tracing::warn!(%error, "refused a connection without a user"),
            },
            Err(error) => pause(&error).await,
        }
    }
}

/// Out of descriptors, most likely: accepting again at once would only spin.
async fn pause(error: &io::Error) {
    tracing::warn!(%error, "cannot accept a connection");
    tokio::time::sleep(Duration::from_millis(50)).await;
}

/// How many handshakes each address has under way.
#[derive(Debug, Clone, Default)]
struct Slots {
    by_address: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// One handshake under way; over when it is dropped.
#[derive(Debug)]
pub(super) struct Slot {
    slots: Slots,
    ip: IpAddr,
}

impl Slots {
    fn take(&self, ip: IpAddr) -> Option<Slot> {
        let mut counts = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(ip).or_default();
        if *count >= HANDSHAKES_PER_ADDRESS {
            return None;
        }
        *count += 1;
        Some(Slot { slots: self.clone(), ip })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut counts = self.slots.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.ip) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.ip);
            }
        }
    }
}

/// A client that wants the bulk service, before its handshake.
#[derive(Debug)]
pub struct Knock {
    pub(super) stream: std::net::TcpStream,
    pub(super) slot: Slot,
}

/// Accepts from TCP, finds out what each client wants, and hands it to the right thread.
pub(super) async fn accept_tcp(
    listener: TcpListener,
    tls: Tls,
    control: mpsc::Sender<io::Result<Conn>>,
    bulk: mpsc::Sender<Knock>,
) {
    let mut shaking = JoinSet::new();
    let slots = Slots::default();
    loop {
        let accepted = listener.accept().await;
        while shaking.try_join_next().is_some() {}
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                pause(&error).await;
                continue;
            }
        };
        let Some(slot) = slots.take(address.ip()) else {
            tracing::warn!(%address, "too many handshakes at once from this address");
            continue;
        };
        let (tls, control, bulk) = (tls.clone(), control.clone(), bulk.clone());
        shaking.spawn(async move {
            let greeted = greet(stream, address, tls, control, bulk, slot);
            match tokio::time::timeout(HANDSHAKE_LIMIT, greeted).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) if hung_up(&error) => tracing::debug!(%address, "it hung up"),
                Ok(Err(error)) => tracing::warn!(%address, %error, "refused a connection"),
                Err(_) => tracing::warn!(%address, "refused a connection: handshake too slow"),
            }
        });
    }
}

/// Whether a client just went away: a head that gave up because another host failed, or a scan.
fn hung_up(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof)
}

async fn greet(
    stream: TcpStream,
    address: SocketAddr,
    tls: Tls,
    control: mpsc::Sender<io::Result<Conn>>,
    bulk: mpsc::Sender<Knock>,
    slot: Slot,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    match hello::wants(&stream).await? {
        Wants::Bulk => {
            let _ = bulk.send(Knock { stream: stream.into_std()?, slot }).await;
        }
        Wants::Control => {
            let conn = shake_hands(stream, address, &tls).await?;
            let _ = control.send(Ok(conn)).await;
        }
    }
    Ok(())
}

/// The handshake, and the role in the certificate.
pub(super) async fn shake_hands(
    stream: TcpStream,
    address: SocketAddr,
    tls: &Tls,
) -> io::Result<Conn> {
    let stream = tls.acceptor.accept(stream).await?;
    let certs = stream.get_ref().1.peer_certificates().unwrap_or_default();
    let role = tls::peer_role(certs, &tls.domain)
        .map_err(|e| io::Error::new(io::ErrorKind::PermissionDenied, e))?;
    tracing::debug!(%address, ?role, "a client has come");
    Ok(Conn::tls(stream, role))
}

/// The settings that both services' servers share. `window` is how many bytes may be under way.
pub(super) fn server(window: u32) -> Server {
    Server::builder()
        .initial_stream_window_size(window)
        .initial_connection_window_size(window)
        .max_frame_size(256 * 1024)
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_keepalive_timeout(Some(KEEPALIVE))
        .tcp_nodelay(true)
}

/// Serves the control service on the unix socket and, where there is one, on TCP, until
/// `shutdown` is done.
///
/// # Errors
/// When the transport itself fails.
pub async fn serve_control(
    unix: UnixListener,
    tcp: Option<(TcpListener, Tls, mpsc::Sender<Knock>)>,
    service: ControlService,
    shutdown: impl Future<Output = ()>,
) -> Result<(), tonic::transport::Error> {
    let (accepted, connections) = mpsc::channel(ACCEPTED_DEPTH);
    let mut acceptors = JoinSet::new();
    acceptors.spawn(accept_unix(unix, accepted.clone()));
    if let Some((listener, tls, bulk)) = tcp {
        acceptors.spawn(accept_tcp(listener, tls, accepted, bulk));
    }
    let service = ControlServer::from_arc(Arc::new(service))
        .max_decoding_message_size(a2arun_proto::MESSAGE_MAX_BYTES);
    server(1024 * 1024)
        .add_service(service)
        .serve_with_incoming_shutdown(ReceiverStream::new(connections), shutdown)
        .await
}
