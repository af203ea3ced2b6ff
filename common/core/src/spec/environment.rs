//! `environment` and `config`: what becomes a variable, and what must not.

use std::collections::BTreeMap;

use crate::plan::reserved::{config_variable, field_for, is_variable_name};
use crate::source::{Code, Finding, Span};
use crate::spec::agent::{Draft, argv};
use crate::spec::policy::{SecretSource, Secrets};
use crate::spec::table::{Findings, Table, scalar};
use crate::spec::yaml::{Key, Node, Value};

/// Variables with the place of each.
#[derive(Debug, Clone, Default)]
pub(super) struct Environment {
    variables: BTreeMap<String, Variable>,
}

#[derive(Debug, Clone)]
struct Variable {
    setting: Setting,
    key: Span,
    value: Span,
}

#[derive(Debug, Clone)]
enum Setting {
    Plain(String),
    Secret(SecretSource),
}

impl Environment {
    /// What `other` sets wins.
    pub(super) fn extend(&mut self, other: Self) {
        self.variables.extend(other.variables);
    }

    pub(super) fn place(&self, name: &str) -> Option<Span> {
        self.variables.get(name).map(|v| v.key)
    }

    /// Where its value stands.
    pub(super) fn value_place(&self, name: &str) -> Option<Span> {
        self.variables.get(name).map(|v| v.value)
    }

    pub(super) fn plain(&self) -> BTreeMap<String, String> {
        let plain = self.variables.iter().filter_map(|(name, v)| match &v.setting {
            Setting::Plain(text) => Some((name.clone(), text.clone())),
            Setting::Secret(_) => None,
        });
        plain.collect()
    }

    pub(super) fn secrets(&self) -> Secrets {
        let secrets = self.variables.iter().filter_map(|(name, v)| match &v.setting {
            Setting::Plain(_) => None,
            Setting::Secret(source) => Some((name.clone(), source.clone())),
        });
        secrets.collect()
    }
}

/// Reads a map of variables; scalars become texts as they were written.
pub(super) fn read(node: &Node, path: &str, f: &mut Findings) -> Environment {
    let mut found = Environment::default();
    let Value::Map(entries) = &node.value else {
        if node.value != Value::Null {
            f.wrong_type(node, path, "a map of variables");
        }
        return found;
    };
    // Finds keys that stand twice.
    let _ = Table::new(node, path, f);
    for (key, value) in entries {
        let name = &key.text;
        let at = format!("{path}.{name}");
        if !is_variable_name(name) {
            let message = format!("`{}` is no variable name", name.escape_debug());
            f.push(Finding::error(Code::Value, key.span, message).about(None, path));
            continue;
        }
        if let Some(instead) = field_for(name) {
            let message = format!("`{name}` is set by a2arun itself");
            f.push(
                Finding::error(Code::Reserved, key.span, message).about(None, &at).help(instead),
            );
            continue;
        }
        if let Some(setting) = setting(key, value, &at, f) {
            let variable = Variable { setting, key: key.span, value: value.span };
            found.variables.insert(name.clone(), variable);
        }
    }
    found
}

fn setting(key: &Key, value: &Node, at: &str, f: &mut Findings) -> Option<Setting> {
    match (scalar(value), &value.value) {
        (Some(text), _) => return Some(Setting::Plain(text)),
        (None, Value::Map(_)) => return secret(value, at, f).map(Setting::Secret),
        (None, Value::Null) => {
            let message = format!("`{at}` has no value");
            f.push(
                Finding::error(Code::Missing, key.span, message)
                    .about(None, at)
                    .help(format!("for an empty text write `{}: \"\"`", key.text)),
            );
        }
        (None, _) => f.wrong_type(value, at, "a text, a number, a boolean or a secret"),
    }
    None
}

/// `{secret: {env: NAME}}`, `{secret: {file: PATH}}`, `{secret: {cmd: [PROGRAM, ARG]}}`.
fn secret(value: &Node, at: &str, f: &mut Findings) -> Option<SecretSource> {
    let mut outer = Table::new(value, at, f)?;
    "environment[]".clone_into(&mut outer.section);
    let inner = outer.get("secret");
    let found =
        match inner {
            Some(node) => source(node, &format!("{at}.secret"), f),
            None => {
                let message = format!("`{at}` is a map, and no secret");
                f.push(Finding::error(Code::Secret, value.span, message).about(None, at).help(
                    "`{secret: {env: NAME}}`, `{secret: {file: PATH}}` or `{secret: {cmd: …}}`",
                ));
                None
            }
        };
    outer.finish(f);
    found
}

fn source(node: &Node, path: &str, f: &mut Findings) -> Option<SecretSource> {
    let mut table = Table::new(node, path, f)?;
    "environment[].secret".clone_into(&mut table.section);
    let env = table.text("env", f);
    let file = table.text("file", f);
    let cmd = table.get("cmd").and_then(|n| argv(n, &table.at("cmd"), f));
    let given =
        usize::from(env.is_some()) + usize::from(file.is_some()) + usize::from(cmd.is_some());
    let found = match (env, file, cmd) {
        (Some(name), None, None) if is_variable_name(&name) => Some(SecretSource::Env(name)),
        (None, Some(path), None) if !path.is_empty() => Some(SecretSource::File(path)),
        (None, None, Some(argv)) => Some(SecretSource::Cmd(argv)),
        _ => {
            let message = match given {
                1 => format!("`{path}` names no variable and no file"),
                _ => format!("`{path}` has {given} sources; it needs one of env, file, cmd"),
            };
            f.push(Finding::error(Code::Secret, table.span, message).about(None, path));
            None
        }
    };
    table.finish(f);
    found
}

/// A variable that both `config` and `environment` set has two values.
pub(super) fn check_config(draft: &Draft, job: &Environment, f: &mut Findings) {
    f.agent = Some(draft.spec.id.to_string());
    let mut keys: BTreeMap<String, (&str, Span)> = BTreeMap::new();
    for (key, span) in &draft.config_keys {
        let name = config_variable(key);
        if let Some((other, first)) = keys.insert(name.clone(), (key, *span))
            && other != key
        {
            let message = format!("`config.{other}` and `config.{key}` both become `{name}`");
            f.push(Finding::error(Code::Conflict, *span, message).other(first, "first here"));
        }
        let own = draft.environment.place(&name).or_else(|| job.place(&name));
        if let Some(other) = own {
            let message = format!("`{name}` is set twice, by `config.{key}` and by `environment`");
            f.push(
                Finding::error(Code::Conflict, other, message)
                    .other(*span, "and here")
                    .about(None, format!("environment.{name}")),
            );
        }
        let ours = !matches!(key.as_str(), "port" | "host");
        if let Some(instead) = field_for(&name).filter(|_| ours) {
            let message = format!("`config.{key}` would become `{name}`, which a2arun sets itself");
            f.push(
                Finding::error(Code::Reserved, *span, message)
                    .about(None, format!("config.{key}"))
                    .help(instead),
            );
        }
    }
    f.agent = None;
}
