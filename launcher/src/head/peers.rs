//! What hosts are told of the peers of their instances: everything before the first launch and
//! after each break, then what changes.

use std::collections::BTreeSet;
use std::time::Duration;

use a2arun_core::ids::Rank;
use a2arun_core::peers::{Peer, PeersUpdate};
use a2arun_core::plan::HostIx;
use a2arun_core::spec::AgentIx;
use a2arun_core::status::InstanceState;
use tokio::time::Instant;

use crate::head::actor::Head;
use crate::head::edges::external_key;
use crate::head::instances::News;
use crate::session::Command;

/// Changes are gathered for so long: agents of a stage become ready together.
const GATHER: Duration = Duration::from_millis(50);

/// What hosts have not been told yet.
#[derive(Debug, Default)]
pub(super) struct Peers {
    generation: u64,
    changed: BTreeSet<Rank>,
    due: Option<Instant>,
}

impl Peers {
    pub(super) fn wake_at(&self) -> Option<Instant> {
        self.due
    }
}

impl Head {
    /// Everything about the peers of a host's instances.
    pub(super) fn send_peers(&mut self, host: HostIx) {
        if self.job.program || self.resolved.is_none() {
            return;
        }
        let plan = self.job.plan.clone();
        let members: Vec<(Rank, Option<u32>)> = self
            .instances
            .on_host(host)
            .iter()
            .map(|rank| {
                let agent = plan.instance(*rank).agent;
                let calls = !plan.wiring.callees(agent).is_empty();
                (*rank, calls.then_some(agent.0))
            })
            .collect();
        let callers: BTreeSet<AgentIx> =
            members.iter().filter_map(|(_, group)| group.map(AgentIx)).collect();
        let mut callees = BTreeSet::new();
        let mut groups = Vec::new();
        for caller in callers {
            let mut keys = Vec::new();
            for callee in plan.wiring.callees(caller) {
                callees.insert(*callee);
                match plan.agent(*callee).external {
                    Some(_) => keys.push(external_key(&plan, *callee)),
                    None => keys.extend(plan.agent(*callee).ranks().map(|r| r.0)),
                }
            }
            groups.push((caller.0, keys));
        }
        let peers = callees.into_iter().flat_map(|agent| self.peers_of(agent)).collect();
        let generation = self.peers.generation;
        let update = PeersUpdate { generation, reset: true, more: false, peers, groups, members };
        if let Some(entry) = self.hosts.get(host) {
            entry.send(Command::Peers(update));
        }
    }

    fn peers_of(&self, agent: AgentIx) -> Vec<Peer> {
        let planned = self.job.plan.agent(agent);
        let id = planned.id.to_string();
        if let Some(url) = &planned.external {
            let key = external_key(&self.job.plan, agent);
            let url = Some(url.clone());
            return vec![Peer { key, name: id.clone(), agent: id, url, ready: true }];
        }
        planned.ranks().map(|rank| self.peer(rank)).collect()
    }

    fn peer(&self, rank: Rank) -> Peer {
        let plan = &self.job.plan;
        let shown = self.instances.get(rank).map(|i| i.mirror.shown());
        Peer {
            key: rank.0,
            name: plan.name(rank).to_string(),
            agent: plan.agent(plan.instance(rank).agent).id.to_string(),
            url: self.resolved.as_ref().and_then(|r| r.url(rank)),
            ready: shown == Some(InstanceState::Ready),
        }
    }

    /// Something happened to an instance that its callers want to know.
    pub(super) fn note_peer(&mut self, rank: Rank, news: &News) {
        match news {
            News::Ready { .. } | News::Unready(_) | News::Stopping | News::Exited(_) => {
                self.peer_changed(rank);
            }
            News::Spawned { .. } | News::Backoff => {}
        }
    }

    pub(super) fn peer_changed(&mut self, rank: Rank) {
        let agent = self.job.plan.instance(rank).agent;
        if !self.job.program && self.called.contains(&agent) {
            self.peers.changed.insert(rank);
            self.peers.due.get_or_insert_with(|| Instant::now() + GATHER);
        }
    }

    /// Tells the changes whose time has come; [`When::Now`]: all of them, for who starts now.
    pub(super) fn tell_peers(&mut self, when: When) {
        let due = match when {
            When::Due => self.peers.due.is_some_and(|at| Instant::now() >= at),
            When::Now => self.peers.due.is_some(),
        };
        if !due {
            return;
        }
        self.peers.due = None;
        self.peers.generation += 1;
        let changed = std::mem::take(&mut self.peers.changed);
        let plan = self.job.plan.clone();
        for host in plan.host_indices() {
            let callers: BTreeSet<AgentIx> =
                self.instances.on_host(host).iter().map(|r| plan.instance(*r).agent).collect();
            let callees: BTreeSet<AgentIx> =
                callers.iter().flat_map(|a| plan.wiring.callees(*a)).copied().collect();
            let concerns = |rank: &&Rank| callees.contains(&plan.instance(**rank).agent);
            let peers: Vec<Peer> =
                changed.iter().filter(concerns).map(|rank| self.peer(*rank)).collect();
            if peers.is_empty() {
                continue;
            }
            let update =
                PeersUpdate { generation: self.peers.generation, peers, ..PeersUpdate::default() };
            if let Some(entry) = self.hosts.get(host) {
                // One that is away hears everything when it is back.
                entry.send(Command::Peers(update));
            }
        }
    }
}

/// Which changes are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    /// Those that were gathered long enough.
    Due,
    /// All: somebody starts who is to read them.
    Now,
}
