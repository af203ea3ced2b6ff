//! Where each variable of an instance comes from: the layers of DESIGN §6, asked from the top.

use crate::ids::Rank;
use crate::plan::LaunchBuilder;
use crate::plan::reserved::config_variable;
use crate::spec::{AgentIx, SecretSource};

/// The layer that gave a variable its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Set by a2arun itself.
    Ours,
    /// What its `venv` changes.
    Venv,
    /// A key under `config`.
    Config(String),
    /// `-x`.
    Export,
    /// `environment` of the agent.
    Agent,
    /// `environment` of the job.
    Job,
    /// A secret of either.
    Secret(SecretSource),
    /// A file of variables, by its path.
    File(String),
    /// What an agent starts from.
    Base,
}

impl LaunchBuilder<'_> {
    /// The layer that gave an instance the variable `name`.
    pub fn origin(&self, rank: Rank, name: &str, has_venv: bool) -> Origin {
        let ix = self.inputs.resolved.plan().instance(rank).agent;
        let agent = self.inputs.spec.agent(ix);
        // Merged with what was there, so partly ours.
        let proxy = name.eq_ignore_ascii_case("no_proxy");
        let venv = matches!(name, "PATH" | "VIRTUAL_ENV" | "CONDA_PREFIX") && has_venv;
        if proxy || self.names.sets(ix, rank, name) {
            return Origin::Ours;
        }
        if venv {
            return Origin::Venv;
        }
        let config = agent.config.iter().find(|(key, _)| config_variable(key) == name);
        if let Some((key, _)) = config.filter(|(key, _)| key != "port") {
            return Origin::Config(key.clone());
        }
        if self.inputs.exports.iter().any(|(export, _)| export == name) {
            return Origin::Export;
        }
        let job = self.inputs.spec;
        if let Some(source) = agent.secrets.get(name) {
            return Origin::Secret(source.clone());
        }
        if agent.environment.contains_key(name) {
            return Origin::Agent;
        }
        if let Some(source) = job.secrets.get(name) {
            return Origin::Secret(source.clone());
        }
        if job.environment.contains_key(name) {
            return Origin::Job;
        }
        self.file(ix, name).map_or(Origin::Base, Origin::File)
    }

    fn file(&self, ix: AgentIx, name: &str) -> Option<String> {
        let facts = self.inputs.facts;
        let own = facts.agent_files.get(ix.get()).into_iter().flatten();
        let files = facts.job_files.iter().chain(own).chain(&facts.cli_files);
        let sets = |file: &&crate::plan::EnvFile| file.variables.iter().any(|(n, _)| n == name);
        files.rev().find(sets).map(|file| file.name.clone())
    }
}
