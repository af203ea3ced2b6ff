//! Variables that a2arun sets itself, and which field says the same.

/// What an agent of another host's head starts from, and one of `--export none` (DESIGN §6).
pub const HOST_VARIABLES: [&str; 12] = [
    "PATH",
    "HOME",
    "USER",
    "SHELL",
    "LANG",
    "TMPDIR",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
];

/// What to do instead of setting `name` by hand; `None`: it is the user's.
///
/// `AGENT_ALLOWED_HOSTS`, `AGENT_MIN_PORT` and `AGENT_MAX_PORT` are not among them: what the user
/// gives is widened by what the job needs, as job files of the original format expect.
pub fn field_for(name: &str) -> Option<&'static str> {
    match name {
        "AGENT_ID" => Some("it is the agent's `id`"),
        "AGENT_PORT" | "PORT" | "A2A_PORT" => Some("use `config: {port: …}`"),
        "AGENT_HOST" => Some("use `config: {host: …}`"),
        "A2A_BIND_HOST" | "A2A_PUBLIC_URL" => Some("use `addr=` in the hostfile, or --net"),
        "CONNECTED_AGENTS" => Some("use `topology`"),
        "JOB_ID" | "AGENT_JOB_TRACE_ID" => Some("it is set for every run"),
        _ if name.starts_with("A2ARUN_") => Some("names beginning with A2ARUN_ are a2arun's own"),
        _ if name.starts_with("PORT_") => Some("use `ports: {…}`"),
        _ => None,
    }
}

/// The variable of a key under `config`.
pub fn config_variable(key: &str) -> String {
    let upper = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    std::iter::once("AGENT_".to_owned()).chain(key.chars().map(|c| upper(c).to_string())).collect()
}

/// The part of `URL_<ID>` that stands for an agent.
pub fn id_variable(id: &str) -> String {
    id.chars()
        .map(|c| if matches!(c, '-' | '.') { '_' } else { c })
        .flat_map(char::to_uppercase)
        .collect()
}

/// Variables of launchers around us that must not reach an agent: it would believe to be one of
/// their processes.
pub fn is_launcher_internal(name: &str) -> bool {
    let keeps = matches!(name, "SLURM_JOB_ID" | "SLURM_JOBID");
    let internal = ["SLURM_", "PMI", "OMPI_", "A2ARUN_"].iter().any(|p| name.starts_with(p));
    internal && !keeps
}

/// The variable of a name under `ports`.
pub fn port_variable(name: &str) -> String {
    format!("PORT_{}", id_variable(name))
}

/// Whether a variable of this name holds a secret (DESIGN §9): one of its words is KEY, TOKEN,
/// SECRET or PASSWORD.
pub fn is_secret_name(name: &str) -> bool {
    let upper = name.to_ascii_uppercase();
    ["KEY", "TOKEN", "SECRET", "PASSWORD"].iter().any(|word| upper.contains(word))
}

/// Whether `ssh` can be given this user: nothing that is read as an option or by a shell.
pub fn is_user_name(user: &str) -> bool {
    let good = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '@' | '\\');
    !user.is_empty() && !user.starts_with('-') && user.chars().all(good)
}

/// Whether it is a name that execve(2) and every shell can carry.
pub fn is_variable_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(['=', '\0']) && !name.chars().any(char::is_whitespace)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_made_as_the_contract_says() {
        assert_eq!(config_variable("log-level"), "AGENT_LOG_LEVEL");
        assert_eq!(id_variable("new-york.2"), "NEW_YORK_2");
        assert!(is_launcher_internal("SLURM_PROCID") && !is_launcher_internal("SLURM_JOB_ID"));
        assert!(is_launcher_internal("PMIX_RANK") && !is_launcher_internal("PATH"));
        assert!(field_for("A2ARUN_RANK").is_some() && field_for("LOG_LEVEL").is_none());
        assert!(is_variable_name("A.b") && !is_variable_name("A=B") && !is_variable_name(""));
    }
}
