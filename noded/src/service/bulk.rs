//! The service `Bulk`: output and standard input, on a thread of its own.

use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;

use a2arun_core::ids::{Incarnation, Rank};
use a2arun_proto::v1;
use a2arun_proto::v1::bulk_server::{Bulk, BulkServer};
use tokio::io::Interest;
use tokio::net::{TcpStream, UnixListener};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt};
use tokio_util::task::TaskTracker;
use tonic::{Request, Response, Status, Streaming};

use super::conn::{Conn, require_head, require_viewer};
use super::control::run_id;
use super::listen::{Knock, Tls, accept_unix, server, shake_hands};
use crate::ledger::{Ledger, LogFile};
use crate::logs::{self, Chunk, Start};
use crate::msg::InstanceKey;
use crate::os::async_fd::register;
use crate::supervisor::{Input, Stdin, Views};

/// Blocks that may wait for a slow receiver.
const BLOCKS_DEPTH: usize = 4;
/// Accepted connections that may wait.
const ACCEPTED_DEPTH: usize = 64;
/// Bytes under way to one receiver.
const WINDOW_BYTES: u32 = 4 * 1024 * 1024;

/// What the thread needs.
#[derive(Debug)]
pub struct BulkSettings {
    /// The unix socket, bound.
    pub unix: std::os::unix::net::UnixListener,
    /// Connections that control found to be ours, before their handshake.
    pub tcp: mpsc::Receiver<Knock>,
    /// For the handshakes.
    pub tls: Option<Tls>,
    /// Where output is.
    pub ledger: Ledger,
    /// What is known of runs.
    pub views: Views,
    /// The event counter that steps raise.
    pub output_event: OwnedFd,
    /// The supervisor.
    pub inbox: mpsc::Sender<Input>,
}

/// Starts the thread. It ends with the process.
///
/// # Errors
/// When the thread or its runtime cannot be made.
pub fn spawn_bulk_thread(settings: BulkSettings) -> io::Result<std::thread::JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name("bulk".into()).spawn(move || {
        if let Err(error) = runtime.block_on(serve(settings)) {
            tracing::error!(error = crate::describe(&*error), "the bulk service has ended");
        }
    })
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

async fn serve(settings: BulkSettings) -> Result<(), Failure> {
    let BulkSettings { unix, tcp, tls, ledger, views, output_event, inbox } = settings;
    unix.set_nonblocking(true)?;
    let unix = UnixListener::from_std(unix)?;
    let (accepted, connections) = mpsc::channel(ACCEPTED_DEPTH);
    let (raised, output) = watch::channel(());
    let mut tasks = JoinSet::new();
    tasks.spawn(accept_unix(unix, accepted.clone()));
    tasks.spawn(watch_output(output_event, raised));
    if let Some(tls) = tls {
        tasks.spawn(accept_tls(tcp, tls, accepted));
    }
    let service = BulkService { ledger, views, output, inbox, readers: TaskTracker::new() };
    let service =
        BulkServer::new(service).max_decoding_message_size(a2arun_proto::MESSAGE_MAX_BYTES);
    let incoming = ReceiverStream::new(connections);
    server(WINDOW_BYTES).add_service(service).serve_with_incoming(incoming).await?;
    Ok(())
}

/// Tells readers whenever a step has raised the counter.
async fn watch_output(event: OwnedFd, raised: watch::Sender<()>) {
    let Ok(event) = register(event, Interest::READABLE) else { return };
    loop {
        let Ok(mut guard) = event.readable().await else { return };
        let mut count = [0u8; 8];
        // Reading takes the whole count; an empty counter says so.
        if rustix::io::read(event.get_ref(), &mut count).is_err() {
            guard.clear_ready();
            continue;
        }
        raised.send_replace(());
    }
}

async fn accept_tls(
    mut knocks: mpsc::Receiver<Knock>,
    tls: Tls,
    accepted: mpsc::Sender<io::Result<Conn>>,
) {
    let mut shaking = JoinSet::new();
    while let Some(Knock { stream: socket, slot }) = knocks.recv().await {
        let (tls, accepted) = (tls.clone(), accepted.clone());
        shaking.spawn(async move {
            let shaken = async {
                let address = socket.peer_addr()?;
                shake_hands(TcpStream::from_std(socket)?, address, &tls).await
            };
            let limit = std::time::Duration::from_secs(5);
            match tokio::time::timeout(limit, shaken).await {
                Ok(Ok(conn)) => {
                    let _ = accepted.send(Ok(conn)).await;
                }
                Ok(Err(error)) => tracing::warn!(%error, "refused a connection for output"),
                Err(_) => tracing::warn!("refused a connection for output: handshake too slow"),
            }
            drop(slot);
        });
        while shaking.try_join_next().is_some() {}
    }
}

#[derive(Debug)]
struct BulkService {
    ledger: Ledger,
    views: Views,
    output: watch::Receiver<()>,
    inbox: mpsc::Sender<Input>,
    readers: TaskTracker,
}

type ChunkStream = Pin<Box<dyn Stream<Item = Result<v1::LogChunk, Status>> + Send>>;

#[tonic::async_trait]
impl Bulk for BulkService {
    type ReadLogsStream = ChunkStream;

    async fn read_logs(
        &self,
        request: Request<v1::ReadLogsRequest>,
    ) -> Result<Response<ChunkStream>, Status> {
        require_viewer(&request)?;
        let request = decode(request.into_inner())?;
        if self.views.get(&request.run).is_none() && !self.ledger.run_dir(&request.run).is_dir() {
            return Err(Status::not_found(format!("no run `{}` here", request.run)));
        }
        let (blocks, waiting) = mpsc::channel(BLOCKS_DEPTH);
        let run = request.run.clone();
        let reader = logs::read(
            self.ledger.clone(),
            self.views.clone(),
            self.output.clone(),
            request,
            blocks,
        );
        self.readers.spawn(async move {
            if let Err(error) = reader.await {
                tracing::error!(%run, %error, "cannot read output");
            }
        });
        let stream = ReceiverStream::new(waiting).map(|chunk| Ok(encode(chunk)));
        Ok(Response::new(Box::pin(stream)))
    }

    async fn write_stdin(
        &self,
        request: Request<Streaming<v1::StdinChunk>>,
    ) -> Result<Response<v1::StdinReply>, Status> {
        require_head(&request)?;
        let mut chunks = request.into_inner();
        let Some(first) = chunks.message().await? else {
            return Err(Status::invalid_argument("no chunk"));
        };
        let run = run_id(&first.run)?.ok_or_else(|| Status::invalid_argument("no run named"))?;
        let key = InstanceKey { run, rank: Rank(first.rank) };
        let (reply, answer) = oneshot::channel();
        let ending = || Status::unavailable("noded is ending");
        let question = Input::Stdin(key.clone(), reply);
        self.inbox.send(question).await.map_err(|_| ending())?;
        let pipe = answer.await.map_err(|_| ending())?;
        let pipe = match pipe {
            Stdin::Open(pipe) => pipe,
            Stdin::Closed => return Err(Status::failed_precondition("its input is not open")),
            Stdin::NotYet => return Err(Status::unavailable("its step is not there yet")),
        };
        let pipe = nonblocking(pipe).map_err(|e| Status::internal(e.to_string()))?;
        let inbox = self.inbox.clone();
        // In a task of its own: this future is dropped when the head goes away, and however the
        // stream ends, an agent that reads to the end of its input must see it.
        let task = self.readers.spawn(async move {
            let written = forward(&pipe, first, chunks).await;
            let _ = inbox.send(Input::StdinClosed(key)).await;
            written
        });
        let written = task.await.map_err(|_| ending())??;
        Ok(Response::new(v1::StdinReply { written }))
    }
}

async fn forward(
    pipe: &tokio::io::unix::AsyncFd<OwnedFd>,
    first: v1::StdinChunk,
    mut chunks: Streaming<v1::StdinChunk>,
) -> Result<u64, Status> {
    let mut written = 0;
    let mut next = Some(first);
    while let Some(chunk) = next {
        written += write_all(pipe, &chunk.data).await?;
        next = chunks.message().await?;
    }
    Ok(written)
}

fn nonblocking(pipe: OwnedFd) -> io::Result<tokio::io::unix::AsyncFd<OwnedFd>> {
    use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
    fcntl_setfl(&pipe, fcntl_getfl(&pipe)? | OFlags::NONBLOCK)?;
    register(pipe, Interest::WRITABLE)
}

async fn write_all(
    pipe: &tokio::io::unix::AsyncFd<OwnedFd>,
    mut data: &[u8],
) -> Result<u64, Status> {
    let total = data.len() as u64;
    while !data.is_empty() {
        let mut guard = pipe.writable().await.map_err(|e| Status::internal(e.to_string()))?;
        match rustix::io::write(pipe.get_ref(), data) {
            Ok(n) => data = &data[n..],
            Err(rustix::io::Errno::AGAIN) => guard.clear_ready(),
            Err(rustix::io::Errno::PIPE) => {
                return Err(Status::failed_precondition("it has closed its input"));
            }
            Err(error) => return Err(Status::internal(error.to_string())),
        }
    }
    Ok(total)
}

fn decode(request: v1::ReadLogsRequest) -> Result<logs::Request, Status> {
    let run = run_id(&request.run)?.ok_or_else(|| Status::invalid_argument("no run named"))?;
    let start = match request.tail_lines {
        Some(lines) => Start::LastLines(lines),
        None => Start::Offsets(
            request
                .cursors
                .iter()
                .map(|c| {
                    let log = match c.stream() {
                        v1::LogStream::Stdout => LogFile::Out,
                        v1::LogStream::Stderr => LogFile::Err,
                        v1::LogStream::Unspecified => {
                            return Err(Status::invalid_argument("a cursor without a stream"));
                        }
                    };
                    let (rank, incarnation) = (Rank(c.rank), Incarnation(c.incarnation));
                    Ok((logs::Stream { rank, incarnation, log }, c.offset))
                })
                .collect::<Result<_, Status>>()?,
        ),
    };
    Ok(logs::Request { run, start, follow: request.follow, only: request.only })
}

fn encode(chunk: Chunk) -> v1::LogChunk {
    let stream = match chunk.stream.log {
        LogFile::Out => v1::LogStream::Stdout,
        LogFile::Err => v1::LogStream::Stderr,
    };
    v1::LogChunk {
        rank: chunk.stream.rank.0,
        incarnation: chunk.stream.incarnation.0,
        stream: stream.into(),
        offset: chunk.offset,
        data: chunk.data,
        end: chunk.end,
    }
}
