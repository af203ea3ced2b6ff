//! The supervisor: one task that owns every run and instance of this noded. It folds what heads,
//! steps, the spawner and probes say, and answers with data; sockets and wire types are others'.
//!
//! ```text
//!  service (gRPC) ── Input::Head ──▶┐                      ┌──▶ Output ──▶ service
//!  step links ───── Input::Step ───▶│ actor ─▶ run/instance├──▶ StepCommand ──▶ step
//!  spawner link ── Input::Spawner ─▶│                      ├──▶ spawn request ─▶ spawner
//!  probes ──────── Input::Probe ───▶┘                      └──▶ RunView ──▶ logs
//! ```

mod actor;
mod head;
mod instance;
mod launch;
mod links;
mod peers;
mod probes;
mod recover;
mod spawners;
mod steps;
mod stop;
mod views;

use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Duration;

use a2arun_core::ids::{Generation, Incarnation, Rank, RequestId, RunId};
use a2arun_core::launch::{LaunchBatch, RunIdentity};
use a2arun_core::machine::lease::HeadId;
use a2arun_core::outcome::{ExitRecord, StopCause};
use a2arun_core::peers::PeersUpdate;
use a2arun_core::seen::Seen;
use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot};

use crate::msg::{InstanceKey, Restart, SpawnerMessage, StepMessage};
use crate::os::limits::Nofile;
use crate::ports::{Conflict, Held, Range, Wanted};
use crate::probe::{ReachTarget, Unreached};

pub use actor::{Left, Supervisor};
pub use links::{accept_steps, connect_spawner};
pub use views::{InstanceView, RunView, Views};

/// How many inputs may wait.
pub const INBOX_DEPTH: usize = 4096;
/// How many messages may wait for a head that does not read.
pub const OUTBOX_DEPTH: usize = 256;

/// Everything the supervisor is told once, at start.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The state folder.
    pub state_dir: PathBuf,
    /// Where steps find this noded again.
    pub steps_socket: PathBuf,
    /// Where the spawner is found.
    pub spawner_socket: PathBuf,
    /// Our own program, to start spawners.
    pub exe: PathBuf,
    /// How the spawner starts us again; `None`: somebody else does.
    pub restart: Option<Restart>,
    /// The limit of descriptors that agents get back.
    pub nofile_before: Option<Nofile>,
    /// How many descriptors this process may have.
    pub nofile_now: u64,
    /// Variables that agents of other hosts' heads start from.
    pub host_env: Vec<(String, String)>,
    /// The kernel's id of this boot.
    pub boot_id: String,
    /// This noded's start, for telling it from others.
    pub epoch: u64,
    /// Leave so long after the last instance; `None`: stay.
    pub linger: Option<Duration>,
}

/// What the supervisor folds.
#[derive(Debug)]
pub enum Input {
    /// From a head's session.
    Head(HeadId, HeadInput),
    /// A step's message with its descriptors.
    Step(LinkId, InstanceKey, StepMessage, Vec<OwnedFd>),
    /// A step's connection is gone.
    StepLost(LinkId, InstanceKey),
    /// A step called; its first message was this hello.
    StepCalled(links::CalledStep),
    /// From the spawner.
    Spawner(SpawnerMessage),
    /// The spawner's connection is gone.
    SpawnerLost,
    /// What a probe saw.
    Probe(InstanceKey, Incarnation, ProbeReport),
    /// Peers that a head wanted reached.
    Reached(RunId, RequestId, Vec<Unreached>),
    /// Somebody wants to know what there is.
    Describe(Option<RunId>, oneshot::Sender<Vec<RunReport>>),
    /// Stop a run without its head.
    StopRun(RunId, Option<Duration>, oneshot::Sender<Option<usize>>),
    /// Where an instance's standard input is.
    Stdin(InstanceKey, oneshot::Sender<Stdin>),
    /// An instance's standard input is at its end.
    StdinClosed(InstanceKey),
    /// End this noded; agents go on.
    Shutdown,
}

/// What is known of an instance's standard input.
#[derive(Debug)]
pub enum Stdin {
    /// Its writing end.
    Open(OwnedFd),
    /// It has none, or no more.
    Closed,
    /// Its step has not come back to this noded, which therefore does not know.
    NotYet,
}

/// One connection of a step; a new one for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkId(pub u64);

/// From a head.
#[derive(Debug)]
pub enum HeadInput {
    /// It wants the run.
    Attach {
        /// Which.
        run: RunIdentity,
        /// The plan's generation.
        generation: Generation,
        /// Where answers go.
        outbox: mpsc::Sender<Output>,
    },
    /// Hold ports.
    Reserve {
        /// The request's id.
        request: RequestId,
        /// Where agents will bind.
        address: Option<IpAddr>,
        /// For `auto` ports.
        range: Range,
        /// Which.
        ports: Vec<Wanted>,
    },
    /// Start instances.
    Launch(LaunchBatch),
    /// Stop instances.
    Stop {
        /// Whom; empty: all.
        ranks: Vec<Rank>,
        /// From now to SIGKILL; `None`: each its own.
        grace: Option<Duration>,
        /// Who asked.
        cause: StopCause,
    },
    /// Connect to these from here.
    Reach {
        /// The request's id.
        request: RequestId,
        /// Whom.
        targets: Vec<ReachTarget>,
        /// How long silent ones are tried again.
        limit: Duration,
    },
    /// Who the peers of instances are, or what changed of them.
    Peers(PeersUpdate),
    /// It is alive.
    Heard,
    /// It has everything.
    Release,
    /// Its connection is gone.
    Closed,
}

/// To a head.
#[derive(Debug)]
pub enum Output {
    /// It has the run; this is what is known.
    Attached(Vec<InstanceReport>, Vec<String>),
    /// The ports, or who has them.
    Reserved(RequestId, Result<Vec<Held>, Vec<Conflict>>),
    /// What happened.
    Events(Vec<InstanceEvent>),
    /// A request is refused.
    Refused(RequestId, Refusal, String),
    /// Who was not reached.
    Reached(RequestId, Vec<Unreached>),
    /// It was heard.
    Pong(u64),
    /// The run is forgotten.
    Released,
}

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Another head has the run, or the generation is old.
    Stale,
    /// It does not fit.
    Capacity,
    /// It makes no sense.
    Invalid,
    /// It could not be done.
    Failed,
}

/// Where an instance is, for others to see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Not yet ready.
    Starting,
    /// Ready.
    Ready,
    /// It was ready and is not now.
    Unready,
    /// Going.
    Stopping,
    /// Over.
    Exited,
}

/// How much of readiness was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// exec succeeded.
    Exec,
    /// Its port takes connections.
    Tcp,
    /// It answers HTTP.
    Http,
    /// It has a card.
    Card,
    /// Its check command says so.
    Command,
    /// A line of its output says so.
    Log,
}

/// An instance as others see it.
#[derive(Debug, Clone)]
pub struct InstanceReport {
    /// The rank.
    pub rank: Rank,
    /// `agent[index]`.
    pub name: String,
    /// Which spawn.
    pub incarnation: Incarnation,
    /// Where it is.
    pub phase: Phase,
    /// Its process.
    pub pid: Option<i32>,
    /// When it was spawned.
    pub started: Option<Timestamp>,
    /// When it became ready.
    pub ready: Option<Timestamp>,
    /// How much was seen of that.
    pub level: Option<Level>,
    /// What was seen then.
    pub seen: Option<Box<Seen>>,
    /// What the last look that failed saw.
    pub last_look: Option<String>,
    /// How it ended.
    pub exit: Option<ExitRecord>,
    /// How often its step was replaced.
    pub adoptions: u32,
}

/// A run as others see it.
#[derive(Debug, Clone)]
pub struct RunReport {
    /// Who it belongs to.
    pub identity: RunIdentity,
    /// The newest generation.
    pub generation: Generation,
    /// Whether a head is there.
    pub attached: bool,
    /// Its instances.
    pub instances: Vec<InstanceReport>,
}

/// What happened to an instance.
#[derive(Debug, Clone)]
pub struct InstanceEvent {
    /// The rank.
    pub rank: Rank,
    /// Which spawn.
    pub incarnation: Incarnation,
    /// When.
    pub time: Timestamp,
    /// What.
    pub kind: EventKind,
}

/// The kinds of event.
#[derive(Debug, Clone)]
pub enum EventKind {
    /// exec succeeded.
    Spawned(i32),
    /// Ready, so long after its spawn.
    Ready(Level, Duration, Box<Seen>),
    /// It was ready and is not now.
    Unready(String),
    /// Going.
    Stopping(StopCause),
    /// Over.
    Exited(Box<ExitRecord>),
    /// For people.
    Notice(NoticeKind, String),
}

/// The kinds of notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoticeKind {
    /// The step died and was replaced.
    StepReplaced,
    /// Output is being dropped.
    DiskFull,
    /// It listens elsewhere than told.
    ListensElsewhere,
    /// A stranger listens on its port.
    PortTaken,
    /// The last look that failed.
    Probe,
}

/// What a probe has to say.
#[derive(Debug, Clone)]
pub enum ProbeReport {
    /// Ready.
    Passed(Level, Box<Seen>),
    /// Not ready yet, and why; another why than before.
    NotYet(String),
    /// It was ready and is not now.
    Unready(String),
    /// It is ready again.
    ReadyAgain,
    /// Not ready in time; the last look.
    Deadline(String),
    /// For people.
    Notice(NoticeKind, String),
}
