//! One GET over HTTP/1.1, for its status alone.

use std::net::SocketAddr;
use std::time::Duration;

use http_body_util::Empty;
use hyper::body::Bytes;
use hyper::{Request, header};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Why there was no status.
#[derive(Debug, thiserror::Error)]
pub(super) enum GetError {
    /// The path does not fit into a request.
    #[error("not a valid path")]
    Path,
    /// What answers does not speak HTTP, or hangs up.
    #[error("no HTTP answer ({0})")]
    Http(hyper::Error),
    /// Nothing came in time.
    #[error("no answer in time")]
    Late,
}

/// The status of `GET path`.
///
/// # Errors
/// When there is no HTTP answer within `limit`.
///
/// # Cancel safety
/// May be dropped: the connection is closed with it.
pub(super) async fn get(
    stream: TcpStream,
    address: SocketAddr,
    path: &str,
    limit: Duration,
) -> Result<u16, GetError> {
    let request = Request::get(path)
        .header(header::HOST, address.to_string())
        .header(header::USER_AGENT, concat!("noded/", env!("CARGO_PKG_VERSION")))
        .header(header::ACCEPT, "application/json, */*")
        .header(header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(|_| GetError::Path)?;
    let exchange = async {
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let answer = sender.send_request(request);
        tokio::pin!(connection, answer);
        // Both are driven here, so nothing is left behind when the time is up. Cancel safe: the
        // loser of the race is polled again or dropped with its connection.
        tokio::select! {
            answer = &mut answer => answer,
            end = &mut connection => match end {
                Ok(()) => answer.await,
                Err(error) => Err(error),
            },
        }
    };
    match timeout(limit, exchange).await {
        Ok(Ok(response)) => Ok(response.status().as_u16()),
        Ok(Err(error)) => Err(GetError::Http(error)),
        Err(_) => Err(GetError::Late),
    }
}
