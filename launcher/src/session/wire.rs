//! Wire messages to and from the types of [`super::types`].

use std::time::Duration;

use a2arun_core::ids::{Generation, Incarnation, Rank, RequestId};
use a2arun_core::launch::RunIdentity;
use a2arun_core::outcome::ExitRecord;
use a2arun_core::peers::PeersUpdate;
use a2arun_proto::convert::WireError;
use a2arun_proto::{PROTOCOL_VERSION, v1};
use jiff::Timestamp;

use crate::session::outbox::{Pending, Request};
use crate::session::types::{
    Change, ChangeKind, InstanceReport, NodeFacts, PhaseReport, PortConflict, PortGiven,
    PortsReserved, RefusedReason, StreamKind,
};

fn head(kind: v1::head_message::Kind) -> v1::HeadMessage {
    v1::HeadMessage { kind: Some(kind) }
}

pub(super) fn attach(run: &RunIdentity, generation: Generation) -> v1::HeadMessage {
    head(v1::head_message::Kind::Attach(v1::Attach {
        protocol: PROTOCOL_VERSION,
        run: Some(run.into()),
        generation: generation.0,
    }))
}

pub(super) fn ping(seq: u64) -> v1::HeadMessage {
    head(v1::head_message::Kind::Ping(v1::Ping { seq }))
}

pub(super) fn release() -> v1::HeadMessage {
    head(v1::head_message::Kind::Release(v1::Release {}))
}

pub(super) fn request(pending: &Pending) -> v1::HeadMessage {
    use v1::head_message::Kind;
    let id = pending.id.0;
    head(match &*pending.request {
        Request::Reserve { ports, bind_address, range } => Kind::Reserve(v1::ReservePorts {
            request: id,
            ports: ports
                .iter()
                .map(|p| v1::PortRequest {
                    rank: p.rank.0,
                    name: p.name.clone(),
                    fixed: p.fixed.map_or(0, u32::from),
                })
                .collect(),
            bind_address: bind_address.clone(),
            range_first: u32::from(range.0),
            range_last: u32::from(range.1),
        }),
        Request::Launch(batch) => Kind::Launch(batch.into()),
        Request::Reach { targets, limit } => Kind::Reach(v1::ReachPeers {
            request: id,
            targets: targets
                .iter()
                .map(|t| v1::ReachTarget { key: t.key, host: t.host.clone(), port: t.port.into() })
                .collect(),
            limit_ms: millis(*limit),
        }),
        Request::Stop { ranks, grace, cause } => Kind::Stop(v1::Stop {
            request: id,
            ranks: ranks.iter().map(|r| r.0).collect(),
            grace_ms: grace.map(millis),
            cause: v1::StopCause::from(*cause).into(),
        }),
    })
}

/// Peers and keys in one message: about 48 KiB.
const PEERS_AT_ONCE: usize = 400;
const KEYS_AT_ONCE: usize = 12_000;

/// An update in messages of a size that does not keep others waiting.
pub(super) fn peers(update: PeersUpdate) -> Vec<v1::HeadMessage> {
    let PeersUpdate { generation, reset, more: _, peers, groups, members } = update;
    let part = || PeersUpdate { generation, more: true, ..PeersUpdate::default() };
    let mut parts = vec![PeersUpdate { reset, members, ..part() }];
    parts.extend(peers.chunks(PEERS_AT_ONCE).map(|p| PeersUpdate { peers: p.to_vec(), ..part() }));
    for (group, keys) in groups {
        let pieces = keys.chunks(KEYS_AT_ONCE).map(|k| (group, k.to_vec()));
        parts.extend(pieces.map(|piece| PeersUpdate { groups: vec![piece], ..part() }));
    }
    if let Some(last) = parts.last_mut() {
        last.more = false;
    }
    parts.into_iter().map(|part| head(v1::head_message::Kind::Peers(part.into()))).collect()
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// What a node said, in our words.
#[derive(Debug)]
pub(super) enum Said {
    Attached { facts: NodeFacts, instances: Vec<InstanceReport>, notices: Vec<String> },
    Ports { request: RequestId, answer: PortsReserved },
    Reached { request: RequestId, failures: Vec<(u32, String)> },
    Changed(Vec<Change>),
    Refused { request: RequestId, reason: RefusedReason, message: String },
    Pong,
    Released,
}

/// # Errors
/// When the message does not say what it has to, or nothing that is known here.
pub(super) fn said(message: v1::NodeMessage) -> Result<Said, WireError> {
    use v1::node_message::Kind;
    Ok(match message.kind.ok_or(WireError::Field { field: "kind" })? {
        Kind::Attached(attached) => Said::Attached {
            facts: facts(attached.host.unwrap_or_default()),
            instances: attached.instances.into_iter().map(instance).collect::<Result<_, _>>()?,
            notices: attached.notices,
        },
        Kind::Reserved(reserved) => {
            Said::Ports { request: RequestId(reserved.request), answer: ports(reserved)? }
        }
        Kind::Events(events) => {
            // One that cannot be read, of a later version perhaps, takes no other with it.
            let readable = events.events.into_iter().filter_map(|event| {
                change(event).inspect_err(|e| tracing::warn!(error = %e, "unreadable event")).ok()
            });
            Said::Changed(readable.collect())
        }
        Kind::Refused(refused) => Said::Refused {
            request: RequestId(refused.request),
            reason: reason(refused.reason()),
            message: refused.message,
        },
        Kind::Reached(reached) => Said::Reached {
            request: RequestId(reached.request),
            failures: reached.failures.into_iter().map(|f| (f.key, f.why)).collect(),
        },
        Kind::Pong(_) => Said::Pong,
        Kind::Released(_) => Said::Released,
    })
}

fn reason(wire: v1::RefusedReason) -> RefusedReason {
    match wire {
        v1::RefusedReason::Version => RefusedReason::Version,
        v1::RefusedReason::Stale => RefusedReason::Stale,
        v1::RefusedReason::Capacity => RefusedReason::Capacity,
        v1::RefusedReason::Invalid => RefusedReason::Invalid,
        v1::RefusedReason::Failed | v1::RefusedReason::Unspecified => RefusedReason::Failed,
    }
}

pub(super) fn facts(host: v1::HostFacts) -> NodeFacts {
    NodeFacts {
        version: host.version,
        hostname: host.hostname,
        pid: host.pid,
        state_dir: host.state_dir,
    }
}

fn port(value: u32) -> Result<u16, WireError> {
    u16::try_from(value)
        .map_err(|_| WireError::Range { field: "reserved.port", value: u64::from(value) })
}

fn ports(reserved: v1::PortsReserved) -> Result<PortsReserved, WireError> {
    if reserved.conflicts.is_empty() {
        let list = reserved
            .ports
            .into_iter()
            .map(|p| Ok(PortGiven { rank: Rank(p.rank), name: p.name, port: port(p.port)? }));
        return list.collect::<Result<_, WireError>>().map(PortsReserved::All);
    }
    let list = reserved
        .conflicts
        .into_iter()
        .map(|c| Ok(PortConflict { rank: Rank(c.rank), port: port(c.port)?, holder: c.holder }));
    list.collect::<Result<_, WireError>>().map(PortsReserved::Conflicts)
}

/// A time that is only shown: one that cannot be read is left out.
fn shown_time(text: &str) -> Option<Timestamp> {
    text.parse().ok()
}

pub(super) fn instance(state: v1::InstanceState) -> Result<InstanceReport, WireError> {
    let phase = match state.phase() {
        v1::Phase::Starting | v1::Phase::Unspecified => PhaseReport::Starting,
        v1::Phase::Ready => PhaseReport::Ready,
        v1::Phase::Unready => PhaseReport::Unready,
        v1::Phase::Stopping => PhaseReport::Stopping,
        v1::Phase::Backoff => PhaseReport::Backoff,
        v1::Phase::Exited => {
            let exit = state.exit.clone().ok_or(WireError::Field { field: "instance.exit" })?;
            PhaseReport::Exited(Box::new(ExitRecord::try_from(exit)?))
        }
    };
    Ok(InstanceReport {
        rank: Rank(state.rank),
        incarnation: Incarnation(state.incarnation),
        seen: state.seen.map(Into::into),
        last_look: state.last_look,
        phase,
        pid: state.pid,
        started: state.started.as_deref().and_then(shown_time),
        ready: state.ready.as_deref().and_then(shown_time),
        cpu_percent: state.cpu_percent,
        memory_bytes: state.memory_bytes,
        name: state.name,
    })
}

fn change(event: v1::InstanceEvent) -> Result<Change, WireError> {
    use v1::instance_event::Kind;
    let kind = match event.kind.ok_or(WireError::Field { field: "event.kind" })? {
        Kind::Spawned(spawned) => ChangeKind::Spawned { pid: spawned.pid },
        Kind::Ready(ready) => ChangeKind::Ready {
            seen: ready.seen.unwrap_or_default().into(),
            after: Duration::from_millis(ready.after_ms),
        },
        Kind::Unready(unready) => ChangeKind::Unready(unready.message),
        Kind::Stopping(_) => ChangeKind::Stopping,
        Kind::Exited(exit) => ChangeKind::Exited(Box::new(exit.try_into()?)),
        Kind::Notice(notice) => match notice.kind() {
            v1::NoticeKind::Probe => ChangeKind::Probe(notice.message),
            // While it runs a look saw a stranger there; at its end that is why.
            v1::NoticeKind::PortTaken => ChangeKind::PortTaken(notice.message),
            v1::NoticeKind::Unspecified
            | v1::NoticeKind::StepReplaced
            | v1::NoticeKind::DiskFull
            | v1::NoticeKind::ListensElsewhere => ChangeKind::Notice(notice.message),
        },
    };
    Ok(Change {
        rank: Rank(event.rank),
        incarnation: Incarnation(event.incarnation),
        time: shown_time(&event.time),
        kind,
    })
}

pub(super) fn stream(kind: StreamKind) -> v1::LogStream {
    match kind {
        StreamKind::Stdout => v1::LogStream::Stdout,
        StreamKind::Stderr => v1::LogStream::Stderr,
    }
}

pub(super) fn stream_kind(wire: v1::LogStream) -> Result<StreamKind, WireError> {
    match wire {
        v1::LogStream::Stdout => Ok(StreamKind::Stdout),
        v1::LogStream::Stderr => Ok(StreamKind::Stderr),
        v1::LogStream::Unspecified => Err(WireError::Field { field: "chunk.stream" }),
    }
}
