//! `head.sock`: what a running head answers to other shells of its user, and their side of it.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use a2arun_core::status::StatusJson;
use a2arun_proto::v1;
use a2arun_proto::v1::head_client::HeadClient;
use a2arun_proto::v1::head_server::{Head, HeadServer};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::{Request, Response, Status};

use crate::head::Ask;
use crate::target::local_channel;

/// A head answers at once, or it is stuck and `list` must go on.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);

struct Service {
    asks: mpsc::Sender<Ask>,
}

#[tonic::async_trait]
impl Head for Service {
    async fn status(
        &self,
        _request: Request<v1::HeadStatusRequest>,
    ) -> Result<Response<v1::HeadStatusReply>, Status> {
        let (reply, answer) = oneshot::channel();
        self.ask(Ask::Status(reply)).await?;
        let status = answer.await.map_err(|_| gone())?;
        let json = serde_json::to_string(&status).map_err(|e| Status::internal(e.to_string()))?;
        Ok(Response::new(v1::HeadStatusReply { json }))
    }

    async fn stop(
        &self,
        request: Request<v1::HeadStopRequest>,
    ) -> Result<Response<v1::HeadStopReply>, Status> {
        let (done, answer) = oneshot::channel();
        self.ask(Ask::Stop { now: request.into_inner().now, done }).await?;
        answer.await.map_err(|_| gone())?;
        Ok(Response::new(v1::HeadStopReply {}))
    }
}

impl Service {
    async fn ask(&self, ask: Ask) -> Result<(), Status> {
        self.asks.send(ask).await.map_err(|_| gone())
    }
}

fn gone() -> Status {
    Status::unavailable("the run is over")
}

/// Listens at `socket` and answers peers of this uid until it is dropped.
///
/// # Errors
/// When the socket cannot be bound.
pub(crate) fn serve(
    socket: &Path,
    uid: u32,
    asks: mpsc::Sender<Ask>,
) -> io::Result<impl Future<Output = ()> + Send + use<>> {
    let listener = UnixListener::bind(socket)?;
    // Its folder is closed to others already; peers are asked for their uid as well.
    fs::set_permissions(socket, fs::Permissions::from_mode(0o600))?;
    let ours = move |stream: &UnixStream| stream.peer_cred().is_ok_and(|c| c.uid() == uid);
    let incoming =
        UnixListenerStream::new(listener).filter(move |stream| stream.as_ref().map_or(true, &ours));
    let server = tonic::transport::Server::builder().add_service(HeadServer::new(Service { asks }));
    Ok(async move {
        if let Err(error) = server.serve_with_incoming(incoming).await {
            tracing::warn!(%error, "head socket");
        }
    })
}

/// Why a head gave no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AskError {
    #[error("nobody answers at the head's socket")]
    Connect(#[source] io::Error),
    #[error("the head does not answer")]
    Call(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the head did not answer within {} s", ANSWER_LIMIT.as_secs())]
    Timeout,
}

/// Asks a head how its run is.
///
/// # Cancel safety
/// Dropping it ends the call.
pub(crate) async fn ask_status(socket: &Path) -> Result<StatusJson, AskError> {
    let call = async {
        let mut client = client(socket).await?;
        let reply = client.status(v1::HeadStatusRequest {}).await.map_err(call_error)?;
        serde_json::from_str(&reply.into_inner().json).map_err(|e| AskError::Call(Box::new(e)))
    };
    timeout(ANSWER_LIMIT, call).await.unwrap_or(Err(AskError::Timeout))
}

/// Asks a head to stop its run.
///
/// # Cancel safety
/// Dropping it ends the call; the head may have taken it.
pub(crate) async fn ask_stop(socket: &Path, now: bool) -> Result<(), AskError> {
    let call = async {
        let mut client = client(socket).await?;
        client.stop(v1::HeadStopRequest { now }).await.map_err(call_error)?;
        Ok(())
    };
    timeout(ANSWER_LIMIT, call).await.unwrap_or(Err(AskError::Timeout))
}

fn call_error(status: Status) -> AskError {
    AskError::Call(Box::new(status))
}

async fn client(socket: &Path) -> Result<HeadClient<tonic::transport::Channel>, AskError> {
    let stream = UnixStream::connect(socket).await.map_err(AskError::Connect)?;
    let channel = local_channel(stream).await.map_err(|e| AskError::Call(Box::new(e)))?;
    Ok(HeadClient::new(channel))
}
