//! `a2arun env`.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::cli::options::{JobRef, OutputArgs, TextError};
use crate::cli::run::{HostArgs, ShapeArgs, VariableArgs};

/// Everything that `env` takes.
#[derive(Debug, Clone, Args)]
pub struct EnvArgs {
    /// A job file or a run, and one of its agents: `job.yaml/worker[1]`, `web/hub`
    #[arg(value_name = "JOB/AGENT[I]")]
    pub of: EnvOf,
    /// Also where each variable comes from
    #[arg(short, long)]
    pub verbose: bool,
    /// Size.
    #[command(flatten)]
    pub shape: ShapeArgs,
    /// Hosts.
    #[command(flatten)]
    pub hosts: HostArgs,
    /// Variables.
    #[command(flatten)]
    pub variables: VariableArgs,
    /// Format and colour.
    #[command(flatten)]
    pub output: OutputArgs,
}

impl EnvArgs {
    /// Whether anything is said that only a plan can take into account.
    pub(crate) fn shapes_a_file(&self) -> bool {
        self.shape.is_said() || self.hosts.is_said() || self.variables.is_said()
    }
}

/// Whose environment is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EnvOf {
    /// What an instance of a job file would get. The agent may be left out where there is one.
    File(PathBuf, Option<JobRef>),
    /// What an instance of a run has.
    Run(JobRef),
}

impl std::str::FromStr for EnvOf {
    type Err = TextError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // The agent's part has the form of a reference whose job is the file.
        let agent = |rest: &str| {
            let refuse = |_| TextError(format!("`{text}` is not of the form JOB/AGENT[I]"));
            format!("file/{rest}").parse::<JobRef>().map_err(refuse)
        };
        // The last one: folders may be called anything.
        for (at, _) in text.rmatch_indices(".y") {
            let rest = &text[at..];
            let Some(behind) = rest.strip_prefix(".yaml").or_else(|| rest.strip_prefix(".yml"))
            else {
                continue;
            };
            let path = PathBuf::from(&text[..text.len() - behind.len()]);
            match behind.strip_prefix('/') {
                Some(rest) => return Ok(Self::File(path, Some(agent(rest)?))),
                None if behind.is_empty() => return Ok(Self::File(path, None)),
                None => {}
            }
        }
        if Path::new(text).is_file() {
            return Ok(Self::File(PathBuf::from(text), None));
        }
        if let Some((path, rest)) = text.rsplit_once('/')
            && Path::new(path).is_file()
        {
            return Ok(Self::File(PathBuf::from(path), Some(agent(rest)?)));
        }
        text.parse().map(Self::Run)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_runs_are_told_apart() {
        let check = |text: &str, want: Option<(&str, Option<&str>)>| {
            let got = match text.parse::<EnvOf>().unwrap() {
                EnvOf::File(path, agent) => Some((path, agent.map(|a| a.to_string()))),
                EnvOf::Run(_) => None,
            };
            let want = want.map(|(path, agent)| {
                (PathBuf::from(path), agent.map(|agent| format!("file/{agent}")))
            });
            assert_eq!(got, want, "{text}");
        };
        check("job.yaml", Some(("job.yaml", None)));
        check("a.yaml/b/job.yml/hub[2]", Some(("a.yaml/b/job.yml", Some("hub[2]"))));
        check("../x/job.yaml/0", Some(("../x/job.yaml", Some("0"))));
        check("web/hub", None);
        check("web.yamlish/hub", None);
        assert!("job.yaml/a[x]".parse::<EnvOf>().is_err());
        assert!("".parse::<EnvOf>().is_err());
    }
}
