//! The supervisor's types as wire messages.

use a2arun_core::ids::{Rank, RequestId};
use a2arun_proto::v1;
use a2arun_proto::v1::node_message::Kind;

use crate::facts::{HostFacts, Usage};
use crate::ports::{Conflict, Held};
use crate::supervisor::{
    EventKind, InstanceEvent, InstanceReport, Level, NoticeKind, Output, Phase, Refusal,
};

pub(super) fn phase(phase: Phase) -> v1::Phase {
    match phase {
        Phase::Starting => v1::Phase::Starting,
        Phase::Ready => v1::Phase::Ready,
        Phase::Unready => v1::Phase::Unready,
        Phase::Stopping => v1::Phase::Stopping,
        Phase::Exited => v1::Phase::Exited,
    }
}

fn level(level: Level) -> v1::ReadyLevel {
    match level {
        Level::Exec => v1::ReadyLevel::Exec,
        Level::Tcp => v1::ReadyLevel::Tcp,
        Level::Http => v1::ReadyLevel::Http,
        Level::Card => v1::ReadyLevel::Card,
        Level::Command => v1::ReadyLevel::Command,
        Level::Log => v1::ReadyLevel::Log,
    }
}

fn notice(kind: NoticeKind) -> v1::NoticeKind {
    match kind {
        NoticeKind::StepReplaced => v1::NoticeKind::StepReplaced,
        NoticeKind::DiskFull => v1::NoticeKind::DiskFull,
        NoticeKind::ListensElsewhere => v1::NoticeKind::ListensElsewhere,
        NoticeKind::PortTaken => v1::NoticeKind::PortTaken,
        NoticeKind::Probe => v1::NoticeKind::Probe,
    }
}

fn refusal(refusal: Refusal) -> v1::RefusedReason {
    match refusal {
        Refusal::Stale => v1::RefusedReason::Stale,
        Refusal::Capacity => v1::RefusedReason::Capacity,
        Refusal::Invalid => v1::RefusedReason::Invalid,
        Refusal::Failed => v1::RefusedReason::Failed,
    }
}

pub(super) fn facts(facts: &HostFacts, spawner_pid: i32, state_dir: &str) -> v1::HostFacts {
    v1::HostFacts {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        hostname: facts.hostname.clone(),
        boot_id: facts.boot_id.clone(),
        epoch: facts.epoch,
        uid: facts.uid,
        user: facts.user.clone(),
        kernel: facts.kernel.clone(),
        cpus: facts.cpus,
        memory_bytes: facts.memory_bytes,
        pid: std::process::id(),
        spawner_pid: u32::try_from(spawner_pid).unwrap_or(0),
        state_dir: state_dir.to_owned(),
    }
}

pub(super) fn instance(report: &InstanceReport, usage: Option<&Usage>) -> v1::InstanceState {
    v1::InstanceState {
        rank: report.rank.0,
        name: report.name.clone(),
        incarnation: report.incarnation.0,
        phase: phase(report.phase).into(),
        pid: report.pid,
        started: report.started.map(|t| t.to_string()),
        ready: report.ready.map(|t| t.to_string()),
        level: report.level.map_or(v1::ReadyLevel::Unspecified, level).into(),
        exit: report.exit.as_ref().map(Into::into),
        adoptions: report.adoptions,
        cpu_percent: usage.map(|u| u.cpu_percent),
        memory_bytes: usage.map(|u| u.memory_bytes),
        seen: report.seen.as_deref().map(Into::into),
        last_look: report.last_look.clone(),
    }
}

fn event(event: InstanceEvent) -> v1::InstanceEvent {
    use v1::instance_event::Kind as Wire;
    let kind = match event.kind {
        EventKind::Spawned(pid) => Wire::Spawned(v1::Spawned { pid }),
        EventKind::Ready(reached, after, seen) => Wire::Ready(v1::Ready {
            level: level(reached).into(),
            after_ms: u64::try_from(after.as_millis()).unwrap_or(u64::MAX),
            seen: Some((&*seen).into()),
        }),
        EventKind::Unready(message) => Wire::Unready(v1::Unready { message }),
        EventKind::Stopping(cause) => {
            Wire::Stopping(v1::Stopping { cause: v1::StopCause::from(cause).into() })
        }
        EventKind::Exited(exit) => Wire::Exited((&*exit).into()),
        EventKind::Notice(kind, message) => {
            Wire::Notice(v1::Notice { kind: notice(kind).into(), message })
        }
    };
    v1::InstanceEvent {
        rank: event.rank.0,
        incarnation: event.incarnation.0,
        time: event.time.to_string(),
        kind: Some(kind),
    }
}

fn reserved(request: RequestId, result: Result<Vec<Held>, Vec<Conflict>>) -> v1::PortsReserved {
    let (ports, conflicts) = match result {
        Ok(ports) => (ports, Vec::new()),
        Err(conflicts) => (Vec::new(), conflicts),
    };
    let rank = |Rank(rank): Rank| rank;
    v1::PortsReserved {
        request: request.0,
        ports: ports
            .into_iter()
            .map(|p| v1::ReservedPort { rank: rank(p.rank), name: p.name, port: p.port.into() })
            .collect(),
        conflicts: conflicts
            .into_iter()
            .map(|c| v1::PortConflict {
                rank: rank(c.rank),
                name: c.name,
                port: c.port.into(),
                holder: c.holder,
            })
            .collect(),
    }
}

/// An answer, with the facts of the host where they belong to it.
pub(super) fn output(output: Output, host: impl FnOnce() -> v1::HostFacts) -> v1::NodeMessage {
    let kind = match output {
        Output::Attached(reports, notices) => Kind::Attached(v1::Attached {
            host: Some(host()),
            instances: reports.iter().map(|r| instance(r, None)).collect(),
            notices,
        }),
        Output::Reserved(request, result) => Kind::Reserved(reserved(request, result)),
        Output::Events(events) => {
            Kind::Events(v1::Events { events: events.into_iter().map(event).collect() })
        }
        Output::Refused(request, reason, message) => Kind::Refused(v1::Refused {
            request: request.0,
            reason: refusal(reason).into(),
            message,
        }),
        Output::Reached(request, failures) => Kind::Reached(v1::PeersReached {
            request: request.0,
            failures: failures
                .into_iter()
                .map(|f| v1::ReachFailure { key: f.key, why: f.why })
                .collect(),
        }),
        Output::Pong(seq) => Kind::Pong(v1::Pong { seq }),
        Output::Released => Kind::Released(v1::Released {}),
    };
    v1::NodeMessage { kind: Some(kind) }
}
