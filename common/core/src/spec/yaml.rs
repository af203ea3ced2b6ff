//! YAML to a tree that knows where everything stands. The only module that names the YAML crate.
//!
//! A tree, and not structs, because every finding shall come at once: a struct would stop at the
//! first key it does not know.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_yaml::options::{DuplicateKeyPolicy, NonFiniteFloatPolicy};
use serde_yaml::{Location, Spanned};

use crate::source::{Code, Finding, Span};

/// Nodes of one file, after aliases are filled in.
const NODES_MAX: usize = 200_000;
/// Nested lists and maps.
const DEPTH_MAX: usize = 64;

/// A value and its place.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    pub(super) span: Span,
    pub(super) value: Value,
}

/// A key and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) text: String,
    pub(super) span: Span,
}

/// What YAML can say. Numbers keep their spelling: `1.10` is a version as often as a number.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Number { value: serde_json::Number, spelling: String },
    Text(String),
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

impl Value {
    /// For messages.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Bool(_) => "a boolean",
            Self::Number { .. } => "a number",
            Self::Text(_) => "a text",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
        }
    }
}

/// Reads one document. The text begins without a byte order mark.
pub(super) fn parse(text: &str) -> Result<Node, Vec<Finding>> {
    let options = serde_yaml::options! {
        budget: serde_yaml::budget! {
            max_depth: DEPTH_MAX,
            max_nodes: NODES_MAX,
            max_events: NODES_MAX * 4,
            max_documents: 2,
        },
        alias_limits: serde_yaml::alias_limits! {
            max_total_replayed_events: 100_000,
            max_replay_stack_depth: 32,
        },
        // Passed through so that each is reported with both places.
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
        non_finite_float_policy: NonFiniteFloatPolicy::AsString,
        with_snippet: false,
    };
    let read: Result<Spanned<Raw>, _> = serde_yaml::from_str_with_options(text, options);
    match read {
        Ok(tree) => Ok(node(tree, text)),
        Err(error) => Err(vec![finding(&error, text)]),
    }
}

fn finding(error: &serde_yaml::Error, text: &str) -> Finding {
    use serde_yaml::Error as E;
    let place = error.location().map_or_else(Span::default, |l| span(l, text));
    let too_much = |what: &str| {
        Finding::error(Code::Input, place, format!("the file {what}"))
            .help("a job file is small: use `replicas` instead of repeating agents")
    };
    #[expect(clippy::wildcard_enum_match_arm, reason = "the crate's error enum is not ours")]
    match error {
        E::Budget { .. } => too_much(&format!(
            "is too large or nested too deeply (at most {NODES_MAX} values, {DEPTH_MAX} levels)"
        )),
        E::AliasReplayLimitExceeded { .. }
        | E::AliasExpansionLimitExceeded { .. }
        | E::AliasReplayStackDepthExceeded { .. }
        | E::AliasReplayCounterOverflow { .. } => too_much("repeats itself too often by aliases"),
        E::AliasError { error, .. } => finding(error, text),
        E::MultipleDocuments { .. } => {
            Finding::error(Code::Syntax, place, "a second document begins here")
                .help("one file describes one job")
        }
        // Texts are asked for as keys only.
        E::NullIntoString { .. }
        | E::Unexpected { .. }
        | E::UnexpectedContainerEndWhileReadingKeyNode { .. }
        | E::TaggedScalarCannotDeserializeIntoString { .. } => {
            Finding::error(Code::Syntax, place, "a key is a text, and this one is none")
        }
        E::Eof { .. } => Finding::error(Code::Syntax, place, "the file ends too early"),
        E::UnknownAnchor { .. } => {
            Finding::error(Code::Syntax, place, "this alias names no anchor")
        }
        _ => match first_line(&error.to_string()) {
            message if message.contains("recursion limit") => too_much("is nested too deeply"),
            message => {
                let help = syntax_help(&message);
                let finding = Finding::error(Code::Syntax, place, message);
                help.map_or(finding.clone(), |help| finding.help(help))
            }
        },
    }
}

/// What is most often the cause.
fn syntax_help(message: &str) -> Option<&'static str> {
    if message.contains("tabs") {
        Some("indent with spaces")
    } else if message.contains("block collection") || message.contains("block mapping") {
        Some("is it indented as the lines it belongs to?")
    } else {
        None
    }
}

/// The message without the place that the crate puts around it; ours is the caret.
fn first_line(message: &str) -> String {
    let line = message.lines().next().unwrap_or("not YAML");
    let line = line.strip_prefix("error: ").unwrap_or(line);
    let line = match line.strip_prefix("line ").and_then(|l| l.split_once(": ")) {
        Some((place, rest)) if place.contains("column") => rest,
        Some(_) | None => line,
    };
    line.split(" at line ").next().unwrap_or(line).to_owned()
}

fn span(location: Location, text: &str) -> Span {
    let found = location.span();
    let wide = |n: u64| usize::try_from(n).unwrap_or(usize::MAX).min(text.len());
    let start = found.byte_offset().map(wide);
    match start {
        Some(start) => {
            let len = found.byte_len().map_or(0, wide);
            Span::new(start, start.saturating_add(len).min(text.len()))
        }
        None => {
            let line = usize::try_from(location.line().saturating_sub(1)).unwrap_or(0);
            let start: usize = text.split_inclusive('\n').take(line).map(str::len).sum();
            let column = usize::try_from(location.column().saturating_sub(1)).unwrap_or(0);
            let here = text.get(start..).unwrap_or("").split('\n').next().unwrap_or("");
            let within: usize = here.chars().take(column).map(char::len_utf8).sum();
            Span::new(start + within, start + within)
        }
    }
}

fn node(tree: Spanned<Raw>, text: &str) -> Node {
    let mut place = span(tree.referenced, text);
    let spelling = span(tree.defined, text).of(text).trim();
    let number = |value: serde_json::Number| {
        let spelling = if spelling.is_empty() { value.to_string() } else { spelling.to_owned() };
        Value::Number { value, spelling }
    };
    let value = match tree.value {
        Raw::Null => Value::Null,
        Raw::Bool(b) => Value::Bool(b),
        Raw::Int(n) => number(n.into()),
        Raw::Unsigned(n) => number(n.into()),
        Raw::Float(x) => match serde_json::Number::from_f64(x) {
            Some(n) => number(n),
            None => Value::Text(spelling.to_owned()),
        },
        Raw::Text(text) => Value::Text(text),
        Raw::List(items) => Value::List(items.into_iter().map(|n| node(n, text)).collect()),
        Raw::Map(entries) => Value::Map(
            entries
                .into_iter()
                .map(|(key, value)| {
                    let key = Key { span: span(key.referenced, text), text: key.value };
                    let mut value = node(value, text);
                    // A block map or an absent value has no width: point at its key.
                    if value.span.start >= value.span.end || value.span.of(text).contains('\n') {
                        value.span = key.span;
                    }
                    (key, value)
                })
                .collect(),
        ),
    };
    if let Some(line_end) = place.of(text).find('\n') {
        place.end = place.start + u32::try_from(line_end).unwrap_or(0);
    }
    Node { span: place, value }
}

#[derive(Debug)]
enum Raw {
    Null,
    Bool(bool),
    Int(i64),
    Unsigned(u64),
    Float(f64),
    Text(String),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<String>, Spanned<Raw>)>),
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_none<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_bool<E>(self, b: bool) -> Result<Raw, E> {
        Ok(Raw::Bool(b))
    }

    fn visit_i64<E>(self, n: i64) -> Result<Raw, E> {
        Ok(Raw::Int(n))
    }

    fn visit_u64<E>(self, n: u64) -> Result<Raw, E> {
        Ok(Raw::Unsigned(n))
    }

    fn visit_i128<E>(self, n: i128) -> Result<Raw, E> {
        Ok(Raw::Text(n.to_string()))
    }

    fn visit_u128<E>(self, n: u128) -> Result<Raw, E> {
        Ok(Raw::Text(n.to_string()))
    }

    fn visit_f64<E>(self, x: f64) -> Result<Raw, E> {
        Ok(Raw::Float(x))
    }

    fn visit_str<E>(self, text: &str) -> Result<Raw, E> {
        Ok(Raw::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Raw, E> {
        Ok(Raw::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Raw, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Raw::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Raw, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = map.next_key()? {
            entries.push((key, map.next_value()?));
        }
        Ok(Raw::Map(entries))
    }
}
