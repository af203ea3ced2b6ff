//! What a launch needs to know and core cannot find out: files of variables, secrets, prefixes.
//! The launcher reads, these types carry.

use std::collections::{BTreeMap, BTreeSet};

use crate::plan::env::LaunchError;
use crate::plan::reserved::field_for;
use crate::spec::{AgentIx, AgentSpec, JobSpec, SecretSource};

/// A file of variables, read.
#[derive(Clone, PartialEq, Eq)]
pub struct EnvFile {
    /// Its path, for messages.
    pub name: String,
    /// What it sets, in order.
    pub variables: Vec<(String, String)>,
}

/// Values are secrets.
impl std::fmt::Debug for EnvFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "EnvFile({}: {} variables)", self.name, self.variables.len())
    }
}

/// Everything that was read for a launch.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct LaunchFacts {
    /// `env_file` of the job, in order.
    pub job_files: Vec<EnvFile>,
    /// `env_file` of each agent, in file order; missing at the end: none.
    pub agent_files: Vec<Vec<EnvFile>>,
    /// `--env-file`, in order.
    pub cli_files: Vec<EnvFile>,
    /// The value of every source that [`JobSpec::secret_sources`] lists.
    pub secrets: BTreeMap<SecretSource, String>,
}

/// Values are secrets.
impl std::fmt::Debug for LaunchFacts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LaunchFacts")
            .field("job_files", &self.job_files)
            .field("agent_files", &self.agent_files)
            .field("cli_files", &self.cli_files)
            .field("secrets", &self.secrets.keys())
            .finish()
    }
}

impl LaunchFacts {
    /// Of a job that asks for nothing.
    pub const NONE: &'static Self = &Self {
        job_files: Vec::new(),
        agent_files: Vec::new(),
        cli_files: Vec::new(),
        secrets: BTreeMap::new(),
    };

    /// What files set for an agent, the last of equal names winning.
    pub(super) fn file_variables(&self, ix: AgentIx) -> impl Iterator<Item = (&str, &str)> {
        let own = self.agent_files.get(ix.get()).into_iter().flatten();
        let files = self.job_files.iter().chain(own).chain(&self.cli_files);
        files.flat_map(|f| f.variables.iter().map(|(name, value)| (name.as_str(), value.as_str())))
    }

    /// Whether a file sets this variable for an agent.
    pub fn has_variable(&self, ix: AgentIx, name: &str) -> bool {
        self.file_variables(ix).any(|(known, _)| known == name)
    }

    /// The name of every variable that holds a secret, in order: those of files, and those that
    /// the job says are secrets.
    pub fn secret_names<'a>(&'a self, spec: &'a JobSpec) -> BTreeSet<&'a str> {
        let own = self.agent_files.iter().flatten();
        let files = self.job_files.iter().chain(own).chain(&self.cli_files);
        let secrets = spec.secrets.keys().chain(spec.agents.iter().flat_map(|a| a.secrets.keys()));
        let of_files = files.flat_map(|f| f.variables.iter().map(|(name, _)| name.as_str()));
        of_files.chain(secrets.map(String::as_str)).collect()
    }

    /// Every value that is to be masked wherever lines are shown, shortest last.
    pub fn secret_values(&self) -> Vec<&str> {
        let own = self.agent_files.iter().flatten();
        let files = self.job_files.iter().chain(own).chain(&self.cli_files);
        let mut values: Vec<&str> = files
            .flat_map(|f| f.variables.iter().map(|(_, value)| value.as_str()))
            .chain(self.secrets.values().map(String::as_str))
            .filter(|value| !value.is_empty())
            .collect();
        values.sort_by_key(|value| (std::cmp::Reverse(value.len()), *value));
        values.dedup();
        values
    }
}

impl JobSpec {
    /// Every secret that a launch needs, each once.
    pub fn secret_sources(&self) -> Vec<&SecretSource> {
        let own = self.agents.iter().flat_map(|a| a.secrets.values());
        let mut all: Vec<&SecretSource> = self.secrets.values().chain(own).collect();
        all.sort_unstable();
        all.dedup();
        all
    }
}

/// Nothing of ours is set by a file, and no secret is missing.
pub(super) fn check(spec: &JobSpec, facts: &LaunchFacts) -> Result<(), LaunchError> {
    let own = facts.agent_files.iter().flatten();
    for file in facts.job_files.iter().chain(own).chain(&facts.cli_files) {
        for (name, _) in &file.variables {
            if let Some(instead) = field_for(name) {
                let (file, name) = (file.name.clone(), name.clone());
                return Err(LaunchError::FileReserved { file, name, instead });
            }
        }
    }
    let of_agent = |a: &AgentSpec| format!("agent `{}`", a.id);
    let job = std::iter::once(("the job".to_owned(), &spec.secrets));
    for (whose, secrets) in job.chain(spec.agents.iter().map(|a| (of_agent(a), &a.secrets))) {
        for (name, source) in secrets {
            if !facts.secrets.contains_key(source) {
                return Err(LaunchError::Secret { name: name.clone(), whose });
            }
        }
    }
    Ok(())
}

/// A venv or conda prefix, absolute, as it was found on its host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Venv {
    /// The folder.
    pub prefix: String,
    /// Whose it is.
    pub kind: VenvKind,
}

/// Which variable an environment sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VenvKind {
    /// It has `pyvenv.cfg`: VIRTUAL_ENV.
    Venv,
    /// It has `conda-meta`: CONDA_PREFIX.
    Conda,
}

impl Venv {
    /// The interpreter in it.
    pub fn python(&self) -> String {
        format!("{}/bin/python", self.prefix.trim_end_matches('/'))
    }

    /// What activating it would do; `otherwise` is the PATH behind it where `env` has none.
    pub(super) fn enter(&self, env: &mut BTreeMap<String, String>, otherwise: &str) {
        let bin = format!("{}/bin", self.prefix.trim_end_matches('/'));
        let path = env.get("PATH").map_or(otherwise, String::as_str);
        env.insert("PATH".to_owned(), format!("{bin}:{path}"));
        let (set, other) = match self.kind {
            VenvKind::Venv => ("VIRTUAL_ENV", "CONDA_PREFIX"),
            VenvKind::Conda => ("CONDA_PREFIX", "VIRTUAL_ENV"),
        };
        env.insert(set.to_owned(), self.prefix.clone());
        env.remove(other);
        // It would point the interpreter somewhere else.
        env.remove("PYTHONHOME");
    }
}

/// What the launcher found out for the choice of an interpreter; `None` and `false`: not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PythonFacts<'a> {
    /// The agent's `venv`, found.
    pub venv: Option<&'a Venv>,
    /// The agent's explicit `python:`, with its path resolved.
    pub explicit: Option<&'a str>,
    /// The interpreter of the head's VIRTUAL_ENV or CONDA_PREFIX, where the agent runs on the
    /// head's machine or in its allocation.
    pub active: Option<&'a str>,
    /// The interpreter of `workdir/.venv`.
    pub workdir: Option<&'a str>,
    /// `uv.lock` lies in the workdir and `uv` exists.
    pub uv: bool,
}

/// Which interpreter was chosen, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PythonChoice {
    /// For [`crate::plan::Site::python`].
    pub python: String,
    /// Where it comes from, for `plan`.
    pub source: PythonSource,
}

/// The order of DESIGN §4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PythonSource {
    /// `venv`.
    Venv,
    /// `python`.
    Explicit,
    /// The head's active environment.
    Active,
    /// `workdir/.venv`.
    WorkdirVenv,
    /// `uv run`.
    Uv,
    /// `python3` from PATH.
    Path,
}

/// PYTHON: `venv`, explicit path, active environment, `workdir/.venv`, `uv run`, `python3`.
pub fn choose_python(facts: &PythonFacts<'_>) -> PythonChoice {
    let choice = |python: &str, source| PythonChoice { python: python.to_owned(), source };
    if let Some(venv) = facts.venv {
        return choice(&venv.python(), PythonSource::Venv);
    }
    let explicit = facts.explicit.filter(|p| *p != "python3");
    let found = [
        (explicit, PythonSource::Explicit),
        (facts.active, PythonSource::Active),
        (facts.workdir, PythonSource::WorkdirVenv),
        (facts.uv.then_some("uv run"), PythonSource::Uv),
    ];
    let found = found.into_iter().find_map(|(python, source)| Some((python?, source)));
    let (python, source) = found.unwrap_or(("python3", PythonSource::Path));
    choice(python, source)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::launch::{HOST_PATH, NO_PATH};

    #[test]
    fn pythons_are_chosen_in_the_order_of_the_contract() {
        let venv = Venv { prefix: "/v/".to_owned(), kind: VenvKind::Venv };
        let all = PythonFacts {
            venv: Some(&venv),
            explicit: Some("/opt/python"),
            active: Some("/active/bin/python"),
            workdir: Some("/w/.venv/bin/python"),
            uv: true,
        };
        let chosen = |facts: PythonFacts<'_>| choose_python(&facts).python;
        assert_eq!(chosen(all), "/v/bin/python");
        let all = PythonFacts { venv: None, ..all };
        assert_eq!(chosen(all), "/opt/python");
        let all = PythonFacts { explicit: Some("python3"), ..all };
        assert_eq!(chosen(all), "/active/bin/python");
        let all = PythonFacts { active: None, ..all };
        assert_eq!(chosen(all), "/w/.venv/bin/python");
        let all = PythonFacts { workdir: None, ..all };
        assert_eq!(chosen(all), "uv run");
        assert_eq!(chosen(PythonFacts::default()), "python3");
    }

    #[test]
    fn prefixes_are_entered_as_activating_does() {
        let mut env = BTreeMap::from(
            [("PATH", "/bin"), ("CONDA_PREFIX", "/c"), ("PYTHONHOME", "/p")]
                .map(|(k, v)| (k.to_owned(), v.to_owned())),
        );
        Venv { prefix: "/v".to_owned(), kind: VenvKind::Venv }.enter(&mut env, NO_PATH);
        let shown: Vec<String> = env.iter().map(|(k, v)| format!("{k}={v}")).collect();
        assert_eq!(shown, ["PATH=/v/bin:/bin", "VIRTUAL_ENV=/v"]);
        let mut elsewhere = BTreeMap::new();
        Venv { prefix: "/v".to_owned(), kind: VenvKind::Venv }.enter(&mut elsewhere, HOST_PATH);
        assert_eq!(elsewhere["PATH"], "/v/bin:$(PATH)", "that host fills in its own");
    }

    #[test]
    fn debugging_shows_no_value() {
        let file = EnvFile { name: ".env".into(), variables: vec![("K".into(), "s3cret".into())] };
        let secrets = [(SecretSource::Env("K".into()), "s3cret".to_owned())].into();
        let facts = LaunchFacts { job_files: vec![file], secrets, ..LaunchFacts::default() };
        assert!(!format!("{facts:?}").contains("s3cret"));
        assert_eq!(facts.secret_values(), ["s3cret"]);
    }
}
