//! An instance in noded's memory: what its step said last, and the descriptors that guard it.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use a2arun_core::ids::{Generation, Incarnation, RequestId};
use a2arun_core::launch::{InstanceLaunch, PeersHook, Readiness, SignalNumber, Template};
use a2arun_core::outcome::{ExitRecord, StopCause};
use a2arun_core::seen::Seen;
use jiff::Timestamp;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::links::StepLink;
use super::{InstanceReport, Level, Phase, Stdin};
use crate::ledger::SpawnRecord;
use crate::msg::{InstanceKey, Spawned};
use crate::os::{pidfd, proc};

/// What is kept of an instance.
#[derive(Debug)]
pub(super) struct Instance {
    /// Which.
    pub key: InstanceKey,
    /// `agent[index]`.
    pub name: String,
    /// How to spawn it, until it is known to be; `None` for one that another noded launched.
    pub launch: Option<Launch>,
    /// The request that it came with.
    pub request: (Generation, RequestId),
    /// When it is ready.
    pub readiness: Readiness,
    /// Its main port.
    pub port: Option<u16>,
    /// Its ports beside the main one.
    pub more_ports: Vec<u16>,
    /// What happens when its peers change.
    pub peers_hook: PeersHook,
    /// The address it was told, to look at beside loopback.
    pub address: Option<String>,
    /// How long its stop may take.
    pub grace: Duration,
    /// Where it is.
    pub phase: Phase,
    /// Which spawn.
    pub incarnation: Incarnation,
    /// Its process.
    pub process: Option<Process>,
    /// The reading ends of its output: the second guard.
    pub guard: Option<(OwnedFd, OwnedFd)>,
    /// The writing ends, until exec succeeded: a step that takes over before that needs them.
    pub writers: Option<(OwnedFd, OwnedFd)>,
    /// The spawner was given the reading ends of an instance whose step it did not start.
    pub guarded_abroad: bool,
    /// The writing end of its standard input.
    pub stdin: Option<OwnedFd>,
    /// Its step.
    pub link: Option<StepLink>,
    /// When it became ready.
    pub ready: Option<Timestamp>,
    /// How much was seen of that.
    pub level: Option<Level>,
    /// What was seen when it became ready.
    pub seen: Option<Box<Seen>>,
    /// What the last look that failed saw.
    pub last_probe: Option<String>,
    /// How it ended.
    pub exit: Option<ExitRecord>,
    /// How often its step was replaced.
    pub adoptions: u32,
    /// Steps that died before they said anything, in a row.
    pub stillborn: u32,
    /// That it should stop.
    pub stop: Option<StopOrder>,
    /// When its step is replaced, after several died at once.
    pub replace_at: Option<Instant>,
    /// The step's process.
    pub step: Option<OwnedFd>,
    /// The first signal of a stop.
    pub stop_signal: SignalNumber,
    /// Its probe.
    pub probe: Option<AbortHandle>,
}

/// How to spawn it.
#[derive(Debug, Clone)]
pub(super) struct Launch {
    /// The instance's own part; its template index is into `templates`.
    pub instance: InstanceLaunch,
    /// The batch's templates.
    pub templates: Arc<Vec<Template>>,
}

/// Its process.
#[derive(Debug)]
pub(super) struct Process {
    /// The pid, pinned while the agent is unreaped.
    pub pid: i32,
    /// The same as a descriptor.
    pub pidfd: Option<OwnedFd>,
    /// When it was spawned.
    pub started: Timestamp,
    /// Whether exec succeeded.
    pub running: bool,
}

/// That an instance should stop, and how far that is.
#[derive(Debug, Clone, Copy)]
pub(super) struct StopOrder {
    /// Who asked.
    pub cause: StopCause,
    /// When everything left is killed.
    pub kill_at: Instant,
    /// Whether the step has said that it is at it.
    pub heard: bool,
    /// What noded did itself because the step did not answer.
    pub carried: Carried,
    /// When the agent was seen to have ended without its step saying so.
    pub ended_unsaid: Option<Instant>,
}

impl StopOrder {
    /// An order that nobody has heard yet.
    pub(super) fn new(cause: StopCause, kill_at: Instant) -> Self {
        Self { cause, kill_at, heard: false, carried: Carried::Nothing, ended_unsaid: None }
    }
}

/// How far noded itself went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Carried {
    /// Nothing: the step does it.
    Nothing,
    /// The stop signal.
    Signal,
    /// SIGKILL.
    Kill,
}

impl Instance {
    /// One that is about to be spawned.
    pub(super) fn new(key: InstanceKey, launch: Launch, request: (Generation, RequestId)) -> Self {
        let template = &launch.templates[launch.instance.template as usize];
        let address =
            launch.instance.env.get("AGENT_HOST").or_else(|| template.env.get("AGENT_HOST"));
        Self {
            name: launch.instance.name.clone(),
            request,
            readiness: template.readiness.clone(),
            port: launch.instance.port,
            more_ports: launch.instance.ports.iter().map(|p| p.port).collect(),
            peers_hook: template.peers_hook.clone(),
            address: address.cloned(),
            grace: template.stop.grace,
            stop_signal: template.stop.signal,
            launch: Some(launch),
            ..Self::blank(key)
        }
    }

    /// One that an earlier noded launched.
    pub(super) fn recovered(record: SpawnRecord) -> Self {
        let spawned = record.spawned;
        Self {
            name: record.name,
            request: (record.generation, record.request),
            readiness: record.readiness,
            port: record.port,
            more_ports: record.more_ports,
            address: record.address,
            peers_hook: record.peers_hook,
            grace: record.rules.stop.grace,
            stop_signal: record.rules.stop.signal,
            incarnation: spawned.incarnation,
            process: Some(Process {
                pid: spawned.pid,
                pidfd: open_same(&spawned, &record.boot_id),
                started: spawned.at,
                running: true,
            }),
            ..Self::blank(record.key)
        }
    }

    /// One of which nothing but the folder is known.
    pub(super) fn nameless(key: InstanceKey) -> Self {
        Self { name: format!("rank {}", key.rank), ..Self::blank(key) }
    }

    fn blank(key: InstanceKey) -> Self {
        Self {
            key,
            name: String::new(),
            launch: None,
            request: (Generation(0), RequestId(0)),
            readiness: Readiness::alive(),
            port: None,
            more_ports: Vec::new(),
            peers_hook: PeersHook::File,
            address: None,
            grace: Duration::ZERO,
            phase: Phase::Starting,
            incarnation: Incarnation(1),
            process: None,
            guard: None,
            writers: None,
            guarded_abroad: false,
            stdin: None,
            link: None,
            ready: None,
            level: None,
            seen: None,
            last_probe: None,
            exit: None,
            adoptions: 0,
            stillborn: 0,
            stop: None,
            replace_at: None,
            step: None,
            stop_signal: SignalNumber::TERM,
            probe: None,
        }
    }

    /// Whether it is not over.
    pub(super) fn is_live(&self) -> bool {
        self.exit.is_none()
    }

    /// Where its input is written to.
    pub(super) fn stdin(&self) -> Stdin {
        match self.stdin.as_ref().and_then(|fd| fd.try_clone().ok()) {
            Some(fd) => Stdin::Open(fd),
            None if self.is_live() && self.link.is_none() => Stdin::NotYet,
            None => Stdin::Closed,
        }
    }

    /// As others see it.
    pub(super) fn report(&self) -> InstanceReport {
        InstanceReport {
            rank: self.key.rank,
            name: self.name.clone(),
            incarnation: self.incarnation,
            phase: self.phase,
            pid: self.process.as_ref().filter(|_| self.is_live()).map(|p| p.pid),
            started: self.process.as_ref().map(|p| p.started),
            ready: self.ready,
            level: self.level,
            seen: self.seen.clone(),
            last_look: self.last_probe.clone(),
            exit: self.exit.clone(),
            adoptions: self.adoptions,
        }
    }

    /// Over: lets go of everything that guarded it.
    pub(super) fn close(&mut self, exit: ExitRecord) {
        self.phase = Phase::Exited;
        self.exit = Some(exit);
        self.link = None;
        self.guard = None;
        self.writers = None;
        self.stdin = None;
        self.launch = None;
        if let Some(process) = &mut self.process {
            process.pidfd = None;
        }
        if let Some(probe) = self.probe.take() {
            probe.abort();
        }
    }
}

/// The process of a record, if it is still the same one.
fn open_same(spawned: &Spawned, boot_id: &str) -> Option<OwnedFd> {
    let fd = pidfd::open(spawned.pid).ok()?;
    let same = proc::identity(spawned.pid).is_ok_and(|i| i.start_ticks == spawned.start_ticks);
    (same && proc::boot_id() == boot_id).then_some(fd)
}
