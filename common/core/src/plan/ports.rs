//! Fixed ports: the k-th copy of an agent on a host gets the number plus k; nobody gets one twice.

use std::collections::HashMap;

use crate::ids::Rank;
use crate::plan::error::PlanError;
use crate::plan::model::{Plan, PlannedPort};
use crate::spec::{AgentSpec, JobSpec, PortSpec, Target};

/// Clashes that are kept for the message; the rest is counted.
const CLASHES_KEPT: usize = 8;

/// Fills in the ports of a mapped plan.
pub(super) fn assign(spec: &JobSpec, plan: &mut Plan) -> Result<(), PlanError> {
    let mut taken: HashMap<(u32, u16), Rank> = HashMap::new();
    let (mut clashes, mut more) = (Vec::new(), 0);
    for (agent, planned) in spec.agents.iter().zip(&plan.agents) {
        let bases: Vec<u16> = std::iter::once(&agent.port)
            .chain(agent.ports.iter().map(|(_, port)| port))
            .filter_map(|port| match port {
                PortSpec::None | PortSpec::Auto => None,
                PortSpec::Fixed(base) => Some(*base),
            })
            .collect();
        for rank in planned.ranks() {
            let instance = &mut plan.instances[rank.0 as usize];
            let host = &plan.hosts[instance.host.get()];
            let name = |index: u32| format!("{}[{index}]", agent.id);
            instance.port = match agent.port {
                PortSpec::None => PlannedPort::None,
                PortSpec::Auto => PlannedPort::Auto,
                PortSpec::Fixed(base) => {
                    PlannedPort::Fixed(u16::try_from(u32::from(base) + instance.copy).unwrap_or(0))
                }
            };
            let instance = *instance;
            for base in &bases {
                let wide = u64::from(*base) + u64::from(instance.copy);
                let Ok(port) = u16::try_from(wide) else {
                    return Err(PlanError::PortRange {
                        instance: name(instance.index),
                        host: host.name().clone(),
                        port: wide,
                    });
                };
                if !shares_network(agent) {
                    continue;
                }
                let Some(first) = taken.insert((instance.host.0, port), rank) else { continue };
                if clashes.len() == CLASHES_KEPT {
                    more += 1;
                } else {
                    let first = plan.instances[first.0 as usize];
                    let first = format!("{}[{}]", plan.agents[first.agent.get()].id, first.index);
                    clashes.push((host.name().clone(), port, first, name(instance.index)));
                }
            }
        }
    }
    if clashes.is_empty() { Ok(()) } else { Err(PlanError::PortClash { clashes, more }) }
}

/// Containers and pods have addresses of their own.
fn shares_network(agent: &AgentSpec) -> bool {
    match &agent.target {
        Target::Localhost | Target::Remote(_) => true,
        Target::Container(container) => container.network.as_deref() == Some("host"),
        Target::Kubernetes(_) => false,
    }
}
