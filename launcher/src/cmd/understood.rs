//! What was understood of an agent, in words: `validate -v`.

use std::time::Duration;

use a2arun_core::launch::{Lifecycle, Protocol, ReadinessCheck};
use a2arun_core::spec::{
    AgentIx, AgentSpec, JobSpec, OnExhausted, OnHostLost, OnPeersChange, PlaceHost, PortSpec,
    Replicas, RestartSpec, RestartWhen, Run, SecretSource, Spread, Target,
};

use crate::cmd::plan::source;
use crate::cmd::survey::Survey;

/// Label and text of each line, in the order of reading.
pub(super) type Lines = Vec<(&'static str, String)>;

/// An agent in words. What holds for every agent that does not say otherwise is left out, but for
/// what people ask after most: how it is run, where, on which port, and when it is ready.
pub(super) fn understood(spec: &JobSpec, ix: AgentIx, survey: &Survey) -> Lines {
    let agent = spec.agent(ix);
    let mut lines: Lines = vec![("runs", run(agent))];
    if agent.external().is_some() {
        return lines;
    }
    let located = &survey.sites[ix.get()];
    if agent.is_module() || agent.venv.is_some() {
        let by = source(located.source);
        lines.push(("python", format!("{}, chosen by {by}", located.site.python)));
    }
    if let Some(workdir) = &located.site.workdir {
        lines.push(("workdir", workdir.display().to_string()));
    }
    if agent.setup.is_some() {
        lines.push(("setup", "bash code, sourced before exec".to_owned()));
    }
    lines.push(("target", target(&agent.target)));
    lines.extend(placement(spec, agent).map(|text| ("placement", text)));
    let copies = match agent.replicas {
        None => None,
        Some(Replicas::Auto) => Some("auto: a share of -np, else the written slots".to_owned()),
        Some(Replicas::Fixed(n)) => Some(n.to_string()),
    };
    lines.extend(copies.map(|text| ("copies", text)));
    lines.push(("is", format!("{}, {}", lifecycle(agent.lifecycle), protocol(agent.protocol))));
    lines.push(("ports", ports(agent)));
    lines.push(("ready", ready(spec, agent)));
    if let Some(check) = &agent.liveness.check {
        let every = time(agent.liveness.interval);
        let failures = agent.liveness.failures;
        lines.push((
            "alive",
            format!("{}, looked at every {every}; {failures} failures are a verdict", probe(check)),
        ));
    }
    lines.push(("restart", restart(&agent.restart)));
    let stop = &agent.stop;
    lines.push(("stop", format!("{}, KILL after {}", stop.signal.name(), time(stop.grace))));
    match agent.on_host_lost {
        OnHostLost::Wait => {}
        OnHostLost::FailJob => lines.push(("host lost", "the job fails".to_owned())),
        OnHostLost::Reschedule => lines.push(("host lost", "started on another host".to_owned())),
    }
    match &agent.on_peers_change {
        OnPeersChange::File => {}
        OnPeersChange::Signal(signal) => lines.push(("peers change", signal.name())),
        OnPeersChange::Http(path) => lines.push(("peers change", format!("POST {path}"))),
        OnPeersChange::Restart => lines.push(("peers change", "restarted".to_owned())),
    }
    if !agent.depends_on.is_empty() {
        let waits = agent.depends_on.iter();
        let waits = waits.map(|(on, how)| format!("{} is {}", spec.agent(*on).id, how.as_str()));
        lines.push(("waits until", waits.collect::<Vec<_>>().join(", ")));
    }
    lines.extend(variables(spec, ix, survey).map(|text| ("variables", text)));
    lines
}

fn run(agent: &AgentSpec) -> String {
    match &agent.run {
        Run::Command(argv) => argv.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" "),
        Run::Module { module, class: Some(class) } => format!("PYTHON -m {module} ({class})"),
        Run::Module { module, class: None } => format!("PYTHON -m {module}"),
        Run::External { url } => format!("nothing: it is {url}"),
        Run::Image => "what its image runs".to_owned(),
    }
}

/// A word as one would type it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./=:,@%+[]$()".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

fn target(target: &Target) -> String {
    match target {
        Target::Localhost => "localhost: where the job is launched".to_owned(),
        Target::Remote(remote) => format!("host {}", remote.host),
        Target::Container(container) => match (&container.image, &container.name) {
            (Some(image), _) => format!("container of {image}"),
            (None, Some(name)) => format!("container {name}"),
            (None, None) => "container".to_owned(),
        },
        Target::Kubernetes(pod) => match &pod.image {
            Some(image) => format!("pod of {image}"),
            None => "pod".to_owned(),
        },
    }
}

fn placement(spec: &JobSpec, agent: &AgentSpec) -> Option<String> {
    let placement = &agent.placement;
    let ids = |list: &[AgentIx]| {
        list.iter().map(|ix| spec.agent(*ix).id.to_string()).collect::<Vec<_>>().join(", ")
    };
    let mut parts = Vec::new();
    match &placement.host {
        None => {}
        Some(PlaceHost::Head) => parts.push("the launching machine".to_owned()),
        Some(PlaceHost::Named(host)) => parts.push(format!("host {host}")),
    }
    if !placement.labels.is_empty() {
        parts.push(format!("labels {}", placement.labels.join(", ")));
    }
    match placement.spread {
        None => {}
        Some(Spread::Host) => parts.push("hosts in turn".to_owned()),
    }
    if !placement.with.is_empty() {
        parts.push(format!("with {}", ids(&placement.with)));
    }
    if !placement.apart.is_empty() {
        parts.push(format!("apart from {}", ids(&placement.apart)));
    }
    let needs = &agent.resources;
    if let Some(milli) = needs.cpu_milli {
        parts.push(format!("{} CPU", cpus(milli)));
    }
    if let Some(bytes) = needs.memory_bytes {
        parts.push(format!("{} of memory", amount(bytes)));
    }
    if let Some(gpus) = needs.gpus {
        parts.push(format!("{gpus} GPU"));
    }
    (!parts.is_empty()).then(|| parts.join("; "))
}

fn lifecycle(lifecycle: Lifecycle) -> &'static str {
    match lifecycle {
        Lifecycle::Task => "a task: its exit 0 is success",
        Lifecycle::Service => "a service",
    }
}

fn protocol(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Auto => "its protocol is found out",
        Protocol::A2a => "A2A",
        Protocol::Query => "POST /query",
        Protocol::Http => "HTTP",
        Protocol::None => "asked nothing",
    }
}

fn ports(agent: &AgentSpec) -> String {
    let one = |port: &PortSpec| match port {
        PortSpec::None => "none".to_owned(),
        PortSpec::Auto => "auto".to_owned(),
        PortSpec::Fixed(port) => port.to_string(),
    };
    let mut all = vec![one(&agent.port)];
    all.extend(agent.ports.iter().map(|(name, port)| format!("{name} {}", one(port))));
    all.join(", ")
}

fn ready(spec: &JobSpec, agent: &AgentSpec) -> String {
    let readiness = agent.readiness_of(&spec.deployment);
    let within = time(readiness.deadline);
    match readiness.check {
        ReadinessCheck::Alive => probe(&readiness.check),
        check @ (ReadinessCheck::Tcp { .. }
        | ReadinessCheck::Http { .. }
        | ReadinessCheck::Card { .. }
        | ReadinessCheck::Auto { .. }
        | ReadinessCheck::Log { .. }
        | ReadinessCheck::Exec { .. }) => format!("{}, within {within}", probe(&check)),
    }
}

fn probe(check: &ReadinessCheck) -> String {
    let on = |port: &Option<u16>| port.map(|p| format!(" on port {p}")).unwrap_or_default();
    match check {
        ReadinessCheck::Alive => "as soon as it is exec'ed".to_owned(),
        ReadinessCheck::Tcp { port } => format!("its port is open{}", on(port)),
        ReadinessCheck::Http { port, path, status } => {
            let status = status.map_or("2xx, 401 or 403".to_owned(), |s| s.to_string());
            format!("GET {path}{} answers {status}", on(port))
        }
        ReadinessCheck::Card { port } => format!("its agent card answers{}", on(port)),
        ReadinessCheck::Auto { port } => {
            format!("its port is open and its card, where it has one, answers{}", on(port))
        }
        ReadinessCheck::Log { pattern } => format!("a line of its output matches `{pattern}`"),
        ReadinessCheck::Exec { command } => {
            let words: Vec<String> = command.iter().map(|word| quoted(word)).collect();
            format!("`{}` exits with 0", words.join(" "))
        }
    }
}

fn restart(spec: &RestartSpec) -> String {
    let policy = match spec.when {
        None => return "never".to_owned(),
        Some(RestartWhen::Never) => return "never".to_owned(),
        Some(RestartWhen::OnFailure) => "on failure",
        Some(RestartWhen::Always) => "always",
    };
    let then = match spec.on_exhausted {
        OnExhausted::FailJob => "then the job fails",
        OnExhausted::Leave => "then it stays down",
    };
    format!(
        "{policy}, after {} × {} up to {}, {} times in {}, {then}",
        time(spec.delay),
        spec.factor,
        time(spec.max_delay),
        spec.max,
        time(spec.window),
    )
}

/// Names only.
fn variables(spec: &JobSpec, ix: AgentIx, survey: &Survey) -> Option<String> {
    let agent = spec.agent(ix);
    let mut names: Vec<String> = Vec::new();
    for environment in [&spec.environment, &agent.environment] {
        names.extend(environment.keys().cloned());
    }
    for secrets in [&spec.secrets, &agent.secrets] {
        names.extend(secrets.iter().map(|(name, from)| format!("{name} ({})", secret(from))));
    }
    names.sort();
    names.dedup();
    let own = survey.facts.agent_files.get(ix.get()).into_iter().flatten();
    for file in survey.facts.job_files.iter().chain(own).chain(&survey.facts.cli_files) {
        names.push(format!("{} of {}", file.variables.len(), file.name));
    }
    (!names.is_empty()).then(|| names.join(", "))
}

fn secret(source: &SecretSource) -> String {
    match source {
        SecretSource::Env(name) => format!("secret, from ${name}"),
        SecretSource::File(file) => format!("secret, from {file}"),
        SecretSource::Cmd(argv) => {
            format!("secret, from {}", argv.first().map_or("", String::as_str))
        }
    }
}

/// `500ms`, `1.5s`, `90s`, `10m`: as one writes it in the file.
fn time(duration: Duration) -> String {
    let millis = duration.as_millis();
    match (millis % 1000, duration.as_secs()) {
        (0, seconds) if seconds >= 120 && seconds % 60 == 0 => format!("{}m", seconds / 60),
        (0, seconds) => format!("{seconds}s"),
        (_, 0) => format!("{millis}ms"),
        (_, _) => format!("{}s", duration.as_secs_f64()),
    }
}

fn cpus(milli: u64) -> String {
    match milli % 1000 {
        0 => (milli / 1000).to_string(),
        _ => format!("{}", milli as f64 / 1000.0),
    }
}

fn amount(bytes: u64) -> String {
    let units = [("G", 1 << 30), ("M", 1 << 20), ("K", 1 << 10)];
    match units.iter().find(|(_, size)| bytes.is_multiple_of(*size)) {
        Some((unit, size)) => format!("{}{unit}", bytes / size),
        None => format!("{bytes} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_written_as_in_the_file() {
        let times = [500, 1_500, 2_000, 90_000, 600_000].map(Duration::from_millis);
        assert_eq!(times.map(time), ["500ms", "1.5s", "2s", "90s", "10m"]);
        assert_eq!([500, 2000].map(cpus), ["0.5", "2"]);
        assert_eq!([2 << 30, 512 << 20, 1000].map(amount), ["2G", "512M", "1000 bytes"]);
    }
}
