//! What head and session say to each other, in core's types.

use std::net::IpAddr;
use std::time::Duration;

use a2arun_core::ids::{Generation, Incarnation, Rank};
use a2arun_core::launch::{InstanceLaunch, Template};
use a2arun_core::outcome::{ExitRecord, StopCause};
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
    /// Everything was read; the session ends when it is sent.
    Release,
}

/// A port for an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PortRequest {
    pub(crate) rank: Rank,
    /// `None`: any.
    pub(crate) fixed: Option<u16>,
}

/// The answer to `Reserve`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PortsReserved {
    /// All of them.
    All(Vec<(Rank, u16)>),
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
    pub(crate) card: bool,
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
        card: bool,
        after: Duration,
    },
    Stopping,
    Exited(Box<ExitRecord>),
    /// Where an instance that is not ready stands, in the probe's words.
    Probe(String),
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
