//! The JSON Schema (2020-12) of job files, made from the table of fields.

use serde_json::{Map, Value, json};

use crate::spec::fields::{Field, FieldKind, SECTIONS, Section, Status};
use crate::spec::target;

/// The schema, with a definition for each section. Equal on every call.
pub fn schema() -> Value {
    let mut root = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "https://github.com/a2arun/a2arun/blob/main/jobs/schemas/job.schema.json",
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
    Value::Object(body)
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
    Value::Object(property)
}

fn of(kind: FieldKind) -> Value {
    let scalar = || json!({ "type": ["string", "number", "boolean", "null"] });
    let agent = || json!({ "type": ["string", "number", "null"] });
    let texts = || json!({ "anyOf": [scalar(), { "type": "array", "items": scalar() }] });
    let agents = || json!({ "anyOf": [agent(), { "type": "array", "items": agent() }] });
    let or_variable = |body: Value| json!({ "anyOf": [body, { "$ref": "#/$defs/variable" }, { "type": "null" }] });
    let port = || json!({ "type": "integer", "minimum": 1, "maximum": 65535 });
    let port_or_auto = || {
        or_variable(
            json!({ "anyOf": [port(), { "const": "auto" }, { "type": "string", "pattern": "^[0-9]+$" }] }),
        )
    };
    match kind {
        FieldKind::Text | FieldKind::Bytes | FieldKind::Cpu => scalar(),
        FieldKind::Duration => json!({ "type": ["string", "number", "null"] }),
        FieldKind::Bool => or_variable(json!({ "type": "boolean" })),
        FieldKind::Number(min, max) => {
            or_variable(json!({ "type": "integer", "minimum": min, "maximum": max }))
        }
        FieldKind::Factor => {
            or_variable(json!({ "type": "number", "minimum": 1, "maximum": 1000 }))
        }
        FieldKind::FactorOrWords(words) => or_variable(json!({ "anyOf": [
            { "type": "number", "minimum": 1, "maximum": 1000 }, { "enum": words() },
        ] })),
        FieldKind::Target => {
            let words: Vec<&str> = target::TARGETS.iter().map(|(word, _)| *word).collect();
            or_variable(json!({ "anyOf": [
                { "enum": words }, { "type": "string", "pattern": "^(host|container):." },
            ] }))
        }
        FieldKind::Port => or_variable(port()),
        FieldKind::Words(words) => or_variable(json!({ "enum": words() })),
        FieldKind::Texts | FieldKind::Command => texts(),
        FieldKind::Replicas => or_variable(
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
            { "type": "object", "additionalProperties": { "enum": ["started", "ready", "completed"] } },
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
