//! The plan itself.
//!
//! Instances are small and hold indices; names, peers and URLs are made when asked for, so a plan
//! of 100,000 instances is a few megabytes.

use std::collections::BTreeMap;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::hostfile::HostEntry;
use crate::ids::{AgentId, Generation, HostName, InstanceName, JobName, Rank};
use crate::spec::{AgentIx, PortSpec};
use crate::topology::Wiring;

/// A host's place in [`Plan::hosts`].
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct HostIx(pub u32);

impl HostIx {
    /// As an index.
    pub fn get(self) -> usize {
        self.0 as usize
    }
}

/// A stage's place in [`Plan::stages`]; stages start in this order.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct StageIx(pub u32);

impl StageIx {
    /// As an index.
    pub fn get(self) -> usize {
        self.0 as usize
    }
}

/// Where a job may run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hosts {
    /// No hosts were given: this machine, under the name to show.
    Local(HostName),
    /// Hosts were given, in this order. This machine is not among them unless it stands there.
    List(Vec<HostEntry>),
}

/// What the command line says about the size and the shape of a job.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PlanOptions {
    /// `-np N`.
    pub np: Option<u32>,
    /// `--scale AGENT=N`, in order; the last of an agent counts.
    pub scale: Vec<(String, u32)>,
    /// `-N`: at most this many instances on each host; counts as a written number of slots.
    pub per_host: Option<u32>,
    /// `--oversubscribe`: written slots don't bind, `max_slots` still do.
    pub oversubscribe: bool,
    /// `--map-by`.
    pub map_by: MapBy,
    /// `--max-per-host`: at most this many on each host; no written number of slots.
    pub max_per_host: Option<u32>,
    /// This machine's name in the list, for `placement: {host: '@head'}`.
    pub head: Option<HostName>,
    /// What is known of hosts, for `resources`; `gpus=` of the hostfile counts where it says more.
    pub amounts: BTreeMap<HostName, Amounts>,
    /// The plan's generation.
    pub generation: Generation,
}

/// `--map-by`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MapBy {
    /// Host after host, slots first.
    #[default]
    Slot,
    /// One on each host in turn.
    Node,
    /// As even as by node, consecutive ranks together.
    Span,
    /// `ppr:N:host`: N on each host, host after host.
    PerHost(u32),
}

/// Why a text is no `--map-by`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no way to map; write slot, node, span or ppr:N:host")]
pub struct MapByError {
    /// What was written.
    pub text: String,
}

impl FromStr for MapBy {
    type Err = MapByError;
    fn from_str(text: &str) -> Result<Self, MapByError> {
        let per_host = || {
            let n = text.strip_prefix("ppr:")?;
            let n = n.strip_suffix(":host").or_else(|| n.strip_suffix(":node"))?;
            n.parse().ok().filter(|n| *n > 0).map(Self::PerHost)
        };
        match text {
            "slot" => Ok(Self::Slot),
            "node" | "host" => Ok(Self::Node),
            "span" => Ok(Self::Span),
            _ => per_host().ok_or_else(|| MapByError { text: text.escape_debug().to_string() }),
        }
    }
}

/// What a host has, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Amounts {
    /// CPUs, in thousandths of one.
    pub cpu_milli: Option<u64>,
    /// Memory.
    pub memory_bytes: Option<u64>,
    /// GPUs.
    pub gpus: Option<u32>,
}

/// Which way a host came into the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HostOrigin {
    /// This machine.
    Local,
    /// It stands in the hosts given.
    Listed,
    /// Only `deployment: {target: remote, host: …}` names it.
    Pinned,
}

/// A host with at least one instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanHost {
    /// What is known of it: name, address, ports, users. What `deployment:` says of SSH is
    /// filled in over the hostfile's.
    pub entry: HostEntry,
    /// Which way it came in.
    pub origin: HostOrigin,
    /// SSH private key of `deployment.ssh_key`.
    pub ssh_key: Option<String>,
    /// How many instances are on it.
    pub instances: u32,
}

impl PlanHost {
    /// Its name.
    pub fn name(&self) -> &HostName {
        &self.entry.name
    }
}

/// An agent's share of the ranks: `first .. first + count`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanAgent {
    /// Its id.
    pub id: AgentId,
    /// The rank of `id[0]`.
    pub first: Rank,
    /// How many copies; at least 1, but 0 of an external one.
    pub count: u32,
    /// The word of `deployment.target`.
    pub target: &'static str,
    /// The URL of a peer that is not launched.
    pub external: Option<String>,
    /// `ports`: those beside the main one.
    pub ports: Vec<(String, PortSpec)>,
}

impl PlanAgent {
    /// Its ranks, in order.
    pub fn ranks(&self) -> impl ExactSizeIterator<Item = Rank> + use<> {
        (self.first.0..self.first.0 + self.count).map(Rank)
    }
}

/// The main port of an instance before the hosts have given any.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PlannedPort {
    /// It has none.
    None,
    /// Its host shall give one.
    Auto,
    /// This one, with the copy's offset added.
    Fixed(u16),
}

/// One instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlanInstance {
    /// Its number in the job; equal to its place in [`Plan::instances`].
    pub rank: Rank,
    /// Its agent.
    pub agent: AgentIx,
    /// Which copy, from 0.
    pub index: u32,
    /// Its host.
    pub host: HostIx,
    /// Its number among the job's instances on the host, from 0.
    pub local_rank: u32,
    /// Which copy of its agent on its host it is, from 0: what is added to fixed ports.
    pub copy: u32,
    /// When it starts.
    pub stage: StageIx,
    /// Its main port.
    pub port: PlannedPort,
}

/// A job, mapped. Immutable; a change makes a new one with a higher generation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The job.
    pub job: JobName,
    /// Its generation.
    pub generation: Generation,
    /// As in the job file.
    pub agents: Vec<PlanAgent>,
    /// Hosts that have instances, in the order of the list, pinned ones behind.
    pub hosts: Vec<PlanHost>,
    /// By rank.
    pub instances: Vec<PlanInstance>,
    /// Ranks per stage, each in rank order; stages in the order of starting.
    pub stages: Vec<Vec<Rank>>,
    /// Edges between agents.
    pub wiring: Wiring,
    /// The job runs on this machine and no hosts were given: 127.0.0.1 everywhere.
    pub loopback: bool,
}

impl Plan {
    /// Number of instances.
    pub fn size(&self) -> u32 {
        u32::try_from(self.instances.len()).unwrap_or(u32::MAX)
    }

    /// The instance of a rank. Ranks come from this plan.
    pub fn instance(&self, rank: Rank) -> &PlanInstance {
        &self.instances[rank.0 as usize]
    }

    /// The instance of a rank that came from outside.
    pub fn get(&self, rank: Rank) -> Option<&PlanInstance> {
        self.instances.get(rank.0 as usize)
    }

    /// The agent of an instance.
    pub fn agent(&self, ix: AgentIx) -> &PlanAgent {
        &self.agents[ix.get()]
    }

    /// The host at an index.
    pub fn host(&self, ix: HostIx) -> &PlanHost {
        &self.hosts[ix.get()]
    }

    /// `agent[index]`.
    pub fn name(&self, rank: Rank) -> InstanceName {
        let instance = self.instance(rank);
        InstanceName { agent: self.agent(instance.agent).id.clone(), index: instance.index }
    }

    /// Every host's index, in order.
    pub fn host_indices(&self) -> impl ExactSizeIterator<Item = HostIx> + use<> {
        (0..u32::try_from(self.hosts.len()).unwrap_or(u32::MAX)).map(HostIx)
    }

    /// The ranks on a host, in order. One scan of all instances: to visit every host, use
    /// [`Plan::by_host`].
    pub fn on_host(&self, host: HostIx) -> impl Iterator<Item = Rank> + '_ {
        self.instances.iter().filter(move |i| i.host == host).map(|i| i.rank)
    }

    /// The ranks of each host, in one pass.
    pub fn by_host(&self) -> Vec<Vec<Rank>> {
        let mut by_host: Vec<Vec<Rank>> =
            self.hosts.iter().map(|h| Vec::with_capacity(h.instances as usize)).collect();
        for instance in &self.instances {
            by_host[instance.host.get()].push(instance.rank);
        }
        by_host
    }

    /// The ranks of a stage on each host that has any, in host order.
    pub fn stage_by_host(&self, stage: StageIx) -> Vec<(HostIx, Vec<Rank>)> {
        let mut by_host: std::collections::BTreeMap<HostIx, Vec<Rank>> = Default::default();
        for rank in self.stages.get(stage.get()).into_iter().flatten() {
            by_host.entry(self.instance(*rank).host).or_default().push(*rank);
        }
        by_host.into_iter().collect()
    }

    /// Whom an instance calls: all instances of the callees but itself, in rank order.
    pub fn peers(&self, rank: Rank) -> impl Iterator<Item = Rank> + '_ {
        self.wiring
            .callees(self.instance(rank).agent)
            .iter()
            .flat_map(|callee| self.agent(*callee).ranks())
            .filter(move |peer| *peer != rank)
    }

    /// The peers of an instance that are not launched, in file order.
    pub fn external_peers(&self, rank: Rank) -> impl Iterator<Item = &PlanAgent> + '_ {
        let callees = self.wiring.callees(self.instance(rank).agent);
        callees.iter().map(|ix| self.agent(*ix)).filter(|agent| agent.external.is_some())
    }

    /// A port beside the main one, by its place in [`PlanAgent::ports`]: the fixed number with
    /// the copy's offset, `None` for `auto`.
    pub fn named_port(&self, rank: Rank, at: usize) -> Option<u16> {
        let instance = self.instance(rank);
        match self.agent(instance.agent).ports.get(at)?.1 {
            PortSpec::None | PortSpec::Auto => None,
            PortSpec::Fixed(base) => u16::try_from(u32::from(base) + instance.copy).ok(),
        }
    }

    /// The number of edges between instances; an external peer counts once.
    pub fn edges(&self) -> u64 {
        let count = |ix: crate::spec::AgentIx| {
            let agent = self.agent(ix);
            u64::from(agent.count) + u64::from(agent.external.is_some())
        };
        self.wiring.edges().map(|e| count(e.from) * (count(e.to) - u64::from(e.from == e.to))).sum()
    }

    /// Whether copies of an agent have different peers: only where they call each other.
    pub fn peers_differ(&self, agent: AgentIx) -> bool {
        self.agent(agent).count > 1 && self.wiring.callees(agent).binary_search(&agent).is_ok()
    }
}
