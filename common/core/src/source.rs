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
    /// A key that means nothing beside another one.
    NoEffect,
    /// An agent that stands in no set of the topology.
    NoSet,
    /// Replicas where one is meant.
    Replicas,
    /// Two instances want one port of one host.
    PortClash,
    /// A secret written into the file, or one that cannot be had.
    Secret,
    /// A text that reads two ways.
    Ambiguous,
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
            Self::NoEffect => "no-effect",
            Self::NoSet => "no-set",
            Self::Replicas => "replicas",
            Self::PortClash => "port-clash",
            Self::Secret => "secret",
            Self::Ambiguous => "ambiguous",
        }
    }

    /// What it means, one line: the table of the documentation is made of these.
    pub fn explain(self) -> &'static str {
        match self {
            Self::Input => {
                "not a text that is read: binary, too large, nested too deeply, or blown up by aliases"
            }
            Self::Syntax => "not YAML, or not a line of a hostfile",
            Self::UnknownKey => {
                "a key that does not exist at this place; keys beginning with `x-` are yours"
            }
            Self::Duplicate => "a key, an id or a name that stands twice",
            Self::Missing => {
                "something required is absent: an id, what to run, a host for `target: remote`"
            }
            Self::Type => {
                "a value of the wrong type: a list where a text is meant, a text where a map is meant"
            }
            Self::Value => {
                "a value that is not allowed: out of range, no known word, no valid name"
            }
            Self::UnknownName => "a reference to an agent that the job does not have",
            Self::Variable => {
                "a `${VAR}` that is not set or not written as one; a `$(NAME)` that nobody has"
            }
            Self::Conflict => "two settings that cannot both hold",
            Self::Reserved => "a variable that a2arun sets itself; the help names the field to use",
            Self::Cycle => {
                "a circle through `depends_on`, in a `dag` or in a hierarchy; the message shows its path"
            }
            Self::NotYet => "understood and checked, but without effect in this version",
            Self::NoEffect => "a key that means nothing beside another one",
            Self::NoSet => {
                "an agent that stands in no set of the topology, or that its root does not reach"
            }
            Self::Replicas => "several copies where the topology or another field means one",
            Self::PortClash => {
                "two instances want the same port of the same host, or a port above 65535"
            }
            Self::Secret => "a secret that is badly written; its value is never shown",
            Self::Ambiguous => "a hostfile that reads two ways; the message shows both",
        }
    }

    /// Every code, in the order of the documentation.
    pub const ALL: [Self; 19] = [
        Self::Input,
        Self::Syntax,
        Self::UnknownKey,
        Self::Duplicate,
        Self::Missing,
        Self::Type,
        Self::Value,
        Self::UnknownName,
        Self::Variable,
        Self::Conflict,
        Self::Reserved,
        Self::Cycle,
        Self::NotYet,
        Self::NoEffect,
        Self::NoSet,
        Self::Replicas,
        Self::PortClash,
        Self::Secret,
        Self::Ambiguous,
    ];
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
