//! Agents with a placement: which hosts are allowed, and which of them is next.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use crate::plan::error::PlanError;
use crate::plan::model::{Amounts, HostIx, MapBy};
use crate::plan::pool::{Pool, Seat};
use crate::spec::{AgentIx, AgentSpec, JobSpec, PlaceHost, Resources, Spread};

/// Who is bound by what, and where everybody sits so far.
pub(super) struct Rules {
    /// Per agent: whom it must not meet, in both directions, sorted.
    apart: Vec<Vec<AgentIx>>,
    /// Per agent: whether it may not simply go anywhere.
    bound: Vec<bool>,
    /// Per agent that somebody refers to: how many copies each seat has.
    seated: BTreeMap<AgentIx, Vec<u32>>,
}

impl Rules {
    pub(super) fn new(spec: &JobSpec, pool: &Pool<'_>) -> Self {
        let mut apart: Vec<Vec<AgentIx>> = vec![Vec::new(); spec.agents.len()];
        let mut asked: BTreeSet<AgentIx> = BTreeSet::new();
        for ix in spec.indices() {
            let placement = &spec.agent(ix).placement;
            for other in &placement.apart {
                apart[ix.get()].push(*other);
                apart[other.get()].push(ix);
                asked.extend([ix, *other]);
            }
            asked.extend(&placement.with);
        }
        for list in &mut apart {
            list.sort_unstable();
            list.dedup();
        }
        let seated = asked.into_iter().map(|ix| (ix, vec![0; pool.seats.len()])).collect();
        let known = pool.seats[..pool.open].iter().map(|s| s.left).fold(
            (false, false, false),
            |(c, m, g), left| {
                (
                    c || left.cpu_milli.is_some(),
                    m || left.memory_bytes.is_some(),
                    g || left.gpus.is_some(),
                )
            },
        );
        let counts = |r: &Resources| {
            (r.cpu_milli.is_some() && known.0)
                || (r.memory_bytes.is_some() && known.1)
                || (r.gpus.is_some() && known.2)
        };
        let bound = spec
            .agents
            .iter()
            .zip(&apart)
            .map(|(a, apart)| !a.placement.is_free() || !apart.is_empty() || counts(&a.resources))
            .collect();
        Self { apart, bound, seated }
    }

    /// Whether an agent may not simply go anywhere.
    pub(super) fn binds(&self, ix: AgentIx) -> bool {
        self.bound[ix.get()]
    }

    /// Who is seated when: those that may not go anywhere before those that may, else they would
    /// find their places taken; in file order, but behind those it wants to be with.
    pub(super) fn order(&self, spec: &JobSpec) -> Vec<AgentIx> {
        let mut order = Vec::with_capacity(spec.agents.len());
        let mut seen = vec![false; spec.agents.len()];
        let bound = spec.indices().filter(|ix| self.binds(*ix));
        let free = spec.indices().filter(|ix| !self.binds(*ix));
        for ix in bound.chain(free) {
            // Depth first without recursion; who is on the way already is not waited for.
            let mut walk = vec![(ix, 0)];
            while let Some((at, next)) = walk.pop() {
                if next == 0 && std::mem::replace(&mut seen[at.get()], true) {
                    continue;
                }
                match spec.agent(at).placement.with.get(next) {
                    Some(other) => {
                        walk.push((at, next + 1));
                        if !seen[other.get()] {
                            walk.push((*other, 0));
                        }
                    }
                    None => order.push(at),
                }
            }
        }
        order
    }

    /// Remembers where an agent sits, where somebody may ask.
    pub(super) fn note(&mut self, ix: AgentIx, seats: &[HostIx]) {
        if let Some(counts) = self.seated.get_mut(&ix) {
            for seat in seats {
                counts[seat.get()] += 1;
            }
        }
    }

    /// Seats all copies of an agent, or says why one of them has no place.
    pub(super) fn seat(
        &self,
        spec: &JobSpec,
        ix: AgentIx,
        count: u32,
        pool: &mut Pool<'_>,
    ) -> Result<Vec<HostIx>, PlanError> {
        let agent = spec.agent(ix);
        let map_by = pool.options().map_by;
        let alone = self.apart[ix.get()].contains(&ix);
        let mut turns: BinaryHeap<Reverse<(u32, u32, usize)>> = BinaryHeap::new();
        // Whom it wants to be with may be pinned to a host that is not open to others.
        let reach = if agent.placement.with.is_empty() { pool.open } else { pool.seats.len() };
        for at in 0..reach {
            if self.refusal(spec, ix, at, pool).is_none() {
                turns.push(Reverse(turn(agent, &pool.seats[at], at, 0, map_by)));
            }
        }
        let mut copies = vec![0_u32; reach];
        let mut seats = Vec::with_capacity(count as usize);
        while seats.len() < count as usize {
            let Some(Reverse((_, _, at))) = turns.pop() else {
                return Err(self.refuse(spec, ix, (count, seats.len(), &copies), pool));
            };
            if !pool.seats[at].has_room() || !pool.seats[at].left.covers(&agent.resources) {
                continue;
            }
            seats.push(pool.sit(at));
            copies[at] += 1;
            let seat = &mut pool.seats[at];
            seat.left.spend(&agent.resources, 1);
            if !alone {
                turns.push(Reverse(turn(agent, &pool.seats[at], at, copies[at], map_by)));
            }
        }
        Ok(seats)
    }

    /// Why an agent cannot go to a seat now; `None`: it can.
    fn refusal(&self, spec: &JobSpec, ix: AgentIx, at: usize, pool: &Pool<'_>) -> Option<String> {
        let agent = spec.agent(ix);
        let seat = &pool.seats[at];
        let entry = &seat.host.entry;
        let placement = &agent.placement;
        if let Some(PlaceHost::Named(host)) = &placement.host
            && *host != entry.name
        {
            return Some(format!("is not `{host}`"));
        }
        let has = |label: &String| entry.labels.contains(label) || entry.groups.contains(label);
        if let Some(label) = placement.labels.iter().find(|l| !has(l)) {
            return Some(format!("no label `{label}`"));
        }
        let sits = |other: &AgentIx| self.seated.get(other).is_some_and(|seats| seats[at] > 0);
        let started = |other: &AgentIx| {
            self.seated.get(other).is_some_and(|seats| seats.iter().any(|n| *n > 0))
        };
        // Agents that want each other: whoever is first may choose.
        if let Some(other) = placement.with.iter().find(|o| **o != ix && started(o) && !sits(o)) {
            return Some(format!("has no `{}`", spec.agent(*other).id));
        }
        if let Some(other) = self.apart[ix.get()].iter().find(|o| **o != ix && sits(o)) {
            return Some(format!("has `{}`", spec.agent(*other).id));
        }
        if at >= pool.open && !placement.with.iter().any(sits) {
            return Some("is only for agents that name it".to_owned());
        }
        if !seat.has_room() {
            return Some("no slot left".to_owned());
        }
        seat.left.lacks(&agent.resources)
    }

    fn refuse(
        &self,
        spec: &JobSpec,
        ix: AgentIx,
        (wanted, placed, copies): (u32, usize, &[u32]),
        pool: &Pool<'_>,
    ) -> PlanError {
        let mut reasons: Vec<(String, Vec<String>)> = Vec::new();
        for (at, taken) in copies.iter().enumerate() {
            let host = pool.seats[at].host.name().to_string();
            let reason = match self.refusal(spec, ix, at, pool) {
                Some(reason) => reason,
                None if *taken > 0 => format!("has one `{}` already", spec.agent(ix).id),
                None => continue,
            };
            match reasons.iter_mut().find(|(known, _)| *known == reason) {
                Some((_, hosts)) => hosts.push(host),
                None => reasons.push((reason, vec![host])),
            }
        }
        PlanError::Placement {
            agent: spec.agent(ix).id.to_string(),
            wanted,
            placed: u32::try_from(placed).unwrap_or(u32::MAX),
            reasons,
        }
    }
}

/// The smallest is next: copies spread where they shall, otherwise as agents without a placement.
fn turn(agent: &AgentSpec, seat: &Seat, at: usize, copies: u32, by: MapBy) -> (u32, u32, usize) {
    match (agent.placement.spread, by) {
        (Some(Spread::Host), _) => (copies, seat.used, at),
        (None, MapBy::Node | MapBy::Span) => (0, seat.used, at),
        (None, MapBy::Slot | MapBy::PerHost(_)) if seat.capacity.is_some() => (0, 0, at),
        (None, MapBy::Slot | MapBy::PerHost(_)) => (1, seat.used, at),
    }
}

impl Amounts {
    /// Whether what is known to be left is enough.
    fn covers(&self, wanted: &Resources) -> bool {
        self.lacks(wanted).is_none()
    }

    fn lacks(&self, wanted: &Resources) -> Option<String> {
        let short = |left: Option<u64>, wanted: Option<u64>| match (left, wanted) {
            (Some(left), Some(wanted)) if left < wanted => Some((left, wanted)),
            _ => None,
        };
        if let Some((left, wanted)) = short(self.gpus.map(u64::from), wanted.gpus.map(u64::from)) {
            return Some(format!("{left} GPUs left, {wanted} needed"));
        }
        if let Some((left, wanted)) = short(self.cpu_milli, wanted.cpu_milli) {
            return Some(format!("{}m CPU left, {}m needed", left, wanted));
        }
        if let Some((left, wanted)) = short(self.memory_bytes, wanted.memory_bytes) {
            let mib = |bytes: u64| bytes >> 20;
            return Some(format!("{} MiB left, {} MiB needed", mib(left), mib(wanted)));
        }
        None
    }

    /// Takes what `count` instances ask for away.
    pub(super) fn spend(&mut self, wanted: &Resources, count: u32) {
        let take = |left: &mut Option<u64>, wanted: Option<u64>| {
            if let (Some(left), Some(wanted)) = (left.as_mut(), wanted) {
                *left = left.saturating_sub(wanted.saturating_mul(u64::from(count)));
            }
        };
        take(&mut self.cpu_milli, wanted.cpu_milli);
        take(&mut self.memory_bytes, wanted.memory_bytes);
        if let (Some(left), Some(wanted)) = (self.gpus.as_mut(), wanted.gpus) {
            *left = left.saturating_sub(wanted.saturating_mul(count));
        }
    }
}

#[cfg(test)]
#[path = "placing_tests.rs"]
mod tests;
