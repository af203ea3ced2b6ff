//! How many copies each agent has: `replicas`, `--scale` and `-np` together (DESIGN §4).

use crate::plan::error::PlanError;
use crate::plan::model::PlanOptions;
use crate::spec::{JobSpec, Replicas};

/// More is a typing error, not a job.
pub(super) const INSTANCES_MAX: u32 = 1_000_000;

/// Copies per agent, in file order, each at least 1; none of an external one. `slots`: how many somebody wrote down.
pub(super) fn counts(
    spec: &JobSpec,
    options: &PlanOptions,
    slots: Option<u64>,
) -> Result<Vec<u32>, PlanError> {
    let asked = asked(spec, options)?;
    let autos = asked.iter().filter(|a| **a == Replicas::Auto).count();
    let at_least = |r: &Replicas| match r {
        Replicas::Fixed(n) => *n,
        Replicas::Auto => 1,
    };
    let sum: u64 = asked.iter().map(|r| u64::from(at_least(r))).sum();
    let total = match options.np {
        Some(0) => return Err(PlanError::Zero { what: "-np" }),
        Some(np) if u64::from(np) < sum || (u64::from(np) > sum && autos == 0) => {
            let ids = spec.agents.iter().map(|a| a.id.to_string());
            let demands = ids.zip(asked.iter().map(at_least)).filter(|(_, n)| *n > 0).collect();
            return Err(PlanError::Np { np, sum, autos, demands });
        }
        Some(np) => u64::from(np),
        None if autos == 0 => sum,
        None => slots.unwrap_or(0).max(sum),
    };
    if total > u64::from(INSTANCES_MAX) {
        return Err(PlanError::TooMany { size: total, max: INSTANCES_MAX });
    }
    Ok(share(&asked, autos, total - sum))
}

/// Whether `-np` has anything to say.
pub(super) fn has_auto(spec: &JobSpec, options: &PlanOptions) -> bool {
    asked(spec, options).is_ok_and(|all| all.contains(&Replicas::Auto))
}

fn asked(spec: &JobSpec, options: &PlanOptions) -> Result<Vec<Replicas>, PlanError> {
    let alone = spec.agents.iter().filter(|a| a.external().is_none()).count() == 1;
    let default = if alone { Replicas::Auto } else { Replicas::Fixed(1) };
    let mut asked: Vec<Replicas> = spec
        .agents
        .iter()
        .map(|a| match a.external() {
            Some(_) => Replicas::Fixed(0),
            None => a.replicas.unwrap_or(default),
        })
        .collect();
    for (id, n) in &options.scale {
        let launched = |ix: &crate::spec::AgentIx| spec.agent(*ix).external().is_none();
        let Some(ix) = spec.find(id).filter(launched) else {
            let known = spec.agents.iter().map(|a| a.id.to_string()).collect();
            return Err(PlanError::ScaleUnknown { id: id.clone(), known });
        };
        if *n == 0 {
            return Err(PlanError::Zero { what: "--scale" });
        }
        asked[ix.get()] = Replicas::Fixed(*n);
    }
    Ok(asked)
}

/// Deals what is left over to the `auto` agents, the first ones getting the remainder.
fn share(asked: &[Replicas], autos: usize, rest: u64) -> Vec<u32> {
    let autos = autos.max(1) as u64;
    let (each, mut extra) = (rest / autos, rest % autos);
    let narrow = |n: u64| u32::try_from(n).unwrap_or(INSTANCES_MAX);
    asked
        .iter()
        .map(|r| match r {
            Replicas::Fixed(n) => *n,
            Replicas::Auto => {
                let one = u64::from(extra > 0);
                extra -= one;
                narrow(1 + each + one)
            }
        })
        .collect()
}
