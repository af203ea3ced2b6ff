//! What only the whole job shows: agents in no set, copies where one is meant.

use crate::source::{Code, Finding};
use crate::spec::model::{AgentIx, JobSpec, Replicas, Topology};
use crate::spec::table::Findings;
use crate::topology;

/// Agents that are named when several stand in no set.
const NAMED: usize = 8;

pub(super) fn job(spec: &JobSpec, f: &mut Findings) {
    in_no_set(spec, f);
    copies(spec, f);
    externals(spec, f);
}

fn in_no_set(spec: &JobSpec, f: &mut Findings) {
    let alone = topology::in_no_set(spec);
    for ix in alone.iter().take(NAMED) {
        let agent = spec.agent(*ix);
        let mut message =
            format!("agent `{}` stands in no set of the topology: it has no peers", agent.id);
        if *ix == alone[alone.len().min(NAMED) - 1] && alone.len() > NAMED {
            message.push_str(&format!("; nor have {} more", alone.len() - NAMED));
        }
        f.push(
            Finding::warning(Code::NoSet, agent.span, message)
                .about(Some(agent.id.as_str()), "topology"),
        );
    }
}

/// Each of several hubs calls every spoke; a question goes to one entry point alone.
fn copies(spec: &JobSpec, f: &mut Findings) {
    let single = match &spec.topology {
        Topology::HubSpoke { hub, .. } => Some((*hub, "the hub", "topology.hub")),
        Topology::Hierarchical { root, .. } => Some((*root, "the root", "topology.root")),
        Topology::Absent
        | Topology::Pipeline { .. }
        | Topology::Dag(_)
        | Topology::Custom(_)
        | Topology::Mesh { .. }
        | Topology::Dynamic => None,
    };
    let entry = spec.execution.entry_point.map(|e| (e, "the entry point", "execution.entry_point"));
    for (ix, what, field) in single.into_iter().chain(entry) {
        let agent = spec.agent(ix);
        let many = match agent.replicas {
            Some(Replicas::Fixed(n)) if n > 1 => n,
            Some(_) | None => continue,
        };
        let message = format!("{what} `{}` has `replicas: {many}`", agent.id);
        let help = match field {
            "execution.entry_point" => "questions go to its first copy",
            _ => "each copy gets the same peers",
        };
        f.push(
            Finding::warning(Code::Replicas, agent.span, message)
                .about(Some(agent.id.as_str()), field)
                .help(help),
        );
    }
}

/// Nothing waits for what is not launched, and nothing ends with it.
fn externals(spec: &JobSpec, f: &mut Findings) {
    let mut refuse = |agent: AgentIx, at: AgentIx, field: &str| {
        let id = &spec.agent(agent).id;
        let message = format!("`{field}` names `{id}`, which is external: it is not launched");
        let who = spec.agent(at);
        f.push(
            Finding::error(Code::Conflict, who.span, message).about(Some(who.id.as_str()), field),
        );
    };
    let external = |ix: AgentIx| spec.agent(ix).external().is_some();
    for ix in spec.indices() {
        let agent = spec.agent(ix);
        for (dep, _) in agent.depends_on.iter().filter(|(dep, _)| external(*dep)) {
            refuse(*dep, ix, "depends_on");
        }
        for (list, field) in
            [(&agent.placement.with, "placement.with"), (&agent.placement.apart, "placement.apart")]
        {
            list.iter().filter(|ix| external(**ix)).for_each(|named| refuse(*named, ix, field));
        }
    }
    if let Some(ix) = spec.execution.ends_with.filter(|ix| external(*ix)) {
        refuse(ix, ix, "execution.ends_with");
    }
    if spec.indices().all(external) {
        f.push(Finding::error(
            Code::Missing,
            spec.agents[0].span,
            "every agent is external: there is nothing to launch",
        ));
    }
}

#[cfg(test)]
#[path = "corpus_tests.rs"]
mod corpus;
