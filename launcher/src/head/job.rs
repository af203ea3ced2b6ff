//! What a head is given.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use a2arun_core::ids::RunId;
use a2arun_core::machine::job::OnFailure;
use a2arun_core::mask::Mask;
use a2arun_core::plan::{LaunchFacts, Plan, Site};
use a2arun_core::spec::{AgentIx, JobSpec};
use a2arun_core::status::StatusJson;
use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot};

use crate::output::{Activity, Files, LogFormat, Sinks, Talk};
use crate::registry::Journal;
use crate::target::Target;

/// A planned job and what the command line adds to it.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) spec: JobSpec,
    pub(crate) plan: Arc<Plan>,
    pub(crate) run: RunId,
    /// By host index.
    pub(crate) targets: Vec<Target>,
    /// By agent index.
    pub(crate) sites: Vec<Site>,
    pub(crate) on_failure: OnFailure,
    pub(crate) timeout: Option<Duration>,
    /// Where `auto` ports come from, unless a host says otherwise.
    pub(crate) ports: (u16, u16),
    pub(crate) exports: Vec<(String, String)>,
    pub(crate) stdin: Option<AgentIx>,
    /// Files of variables and secrets, read.
    pub(crate) facts: LaunchFacts,
    /// Values that nobody may read in what is shown.
    pub(crate) mask: Mask,
    /// The head's environment, for agents on its machine.
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) trace_id: String,
    /// `user@machine pid N`.
    pub(crate) head: String,
    pub(crate) started: Timestamp,
    /// A plain program: nothing is said unless it goes wrong.
    pub(crate) program: bool,
}

/// What a head talks to.
#[derive(Debug)]
pub(crate) struct Io {
    pub(crate) sinks: Sinks,
    pub(crate) talk: Talk,
    pub(crate) format: LogFormat,
    pub(crate) files: Option<Files>,
    pub(crate) activity: Arc<Activity>,
    /// What happens is written down there.
    pub(crate) journal: Journal,
    pub(crate) asks: mpsc::Receiver<Ask>,
}

/// What another shell wants of a head.
#[derive(Debug)]
pub(crate) enum Ask {
    /// The run as it is.
    Status(oneshot::Sender<StatusJson>),
    /// An orderly stop, however often it comes; `now`: without any grace.
    Stop { now: bool, done: oneshot::Sender<()> },
}
