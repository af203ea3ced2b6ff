//! What noded, spawner and step say to each other over `SOCK_SEQPACKET`: small JSON messages with
//! descriptors beside them. All three may be of different versions after an upgrade, so fields
//! are only ever added, and unknown ones are ignored.

use std::collections::BTreeMap;
use std::path::PathBuf;

use a2arun_core::ids::{Generation, Incarnation, Rank, RequestId, RunId};
use a2arun_core::launch::{InstanceLaunch, RunIdentity, Template};
use a2arun_core::outcome::{ExitRecord, StopCause, WaitStatus};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::os::limits::Nofile;

/// Which instance: everything else about it is in its folder.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct InstanceKey {
    /// The run.
    pub run: RunId,
    /// The rank in it.
    pub rank: Rank,
}

/// From a step to noded.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepMessage {
    /// The first message on a connection that the step made; descriptors: see [`Hello`].
    Hello(Hello),
    /// The agent's process exists and is written down. Descriptors: its pidfd, and from a step
    /// that took it over the reading ends of its output.
    Spawned(Spawned),
    /// exec succeeded.
    Running,
    /// It is being stopped.
    Stopping(StopCause),
    /// Over; the record is on disk unless the disk is full.
    Exited(ExitRecord),
    /// The first byte of a stream is on disk.
    FirstOutput {
        /// Of standard error; else of standard output.
        stderr: bool,
    },
    /// Output is being dropped: the reason.
    DiskFull(String),
}

/// A step that noded did not start, or an earlier noded did. Descriptors: the agent's pidfd, the
/// reading ends of its output, and the writing end of its input where it is kept open.
#[derive(Debug, Serialize, Deserialize)]
pub struct Hello {
    /// Whose step.
    pub key: InstanceKey,
    /// Its pid.
    pub step_pid: i32,
    /// The agent.
    pub spawned: Spawned,
    /// When it became ready.
    pub ready: Option<Timestamp>,
    /// Whether it is being stopped.
    pub stopping: Option<StopCause>,
    /// Whether the fourth descriptor is there.
    pub stdin: bool,
}

/// An agent's process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spawned {
    /// Its pid.
    pub pid: i32,
    /// What tells it from a later process with this pid.
    pub start_ticks: u64,
    /// Which spawn of the rank it is.
    pub incarnation: Incarnation,
    /// When.
    pub at: Timestamp,
    /// Taken over from a step that died.
    pub adopted: bool,
}

/// From noded to a step.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepCommand {
    /// Answers `Hello`. Descriptor: the event counter that tells of new output.
    Welcome,
    /// Descriptors: the sockets that reserve its agent's ports, closed by the agent's exec. They come
    /// this way because what the spawner holds is inherited for a moment by every step it forks.
    Ports,
    /// Its probe passed.
    Ready,
    /// Stop the agent.
    Stop {
        /// Who asked.
        cause: StopCause,
        /// Milliseconds to SIGKILL; `None`: the template's.
        grace_ms: Option<u64>,
    },
    /// The head's standard input is at its end.
    CloseStdin,
}

/// From noded to the spawner.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SpawnerCommand {
    /// The first message. Descriptor: the event counter that tells of new output.
    Hello {
        /// How to start noded again should it die; `None`: somebody else does.
        restart: Option<Restart>,
    },
    /// Start steps. Descriptors: a memfd with [`Work`], then each item's own.
    Spawn,
    /// Descriptors to keep for an instance whose step another spawner started: the reading ends
    /// of its output.
    Guard(InstanceKey),
    /// The instance is over: nothing needs to be kept for it.
    Forget(InstanceKey),
    /// noded ends on purpose: do not start it again, end when no step is left.
    Bye,
}

/// A command line.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Restart {
    /// The program.
    pub exe: PathBuf,
    /// Its arguments, without the program.
    pub args: Vec<String>,
}

/// From the spawner to noded.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SpawnerMessage {
    /// Answers `Hello`.
    Welcome {
        /// The spawner.
        pid: i32,
    },
    /// Part of the answer to `Hello`: steps that ended without having finished while no noded
    /// was there.
    Abandoned(Vec<InstanceKey>),
    /// Steps that run now.
    Started(Vec<(InstanceKey, i32)>),
    /// A step that could not be forked.
    NotStarted {
        /// Whose.
        key: InstanceKey,
        /// Why.
        error: String,
    },
    /// A step ended without having finished: another is needed.
    StepDied {
        /// Whose.
        key: InstanceKey,
        /// Its pid.
        pid: i32,
    },
}

/// From the spawner to a step that took an agent over: how the agent ended.
#[derive(Debug, Serialize, Deserialize)]
pub struct Verdict {
    /// What wait(2) said.
    pub status: WaitStatus,
}

/// The content of a spawn request.
#[derive(Debug, Serialize, Deserialize)]
pub struct Work {
    /// The run.
    pub run: RunIdentity,
    /// Where its instances' folders are.
    pub run_dir: PathBuf,
    /// The plan's generation.
    pub generation: Generation,
    /// The request's id.
    pub request: RequestId,
    /// The limit of descriptors that agents get back.
    pub nofile: Option<Nofile>,
    /// Where steps find noded again.
    pub steps_socket: PathBuf,
    /// The kernel's id of this boot.
    pub boot_id: String,
    /// What instances share. Variables of the host are already in.
    pub templates: Vec<Template>,
    /// Whom to start.
    pub items: Vec<WorkItem>,
}

/// One step to be started.
#[derive(Debug, Serialize, Deserialize)]
pub struct WorkItem {
    /// What to spawn, or `None` to only take over what the folder's record names.
    pub launch: Option<InstanceLaunch>,
    /// The rank.
    pub rank: Rank,
    /// Which descriptors belong to it, in the order of [`FdRole`].
    pub fds: Vec<FdRole>,
}

/// What a descriptor of a work item is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FdRole {
    /// The step's connection to noded.
    Control,
    /// Reading end of standard output.
    OutReader,
    /// Writing end of standard output.
    OutWriter,
    /// Reading end of standard error.
    ErrReader,
    /// Writing end of standard error.
    ErrWriter,
    /// Reading end of standard input.
    InReader,
    /// Writing end of standard input.
    InWriter,
}

/// Environment as the agent gets it: the template's, then the instance's, then ours.
pub fn environment(
    template: &Template,
    launch: &InstanceLaunch,
    ours: &[(&str, String)],
) -> BTreeMap<String, String> {
    let mut env = template.env.clone();
    env.extend(launch.env.clone());
    env.extend(ours.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
    env
}
