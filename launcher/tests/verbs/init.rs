//! `init`: what it writes is good, and nothing is written over.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;

use crate::bed::{Bed, repository};
use crate::json_schema::errors;

fn json(bed: &Bed, line: &str) -> Value {
    let output = bed.output(&line.split(' ').collect::<Vec<_>>());
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn templates_are_listed_and_written() {
    let bed = Bed::new(&[]);
    let lines = [
        "init",
        "init hub-spoke",
        "init hosts cluster --name night-shift",
        "init pipeline deep/er/press.yaml",
        "init container --output json",
        // The agent is there already, and says the same.
        "init mesh",
    ];
    insta::assert_snapshot!(lines.map(|line| bed.run(line)).concat());
    let job = fs::read_to_string(bed.path("cluster/night-shift.yaml")).unwrap();
    assert!(job.starts_with("# yaml-language-server: $schema=https://"), "{job}");
    assert!(
        job.contains("name: \"night-shift\"") && job.contains("a2arun cluster/night-shift.yaml")
    );
    assert!(fs::read_to_string(bed.path("deep/er/press.yaml")).unwrap().contains("\"press\""));
}

#[test]
fn nothing_is_written_over() {
    let bed = Bed::new(&[("agent.py", "mine"), ("dir/x.yaml", "mine")]);
    let lines = [
        "init dag",
        "init dag dir/x.yaml",
        "init star",
        "init pipelin",
        "init dag --name a/b",
        "init dag .yaml",
        "init dag agent.py",
        "init dag --force",
    ];
    insta::assert_snapshot!(lines.map(|line| bed.run(line)).concat());
    assert_eq!(fs::read_to_string(bed.path("dir/x.yaml")).unwrap(), "mine");
    assert_ne!(fs::read_to_string(bed.path("agent.py")).unwrap(), "mine");
}

#[test]
fn what_every_template_writes_is_good() {
    let bed = Bed::new(&[]);
    let schema = json(&bed, "schema");
    let listed = json(&bed, "init --output json");
    let mut names = BTreeSet::new();
    for template in listed.as_array().unwrap() {
        let name = template["name"].as_str().unwrap();
        names.insert(format!("{name}.yaml"));
        let written = json(&bed, &format!("init {name} {name}-files --output json"));
        let job = written["files"][0].as_str().unwrap();
        let plan = json(&bed, &format!("plan {job} --output json"));
        assert_eq!(plan["job"], name);
        let warnings = plan["warnings"].as_array().unwrap();
        let known: &[&str] = match name {
            "dynamic" => &["topology.type: dynamic"],
            "container" => &["deployment.target: container"],
            "kubernetes" => &["deployment.target: kubernetes"],
            _ => &[],
        };
        let fields: Vec<&str> = warnings.iter().map(|w| w["field"].as_str().unwrap()).collect();
        assert_eq!(fields, known, "{name}: {plan}");
        let text = fs::read_to_string(bed.path(job)).unwrap();
        assert!(!text.contains("__"), "{text}");
        let document: Value = serde_yaml::from_str(&text).unwrap();
        assert_eq!(errors(&schema, &document), Vec::<String>::new(), "{name}");
        // What it is said to be, it is: a topology or a target has the template's name.
        let drawn = json(&bed, &format!("graph {job} --output json"));
        let target = drawn["agents"][0]["target"].as_str().unwrap();
        let topology = drawn["topology"].as_str().unwrap();
        match name {
            "local" | "hosts" | "program" => assert_eq!(target, "localhost"),
            "container" | "kubernetes" => assert_eq!(target, name),
            _ => assert_eq!(topology, name),
        }
        let launched = template["launched"].as_bool().unwrap();
        if !launched {
            let refused = bed.output(&["run", job]);
            assert_eq!(refused.status.code(), Some(65), "{name}");
        }
    }
    // Every file of the folder is one of them.
    for entry in fs::read_dir(repository().join("jobs/templates")).unwrap() {
        let file = entry.unwrap().file_name().into_string().unwrap();
        let other = ["agent.py", "work.py", "hosts"].contains(&file.as_str());
        assert!(other || names.contains(&file), "{file}");
    }
}
