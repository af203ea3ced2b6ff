//! Tests of loading.

use std::time::Duration;

use super::*;
use crate::launch::{Lifecycle, Protocol, ReadinessCheck, SignalNumber};
use crate::source::Severity;
use crate::spec::model::{DependsOn, PortSpec, Replicas, Run, Target, Topology};
use crate::spec::render::{Style, render};

#[path = "findings_tests.rs"]
mod findings_shown;
#[path = "fuzz_tests.rs"]
mod fuzz;
#[path = "hostile_tests.rs"]
mod hostile;
#[path = "kept_tests.rs"]
mod kept;
#[path = "messages_tests.rs"]
mod messages;
#[path = "topo_tests.rs"]
mod topologies;

fn vars(name: &str) -> Option<String> {
    match name {
        "PORT_BASE" => Some("9100".to_owned()),
        "NAME" => Some("bob: [x]".to_owned()),
        _ => None,
    }
}

fn spec(text: &str) -> JobSpec {
    match load("dir/my-job.yaml", text, &vars) {
        Ok(loaded) => {
            assert_eq!(loaded.warnings, [], "{text}");
            loaded.spec
        }
        Err(all) => panic!("{}", render("job.yaml", text, &all, Style::Plain)),
    }
}

/// Every finding as a user sees it.
fn findings(text: &str) -> String {
    let all = match load("job.yaml", text, &vars) {
        Ok(loaded) => {
            assert!(loaded.warnings.iter().all(|w| w.severity == Severity::Warning));
            loaded.warnings
        }
        Err(all) => {
            assert!(all.iter().any(Finding::is_error));
            all
        }
    };
    render("job.yaml", text, &all, Style::Plain)
}

#[test]
fn the_smallest_job_has_its_defaults() {
    let spec = spec("agents: [{id: hello, command: [echo, hello]}]");
    assert_eq!(spec.name.as_str(), "my-job");
    assert_eq!(spec.topology, Topology::Absent);
    let agent = &spec.agents[0];
    assert_eq!(agent.run, Run::Command(vec!["echo".to_owned(), "hello".to_owned()]));
    assert_eq!((agent.lifecycle, agent.protocol), (Lifecycle::Service, Protocol::Auto));
    assert_eq!((agent.replicas, agent.port), (None, PortSpec::None));
    let readiness = agent.readiness_of(&spec.deployment);
    assert_eq!(readiness.check, ReadinessCheck::Alive);
    assert_eq!(readiness.deadline, Duration::from_secs(120));
}

#[test]
fn fields_are_read() {
    let spec = spec(
        r#"
job: {name: weather, version: 1.10, description: d, tags: [demo, 2]}
x-mine: {anything: [goes]}
agents:
  - id: worker
    command: "python3 -u 'my agent.py' $(PORT)"
    replicas: auto
    lifecycle: task
    protocol: http
    config: {port: "${PORT_BASE}", region: eu, who: "${NAME}", deep: {a: [1, true, null]}, r: 1.5}
    environment: {N: 3, F: 1.10, B: true, Y: yes, O: 007, T: "a$$b"}
    workdir: ./w
    python: .venv/bin/python
    stop: {signal: int, grace: 1.5}
    readiness: {type: exec, command: "test -f x", deadline: 2m, timeout: 500ms}
    depends_on: {db: started}
    restart: {policy: never}
  - id: db
    module: agents.db_agent
    type: Db
    config: {port: auto}
    deployment: {target: remote, host: gpu-1, user: me, port: 2222, workdir: /w, python: python3, environment: {A: 1}}
    environment: {A: 2}
topology: {type: custom, connections: [{from: worker, to: [db]}]}
deployment: {strategy: parallel, timeout: 1h 30m, health_check: {timeout: 5}}
execution: {entry_point: worker, ends_with: worker, auto_start: true}
environment: {CLUSTER: dev}
"#,
    );
    assert_eq!(spec.version.as_deref(), Some("1.10"));
    assert_eq!(spec.tags, ["demo", "2"]);
    let worker = &spec.agents[0];
    assert_eq!(
        worker.run,
        Run::Command(["python3", "-u", "my agent.py", "$(PORT)"].map(str::to_owned).to_vec())
    );
    assert_eq!((worker.replicas, worker.lifecycle), (Some(Replicas::Auto), Lifecycle::Task));
    assert_eq!(worker.port, PortSpec::Fixed(9100));
    let config: Vec<String> = worker.config.iter().map(|(k, v)| format!("{k}={v}")).collect();
    assert_eq!(
        config,
        [
            r#"port="9100""#,
            r#"region="eu""#,
            r#"who="bob: [x]""#,
            r#"deep={"a":[1,true,null]}"#,
            "r=1.5"
        ]
    );
    let env: Vec<String> = worker.environment.iter().map(|(k, v)| format!("{k}={v}")).collect();
    assert_eq!(env, ["B=true", "F=1.10", "N=3", "O=007", "T=a$b", "Y=yes"]);
    assert_eq!(worker.stop.signal, SignalNumber(2));
    assert_eq!(worker.stop.grace, Duration::from_millis(1500));
    assert_eq!(worker.readiness.deadline, Some(Duration::from_secs(120)));
    assert_eq!(worker.readiness.timeout, Duration::from_millis(500));
    assert_eq!(worker.depends_on, [(AgentIx(1), DependsOn::Started)]);
    assert_eq!(worker.python.as_deref(), Some(".venv/bin/python"));
    let db = &spec.agents[1];
    assert_eq!((db.port, db.python.as_deref()), (PortSpec::Auto, None));
    assert_eq!(db.environment["A"], "2");
    assert_eq!(db.workdir.as_deref(), Some("/w"));
    let Target::Remote(remote) = &db.target else { panic!("{:?}", db.target) };
    assert_eq!((remote.host.as_str(), remote.ssh_port), ("gpu-1", Some(2222)));
    let readiness = db.readiness_of(&spec.deployment);
    assert_eq!(readiness.check, ReadinessCheck::Auto { port: None });
    assert_eq!(readiness.deadline, Duration::from_secs(5400));
    assert_eq!(readiness.timeout, Duration::from_secs(5));
    assert_eq!(spec.deployment.strategy, Strategy::Parallel);
    assert_eq!(spec.execution.ends_with, Some(AgentIx(0)));
    assert_eq!(spec.environment["CLUSTER"], "dev");
}

#[test]
fn protocol_none_is_a_task() {
    let spec = spec("agents: [{id: a, command: [x], protocol: none, config: {port: 9000}}]");
    assert_eq!(spec.agents[0].lifecycle, Lifecycle::Task);
    assert_eq!(spec.agents[0].readiness_of(&spec.deployment).check, ReadinessCheck::Alive);
}

#[test]
fn both_forms_of_levels_are_read() {
    let agents = "agents: [{id: r, command: [x]}, {id: a, command: [x]}, {id: b, command: [x]}]\n";
    let links = |levels: &str| {
        let text = format!("{agents}topology: {{type: hierarchical, root: r, levels: {levels}}}");
        let Topology::Hierarchical { links, .. } = spec(&text).topology else { panic!() };
        links.iter().map(|c| (c.from.0, c.to.0)).collect::<Vec<_>>()
    };
    assert_eq!(links("[[a, b]]"), [(0, 1), (0, 2)]);
    assert_eq!(links("[[r], [a], [b]]"), [(0, 1), (1, 2)]);
    assert_eq!(links("[{parent: r, children: [a]}, {parent: a, children: [b]}]"), [(0, 1), (1, 2)]);
}

#[test]
fn anchors_and_merge_keys_work() {
    let spec = spec(
        "x-base: &base {command: [run], config: {port: auto}}\n\
         agents:\n  - {<<: *base, id: a}\n  - {<<: *base, id: b, config: {port: 9001}}\n",
    );
    assert_eq!(spec.agents[0].port, PortSpec::Auto);
    assert_eq!(spec.agents[1].port, PortSpec::Fixed(9001));
}
