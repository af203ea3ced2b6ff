//! What this version can check and plan, but not launch as written.

use crate::spec::model::{AgentIx, JobSpec, Target};

/// Something that a launch would do otherwise than the file says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("agent `{agent}`: `{field}` cannot be launched by this version yet")]
pub struct Unlaunchable {
    /// The agent.
    pub agent: String,
    /// The field, as a dotted path with its value.
    pub field: String,
}

impl JobSpec {
    /// What a launch has to refuse; `validate` and `plan` warn of the same. In file order.
    pub fn unlaunchable(&self) -> Vec<Unlaunchable> {
        let mut found = Vec::new();
        for ix in self.indices() {
            self.unlaunchable_of(ix, &mut found);
        }
        found
    }

    fn unlaunchable_of(&self, ix: AgentIx, found: &mut Vec<Unlaunchable>) {
        let agent = self.agent(ix);
        let mut add = |field: &str| {
            found.push(Unlaunchable { agent: agent.id.to_string(), field: field.to_owned() });
        };
        match agent.target {
            Target::Localhost | Target::Remote(_) => {}
            Target::Container(_) | Target::Kubernetes(_) => {
                add(&format!("deployment.target: {}", agent.target.kind()));
            }
        }
    }
}
