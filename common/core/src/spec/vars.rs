//! `${VAR}` in scalars, filled in after parsing, so that no value can change the file's shape.
//!
//! `${VAR}`, `${VAR:-default}` (also for an empty one), `${VAR:?message}`, `$$` for one `$`. A
//! bare `$NAME` is no variable, and `$(NAME)` and `$$(NAME)` are left for the launch.

use crate::source::{Code, Finding, Span};
use crate::spec::yaml::{Node, Value};

/// Fills in every scalar below `node`, keys not included.
pub(super) fn fill(
    node: &mut Node,
    vars: &dyn Fn(&str) -> Option<String>,
    findings: &mut Vec<Finding>,
) {
    match &mut node.value {
        Value::Text(text) if text.contains('$') => match fill_text(text, vars) {
            Ok(filled) => *text = filled,
            Err(problems) => {
                findings.extend(problems.into_iter().map(|p| p.finding(node.span)));
            }
        },
        Value::Null | Value::Bool(_) | Value::Number { .. } | Value::Text(_) => {}
        Value::List(items) => items.iter_mut().for_each(|n| fill(n, vars, findings)),
        Value::Map(entries) => entries.iter_mut().for_each(|(_, n)| fill(n, vars, findings)),
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Problem {
    Unset(String),
    Required(String, String),
    Unterminated,
    Name(String),
}

impl Problem {
    fn finding(self, span: Span) -> Finding {
        let error = |message: String| Finding::error(Code::Variable, span, message);
        match self {
            Self::Unset(name) => error(format!("`{name}` is not set")).help(format!(
                "set it in the shell or in `.env` beside the job file, or write `${{{name}:-default}}`"
            )),
            Self::Required(name, message) if message.is_empty() => {
                error(format!("`{name}` is required and not set"))
            }
            Self::Required(name, message) => error(format!("`{name}` is not set: {message}")),
            Self::Unterminated => {
                error("`${` without its `}`".to_owned()).help("for a literal `$` write `$$`")
            }
            Self::Name(name) => error(format!("`${{{name}}}` is no variable")).help(
                "write `${NAME}`, `${NAME:-default}` or `${NAME:?message}`; for a literal `$` write `$$`",
            ),
        }
    }
}

fn fill_text(text: &str, vars: &dyn Fn(&str) -> Option<String>) -> Result<String, Vec<Problem>> {
    let (mut out, mut problems) = (String::with_capacity(text.len()), Vec::new());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(body) = rest.strip_prefix("${") {
            let Some(end) = closing(body) else {
                problems.push(Problem::Unterminated);
                return Err(problems);
            };
            match expand(&body[..end], vars) {
                Ok(value) => out.push_str(&value),
                Err(problem) => problems.push(problem),
            }
            rest = &body[end + 1..];
        } else if rest.starts_with("$$(") {
            // The launch reads `$$(NAME)` as a literal `$(NAME)`.
            out.push_str("$$(");
            rest = &rest[3..];
        } else if let Some(after) = rest.strip_prefix("$$") {
            out.push('$');
            rest = after;
        } else {
            out.push('$');
            rest = &rest[1..];
        }
    }
    out.push_str(rest);
    if problems.is_empty() { Ok(out) } else { Err(problems) }
}

/// Where the `}` of a `${` stands; a default may hold braces in pairs.
fn closing(body: &str) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, c) in body.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => return Some(at),
            '}' => depth -= 1,
            _ => {}
        }
    }
    None
}

fn expand(body: &str, vars: &dyn Fn(&str) -> Option<String>) -> Result<String, Problem> {
    let name_end =
        body.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(body.len());
    let (name, operator) = body.split_at(name_end);
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(Problem::Name(body.to_owned()));
    }
    let set = vars(name);
    if operator.is_empty() {
        return set.ok_or_else(|| Problem::Unset(name.to_owned()));
    }
    let set = set.filter(|v| !v.is_empty());
    if let Some(default) = operator.strip_prefix(":-") {
        return Ok(set.unwrap_or_else(|| default.to_owned()));
    }
    match operator.strip_prefix(":?") {
        Some(message) => set.ok_or_else(|| Problem::Required(name.to_owned(), message.to_owned())),
        None => Err(Problem::Name(body.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(text: &str) -> Result<String, Vec<Problem>> {
        fill_text(text, &|name| match name {
            "A" => Some("x".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        })
    }

    #[test]
    fn variables_are_filled_in() {
        for (text, filled) in [
            ("${A}", "x"),
            ("a${A}b${A}", "axbx"),
            ("${NOPE:-d}", "d"),
            ("${EMPTY:-d}${EMPTY}", "d"),
            ("${NOPE:-a{b}c}", "a{b}c"),
            ("$$", "$"),
            ("$${A}", "${A}"),
            ("$(PORT) $$(PORT) $HOME $5 $", "$(PORT) $$(PORT) $HOME $5 $"),
            ("${A:?m}", "x"),
            ("no ünicode", "no ünicode"),
        ] {
            assert_eq!(fill(text), Ok(filled.to_owned()), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_filled_in_is_named() {
        assert_eq!(fill("${NOPE}"), Err(vec![Problem::Unset("NOPE".to_owned())]));
        assert_eq!(
            fill("${NOPE:?give it}${N2}"),
            Err(vec![
                Problem::Required("NOPE".to_owned(), "give it".to_owned()),
                Problem::Unset("N2".to_owned())
            ])
        );
        assert_eq!(fill("${A"), Err(vec![Problem::Unterminated]));
        assert_eq!(fill("${}"), Err(vec![Problem::Name(String::new())]));
        assert_eq!(fill("${A-b}"), Err(vec![Problem::Name("A-b".to_owned())]));
    }

    #[test]
    fn no_text_panics() {
        proptest::proptest!(|(text in "[${}:?\\-A-Zü()]{0,30}")| { let _ = fill(&text); });
    }
}
