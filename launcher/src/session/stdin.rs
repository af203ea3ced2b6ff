//! `--stdin`: what we read goes to one instance.

use std::io::Read;

use a2arun_core::ids::{Rank, RunId};
use a2arun_proto::v1;
use a2arun_proto::v1::bulk_client::BulkClient;
use a2arun_rt::tls::Purpose;
use bytes::Bytes;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::session::control::from_status;
use crate::target::{ConnectError, OnDemand, Target};

/// Chunks between the reading thread and the connection.
const CHUNKS_DEPTH: usize = 8;
const CHUNK_BYTES: usize = 64 * 1024;

/// Forwards `input` to its end. The instance's standard input is then closed.
///
/// # Cancel safety
/// Dropping it closes the connection; the reading thread ends at its next chunk.
pub(crate) async fn forward(
    target: Target,
    run: RunId,
    rank: Rank,
    input: impl Read + Send + 'static,
) -> Result<u64, ConnectError> {
    let connection = target.connect(Purpose::Bulk, OnDemand::Never).await?;
    let tls = connection.address.is_some();
    let (sender, chunks) = mpsc::channel(CHUNKS_DEPTH);
    // Reading a terminal blocks for ever; a thread of its own may be left behind at the end.
    let reader = std::thread::Builder::new().name("stdin".into());
    let spawned = reader.spawn(move || read_all(input, &run, rank, &sender));
    spawned.map_err(|e| ConnectError::Broken { address: "stdin".into(), why: e.to_string() })?;
    let reply = BulkClient::new(connection.channel).write_stdin(ReceiverStream::new(chunks)).await;
    match reply {
        Ok(reply) => Ok(reply.into_inner().written),
        Err(status) => Err(from_status(&status, tls)),
    }
}

fn read_all(mut input: impl Read, run: &RunId, rank: Rank, sender: &mpsc::Sender<v1::StdinChunk>) {
    let first = v1::StdinChunk { run: run.to_string(), rank: rank.0, data: Bytes::new() };
    if sender.blocking_send(first).is_err() {
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
