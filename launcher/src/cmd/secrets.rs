//! Which values `logs` masks in another shell. A run's record says where its secrets came from,
//! never what they are, so they are read again; what cannot be had is said.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use a2arun_core::mask::Mask;
use a2arun_core::plan::{LaunchFacts, is_secret_variable, job_values};
use a2arun_core::spec::{JobSpec, SecretSource, load_bytes};

use crate::cli::RunArgs;
use crate::cmd::dotenv::DotEnv;
use crate::cmd::{Context, facts};
use crate::registry::{RunJson, SecretRef};

/// Where the secrets of a launch come from.
pub(super) fn references(
    spec: &JobSpec,
    read: &LaunchFacts,
    args: &RunArgs,
    file: Option<&Path>,
    base: &Path,
    environment: &BTreeMap<String, String>,
) -> Vec<SecretRef> {
    let mut all = BTreeSet::new();
    for source in spec.secret_sources() {
        all.insert(match source {
            SecretSource::Env(name) if environment.contains_key(name) => {
                SecretRef::Env { name: name.clone() }
            }
            SecretSource::Env(name) => {
                SecretRef::Variable { path: base.join(".env"), name: name.clone() }
            }
            SecretSource::File(path) => SecretRef::File { path: facts::place(path, base) },
            SecretSource::Cmd(argv) => {
                let program = argv.first().map(String::as_str).unwrap_or_default();
                SecretRef::Gone { what: format!("the output of {program}") }
            }
        });
    }
    let own = read.agent_files.iter().flatten();
    for file in read.job_files.iter().chain(own).chain(&read.cli_files) {
        all.insert(SecretRef::EnvFile { path: PathBuf::from(&file.name) });
    }
    if let Some(path) = file.filter(|_| !job_values(spec).is_empty()) {
        all.insert(SecretRef::JobFile { path: path.to_owned() });
    }
    for (name, value) in args.variables.set.iter().filter(|(name, _)| is_secret_variable(name)) {
        all.insert(match value {
            Some(_) => SecretRef::Gone { what: format!("-x {name}") },
            None => SecretRef::Env { name: name.clone() },
        });
    }
    let ours = environment.keys().filter(|name| is_secret_variable(name));
    all.extend(ours.map(|name| SecretRef::Env { name: name.clone() }));
    all.into_iter().collect()
}

/// What is known here of a run's secrets, and what is not.
pub(super) fn known(run: &RunJson, context: &Context) -> (Mask, Vec<String>) {
    let (mut values, mut gone) = (Vec::new(), Vec::new());
    for source in &run.secrets {
        match read(source, context) {
            Some(found) => values.extend(found),
            None => gone.push(shown(source)),
        }
    }
    (Mask::new(values), gone)
}

/// One line about them, where there are any.
pub(super) fn warning(gone: &[String]) -> Option<String> {
    const NAMED: usize = 4;
    let named = gone.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
    let more = match gone.len() {
        0 => return None,
        n if n > NAMED => format!(" and {} more", n - NAMED),
        _ => String::new(),
    };
    Some(format!("warning: not known in this shell, so not masked: {named}{more}"))
}

fn shown(source: &SecretRef) -> String {
    match source {
        SecretRef::Env { name } => format!("${name}"),
        SecretRef::Variable { path, name } => format!("${name} of {}", path.display()),
        SecretRef::File { path } | SecretRef::EnvFile { path } | SecretRef::JobFile { path } => {
            path.display().to_string()
        }
        SecretRef::Gone { what } => what.clone(),
    }
}

fn read(source: &SecretRef, context: &Context) -> Option<Vec<String>> {
    match source {
        SecretRef::Env { name } => context.text(name).map(|value| vec![value]),
        SecretRef::Variable { path, name } => {
            let file = facts::env_file(path, "file").ok()?.ok()?;
            let found = file.variables.into_iter().find(|(known, _)| known == name)?;
            Some(vec![found.1])
        }
        SecretRef::File { path } => {
            let path = facts::at_home(path, context);
            std::fs::read_to_string(path).ok().map(|text| vec![text])
        }
        SecretRef::EnvFile { path } => {
            let file = facts::env_file(path, "env_file").ok()?.ok()?;
            Some(file.variables.into_iter().map(|(_, value)| value).collect())
        }
        SecretRef::JobFile { path } => {
            let bytes = std::fs::read(path).ok()?;
            let dotenv = DotEnv::beside(path);
            let vars = |name: &str| context.text(name).or_else(|| dotenv.get(name));
            let loaded = load_bytes("job.yaml", &bytes, &vars).ok()?;
            Some(job_values(&loaded.spec).into_iter().map(str::to_owned).collect())
        }
        SecretRef::Gone { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_said_in_one_line() {
        let gone = |n: usize| (0..n).map(|i| format!("$K{i}")).collect::<Vec<_>>();
        assert_eq!(warning(&[]), None);
        let text = |n| warning(&gone(n)).unwrap();
        assert_eq!(text(1), "warning: not known in this shell, so not masked: $K0");
        assert!(text(6).ends_with("$K0, $K1, $K2, $K3 and 2 more"));
    }
}
