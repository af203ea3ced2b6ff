//! `schema`: the committed file, and what it says of job files.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::bed::{Bed, repository};
use crate::json_schema::errors;

fn schema() -> Value {
    let output = Bed::new(&[]).output(&["schema"]);
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Every job file below a folder of the repository.
pub(crate) fn jobs(folder: &str) -> Vec<PathBuf> {
    let (mut found, mut folders) = (Vec::new(), vec![repository().join(folder)]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "yaml") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn read(text: &str) -> Value {
    serde_yaml::from_str(text).unwrap()
}

#[test]
fn the_committed_schema_is_what_the_program_prints() {
    let path = repository().join("jobs/schemas/job.schema.json");
    let committed = fs::read_to_string(&path).unwrap();
    let printed = String::from_utf8(Bed::new(&[]).output(&["schema"]).stdout).unwrap();
    assert!(printed == committed, "{} is not up to date: run scripts/generate", path.display());
}

#[test]
fn every_example_is_valid() {
    let schema = schema();
    let jobs = jobs("jobs/examples");
    assert!(jobs.len() >= 2, "{jobs:?}");
    for path in jobs {
        let found = errors(&schema, &read(&fs::read_to_string(&path).unwrap()));
        assert_eq!(found, Vec::<String>::new(), "{}", path.display());
    }
}

/// What the program refuses by shape an editor refuses as well, and what it reads is good there.
#[test]
fn editor_and_program_agree() {
    let schema = schema();
    let bed = Bed::new(&[]);
    let agent = |rest: &str| format!("agents: [{{id: a, {rest}}}]");
    let good = [
        agent("command: x"),
        agent("command: [x, 1], replicas: auto, x-mine: {a: 1}"),
        agent("module: m, type: C, config: {port: '9001', deep: {a: [1]}}"),
        agent("command: x, config: {port: auto}, ports: {grpc: 7000, http: auto}"),
        agent("command: x, config: {port: 1}, readiness: {type: http, status: 204, deadline: 5}"),
        agent("command: x, restart: never, stop: {signal: 2, grace: 500ms}"),
        agent("command: x, environment: {A: 1, B: true, K: {secret: {env: K}}}, env_file: a"),
        agent("external: 'http://x', deployment: {target: localhost}").replace(
            "]",
            ", {id: b, command: x, depends_on: {c: started}}, {id: c, command: y, limits: }]",
        ),
        agent("command: x") + "\ntopology: {type: mesh}",
        agent("command: x") + "\ntopology: {type: dag, connections: []}",
        agent("deployment: {target: container, image: i}"),
        agent("command: x, replicas: '${N:-2}', liveness: {failures: '3'}"),
    ];
    for text in &good {
        assert_eq!(errors(&schema, &read(text)), Vec::<String>::new(), "{text}");
        bed.write("job.yaml", text);
        let output = bed.output(&["validate", "job.yaml"]);
        assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    }
    let bad = [
        "agents: 1".to_owned(),
        "topology: {type: mesh}".to_owned(),
        agent("comand: x"),
        agent("replicas: 2"),
        agent("command: x, replicas: 0"),
        agent("command: x, replicas: many"),
        agent("command: x, config: {port: 70000}"),
        agent("command: x, protocol: grpc"),
        agent("command: x, readiness: {type: maybe}"),
        agent("command: x, readiness: {kind: tcp}"),
        agent("command: x, liveness: {failures: 0}"),
        agent("command: x, environment: {A: [1]}"),
        agent("command: x, environment: {A: {secret: {env: A, file: b}}}"),
        agent("command: x, restart: sometimes"),
        agent("command: x, depends_on: {a: reddy}"),
        agent("command: x") + "\ntopology: {type: hub-spoke, hub: a}",
        agent("command: x") + "\ntopology: {type: star}",
        agent("command: x") + "\ntopology: {hub: a}",
        agent("command: x") + "\ndeployment: {strategy: fast}",
        agent("command: x") + "\nexecutions: {}",
    ];
    for text in &bad {
        assert_ne!(errors(&schema, &read(text)), Vec::<String>::new(), "{text}");
        bed.write("job.yaml", text);
        assert_eq!(bed.output(&["validate", "job.yaml"]).status.code(), Some(65), "{text}");
    }
}

/// Somebody else's reading of the schema, where there is one.
#[test]
fn python_finds_the_schema_good() {
    let script = "\
import json, sys
try:
    from jsonschema import Draft202012Validator as Validator
except ImportError:
    sys.exit(77)
schema, documents = json.load(sys.stdin)
Validator.check_schema(schema)
for name, document in documents:
    for error in Validator(schema).iter_errors(document):
        print(name, error.json_path, error.message)
        sys.exit(1)
";
    let document = |path: &Path| {
        let text = fs::read_to_string(path).unwrap();
        serde_json::json!([path.display().to_string(), read(&text)])
    };
    let documents: Vec<Value> = jobs("jobs/examples").iter().map(|p| document(p)).collect();
    let command = Command::new("python3").args(["-c", script]).stdin(Stdio::piped()).spawn();
    let Ok(mut python) = command else { return skipped("there is no python3") };
    let input = serde_json::json!([schema(), documents]).to_string();
    python.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    match python.wait().unwrap().code() {
        Some(77) => skipped("python3 has no jsonschema"),
        code => assert_eq!(code, Some(0)),
    }
}

#[expect(clippy::print_stderr, reason = "a test that is skipped must be seen")]
fn skipped(why: &str) {
    eprintln!("SKIPPED {why}");
}
