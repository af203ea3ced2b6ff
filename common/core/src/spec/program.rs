//! `a2arun -- PROGRAM ARG...`: a job of one agent, made from a command line.

use std::collections::BTreeMap;

use crate::ids::{AgentId, IdError, JobName};
use crate::launch::{Lifecycle, Protocol};
use crate::spec::model::{
    AgentSpec, DeploymentSpec, ExecutionSpec, JobSpec, Replicas, Run, Topology,
};

/// Why a command line is no job.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProgramError {
    /// Nothing after `--`.
    #[error("no program given after `--`")]
    Empty,
    /// The program's name is the empty text.
    #[error("the program's name is empty")]
    NoName,
    /// No identifier can be made of the name.
    #[error("cannot name an agent after `{program}`")]
    Name {
        /// What was given.
        program: String,
        /// What is wrong with it.
        source: IdError,
    },
}

impl JobSpec {
    /// The job of a command line: one task agent named after the program's file stem, protocol
    /// `none`, `replicas: auto`. `workdir` `None`: the head's. argv is literal: a `$(NAME)` in it
    /// is filled in as in a job file, so `$$(NAME)` writes one.
    pub fn program(argv: Vec<String>, workdir: Option<String>) -> Result<Self, ProgramError> {
        let program = argv.first().ok_or(ProgramError::Empty)?;
        if program.is_empty() {
            return Err(ProgramError::NoName);
        }
        let name = sanitised_stem(program);
        let wrap = |source| ProgramError::Name { program: program.clone(), source };
        let id: AgentId = name.parse().map_err(wrap)?;
        let job: JobName = name.parse().map_err(wrap)?;
        Ok(Self {
            name: job,
            version: None,
            description: None,
            tags: Vec::new(),
            agents: vec![AgentSpec {
                replicas: Some(Replicas::Auto),
                lifecycle: Lifecycle::Task,
                protocol: Protocol::None,
                workdir,
                ..AgentSpec::new(id, Run::Command(argv))
            }],
            topology: Topology::Absent,
            deployment: DeploymentSpec::default(),
            execution: ExecutionSpec::default(),
            environment: BTreeMap::new(),
            secrets: BTreeMap::new(),
            env_files: Vec::new(),
        })
    }
}

/// The file stem with every character that an id may not have replaced; never empty.
fn sanitised_stem(program: &str) -> String {
    let file = program.trim_end_matches('/').rsplit('/').next().unwrap_or("");
    let stem = match file.rsplit_once('.') {
        Some((stem, _)) if !stem.is_empty() => stem,
        Some(_) | None => file,
    };
    let mut name: String = stem
        .chars()
        .map(|c| if c.is_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '_' })
        .collect();
    if !name.starts_with(|c: char| c.is_alphanumeric() || c == '_') {
        name.insert(0, '_');
    }
    while name.len() > 64 {
        name.pop();
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_named_after_their_stem() {
        let name = |p: &str| JobSpec::program(vec![p.to_owned()], None).map(|j| j.name.to_string());
        assert_eq!(name("/usr/bin/python3"), Ok("python3".to_owned()));
        assert_eq!(name("./run me.sh"), Ok("run_me".to_owned()));
        assert_eq!(name("python3.11"), Ok("python3".to_owned()));
        assert_eq!(name(".hidden"), Ok("_.hidden".to_owned()));
        assert_eq!(name("-x"), Ok("_-x".to_owned()));
        assert_eq!(name(&"ü".repeat(200)).map(|n| n.len()), Ok(64));
        assert_eq!(name(""), Err(ProgramError::NoName));
        assert_eq!(JobSpec::program(Vec::new(), None), Err(ProgramError::Empty));
    }

    #[test]
    fn any_program_gives_a_job() {
        proptest::proptest!(|(p in "\\PC{1,80}")| {
            proptest::prop_assert!(JobSpec::program(vec![p], None).is_ok());
        });
    }
}
