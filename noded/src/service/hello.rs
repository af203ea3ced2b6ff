//! Which of the two services a TLS client wants: said in its ClientHello (ALPN, RFC 7301), which
//! is looked at without being taken, so that the right thread does the handshake.

use std::io;

use a2arun_rt::tls::ALPN_BULK;
use rustls::server::Acceptor;
use tokio::net::TcpStream;

/// What a client asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wants {
    /// Launch, stop, events.
    Control,
    /// Output and input.
    Bulk,
}

/// The longest ClientHello that is looked at; a record holds 16 KiB (RFC 8446 §5.1).
const HELLO_MAX_BYTES: usize = 16 * 1024 + 5;

/// Reads the ClientHello with `MSG_PEEK`.
///
/// # Errors
/// When what comes is not a ClientHello.
///
/// # Cancel safety
/// Cancel safe: nothing is taken from the socket.
pub(super) async fn wants(stream: &TcpStream) -> io::Result<Wants> {
    let mut buffer = vec![0u8; HELLO_MAX_BYTES];
    let mut seen = 0;
    loop {
        let len = stream.peek(&mut buffer).await?;
        if len == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it hung up"));
        }
        if len > seen {
            seen = len;
            if let Some(wants) = parse(&buffer[..len])? {
                return Ok(wants);
            }
            if len == buffer.len() {
                return Err(io::Error::other("its ClientHello is too long"));
            }
        }
        // The rest is on its way; peeking does not wait for more than there is.
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
}

fn parse(bytes: &[u8]) -> io::Result<Option<Wants>> {
    let mut acceptor = Acceptor::default();
    acceptor.read_tls(&mut &bytes[..])?;
    match acceptor.accept() {
        Ok(None) => Ok(None),
        Ok(Some(accepted)) => {
            let bulk = accepted
                .client_hello()
                .alpn()
                .is_some_and(|mut names| names.any(|name| name == ALPN_BULK));
            Ok(Some(if bulk { Wants::Bulk } else { Wants::Control }))
        }
        Err((error, _)) => Err(io::Error::new(io::ErrorKind::InvalidData, error)),
    }
}
