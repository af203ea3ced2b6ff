//! Reading a tree: every key is asked for once, what nobody asked for is unknown.

use std::time::Duration;

use crate::source::{Code, Finding, Span, nearest};
use crate::spec::yaml::{Key, Node, Value};

/// Collects findings; knows which agent is being read.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) all: Vec<Finding>,
    pub(super) agent: Option<String>,
}

impl Findings {
    pub(super) fn push(&mut self, finding: Finding) {
        let agent = finding.agent.clone().or_else(|| self.agent.clone());
        self.all.push(Finding { agent, ..finding });
    }

    pub(super) fn error(&mut self, code: Code, span: Span, message: impl Into<String>) {
        self.push(Finding::error(code, span, message));
    }

    pub(super) fn wrong_type(&mut self, node: &Node, path: &str, expected: &str) {
        let what = if path.is_empty() { "the file".to_owned() } else { format!("`{path}`") };
        let message = format!("{what} is {}; expected {expected}", node.value.kind());
        self.push(Finding::error(Code::Type, node.span, message).about(None, path));
    }

    /// Ends with `for agent X` where one is being read.
    pub(super) fn of_agent(&self) -> String {
        self.agent.as_ref().map_or_else(String::new, |id| format!(" of agent `{id}`"))
    }

    /// Understood, without effect, and safe to leave out.
    pub(super) fn not_acted_on(&mut self, span: Span, path: &str) {
        let message = format!("`{path}`{} is accepted but not acted on yet", self.of_agent());
        self.push(Finding::warning(Code::NotYet, span, message).about(None, path));
    }

    /// A key that means nothing beside another one.
    pub(super) fn no_effect(&mut self, span: Span, path: &str, why: &str) {
        let message = format!("`{path}`{} has no effect {why}", self.of_agent());
        self.push(Finding::warning(Code::NoEffect, span, message).about(None, path));
    }
}

/// A map that is being read.
#[derive(Debug)]
pub(super) struct Table<'a> {
    pub(super) path: String,
    /// Its name in the table of fields.
    pub(super) section: String,
    pub(super) span: Span,
    entries: &'a [(Key, Node)],
    asked: Vec<&'static str>,
    /// Those of them that are only kept: nobody needs to be told of them.
    kept: Vec<&'static str>,
}

impl<'a> Table<'a> {
    /// `node` as a map; anything else is a finding. Duplicate keys are found here.
    pub(super) fn new(node: &'a Node, path: &str, findings: &mut Findings) -> Option<Self> {
        let entries: &[(Key, Node)] = match &node.value {
            Value::Map(entries) => entries,
            Value::Null => &[],
            Value::Bool(_) | Value::Number { .. } | Value::Text(_) | Value::List(_) => {
                findings.wrong_type(node, path, "a map");
                return None;
            }
        };
        let mut seen: std::collections::HashMap<&str, Span> = std::collections::HashMap::new();
        for (key, _) in entries {
            if let Some(first) = seen.insert(&key.text, key.span) {
                let message = format!("key `{}` stands twice", key.text.escape_debug());
                findings.push(
                    Finding::error(Code::Duplicate, key.span, message).other(first, "first here"),
                );
            }
        }
        let section = path.chars().filter(|c| !c.is_ascii_digit()).collect();
        Some(Self {
            path: path.to_owned(),
            section,
            span: node.span,
            entries,
            asked: Vec::new(),
            kept: Vec::new(),
        })
    }

    /// `path.key`.
    pub(super) fn at(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// The value of a key; null counts as absent.
    pub(super) fn get(&mut self, key: &'static str) -> Option<&'a Node> {
        self.get_with_key(key).map(|(_, node)| node)
    }

    pub(super) fn get_with_key(&mut self, key: &'static str) -> Option<(&'a Key, &'a Node)> {
        self.asked.push(key);
        self.entries
            .iter()
            .find(|(k, _)| k.text == key)
            .map(|(k, n)| (k, n))
            .filter(|(_, n)| n.value != Value::Null)
    }

    /// A key that is accepted without effect.
    pub(super) fn reserved(&mut self, keys: &[&'static str], findings: &mut Findings) {
        self.kept.extend_from_slice(keys);
        for key in keys {
            if let Some((found, _)) = self.get_with_key(key) {
                findings.not_acted_on(found.span, &self.at(key));
            }
        }
    }

    /// Every key that was not asked for is unknown. Keys beginning with `x-` are the user's own.
    pub(super) fn finish(self, findings: &mut Findings) {
        #[cfg(test)]
        crate::spec::fields::check(&self.section, &self.asked);
        for (key, _) in self.entries {
            if self.asked.contains(&key.text.as_str()) || key.text.starts_with("x-") {
                continue;
            }
            let place = match (self.path.is_empty(), &findings.agent) {
                (true, Some(id)) => format!("of agent `{id}`"),
                (true, None) => "in a job file".to_owned(),
                (false, _) => format!("under `{}`", self.path),
            };
            let message = format!("unknown key `{}` {place}", key.text.escape_debug());
            let finding =
                Finding::error(Code::UnknownKey, key.span, message).about(None, self.at(&key.text));
            findings.push(match nearest(&key.text, self.asked.iter().copied()) {
                Some(near) => finding.help(format!("did you mean `{near}`?")),
                None => {
                    let mut known = self.asked.clone();
                    known.retain(|key| !self.kept.contains(key));
                    known.sort_unstable();
                    known.dedup();
                    finding.help(format!("known keys: {}", known.join(", ")))
                }
            });
        }
    }

    // One reader per type: `None` where absent or wrong, the latter with a finding.

    pub(super) fn text(&mut self, key: &'static str, f: &mut Findings) -> Option<String> {
        let node = self.get(key)?;
        scalar(node).or_else(|| {
            f.wrong_type(node, &self.at(key), "a text");
            None
        })
    }

    /// A text that names something: not the empty one.
    pub(super) fn named(&mut self, key: &'static str, f: &mut Findings) -> Option<String> {
        let span = self.get(key)?.span;
        let text = self.text(key, f)?;
        if text.trim().is_empty() {
            let path = self.at(key);
            f.push(
                Finding::error(Code::Value, span, format!("`{path}` is empty")).about(None, path),
            );
            return None;
        }
        Some(text)
    }

    pub(super) fn boolean(&mut self, key: &'static str, f: &mut Findings) -> Option<bool> {
        let node = self.get(key)?;
        match &node.value {
            Value::Bool(b) => return Some(*b),
            // What a variable gave.
            Value::Text(text) if text == "true" => return Some(true),
            Value::Text(text) if text == "false" => return Some(false),
            Value::Text(_)
            | Value::Null
            | Value::Number { .. }
            | Value::List(_)
            | Value::Map(_) => f.wrong_type(node, &self.at(key), "`true` or `false`"),
        }
        None
    }

    pub(super) fn number(
        &mut self,
        key: &'static str,
        min: u32,
        max: u32,
        f: &mut Findings,
    ) -> Option<u32> {
        let node = self.get(key)?;
        number(node, &self.at(key), min, max, f)
    }

    pub(super) fn port(&mut self, key: &'static str, f: &mut Findings) -> Option<u16> {
        self.number(key, 1, 65535, f).and_then(|n| u16::try_from(n).ok())
    }

    pub(super) fn duration(&mut self, key: &'static str, f: &mut Findings) -> Option<Duration> {
        let node = self.get(key)?;
        duration(node, &self.at(key), f)
    }

    /// One of a few words.
    pub(super) fn word<T: Copy>(
        &mut self,
        key: &'static str,
        words: &[(&'static str, T)],
        f: &mut Findings,
    ) -> Option<T> {
        let node = self.get(key)?;
        let path = self.at(key);
        let Some(text) = scalar(node) else {
            f.wrong_type(node, &path, "a word");
            return None;
        };
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
            return Some(*value);
        }
        let message = format!("`{path}` is `{}`", text.escape_debug());
        let finding = Finding::error(Code::Value, node.span, message).about(None, &path);
        let known = || words.iter().map(|(word, _)| *word);
        f.push(match nearest(&text, known()) {
            Some(near) => finding.help(format!("did you mean `{near}`?")),
            None => finding.help(format!("one of: {}", known().collect::<Vec<_>>().join(", "))),
        });
        None
    }

    /// A list of scalars, or one scalar.
    pub(super) fn texts(
        &mut self,
        key: &'static str,
        f: &mut Findings,
    ) -> Option<Vec<(String, Span)>> {
        let node = self.get(key)?;
        texts(node, &self.at(key), f)
    }
}

/// The items of a list; a single scalar counts as one.
pub(super) fn texts(node: &Node, path: &str, f: &mut Findings) -> Option<Vec<(String, Span)>> {
    let items: &[Node] = match &node.value {
        Value::List(items) => items,
        Value::Null | Value::Bool(_) | Value::Number { .. } | Value::Text(_) | Value::Map(_) => {
            std::slice::from_ref(node)
        }
    };
    let mut list = Vec::with_capacity(items.len());
    for item in items {
        match scalar(item) {
            Some(text) => list.push((text, item.span)),
            None => f.wrong_type(item, path, "a list of texts"),
        }
    }
    Some(list)
}

/// A scalar as it was written.
pub(super) fn scalar(node: &Node) -> Option<String> {
    match &node.value {
        Value::Text(text) => Some(text.clone()),
        Value::Number { spelling, .. } => Some(spelling.clone()),
        Value::Bool(b) => Some(b.to_string()),
        Value::Null | Value::List(_) | Value::Map(_) => None,
    }
}

pub(super) fn number(node: &Node, path: &str, min: u32, max: u32, f: &mut Findings) -> Option<u32> {
    let read = match &node.value {
        Value::Number { value, .. } => value.as_u64(),
        Value::Text(text) => text.trim().parse::<u64>().ok(),
        Value::Null | Value::Bool(_) | Value::List(_) | Value::Map(_) => {
            f.wrong_type(node, path, "a number");
            return None;
        }
    };
    let narrow = read.and_then(|n| u32::try_from(n).ok()).filter(|n| (min..=max).contains(n));
    if narrow.is_none() {
        let shown = scalar(node).unwrap_or_default();
        let message = format!(
            "`{path}` is `{}`; expected a number from {min} to {max}",
            shown.escape_debug()
        );
        f.push(Finding::error(Code::Value, node.span, message).about(None, path));
    }
    narrow
}

/// A bare number is seconds; else what jiff reads: `30s`, `1.5s`, `2m`, `PT5M`.
pub(super) fn duration(node: &Node, path: &str, f: &mut Findings) -> Option<Duration> {
    let Some(text) = scalar(node) else {
        f.wrong_type(node, path, "a time");
        return None;
    };
    let read = match text.trim().parse::<f64>() {
        Ok(seconds) => Duration::try_from_secs_f64(seconds).ok(),
        Err(_) => text
            .trim()
            .parse::<jiff::SignedDuration>()
            .ok()
            .and_then(|d| Duration::try_from(d).ok()),
    };
    // A century: longer is a typing error, and timers must not overflow.
    let read = read.filter(|d| d.as_secs() < 100 * 366 * 86_400);
    if read.is_none() {
        let message = format!("`{path}` is `{}`, which is no time", text.escape_debug());
        f.push(
            Finding::error(Code::Value, node.span, message)
                .about(None, path)
                .help("write seconds, or `500ms`, `30s`, `2m`, `1h 30m`"),
        );
    }
    read
}
