//! A host's output, from where we are to where it ends, over breaks of the connection.

use std::collections::HashMap;
use std::future::{Future, pending};
use std::pin::Pin;
use std::time::Duration;

use a2arun_core::backoff::Reconnect;
use a2arun_core::ids::{Incarnation, Rank, RunId};
use a2arun_proto::v1::bulk_client::BulkClient;
use a2arun_proto::{MESSAGE_MAX_BYTES, v1};
use a2arun_rt::tls::Purpose;
use bytes::{Buf, Bytes};
use tokio::sync::oneshot;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use tonic::Streaming;

use crate::session::control::from_status;
use crate::session::types::StreamKind;
use crate::session::wire;
use crate::target::{ConnectError, OnDemand, Target, chain};

/// Raw output of one instance's stream.
#[derive(Debug)]
pub(crate) struct Chunk {
    pub(crate) rank: Rank,
    pub(crate) incarnation: Incarnation,
    pub(crate) stream: StreamKind,
    /// Of the first byte of `data`.
    pub(crate) offset: u64,
    pub(crate) data: Bytes,
    /// Nothing follows.
    pub(crate) end: bool,
}

/// Where chunks go. One that waits holds the reader back, never the agent.
pub(crate) trait ChunkSink: Send {
    /// Takes a chunk. Chunks of a stream come in order, without gap or overlap but for what
    /// noded no longer has.
    fn chunk(&mut self, chunk: Chunk) -> impl Future<Output = ()> + Send;
    /// Whether half a line waits for its rest.
    fn has_partial(&self) -> bool;
    /// Lets half lines go that have waited for long.
    fn flush_partial(&mut self) -> impl Future<Output = ()> + Send;
}

/// How long an instance's streams are in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LogEnd {
    pub(crate) rank: Rank,
    pub(crate) incarnation: Incarnation,
    pub(crate) stdout: u64,
    pub(crate) stderr: u64,
}

type Key = (Rank, Incarnation, StreamKind);

#[derive(Debug, Clone, Copy, Default)]
struct Progress {
    offset: u64,
    ended: bool,
}

/// What was read so far; also what a new connection is asked for.
#[derive(Debug, Default)]
struct Cursors(HashMap<Key, Progress>);

impl Cursors {
    /// Cuts off what was read before; `None`: nothing of it is new.
    fn take(&mut self, mut chunk: Chunk) -> Option<Chunk> {
        let progress = self.0.entry((chunk.rank, chunk.incarnation, chunk.stream)).or_default();
        let known = progress.offset.saturating_sub(chunk.offset);
        if known > 0 {
            let skip = usize::try_from(known).unwrap_or(usize::MAX).min(chunk.data.len());
            chunk.data.advance(skip);
            chunk.offset += skip as u64;
        }
        let end_is_new = chunk.end && !progress.ended;
        if chunk.data.is_empty() && !end_is_new {
            return None;
        }
        progress.offset = progress.offset.max(chunk.offset + chunk.data.len() as u64);
        progress.ended |= chunk.end;
        Some(chunk)
    }

    fn reached(&self, end: &LogEnd) -> bool {
        let reached = |stream, size| {
            size == 0
                || self
                    .0
                    .get(&(end.rank, end.incarnation, stream))
                    .is_some_and(|p| p.ended || p.offset >= size)
        };
        reached(StreamKind::Stdout, end.stdout) && reached(StreamKind::Stderr, end.stderr)
    }

    fn to_wire(&self) -> Vec<v1::LogCursor> {
        self.0
            .iter()
            .map(|((rank, incarnation, stream), progress)| v1::LogCursor {
                rank: rank.0,
                incarnation: incarnation.0,
                stream: wire::stream(*stream).into(),
                offset: progress.offset,
            })
            .collect()
    }
}

/// Until where a host's output is followed.
#[derive(Debug)]
pub(crate) enum Until {
    /// Until all of it is there; the head says where it ends.
    Ends(oneshot::Receiver<Vec<LogEnd>>),
    /// Until the host says that the run is over; from the last so many lines on.
    Over { tail_lines: Option<u64> },
}

/// Reads everything that a run writes on a host, over breaks of the connection. Gives the sink
/// back. Fails where a run is asked of a host that has none, or that cannot be reached at first
/// or for [`AWAY_MAX`]; the head, which says where output ends, waits for ever.
///
/// # Cancel safety
/// Dropping it loses the sink's place; noded keeps the output.
pub(crate) async fn follow_logs<S: ChunkSink>(
    target: Target,
    run: RunId,
    mut sink: S,
    until: Until,
) -> (S, Result<(), ConnectError>) {
    let (ends, tail_lines) = match until {
        Until::Ends(ends) => (Some(ends), None),
        Until::Over { tail_lines } => (None, tail_lines),
    };
    let patient = ends.is_some();
    // The head starts a noded that is gone when it makes its session again.
    let on_demand = if patient { OnDemand::Never } else { OnDemand::Start };
    let mut ends = ends;
    let mut seen = false;
    let mut heard = Instant::now();
    let reconnect =
        Reconnect { first: Duration::from_millis(10), max: Duration::from_secs(1), attempts: None };
    let fresh = || reconnect.waits(u64::from(std::process::id()));
    let mut waits = fresh();
    let mut cursors = Cursors::default();
    let mut left: Option<Vec<LogEnd>> = None;
    let mut link = Link::Closed { wait: Duration::ZERO };
    let mut tick = interval(FLUSH_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        if let Some(left) = &mut left {
            left.retain(|end| !cursors.reached(end));
            if left.is_empty() {
                link.settle().await;
                return (sink, Ok(()));
            }
        }
        if let Link::Closed { wait } = link {
            let request = LogRequest {
                run: run.clone(),
                cursors: cursors.to_wire(),
                follow: true,
                // Afterwards it goes on where it was.
                tail_lines: tail_lines.filter(|_| cursors.0.is_empty()),
                only: false,
            };
            link = Link::Opening(Box::pin(open_after(wait, target.clone(), request, on_demand)));
        }
        // The ends come first: with nothing to read no connection is waited for. An opening is
        // kept over rounds; a message that is not there yet is not lost.
        let input = tokio::select! {
            biased;
            known = known(&mut ends) => Input::Ends(known),
            input = link.next() => input,
            _ = tick.tick(), if sink.has_partial() => Input::Tick,
        };
        match input {
            Input::Ends(known) => left = Some(known),
            Input::Opened(stream) => {
                (seen, heard) = (true, Instant::now());
                waits = fresh();
                link = Link::Open(Box::new(stream));
            }
            Input::Chunk(chunk) => {
                heard = Instant::now();
                if let Some(chunk) = wire_chunk(chunk).and_then(|c| cursors.take(c)) {
                    sink.chunk(chunk).await;
                }
            }
            Input::Over if !patient => return (sink, Ok(())),
            Input::Gone(ConnectError::NoRun(_)) if !patient && seen => return (sink, Ok(())),
            Input::Gone(error) if !patient && (!seen || heard.elapsed() >= AWAY_MAX) => {
                return (sink, Err(error));
            }
            Input::Gone(_) | Input::Over => {
                link = Link::Closed { wait: waits.next().unwrap_or(Duration::from_secs(1)) };
            }
            Input::Tick => sink.flush_partial().await,
        }
    }
}

/// Where output ends, once it is said.
///
/// # Cancel safety
/// Safe: what was not given is given the next time.
async fn known(ends: &mut Option<oneshot::Receiver<Vec<LogEnd>>>) -> Vec<LogEnd> {
    let Some(receiver) = ends else { return pending().await };
    let known = receiver.await;
    *ends = None;
    known.unwrap_or_default()
}

/// A noded that dies is back sooner.
const AWAY_MAX: Duration = Duration::from_secs(15);
/// How often half a line that nobody ends is looked at.
const FLUSH_EVERY: Duration = Duration::from_millis(250);

/// How long a connection that nobody needs any more may take to be made.
const SETTLE_LIMIT: Duration = Duration::from_millis(200);

enum Input {
    Ends(Vec<LogEnd>),
    Opened(Streaming<v1::LogChunk>),
    Chunk(v1::LogChunk),
    /// The host has sent everything and closed.
    Over,
    Gone(ConnectError),
    Tick,
}

enum Link {
    Closed { wait: Duration },
    Opening(Pin<Box<dyn Future<Output = Result<Streaming<v1::LogChunk>, ConnectError>> + Send>>),
    Open(Box<Streaming<v1::LogChunk>>),
}

impl Link {
    /// A handshake that is under way is let come to its end: a host that sees it broken off
    /// thinks of an attack.
    async fn settle(&mut self) {
        if let Self::Opening(opening) = self {
            // Either way the connection is dropped next.
            let _ = timeout(SETTLE_LIMIT, opening).await;
        }
    }

    /// # Cancel safety
    /// Safe: an opening stays where it is, a message that was not given stays in the stream.
    async fn next(&mut self) -> Input {
        match self {
            Self::Closed { .. } => pending().await,
            Self::Opening(opening) => match opening.await {
                Ok(stream) => Input::Opened(stream),
                Err(error) => {
                    tracing::debug!(error = %chain(&error), "no output stream");
                    Input::Gone(error)
                }
            },
            Self::Open(stream) => match stream.message().await {
                Ok(Some(chunk)) => Input::Chunk(chunk),
                Ok(None) => Input::Over,
                Err(status) => Input::Gone(from_status(&status, false)),
            },
        }
    }
}

async fn open_after(
    wait: Duration,
    target: Target,
    request: LogRequest,
    on_demand: OnDemand,
) -> Result<Streaming<v1::LogChunk>, ConnectError> {
    if !wait.is_zero() {
        sleep(wait).await;
    }
    open(&target, request, on_demand).await
}

/// What is asked of noded.
#[derive(Debug)]
pub(crate) struct LogRequest {
    run: RunId,
    cursors: Vec<v1::LogCursor>,
    follow: bool,
    tail_lines: Option<u64>,
    only: bool,
}

impl LogRequest {
    /// Every instance, whole or from its last lines on, to what is there now.
    pub(crate) fn all(run: RunId, tail_lines: Option<u64>) -> Self {
        Self { run, cursors: Vec::new(), follow: false, tail_lines, only: false }
    }

    /// One stream of one instance, from an offset to what is there now.
    pub(crate) fn from(
        run: RunId,
        rank: Rank,
        incarnation: Incarnation,
        stream: StreamKind,
        offset: u64,
    ) -> Self {
        let cursor = v1::LogCursor {
            rank: rank.0,
            incarnation: incarnation.0,
            stream: wire::stream(stream).into(),
            offset,
        };
        Self { run, cursors: vec![cursor], follow: false, tail_lines: None, only: true }
    }
}

async fn open(
    target: &Target,
    request: LogRequest,
    on_demand: OnDemand,
) -> Result<Streaming<v1::LogChunk>, ConnectError> {
    let connection = target.connect(Purpose::Bulk, on_demand).await?;
    let tls = connection.address.is_some();
    let mut client =
        BulkClient::new(connection.channel).max_decoding_message_size(MESSAGE_MAX_BYTES);
    let request = v1::ReadLogsRequest {
        run: request.run.to_string(),
        cursors: request.cursors,
        follow: request.follow,
        tail_lines: request.tail_lines,
        only: request.only,
    };
    let reply = client.read_logs(request).await;
    match reply {
        Ok(reply) => Ok(reply.into_inner()),
        Err(status) => Err(match connection.verdict.alert() {
            Some(alert) => ConnectError::RefusedUs(alert.to_owned()),
            None => from_status(&status, tls),
        }),
    }
}

fn wire_chunk(chunk: v1::LogChunk) -> Option<Chunk> {
    let stream = wire::stream_kind(chunk.stream()).ok()?;
    Some(Chunk {
        rank: Rank(chunk.rank),
        incarnation: Incarnation(chunk.incarnation),
        stream,
        offset: chunk.offset,
        data: chunk.data,
        end: chunk.end,
    })
}

/// Reads what a request asks for, to its end, on one connection.
///
/// # Cancel safety
/// Dropping it ends the reading.
pub(crate) async fn read_logs<S: ChunkSink>(
    target: &Target,
    request: LogRequest,
    sink: &mut S,
) -> Result<(), ConnectError> {
    // Output of a run that is over may be asked for when noded has left.
    let mut stream = open(target, request, OnDemand::Start).await?;
    loop {
        match stream.message().await {
            Ok(Some(chunk)) => {
                if let Some(chunk) = wire_chunk(chunk) {
                    sink.chunk(chunk).await;
                }
            }
            Ok(None) => return Ok(()),
            Err(status) => return Err(from_status(&status, false)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(offset: u64, data: &'static str, end: bool) -> Chunk {
        Chunk {
            rank: Rank(0),
            incarnation: Incarnation(1),
            stream: StreamKind::Stdout,
            offset,
            data: Bytes::from_static(data.as_bytes()),
            end,
        }
    }

    #[test]
    fn what_was_read_before_is_cut_off() {
        let mut cursors = Cursors::default();
        let mut read = |c: Chunk| cursors.take(c).map(|c| (c.offset, c.data));
        assert_eq!(read(chunk(0, "hello ", false)), Some((0, "hello ".into())));
        assert_eq!(read(chunk(0, "hello ", false)), None);
        assert_eq!(read(chunk(3, "lo world", false)), Some((6, "world".into())));
        assert_eq!(read(chunk(11, "", true)), Some((11, "".into())));
        assert_eq!(read(chunk(11, "", true)), None);
    }

    #[test]
    fn the_end_is_reached_by_size_or_by_word() {
        let mut cursors = Cursors::default();
        let end = LogEnd { rank: Rank(0), incarnation: Incarnation(1), stdout: 5, stderr: 0 };
        assert!(!cursors.reached(&end));
        cursors.take(chunk(0, "1234", false));
        assert!(!cursors.reached(&end));
        cursors.take(chunk(4, "5", false));
        assert!(cursors.reached(&end));
        // Output that noded no longer has ends early.
        let longer = LogEnd { stdout: 50, ..end };
        assert!(!cursors.reached(&longer));
        cursors.take(chunk(5, "", true));
        assert!(cursors.reached(&longer));
    }
}
