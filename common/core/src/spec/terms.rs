//! The sections of an agent that say where, with how much and under which rules it runs.

use std::time::Duration;

use crate::launch::SignalNumber;
use crate::source::{Code, Finding, Span};
use crate::spec::model::PortSpec;
use crate::spec::policy::{
    Limits, OnExhausted, OnHostLost, OnPeersChange, PlaceHost, Placement, Resources, RestartSpec,
    RestartWhen, Spread,
};
use crate::spec::quantity;
use crate::spec::table::{Findings, Table, scalar};
use crate::spec::target::host_name;
use crate::spec::yaml::{Node, Value};

pub(super) const SPREADS: [(&str, Spread); 1] = [("host", Spread::Host)];
pub(super) const RESTARTS: [(&str, RestartWhen); 3] = [
    ("never", RestartWhen::Never),
    ("on-failure", RestartWhen::OnFailure),
    ("always", RestartWhen::Always),
];
pub(super) const EXHAUSTED: [(&str, OnExhausted); 2] =
    [("fail-job", OnExhausted::FailJob), ("leave", OnExhausted::Leave)];
pub(super) const HOST_LOST: [(&str, OnHostLost); 3] = [
    ("wait", OnHostLost::Wait),
    ("fail-job", OnHostLost::FailJob),
    ("reschedule", OnHostLost::Reschedule),
];

/// `placement` before names are looked up.
#[derive(Default)]
pub(super) struct PlacementDraft {
    pub(super) placement: Placement,
    pub(super) with: Vec<(String, Span)>,
    pub(super) apart: Vec<(String, Span)>,
}

pub(super) fn placement(table: &mut Table<'_>, f: &mut Findings) -> PlacementDraft {
    let mut draft = PlacementDraft::default();
    let Some(node) = table.get("placement") else { return draft };
    let Some(mut table) = Table::new(node, "placement", f) else { return draft };
    draft.placement.host = table.get("host").and_then(|node| match scalar(node).as_deref() {
        Some("@head") => Some(PlaceHost::Head),
        Some(_) | None => host_name(node, "placement.host", f).map(PlaceHost::Named),
    });
    let labels = table.texts("labels", f).unwrap_or_default();
    draft.placement.labels = labels.into_iter().map(|(label, _)| label).collect();
    draft.placement.spread = table.word("spread", &SPREADS, f);
    draft.with = table.texts("with", f).unwrap_or_default();
    draft.apart = table.texts("apart", f).unwrap_or_default();
    for (id, span) in &draft.apart {
        if let Some((_, other)) = draft.with.iter().find(|(with, _)| with == id) {
            let message =
                format!("`placement` wants to be both with and apart from `{}`", id.escape_debug());
            f.push(Finding::error(Code::Conflict, *span, message).other(*other, "with it here"));
        }
    }
    table.finish(f);
    draft
}

pub(super) fn resources(table: &mut Table<'_>, f: &mut Findings) -> Resources {
    let mut spec = Resources::default();
    let Some(node) = table.get("resources") else { return spec };
    let Some(mut table) = Table::new(node, "resources", f) else { return spec };
    spec.cpu_milli = cpu(&mut table, f);
    spec.memory_bytes = memory(&mut table, f);
    spec.gpus = table.number("gpu", 0, 1024, f);
    table.finish(f);
    spec
}

pub(super) fn limits(table: &mut Table<'_>, f: &mut Findings) -> Limits {
    let mut spec = Limits::default();
    let Some((key, node)) = table.get_with_key("limits") else { return spec };
    let Some(mut table) = Table::new(node, "limits", f) else { return spec };
    spec.memory_bytes = memory(&mut table, f);
    spec.cpu_milli = cpu(&mut table, f);
    spec.pids = table.number("pids", 1, 4_194_304, f);
    spec.nofile = table.number("nofile", 16, 1_073_741_816, f);
    table.finish(f);
    if spec != Limits::default() {
        f.not_acted_on(key.span, "limits");
    }
    spec
}

fn cpu(table: &mut Table<'_>, f: &mut Findings) -> Option<u64> {
    let node = table.get("cpu")?;
    let read = scalar(node).and_then(|t| quantity::cpu_milli(&t));
    let read = read.filter(|n| (1..=1_000_000_000).contains(n));
    refuse_unless(read, node, &table.at("cpu"), "a number of CPUs: `2`, `0.5`, `500m`", f)
}

fn memory(table: &mut Table<'_>, f: &mut Findings) -> Option<u64> {
    let node = table.get("memory")?;
    let read = scalar(node).and_then(|t| quantity::bytes(&t)).filter(|n| *n > 0);
    refuse_unless(read, node, &table.at("memory"), "bytes: `512M`, `2G`, `1.5Gi`", f)
}

fn refuse_unless<T>(
    read: Option<T>,
    node: &Node,
    path: &str,
    expected: &str,
    f: &mut Findings,
) -> Option<T> {
    if read.is_none() {
        match scalar(node) {
            Some(text) => {
                let message = format!("`{path}` is `{}`", text.escape_debug());
                f.push(
                    Finding::error(Code::Value, node.span, message)
                        .about(None, path)
                        .help(expected),
                );
            }
            None => f.wrong_type(node, path, expected),
        }
    }
    read
}

pub(super) fn restart(table: &mut Table<'_>, f: &mut Findings) -> RestartSpec {
    let mut spec = RestartSpec::default();
    let Some((key, node)) = table.get_with_key("restart") else { return spec };
    // `restart: never` is as plain as `restart: {policy: never}`.
    if let Value::Text(word) = &node.value {
        match RESTARTS.iter().find(|(known, _)| known == word) {
            Some((_, when)) => spec.when = Some(*when),
            None => {
                let message = format!("`restart` is `{}`", word.escape_debug());
                let known = RESTARTS.map(|(word, _)| word).join(", ");
                f.push(
                    Finding::error(Code::Value, node.span, message)
                        .about(None, "restart")
                        .help(format!("one of: {known}")),
                );
            }
        }
    } else if let Some(mut table) = Table::new(node, "restart", f) {
        spec.when = table.word("policy", &RESTARTS, f);
        spec.delay = table.duration("delay", f).unwrap_or(spec.delay);
        spec.factor = factor(&mut table, "factor", f).unwrap_or(spec.factor);
        spec.max_delay = table.duration("max_delay", f).unwrap_or(spec.max_delay);
        spec.max = table.number("max", 0, 1_000_000, f).unwrap_or(spec.max);
        spec.window = table.duration("window", f).unwrap_or(spec.window);
        spec.on_exhausted = table.word("on_exhausted", &EXHAUSTED, f).unwrap_or(spec.on_exhausted);
        if spec.max_delay < spec.delay {
            let message = "`restart.max_delay` is less than `restart.delay`";
            f.push(Finding::error(Code::Conflict, key.span, message));
        }
        table.finish(f);
    }
    if spec.when != Some(RestartWhen::Never) {
        f.not_acted_on(key.span, "restart");
    }
    spec
}

/// A factor of growth: a number from 1 to 1000.
pub(super) fn factor(table: &mut Table<'_>, key: &'static str, f: &mut Findings) -> Option<f64> {
    let node = table.get(key)?;
    let read = scalar(node).and_then(|t| t.trim().parse::<f64>().ok());
    let read = read.filter(|x| (1.0..=1000.0).contains(x));
    refuse_unless(read, node, &table.at(key), "a number from 1 to 1000", f)
}

pub(super) fn on_host_lost(table: &mut Table<'_>, f: &mut Findings) -> OnHostLost {
    let span = table.get_with_key("on_host_lost").map(|(key, _)| key.span);
    let read = table.word("on_host_lost", &HOST_LOST, f).unwrap_or_default();
    if read != OnHostLost::Wait {
        f.not_acted_on(span.unwrap_or_default(), "on_host_lost");
    }
    read
}

/// `file`, `restart`, `{signal: HUP}` or `{http: /path}`; `signal: HUP` as one text as well.
pub(super) fn on_peers_change(table: &mut Table<'_>, f: &mut Findings) -> OnPeersChange {
    let Some((key, node)) = table.get_with_key("on_peers_change") else {
        return OnPeersChange::default();
    };
    let (word, argument) = match &node.value {
        Value::Map(entries) if entries.len() == 1 => {
            let (key, value) = &entries[0];
            (key.text.clone(), scalar(value).unwrap_or_default())
        }
        Value::Text(text) => match text.split_once(':') {
            Some((word, rest)) => (word.trim().to_owned(), rest.trim().to_owned()),
            None => (text.clone(), String::new()),
        },
        Value::Null | Value::Bool(_) | Value::Number { .. } | Value::List(_) | Value::Map(_) => {
            (String::new(), String::new())
        }
    };
    let read = match (word.as_str(), argument.as_str()) {
        ("file", "") => Some(OnPeersChange::File),
        ("restart", "") => Some(OnPeersChange::Restart),
        ("signal", name) => SignalNumber::parse(name).map(OnPeersChange::Signal),
        ("http", path) if path.starts_with('/') => Some(OnPeersChange::Http(path.to_owned())),
        _ => None,
    };
    let Some(read) = read else {
        let message = match scalar(node) {
            Some(text) => format!("`on_peers_change` is `{}`", text.escape_debug()),
            None => "`on_peers_change` is none of its forms".to_owned(),
        };
        f.push(
            Finding::error(Code::Value, node.span, message)
                .about(None, "on_peers_change")
                .help("`file`, `restart`, `{signal: HUP}` or `{http: /path}`"),
        );
        return OnPeersChange::default();
    };
    if read == OnPeersChange::Restart {
        f.not_acted_on(key.span, "on_peers_change: restart");
    }
    read
}

/// `ports`: names and what each is.
pub(super) fn ports(table: &mut Table<'_>, f: &mut Findings) -> Vec<(String, PortSpec)> {
    let Some(node) = table.get("ports") else { return Vec::new() };
    // Finds a wrong type, and keys that stand twice.
    let _ = Table::new(node, "ports", f);
    let Value::Map(entries) = &node.value else { return Vec::new() };
    let mut ports: Vec<(String, PortSpec)> = Vec::new();
    for (key, value) in entries {
        let path = format!("ports.{}", key.text.escape_debug());
        let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        let name = key.text.as_str();
        if name.is_empty() || !name.chars().all(good) || name.eq_ignore_ascii_case("port") {
            let message = format!("`{}` is no name of a port", name.escape_debug());
            f.push(
                Finding::error(Code::Value, key.span, message)
                    .about(None, &path)
                    .help("letters, digits, `-` and `_`; the main port is `config: {port: …}`"),
            );
            continue;
        }
        let variable = crate::plan::reserved::port_variable(name);
        if ports
            .iter()
            .any(|(n, _)| n != name && crate::plan::reserved::port_variable(n) == variable)
        {
            let message = format!("`{path}` and another name both become `{variable}`");
            f.push(Finding::error(Code::Conflict, key.span, message).about(None, &path));
        }
        if let Some(port) = port(value, &path, f) {
            ports.push((name.to_owned(), port));
        }
    }
    ports
}

/// A number, or `auto`.
pub(super) fn port(node: &Node, path: &str, f: &mut Findings) -> Option<PortSpec> {
    match scalar(node).as_deref() {
        None if node.value == Value::Null => Some(PortSpec::None),
        Some("auto") => Some(PortSpec::Auto),
        Some("0") => {
            f.push(
                Finding::error(Code::Value, node.span, format!("`{path}` is 0"))
                    .about(None, path)
                    .help("for any free port write `auto`"),
            );
            None
        }
        Some(_) | None => crate::spec::table::number(node, path, 1, 65535, f)
            .and_then(|n| u16::try_from(n).ok())
            .map(PortSpec::Fixed),
    }
}

pub(super) fn stop(table: &mut Table<'_>, f: &mut Findings) -> crate::launch::StopPolicy {
    let mut policy = crate::launch::StopPolicy::default();
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
    let grace: Option<Duration> = table.duration("grace", f);
    policy.grace = grace.unwrap_or(policy.grace);
    table.finish(f);
    policy
}

#[cfg(test)]
#[path = "terms_tests.rs"]
mod tests;
