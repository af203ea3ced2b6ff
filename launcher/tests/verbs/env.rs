//! `env` of job files.

use crate::bed::Bed;

const JOB: &str = "\
environment: {CLUSTER: dev}
env_file: [job.env]
agents:
  - id: hub
    command: [x]
    config: {port: 9000, region: eu}
    environment: {PEERS: '$(URL_WORKER)', PASS: 'p-${MY_TOKEN}', PLAIN: 'with ${MY_TOKEN} in it'}
  - id: worker
    module: w
    venv: v
    replicas: 2
    config: {port: auto, deep: {a: [1]}}
    ports: {grpc: auto}
    environment: {API_KEY: {secret: {env: API_KEY}}, RUN: 'run $(JOB_ID) of $(A2ARUN_SIZE)'}
  - {id: search, external: https://search.example.org}
topology: {type: hub-spoke, hub: hub, spokes: [worker, search]}
";

fn bed() -> Bed {
    let bed = Bed::new(&[("job.yaml", JOB), ("job.env", "LOG_LEVEL=sk-file\nEMPTY=\n")]);
    bed.write(".env", "MY_TOKEN=sk-token\nAPI_KEY=sk-key\n");
    bed.write("v/bin/python", "");
    bed.write("one.yaml", "agents: [{id: a, command: [x], config: {port: auto}}]");
    bed.write("hosts", "n1 slots=2 addr=10.0.0.1\nn2 slots=2\n");
    bed
}

fn shown(bed: &Bed, line: &str) -> String {
    let words: Vec<&str> = line.split(' ').collect();
    let mut command = bed.command(&words);
    command.env("PATH", "/bin").env("SHELL_TOKEN", "sk-shell").env("LINES", "a\nb");
    command.env("NO_PROXY", "corp");
    bed.shown(line, &command.output().unwrap())
}

#[test]
fn what_an_agent_would_get() {
    let bed = bed();
    let lines = [
        "env job.yaml/hub",
        "env -v job.yaml/worker[1] -x MORE=1",
        "env --hostfile hosts job.yaml/worker[1] --export SHELL_TOKEN",
        "env --output json one.yaml",
    ];
    let text = lines.map(|line| shown(&bed, line)).concat();
    assert!(!text.contains("sk-"), "{text}");
    insta::assert_snapshot!(text);
}

#[test]
fn who_is_asked_for_has_to_be_there() {
    let bed = bed();
    let lines = [
        "env job.yaml",
        "env job.yaml/wroker",
        "env job.yaml/worker[2]",
        "env job.yaml/2 --output quiet",
        "env job.yaml/3",
        "env job.yaml/search",
        "env none.yaml/a",
        "env none/a",
        "env job.yaml/a[",
        "env",
    ];
    insta::assert_snapshot!(lines.map(|line| bed.run(line)).concat());
}
