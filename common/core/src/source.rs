//! Places in a text and what was found there: shared by job files and hostfiles.
//!
//! Findings are data; [`crate::spec::render`] turns them into rustc-like text.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A range of bytes in the text that was read. `start == end` marks a point.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// One behind the last byte.
    pub end: u32,
}

impl Span {
    /// From byte offsets; texts of 4 GiB and more do not occur (see `spec::INPUT_BYTES_MAX`).
    pub fn new(start: usize, end: usize) -> Self {
        let narrow = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Self { start: narrow(start), end: narrow(end.max(start)) }
    }

    /// The part of `text`, empty where the span does not lie in it.
    pub fn of(self, text: &str) -> &str {
        text.get(self.start as usize..self.end as usize).unwrap_or("")
    }
}

/// Errors refuse the file; warnings do not (`--strict` makes them errors).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// The file cannot be used.
    Error,
    /// It can, but not everything it says has an effect.
    Warning,
}

/// What kind of finding it is; the word in `error[WORD]`, stable for scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Code {
    /// Not a text we read: binary, too large, too deep.
    Input,
    /// Not YAML, or not a hostfile line.
    Syntax,
    /// A key that does not exist here.
    UnknownKey,
    /// A key or name that stands twice.
    Duplicate,
    /// A required key is absent.
    Missing,
    /// A value of the wrong type.
    Type,
    /// A value that is not allowed.
    Value,
    /// A name that nothing has.
    UnknownName,
    /// `${VAR}` cannot be filled in.
    Variable,
    /// Two settings that cannot both hold.
    Conflict,
    /// A variable that a2arun sets itself.
    Reserved,
    /// A cycle through `depends_on`.
    Cycle,
    /// Understood, but not acted on yet.
    NotYet,
}

impl Code {
    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Syntax => "syntax",
            Self::UnknownKey => "unknown-key",
            Self::Duplicate => "duplicate",
            Self::Missing => "missing",
            Self::Type => "type",
            Self::Value => "value",
            Self::UnknownName => "unknown-name",
            Self::Variable => "variable",
            Self::Conflict => "conflict",
            Self::Reserved => "reserved",
            Self::Cycle => "cycle",
            Self::NotYet => "not-yet",
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One thing found in a text, with its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What kind.
    pub code: Code,
    /// Error or warning.
    pub severity: Severity,
    /// Where; `None`: the text as a whole.
    pub span: Option<Span>,
    /// What is wrong, a lower-case fragment that names the thing and the value.
    pub message: String,
    /// Text at the caret.
    pub label: Option<String>,
    /// A second place and its text.
    pub other: Option<(Span, String)>,
    /// What to do about it.
    pub help: Option<String>,
    /// The agent it is about, for `warnings` in JSON.
    pub agent: Option<String>,
    /// The field it is about, as a dotted path.
    pub field: Option<String>,
}

impl Finding {
    /// An error at a place.
    pub fn error(code: Code, span: Span, message: impl Into<String>) -> Self {
        Self {
            code,
            severity: Severity::Error,
            span: Some(span),
            message: message.into(),
            label: None,
            other: None,
            help: None,
            agent: None,
            field: None,
        }
    }

    /// A warning at a place.
    pub fn warning(code: Code, span: Span, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, span, message) }
    }

    /// An error about the text as a whole.
    pub fn whole(code: Code, message: impl Into<String>) -> Self {
        Self { span: None, ..Self::error(code, Span::default(), message) }
    }

    /// With a text at the caret.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// With a line of advice.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// With a second place.
    #[must_use]
    pub fn other(mut self, span: Span, label: impl Into<String>) -> Self {
        self.other = Some((span, label.into()));
        self
    }

    /// With the agent and field it is about.
    #[must_use]
    pub fn about(mut self, agent: Option<&str>, field: impl Into<String>) -> Self {
        self.agent = agent.map(str::to_owned);
        self.field = Some(field.into());
        self
    }

    /// Whether it refuses the file.
    pub fn is_error(&self) -> bool {
        match self.severity {
            Severity::Error => true,
            Severity::Warning => false,
        }
    }

    /// Line and column, both from 1, in characters, of the place in `text`.
    pub fn line_column(&self, text: &str) -> Option<(usize, usize)> {
        self.span.map(|span| line_column(text, span.start as usize))
    }
}

/// Line and column, both from 1, the column in characters, of a byte offset.
pub fn line_column(text: &str, offset: usize) -> (usize, usize) {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let before = text.get(..offset.min(text.len())).unwrap_or(text);
    let line = before.bytes().filter(|b| *b == b'\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
    (line, column)
}

/// The nearest of `candidates` to what was written, where one is near enough to be meant.
pub fn nearest<'a>(
    written: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    // In two letters one mistake leaves too little to recognise.
    let limit = written.chars().count() / 3;
    let folded = written.to_lowercase().replace('-', "_");
    candidates
        .into_iter()
        .map(|c| (strsim::osa_distance(&folded, &c.to_lowercase().replace('-', "_")), c))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, c)| c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_characters_from_one() {
        assert_eq!(line_column("ab\nüx: y", 7), (2, 4));
        assert_eq!(line_column("", 0), (1, 1));
        assert_eq!(line_column("a", 99), (1, 2));
    }

    #[test]
    fn nearest_is_near() {
        assert_eq!(nearest("replica", ["replicas", "restart"]), Some("replicas"));
        assert_eq!(nearest("health-check", ["health_check"]), Some("health_check"));
        assert_eq!(nearest("zzz", ["replicas"]), None);
        assert_eq!(nearest("d", ["c"]), None);
        assert_eq!(nearest("Hub", ["hub"]), Some("hub"));
    }
}
