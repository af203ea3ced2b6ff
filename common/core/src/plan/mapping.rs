//! Ranks to hosts: deterministic, in file order.
//!
//! Slots bind only where somebody wrote them. Where anybody did, slots are filled in the order of
//! the list, host after host, as mpirun does by default, and what is left goes evenly to the hosts
//! without a number. Where nobody did, instances are spread evenly over all hosts. Pinned agents
//! go to their host, which need not be in the list, and use its slots first.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use crate::hostfile::HostEntry;
use crate::ids::{HostName, Rank};
use crate::plan::error::PlanError;
use crate::plan::model::{
    HostIx, HostOrigin, Hosts, Plan, PlanAgent, PlanHost, PlanInstance, PlanOptions, PlannedPort,
    StageIx,
};
use crate::plan::{ports, replicas};
use crate::spec::{AgentIx, JobSpec, Remote, Strategy, Target};
use crate::topology::{Wiring, levels};

/// Plans a job. Equal input gives an equal plan.
pub fn plan(spec: &JobSpec, hosts: &Hosts, options: &PlanOptions) -> Result<Plan, PlanError> {
    let mut pool = Pool::new(hosts, options)?;
    let counts = replicas::counts(spec, options, pool.slots_written())?;
    let wiring = Wiring::of(spec);
    let levels = levels(spec, &wiring)?;

    let pinned = pool.pin(spec, &counts);
    let mut agents = Vec::with_capacity(spec.agents.len());
    let mut instances = Vec::new();
    let mut wanting = Wanting::default();
    for (ix, count) in spec.indices().zip(&counts) {
        let agent = spec.agent(ix);
        let first = Rank(u32::try_from(instances.len()).unwrap_or(u32::MAX));
        let target = match agent.target {
            Target::Localhost => "localhost",
            Target::Remote(_) => "remote",
        };
        agents.push(PlanAgent { id: agent.id.clone(), first, count: *count, target });
        for index in 0..*count {
            let host = pinned[ix.get()].or_else(|| pool.take()).unwrap_or_else(|| {
                wanting.missing += 1;
                HostIx(0)
            });
            instances.push(PlanInstance {
                rank: Rank(first.0 + index),
                agent: ix,
                index,
                host,
                local_rank: 0,
                stage: StageIx(0),
                port: PlannedPort::None,
            });
        }
    }
    wanting.missing += pool.over_pinned();
    if wanting.missing > 0 {
        return Err(pool.refuse(spec, &counts, wanting.missing));
    }

    let loopback = pool.is_loopback(&instances);
    let hosts = pool.into_hosts(&mut instances);
    let stages = stages(spec, &levels, &agents, &mut instances);
    let (job, generation) = (spec.name.clone(), options.generation);
    let mut plan = Plan { job, generation, agents, hosts, instances, stages, wiring, loopback };
    ports::assign(spec, &mut plan)?;
    Ok(plan)
}

#[derive(Default)]
struct Wanting {
    missing: u64,
}

/// One host while ranks are dealt.
struct Seat {
    host: PlanHost,
    /// How many it takes; `None`: any number.
    capacity: Option<u32>,
    /// How many it has; what is pinned is counted from the start.
    used: u32,
    /// How many of them are pinned.
    pinned: u32,
}

impl Seat {
    fn has_room(&self) -> bool {
        self.capacity.is_none_or(|c| self.used < c)
    }
}

/// The hosts while ranks are dealt.
struct Pool<'a> {
    hosts: &'a Hosts,
    options: &'a PlanOptions,
    seats: Vec<Seat>,
    /// How many of the seats take agents that are not pinned: the first ones.
    open: usize,
    /// The first open seat with a number that may still have room.
    next: usize,
    /// Open seats without a number, fewest instances first; filled when first asked for.
    bare: Option<BinaryHeap<Reverse<(u32, usize)>>>,
}

impl<'a> Pool<'a> {
    fn new(hosts: &'a Hosts, options: &'a PlanOptions) -> Result<Self, PlanError> {
        if options.per_host == Some(0) {
            return Err(PlanError::Zero { what: "-N" });
        }
        let seat = |entry: HostEntry, origin| {
            let capacity = capacity(&entry, options);
            let host = PlanHost { entry, origin, ssh_key: None, instances: 0 };
            Seat { host, capacity, used: 0, pinned: 0 }
        };
        let seats: Vec<Seat> = match hosts {
            Hosts::Local(name) => {
                vec![seat(HostEntry::bare(name.clone()), HostOrigin::Local)]
            }
            Hosts::List(list) if list.is_empty() => return Err(PlanError::NoHosts),
            Hosts::List(list) => list.iter().map(|e| seat(e.clone(), HostOrigin::Listed)).collect(),
        };
        let open = seats.len();
        Ok(Self { hosts, options, seats, open, next: 0, bare: None })
    }

    /// What somebody wrote down, in all; `None`: nobody did.
    fn slots_written(&self) -> Option<u64> {
        let written = self.seats.iter().filter_map(|s| {
            let entry = &s.host.entry;
            let slots = entry.slots.or(entry.max_slots);
            match (slots, self.options.per_host) {
                (Some(slots), Some(n)) => Some(slots.min(n)),
                (slots, n) => slots.or(n),
            }
        });
        written.map(u64::from).reduce(|a, b| a + b)
    }

    /// Seats the pinned agents; gives the host of each agent that is.
    fn pin(&mut self, spec: &JobSpec, counts: &[u32]) -> Vec<Option<HostIx>> {
        let mut by_name: HashMap<HostName, usize> = HashMap::new();
        for (at, seat) in self.seats.iter().enumerate() {
            by_name.entry(seat.host.name().clone()).or_insert(at);
        }
        let mut pinned = Vec::with_capacity(counts.len());
        for (agent, count) in spec.agents.iter().zip(counts) {
            let Target::Remote(remote) = &agent.target else {
                pinned.push(None);
                continue;
            };
            let at = *by_name.entry(remote.host.clone()).or_insert_with(|| {
                let entry = HostEntry { span: agent.span, ..HostEntry::bare(remote.host.clone()) };
                let host =
                    PlanHost { entry, origin: HostOrigin::Pinned, ssh_key: None, instances: 0 };
                self.seats.push(Seat { host, capacity: None, used: 0, pinned: 0 });
                self.seats.len() - 1
            });
            let seat = &mut self.seats[at];
            seat.pinned += count;
            seat.used += count;
            overlay(&mut seat.host, remote);
            pinned.push(Some(HostIx(u32::try_from(at).unwrap_or(u32::MAX))));
        }
        pinned
    }

    /// The next seat for an instance that is not pinned.
    fn take(&mut self) -> Option<HostIx> {
        while self.next < self.open {
            let seat = &self.seats[self.next];
            if seat.capacity.is_some() && seat.has_room() {
                return Some(self.sit(self.next));
            }
            self.next += 1;
        }
        let (seats, open) = (&self.seats, self.open);
        let bare = self.bare.get_or_insert_with(|| {
            let bare = seats[..open].iter().enumerate().filter(|(_, s)| s.capacity.is_none());
            bare.map(|(at, seat)| Reverse((seat.used, at))).collect()
        });
        let Reverse((used, at)) = bare.pop()?;
        bare.push(Reverse((used + 1, at)));
        Some(self.sit(at))
    }

    fn sit(&mut self, at: usize) -> HostIx {
        self.seats[at].used += 1;
        HostIx(u32::try_from(at).unwrap_or(u32::MAX))
    }

    /// How many pinned instances are above their host's written slots.
    fn over_pinned(&self) -> u64 {
        let over = |s: &Seat| s.capacity.map_or(0, |c| s.pinned.saturating_sub(c));
        self.seats.iter().map(|s| u64::from(over(s))).sum()
    }

    fn refuse(&self, spec: &JobSpec, counts: &[u32], missing: u64) -> PlanError {
        let counted = self.seats.iter().filter(|s| s.capacity.is_some());
        PlanError::Capacity {
            demanded: counts.iter().map(|c| u64::from(*c)).sum(),
            missing,
            hosts: counted
                .map(|s| (s.host.name().clone(), u64::from(s.capacity.unwrap_or(0)), s.pinned))
                .collect(),
            by_agent: spec
                .agents
                .iter()
                .zip(counts)
                .map(|(agent, count)| (agent.id.to_string(), *count))
                .collect(),
            per_host: self.options.per_host,
            oversubscribed: self.options.oversubscribe,
        }
    }

    fn is_loopback(&self, instances: &[PlanInstance]) -> bool {
        match self.hosts {
            Hosts::Local(_) => instances.iter().all(|i| i.host == HostIx(0)),
            Hosts::List(_) => false,
        }
    }

    /// Drops the hosts that got nothing, renumbers the rest, and numbers ranks on each.
    fn into_hosts(self, instances: &mut [PlanInstance]) -> Vec<PlanHost> {
        let mut kept = Vec::new();
        let mut moved = vec![HostIx(0); self.seats.len()];
        for (at, seat) in self.seats.into_iter().enumerate() {
            if seat.used > 0 {
                moved[at] = HostIx(u32::try_from(kept.len()).unwrap_or(u32::MAX));
                kept.push(seat.host);
            }
        }
        for instance in instances {
            instance.host = moved[instance.host.get()];
            let host = &mut kept[instance.host.get()];
            instance.local_rank = host.instances;
            host.instances += 1;
        }
        kept
    }
}

fn capacity(entry: &HostEntry, options: &PlanOptions) -> Option<u32> {
    let written =
        if options.oversubscribe { entry.max_slots } else { entry.slots.or(entry.max_slots) };
    match (written, options.per_host) {
        (Some(slots), Some(n)) => Some(slots.min(n)),
        (slots, n) => slots.or(n),
    }
}

/// What `deployment:` says of SSH counts over the hostfile.
fn overlay(host: &mut PlanHost, remote: &Remote) {
    let entry = &mut host.entry;
    entry.user = remote.user.clone().or(entry.user.take());
    entry.ssh_port = remote.ssh_port.or(entry.ssh_port);
    host.ssh_key = remote.ssh_key.clone().or(host.ssh_key.take());
}

fn stages(
    spec: &JobSpec,
    levels: &[Vec<AgentIx>],
    agents: &[PlanAgent],
    instances: &mut [PlanInstance],
) -> Vec<Vec<Rank>> {
    let level_ranks = |level: &Vec<AgentIx>| -> Vec<Rank> {
        level.iter().flat_map(|ix| agents[ix.get()].ranks()).collect()
    };
    let stages: Vec<Vec<Rank>> = match spec.deployment.strategy {
        Strategy::Staged | Strategy::Parallel | Strategy::TopDown => {
            levels.iter().map(level_ranks).collect()
        }
        Strategy::Sequential => {
            levels.iter().flat_map(level_ranks).map(|rank| vec![rank]).collect()
        }
    };
    for (stage, ranks) in stages.iter().enumerate() {
        for rank in ranks {
            instances[rank.0 as usize].stage = StageIx(u32::try_from(stage).unwrap_or(u32::MAX));
        }
    }
    stages
}

#[cfg(test)]
#[path = "mapping_tests.rs"]
mod tests;
