//! Members of a JSON object, read tolerantly: camelCase or snake_case, null as absent, and what
//! has a wrong type as absent with a fault.

use serde_json::{Map, Value};

use crate::card::parse::Fault;

/// Cards of hostile servers must not make long lists of complaints.
const FAULTS_MAX: usize = 32;

/// Collects what had to be passed over.
#[derive(Debug, Default)]
pub(super) struct Reader {
    pub(super) faults: Vec<Fault>,
}

impl Reader {
    pub(super) fn fault(&mut self, member: &str, expected: &'static str, found: &Value) {
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(Fault { member: member.to_owned(), expected, found: kind(found) });
        }
    }

    /// A text; numbers are taken as written (`version: 1.0`).
    pub(super) fn text(&mut self, object: &Map<String, Value>, name: &str) -> Option<String> {
        match member(object, name)? {
            Value::String(text) => Some(text.trim().to_owned()).filter(|t| !t.is_empty()),
            Value::Number(number) => Some(number.to_string()),
            other => {
                self.fault(name, "a text", other);
                None
            }
        }
    }

    /// Yes or no; `"true"` is what some frameworks write.
    pub(super) fn flag(&mut self, object: &Map<String, Value>, name: &str) -> Option<bool> {
        match member(object, name)? {
            Value::Bool(flag) => Some(*flag),
            Value::String(text) if text.eq_ignore_ascii_case("true") => Some(true),
            Value::String(text) if text.eq_ignore_ascii_case("false") => Some(false),
            other => {
                self.fault(name, "true or false", other);
                None
            }
        }
    }

    pub(super) fn list<'a>(&mut self, object: &'a Map<String, Value>, name: &str) -> &'a [Value] {
        match member(object, name) {
            None => &[],
            Some(Value::Array(list)) => list,
            Some(other) => {
                self.fault(name, "a list", other);
                &[]
            }
        }
    }

    pub(super) fn object<'a>(
        &mut self,
        object: &'a Map<String, Value>,
        name: &str,
    ) -> Option<&'a Map<String, Value>> {
        match member(object, name)? {
            Value::Object(inner) => Some(inner),
            other => {
                self.fault(name, "an object", other);
                None
            }
        }
    }

    /// The texts of a list; a single text is a list of one.
    pub(super) fn texts(&mut self, object: &Map<String, Value>, name: &str) -> Vec<String> {
        match member(object, name) {
            None => Vec::new(),
            Some(Value::String(text)) => vec![text.clone()],
            Some(Value::Array(list)) => {
                list.iter().filter_map(|v| v.as_str().map(str::to_owned)).collect()
            }
            Some(other) => {
                self.fault(name, "a list of texts", other);
                Vec::new()
            }
        }
    }
}

/// A member by its camelCase name (A2A 1.0 §5.5) or the same in snake_case; null is absent (§5.7).
pub(super) fn member<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    let present = |name: &str| object.get(name).filter(|value| !value.is_null());
    present(name).or_else(|| present(&snake(name)))
}

fn snake(name: &str) -> String {
    let mut text = String::with_capacity(name.len() + 4);
    for c in name.chars() {
        if c.is_ascii_uppercase() {
            text.push('_');
        }
        text.push(c.to_ascii_lowercase());
    }
    text
}

/// A value's type, in words.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
