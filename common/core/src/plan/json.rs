//! The `plan` shape of DESIGN §11. What is not known yet is null, never a missing key.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ids::Rank;
use crate::plan::model::{Plan, PlannedPort};
use crate::plan::resolved::Bindings;
use crate::source::Finding;

/// The whole plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanJson {
    /// The job's name.
    pub job: String,
    /// The plan's generation.
    pub generation: u64,
    /// Number of instances.
    pub size: u32,
    /// Instance names per stage, in the order of starting.
    pub stages: Vec<Vec<String>>,
    /// By rank.
    pub instances: Vec<InstanceJson>,
    /// What is accepted but has no effect.
    pub warnings: Vec<WarningJson>,
}

/// One instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceJson {
    /// `agent[index]`.
    pub name: String,
    /// Its agent.
    pub agent: String,
    /// Which copy.
    pub index: u32,
    /// Its number in the job.
    pub rank: u32,
    /// Its host.
    pub host: String,
    /// `localhost` or `remote`.
    pub target: String,
    /// Its URL, where port and address are known.
    pub url: Option<String>,
    /// Ports by name, `port` for the main one; null: auto.
    pub ports: BTreeMap<String, Option<u16>>,
    /// Whom it calls, in rank order; external ones behind, by their id.
    pub peers: Vec<PeerJson>,
    /// When it starts.
    pub stage: u32,
}

/// One callee.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerJson {
    /// `agent[index]`.
    pub name: String,
    /// Its URL, where known.
    pub url: Option<String>,
}

/// One warning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WarningJson {
    /// The agent it is about; null: the job.
    pub agent: Option<String>,
    /// The field, as a dotted path.
    pub field: Option<String>,
    /// The text.
    pub message: String,
}

impl From<&Finding> for WarningJson {
    fn from(finding: &Finding) -> Self {
        Self {
            agent: finding.agent.clone(),
            field: finding.field.clone(),
            message: finding.message.clone(),
        }
    }
}

impl PlanJson {
    /// A plan with what is known of its ports and addresses: [`Bindings::of`] before the launch.
    pub fn new(plan: &Plan, bindings: &Bindings, warnings: &[Finding]) -> Self {
        let names: Vec<String> =
            plan.instances.iter().map(|i| plan.name(i.rank).to_string()).collect();
        let name = |rank: Rank| names[rank.0 as usize].clone();
        let urls: Vec<Option<String>> =
            plan.instances.iter().map(|i| bindings.url(plan, i.rank)).collect();
        let instances = plan
            .instances
            .iter()
            .map(|i| {
                let agent = plan.agent(i.agent);
                let port = match i.port {
                    PlannedPort::None => None,
                    PlannedPort::Auto => Some(bindings.port(i.rank)),
                    PlannedPort::Fixed(port) => Some(Some(port)),
                };
                InstanceJson {
                    name: name(i.rank),
                    agent: agent.id.to_string(),
                    index: i.index,
                    rank: i.rank.0,
                    host: plan.host(i.host).name().to_string(),
                    target: agent.target.to_owned(),
                    url: urls[i.rank.0 as usize].clone(),
                    ports: port
                        .map(|p| ("port".to_owned(), p))
                        .into_iter()
                        .chain(agent.ports.iter().enumerate().map(|(at, (name, _))| {
                            (name.clone(), bindings.named_port(plan, i.rank, at))
                        }))
                        .collect(),
                    peers: plan
                        .peers(i.rank)
                        .map(|p| PeerJson { name: name(p), url: urls[p.0 as usize].clone() })
                        .chain(plan.external_peers(i.rank).map(|agent| PeerJson {
                            name: agent.id.to_string(),
                            url: agent.external.clone(),
                        }))
                        .collect(),
                    stage: i.stage.0,
                }
            })
            .collect();
        Self {
            job: plan.job.to_string(),
            generation: plan.generation.0,
            size: plan.size(),
            stages: plan
                .stages
                .iter()
                .map(|ranks| ranks.iter().map(|r| name(*r)).collect())
                .collect(),
            instances,
            warnings: warnings.iter().map(WarningJson::from).collect(),
        }
    }
}
