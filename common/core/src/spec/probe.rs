//! `readiness` and `liveness`: what is looked at, and how often.

use crate::launch::ReadinessCheck;
use crate::source::{Code, Finding, Span};
use crate::spec::agent::argv;
use crate::spec::model::{PortSpec, ReadinessSpec};
use crate::spec::policy::LivenessSpec;
use crate::spec::table::{Findings, Table};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ProbeWord {
    Auto,
    Card,
    Http,
    Tcp,
    Exec,
    Alive,
    Log,
    None,
}

pub(super) const PROBES: [(&str, ProbeWord); 8] = [
    ("auto", ProbeWord::Auto),
    ("card", ProbeWord::Card),
    ("http", ProbeWord::Http),
    ("tcp", ProbeWord::Tcp),
    ("exec", ProbeWord::Exec),
    ("log", ProbeWord::Log),
    ("alive", ProbeWord::Alive),
    ("none", ProbeWord::Alive),
];

pub(super) const LIVENESS: [(&str, ProbeWord); 5] = [
    ("none", ProbeWord::None),
    ("card", ProbeWord::Card),
    ("http", ProbeWord::Http),
    ("tcp", ProbeWord::Tcp),
    ("exec", ProbeWord::Exec),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    Get,
    Other,
}

pub(super) const METHODS: [(&str, Method); 3] =
    [("GET", Method::Get), ("HEAD", Method::Other), ("POST", Method::Other)];

/// Reads `readiness`; `main` tells whether there is a port to look at.
pub(super) fn readiness(table: &mut Table<'_>, main: PortSpec, f: &mut Findings) -> ReadinessSpec {
    let mut spec = ReadinessSpec::default();
    let Some((key, node)) = table.get_with_key("readiness") else { return spec };
    let Some(mut table) = Table::new(node, "readiness", f) else { return spec };
    let word = table.word("type", &PROBES, f).unwrap_or(ProbeWord::Auto);
    spec.deadline = table.duration("deadline", f);
    spec.timeout = table.duration("timeout", f).unwrap_or(spec.timeout);
    if spec.timeout.is_zero() {
        f.error(Code::Value, key.span, "`readiness.timeout` is 0");
    }
    spec.period = table.duration("period", f);
    if spec.period.is_some_and(|p| p.is_zero()) {
        f.error(Code::Value, key.span, "`readiness.period` is 0");
    }
    let pattern = table.text("pattern", f);
    spec.check = look(&mut table, word, (main, key.span), f);
    if word == ProbeWord::Log {
        spec.check = log_check(&mut table, key.span, pattern, f);
    } else if let Some((key, _)) = table.get_with_key("pattern") {
        f.no_effect(key.span, "readiness.pattern", "with this `readiness.type`");
    }
    table.finish(f);
    spec
}

fn log_check(
    table: &mut Table<'_>,
    readiness: Span,
    pattern: Option<String>,
    f: &mut Findings,
) -> Option<ReadinessCheck> {
    let Some(pattern) = pattern.filter(|p| !p.is_empty()) else {
        let message = "`readiness: {type: log}` needs a `pattern`";
        f.push(Finding::error(Code::Missing, readiness, message).about(None, "readiness.pattern"));
        return None;
    };
    if let Err(error) = regex_lite::Regex::new(&pattern) {
        let span = table.get_with_key("pattern").map_or(readiness, |(_, node)| node.span);
        let message = format!("`readiness.pattern` is no regular expression: {error}");
        let finding = Finding::error(Code::Value, span, message).about(None, "readiness.pattern");
        f.push(finding.help("a `\\` before one of `.^$*+?()[]{}|` takes it as it is"));
        return None;
    }
    Some(ReadinessCheck::Log { pattern })
}

/// `health_check` of an agent, as the original format has it: readiness over HTTP.
pub(super) fn health_check(
    table: &mut Table<'_>,
    main: PortSpec,
    readiness: &mut ReadinessSpec,
    f: &mut Findings,
) {
    let Some((key, node)) = table.get_with_key("health_check") else { return };
    let beside = table.get("readiness").is_some();
    let Some(mut table) = Table::new(node, "health_check", f) else { return };
    "agents[].health_check".clone_into(&mut table.section);
    let path = path_of(&mut table, "endpoint", f).unwrap_or_else(|| "/health".to_owned());
    let status = table.number("expected_status", 100, 599, f);
    let method = table.get("method").map(|n| n.span);
    if table.word("method", &METHODS, f) == Some(Method::Other) {
        f.not_acted_on(method.unwrap_or_default(), "health_check.method");
    }
    table.finish(f);
    if beside {
        f.no_effect(key.span, "health_check", "beside `readiness`");
        return;
    }
    needs_port("health_check", main, key.span, f);
    let status = status.and_then(|n| u16::try_from(n).ok());
    readiness.check = Some(ReadinessCheck::Http { port: None, path, status });
}

/// A path of a URL, which begins with a slash.
fn path_of(table: &mut Table<'_>, key: &'static str, f: &mut Findings) -> Option<String> {
    let node = table.get(key)?;
    let text = table.text(key, f)?;
    if !text.starts_with('/') {
        let at = table.at(key);
        let message = format!("`{at}` is `{}`", text.escape_debug());
        f.push(
            Finding::error(Code::Value, node.span, message)
                .about(None, at)
                .help("it begins with `/`"),
        );
    }
    Some(text)
}

fn needs_port(section: &str, main: PortSpec, span: Span, f: &mut Findings) {
    if main == PortSpec::None {
        let message = format!("`{section}` looks at a port, and the agent has none");
        f.push(
            Finding::error(Code::Missing, span, message)
                .help("give it `config: {port: auto}`, or the probe a `port`"),
        );
    }
}

/// Reads `liveness`, which nothing looks at yet.
pub(super) fn liveness(table: &mut Table<'_>, main: PortSpec, f: &mut Findings) -> LivenessSpec {
    let mut spec = LivenessSpec::default();
    let Some((key, node)) = table.get_with_key("liveness") else { return spec };
    let Some(mut table) = Table::new(node, "liveness", f) else { return spec };
    let word = table.word("type", &LIVENESS, f).unwrap_or(ProbeWord::None);
    spec.interval = table.duration("interval", f).unwrap_or(spec.interval);
    spec.timeout = table.duration("timeout", f).unwrap_or(spec.timeout);
    spec.failures = table.number("failures", 1, 1000, f).unwrap_or(spec.failures);
    for (name, time) in [("interval", spec.interval), ("timeout", spec.timeout)] {
        if time.is_zero() {
            f.error(Code::Value, key.span, format!("`liveness.{name}` is 0"));
        }
    }
    spec.check = look(&mut table, word, (main, key.span), f);
    if word != ProbeWord::None {
        f.not_acted_on(key.span, "liveness");
    }
    table.finish(f);
    spec
}

/// The keys that both have: `port`, `path`, `status`, `command`.
fn look(
    table: &mut Table<'_>,
    word: ProbeWord,
    (main, span): (PortSpec, Span),
    f: &mut Findings,
) -> Option<ReadinessCheck> {
    let section = table.path.clone();
    let path = table.get_with_key("path");
    let status = table.get_with_key("status");
    let command = table.get_with_key("command");
    let port_key = table.get_with_key("port");
    let port = table.port("port", f);
    let path_text = path_of(table, "path", f);
    let status_code = table.number("status", 100, 599, f).and_then(|n| u16::try_from(n).ok());
    let by_http = word == ProbeWord::Http || (word == ProbeWord::Auto && path.is_some());
    let check = match word {
        _ if by_http => Some(ReadinessCheck::Http {
            port,
            path: path_text.unwrap_or_else(|| "/".to_owned()),
            status: status_code,
        }),
        ProbeWord::Auto | ProbeWord::Http if port.is_some() => Some(ReadinessCheck::Auto { port }),
        ProbeWord::Auto | ProbeWord::Http | ProbeWord::Log | ProbeWord::None => None,
        ProbeWord::Card => Some(ReadinessCheck::Card { port }),
        ProbeWord::Tcp => Some(ReadinessCheck::Tcp { port }),
        ProbeWord::Alive => Some(ReadinessCheck::Alive),
        ProbeWord::Exec => match command {
            Some((_, node)) => argv(node, &format!("{section}.command"), f)
                .map(|command| ReadinessCheck::Exec { command }),
            None => {
                let message = format!("`{section}: {{type: exec}}` needs a `command`");
                f.push(Finding::error(Code::Missing, span, message));
                None
            }
        },
    };
    let by_port = by_http || matches!(word, ProbeWord::Card | ProbeWord::Tcp);
    if by_port && port_key.is_none() {
        needs_port(&section, main, span, f);
    }
    let portless =
        matches!(word, ProbeWord::Exec | ProbeWord::Alive | ProbeWord::Log | ProbeWord::None);
    for (found, fits) in [
        (path, by_http),
        (status, by_http),
        (command, word == ProbeWord::Exec),
        (port_key, !portless),
    ] {
        if let Some((key, _)) = found.filter(|_| !fits) {
            let why = format!("with this `{section}.type`");
            f.no_effect(key.span, &format!("{section}.{}", key.text), &why);
        }
    }
    check
}
