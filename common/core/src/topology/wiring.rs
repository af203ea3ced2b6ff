//! Edges between agents, as each topology defines them.

use crate::spec::{AgentIx, Connection, JobSpec, Topology};

/// Callees per agent. An agent that calls itself means: each copy calls the other copies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wiring {
    callees: Vec<Vec<AgentIx>>,
}

impl Wiring {
    /// The edges of a job's topology.
    pub fn of(spec: &JobSpec) -> Self {
        let mut edges: Vec<Connection> = Vec::new();
        let mut edge = |from, to| edges.push(Connection { from, to });
        match &spec.topology {
            Topology::Absent | Topology::Single(_) | Topology::Dynamic => {}
            Topology::HubSpoke { hub, spokes } => {
                spokes.iter().for_each(|spoke| edge(*hub, *spoke));
            }
            Topology::Pipeline { stages } => {
                for pair in stages.windows(2) {
                    for from in &pair[0] {
                        pair[1].iter().for_each(|to| edge(*from, *to));
                    }
                }
            }
            Topology::Dag(connections)
            | Topology::Custom(connections)
            | Topology::Hierarchical { links: connections, .. } => {
                connections.iter().for_each(|c| edge(c.from, c.to));
            }
            Topology::Mesh { agents } => {
                for from in agents {
                    agents.iter().for_each(|to| edge(*from, *to));
                }
            }
        }
        Self::from_edges(spec.agents.len(), &edges)
    }

    /// From edges in any order, with repetitions.
    pub fn from_edges(agents: usize, edges: &[Connection]) -> Self {
        let mut callees = vec![Vec::new(); agents];
        for edge in edges {
            callees[edge.from.get()].push(edge.to);
        }
        for list in &mut callees {
            list.sort_unstable();
            list.dedup();
        }
        Self { callees }
    }

    /// Whom an agent calls, in file order, hence in rank order.
    pub fn callees(&self, agent: AgentIx) -> &[AgentIx] {
        &self.callees[agent.get()]
    }

    /// The number of agents.
    pub fn agents(&self) -> usize {
        self.callees.len()
    }

    /// Every edge between agents, in order; copies calling each other as `a → a`.
    pub fn edges(&self) -> impl Iterator<Item = Connection> + '_ {
        self.callees.iter().enumerate().flat_map(|(from, list)| {
            let from = AgentIx(u32::try_from(from).unwrap_or(u32::MAX));
            list.iter().map(move |to| Connection { from, to: *to })
        })
    }

    /// Every set of agents that reach each other, members in file order.
    pub fn circles(&self) -> Vec<Vec<AgentIx>> {
        let callees: Vec<&[AgentIx]> = self.callees.iter().map(Vec::as_slice).collect();
        crate::topology::order::circles(&callees)
    }

    /// A circle of edges, the first agent again at the end; copies calling each other are one.
    pub fn cycle(&self) -> Option<Vec<AgentIx>> {
        crate::topology::order::cycle(&self.callees)
    }
}
