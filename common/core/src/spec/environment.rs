//! `environment` and `config`: what becomes a variable, and what must not.

use crate::plan::reserved::{config_variable, field_for, is_variable_name};
use crate::source::{Code, Finding};
use crate::spec::agent::Draft;
use crate::spec::load::Variables;
use crate::spec::table::{Findings, Table, scalar};
use crate::spec::yaml::{Node, Value};

/// Reads a map of variables; scalars become texts as they were written.
pub(super) fn read(node: &Node, path: &str, f: &mut Findings) -> Variables {
    let mut variables = Variables::new();
    let Value::Map(entries) = &node.value else {
        if node.value != Value::Null {
            f.wrong_type(node, path, "a map of variables");
        }
        return variables;
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
        match (scalar(value), &value.value) {
            (Some(text), _) if text.contains('\0') => {
                f.error(Code::Value, value.span, format!("`{at}` contains a NUL character"));
            }
            (Some(text), _) => {
                variables.insert(name.clone(), (text, key.span));
            }
            (None, Value::Map(inner)) if inner.iter().any(|(k, _)| k.text == "secret") => {
                f.not_yet(
                    key.span,
                    &format!("{at}.secret"),
                    &format!("export it in the shell and pass it with `-x {name}`"),
                );
            }
            (None, Value::Null) => {
                let message = format!("`{at}` has no value");
                f.push(
                    Finding::error(Code::Missing, key.span, message)
                        .about(None, &at)
                        .help(format!("for an empty text write `{name}: \"\"`")),
                );
            }
            (None, _) => f.wrong_type(value, &at, "a text, a number or a boolean"),
        }
    }
    variables
}

/// A variable that both `config` and `environment` set has two values.
pub(super) fn check_config(draft: &Draft, job: &Variables, f: &mut Findings) {
    f.agent = Some(draft.spec.id.to_string());
    for (key, span) in &draft.config_keys {
        let name = config_variable(key);
        let own = draft.environment.get(&name).or_else(|| job.get(&name));
        if let Some((_, other)) = own {
            let message = format!("`{name}` is set twice, by `config.{key}` and by `environment`");
            f.push(
                Finding::error(Code::Conflict, *other, message)
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
