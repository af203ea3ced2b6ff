//! `$(NAME)` in commands, environment and probes: read once, filled in per instance.
//!
//! `$$(NAME)` writes `$(NAME)`. What is no name, and a name that nobody knows, stays as written.

use crate::launch::HOST_NAMES;

/// A text with its `$(NAME)`s found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Name(String),
}

/// What a name stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    /// The same for every copy on the host.
    Common(String),
    /// Different for each copy.
    Instance,
    /// Nobody knows it.
    Unknown,
}

impl Pattern {
    pub(super) fn parse(text: &str) -> Self {
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            plain.push_str(&rest[..at]);
            rest = &rest[at..];
            if let Some(name) = name_at(rest, "$$(") {
                // The host reads those once more.
                let from = if HOST_NAMES.contains(&name) { 0 } else { 1 };
                plain.push_str(&rest[from..name.len() + 4]);
                rest = &rest[name.len() + 4..];
            } else if let Some(name) = name_at(rest, "$(") {
                if !plain.is_empty() {
                    parts.push(Part::Text(std::mem::take(&mut plain)));
                }
                parts.push(Part::Name(name.to_owned()));
                rest = &rest[name.len() + 3..];
            } else {
                plain.push('$');
                rest = &rest[1..];
            }
        }
        plain.push_str(rest);
        if !plain.is_empty() || parts.is_empty() {
            parts.push(Part::Text(plain));
        }
        Self { parts }
    }

    /// A text in which nothing is filled in.
    pub(super) fn literal(text: &str) -> Self {
        Self { parts: vec![Part::Text(text.to_owned())] }
    }

    /// The names in it.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|p| match p {
            Part::Text(_) => None,
            Part::Name(name) => Some(name.as_str()),
        })
    }

    /// With every name filled in that `value` knows.
    pub(super) fn fill(&self, value: impl Fn(&str) -> Option<String>) -> String {
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Text(plain) => text.push_str(plain),
                Part::Name(name) => match value(name) {
                    Some(value) => text.push_str(&value),
                    None => {
                        text.push_str("$(");
                        text.push_str(name);
                        text.push(')');
                    }
                },
            }
        }
        text
    }
}

/// The name behind `open` and before `)`, where it is one.
fn name_at<'a>(text: &'a str, open: &str) -> Option<&'a str> {
    let name = text.strip_prefix(open)?.split(')').next()?;
    let closed = text.len() > open.len() + name.len();
    let first = |c: char| c.is_ascii_alphabetic() || c == '_';
    let good = name.starts_with(first)
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'));
    (closed && good).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(text: &str) -> String {
        Pattern::parse(text).fill(|name| (name == "PORT").then(|| "9001".to_owned()))
    }

    #[test]
    fn names_are_filled_in_and_the_rest_stays() {
        assert_eq!(fill("--port=$(PORT)"), "--port=9001");
        assert_eq!(fill("$(PORT)$(PORT)"), "90019001");
        assert_eq!(fill("$$(PORT)"), "$(PORT)");
        assert_eq!(fill("$$$(PORT)"), "$$(PORT)");
        assert_eq!(
            fill("$$(A2ARUN_RUN_DIR)$(A2ARUN_RUN_DIR)"),
            "$$(A2ARUN_RUN_DIR)$(A2ARUN_RUN_DIR)"
        );
        assert_eq!(fill("$(NOPE) $5 $ $() $(a b) $(PORT"), "$(NOPE) $5 $ $() $(a b) $(PORT");
        assert_eq!(fill("echo $(date +%s)"), "echo $(date +%s)");
        assert_eq!(fill(""), "");
        assert_eq!(fill("ü$(PORT)ü"), "ü9001ü");
    }

    #[test]
    fn any_text_without_names_stays() {
        proptest::proptest!(|(text in "[^$]*")| {
            proptest::prop_assert_eq!(fill(&text), text);
        });
        proptest::proptest!(|(text in "[$()A-Z_ ü]{0,20}")| { let _ = fill(&text); });
    }
}
