//! What only the whole job shows: agents in no set, copies where one is meant, ports that clash
//! wherever the job is mapped to.

use std::collections::BTreeMap;

use crate::launch::Protocol;
use crate::source::{Code, Finding};
use crate::spec::model::{AgentIx, AgentSpec, JobSpec, PortSpec, Replicas, Target, Topology};
use crate::spec::policy::PlaceHost;
use crate::spec::table::Findings;
use crate::topology::{self, Wiring};

/// Agents that are named when several stand in no set.
const NAMED: usize = 8;

/// Who is left out of a topology that is good by itself.
pub(super) fn sets(spec: &JobSpec, wiring: &Wiring, f: &mut Findings) {
    in_no_set(spec, f);
    unreachable(spec, wiring, f);
    below_nobody(spec, wiring, f);
}

pub(super) fn job(spec: &JobSpec, f: &mut Findings) {
    copies(spec, f);
    externals(spec, f);
    ports(spec, f);
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

/// Who is called and has no port: its callers are told of nobody. Where nobody has one, agents
/// find each other some other way.
fn unreachable(spec: &JobSpec, wiring: &Wiring, f: &mut Findings) {
    if !spec.agents.iter().any(AgentSpec::has_port) {
        return;
    }
    let mut caller = vec![None; spec.agents.len()];
    for ix in spec.indices() {
        for callee in wiring.callees(ix) {
            caller[callee.get()].get_or_insert(ix);
        }
    }
    let silent = |ix: &AgentIx| {
        let agent = spec.agent(*ix);
        !agent.has_port() && agent.external().is_none() && agent.protocol != Protocol::None
    };
    let called = spec.indices().filter(silent).filter_map(|ix| Some((ix, caller[ix.get()]?)));
    for (ix, caller) in called.take(NAMED) {
        let (agent, caller) = (spec.agent(ix), &spec.agent(caller).id);
        let message = format!("`{caller}` calls agent `{}`, which has no port", agent.id);
        f.push(
            Finding::warning(Code::Missing, agent.span, message)
                .about(Some(agent.id.as_str()), "config.port")
                .help(
                    "`config: {port: auto}` gives it one; `protocol: none` says that it needs none",
                ),
        );
    }
}

/// In a hierarchy, who hangs below nobody that the root reaches.
fn below_nobody(spec: &JobSpec, wiring: &Wiring, f: &mut Findings) {
    let Topology::Hierarchical { root, links } = &spec.topology else { return };
    let mut reached = vec![false; spec.agents.len()];
    let mut open = vec![*root];
    while let Some(ix) = open.pop() {
        if !std::mem::replace(&mut reached[ix.get()], true) {
            open.extend(wiring.callees(ix));
        }
    }
    let mut named: Vec<AgentIx> = links.iter().flat_map(|c| [c.from, c.to]).collect();
    named.sort_unstable();
    named.dedup();
    for ix in named.into_iter().filter(|ix| !reached[ix.get()]).take(NAMED) {
        let (agent, root) = (spec.agent(ix), &spec.agent(*root).id);
        let message = format!("the root `{root}` does not reach agent `{}`", agent.id);
        f.push(
            Finding::warning(Code::NoSet, agent.span, message)
                .about(Some(agent.id.as_str()), "topology.levels")
                .help(format!("name it among the children of `{root}`, or of who is below it")),
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
        | Topology::Single(_)
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

/// A fixed port, and those of the copies behind it.
struct Taken {
    first: u64,
    last: u64,
    agent: AgentIx,
    field: String,
}

/// Ports that cannot be had wherever the job is mapped to: two of one agent, or of agents that are
/// pinned to one host. The rest shows when hosts are known.
fn ports(spec: &JobSpec, f: &mut Findings) {
    let mut hosts: BTreeMap<&str, Vec<Taken>> = BTreeMap::new();
    let mut found = 0;
    for ix in spec.indices() {
        let agent = spec.agent(ix);
        let mut own = fixed_ports(agent, ix);
        match pinned_to(agent) {
            Some(host) => hosts.entry(host).or_default().append(&mut own),
            None => {
                // Copies may go to hosts of their own.
                own.iter_mut().for_each(|t| t.last = t.first);
                clashes(spec, own, None, &mut found, f);
            }
        }
    }
    for (host, taken) in hosts {
        clashes(spec, taken, Some(host), &mut found, f);
    }
}

fn fixed_ports(agent: &AgentSpec, ix: AgentIx) -> Vec<Taken> {
    let copies = match agent.replicas {
        Some(Replicas::Fixed(n)) => n,
        Some(Replicas::Auto) | None => 1,
    };
    let main = std::iter::once(("config.port".to_owned(), agent.port));
    let named = agent.ports.iter().map(|(name, port)| (format!("ports.{name}"), *port));
    main.chain(named)
        .filter_map(|(field, port)| match port {
            PortSpec::None | PortSpec::Auto => None,
            PortSpec::Fixed(base) => {
                let first = u64::from(base);
                let last = first + u64::from(copies) - 1;
                Some(Taken { first, last, agent: ix, field })
            }
        })
        .collect()
}

/// The one host it goes to, where the file says so.
fn pinned_to(agent: &AgentSpec) -> Option<&str> {
    match (&agent.target, &agent.placement.host) {
        (Target::Remote(remote), _) => Some(remote.host.as_str()),
        (Target::Localhost, Some(PlaceHost::Named(host))) => Some(host.as_str()),
        (Target::Localhost, Some(PlaceHost::Head) | None)
        | (Target::Container(_) | Target::Kubernetes(_), _) => None,
    }
}

fn clashes(
    spec: &JobSpec,
    mut taken: Vec<Taken>,
    host: Option<&str>,
    found: &mut usize,
    f: &mut Findings,
) {
    taken.sort_by_key(|t| (t.first, t.agent));
    let mut reaches: Option<&Taken> = None;
    for next in &taken {
        if *found >= NAMED {
            return;
        }
        let (agent, on) = (spec.agent(next.agent), host.map(|h| format!(" of host `{h}`")));
        let on = on.unwrap_or_default();
        let mut refuse = |finding: Finding| {
            *found += 1;
            f.push(finding.about(Some(agent.id.as_str()), next.field.as_str()));
        };
        if next.last > u64::from(u16::MAX) {
            let message = format!("agent `{}` would get port {}{on}", agent.id, next.last);
            refuse(
                Finding::error(Code::PortClash, agent.span, message)
                    .help("ports end at 65535; use a lower one, or `auto`"),
            );
        }
        if let Some(before) = reaches.filter(|before| next.first <= before.last) {
            let first = spec.agent(before.agent);
            let port = next.first;
            if before.agent == next.agent {
                let message = format!(
                    "`{}` and `{}` of agent `{}` both take port {port}{on}",
                    before.field, next.field, agent.id
                );
                refuse(Finding::error(Code::PortClash, agent.span, message));
            } else {
                let message =
                    format!("agents `{}` and `{}` both take port {port}{on}", first.id, agent.id);
                refuse(
                    Finding::error(Code::PortClash, agent.span, message)
                        .other(first.span, "the other one"),
                );
            }
        }
        if reaches.is_none_or(|before| next.last > before.last) {
            reaches = Some(next);
        }
    }
}

#[cfg(test)]
#[path = "checks_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "corpus_tests.rs"]
mod corpus;
