//! A job as it was checked: every reference is an index, every value is of its type.
//!
//! What is not acted on yet stands here too, and was reported as a warning.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ids::{AgentId, HostName, JobName};
use crate::launch::{Lifecycle, Protocol, ReadinessCheck, StopPolicy};
use crate::source::Span;
use crate::spec::policy::{
    Container, Kubernetes, Limits, LivenessSpec, OnHostLost, OnPeersChange, Placement, Resources,
    RestartSpec, RetryPolicy, Secrets, SshDefaults,
};

/// An agent's place in [`JobSpec::agents`], in file order.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct AgentIx(pub u32);

impl AgentIx {
    /// As an index.
    pub fn get(self) -> usize {
        self.0 as usize
    }
}

/// A whole job.
#[derive(Debug, Clone, PartialEq)]
pub struct JobSpec {
    /// `job.name`, else the stem of the file.
    pub name: JobName,
    /// `job.version`, as written.
    pub version: Option<String>,
    /// `job.description`.
    pub description: Option<String>,
    /// `job.tags`.
    pub tags: Vec<String>,
    /// `agents`, in file order; never empty.
    pub agents: Vec<AgentSpec>,
    /// `topology`.
    pub topology: Topology,
    /// `deployment`.
    pub deployment: DeploymentSpec,
    /// `execution`.
    pub execution: ExecutionSpec,
    /// `environment`, for every agent.
    pub environment: BTreeMap<String, String>,
    /// The secrets among `environment`.
    pub secrets: Secrets,
    /// `env_file`, relative to the job file; later files win.
    pub env_files: Vec<String>,
}

impl JobSpec {
    /// The agent at an index.
    pub fn agent(&self, ix: AgentIx) -> &AgentSpec {
        &self.agents[ix.get()]
    }

    /// The agent of this name.
    pub fn find(&self, id: &str) -> Option<AgentIx> {
        self.indices().find(|ix| self.agent(*ix).id.as_str() == id)
    }

    /// Every index, in file order.
    pub fn indices(&self) -> impl DoubleEndedIterator<Item = AgentIx> + use<> {
        (0..u32::try_from(self.agents.len()).unwrap_or(u32::MAX)).map(AgentIx)
    }
}

/// One entry under `agents:`.
#[derive(Debug, Clone, PartialEq)]
pub struct AgentSpec {
    /// `id`.
    pub id: AgentId,
    /// Where the id stands.
    pub span: Span,
    /// What is run.
    pub run: Run,
    /// `replicas`; `None`: not said.
    pub replicas: Option<Replicas>,
    /// `lifecycle`, with its default filled in.
    pub lifecycle: Lifecycle,
    /// `protocol`.
    pub protocol: Protocol,
    /// `config.port`.
    pub port: PortSpec,
    /// `config`, in file order, with `port` and `host` as written.
    pub config: Vec<(String, serde_json::Value)>,
    /// `ports`, in file order: ports beside the main one.
    pub ports: Vec<(String, PortSpec)>,
    /// `deployment.environment` under `environment`.
    pub environment: BTreeMap<String, String>,
    /// The secrets among them.
    pub secrets: Secrets,
    /// `env_file`, relative to the job file; later files win.
    pub env_files: Vec<String>,
    /// `venv`: a venv or conda prefix, relative to the job file.
    pub venv: Option<String>,
    /// `setup`: bash code that is sourced before exec.
    pub setup: Option<String>,
    /// `workdir`, else `deployment.workdir`; relative to the job file.
    pub workdir: Option<String>,
    /// `python`, else `deployment.python`; `python3` is no explicit path.
    pub python: Option<String>,
    /// `deployment.target`.
    pub target: Target,
    /// `stop`.
    pub stop: StopPolicy,
    /// `readiness`.
    pub readiness: ReadinessSpec,
    /// `depends_on`.
    pub depends_on: Vec<(AgentIx, DependsOn)>,
    /// `placement`.
    pub placement: Placement,
    /// `resources`.
    pub resources: Resources,
    /// `limits`.
    pub limits: Limits,
    /// `liveness`.
    pub liveness: LivenessSpec,
    /// `restart`.
    pub restart: RestartSpec,
    /// `on_host_lost`.
    pub on_host_lost: OnHostLost,
    /// `on_peers_change`.
    pub on_peers_change: OnPeersChange,
}

impl AgentSpec {
    /// A service with every default, that runs this.
    pub fn new(id: AgentId, run: Run) -> Self {
        Self {
            id,
            span: Span::default(),
            run,
            replicas: None,
            lifecycle: Lifecycle::Service,
            protocol: Protocol::Auto,
            port: PortSpec::None,
            config: Vec::new(),
            ports: Vec::new(),
            environment: BTreeMap::new(),
            secrets: Secrets::new(),
            env_files: Vec::new(),
            venv: None,
            setup: None,
            workdir: None,
            python: None,
            target: Target::Localhost,
            stop: StopPolicy::default(),
            readiness: ReadinessSpec::default(),
            depends_on: Vec::new(),
            placement: Placement::default(),
            resources: Resources::default(),
            limits: Limits::default(),
            liveness: LivenessSpec::default(),
            restart: RestartSpec::default(),
            on_host_lost: OnHostLost::default(),
            on_peers_change: OnPeersChange::default(),
        }
    }

    /// The URL of a peer without a lifecycle; `None`: it is launched.
    pub fn external(&self) -> Option<&str> {
        match &self.run {
            Run::External { url } => Some(url),
            Run::Command(_) | Run::Module { .. } | Run::Image => None,
        }
    }
}

/// What an agent runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Run {
    /// argv, never empty, before substitution.
    Command(Vec<String>),
    /// `PYTHON -m MODULE`.
    Module {
        /// `module`.
        module: String,
        /// `type`: names the class, for people.
        class: Option<String>,
    },
    /// A peer without a lifecycle: it has no instances.
    External {
        /// Its URL.
        url: String,
    },
    /// What its container image runs.
    Image,
}

/// `replicas`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Replicas {
    /// A number.
    Fixed(u32),
    /// A share of `-np`, else of the slots that somebody wrote down.
    Auto,
}

/// `config.port`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PortSpec {
    /// It has none.
    None,
    /// Any free one.
    Auto,
    /// The k-th copy on a host (from 0) gets this plus k.
    Fixed(u16),
}

/// `deployment.target`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Where the job is launched: this machine, or any slot of the hosts given.
    Localhost,
    /// Pinned to a host, which need not stand in the hostfile.
    Remote(Remote),
    /// In a container. Not launched yet.
    Container(Container),
    /// In a pod. Not launched yet.
    Kubernetes(Kubernetes),
}

impl Target {
    /// The word in the file.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Localhost => "localhost",
            Self::Remote(_) => "remote",
            Self::Container(_) => "container",
            Self::Kubernetes(_) => "kubernetes",
        }
    }
}

/// How a pinned host is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    /// Its name, as written.
    pub host: HostName,
    /// SSH user.
    pub user: Option<String>,
    /// SSH port.
    pub ssh_port: Option<u16>,
    /// SSH private key.
    pub ssh_key: Option<String>,
}

/// `readiness`, as far as it was said; [`AgentSpec::readiness_of`] resolves it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadinessSpec {
    /// What is looked at; `None`: `auto`, by the rules of DESIGN §6.
    pub check: Option<ReadinessCheck>,
    /// `deadline`; `None`: `deployment.timeout`, else 120 s.
    pub deadline: Option<Duration>,
    /// `timeout`.
    pub timeout: Duration,
    /// `period`; `None`: `deployment.health_check.interval`, else 10 s.
    pub period: Option<Duration>,
}

impl Default for ReadinessSpec {
    fn default() -> Self {
        Self { check: None, deadline: None, timeout: Duration::from_secs(2), period: None }
    }
}

/// What a dependency must have reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DependsOn {
    /// Spawned.
    Started,
    /// Ready.
    Ready,
    /// Ended with success.
    Completed,
}

impl DependsOn {
    /// The word in the file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Ready => "ready",
            Self::Completed => "completed",
        }
    }
}

/// `topology`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Topology {
    /// Absent: nobody knows anybody.
    #[default]
    Absent,
    /// The hub calls every spoke.
    HubSpoke {
        /// `hub`.
        hub: AgentIx,
        /// `spokes`, in file order.
        spokes: Vec<AgentIx>,
    },
    /// Each stage calls the next; agents of one stage are parallel.
    Pipeline {
        /// `stages`.
        stages: Vec<Vec<AgentIx>>,
    },
    /// `connections` without a cycle.
    Dag(Vec<Connection>),
    /// `connections`, cycles allowed.
    Custom(Vec<Connection>),
    /// Everybody calls everybody else.
    Mesh {
        /// `agents`; absent in the file: all.
        agents: Vec<AgentIx>,
    },
    /// Each parent calls its children.
    Hierarchical {
        /// `root`.
        root: AgentIx,
        /// `(parent, child)`.
        links: Vec<Connection>,
    },
    /// One agent, which is the entry point where nothing else says one.
    Single(AgentIx),
    /// Found through the registry.
    Dynamic,
}

impl Topology {
    /// The word in the file.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Absent => "none",
            Self::HubSpoke { .. } => "hub-spoke",
            Self::Pipeline { .. } => "pipeline",
            Self::Dag(_) => "dag",
            Self::Custom(_) => "custom",
            Self::Mesh { .. } => "mesh",
            Self::Hierarchical { .. } => "hierarchical",
            Self::Single(_) => "single",
            Self::Dynamic => "dynamic",
        }
    }
}

/// Caller → callee, between agents; all instances of both are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Connection {
    /// The caller.
    pub from: AgentIx,
    /// The callee.
    pub to: AgentIx,
}

/// `deployment` of the job.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct DeploymentSpec {
    /// `strategy`.
    pub strategy: Strategy,
    /// `timeout`: the default of `readiness.deadline`.
    pub timeout: Option<Duration>,
    /// `health_check`.
    pub health_check: Option<HealthCheck>,
    /// `ssh`.
    pub ssh: Option<SshDefaults>,
    /// `retry_policy`.
    pub retry_policy: Option<RetryPolicy>,
}

impl Strategy {
    /// The word in the file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Staged => "staged",
            Self::Parallel => "parallel",
            Self::Sequential => "sequential",
            Self::TopDown => "top-down",
        }
    }
}

/// In which order stages start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// Callees before callers.
    #[default]
    Staged,
    /// Everything at once.
    Parallel,
    /// One by one in staged order.
    Sequential,
    /// Callers before callees.
    TopDown,
}

/// `deployment.health_check` of the original format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthCheck {
    /// `enabled`.
    pub enabled: bool,
    /// `interval`.
    pub interval: Option<Duration>,
    /// `retries`.
    pub retries: Option<u32>,
    /// `timeout`: the default of `readiness.timeout`.
    pub timeout: Option<Duration>,
}

/// `execution`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ExecutionSpec {
    /// `entry_point`: who is asked.
    pub entry_point: Option<AgentIx>,
    /// `ends_with`: the job ends with this agent.
    pub ends_with: Option<AgentIx>,
    /// `auto_start`.
    pub auto_start: bool,
    /// `input`: what the entry point is asked first.
    pub input: Option<String>,
}
