//! What a job file says of an agent beyond what it runs: where, with how much, how it is watched,
//! restarted and told of its peers. Values are of their type; names are indices.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ids::HostName;
use crate::launch::{ReadinessCheck, SignalNumber};
use crate::spec::model::AgentIx;

/// Where a secret comes from. The value itself is never part of a job.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SecretSource {
    /// A variable of the head's environment or of `.env`.
    Env(String),
    /// The text of a file, without its last newline; relative to the job file.
    File(String),
    /// What a command prints, without its last newline. Run by the head, no shell.
    Cmd(Vec<String>),
}

/// Variables whose values are secrets.
pub type Secrets = BTreeMap<String, SecretSource>;

/// `placement.host`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PlaceHost {
    /// `@head`: the machine that launches.
    Head,
    /// A host of the list, by name.
    Named(HostName),
}

/// `placement.spread`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Spread {
    /// Copies go to the allowed hosts in turn, evenly.
    Host,
}

/// `placement`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Placement {
    /// `host`.
    pub host: Option<PlaceHost>,
    /// `labels`: the host has all of them (its `labels=` and `groups=`).
    pub labels: Vec<String>,
    /// `spread`.
    pub spread: Option<Spread>,
    /// `with`: on a host that has an instance of each of these.
    pub with: Vec<AgentIx>,
    /// `apart`: on a host that has no instance of any of these; itself: one copy per host.
    pub apart: Vec<AgentIx>,
}

impl Placement {
    /// Whether it asks for nothing.
    pub fn is_free(&self) -> bool {
        *self == Self::default()
    }
}

/// `resources`: a request, for placing where the host's amount is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Resources {
    /// `cpu`, in thousandths of one.
    pub cpu_milli: Option<u64>,
    /// `memory`, in bytes.
    pub memory_bytes: Option<u64>,
    /// `gpu`.
    pub gpus: Option<u32>,
}

/// `limits`: to be enforced; `None`: no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Limits {
    /// `memory`, in bytes.
    pub memory_bytes: Option<u64>,
    /// `cpu`, in thousandths of one.
    pub cpu_milli: Option<u64>,
    /// `pids`.
    pub pids: Option<u32>,
    /// `nofile`.
    pub nofile: Option<u32>,
}

/// `liveness`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LivenessSpec {
    /// What is looked at; `None`: nothing, the default.
    pub check: Option<ReadinessCheck>,
    /// `interval`.
    pub interval: Duration,
    /// `timeout`: the limit of one look.
    pub timeout: Duration,
    /// `failures`: this many in a row are a verdict.
    pub failures: u32,
}

impl Default for LivenessSpec {
    fn default() -> Self {
        Self {
            check: None,
            interval: Duration::from_secs(10),
            timeout: Duration::from_secs(2),
            failures: 3,
        }
    }
}

/// `restart.policy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RestartWhen {
    /// Its end is its end.
    Never,
    /// After every end that was no success.
    OnFailure,
    /// After every end that was not asked for.
    Always,
}

/// `restart.on_exhausted`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnExhausted {
    /// The failure is final: the job ends with it.
    FailJob,
    /// The agent stays down; the others go on.
    Leave,
}

/// `restart`, with the defaults of DESIGN §4.
#[derive(Debug, Clone, PartialEq)]
pub struct RestartSpec {
    /// `policy`; `None`: by kind of job and lifecycle (DESIGN §4, "End").
    pub when: Option<RestartWhen>,
    /// `delay` before the first restart.
    pub delay: Duration,
    /// `factor` between one delay and the next, at least 1.
    pub factor: f64,
    /// `max_delay`.
    pub max_delay: Duration,
    /// `max` restarts within `window`.
    pub max: u32,
    /// `window`.
    pub window: Duration,
    /// `on_exhausted`.
    pub on_exhausted: OnExhausted,
}

impl Default for RestartSpec {
    fn default() -> Self {
        Self {
            when: None,
            delay: Duration::from_secs(1),
            factor: 2.0,
            max_delay: Duration::from_secs(60),
            max: 5,
            window: Duration::from_secs(600),
            on_exhausted: OnExhausted::FailJob,
        }
    }
}

/// `on_host_lost`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnHostLost {
    /// Wait for it to come back.
    #[default]
    Wait,
    /// End the job.
    FailJob,
    /// Start it on another host once the lease has run out.
    Reschedule,
}

/// `on_peers_change`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnPeersChange {
    /// Only the peers file is replaced.
    #[default]
    File,
    /// And this signal is sent.
    Signal(SignalNumber),
    /// And this path of the agent gets a POST.
    Http(String),
    /// And the agent is restarted.
    Restart,
}

/// `deployment: {target: container}`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Container {
    /// `image`; `None`: that of a container called `name`, which is there already.
    pub image: Option<String>,
    /// `network`.
    pub network: Option<String>,
    /// `container_name`.
    pub name: Option<String>,
    /// `host`: where; `None`: as `localhost`.
    pub host: Option<HostName>,
}

/// `deployment: {target: kubernetes}`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Kubernetes {
    /// `image`; `None`: to be made of what the agent runs.
    pub image: Option<String>,
    /// `namespace`; `None`: that of the context.
    pub namespace: Option<String>,
    /// `service_type`.
    pub service_type: Option<String>,
}

/// `deployment.ssh` of the original format.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SshDefaults {
    /// `key_file`.
    pub key_file: Option<String>,
    /// `timeout`.
    pub timeout: Option<Duration>,
    /// `user`.
    pub user: Option<String>,
    /// `port`.
    pub port: Option<u16>,
}

/// `deployment.retry_policy` of the original format.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RetryPolicy {
    /// `max_retries`.
    pub max_retries: Option<u32>,
    /// `delay` or `initial_delay`.
    pub delay: Option<Duration>,
    /// `backoff`.
    pub backoff: Option<Backoff>,
}

/// How a delay grows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Backoff {
    /// Each is so many times the one before: `exponential` is 2, `fixed` 1.
    Factor(f64),
    /// Each is longer by the first one.
    Linear,
}
