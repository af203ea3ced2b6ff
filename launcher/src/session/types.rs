//! What head and session say to each other, in core's types.

use std::net::IpAddr;
use std::time::Duration;

use a2arun_core::ids::{Generation, Incarnation, Rank};
use a2arun_core::launch::{InstanceLaunch, Template};
use a2arun_core::outcome::{ExitRecord, StopCause};
use a2arun_core::peers::PeersUpdate;
use a2arun_core::seen::Seen;
use jiff::Timestamp;

use crate::target::ConnectError;

/// What the head wants of a host.
#[derive(Debug)]
pub(crate) enum Command {
    /// Reserve ports; answered by `Ports`.
    Reserve { ports: Vec<PortRequest>, bind_address: String, range: (u16, u16) },
    /// Spawn; answered by what becomes of the instances, or by `Refused`.
    Launch { generation: Generation, templates: Vec<Template>, instances: Vec<InstanceLaunch> },
    /// Stop these ranks, or all where none is named; `None`: each one's own grace.
    Stop { ranks: Vec<Rank>, grace: Option<Duration>, cause: StopCause },
    /// Connect to these from there; answered by `Reached`.
    Reach { targets: Vec<ReachTarget>, limit: Duration },
    /// Who the peers of its instances are. Not said again after a break: the head does that.
    Peers(PeersUpdate),
    /// Everything was read; the session ends when it is sent.
    Release,
}

/// A port for an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PortRequest {
    pub(crate) rank: Rank,
    /// [`MAIN_PORT`], or the name under `ports:`.
    pub(crate) name: String,
    /// `None`: any.
    pub(crate) fixed: Option<u16>,
}

/// What the main port is called.
pub(crate) const MAIN_PORT: &str = "port";

/// A port that was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PortGiven {
    pub(crate) rank: Rank,
    pub(crate) name: String,
    pub(crate) port: u16,
}

/// Somebody to be connected to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ReachTarget {
    pub(crate) key: u32,
    /// Without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
}

/// The answer to `Reserve`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PortsReserved {
    /// All of them.
    All(Vec<PortGiven>),
    /// None of them.
    Conflicts(Vec<PortConflict>),
}

/// A port that cannot be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PortConflict {
    pub(crate) rank: Rank,
    pub(crate) port: u16,
    /// Who has it, as far as it is known; may be empty.
    pub(crate) holder: String,
}

/// What a host says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NodeFacts {
    pub(crate) version: String,
    pub(crate) hostname: String,
    pub(crate) pid: u32,
    pub(crate) state_dir: String,
}

/// An instance in a host's full report.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct InstanceReport {
    pub(crate) rank: Rank,
    pub(crate) name: String,
    pub(crate) incarnation: Incarnation,
    pub(crate) phase: PhaseReport,
    pub(crate) pid: Option<i32>,
    pub(crate) started: Option<Timestamp>,
    pub(crate) ready: Option<Timestamp>,
    /// What was seen when it became ready; `None`: not known any more.
    pub(crate) seen: Option<Seen>,
    /// What the last look that failed saw.
    pub(crate) last_look: Option<String>,
    pub(crate) cpu_percent: Option<f64>,
    pub(crate) memory_bytes: Option<u64>,
}

/// Where an instance is, by its host.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum PhaseReport {
    Starting,
    Ready,
    Unready,
    Stopping,
    Backoff,
    Exited(Box<ExitRecord>),
}

/// One change of one instance.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Change {
    pub(crate) rank: Rank,
    pub(crate) incarnation: Incarnation,
    pub(crate) time: Option<Timestamp>,
    pub(crate) kind: ChangeKind,
}

/// What changed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum ChangeKind {
    Spawned {
        pid: i32,
    },
    Ready {
        seen: Seen,
        after: Duration,
    },
    /// It was ready; what the look saw.
    Unready(String),
    Stopping,
    Exited(Box<ExitRecord>),
    /// Where an instance that is not ready stands, in the probe's words.
    Probe(String),
    /// It ended because somebody else has its port.
    PortTaken(String),
    /// Something to tell the user.
    Notice(String),
}

/// Whether a host is heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Contact {
    Good,
    /// Nothing for 3 s.
    Suspect,
    /// Nothing for 10 s.
    Lost,
}

/// Why a request was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RefusedReason {
    Version,
    Stale,
    Capacity,
    Invalid,
    Failed,
}

/// What a host's session tells the head.
#[derive(Debug)]
pub(crate) enum SessionEvent {
    /// Attached: at first, and again after each break. `instances` is complete.
    Up {
        facts: NodeFacts,
        address: Option<IpAddr>,
        instances: Vec<InstanceReport>,
        notices: Vec<String>,
    },
    /// The first attempt failed; the session is over.
    Failed(ConnectError),
    /// The connection broke; it is being made again.
    Broken(String),
    /// It is heard, suspect or lost.
    Contact(Contact),
    Ports(PortsReserved),
    /// Who was not reached, and why.
    Reached(Vec<(u32, String)>),
    Changed(Vec<Change>),
    /// A launch (with its ranks) or another request was refused.
    Refused {
        reason: RefusedReason,
        message: String,
        ranks: Vec<Rank>,
    },
    /// `Release` has been sent, or could not be: the session is over.
    Closed {
        told: bool,
    },
}

/// Standard output or standard error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum StreamKind {
    Stdout,
    Stderr,
}
