//! One entry under `agents:`.

use crate::ids::{AgentId, IdError};
use crate::launch::{Lifecycle, Protocol};
use crate::source::{Code, Finding, Span};
use crate::spec::environment::{self, Environment};
use crate::spec::load::Roster;
use crate::spec::model::{AgentIx, AgentSpec, DependsOn, PortSpec, Replicas, Run, Target};
use crate::spec::table::{Findings, Table, number, scalar, texts};
use crate::spec::yaml::{Node, Value};
use crate::spec::{probe, target, terms, words};

pub(super) const PROTOCOLS: [(&str, Protocol); 5] = [
    ("auto", Protocol::Auto),
    ("a2a", Protocol::A2a),
    ("query", Protocol::Query),
    ("http", Protocol::Http),
    ("none", Protocol::None),
];
pub(super) const LIFECYCLES: [(&str, Lifecycle); 2] =
    [("service", Lifecycle::Service), ("task", Lifecycle::Task)];
/// More copies of one agent are a typing error.
const REPLICAS_MAX: u32 = 1_000_000;

/// An agent before names are looked up.
pub(super) struct Draft {
    pub(super) spec: AgentSpec,
    pub(super) environment: Environment,
    pub(super) config_keys: Vec<(String, Span)>,
    /// Where `command` and `readiness` stand.
    pub(super) command: Span,
    pub(super) readiness: Span,
    depends_on: Vec<(String, Span, DependsOn)>,
    with: Vec<(String, Span)>,
    apart: Vec<(String, Span)>,
}

/// Reads an entry; `None` where it has no usable id. Sets `f.agent`.
///
/// After an error the rest is read all the same.
pub(super) fn read(node: &Node, n: usize, f: &mut Findings) -> Option<Draft> {
    let mut table = Table::new(node, &format!("agents[{n}]"), f)?;
    let (id, span) = id(&mut table, f)?;
    f.agent = Some(id.to_string());
    table.path = String::new();

    let has_run = ["command", "module", "external"].iter().any(|k| table.get(k).is_some());
    let run = run(&mut table, f);
    let replicas = table.get("replicas").and_then(|node| replicas(node, f));
    let protocol = table.word("protocol", &PROTOCOLS, f).unwrap_or(Protocol::Auto);
    let default = match protocol {
        Protocol::None => Lifecycle::Task,
        Protocol::Auto | Protocol::A2a | Protocol::Query | Protocol::Http => Lifecycle::Service,
    };
    let lifecycle = table.word("lifecycle", &LIFECYCLES, f).unwrap_or(default);
    let (port, config, config_keys) = config(&mut table, f);
    let deployment = target::deployment(&mut table, has_run, f);
    let mut environment = deployment.environment;
    if let Some(node) = table.get("environment") {
        environment.extend(environment::read(node, "environment", f));
    }
    let ports = terms::ports(&mut table, f);
    let stop = terms::stop(&mut table, f);
    let mut readiness = probe::readiness(&mut table, port, f);
    probe::health_check(&mut table, port, &mut readiness, f);
    let liveness = probe::liveness(&mut table, port, f);
    let depends_on = table.get("depends_on").map(|n| dependencies(n, f)).unwrap_or_default();
    let placement = terms::placement(&mut table, f);
    let workdir = table.named("workdir", f).or(deployment.workdir);
    let python = table.named("python", f).or(deployment.python).filter(|p| p != "python3");
    let run = run.or_else(|| image(&deployment.target, has_run));
    let draft = AgentSpec {
        span,
        replicas,
        lifecycle,
        protocol,
        port,
        config,
        ports,
        environment: environment.plain(),
        secrets: environment.secrets(),
        env_files: files(&mut table, f),
        venv: table.named("venv", f),
        setup: table.text("setup", f),
        workdir,
        python,
        target: deployment.target,
        stop,
        readiness,
        placement: placement.placement,
        resources: terms::resources(&mut table, f),
        limits: terms::limits(&mut table, f),
        liveness,
        restart: terms::restart(&mut table, f),
        on_host_lost: terms::on_host_lost(&mut table, f),
        on_peers_change: terms::on_peers_change(&mut table, f),
        // An error was found where there is nothing; the entry stays so that its name is known.
        ..AgentSpec::new(id, run.clone().unwrap_or_else(|| Run::Command(Vec::new())))
    };
    if run.is_none() && !has_run {
        let message = format!("agent `{}` has nothing to run", draft.id);
        f.push(
            Finding::error(Code::Missing, span, message).help("give it a `command` or a `module`"),
        );
    }
    if draft.external().is_some() {
        unused_of_external(&mut table, f);
    }
    table.reserved(&RESERVED, f);
    let place =
        |key: &'static str, table: &mut Table<'_>| table.get(key).map_or(span, |node| node.span);
    let (command, readiness) = (place("command", &mut table), place("readiness", &mut table));
    table.finish(f);
    Some(Draft {
        spec: draft,
        environment,
        config_keys,
        command,
        readiness,
        depends_on,
        with: placement.with,
        apart: placement.apart,
    })
}

/// Keys of an agent that are kept for later work.
const RESERVED: [&str; 11] = [
    "include", "extends", "when", "scale", "cost", "update", "sync", "watch", "auth", "mounts",
    "network",
];

/// A container image needs no command.
fn image(target: &Target, has_run: bool) -> Option<Run> {
    match target {
        Target::Container(_) | Target::Kubernetes(_) if !has_run => Some(Run::Image),
        Target::Container(_) | Target::Kubernetes(_) | Target::Localhost | Target::Remote(_) => {
            None
        }
    }
}

/// What means nothing where nothing is launched.
fn unused_of_external(table: &mut Table<'_>, f: &mut Findings) {
    let keys = [
        "workdir",
        "venv",
        "setup",
        "replicas",
        "lifecycle",
        "config",
        "ports",
        "environment",
        "env_file",
        "deployment",
        "placement",
        "resources",
        "limits",
        "readiness",
        "health_check",
        "liveness",
        "restart",
        "stop",
        "depends_on",
        "on_peers_change",
        "on_host_lost",
        "python",
    ];
    for key in keys {
        if let Some((found, _)) = table.get_with_key(key) {
            f.no_effect(found.span, key, "beside `external`: nothing is launched");
        }
    }
}

/// `env_file`: one or several.
pub(super) fn files(table: &mut Table<'_>, f: &mut Findings) -> Vec<String> {
    let mut files = Vec::new();
    for (file, span) in table.texts("env_file", f).unwrap_or_default() {
        if file.is_empty() {
            f.error(Code::Value, span, "`env_file` is no path");
        } else {
            files.push(file);
        }
    }
    files
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

fn run(table: &mut Table<'_>, f: &mut Findings) -> Option<Run> {
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
    if let Some((_, node)) = external {
        let url = scalar(node).filter(|url| is_url(url));
        if url.is_none() {
            let finding = Finding::error(Code::Value, node.span, "`external` is no URL");
            f.push(finding.about(None, "external").help("`http://HOST:PORT` or `https://…`"));
        }
        return url.map(|url| Run::External { url });
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
    None
}

/// It goes into comma lists and variables.
fn is_url(text: &str) -> bool {
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    rest.is_some_and(|rest| {
        !rest.is_empty()
            && !rest.starts_with('/')
            && !rest.contains(|c: char| c.is_whitespace() || c.is_control() || c == ',')
    })
}

/// A dotted name; agent code is never imported to look whether it exists.
fn is_module(text: &str) -> bool {
    text.split('.').all(|part| {
        !part.is_empty()
            && !part.starts_with(|c: char| c.is_ascii_digit() || c == '-')
            && part.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '-')
    })
}

/// Words that only a shell understands.
const SHELL_WORDS: [&str; 8] = ["&&", "||", "|", ";", "&", ">", ">>", "<"];

/// A list as it is, or a text split into words.
pub(super) fn argv(node: &Node, path: &str, f: &mut Findings) -> Option<Vec<String>> {
    let argv: Vec<String> = match &node.value {
        Value::List(_) => texts(node, path, f)?.into_iter().map(|(text, _)| text).collect(),
        Value::Text(text) => match words::split(text) {
            Ok(words) => {
                if let Some(word) = words.iter().find(|word| SHELL_WORDS.contains(&word.as_str())) {
                    let message =
                        format!("`{word}` in `{path}` is given to the program: there is no shell");
                    f.push(
                        Finding::warning(Code::Value, node.span, message)
                            .about(None, path)
                            .help("`[sh, -c, \"...\"]` runs one"),
                    );
                }
                words
            }
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
            config.0 = terms::port(value, "config.port", f).unwrap_or(PortSpec::None);
        }
        if key.text.is_empty() {
            f.error(Code::Value, key.span, "a key under `config` is empty");
            continue;
        }
        config.1.push((key.text.clone(), json(value)));
        config.2.push((key.text.clone(), key.span));
    }
    config
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

pub(super) const CONDITIONS: [(&str, DependsOn); 3] = [
    ("started", DependsOn::Started),
    ("ready", DependsOn::Ready),
    ("completed", DependsOn::Completed),
];

fn dependencies(node: &Node, f: &mut Findings) -> Vec<(String, Span, DependsOn)> {
    let Value::Map(entries) = &node.value else {
        let list = texts(node, "depends_on", f).unwrap_or_default();
        return list.into_iter().map(|(id, span)| (id, span, DependsOn::Ready)).collect();
    };
    let mut found = Vec::new();
    for (key, value) in entries {
        let word = scalar(value).unwrap_or_default();
        match CONDITIONS.iter().find(|(known, _)| *known == word) {
            Some((_, condition)) => found.push((key.text.clone(), key.span, *condition)),
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

/// Looks the names under `placement` up: `with`, `apart`.
pub(super) fn neighbours(
    draft: &Draft,
    roster: &Roster,
    f: &mut Findings,
) -> (Vec<AgentIx>, Vec<AgentIx>) {
    f.agent = Some(draft.spec.id.to_string());
    let mut look = |list: &[(String, Span)], path: &str| -> Vec<AgentIx> {
        list.iter().filter_map(|(id, span)| roster.find(id, *span, path, f)).collect()
    };
    let found = (look(&draft.with, "placement.with"), look(&draft.apart, "placement.apart"));
    f.agent = None;
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
