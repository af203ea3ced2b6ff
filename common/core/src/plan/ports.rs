//! Fixed ports: the k-th copy of an agent on a host gets `config.port + k`; nobody gets one twice.

use std::collections::HashMap;

use crate::ids::Rank;
use crate::plan::error::PlanError;
use crate::plan::model::{Plan, PlannedPort};
use crate::spec::{JobSpec, PortSpec};

/// Clashes that are kept for the message; the rest is counted.
const CLASHES_KEPT: usize = 8;

/// Fills in the ports of a mapped plan.
pub(super) fn assign(spec: &JobSpec, plan: &mut Plan) -> Result<(), PlanError> {
    let mut taken: HashMap<(u32, u16), Rank> = HashMap::new();
    let (mut clashes, mut more) = (Vec::new(), 0);
    for (agent, planned) in spec.agents.iter().zip(&plan.agents) {
        let base = match agent.port {
            PortSpec::None => continue,
            PortSpec::Auto => {
                for rank in planned.ranks() {
                    plan.instances[rank.0 as usize].port = PlannedPort::Auto;
                }
                continue;
            }
            PortSpec::Fixed(base) => base,
        };
        let mut copies: HashMap<u32, u32> = HashMap::new();
        for rank in planned.ranks() {
            let instance = &mut plan.instances[rank.0 as usize];
            let host = &plan.hosts[instance.host.get()];
            let k = copies.entry(instance.host.0).or_insert(0);
            let wide = u64::from(base) + u64::from(*k);
            *k += 1;
            let name = |index: u32| format!("{}[{index}]", agent.id);
            let Ok(port) = u16::try_from(wide) else {
                return Err(PlanError::PortRange {
                    instance: name(instance.index),
                    host: host.name().clone(),
                    port: wide,
                });
            };
            instance.port = PlannedPort::Fixed(port);
            let this = name(instance.index);
            if let Some(first) = taken.insert((instance.host.0, port), rank) {
                if clashes.len() == CLASHES_KEPT {
                    more += 1;
                } else {
                    let host = host.name().clone();
                    clashes.push((host, port, plan.name(first).to_string(), this));
                }
            }
        }
    }
    if clashes.is_empty() { Ok(()) } else { Err(PlanError::PortClash { clashes, more }) }
}
