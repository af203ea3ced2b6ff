//! `validate`.

use serde_json::Value;

use crate::bed::Bed;

const GOOD: &str = "\
job: {name: good}
agents:
  - id: hub
    command: [python3, hub.py, --port, $(PORT), 'two words']
    workdir: ./src
    config: {port: 9000}
    ports: {grpc: 7000}
    readiness: {type: http, path: /up, deadline: 10m}
    stop: {signal: INT, grace: 1500ms}
    depends_on: {worker: ready}
    environment: {LOG: info, API_KEY: {secret: {env: API_KEY}}}
  - id: worker
    module: agents.worker
    type: Worker
    replicas: 3
    lifecycle: service
    protocol: a2a
    config: {port: auto}
    placement: {labels: [gpu], spread: host, apart: [hub]}
    resources: {cpu: 0.5, memory: 2G, gpu: 1}
    restart: {policy: on-failure, max: 3}
    liveness: {type: tcp}
  - {id: search, external: https://search.example.org}
topology: {type: hub-spoke, hub: hub, spokes: [worker, search]}
";

const BAD: &str = "\
agents:
  - {id: a, command: [x], replica: 2}
  - {id: a, command: [y], depends_on: [b]}
topology: {type: mash}
";

#[test]
fn findings_come_all_at_once() {
    let bed = Bed::new(&[("good.yaml", GOOD), ("bad.yaml", BAD), ("none/x", "")]);
    let lines = [
        "validate bad.yaml good.yaml none.yaml",
        "validate --strict good.yaml",
        "validate --output quiet good.yaml",
        "validate -v good.yaml",
        "validate",
    ];
    insta::assert_snapshot!(lines.map(|line| bed.run(line)).concat());
}

#[test]
fn scripts_get_code_and_place() {
    let bed = Bed::new(&[("good.yaml", GOOD), ("bad.yaml", BAD)]);
    let line = "validate -v --output json bad.yaml good.yaml none.yaml";
    insta::assert_snapshot!(bed.run(line));
    let lines = bed.output(&["validate", "--output", "jsonl", "--strict", "bad.yaml", "good.yaml"]);
    assert_eq!(lines.status.code(), Some(65));
    let text = String::from_utf8(lines.stdout).unwrap();
    for line in text.lines() {
        let file: Value = serde_json::from_str(line).unwrap();
        assert_eq!(file["good"], false);
        for finding in file["findings"].as_array().unwrap() {
            assert_eq!(finding["severity"], "error");
        }
    }
    assert_eq!(text.lines().count(), 2);
}

#[test]
fn codes_are_explained() {
    let bed = Bed::new(&[]);
    let lines = [
        "validate --explain",
        "validate --explain no-set",
        "validate --explain error[cycle] --output json",
        "validate --explain unknown_kye",
        "validate --explain zzz",
    ];
    insta::assert_snapshot!(lines.map(|line| bed.run(line)).concat());
}
