//! What a head is given.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use a2arun_core::ids::RunId;
use a2arun_core::machine::job::OnFailure;
use a2arun_core::mask::Mask;
use a2arun_core::plan::{BaseEnv, LaunchFacts, Plan, Site};
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
    /// What agents on the head's machine start from.
    pub(crate) environment: BTreeMap<String, String>,
    /// What agents on other hosts start from.
    pub(crate) elsewhere: Elsewhere,
    pub(crate) trace_id: String,
    /// What the entry point is asked once the job is ready; the answer ends the job.
    pub(crate) question: Option<String>,
    /// Its answer goes to stdout; otherwise it is in the result alone.
    pub(crate) prints_answer: bool,
    /// Authorities beside the system's, for external agents.
    pub(crate) ssl_cert_file: Option<PathBuf>,
    /// `user@machine pid N`.
    pub(crate) head: String,
    pub(crate) started: Timestamp,
    /// A plain program: nothing is said unless it goes wrong.
    pub(crate) program: bool,
}

/// What agents on other hosts start from.
#[derive(Debug)]
pub(crate) enum Elsewhere {
    /// What their host has of its own: PATH, HOME, …
    Host,
    /// The same, with these of the head's over them.
    HostAnd(BTreeMap<String, String>),
    /// As on the head's machine.
    Head,
}

impl Elsewhere {
    /// Whether a variable of the head's gets to other hosts.
    pub(crate) fn has(&self, name: &str) -> bool {
        match self {
            Self::Host => false,
            Self::HostAnd(these) => these.contains_key(name),
            Self::Head => true,
        }
    }

    /// What agents start from; `here`: on the head's machine, with `environment`.
    pub(crate) fn base<'a>(
        &'a self,
        here: bool,
        environment: &'a BTreeMap<String, String>,
    ) -> BaseEnv<'a> {
        match (here, self) {
            (true, _) | (false, Self::Head) => BaseEnv::Head(environment),
            (false, Self::Host) => BaseEnv::Host,
            (false, Self::HostAnd(these)) => BaseEnv::HostAnd(these),
        }
    }
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
