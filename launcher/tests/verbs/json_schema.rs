//! JSON Schema as far as ours goes; a keyword that is not known here fails the test.

use serde_json::{Map, Value};

/// What is wrong with a document, one line each; empty: nothing.
pub(crate) fn errors(schema: &Value, document: &Value) -> Vec<String> {
    let mut found = Vec::new();
    Check { root: schema, found: &mut found }.at("", schema, document);
    found
}

struct Check<'a> {
    root: &'a Value,
    found: &'a mut Vec<String>,
}

impl Check<'_> {
    fn at(&mut self, path: &str, schema: &Value, value: &Value) {
        let rules = match schema {
            Value::Bool(true) => return,
            Value::Object(rules) => rules,
            other => panic!("{path}: {other} is no schema"),
        };
        for (keyword, rule) in rules {
            self.keyword(path, keyword, rule, rules, value);
        }
    }

    fn keyword(
        &mut self,
        path: &str,
        keyword: &str,
        rule: &Value,
        rules: &Map<String, Value>,
        value: &Value,
    ) {
        let good = match keyword {
            "$schema" | "$id" | "$defs" | "title" | "description" | "default" | "then" => true,
            "$ref" => {
                let name = rule.as_str().unwrap().strip_prefix("#/$defs/").unwrap();
                let schema = self.root["$defs"].get(name).unwrap();
                self.at(path, schema, value);
                true
            }
            "type" => match rule {
                Value::String(one) => is_type(one, value),
                several => {
                    let mut several = several.as_array().unwrap().iter();
                    several.any(|one| is_type(one.as_str().unwrap(), value))
                }
            },
            "enum" => rule.as_array().unwrap().contains(value),
            "const" => rule == value,
            "minimum" => value.as_f64().is_none_or(|n| n >= rule.as_f64().unwrap()),
            "maximum" => value.as_f64().is_none_or(|n| n <= rule.as_f64().unwrap()),
            "pattern" => value.as_str().is_none_or(|text| matches(rule.as_str().unwrap(), text)),
            "minProperties" => size(value).is_none_or(|n| n >= rule.as_u64().unwrap()),
            "maxProperties" => size(value).is_none_or(|n| n <= rule.as_u64().unwrap()),
            "required" => value.as_object().is_none_or(|map| {
                rule.as_array().unwrap().iter().all(|key| map.contains_key(key.as_str().unwrap()))
            }),
            "anyOf" => rule.as_array().unwrap().iter().any(|one| self.holds(one, value)),
            "allOf" => {
                rule.as_array().unwrap().iter().for_each(|one| self.at(path, one, value));
                true
            }
            "if" => {
                if self.holds(rule, value) {
                    self.at(path, &rules["then"], value);
                }
                true
            }
            "items" => {
                for (n, item) in value.as_array().into_iter().flatten().enumerate() {
                    self.at(&format!("{path}[{n}]"), rule, item);
                }
                true
            }
            "properties" => {
                for (key, schema) in rule.as_object().unwrap() {
                    if let Some(value) = value.get(key) {
                        self.at(&format!("{path}.{key}"), schema, value);
                    }
                }
                true
            }
            "patternProperties" => rule.as_object().unwrap().values().all(|r| *r == true),
            "additionalProperties" => {
                for (key, value) in value.as_object().into_iter().flatten() {
                    let named = rules.get("properties").is_some_and(|p| p.get(key).is_some());
                    let mut patterns = rules
                        .get("patternProperties")
                        .and_then(Value::as_object)
                        .into_iter()
                        .flatten();
                    if !named && !patterns.any(|(pattern, _)| matches(pattern, key)) {
                        match rule {
                            Value::Bool(false) => {
                                self.found.push(format!("{path}.{key} is unknown"))
                            }
                            schema => self.at(&format!("{path}.{key}"), schema, value),
                        }
                    }
                }
                true
            }
            other => panic!("{path}: the keyword `{other}` is not checked here"),
        };
        if !good {
            self.found.push(format!("{path}: {value} breaks {keyword}: {rule}"));
        }
    }

    fn holds(&self, schema: &Value, value: &Value) -> bool {
        let mut found = Vec::new();
        Check { root: self.root, found: &mut found }.at("", schema, value);
        found.is_empty()
    }
}

fn size(value: &Value) -> Option<u64> {
    value.as_object().map(|map| map.len() as u64)
}

fn is_type(name: &str, value: &Value) -> bool {
    match name {
        "string" => value.is_string(),
        "number" => value.is_number(),
        "integer" => value.is_i64() || value.is_u64(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("{other} is no type"),
    }
}

/// Every pattern that ours has.
fn matches(pattern: &str, text: &str) -> bool {
    match pattern {
        "^x-" => text.starts_with("x-"),
        r"\$\{" => text.contains("${"),
        r"^[0-9.]+$|\$\{" => {
            text.contains("${")
                || (!text.is_empty() && text.chars().all(|c| c.is_ascii_digit() || c == '.'))
        }
        "^(signal|http):" => text.starts_with("signal:") || text.starts_with("http:"),
        other => panic!("the pattern `{other}` is not checked here"),
    }
}
