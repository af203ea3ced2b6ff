//! One request over HTTP/1.1 to an instance: for its status, or for a small body.

use std::net::SocketAddr;
use std::time::Duration;

use http_body_util::{BodyExt, Empty, Full};
use hyper::body::{Body, Bytes, Incoming};
use hyper::{Request, Response, header};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Why there was no status.
#[derive(Debug, thiserror::Error)]
pub enum GetError {
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

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// The body; `None`: larger than was wanted, or broken off.
    pub(super) body: Option<Vec<u8>>,
}

/// The answer to `GET path`, with a body of at most `body_max` bytes.
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
    body_max: usize,
) -> Result<Answer, GetError> {
    let request = Request::get(path)
        .header(header::HOST, address.to_string())
        .header(header::USER_AGENT, concat!("noded/", env!("CARGO_PKG_VERSION")))
        .header(header::ACCEPT, "application/json, */*")
        .header(header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(|_| GetError::Path)?;
    exchange(stream, request, limit, body_max).await
}

/// POSTs JSON; the status.
///
/// # Errors
/// When there is no HTTP answer within `limit`.
///
/// # Cancel safety
/// May be dropped: the connection is closed with it.
pub async fn post(
    stream: TcpStream,
    address: SocketAddr,
    path: &str,
    json: Bytes,
    limit: Duration,
) -> Result<u16, GetError> {
    let request = Request::post(path)
        .header(header::HOST, address.to_string())
        .header(header::USER_AGENT, concat!("noded/", env!("CARGO_PKG_VERSION")))
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::CONNECTION, "close")
        .body(Full::new(json))
        .map_err(|_| GetError::Path)?;
    exchange(stream, request, limit, 0).await.map(|answer| answer.status)
}

async fn exchange<B>(
    stream: TcpStream,
    request: Request<B>,
    limit: Duration,
    body_max: usize,
) -> Result<Answer, GetError>
where
    B: Body + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let exchange = async {
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let answer = async {
            let response = sender.send_request(request).await?;
            let status = response.status().as_u16();
            Ok(Answer { status, body: small_body(response, body_max).await })
        };
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
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(GetError::Http(error)),
        Err(_) => Err(GetError::Late),
    }
}

async fn small_body(response: Response<Incoming>, max: usize) -> Option<Vec<u8>> {
    if max == 0 {
        return None;
    }
    let mut body = response.into_body();
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.ok()?.into_data() {
            if bytes.len() + data.len() > max {
                return None;
            }
            bytes.extend_from_slice(&data);
        }
    }
    Some(bytes)
}
