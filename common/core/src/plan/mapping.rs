//! Ranks to hosts: deterministic, in file order.
//!
//! Slots bind only where somebody wrote them. Where anybody did, slots are filled in the order of
//! the list, host after host, as mpirun does by default, and what is left goes evenly to the hosts
//! without a number. Where nobody did, instances are spread evenly over all hosts. Pinned agents
//! go to their host, which need not be in the list, and use its slots first. Agents with a
//! placement are seated in their turn among the hosts that it allows; one that wants to be with
//! another is seated behind it. Ranks stay in file order whatever the order of seating.

use crate::ids::Rank;
use crate::plan::error::PlanError;
use crate::plan::model::{
    HostIx, Hosts, Plan, PlanAgent, PlanInstance, PlanOptions, PlannedPort, StageIx,
};
use crate::plan::placing::Rules;
use crate::plan::pool::Pool;
use crate::plan::{ports, replicas};
use crate::spec::{AgentIx, JobSpec, Strategy};
use crate::topology::{Wiring, levels};

/// Plans a job. Equal input gives an equal plan.
pub fn plan(spec: &JobSpec, hosts: &Hosts, options: &PlanOptions) -> Result<Plan, PlanError> {
    let mut pool = Pool::new(hosts, options)?;
    let counts = replicas::counts(spec, options, pool.slots_written())?;
    let wiring = Wiring::of(spec);
    let levels = levels(spec, &wiring)?;
    let seated = seat(spec, &counts, &mut pool)?;

    let mut agents = Vec::with_capacity(spec.agents.len());
    let mut instances = Vec::with_capacity(seated.iter().map(Vec::len).sum());
    for (ix, seats) in spec.indices().zip(&seated) {
        let agent = spec.agent(ix);
        let first = Rank(u32::try_from(instances.len()).unwrap_or(u32::MAX));
        agents.push(PlanAgent {
            id: agent.id.clone(),
            first,
            count: counts[ix.get()],
            target: agent.target.kind(),
            external: agent.external().map(str::to_owned),
            ports: agent.ports.clone(),
        });
        for (index, host) in (0_u32..).zip(seats) {
            instances.push(PlanInstance {
                rank: Rank(first.0 + index),
                agent: ix,
                index,
                host: *host,
                local_rank: 0,
                copy: 0,
                stage: StageIx(0),
                port: PlannedPort::None,
            });
        }
    }

    let loopback = pool.is_loopback(&instances);
    let hosts = pool.into_hosts(&mut instances);
    number_copies(&mut instances);
    let stages = stages(spec, &levels, &agents, &mut instances);
    let (job, generation) = (spec.name.clone(), options.generation);
    let mut plan = Plan { job, generation, agents, hosts, instances, stages, wiring, loopback };
    ports::assign(spec, &mut plan)?;
    Ok(plan)
}

/// The seat of every instance, per agent in file order.
fn seat(
    spec: &JobSpec,
    counts: &[u32],
    pool: &mut Pool<'_>,
) -> Result<Vec<Vec<HostIx>>, PlanError> {
    let pinned = pool.pin(spec, counts);
    let mut rules = Rules::new(spec, pool);
    let free: u64 = spec
        .indices()
        .filter(|ix| pinned[ix.get()].is_none() && !rules.binds(*ix))
        .map(|ix| u64::from(counts[ix.get()]))
        .sum();
    let mut seated: Vec<Vec<HostIx>> = vec![Vec::new(); counts.len()];
    // Pinned ones first: whoever may choose has to know where they sit.
    for (ix, host) in spec.indices().zip(&pinned) {
        if let Some(host) = host {
            seated[ix.get()] = vec![*host; counts[ix.get()] as usize];
            rules.note(ix, &seated[ix.get()]);
        }
    }
    let mut missing = 0;
    for ix in rules.order(spec).into_iter().filter(|ix| pinned[ix.get()].is_none()) {
        let count = counts[ix.get()];
        let seats = if rules.binds(ix) {
            rules.seat(spec, ix, count, pool)?
        } else {
            let mut next = || {
                pool.take(free).unwrap_or_else(|| {
                    missing += 1;
                    HostIx(0)
                })
            };
            (0..count).map(|_| next()).collect()
        };
        rules.note(ix, &seats);
        seated[ix.get()] = seats;
    }
    missing += pool.over_pinned();
    if missing > 0 {
        return Err(pool.refuse(spec, counts, missing));
    }
    Ok(seated)
}

/// Which copy of its agent on its host each instance is.
fn number_copies(instances: &mut [PlanInstance]) {
    let mut agent = None;
    let mut copies: std::collections::HashMap<HostIx, u32> = std::collections::HashMap::new();
    for instance in instances {
        if agent != Some(instance.agent) {
            agent = Some(instance.agent);
            copies.clear();
        }
        let next = copies.entry(instance.host).or_insert(0);
        instance.copy = *next;
        *next += 1;
    }
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
    let mut stages: Vec<Vec<Rank>> = match spec.deployment.strategy {
        Strategy::Staged | Strategy::Parallel | Strategy::TopDown => {
            levels.iter().map(level_ranks).collect()
        }
        Strategy::Sequential => {
            levels.iter().flat_map(level_ranks).map(|rank| vec![rank]).collect()
        }
    };
    // A level of external agents alone launches nothing.
    stages.retain(|ranks| !ranks.is_empty());
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
