//! One entry under `agents:`.

use crate::ids::{AgentId, HostName, IdError};
use crate::launch::{Lifecycle, Protocol, ReadinessCheck, SignalNumber, StopPolicy};
use crate::source::{Code, Finding, Span};
use crate::spec::environment;
use crate::spec::load::{Roster, Variables};
use crate::spec::model::{
    AgentIx, AgentSpec, DependsOn, PortSpec, ReadinessSpec, Remote, Replicas, Run, Target,
};
use crate::spec::table::{Findings, Table, number, scalar, texts};
use crate::spec::words;
use crate::spec::yaml::{Node, Value};

const PROTOCOLS: [(&str, Protocol); 5] = [
    ("auto", Protocol::Auto),
    ("a2a", Protocol::A2a),
    ("query", Protocol::Query),
    ("http", Protocol::Http),
    ("none", Protocol::None),
];
const LIFECYCLES: [(&str, Lifecycle); 2] =
    [("service", Lifecycle::Service), ("task", Lifecycle::Task)];
/// More copies of one agent are a typing error.
const REPLICAS_MAX: u32 = 1_000_000;

/// An agent before names are looked up.
pub(super) struct Draft {
    pub(super) spec: AgentSpec,
    pub(super) environment: Variables,
    pub(super) config_keys: Vec<(String, Span)>,
    depends_on: Vec<(String, Span, DependsOn)>,
}

/// Reads an entry; `None` where it has no usable id. Sets `f.agent`.
///
/// After an error the rest is read all the same.
pub(super) fn read(node: &Node, n: usize, f: &mut Findings) -> Option<Draft> {
    let mut table = Table::new(node, &format!("agents[{n}]"), f)?;
    let (id, span) = id(&mut table, f)?;
    f.agent = Some(id.to_string());
    table.path = String::from("agents[]");

    let run = run(&mut table, span, f);
    let replicas = table.get("replicas").and_then(|node| replicas(node, f));
    let protocol = table.word("protocol", &PROTOCOLS, f).unwrap_or(Protocol::Auto);
    let default = match protocol {
        Protocol::None => Lifecycle::Task,
        Protocol::Auto | Protocol::A2a | Protocol::Query | Protocol::Http => Lifecycle::Service,
    };
    let lifecycle = table.word("lifecycle", &LIFECYCLES, f).unwrap_or(default);
    let (port, config, config_keys) = config(&mut table, f);
    let deployment = deployment(&mut table, f);
    let mut environment = deployment.environment;
    if let Some(node) = table.get("environment") {
        environment.extend(environment::read(node, "environment", f));
    }
    let stop = stop(&mut table, f);
    let readiness = readiness(&mut table, port, f);
    let depends_on = table.get("depends_on").map(|n| dependencies(n, f)).unwrap_or_default();
    let workdir = table.text("workdir", f).or(deployment.workdir);
    let python = table.text("python", f).or(deployment.python).filter(|p| p != "python3");
    later(&mut table, f);
    table.finish(f);

    let spec = AgentSpec {
        id,
        span,
        // An error was found where there is none; the entry stays so that its name is known.
        run: run.unwrap_or_else(|| Run::Command(Vec::new())),
        replicas,
        lifecycle,
        protocol,
        port,
        config,
        environment: environment.iter().map(|(k, (v, _))| (k.clone(), v.clone())).collect(),
        workdir,
        python,
        target: deployment.target,
        stop,
        readiness,
        depends_on: Vec::new(),
    };
    Some(Draft { spec, environment, config_keys, depends_on })
}

fn id(table: &mut Table<'_>, f: &mut Findings) -> Option<(AgentId, Span)> {
    let Some(node) = table.get("id") else {
        let message = format!("`{}` has no `id`", table.path);
        f.error(Code::Missing, table.span, message);
        return None;
    };
    let Some(text) = scalar(node) else {
        f.wrong_type(node, "id", "a text");
        return None;
    };
    match text.parse() {
        Ok(id) => Some((id, node.span)),
        Err(error) => {
            let error: IdError = error;
            f.error(Code::Value, node.span, error.to_string());
            None
        }
    }
}

fn run(table: &mut Table<'_>, id: Span, f: &mut Findings) -> Option<Run> {
    let class = table.text("type", f);
    let command = table.get_with_key("command");
    let module = table.get_with_key("module");
    let external = table.get_with_key("external");
    let given: Vec<_> = [command, module, external].into_iter().flatten().collect();
    if let [(first, _), (second, _), ..] = given[..] {
        let message = format!("`{}` and `{}` are both given", first.text, second.text);
        f.push(
            Finding::error(Code::Conflict, second.span, message)
                .other(first.span, "the other one")
                .help("an agent runs one thing; drop one of them"),
        );
    }
    if let Some((key, node)) = external {
        f.not_yet(key.span, "external", "start it as an agent, or leave it out of the job");
        return scalar(node).map(|url| Run::External { url });
    }
    if let Some((_, node)) = command {
        return argv(node, "command", f).map(Run::Command);
    }
    if let Some((_, node)) = module {
        let module = scalar(node).filter(|m| is_module(m));
        if module.is_none() {
            let message = "`module` is no Python module name";
            f.push(
                Finding::error(Code::Value, node.span, message)
                    .about(None, "module")
                    .help("write it with dots: `agents.weather_agent`"),
            );
        }
        return module.map(|module| Run::Module { module, class });
    }
    let name = f.agent.clone().unwrap_or_default();
    f.push(
        Finding::error(Code::Missing, id, format!("agent `{name}` has nothing to run"))
            .help("give it a `command` or a `module`"),
    );
    None
}

/// A dotted name; agent code is never imported to look whether it exists.
fn is_module(text: &str) -> bool {
    text.split('.').all(|part| {
        !part.is_empty()
            && !part.starts_with(|c: char| c.is_ascii_digit() || c == '-')
            && part.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '-')
    })
}

/// A list as it is, or a text split into words.
fn argv(node: &Node, path: &str, f: &mut Findings) -> Option<Vec<String>> {
    let argv: Vec<String> = match &node.value {
        Value::List(_) => texts(node, path, f)?.into_iter().map(|(text, _)| text).collect(),
        Value::Text(text) => match words::split(text) {
            Ok(words) => words,
            Err(error) => {
                let message = format!("cannot split `{path}` into words: {error}");
                f.push(
                    Finding::error(Code::Value, node.span, message)
                        .about(None, path)
                        .help("write it as a list: `[python3, agent.py]`"),
                );
                return None;
            }
        },
        Value::Null | Value::Bool(_) | Value::Number { .. } | Value::Map(_) => {
            f.wrong_type(node, path, "a list of words, or one text");
            return None;
        }
    };
    let problem = match argv.first() {
        None => Some("is empty"),
        Some(first) if first.is_empty() => Some("begins with an empty word"),
        Some(_) if argv.iter().any(|a| a.contains('\0')) => Some("contains a NUL character"),
        Some(_) => None,
    };
    match problem {
        Some(problem) => {
            let message = format!("`{path}` {problem}");
            f.push(Finding::error(Code::Value, node.span, message).about(None, path));
            None
        }
        None => Some(argv),
    }
}

fn replicas(node: &Node, f: &mut Findings) -> Option<Replicas> {
    match scalar(node).as_deref() {
        Some("auto") => Some(Replicas::Auto),
        Some(word) if word.parse::<f64>().is_err() => {
            let message = format!("`replicas` is `{}`", word.escape_debug());
            f.push(
                Finding::error(Code::Value, node.span, message)
                    .about(None, "replicas")
                    .help("a number from 1, or `auto`"),
            );
            None
        }
        Some(_) | None => number(node, "replicas", 1, REPLICAS_MAX, f).map(Replicas::Fixed),
    }
}

type Config = (PortSpec, Vec<(String, serde_json::Value)>, Vec<(String, Span)>);

fn config(table: &mut Table<'_>, f: &mut Findings) -> Config {
    let mut config: Config = (PortSpec::None, Vec::new(), Vec::new());
    let Some(node) = table.get("config") else { return config };
    // Finds a wrong type, and keys that stand twice.
    let _ = Table::new(node, "config", f);
    let Value::Map(entries) = &node.value else { return config };
    for (key, value) in entries {
        if key.text == "port" {
            config.0 = port(value, f).unwrap_or(PortSpec::None);
        }
        let usable = !key.text.is_empty() && !key.text.contains('\0');
        if !usable {
            f.error(Code::Value, key.span, "a key under `config` is empty or contains NUL");
            continue;
        }
        config.1.push((key.text.clone(), json(value)));
        config.2.push((key.text.clone(), key.span));
    }
    config
}

fn port(node: &Node, f: &mut Findings) -> Option<PortSpec> {
    match scalar(node).as_deref() {
        None if node.value == Value::Null => Some(PortSpec::None),
        Some("auto") => Some(PortSpec::Auto),
        Some("0") => {
            f.push(
                Finding::error(Code::Value, node.span, "`config.port` is 0")
                    .about(None, "config.port")
                    .help("for any free port write `port: auto`"),
            );
            None
        }
        Some(_) | None => number(node, "config.port", 1, 65535, f)
            .and_then(|n| u16::try_from(n).ok())
            .map(PortSpec::Fixed),
    }
}

fn json(node: &Node) -> serde_json::Value {
    use serde_json::Value as J;
    match &node.value {
        Value::Null => J::Null,
        Value::Bool(b) => J::Bool(*b),
        Value::Number { value, .. } => J::Number(value.clone()),
        Value::Text(text) => J::String(text.clone()),
        Value::List(items) => J::Array(items.iter().map(json).collect()),
        Value::Map(entries) => {
            J::Object(entries.iter().map(|(k, v)| (k.text.clone(), json(v))).collect())
        }
    }
}

struct Deployment {
    target: Target,
    environment: Variables,
    workdir: Option<String>,
    python: Option<String>,
}

#[derive(Clone, Copy)]
enum TargetWord {
    Localhost,
    Remote,
    Container,
    Kubernetes,
}

const TARGETS: [(&str, TargetWord); 4] = [
    ("localhost", TargetWord::Localhost),
    ("remote", TargetWord::Remote),
    ("container", TargetWord::Container),
    ("kubernetes", TargetWord::Kubernetes),
];

fn deployment(table: &mut Table<'_>, f: &mut Findings) -> Deployment {
    let mut found = Deployment {
        target: Target::Localhost,
        environment: Variables::new(),
        workdir: None,
        python: None,
    };
    let Some((key, node)) = table.get_with_key("deployment") else { return found };
    let Some(mut table) = Table::new(node, "deployment", f) else { return found };
    let word = table.word("target", &TARGETS, f).unwrap_or(TargetWord::Localhost);
    found.workdir = table.text("workdir", f);
    found.python = table.text("python", f);
    if let Some(node) = table.get("environment") {
        found.environment = environment::read(node, "deployment.environment", f);
    }
    let host = table.get_with_key("host");
    let remote =
        [table.get_with_key("user"), table.get_with_key("ssh_key"), table.get_with_key("port")];
    match word {
        TargetWord::Localhost => {
            for (key, _) in host.into_iter().chain(remote.into_iter().flatten()) {
                let path = format!("deployment.{}", key.text);
                f.no_effect(key.span, &path, "with `target: localhost`");
            }
        }
        TargetWord::Remote => match host {
            Some((_, node)) => {
                if let Some(host) = host_name(node, f) {
                    let (user, ssh_key) = (table.text("user", f), table.text("ssh_key", f));
                    let user = user.filter(|u| is_user(u, remote[0].map(|(_, n)| n.span), f));
                    let ssh_port = table.port("port", f);
                    found.target = Target::Remote(Remote { host, user, ssh_port, ssh_key });
                }
            }
            None => f.push(
                Finding::error(Code::Missing, key.span, "`target: remote` needs a `host`")
                    .about(None, "deployment.host"),
            ),
        },
        TargetWord::Container => {
            f.not_yet(key.span, "deployment.target: container", "use `localhost` or `remote`");
        }
        TargetWord::Kubernetes => {
            f.not_yet(key.span, "deployment.target: kubernetes", "use `localhost` or `remote`");
        }
    }
    if let Some((key, _)) = table.get_with_key("password") {
        f.not_yet(key.span, "deployment.password", "a2arun uses SSH keys and agents");
    }
    for key in ["image", "network", "container_name", "namespace", "service_type"] {
        if let Some((key, _)) = table.get_with_key(key)
            && matches!(word, TargetWord::Localhost | TargetWord::Remote)
        {
            let path = format!("deployment.{}", key.text);
            f.no_effect(key.span, &path, "with this target");
        }
    }
    table.finish(f);
    found
}

fn host_name(node: &Node, f: &mut Findings) -> Option<HostName> {
    let Some(text) = scalar(node) else {
        f.wrong_type(node, "deployment.host", "a host name");
        return None;
    };
    let read: Result<HostName, IdError> = text.parse();
    read.map_err(|e| f.error(Code::Value, node.span, e.to_string())).ok()
}

/// It is handed to `ssh`.
fn is_user(user: &str, span: Option<Span>, f: &mut Findings) -> bool {
    let good = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '@' | '\\');
    let fine = !user.is_empty() && !user.starts_with('-') && user.chars().all(good);
    if !fine {
        let message = format!("`deployment.user` is `{}`, no user name", user.escape_debug());
        f.error(Code::Value, span.unwrap_or_default(), message);
    }
    fine
}

fn stop(table: &mut Table<'_>, f: &mut Findings) -> StopPolicy {
    let mut policy = StopPolicy::default();
    let Some(node) = table.get("stop") else { return policy };
    let Some(mut table) = Table::new(node, "stop", f) else { return policy };
    if let Some(node) = table.get("signal") {
        match scalar(node).as_deref().and_then(SignalNumber::parse) {
            Some(signal) => policy.signal = signal,
            None => f.push(
                Finding::error(Code::Value, node.span, "`stop.signal` is no signal")
                    .about(None, "stop.signal")
                    .help("a name such as TERM, INT or USR1, or a number from 1 to 64"),
            ),
        }
    }
    policy.grace = table.duration("grace", f).unwrap_or(policy.grace);
    table.finish(f);
    policy
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum ProbeWord {
    Auto,
    Card,
    Http,
    Tcp,
    Exec,
    Alive,
    Log,
}

const PROBES: [(&str, ProbeWord); 8] = [
    ("auto", ProbeWord::Auto),
    ("card", ProbeWord::Card),
    ("http", ProbeWord::Http),
    ("tcp", ProbeWord::Tcp),
    ("exec", ProbeWord::Exec),
    ("alive", ProbeWord::Alive),
    ("none", ProbeWord::Alive),
    ("log", ProbeWord::Log),
];

fn readiness(table: &mut Table<'_>, main: PortSpec, f: &mut Findings) -> ReadinessSpec {
    let mut spec = ReadinessSpec::default();
    let Some((key, node)) = table.get_with_key("readiness") else { return spec };
    let Some(mut table) = Table::new(node, "readiness", f) else { return spec };
    let word = table.word("type", &PROBES, f).unwrap_or(ProbeWord::Auto);
    spec.deadline = table.duration("deadline", f);
    spec.timeout = table.duration("timeout", f).unwrap_or(spec.timeout);
    if spec.timeout.is_zero() {
        f.error(Code::Value, key.span, "`readiness.timeout` is 0");
    }
    let path = table.get_with_key("path");
    let status = table.get_with_key("status");
    let command = table.get_with_key("command");
    let port_key = table.get_with_key("port");
    let port = table.port("port", f);
    let path_text = table.text("path", f);
    if let (Some((_, node)), Some(text)) = (path, &path_text)
        && !text.starts_with('/')
    {
        let message = format!("`readiness.path` is `{}`", text.escape_debug());
        f.push(
            Finding::error(Code::Value, node.span, message)
                .about(None, "readiness.path")
                .help("it begins with `/`"),
        );
    }
    let status_code = table.number("status", 100, 599, f).and_then(|n| u16::try_from(n).ok());
    let by_http = word == ProbeWord::Http || (word == ProbeWord::Auto && path.is_some());
    spec.check = match word {
        _ if by_http => Some(ReadinessCheck::Http {
            port,
            path: path_text.unwrap_or_else(|| "/".to_owned()),
            status: status_code,
        }),
        ProbeWord::Auto | ProbeWord::Http if port.is_some() => Some(ReadinessCheck::Auto { port }),
        ProbeWord::Auto | ProbeWord::Http | ProbeWord::Log => None,
        ProbeWord::Card => Some(ReadinessCheck::Card { port }),
        ProbeWord::Tcp => Some(ReadinessCheck::Tcp { port }),
        ProbeWord::Alive => Some(ReadinessCheck::Alive),
        ProbeWord::Exec => match command {
            Some((_, node)) => {
                argv(node, "readiness.command", f).map(|command| ReadinessCheck::Exec { command })
            }
            None => {
                let message = "`readiness: {type: exec}` needs a `command`";
                f.push(Finding::error(Code::Missing, key.span, message));
                None
            }
        },
    };
    if word == ProbeWord::Log {
        f.not_yet(key.span, "readiness.type: log", "use `tcp`, `http` or `exec`");
    }
    let needs_port = by_http || matches!(word, ProbeWord::Card | ProbeWord::Tcp);
    if needs_port && port_key.is_none() && main == PortSpec::None {
        let message = "`readiness` looks at a port, and the agent has none";
        f.push(
            Finding::error(Code::Missing, key.span, message)
                .help("give it `config: {port: auto}`, or the probe a `port`"),
        );
    }
    let kind = "with this `readiness.type`";
    for (found, fits) in [
        (path, by_http),
        (status, by_http),
        (command, word == ProbeWord::Exec),
        (port_key, !matches!(word, ProbeWord::Exec | ProbeWord::Alive | ProbeWord::Log)),
    ] {
        if let Some((key, _)) = found.filter(|_| !fits) {
            f.no_effect(key.span, &format!("readiness.{}", key.text), kind);
        }
    }
    if let Some((key, _)) = table.get_with_key("pattern")
        && word != ProbeWord::Log
    {
        f.no_effect(key.span, "readiness.pattern", kind);
    }
    table.finish(f);
    spec
}

const CONDITIONS: [(&str, Option<DependsOn>); 3] =
    [("started", Some(DependsOn::Started)), ("ready", Some(DependsOn::Ready)), ("completed", None)];

fn dependencies(node: &Node, f: &mut Findings) -> Vec<(String, Span, DependsOn)> {
    let Value::Map(entries) = &node.value else {
        let list = texts(node, "depends_on", f).unwrap_or_default();
        return list.into_iter().map(|(id, span)| (id, span, DependsOn::Ready)).collect();
    };
    let mut found = Vec::new();
    for (key, value) in entries {
        let word = scalar(value).unwrap_or_default();
        match CONDITIONS.iter().find(|(known, _)| *known == word) {
            Some((_, Some(condition))) => found.push((key.text.clone(), key.span, *condition)),
            Some((_, None)) => {
                f.not_yet(value.span, "depends_on: completed", "use `ready`, or two jobs");
            }
            None => {
                let message = format!("`depends_on.{}` is `{}`", key.text, word.escape_debug());
                f.push(
                    Finding::error(Code::Value, value.span, message)
                        .about(None, "depends_on")
                        .help("one of: started, ready, completed"),
                );
            }
        }
    }
    found
}

/// Looks the names under `depends_on` up.
pub(super) fn depends_on(
    draft: &Draft,
    roster: &Roster,
    f: &mut Findings,
) -> Vec<(AgentIx, DependsOn)> {
    f.agent = Some(draft.spec.id.to_string());
    let found = draft
        .depends_on
        .iter()
        .filter_map(|(id, span, condition)| {
            roster.find(id, *span, "depends_on", f).map(|ix| (ix, *condition))
        })
        .collect();
    f.agent = None;
    found
}

/// What later work lifts. Errors where the agent would run otherwise than written, warnings where
/// a2arun merely does less.
fn later(table: &mut Table<'_>, f: &mut Findings) {
    table.path = String::new();
    table.refused("venv", "for a module agent `python: VENV/bin/python` does the same", f);
    table.refused("setup", "run it in the command: `[bash, -c, \"… && exec agent\"]`", f);
    table.refused("ports", "use `config: {port: …}`", f);
    table.refused("env_file", "export the variables in the shell and pass them with -x", f);
    table.refused("placement", "use `deployment: {target: remote, host: …}`", f);
    table.refused("limits", "set them in the command, by `prlimit` or `ulimit`", f);
    table.refused("mounts", "", f);
    table.reserved(&["resources", "scale", "cost", "when", "update", "sync", "watch", "auth"], f);
    policy_unless(table, "restart", "policy", "never", f);
    policy_unless(table, "liveness", "type", "none", f);
    if let Some((key, node)) = table.get_with_key("on_peers_change")
        && scalar(node).as_deref() != Some("file")
    {
        f.not_acted_on(key.span, "on_peers_change");
    }
}

/// A warning, unless the map asks for what happens anyway.
fn policy_unless(
    table: &mut Table<'_>,
    name: &'static str,
    field: &'static str,
    none: &str,
    f: &mut Findings,
) {
    if let Some((key, node)) = table.get_with_key(name)
        && let Some(mut inner) = Table::new(node, name, f)
        && inner.text(field, f).as_deref() != Some(none)
    {
        f.not_acted_on(key.span, name);
    }
}
