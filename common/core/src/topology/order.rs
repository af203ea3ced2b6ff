//! The order of starting: levels of agents, each of which may start at once.
//!
//! The relation is "needs": `a` needs `b` when `b` has to be up no later than `a`. Under `staged`
//! a caller needs its callees, under `top-down` a callee its callers, under `parallel` nobody
//! needs anybody; `depends_on` counts under each. What needs each other in a circle by topology
//! is one level; a circle through `depends_on` is an error.

use crate::spec::{AgentIx, JobSpec, Strategy};
use crate::topology::Wiring;

/// A circle that goes through `depends_on`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("agents depend on each other in a circle: {}", path.join(" → "))]
pub struct CycleError {
    /// The agent whose `depends_on` closes the circle.
    pub agent: AgentIx,
    /// Ids along the circle, the first again at the end.
    pub path: Vec<String>,
}

/// The agents of each level, in file order, first level first. Every agent is in exactly one.
pub fn levels(spec: &JobSpec, wiring: &Wiring) -> Result<Vec<Vec<AgentIx>>, CycleError> {
    let needs = needs(spec, wiring);
    let component = components(&needs);
    check_depends_on(spec, &needs, &component)?;
    // Components are numbered so that what is needed comes first: one pass gives the levels.
    let count = component.iter().copied().max().map_or(0, |c| c + 1);
    let mut members: Vec<Vec<usize>> = vec![Vec::new(); count];
    for (agent, c) in component.iter().enumerate() {
        members[*c].push(agent);
    }
    let mut level = vec![0_usize; count];
    for c in 0..count {
        let below = members[c].iter().flat_map(|a| &needs[*a]).map(|b| component[*b]);
        level[c] = below.filter(|b| *b != c).map(|b| level[b] + 1).max().unwrap_or(0);
    }
    let height = level.iter().copied().max().map_or(0, |l| l + 1);
    let mut levels = vec![Vec::new(); height];
    for ix in spec.indices() {
        levels[level[component[ix.get()]]].push(ix);
    }
    Ok(levels)
}

fn needs(spec: &JobSpec, wiring: &Wiring) -> Vec<Vec<usize>> {
    let mut needs: Vec<Vec<usize>> = vec![Vec::new(); spec.agents.len()];
    match spec.deployment.strategy {
        Strategy::Staged | Strategy::Sequential => {
            wiring.edges().for_each(|e| needs[e.from.get()].push(e.to.get()));
        }
        Strategy::TopDown => wiring.edges().for_each(|e| needs[e.to.get()].push(e.from.get())),
        Strategy::Parallel => {}
    }
    for (list, agent) in needs.iter_mut().zip(&spec.agents) {
        list.extend(agent.depends_on.iter().map(|(dep, _)| dep.get()));
    }
    needs
}

/// Tarjan's strongly connected components, without recursion: a job may be one long chain.
/// Numbers rise from what is needed to what needs it.
fn components(needs: &[Vec<usize>]) -> Vec<usize> {
    const NONE: usize = usize::MAX;
    let n = needs.len();
    let (mut index, mut low, mut component) = (vec![NONE; n], vec![0; n], vec![NONE; n]);
    let (mut next_index, mut next_component) = (0, 0);
    let mut open: Vec<usize> = Vec::new();
    let mut walk: Vec<(usize, usize)> = Vec::new();
    for root in 0..n {
        if index[root] != NONE {
            continue;
        }
        walk.push((root, 0));
        while let Some((node, edge)) = walk.pop() {
            if edge == 0 {
                index[node] = next_index;
                low[node] = next_index;
                next_index += 1;
                open.push(node);
            }
            if let Some(&to) = needs[node].get(edge) {
                walk.push((node, edge + 1));
                if index[to] == NONE {
                    walk.push((to, 0));
                } else if component[to] == NONE {
                    low[node] = low[node].min(index[to]);
                }
                continue;
            }
            if low[node] == index[node] {
                while let Some(member) = open.pop() {
                    component[member] = next_component;
                    if member == node {
                        break;
                    }
                }
                next_component += 1;
            }
            if let Some((parent, _)) = walk.last() {
                low[*parent] = low[*parent].min(low[node]);
            }
        }
    }
    component
}

/// A circle of edges, the first node again at the end.
pub(super) fn cycle(callees: &[Vec<AgentIx>]) -> Option<Vec<AgentIx>> {
    let needs: Vec<Vec<usize>> =
        callees.iter().map(|list| list.iter().map(|a| a.get()).collect()).collect();
    let component = components(&needs);
    let closes = |from: usize, to: &usize| component[from] == component[*to];
    let (from, to) = (0..needs.len())
        .find_map(|from| needs[from].iter().find(|to| closes(from, to)).map(|to| (from, *to)))?;
    let path = std::iter::once(from).chain(path_between(&needs, &component, to, from));
    Some(path.map(|a| AgentIx(u32::try_from(a).unwrap_or(u32::MAX))).collect())
}

/// Every set of agents that reach each other, members in file order. Copies of one agent that call
/// each other are none.
pub(super) fn circles(callees: &[&[AgentIx]]) -> Vec<Vec<AgentIx>> {
    let needs: Vec<Vec<usize>> =
        callees.iter().map(|list| list.iter().map(|a| a.get()).collect()).collect();
    let component = components(&needs);
    let mut members: std::collections::BTreeMap<usize, Vec<AgentIx>> = Default::default();
    for (ix, component) in (0_u32..).map(AgentIx).zip(&component) {
        members.entry(*component).or_default().push(ix);
    }
    let mut circles: Vec<Vec<AgentIx>> = members.into_values().filter(|m| m.len() > 1).collect();
    circles.sort_unstable();
    circles
}

fn check_depends_on(
    spec: &JobSpec,
    needs: &[Vec<usize>],
    component: &[usize],
) -> Result<(), CycleError> {
    for ix in spec.indices() {
        for (dep, _) in &spec.agent(ix).depends_on {
            if component[dep.get()] == component[ix.get()] {
                let path = path_between(needs, component, dep.get(), ix.get());
                let ids = std::iter::once(ix.get()).chain(path);
                let path = ids.map(|a| spec.agents[a].id.to_string()).collect();
                return Err(CycleError { agent: ix, path });
            }
        }
    }
    Ok(())
}

/// The shortest way from `from` to `to` inside their component, both included.
fn path_between(needs: &[Vec<usize>], component: &[usize], from: usize, to: usize) -> Vec<usize> {
    let mut came_from = std::collections::HashMap::from([(from, from)]);
    let mut queue = std::collections::VecDeque::from([from]);
    while let Some(node) = queue.pop_front() {
        if node == to {
            break;
        }
        for next in needs[node].iter().filter(|n| component[**n] == component[from]) {
            came_from.entry(*next).or_insert_with(|| {
                queue.push_back(*next);
                node
            });
        }
    }
    let mut path = vec![to];
    let mut at = to;
    while at != from {
        let Some(before) = came_from.get(&at) else { break };
        at = *before;
        path.push(at);
    }
    path.reverse();
    path
}

#[cfg(test)]
#[path = "order_tests.rs"]
mod tests;
