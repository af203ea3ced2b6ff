//! The service `Control`: sessions of heads, and questions from anybody who may look.

use std::collections::HashMap;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use a2arun_core::ids::{Generation, Rank, RequestId, RunId};
use a2arun_core::launch::{LaunchBatch, RunIdentity};
use a2arun_core::machine::lease::HeadId;
use a2arun_proto::convert::{WireError, stop_cause};
use a2arun_proto::v1::control_server::Control;
use a2arun_proto::v1::head_message::Kind;
use a2arun_proto::{PROTOCOL_VERSION, v1};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt};
use tokio_util::task::TaskTracker;
use tonic::{Request, Response, Status, Streaming};
use tracing::Instrument;

use super::conn::{require_head, require_viewer};
use super::wire;
use crate::facts::{HostFacts, Usage, usage};
use crate::ports::{Range, Wanted};
use crate::probe::ReachTarget;
use crate::supervisor::{HeadInput, Input, OUTBOX_DEPTH, Output, Refusal, RunReport};

/// A head cannot have peers tried for longer.
const REACH_LIMIT_MAX: Duration = Duration::from_secs(60);
/// From the opening of a session to its attach.
const ATTACH_LIMIT: Duration = Duration::from_secs(10);

/// Serves `Control`.
#[derive(Debug)]
pub struct ControlService {
    inbox: mpsc::Sender<Input>,
    facts: HostFacts,
    state_dir: String,
    spawner_pid: watch::Receiver<i32>,
    sessions: TaskTracker,
    next_head: AtomicU64,
}

impl ControlService {
    /// A service in front of the supervisor. Sessions are counted in `sessions`.
    pub fn new(
        inbox: mpsc::Sender<Input>,
        facts: HostFacts,
        state_dir: String,
        spawner_pid: watch::Receiver<i32>,
        sessions: TaskTracker,
    ) -> Self {
        Self { inbox, facts, state_dir, spawner_pid, sessions, next_head: AtomicU64::new(1) }
    }

    fn host(&self) -> v1::HostFacts {
        wire::facts(&self.facts, *self.spawner_pid.borrow(), &self.state_dir)
    }

    async fn ask<T>(
        &self,
        question: impl FnOnce(oneshot::Sender<T>) -> Input,
    ) -> Result<T, Status> {
        let (reply, answer) = oneshot::channel();
        let gone = |_| Status::unavailable("noded is ending");
        self.inbox.send(question(reply)).await.map_err(|_| gone(()))?;
        answer.await.map_err(|_| gone(()))
    }
}

type NodeStream = Pin<Box<dyn Stream<Item = Result<v1::NodeMessage, Status>> + Send>>;

#[tonic::async_trait]
impl Control for ControlService {
    type SessionStream = NodeStream;

    async fn session(
        &self,
        request: Request<Streaming<v1::HeadMessage>>,
    ) -> Result<Response<NodeStream>, Status> {
        require_head(&request)?;
        let mut messages = request.into_inner();
        let first = tokio::time::timeout(ATTACH_LIMIT, messages.message())
            .await
            .map_err(|_| Status::deadline_exceeded("no attach in time"))??;
        let Some(v1::HeadMessage { kind: Some(Kind::Attach(attach)) }) = first else {
            return Err(Status::invalid_argument("the first message is not an attach"));
        };
        if attach.protocol != PROTOCOL_VERSION {
            return Err(Status::failed_precondition(format!(
                "this noded ({}) speaks version {PROTOCOL_VERSION} of the protocol, the head {}",
                env!("CARGO_PKG_VERSION"),
                attach.protocol
            )));
        }
        let run: RunIdentity = attach
            .run
            .ok_or_else(|| Status::invalid_argument("attach without a run"))?
            .try_into()
            .map_err(invalid)?;
        let head = HeadId(self.next_head.fetch_add(1, Ordering::Relaxed));
        let span = tracing::info_span!("session", run = %run.run, head = head.0);
        let (outbox, outputs) = mpsc::channel(OUTBOX_DEPTH);
        let generation = Generation(attach.generation);
        let attach = HeadInput::Attach { run, generation, outbox: outbox.clone() };
        self.inbox
            .send(Input::Head(head, attach))
            .await
            .map_err(|_| Status::unavailable("noded is ending"))?;
        // The session keeps no strong sender: when the supervisor drops its own, the stream ends.
        let session = hear(head, messages, self.inbox.clone(), outbox.downgrade());
        drop(outbox);
        self.sessions.spawn(session.instrument(span));
        let host = self.host();
        let stream = ReceiverStream::new(outputs)
            .map(move |output| Ok(wire::output(output, || host.clone())));
        Ok(Response::new(Box::pin(stream)))
    }

    async fn describe(
        &self,
        request: Request<v1::DescribeRequest>,
    ) -> Result<Response<v1::DescribeReply>, Status> {
        require_viewer(&request)?;
        let request = request.into_inner();
        let run = run_id(&request.run)?;
        let reports: Vec<RunReport> = self.ask(|reply| Input::Describe(run, reply)).await?;
        let used = if request.usage { measure(&reports).await } else { HashMap::new() };
        let runs = reports.iter().map(|run| v1::RunState {
            run: Some((&run.identity).into()),
            generation: run.generation.0,
            head_attached: run.attached,
            ended: false,
            instances: run
                .instances
                .iter()
                .map(|i| wire::instance(i, i.pid.and_then(|pid| used.get(&pid))))
                .collect(),
        });
        Ok(Response::new(v1::DescribeReply { host: Some(self.host()), runs: runs.collect() }))
    }

    async fn stop_run(
        &self,
        request: Request<v1::StopRunRequest>,
    ) -> Result<Response<v1::StopRunReply>, Status> {
        require_head(&request)?;
        let request = request.into_inner();
        let run = run_id(&request.run)?.ok_or_else(|| Status::invalid_argument("no run named"))?;
        let grace = request.grace_ms.map(Duration::from_millis);
        let stopping = self.ask(|reply| Input::StopRun(run.clone(), grace, reply)).await?;
        let stopping = stopping.ok_or_else(|| Status::not_found(format!("no run `{run}` here")))?;
        let stopping = u32::try_from(stopping).unwrap_or(u32::MAX);
        Ok(Response::new(v1::StopRunReply { stopping }))
    }
}

async fn measure(reports: &[RunReport]) -> HashMap<i32, Usage> {
    let pids: Vec<i32> = reports.iter().flat_map(|r| &r.instances).filter_map(|i| i.pid).collect();
    tokio::task::spawn_blocking(move || usage(&pids)).await.unwrap_or_default()
}

pub(super) fn run_id(text: &str) -> Result<Option<RunId>, Status> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|e| Status::invalid_argument(format!("invalid run id: {e}")))
}

#[expect(clippy::needless_pass_by_value, reason = "fits map_err")]
fn invalid(error: WireError) -> Status {
    Status::invalid_argument(crate::describe(&error))
}

/// Hands a head's messages to the supervisor until they end.
async fn hear(
    head: HeadId,
    mut messages: Streaming<v1::HeadMessage>,
    inbox: mpsc::Sender<Input>,
    outbox: mpsc::WeakSender<Output>,
) {
    loop {
        let kind = match messages.message().await {
            Ok(Some(message)) => message.kind,
            Ok(None) => break,
            Err(error) => {
                tracing::debug!(%error, "the head's connection broke");
                break;
            }
        };
        let answer = |output| {
            if let Some(outbox) = outbox.upgrade()
                && outbox.try_send(output).is_err()
            {
                tracing::debug!("the head does not read its answers");
            }
        };
        if let Some(Kind::Ping(ping)) = &kind {
            answer(Output::Pong(ping.seq));
        }
        match kind.map(decode) {
            Some(Ok(input)) => {
                if inbox.send(Input::Head(head, input)).await.is_err() {
                    return;
                }
            }
            Some(Err((request, error))) => {
                let message = crate::describe(&error);
                tracing::warn!(error = message, "a head's request is malformed");
                answer(Output::Refused(request, Refusal::Invalid, message));
            }
            None => answer(Output::Refused(
                RequestId(0),
                Refusal::Invalid,
                "a message that this version does not know".to_owned(),
            )),
        }
    }
    let _ = inbox.send(Input::Head(head, HeadInput::Closed)).await;
}

fn decode(kind: Kind) -> Result<HeadInput, (RequestId, WireError)> {
    match kind {
        Kind::Attach(_) => Err((RequestId(0), WireError::Field { field: "attach (again)" })),
        Kind::Reserve(reserve) => {
            let request = RequestId(reserve.request);
            decode_reserve(reserve).map_err(|e| (request, e))
        }
        Kind::Launch(batch) => {
            let request = RequestId(batch.request);
            LaunchBatch::try_from(batch).map(HeadInput::Launch).map_err(|e| (request, e))
        }
        Kind::Stop(stop) => Ok(HeadInput::Stop {
            cause: stop_cause(stop.cause()),
            ranks: stop.ranks.into_iter().map(Rank).collect(),
            grace: stop.grace_ms.map(Duration::from_millis),
        }),
        Kind::Reach(reach) => {
            let request = RequestId(reach.request);
            decode_reach(reach).map_err(|e| (request, e))
        }
        Kind::Peers(peers) => Ok(HeadInput::Peers(peers.into())),
        Kind::Ping(_) => Ok(HeadInput::Heard),
        Kind::Release(_) => Ok(HeadInput::Release),
    }
}

fn decode_reach(reach: v1::ReachPeers) -> Result<HeadInput, WireError> {
    let target = |t: v1::ReachTarget| {
        let port = u16::try_from(t.port)
            .map_err(|_| WireError::Range { field: "reach.port", value: t.port.into() })?;
        Ok(ReachTarget { key: t.key, host: t.host, port })
    };
    Ok(HeadInput::Reach {
        request: RequestId(reach.request),
        targets: reach.targets.into_iter().map(target).collect::<Result<_, WireError>>()?,
        limit: Duration::from_millis(reach.limit_ms).min(REACH_LIMIT_MAX),
    })
}

fn decode_reserve(reserve: v1::ReservePorts) -> Result<HeadInput, WireError> {
    let port = |field, value: u32| {
        u16::try_from(value).map_err(|_| WireError::Range { field, value: value.into() })
    };
    let address = match reserve.bind_address.as_str() {
        "" => None,
        text => {
            Some(text.parse::<IpAddr>().map_err(|_| WireError::Field { field: "bind_address" })?)
        }
    };
    let range = Range {
        first: port("range_first", reserve.range_first)?,
        last: port("range_last", reserve.range_last)?,
    };
    let ports = reserve
        .ports
        .into_iter()
        .map(|p| {
            let fixed = port("port.fixed", p.fixed)?;
            Ok(Wanted { rank: Rank(p.rank), name: p.name, fixed: (fixed != 0).then_some(fixed) })
        })
        .collect::<Result<_, WireError>>()?;
    Ok(HeadInput::Reserve { request: RequestId(reserve.request), address, range, ports })
}
