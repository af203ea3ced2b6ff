//! Which values of a launch nobody may read in what is shown of its output.

use std::collections::BTreeMap;

use crate::plan::facts::LaunchFacts;
use crate::plan::reserved::{config_variable, is_secret_name};
use crate::spec::JobSpec;

/// The values of `secret:` and of files of variables, and what the job, `-x` and the environment
/// of the head give under the name of a secret. Numbers and booleans under such a name
/// (`MAX_TOKENS: 4096`) are none.
pub fn secret_values<'a>(
    spec: &'a JobSpec,
    facts: &'a LaunchFacts,
    exports: &'a [(String, String)],
    environment: &'a BTreeMap<String, String>,
) -> Vec<&'a str> {
    let mut values = facts.secret_values();
    values.extend(job_values(spec));
    let named = exports.iter().filter(|(name, _)| is_secret_name(name)).map(|(_, value)| value);
    let ours = environment.iter().filter(|(name, _)| is_secret_variable(name));
    let all = named.chain(ours.map(|(_, value)| value));
    values.extend(all.map(String::as_str).filter(|value| is_secret_value(value)));
    values
}

/// What a job file gives under the names of secrets, as it is written there.
pub fn job_values(spec: &JobSpec) -> Vec<&str> {
    let of_agents = spec.agents.iter().flat_map(|a| &a.environment);
    let variables = spec.environment.iter().chain(of_agents);
    let plain = variables.filter(|(name, _)| is_secret_name(name)).map(|(_, v)| v.as_str());
    let config = spec.agents.iter().flat_map(|a| &a.config);
    let config = config
        .filter(|(key, _)| is_secret_name(&config_variable(key)))
        .filter_map(|(_, value)| value.as_str());
    plain.chain(config).filter(|value| is_secret_value(value)).collect()
}

/// Whether a variable that nobody wrote for this job holds a secret by its name. Stricter than for
/// what somebody wrote: one of its words has to be KEY, TOKEN, SECRET or PASSWORD.
pub fn is_secret_variable(name: &str) -> bool {
    let word = |word: &str| {
        let upper = word.to_ascii_uppercase();
        let single = upper.strip_suffix('S').unwrap_or(&upper);
        matches!(single, "KEY" | "APIKEY" | "TOKEN" | "SECRET" | "PASSWORD" | "PASSWD")
    };
    name.split(['_', '-', '.']).any(word)
}

fn is_secret_value(value: &str) -> bool {
    value.trim().parse::<f64>().is_err() && !matches!(value, "true" | "false")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::EnvFile;
    use crate::spec::SecretSource;

    #[test]
    fn every_source_of_a_secret_is_known() {
        let mut spec = JobSpec::program(vec!["x".to_owned()], None).unwrap();
        let map = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
        };
        spec.environment = map(&[("JOB_TOKEN", "of-the-job"), ("LEVEL", "INFO")]);
        spec.agents[0].environment = map(&[("API_KEY", "of-the-agent"), ("MAX_TOKENS", "4096")]);
        spec.agents[0].config = vec![("api-key".to_owned(), "of-config".into())];
        let file = EnvFile { name: ".env".into(), variables: vec![("A".into(), "of-file".into())] };
        let facts = LaunchFacts {
            job_files: vec![file],
            secrets: [(SecretSource::Env("X".into()), "of-source".to_owned())].into(),
            ..LaunchFacts::default()
        };
        let exports = [("MY_PASSWORD".to_owned(), "of-export".to_owned())];
        let environment =
            map(&[("OPENAI_API_KEY", "of-shell"), ("KEYBOARD", "us-layout"), ("TOKENS", "true")]);
        let mut values = secret_values(&spec, &facts, &exports, &environment);
        values.sort_unstable();
        assert_eq!(
            values,
            [
                "of-config",
                "of-export",
                "of-file",
                "of-shell",
                "of-source",
                "of-the-agent",
                "of-the-job"
            ]
        );
    }
}
