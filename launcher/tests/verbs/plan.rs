//! `plan` and `run --dry-run`.

use std::fs;

use serde_json::Value;

use crate::bed::Bed;
use crate::schema::jobs;

const JOB: &str = "\
agents:
  - {id: hub, command: [x], config: {port: 9000}}
  - {id: worker, module: agents.worker, workdir: w, config: {port: auto}, ports: {grpc: 7000}, replicas: auto}
  - {id: tool, command: [y, $(NOPE)], venv: v, setup: 'true'}
  - {id: search, external: https://search.example.org}
topology: {type: hub-spoke, hub: hub, spokes: [worker, search]}
";

fn bed() -> Bed {
    let hosts = "n1 slots=3 addr=10.0.0.1\nn2 slots=3\n[::1] slots=1\n";
    let bed = Bed::new(&[("job.yaml", JOB), ("hosts", hosts), ("w/.venv/bin/python", "")]);
    bed.write("v/bin/python", "");
    bed
}

#[test]
fn people_see_where_and_with_what() {
    let lines = [
        "plan job.yaml",
        "plan -np 5 --hostfile hosts job.yaml",
        "plan --scale worker=3 --output quiet job.yaml",
        "plan -np 3 -- echo $(x)",
        "plan -x AGENT_ID=1 job.yaml",
        "plan -x NOT_SET_ANYWHERE job.yaml",
        "plan --export NOT_SET_ANYWHERE job.yaml",
        "plan --strict job.yaml",
        "plan",
        "plan job.yaml -- echo",
    ];
    let bed = bed();
    insta::assert_snapshot!(lines.map(|line| bed.run(line)).concat());
}

#[test]
fn scripts_get_the_shape_of_the_contract() {
    let bed = bed();
    let output =
        bed.output(&["plan", "-np", "5", "--hostfile", "hosts", "job.yaml", "--output", "json"]);
    let text = String::from_utf8(output.stdout).unwrap();
    insta::assert_snapshot!(text);
    // Every key is there, and in this order, whatever is known.
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let plan: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(keys(&plan), ["job", "generation", "size", "stages", "instances", "warnings"]);
    for instance in plan["instances"].as_array().unwrap() {
        assert_eq!(
            keys(instance),
            ["name", "agent", "index", "rank", "host", "target", "url", "ports", "peers", "stage"]
        );
        for peer in instance["peers"].as_array().unwrap() {
            assert_eq!(keys(peer), ["name", "url"]);
        }
    }
    for warning in plan["warnings"].as_array().unwrap() {
        assert_eq!(keys(warning), ["agent", "field", "message"]);
    }
    let line =
        bed.output(&["plan", "-np", "5", "--hostfile", "hosts", "job.yaml", "--output", "jsonl"]);
    let one: Value = serde_json::from_slice(&line.stdout).unwrap();
    assert_eq!(one, plan);
    assert_eq!(line.stdout.iter().filter(|b| **b == b'\n').count(), 1);
}

#[test]
fn a_dry_run_prints_what_plan_prints() {
    let bed = bed();
    let jobs = jobs("jobs/examples");
    let mut jobs: Vec<String> = jobs.iter().map(|p| p.display().to_string()).collect();
    jobs.push("job.yaml".to_owned());
    for job in &jobs {
        for options in [
            &["-x", "A=1", "--output", "json"][..],
            &["--hostfile", "hosts"],
            &["--host", "a,b:4", "--strict"],
            &["-np", "1"],
            &["--scale", "nobody=2"],
        ] {
            let run = |verb: &[&str]| {
                let output = bed.output(&[verb, options, &[job]].concat());
                (output.status.code(), output.stdout, output.stderr)
            };
            let planned = run(&["plan"]);
            assert_eq!(run(&["run", "--dry-run"]), planned, "{job} {options:?}");
            assert_eq!(run(&["--dry-run"]), planned, "{job} {options:?}");
        }
    }
    // Options that only a run has are looked at as well.
    insta::assert_snapshot!(
        [
            "--dry-run --until hubb job.yaml",
            "--dry-run --stdin search job.yaml",
            "--dry-run --until hub --stdin tool --timeout 5s --output quiet job.yaml",
        ]
        .map(|line| bed.run(line))
        .concat()
    );
    // Nothing was started: not even the folder for what is running here.
    let left = fs::read_dir(bed.path(".")).unwrap().map(|e| e.unwrap().file_name());
    let mut left: Vec<String> = left.map(|name| name.into_string().unwrap()).collect();
    left.sort();
    assert_eq!(left, ["hosts", "job.yaml", "v", "w"]);
}
