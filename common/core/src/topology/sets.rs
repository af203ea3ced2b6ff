//! Who stands in a topology's sets: its hub, its stages, its connections.

use std::collections::HashSet;

use crate::spec::{AgentIx, JobSpec, Topology};

/// The agents that the topology does not name, in file order; none where it has no sets.
pub fn in_no_set(spec: &JobSpec) -> Vec<AgentIx> {
    let Some(named) = named(&spec.topology) else { return Vec::new() };
    spec.indices().filter(|ix| !named.contains(ix)).collect()
}

fn named(topology: &Topology) -> Option<HashSet<AgentIx>> {
    Some(match topology {
        Topology::Absent | Topology::Dynamic => return None,
        Topology::HubSpoke { hub, spokes } => {
            std::iter::once(*hub).chain(spokes.iter().copied()).collect()
        }
        Topology::Pipeline { stages } => stages.iter().flatten().copied().collect(),
        Topology::Dag(list) | Topology::Custom(list) => {
            list.iter().flat_map(|c| [c.from, c.to]).collect()
        }
        Topology::Single(agent) => std::iter::once(*agent).collect(),
        Topology::Mesh { agents } => agents.iter().copied().collect(),
        Topology::Hierarchical { root, links } => {
            std::iter::once(*root).chain(links.iter().flat_map(|c| [c.from, c.to])).collect()
        }
    })
}
