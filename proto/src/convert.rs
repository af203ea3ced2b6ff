//! Conversions between wire messages and core types. What comes from the wire is checked here,
//! once: ids, ranges, times. Nothing else in the project looks at a wire enum.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use a2arun_core::ids::{Generation, IdError, Rank, RequestId};
use a2arun_core::launch::{self, ReadinessCheck, SignalNumber, StopPolicy};
use a2arun_core::{outcome, peers, seen};
use jiff::Timestamp;

use crate::v1;

/// A message that does not say what it has to.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// A field that must be there is missing or has no known value.
    #[error("{field} is missing or has a value that this version does not know")]
    Field {
        /// The field's path.
        field: &'static str,
    },
    /// An identifier that is refused.
    #[error("invalid {field}")]
    Id {
        /// The field's path.
        field: &'static str,
        /// What is wrong with it.
        source: IdError,
    },
    /// A time that is not RFC 3339.
    #[error("invalid time in {field}")]
    Time {
        /// The field's path.
        field: &'static str,
        /// What is wrong with it.
        source: jiff::Error,
    },
    /// A number out of range.
    #[error("{field} is {value}, which is out of range")]
    Range {
        /// The field's path.
        field: &'static str,
        /// The number.
        value: u64,
    },
}

fn port(field: &'static str, value: u32) -> Result<u16, WireError> {
    u16::try_from(value)
        .ok()
        .filter(|p| *p != 0)
        .ok_or(WireError::Range { field, value: u64::from(value) })
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn time(field: &'static str, text: &str) -> Result<Timestamp, WireError> {
    text.parse().map_err(|source| WireError::Time { field, source })
}

fn opt_time(field: &'static str, text: Option<&str>) -> Result<Option<Timestamp>, WireError> {
    text.map(|t| time(field, t)).transpose()
}

macro_rules! enum_pairs {
    ($core:path, $wire:path, $field:literal, $($variant:ident),+ $(,)?) => {
        impl From<$core> for $wire {
            fn from(value: $core) -> Self {
                match value { $(<$core>::$variant => <$wire>::$variant),+ }
            }
        }
        impl TryFrom<$wire> for $core {
            type Error = WireError;
            fn try_from(value: $wire) -> Result<Self, WireError> {
                match value {
                    $(<$wire>::$variant => Ok(<$core>::$variant),)+
                    <$wire>::Unspecified => Err(WireError::Field { field: $field }),
                }
            }
        }
    };
}

enum_pairs!(launch::Lifecycle, v1::Lifecycle, "lifecycle", Task, Service);
enum_pairs!(
    outcome::ExitReason,
    v1::ExitReason,
    "reason",
    Completed,
    Failed,
    Signaled,
    Oom,
    Stopped,
    GraceKilled,
    LivenessFailed,
    StartTimeout,
    SpawnFailed,
    ExitedBeforeReady,
    Exhausted,
    HostLost,
    Unknown
);
enum_pairs!(
    outcome::StopCause,
    v1::StopCause,
    "cause",
    User,
    Job,
    StartTimeout,
    HeadGone,
    NodedGone,
    WallTime
);
enum_pairs!(outcome::Proof, v1::Proof, "proof", Reaped, Weak, Survivors);

impl From<&launch::RunIdentity> for v1::RunIdentity {
    fn from(run: &launch::RunIdentity) -> Self {
        Self {
            run: run.run.to_string(),
            job: run.job.to_string(),
            host: run.host.to_string(),
            orphan: Some(v1::OrphanPolicy {
                head_closed_ms: run.orphan.head_closed.map(millis),
                head_silent_ms: run.orphan.head_silent.map(millis),
                noded_away_ms: run.orphan.noded_away.map(millis),
            }),
            head: run.head.clone(),
        }
    }
}

impl TryFrom<v1::RunIdentity> for launch::RunIdentity {
    type Error = WireError;
    fn try_from(run: v1::RunIdentity) -> Result<Self, WireError> {
        let orphan = run.orphan.ok_or(WireError::Field { field: "run.orphan" })?;
        Ok(Self {
            run: run.run.try_into().map_err(|source| WireError::Id { field: "run.run", source })?,
            job: run.job.try_into().map_err(|source| WireError::Id { field: "run.job", source })?,
            host: run
                .host
                .try_into()
                .map_err(|source| WireError::Id { field: "run.host", source })?,
            orphan: launch::OrphanPolicy {
                head_closed: orphan.head_closed_ms.map(Duration::from_millis),
                head_silent: orphan.head_silent_ms.map(Duration::from_millis),
                noded_away: orphan.noded_away_ms.map(Duration::from_millis),
            },
            head: run.head,
        })
    }
}

impl From<&launch::Readiness> for v1::Readiness {
    fn from(readiness: &launch::Readiness) -> Self {
        use v1::readiness::Check;
        let empty = v1::Empty {};
        let (check, port) = match &readiness.check {
            ReadinessCheck::Alive => (Check::Alive(empty), None),
            ReadinessCheck::Tcp { port } => (Check::Tcp(empty), *port),
            ReadinessCheck::Http { port, path, status } => {
                let http = v1::HttpCheck { path: path.clone(), status: status.map(u32::from) };
                (Check::Http(http), *port)
            }
            ReadinessCheck::Card { port } => (Check::Card(empty), *port),
            ReadinessCheck::Auto { port } => (Check::Auto(empty), *port),
            ReadinessCheck::Exec { command } => {
                (Check::Exec(v1::ExecCheck { command: command.clone() }), None)
            }
            ReadinessCheck::Log { pattern } => {
                (Check::Log(v1::LogCheck { pattern: pattern.clone() }), None)
            }
        };
        Self {
            deadline_ms: millis(readiness.deadline),
            timeout_ms: millis(readiness.timeout),
            period_ms: Some(millis(readiness.period)),
            port: port.map(u32::from),
            check: Some(check),
        }
    }
}

impl TryFrom<v1::Readiness> for launch::Readiness {
    type Error = WireError;
    fn try_from(readiness: v1::Readiness) -> Result<Self, WireError> {
        use v1::readiness::Check;
        let own = readiness.port.map(|p| port("readiness.port", p)).transpose()?;
        let check = match readiness.check.ok_or(WireError::Field { field: "readiness.check" })? {
            Check::Alive(_) => ReadinessCheck::Alive,
            Check::Tcp(_) => ReadinessCheck::Tcp { port: own },
            Check::Http(http) => ReadinessCheck::Http {
                port: own,
                path: http.path,
                status: http.status.map(|s| port("readiness.http.status", s)).transpose()?,
            },
            Check::Card(_) => ReadinessCheck::Card { port: own },
            Check::Auto(_) => ReadinessCheck::Auto { port: own },
            Check::Exec(exec) if exec.command.is_empty() => {
                return Err(WireError::Field { field: "readiness.exec.command" });
            }
            Check::Exec(exec) => ReadinessCheck::Exec { command: exec.command },
            Check::Log(log) => ReadinessCheck::Log { pattern: log.pattern },
        };
        Ok(Self {
            check,
            deadline: Duration::from_millis(readiness.deadline_ms),
            timeout: Duration::from_millis(readiness.timeout_ms),
            period: readiness
                .period_ms
                .map_or(launch::Readiness::default_period(), Duration::from_millis),
        })
    }
}

impl From<&launch::PeersHook> for v1::PeersHook {
    fn from(hook: &launch::PeersHook) -> Self {
        use v1::peers_hook::Kind;
        let kind = match hook {
            launch::PeersHook::File => None,
            launch::PeersHook::Signal(signal) => Some(Kind::Signal(signal.0)),
            launch::PeersHook::Http(path) => Some(Kind::HttpPath(path.clone())),
        };
        Self { kind }
    }
}

impl TryFrom<v1::PeersHook> for launch::PeersHook {
    type Error = WireError;
    fn try_from(hook: v1::PeersHook) -> Result<Self, WireError> {
        use v1::peers_hook::Kind;
        match hook.kind {
            None => Ok(Self::File),
            Some(Kind::Signal(n)) if (1..=64).contains(&n) => Ok(Self::Signal(SignalNumber(n))),
            Some(Kind::Signal(_)) => Err(WireError::Field { field: "template.peers_hook.signal" }),
            Some(Kind::HttpPath(path)) => Ok(Self::Http(path)),
        }
    }
}

impl From<&launch::Template> for v1::Template {
    fn from(template: &launch::Template) -> Self {
        Self {
            argv: template.argv.clone(),
            env: template.env.clone().into_iter().collect(),
            host_env: template.host_env,
            workdir: template.workdir.as_ref().map(|p| p.display().to_string()),
            umask: template.umask,
            lifecycle: v1::Lifecycle::from(template.lifecycle).into(),
            stop_signal: template.stop.signal.0,
            stop_grace_ms: millis(template.stop.grace),
            readiness: Some((&template.readiness).into()),
            peers_hook: Some((&template.peers_hook).into()),
        }
    }
}

impl TryFrom<v1::Template> for launch::Template {
    type Error = WireError;
    fn try_from(template: v1::Template) -> Result<Self, WireError> {
        if template.argv.is_empty() {
            return Err(WireError::Field { field: "template.argv" });
        }
        if !(1..=64).contains(&template.stop_signal) {
            return Err(WireError::Field { field: "template.stop_signal" });
        }
        Ok(Self {
            lifecycle: template.lifecycle().try_into()?,
            argv: template.argv,
            env: ordered(template.env),
            host_env: template.host_env,
            workdir: template.workdir.map(Into::into),
            umask: template.umask,
            stop: StopPolicy {
                signal: SignalNumber(template.stop_signal),
                grace: Duration::from_millis(template.stop_grace_ms),
            },
            readiness: template
                .readiness
                .ok_or(WireError::Field { field: "template.readiness" })?
                .try_into()?,
            peers_hook: template.peers_hook.unwrap_or_default().try_into()?,
        })
    }
}

fn ordered(map: HashMap<String, String>) -> BTreeMap<String, String> {
    map.into_iter().collect()
}

impl From<&launch::LaunchBatch> for v1::LaunchBatch {
    fn from(batch: &launch::LaunchBatch) -> Self {
        Self {
            request: batch.request.0,
            generation: batch.generation.0,
            templates: batch.templates.iter().map(Into::into).collect(),
            instances: batch
                .instances
                .iter()
                .map(|i| v1::InstanceLaunch {
                    rank: i.rank.0,
                    name: i.name.clone(),
                    template: i.template,
                    argv: i.argv.clone(),
                    env: i.env.clone().into_iter().collect(),
                    port: i.port.map(u32::from),
                    stdin: i.stdin,
                    ports: i
                        .ports
                        .iter()
                        .map(|p| v1::PortBinding { name: p.name.clone(), port: p.port.into() })
                        .collect(),
                })
                .collect(),
        }
    }
}

impl TryFrom<v1::LaunchBatch> for launch::LaunchBatch {
    type Error = WireError;
    fn try_from(batch: v1::LaunchBatch) -> Result<Self, WireError> {
        let templates: Vec<launch::Template> =
            batch.templates.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?;
        let instances = batch
            .instances
            .into_iter()
            .map(|i| {
                if usize::try_from(i.template).map_or(true, |t| t >= templates.len()) {
                    return Err(WireError::Range {
                        field: "instance.template",
                        value: u64::from(i.template),
                    });
                }
                Ok(launch::InstanceLaunch {
                    rank: Rank(i.rank),
                    name: i.name,
                    template: i.template,
                    argv: i.argv,
                    env: ordered(i.env),
                    port: i.port.map(|p| port("instance.port", p)).transpose()?,
                    stdin: i.stdin,
                    ports: i
                        .ports
                        .into_iter()
                        .map(|p| {
                            let port = port("instance.ports.port", p.port)?;
                            Ok(launch::PortBinding { name: p.name, port })
                        })
                        .collect::<Result<_, _>>()?,
                })
            })
            .collect::<Result<_, _>>()?;
        Ok(Self {
            request: RequestId(batch.request),
            generation: Generation(batch.generation),
            templates,
            instances,
        })
    }
}

impl From<&outcome::ExitRecord> for v1::ExitRecord {
    fn from(exit: &outcome::ExitRecord) -> Self {
        Self {
            reason: v1::ExitReason::from(exit.reason).into(),
            code: exit.code,
            signal: exit.signal.map(|s| s.0),
            asked_by: exit.asked_by.map_or(v1::StopCause::Unspecified, Into::into).into(),
            detail: exit.detail.clone(),
            started: exit.started.map(|t| t.to_string()),
            ready: exit.ready.map(|t| t.to_string()),
            ended: exit.ended.to_string(),
            max_rss_bytes: exit.max_rss_bytes,
            stdout_bytes: exit.stdout_bytes,
            stderr_bytes: exit.stderr_bytes,
            dropped_bytes: exit.dropped_bytes,
            proof: v1::Proof::from(exit.proof).into(),
            survivors: exit
                .survivors
                .iter()
                .map(|s| v1::Survivor { pid: s.pid, comm: s.comm.clone() })
                .collect(),
        }
    }
}

impl TryFrom<v1::ExitRecord> for outcome::ExitRecord {
    type Error = WireError;
    fn try_from(exit: v1::ExitRecord) -> Result<Self, WireError> {
        Ok(Self {
            reason: exit.reason().try_into()?,
            asked_by: outcome::StopCause::try_from(exit.asked_by()).ok(),
            proof: exit.proof().try_into()?,
            code: exit.code,
            signal: exit.signal.map(SignalNumber),
            started: opt_time("exit.started", exit.started.as_deref())?,
            ready: opt_time("exit.ready", exit.ready.as_deref())?,
            ended: time("exit.ended", &exit.ended)?,
            detail: exit.detail,
            max_rss_bytes: exit.max_rss_bytes,
            stdout_bytes: exit.stdout_bytes,
            stderr_bytes: exit.stderr_bytes,
            dropped_bytes: exit.dropped_bytes,
            survivors: exit
                .survivors
                .into_iter()
                .map(|s| outcome::Survivor { pid: s.pid, comm: s.comm })
                .collect(),
        })
    }
}

impl From<&seen::Seen> for v1::Seen {
    fn from(seen: &seen::Seen) -> Self {
        let card = seen.card.as_ref();
        Self {
            listens: seen.listens.iter().map(ToString::to_string).collect(),
            card_path: card.map(|c| c.path.clone()),
            card_status: card.map_or(0, |c| c.status.into()),
            card: card.and_then(|c| c.text.clone()),
        }
    }
}

/// What cannot be read of it is left out: it is only looked at.
impl From<v1::Seen> for seen::Seen {
    fn from(seen: v1::Seen) -> Self {
        let card = seen.card_path.map(|path| seen::SeenCard {
            path,
            status: u16::try_from(seen.card_status).unwrap_or(0),
            text: seen.card,
        });
        Self { listens: seen.listens.iter().filter_map(|l| l.parse().ok()).collect(), card }
    }
}

impl From<peers::PeersUpdate> for v1::Peers {
    fn from(update: peers::PeersUpdate) -> Self {
        let peer = |p: peers::Peer| v1::Peer {
            key: p.key,
            name: p.name,
            agent: p.agent,
            url: p.url,
            ready: p.ready,
        };
        let groups = update.groups.into_iter();
        let members = update.members.into_iter();
        Self {
            generation: update.generation,
            reset: update.reset,
            more: update.more,
            peers: update.peers.into_iter().map(peer).collect(),
            groups: groups.map(|(group, keys)| v1::PeerGroup { group, keys }).collect(),
            members: members.map(|(r, group)| v1::PeerMember { rank: r.0, group }).collect(),
        }
    }
}

impl From<v1::Peers> for peers::PeersUpdate {
    fn from(update: v1::Peers) -> Self {
        let peer = |p: v1::Peer| peers::Peer {
            key: p.key,
            name: p.name,
            agent: p.agent,
            url: p.url,
            ready: p.ready,
        };
        Self {
            generation: update.generation,
            reset: update.reset,
            more: update.more,
            peers: update.peers.into_iter().map(peer).collect(),
            groups: update.groups.into_iter().map(|g| (g.group, g.keys)).collect(),
            members: update.members.into_iter().map(|m| (Rank(m.rank), m.group)).collect(),
        }
    }
}

/// The optional cause of a stop request; an unknown one counts as the user's.
pub fn stop_cause(wire: v1::StopCause) -> outcome::StopCause {
    wire.try_into().unwrap_or(outcome::StopCause::User)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_survives_the_wire() {
        let template = launch::Template {
            argv: vec!["/bin/sh".into(), "-c".into(), "exit 3".into()],
            env: BTreeMap::from([("A".into(), "1".into())]),
            host_env: true,
            workdir: Some("/tmp".into()),
            umask: Some(0o22),
            lifecycle: launch::Lifecycle::Service,
            stop: StopPolicy::default(),
            readiness: launch::Readiness {
                check: ReadinessCheck::Http {
                    port: Some(80),
                    path: "/ready".into(),
                    status: Some(204),
                },
                deadline: Duration::from_millis(1500),
                timeout: Duration::from_secs(2),
                period: Duration::from_secs(7),
            },
            peers_hook: launch::PeersHook::Http("/peers".into()),
        };
        let batch = launch::LaunchBatch {
            request: RequestId(7),
            generation: Generation(2),
            templates: vec![template],
            instances: vec![launch::InstanceLaunch {
                rank: Rank(5),
                name: "w[5]".into(),
                template: 0,
                argv: Vec::new(),
                env: BTreeMap::from([("PORT".into(), "9001".into())]),
                port: Some(9001),
                stdin: true,
                ports: vec![launch::PortBinding { name: "grpc".into(), port: 9002 }],
            }],
        };
        let back = launch::LaunchBatch::try_from(v1::LaunchBatch::from(&batch)).unwrap();
        assert_eq!(back, batch);
    }

    #[test]
    fn every_exit_reason_survives_the_wire() {
        for reason in outcome::ExitReason::ALL {
            let mut exit = outcome::ExitRecord::spawn_failed("x".into(), Timestamp::UNIX_EPOCH);
            exit.reason = reason;
            exit.signal = Some(SignalNumber::KILL);
            exit.asked_by = Some(outcome::StopCause::HeadGone);
            let back = outcome::ExitRecord::try_from(v1::ExitRecord::from(&exit)).unwrap();
            assert_eq!(back, exit);
        }
    }

    #[test]
    fn a_template_index_out_of_range_is_refused() {
        let batch = v1::LaunchBatch {
            instances: vec![v1::InstanceLaunch { template: 1, ..Default::default() }],
            ..Default::default()
        };
        assert!(launch::LaunchBatch::try_from(batch).is_err());
    }
}
