//! The job, in its head. It decides when stages start, when the job is over, and what it ends with
//! (DESIGN §3, §4).
//!
//! ```text
//! New ─HostsKnown─▶ Allocated ─PlanReady─▶ Mapped ─LaunchRequested─▶ Connecting
//!   ─AllSessionsUp─▶ Launching{0} ─StageReady─▶ Launching{k} ─EdgesProven─▶ Running ⇄ Degraded
//! any of these ─failure, StopRequested, WallTime, completion─▶ Cleanup{cause}
//!   ─AllAgentsTerminal─▶ Inactive{result}
//! ```
//!
//! It counts, it does not scan: an event costs the same for any size. What each instance did is
//! told by [`crate::machine::tally::Tally`].

use std::time::Duration;

use jiff::Timestamp;

use crate::exit_code::LauncherCode;
use crate::ids::Rank;
use crate::launch::Lifecycle;
pub use crate::machine::job_advance::advance;
use crate::machine::mirror::End;
use crate::outcome::StopCause;
use crate::plan::{HostIx, StageIx};
use crate::result::Origin;
use crate::status::{JobState, ResultWord};

/// What does not change while a job runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rules {
    /// Number of stages, at least 1.
    pub stages: u32,
    /// Instances that are tasks.
    pub tasks: u32,
    /// Instances of `ends_with`; 0: not given.
    pub ends_with: u32,
    /// What the first final failure does.
    pub on_failure: OnFailure,
}

/// What the first final failure does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnFailure {
    /// It stops the job.
    #[default]
    Stop,
    /// `--continue`: the others finish.
    Continue,
}

/// A job at a moment. Cheap to clone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State {
    /// Where it stands.
    pub phase: Phase,
    /// What holds for all of its life; zeroes before `PlanReady`.
    pub rules: Rules,
    /// Tasks that have not ended.
    pub tasks_left: u32,
    /// Instances of `ends_with` that have not ended.
    pub ends_left: u32,
    /// Somebody who was ready is not, now.
    pub unwell: bool,
    /// The first final failure.
    pub first: Option<Failure>,
    /// The first final failure of `ends_with`.
    pub first_of_ends: Option<Failure>,
}

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Nothing is known.
    New,
    /// Its hosts are.
    Allocated,
    /// Its plan is.
    Mapped,
    /// Hosts are being reached.
    Connecting,
    /// A stage is being started.
    Launching {
        /// Which.
        stage: StageIx,
    },
    /// Everybody was ready.
    Running,
    /// Somebody is not, now.
    Degraded,
    /// It is being taken down.
    Cleanup {
        /// Why.
        cause: Cause,
        /// When the user asked for it last; `None`: nobody did. See [`State::kills`].
        asked: Option<Timestamp>,
    },
    /// It is over.
    Inactive {
        /// How it ended.
        result: JobResult,
        /// What `a2arun` ends with.
        exit_code: u8,
    },
}

/// Why a job is taken down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// `ends_with` has ended, or all tasks have.
    Complete,
    /// The first final failure.
    Failed(Failure),
    /// A failure before the job was up.
    LaunchFailed(Failure),
    /// Somebody asked.
    Canceled(StopBy),
    /// `--timeout` is over.
    TimedOut,
}

/// How a job ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobResult {
    /// All as wanted.
    Completed,
    /// An agent failed.
    Failed {
        /// The first one.
        first: Failure,
    },
    /// Somebody stopped it.
    Canceled,
    /// `--timeout` was over.
    TimedOut,
    /// It never came up.
    LaunchFailed {
        /// What came first.
        first: Failure,
    },
}

/// A final failure. What it was in full is looked up by rank or host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failure {
    /// The instance, where it was one.
    pub rank: Option<Rank>,
    /// The host, where it was one.
    pub host: Option<HostIx>,
    /// Whose fault.
    pub origin: Origin,
    /// What `a2arun` ends with for it.
    pub exit_code: u8,
    /// When it arrived.
    pub when: Timestamp,
}

/// Who stops a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopBy {
    /// Ctrl-C: 130.
    Interrupt,
    /// TERM or HUP: 143.
    Terminate,
    /// `a2arun stop`, from elsewhere: 143.
    Request,
    /// `a2arun stop --now`: 143, without any grace.
    RequestNow,
    /// The launcher has what it came for (`--query`): 0.
    Done,
}

/// What an instance is to its job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Role {
    /// What it counts as: a task that others wait for (`depends_on: completed`) is not one of
    /// those whose ends are the job's.
    pub lifecycle: Lifecycle,
    /// It belongs to `ends_with`.
    pub ends_job: bool,
    /// Others are not started before it has ended well.
    pub needed: bool,
}

/// What an instance did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AgentChange {
    /// The first one that is not well.
    Degraded,
    /// The last one that was not is well again, or gone.
    Recovered,
    /// Ended; no restart follows.
    Ended(End),
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The hosts are chosen.
    HostsKnown,
    /// The plan is made.
    PlanReady(Rules),
    /// It shall be launched.
    LaunchRequested,
    /// Every host is reached and has reserved its ports.
    AllSessionsUp,
    /// A host cannot be reached or refused.
    SessionFailed {
        /// Which.
        host: HostIx,
        /// What `a2arun` ends with for it.
        code: LauncherCode,
    },
    /// Everybody in a stage is ready or has ended.
    StageReady {
        /// Which.
        stage: StageIx,
    },
    /// Every caller reached its callees.
    EdgesProven,
    /// A host refused a stage's launch, or a caller on it does not reach a callee.
    StageFailed {
        /// Which host.
        host: HostIx,
        /// What `a2arun` ends with for it.
        code: LauncherCode,
    },
    /// An instance did something.
    AgentChanged {
        /// Which.
        rank: Rank,
        /// What it is to the job.
        role: Role,
        /// What it did.
        change: AgentChange,
    },
    /// The job's question has no answer.
    AskFailed {
        /// Of whom it was asked.
        host: HostIx,
        /// What `a2arun` ends with for it.
        code: LauncherCode,
    },
    /// Somebody wants it stopped.
    StopRequested(StopBy),
    /// `--timeout` is over.
    WallTime,
    /// Nobody is left that was launched.
    AllAgentsTerminal {
        /// Processes that could not be stopped.
        survivors: u32,
    },
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Make the plan.
    MakePlan,
    /// Reach every host and reserve ports.
    ConnectHosts,
    /// Start a stage; then ask [`crate::machine::tally::Tally::stage_ready`], because a head that
    /// took over finds instances that are ready already.
    LaunchStage {
        /// Which.
        stage: StageIx,
    },
    /// Have every caller's host reach its callees; answer with `EdgesProven` or `StageFailed`, at
    /// once where there are none, and then ask [`crate::machine::tally::Tally::terminal`].
    ProveEdges,
    /// Say that the job is ready.
    AnnounceReady,
    /// Stop everybody, callers first, within the grace; then ask the tally whether anybody is
    /// left.
    StopAll {
        /// What is written into exit records.
        asked_by: StopCause,
    },
    /// Kill everybody now.
    KillAll,
    /// Write the result and end with the code.
    Finish,
}

/// TERM and HUP come twice where a sender means a process and its group (timeout(1)), or a
/// terminal that closes; sooner than this behind the last stop they are the same wish.
const SAME_WISH: Duration = Duration::from_secs(1);

/// A new job.
pub const NEW: State = State {
    phase: Phase::New,
    rules: Rules { stages: 0, tasks: 0, ends_with: 0, on_failure: OnFailure::Stop },
    tasks_left: 0,
    ends_left: 0,
    unwell: false,
    first: None,
    first_of_ends: None,
};

impl State {
    /// The displayed state; `None` before anything is.
    pub fn shown(&self) -> Option<JobState> {
        match self.phase {
            Phase::New => None,
            Phase::Allocated | Phase::Mapped => Some(JobState::Allocated),
            Phase::Connecting => Some(JobState::Connecting),
            Phase::Launching { .. } => Some(JobState::Launching),
            Phase::Running => Some(JobState::Running),
            Phase::Degraded => Some(JobState::Degraded),
            Phase::Cleanup { .. } => Some(JobState::Cleanup),
            Phase::Inactive { .. } => Some(JobState::Inactive),
        }
    }

    /// Result and exit code, once it is over.
    pub fn result(&self) -> Option<(JobResult, u8)> {
        match self.phase {
            Phase::Inactive { result, exit_code } => Some((result, exit_code)),
            Phase::New
            | Phase::Allocated
            | Phase::Mapped
            | Phase::Connecting
            | Phase::Launching { .. }
            | Phase::Running
            | Phase::Degraded
            | Phase::Cleanup { .. } => None,
        }
    }

    /// Whether it is over.
    pub fn is_terminal(&self) -> bool {
        self.result().is_some()
    }

    /// Whether this stop, which came at `now`, ends everybody's grace.
    pub fn kills(&self, by: StopBy, now: Timestamp) -> bool {
        let asked = match self.phase {
            Phase::Cleanup { asked, .. } => asked,
            Phase::New
            | Phase::Allocated
            | Phase::Mapped
            | Phase::Connecting
            | Phase::Launching { .. }
            | Phase::Running
            | Phase::Degraded => None,
            Phase::Inactive { .. } => return false,
        };
        match by {
            StopBy::RequestNow => true,
            StopBy::Interrupt => asked.is_some(),
            StopBy::Terminate => asked.is_some_and(|at| {
                Duration::try_from(now.duration_since(at)).is_ok_and(|age| age >= SAME_WISH)
            }),
            StopBy::Request | StopBy::Done => false,
        }
    }

    /// The phase's name in tables.
    pub fn name(&self) -> &'static str {
        match self.phase {
            Phase::New => "New",
            Phase::Allocated => "Allocated",
            Phase::Mapped => "Mapped",
            Phase::Connecting => "Connecting",
            Phase::Launching { .. } => "Launching",
            Phase::Running => "Running",
            Phase::Degraded => "Degraded",
            Phase::Cleanup { .. } => "Cleanup",
            Phase::Inactive { .. } => "Inactive",
        }
    }
}

impl JobResult {
    /// The word in JSON.
    pub fn word(&self) -> ResultWord {
        match self {
            Self::Completed => ResultWord::Completed,
            Self::Failed { .. } => ResultWord::Failed,
            Self::Canceled => ResultWord::Canceled,
            Self::TimedOut => ResultWord::TimedOut,
            Self::LaunchFailed { .. } => ResultWord::LaunchFailed,
        }
    }

    /// The failure that began it.
    pub fn first(&self) -> Option<Failure> {
        match self {
            Self::Failed { first } | Self::LaunchFailed { first } => Some(*first),
            Self::Completed | Self::Canceled | Self::TimedOut => None,
        }
    }
}

impl Event {
    /// The event's name in tables.
    pub fn name(&self) -> &'static str {
        match self {
            Self::HostsKnown => "HostsKnown",
            Self::PlanReady(_) => "PlanReady",
            Self::LaunchRequested => "LaunchRequested",
            Self::AllSessionsUp => "AllSessionsUp",
            Self::SessionFailed { .. } => "SessionFailed",
            Self::StageReady { .. } => "StageReady",
            Self::EdgesProven => "EdgesProven",
            Self::StageFailed { .. } => "StageFailed",
            Self::AgentChanged { .. } => "AgentChanged",
            Self::AskFailed { .. } => "AskFailed",
            Self::StopRequested(_) => "StopRequested",
            Self::WallTime => "WallTime",
            Self::AllAgentsTerminal { .. } => "AllAgentsTerminal",
        }
    }
}

/// Whether an end counts as a failure of the job. What a2arun itself asked for never does, but
/// for the deadline of being ready, and for agents that were stopped because head or noded was
/// away: nobody wanted that.
pub fn is_failure(end: &End) -> bool {
    match end.asked_by {
        None | Some(StopCause::StartTimeout) => end.reason.is_failure(),
        Some(StopCause::HeadGone | StopCause::NodedGone) => true,
        Some(StopCause::User | StopCause::Job | StopCause::WallTime) => false,
    }
}
