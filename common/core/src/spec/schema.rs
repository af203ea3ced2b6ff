//! The JSON Schema (2020-12) of job files, made from the table of fields.

use serde_json::{Map, Value, json};

use crate::spec::fields::{Field, FieldKind, SECTIONS, Section, Status};
use crate::spec::target;
use crate::spec::topo;

/// Where the committed schema is found, for `# yaml-language-server: $schema=…`.
pub const SCHEMA_URL: &str =
    "https://raw.githubusercontent.com/a2arun/a2arun/main/jobs/schemas/job.schema.json";

/// The schema, with a definition for each section. Equal on every call.
pub fn schema() -> Value {
    let mut root = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": SCHEMA_URL,
        "title": "a2arun job file",
    });
    let mut definitions = Map::new();
    for (n, section) in SECTIONS.iter().enumerate() {
        let body = object(section);
        if n == 0 {
            if let (Some(root), Value::Object(body)) = (root.as_object_mut(), body) {
                root.extend(body);
            }
        } else {
            definitions.insert(definition(section.name), body);
        }
    }
    definitions.insert(
        "variable".to_owned(),
        json!({
            "description": "a text with `${VAR}`, filled in when the file is read",
            "type": "string",
            "pattern": "\\$\\{",
        }),
    );
    definitions.insert(
        "quoted".to_owned(),
        json!({
            "description": "a number between quotes, or a text with `${VAR}`",
            "type": "string",
            "pattern": "^[0-9.]+$|\\$\\{",
        }),
    );
    if let Some(root) = root.as_object_mut() {
        root.insert("$defs".to_owned(), Value::Object(definitions));
    }
    root
}

/// `topology.connections[]` → `topology_connections`.
fn definition(section: &str) -> String {
    section.replace("[]", "").replace('.', "_")
}

fn reference(section: &str) -> Value {
    json!({ "$ref": format!("#/$defs/{}", definition(section)) })
}

fn object(section: &Section) -> Value {
    let properties: Map<String, Value> =
        section.fields.iter().map(|f| (f.key.to_owned(), property(f))).collect();
    let mut body = Map::new();
    body.insert("description".to_owned(), section.doc.into());
    body.insert("type".to_owned(), "object".into());
    body.insert("properties".to_owned(), Value::Object(properties));
    body.insert("patternProperties".to_owned(), json!({ "^x-": true }));
    body.insert("additionalProperties".to_owned(), false.into());
    let required: Vec<&str> =
        section.fields.iter().filter(|f| f.status == Status::Required).map(|f| f.key).collect();
    if !required.is_empty() {
        body.insert("required".to_owned(), json!(required));
    }
    match section.name {
        "agents[]" => {
            let one = RUNS.map(|key| json!({ "required": [key] }));
            body.insert("anyOf".to_owned(), json!(one));
        }
        "topology" => {
            body.insert("allOf".to_owned(), needs_of_topologies());
        }
        "environment[].secret" => {
            body.insert("minProperties".to_owned(), 1.into());
            body.insert("maxProperties".to_owned(), 1.into());
        }
        _ => {}
    }
    Value::Object(body)
}

/// What says how an agent is run; an image stands under `deployment`.
const RUNS: [&str; 4] = ["command", "module", "external", "deployment"];

/// `type: hub-spoke` needs `hub` and `spokes`, and so on: said only where the type is written.
fn needs_of_topologies() -> Value {
    let rules = topo::KINDS.iter().filter(|(_, kind)| !topo::needs(*kind).is_empty());
    let rule = |(word, kind): &(&str, topo::Kind)| {
        json!({
            "if": { "properties": { "type": { "const": word } }, "required": ["type"] },
            "then": { "required": topo::needs(*kind) },
        })
    };
    rules.map(rule).collect()
}

/// The default as a value, where it is one and not a sentence.
fn default(field: &Field) -> Option<Value> {
    let word = |words: Vec<&'static str>| words.into_iter().find(|w| *w == field.default);
    match field.kind {
        FieldKind::Words(words) | FieldKind::MapOrWords(_, words) => word(words()).map(Value::from),
        FieldKind::Bool => field.default.parse::<bool>().ok().map(Value::from),
        FieldKind::Number(..) | FieldKind::Factor | FieldKind::FactorOrWords(_) => {
            field.default.parse::<u32>().ok().map(Value::from)
        }
        FieldKind::Duration => {
            let known = field.default.parse::<jiff::SignedDuration>().is_ok();
            known.then(|| field.default.into())
        }
        FieldKind::PeersChange => Some(field.default.into()),
        FieldKind::Text
        | FieldKind::Target
        | FieldKind::Port
        | FieldKind::Bytes
        | FieldKind::Cpu
        | FieldKind::Texts
        | FieldKind::Command
        | FieldKind::Replicas
        | FieldKind::Agent
        | FieldKind::Agents
        | FieldKind::Stages
        | FieldKind::Levels
        | FieldKind::DependsOn
        | FieldKind::Environment
        | FieldKind::Config
        | FieldKind::Ports
        | FieldKind::Map(_)
        | FieldKind::List(_)
        | FieldKind::Any => None,
    }
}

fn property(field: &Field) -> Value {
    let mut doc = field.doc.to_owned();
    match field.status {
        Status::Required | Status::Active => {}
        Status::NotYet => doc.push_str(" (checked, not acted on yet)"),
        Status::Reserved => doc.push_str(" (kept for later)"),
    }
    if !field.default.is_empty() {
        doc.push_str(&format!("; default: {}", field.default));
    }
    let mut property = match of(field.kind) {
        Value::Object(map) => map,
        _ => Map::new(),
    };
    property.insert("description".to_owned(), doc.into());
    if let Some(default) = default(field) {
        property.insert("default".to_owned(), default);
    }
    Value::Object(property)
}

fn of(kind: FieldKind) -> Value {
    let scalar = || json!({ "type": ["string", "number", "boolean", "null"] });
    let agent = || json!({ "type": ["string", "number", "null"] });
    let texts = || json!({ "anyOf": [scalar(), { "type": "array", "items": scalar() }] });
    let agents = || json!({ "anyOf": [agent(), { "type": "array", "items": agent() }] });
    let or_variable = |body: Value| json!({ "anyOf": [body, { "$ref": "#/$defs/variable" }, { "type": "null" }] });
    // A number between quotes is read as one: it may be what a variable was replaced by.
    let or_quoted =
        |body: Value| json!({ "anyOf": [body, { "$ref": "#/$defs/quoted" }, { "type": "null" }] });
    let port = || json!({ "type": "integer", "minimum": 1, "maximum": 65535 });
    let port_or_auto = || or_quoted(json!({ "anyOf": [port(), { "const": "auto" }] }));
    match kind {
        FieldKind::Text | FieldKind::Bytes | FieldKind::Cpu => scalar(),
        FieldKind::Duration => json!({ "type": ["string", "number", "null"] }),
        FieldKind::Bool => or_variable(json!({ "enum": [true, false, "true", "false"] })),
        FieldKind::Number(min, max) => {
            or_quoted(json!({ "type": "integer", "minimum": min, "maximum": max }))
        }
        FieldKind::Factor => or_quoted(json!({ "type": "number", "minimum": 1, "maximum": 1000 })),
        FieldKind::FactorOrWords(words) => or_quoted(json!({ "anyOf": [
            { "type": "number", "minimum": 1, "maximum": 1000 }, { "enum": words() },
        ] })),
        FieldKind::Target => {
            let words: Vec<&str> = target::TARGETS.iter().map(|(word, _)| *word).collect();
            or_variable(json!({ "anyOf": [
                { "enum": words }, { "type": "string", "pattern": "^(host|container):." },
            ] }))
        }
        FieldKind::Port => or_quoted(port()),
        FieldKind::Words(words) => or_variable(json!({ "enum": words() })),
        FieldKind::Texts | FieldKind::Command => texts(),
        FieldKind::Replicas => or_quoted(
            json!({ "anyOf": [{ "type": "integer", "minimum": 1 }, { "const": "auto" }] }),
        ),
        FieldKind::Agent => agent(),
        FieldKind::Agents => agents(),
        FieldKind::Stages => json!({ "type": "array", "items": agents() }),
        FieldKind::Levels => json!({
            "type": "array",
            "items": { "anyOf": [reference("topology.levels[]"), agents()] },
        }),
        FieldKind::DependsOn => json!({ "anyOf": [
            agents(),
            { "type": "object", "additionalProperties": or_variable(json!({ "enum": ["started", "ready", "completed"] })) },
        ] }),
        FieldKind::Environment => json!({
            "type": ["object", "null"],
            "additionalProperties": { "anyOf": [
                { "type": ["string", "number", "boolean"] },
                reference("environment[]"),
            ] },
        }),
        FieldKind::Config => json!({
            "type": ["object", "null"],
            "properties": { "port": port_or_auto() },
        }),
        FieldKind::Ports => json!({
            "type": ["object", "null"],
            "additionalProperties": port_or_auto(),
        }),
        FieldKind::PeersChange => json!({ "anyOf": [
            { "enum": ["file", "restart"] },
            { "type": "string", "pattern": "^(signal|http):" },
            { "type": "object", "properties": { "signal": scalar(), "http": scalar() },
              "additionalProperties": false, "minProperties": 1, "maxProperties": 1 },
        ] }),
        FieldKind::Map(section) => json!({ "anyOf": [reference(section), { "type": "null" }] }),
        FieldKind::MapOrWords(section, words) => {
            json!({ "anyOf": [reference(section), { "enum": words() }, { "type": "null" }] })
        }
        FieldKind::List(section) => json!({ "type": "array", "items": reference(section) }),
        FieldKind::Any => Value::Object(Map::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reference_has_its_definition() {
        let schema = schema();
        let text = schema.to_string();
        for part in text.split("\"#/$defs/").skip(1) {
            let name = part.split('"').next().unwrap();
            assert!(schema["$defs"].get(name).is_some(), "{name}");
        }
        assert_eq!(schema["required"], json!(["agents"]));
        assert_eq!(
            schema["$defs"]["agents"]["properties"]["replicas"]["anyOf"][0]["anyOf"][1],
            json!({ "const": "auto" })
        );
        assert!(text.contains("hub-spoke") && text.contains("top-down"));
    }
}
