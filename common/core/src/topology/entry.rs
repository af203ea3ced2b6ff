//! Whom a person means who asks the job.

use crate::spec::{AgentIx, JobSpec, Topology};
use crate::topology::Wiring;

/// `execution.entry_point`; else the hub or the root; else the first agent that calls others and
/// is called by none; else the first that calls others; else the first of all. Only agents that
/// `serves` says can be asked.
pub fn entry_point(spec: &JobSpec, serves: impl Fn(AgentIx) -> bool) -> Option<AgentIx> {
    let named = spec.execution.entry_point.or(match &spec.topology {
        Topology::HubSpoke { hub, .. } => Some(*hub),
        Topology::Hierarchical { root, .. } => Some(*root),
        Topology::Single(agent) => Some(*agent),
        Topology::Absent
        | Topology::Pipeline { .. }
        | Topology::Dag(_)
        | Topology::Custom(_)
        | Topology::Mesh { .. }
        | Topology::Dynamic => None,
    });
    if let Some(named) = named.filter(|ix| serves(*ix)) {
        return Some(named);
    }
    let wiring = Wiring::of(spec);
    let mut called = vec![false; wiring.agents()];
    for edge in wiring.edges().filter(|edge| edge.from != edge.to) {
        called[edge.to.get()] = true;
    }
    let calls = |ix: &AgentIx| !wiring.callees(*ix).is_empty();
    let all = || spec.indices().filter(|ix| serves(*ix));
    all()
        .find(|ix| calls(ix) && !called[ix.get()])
        .or_else(|| all().find(calls))
        .or_else(|| all().next())
}

#[cfg(all(test, feature = "spec"))]
#[path = "entry_tests.rs"]
mod tests;
