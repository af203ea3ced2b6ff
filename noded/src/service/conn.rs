//! An accepted connection and who is on the other side of it. Without an identity there is no
//! connection: a handler is never reached by anybody else (promise P8).

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use a2arun_rt::tls::Role;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;
use tonic::{Request, Status};

/// Who is on the other side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Who {
    /// A process of our own user, over the unix socket.
    OwnUser,
    /// Whoever the certificate names.
    Certified(Role),
}

/// The identity of a connection, as handlers see it.
#[derive(Debug, Clone)]
pub struct Peer(pub Who);

impl Peer {
    /// Whether it may change anything.
    fn is_head(&self) -> bool {
        matches!(self.0, Who::OwnUser | Who::Certified(Role::Head))
    }

    /// Whether it may look.
    fn is_viewer(&self) -> bool {
        self.is_head() || matches!(self.0, Who::Certified(Role::Viewer(_)))
    }
}

fn peer<T>(request: &Request<T>) -> Result<&Peer, Status> {
    // Set by the transport for every connection; its absence would be a defect.
    request.extensions().get::<Peer>().ok_or_else(|| Status::internal("connection without a peer"))
}

/// Refuses whoever may not change anything.
///
/// # Errors
/// `PERMISSION_DENIED`.
pub(super) fn require_head<T>(request: &Request<T>) -> Result<(), Status> {
    if peer(request)?.is_head() {
        return Ok(());
    }
    Err(Status::permission_denied("this call needs a certificate of role head"))
}

/// Refuses whoever may not look.
///
/// # Errors
/// `PERMISSION_DENIED`.
pub(super) fn require_viewer<T>(request: &Request<T>) -> Result<(), Status> {
    if peer(request)?.is_viewer() {
        return Ok(());
    }
    Err(Status::permission_denied("this call needs a certificate of role head or viewer"))
}

/// A connection whose other side is known.
#[derive(Debug)]
pub(super) struct Conn {
    stream: Stream,
    peer: Peer,
}

#[derive(Debug)]
enum Stream {
    Unix(UnixStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Conn {
    /// Over the unix socket, from our own user.
    pub(super) fn unix(stream: UnixStream) -> Self {
        Self { stream: Stream::Unix(stream), peer: Peer(Who::OwnUser) }
    }

    /// Over TLS, with a certificate of a role.
    pub(super) fn tls(stream: TlsStream<TcpStream>, role: Role) -> Self {
        Self { stream: Stream::Tls(Box::new(stream)), peer: Peer(Who::Certified(role)) }
    }
}

impl Connected for Conn {
    type ConnectInfo = Peer;
    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for Conn {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Stream::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
            Stream::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Conn {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().stream {
            Stream::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
            Stream::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().stream {
            Stream::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Stream::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Stream::Unix(stream) => stream.is_write_vectored(),
            Stream::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Stream::Unix(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Stream::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
