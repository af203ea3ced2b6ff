//! `--stdin`: what we read goes to one instance.

use std::io::Read;
use std::time::Duration;

use a2arun_core::backoff::Reconnect;
use a2arun_core::ids::{Rank, RunId};
use a2arun_proto::v1;
use a2arun_proto::v1::bulk_client::BulkClient;
use a2arun_rt::tls::Purpose;
use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::sleep;
use tokio_stream::wrappers::ReceiverStream;

use crate::session::control::from_status;
use crate::target::{ConnectError, OnDemand, Target, chain};

/// Chunks between the reading thread and the connection.
const CHUNKS_DEPTH: usize = 8;
const CHUNK_BYTES: usize = 64 * 1024;

/// How forwarding ended.
#[derive(Debug)]
pub(crate) enum Forwarded {
    /// Everything was written.
    All,
    /// The instance did not want the rest of it.
    Closed,
}

/// Forwards `input` to its end. The instance's standard input is then closed.
///
/// When the connection breaks nobody knows how much of it the instance has: nothing more is
/// forwarded then, and the instance is let see the end of its input ([`close`]).
///
/// # Cancel safety
/// Dropping it closes the connection; the reading thread ends at its next chunk.
pub(crate) async fn forward(
    target: Target,
    run: RunId,
    rank: Rank,
    input: impl Read + Send + 'static,
) -> Result<Forwarded, ConnectError> {
    let (sender, chunks) = mpsc::channel(CHUNKS_DEPTH);
    // Reading a terminal blocks for ever; a thread of its own may be left behind at the end.
    let reader = std::thread::Builder::new().name("stdin".into());
    let spawned = reader.spawn(move || read_all(input, &run, rank, &sender));
    spawned.map_err(|e| ConnectError::Broken { address: "stdin".into(), why: e.to_string() })?;
    write(&target, chunks).await
}

/// Closes an instance's standard input, as soon as its host is there again.
///
/// # Cancel safety
/// Dropping it leaves it open.
pub(crate) async fn close(target: Target, run: RunId, rank: Rank) {
    let reconnect =
        Reconnect { first: Duration::from_millis(50), max: Duration::from_secs(1), attempts: None };
    for wait in reconnect.waits(u64::from(rank.0)) {
        sleep(wait).await;
        let (sender, chunks) = mpsc::channel(1);
        // A channel that was just made has room for one.
        let _ = sender.try_send(first_chunk(&run, rank));
        drop(sender);
        match write(&target, chunks).await {
            Ok(_) => return,
            Err(error) => tracing::debug!(%rank, error = %chain(&error), "input not closed yet"),
        }
    }
}

async fn write(
    target: &Target,
    chunks: mpsc::Receiver<v1::StdinChunk>,
) -> Result<Forwarded, ConnectError> {
    let connection = target.connect(Purpose::Bulk, OnDemand::Never).await?;
    let tls = connection.address.is_some();
    let reply = BulkClient::new(connection.channel).write_stdin(ReceiverStream::new(chunks)).await;
    match reply {
        Ok(_) => Ok(Forwarded::All),
        Err(status) if status.code() == tonic::Code::FailedPrecondition => Ok(Forwarded::Closed),
        Err(status) => Err(from_status(&status, tls)),
    }
}

fn first_chunk(run: &RunId, rank: Rank) -> v1::StdinChunk {
    v1::StdinChunk { run: run.to_string(), rank: rank.0, data: Bytes::new() }
}

fn read_all(mut input: impl Read, run: &RunId, rank: Rank, sender: &mpsc::Sender<v1::StdinChunk>) {
    if sender.blocking_send(first_chunk(run, rank)).is_err() {
        return;
    }
    let mut buffer = vec![0; CHUNK_BYTES];
    loop {
        match input.read(&mut buffer) {
            Ok(0) => return,
            Ok(n) => {
                let data = Bytes::copy_from_slice(&buffer[..n]);
                let chunk = v1::StdinChunk { run: String::new(), rank: 0, data };
                if sender.blocking_send(chunk).is_err() {
                    return;
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => {
                tracing::warn!(%error, "cannot read standard input");
                return;
            }
        }
    }
}
