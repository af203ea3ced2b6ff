//! Tests of loading.

use std::time::Duration;

use super::*;
use crate::launch::{Lifecycle, Protocol, ReadinessCheck, SignalNumber};
use crate::source::Severity;
use crate::spec::model::{DependsOn, PortSpec, Replicas, Run, Target, Topology};
use crate::spec::render::{Style, render};

#[path = "hostile_tests.rs"]
mod hostile;

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

#[test]
fn a_byte_order_mark_moves_no_caret() {
    let text = "\u{feff}agents: [{id: a, comand: [x]}]";
    insta::assert_snapshot!(findings(text), @r#"
error[missing]: agent `a` has nothing to run
 --> job.yaml:1:15
  |
1 | agents: [{id: a, comand: [x]}]
  |               ^
  |
  = help: give it a `command` or a `module`

error[unknown-key]: unknown key `comand` of agent `a`
 --> job.yaml:1:18
  |
1 | agents: [{id: a, comand: [x]}]
  |                  ^^^^^^
  |
  = help: did you mean `command`?
"#);
}

#[test]
fn every_finding_comes_at_once() {
    insta::assert_snapshot!(findings(r#"
job: {name: "bad name"}
agents:
  - id: worker
    replica: 3
    command: "python3 'x"
    config: {port: 70000}
  - id: worker
    modul: a.b
    deployment: {target: remot}
  - id: c
    command: [echo]
    module: a.b
    environment: {PORT: 1, X: {secret: {env: X}}, L: [1]}
    readiness: {type: http, path: x}
    depends_on: [d, worke]
    stop: {signal: NOPE, grace: soon}
  - command: [x]
topology: {type: hub-spok, hub: c}
deployment: {strategy: stagd, timeout: -4}
executon: {}
environment: {A: "${NOPE}", A: 2}
"#), @r#"
error[value]: job name `bad name` contains ' '; use letters, digits, `-`, `_` and `.`, beginning with a letter, a digit or `_`
 --> job.yaml:2:13
  |
2 | job: {name: "bad name"}
  |             ^^^^^^^^^^

error[unknown-key]: unknown key `replica` of agent `worker`
 --> job.yaml:5:5
  |
5 |     replica: 3
  |     ^^^^^^^
  |
  = help: did you mean `replicas`?

error[value]: cannot split `command` into words: the quote ' is not closed
 --> job.yaml:6:14
  |
6 |     command: "python3 'x"
  |              ^^^^^^^^^^^^
  |
  = help: write it as a list: `[python3, agent.py]`

error[value]: `config.port` is `70000`; expected a number from 1 to 65535
 --> job.yaml:7:20
  |
7 |     config: {port: 70000}
  |                    ^^^^^

error[missing]: agent `worker` has nothing to run
 --> job.yaml:8:9
  |
8 |   - id: worker
  |         ^^^^^^
  |
  = help: give it a `command` or a `module`

error[duplicate]: two agents have the id `worker`
 --> job.yaml:8:9
  |
4 |   - id: worker
  |         ------ first here
...
8 |   - id: worker
  |         ^^^^^^

error[unknown-key]: unknown key `modul` of agent `worker`
 --> job.yaml:9:5
  |
9 |     modul: a.b
  |     ^^^^^
  |
  = help: did you mean `module`?

error[value]: `deployment.target` is `remot`
  --> job.yaml:10:26
   |
10 |     deployment: {target: remot}
   |                          ^^^^^
   |
   = help: did you mean `remote`?

error[conflict]: `command` and `module` are both given
  --> job.yaml:13:5
   |
12 |     command: [echo]
   |     ------- the other one
13 |     module: a.b
   |     ^^^^^^
   |
   = help: an agent runs one thing; drop one of them

error[reserved]: `PORT` is set by a2arun itself
  --> job.yaml:14:19
   |
14 |     environment: {PORT: 1, X: {secret: {env: X}}, L: [1]}
   |                   ^^^^
   |
   = help: use `config: {port: …}`

error[type]: `environment.L` is a list; expected a text, a number, a boolean or a secret
  --> job.yaml:14:54
   |
14 |     environment: {PORT: 1, X: {secret: {env: X}}, L: [1]}
   |                                                      ^

error[missing]: `readiness` looks at a port, and the agent has none
  --> job.yaml:15:5
   |
15 |     readiness: {type: http, path: x}
   |     ^^^^^^^^^
   |
   = help: give it `config: {port: auto}`, or the probe a `port`

error[value]: `readiness.path` is `x`
  --> job.yaml:15:35
   |
15 |     readiness: {type: http, path: x}
   |                                   ^
   |
   = help: it begins with `/`

error[unknown-name]: `depends_on` names `d`, which is no agent
  --> job.yaml:16:18
   |
16 |     depends_on: [d, worke]
   |                  ^
   |
   = help: agents: worker, worker, c

error[unknown-name]: `depends_on` names `worke`, which is no agent
  --> job.yaml:16:21
   |
16 |     depends_on: [d, worke]
   |                     ^^^^^
   |
   = help: did you mean `worker`?

error[value]: `stop.signal` is no signal
  --> job.yaml:17:20
   |
17 |     stop: {signal: NOPE, grace: soon}
   |                    ^^^^
   |
   = help: a name such as TERM, INT or USR1, or a number from 1 to 64

error[value]: `stop.grace` is `soon`, which is no time
  --> job.yaml:17:33
   |
17 |     stop: {signal: NOPE, grace: soon}
   |                                 ^^^^
   |
   = help: write seconds, or `500ms`, `30s`, `2m`, `1h 30m`

error[missing]: `agents[3]` has no `id`
  --> job.yaml:18:5
   |
18 |   - command: [x]
   |     ^

error[value]: `topology.type` is `hub-spok`
  --> job.yaml:19:18
   |
19 | topology: {type: hub-spok, hub: c}
   |                  ^^^^^^^^
   |
   = help: did you mean `hub-spoke`?

error[value]: `deployment.strategy` is `stagd`
  --> job.yaml:20:24
   |
20 | deployment: {strategy: stagd, timeout: -4}
   |                        ^^^^^
   |
   = help: did you mean `staged`?

error[value]: `deployment.timeout` is `-4`, which is no time
  --> job.yaml:20:40
   |
20 | deployment: {strategy: stagd, timeout: -4}
   |                                        ^^
   |
   = help: write seconds, or `500ms`, `30s`, `2m`, `1h 30m`

error[unknown-key]: unknown key `executon` in a job file
  --> job.yaml:21:1
   |
21 | executon: {}
   | ^^^^^^^^
   |
   = help: did you mean `execution`?

error[variable]: `NOPE` is not set
  --> job.yaml:22:18
   |
22 | environment: {A: "${NOPE}", A: 2}
   |                  ^^^^^^^^^
   |
   = help: set it in the shell or in `.env` beside the job file, or write `${NOPE:-default}`

error[duplicate]: key `A` stands twice
  --> job.yaml:22:29
   |
22 | environment: {A: "${NOPE}", A: 2}
   |               - first here  ^
"#);
}

#[test]
fn what_is_not_acted_on_is_said() {
    insta::assert_snapshot!(findings(r#"
agents:
  - id: a
    command: [x]
    resources: {cpu: 1}
    restart: {policy: always}
    liveness: {type: http, port: 80}
    deployment: {target: localhost, host: h}
  - {id: b, command: [x], scale: {min: 1}}
topology:
  type: hub-spoke
  hub: a
  spokes: [b]
  connections: [{from: a, to: b, address: "h:1"}]
deployment: {ssh: {timeout: 3}, health_check: {interval: 5}}
network: {x: 1}
"#), @r#"
warning[not-yet]: `restart` of agent `a` is accepted but not acted on yet
 --> job.yaml:6:5
  |
6 |     restart: {policy: always}
  |     ^^^^^^^

warning[not-yet]: `liveness` of agent `a` is accepted but not acted on yet
 --> job.yaml:7:5
  |
7 |     liveness: {type: http, port: 80}
  |     ^^^^^^^^

warning[no-effect]: `deployment.host` of agent `a` has no effect with `target: localhost`
 --> job.yaml:8:37
  |
8 |     deployment: {target: localhost, host: h}
  |                                     ^^^^

warning[not-yet]: `scale` of agent `b` is accepted but not acted on yet
 --> job.yaml:9:27
  |
9 |   - {id: b, command: [x], scale: {min: 1}}
  |                           ^^^^^

warning[no-effect]: `topology.connections` has no effect with `type: hub-spoke`
  --> job.yaml:14:3
   |
14 |   connections: [{from: a, to: b, address: "h:1"}]
   |   ^^^^^^^^^^^

warning[not-yet]: `deployment.ssh` is accepted but not acted on yet
  --> job.yaml:15:14
   |
15 | deployment: {ssh: {timeout: 3}, health_check: {interval: 5}}
   |              ^^^

warning[not-yet]: `network` is accepted but not acted on yet
  --> job.yaml:16:1
   |
16 | network: {x: 1}
   | ^^^^^^^
"#);
}

#[test]
fn what_is_checked_and_not_launched_yet_is_said() {
    insta::assert_snapshot!(findings(r#"
agents:
  - id: a
    command: [x]
    venv: .venv
    setup: module load cuda
    ports: {grpc: auto}
    env_file: [.env]
    placement: {host: gpu-1}
    limits: {memory: 4G}
    depends_on: {d: completed}
    readiness: {type: log, pattern: x}
    mounts: [x]
    on_host_lost: reschedule
    on_peers_change: {signal: HUP}
  - {id: b, external: "http://x"}
  - {id: d, command: [x], protocol: none}
  - {id: k, deployment: {target: kubernetes, image: y, namespace: z}}
  - {id: c, command: [x], deployment: {target: container, image: y}}
topology: {type: dynamic}
env_file: [.env]
"#), @r#"
warning[not-yet]: `limits` of agent `a` is accepted but not acted on yet
  --> job.yaml:10:5
   |
10 |     limits: {memory: 4G}
   |     ^^^^^^

warning[not-yet]: `mounts` of agent `a` is accepted but not acted on yet
  --> job.yaml:13:5
   |
13 |     mounts: [x]
   |     ^^^^^^

warning[not-yet]: `on_host_lost` of agent `a` is accepted but not acted on yet
  --> job.yaml:14:5
   |
14 |     on_host_lost: reschedule
   |     ^^^^^^^^^^^^

warning[not-yet]: `deployment.target: kubernetes` of agent `k` is accepted but not acted on yet
  --> job.yaml:18:13
   |
18 |   - {id: k, deployment: {target: kubernetes, image: y, namespace: z}}
   |             ^^^^^^^^^^

warning[not-yet]: `deployment.target: container` of agent `c` is accepted but not acted on yet
  --> job.yaml:19:27
   |
19 |   - {id: c, command: [x], deployment: {target: container, image: y}}
   |                           ^^^^^^^^^^

warning[not-yet]: `topology.type: dynamic` is accepted but not acted on yet
  --> job.yaml:20:1
   |
20 | topology: {type: dynamic}
   | ^^^^^^^^
"#);
}

#[test]
fn topologies_say_what_is_wrong() {
    insta::assert_snapshot!(findings(r#"
agents: [{id: a, command: [x]}, {id: b, command: [x]}]
topology: {type: hub-spoke, hub: a, spokes: [a, b, b]}
"#), @r#"
error[conflict]: the hub `a` is also one of the spokes
 --> job.yaml:3:46
  |
3 | topology: {type: hub-spoke, hub: a, spokes: [a, b, b]}
  |                                              ^

warning[duplicate]: `topology.spokes` names `b` twice
 --> job.yaml:3:52
  |
3 | topology: {type: hub-spoke, hub: a, spokes: [a, b, b]}
  |                                                 -  ^
  |                                                 |
  |                                                 first here
"#);
    insta::assert_snapshot!(findings(r#"
agents: [{id: a, command: [x]}, {id: b, command: [x]}]
topology: {type: pipeline, stages: [a, [b, a]]}
"#), @r#"
error[duplicate]: `a` stands in two stages
 --> job.yaml:3:44
  |
3 | topology: {type: pipeline, stages: [a, [b, a]]}
  |                                     -      ^
  |                                     |
  |                                     first here
  |
  = help: for a circle use `type: custom`
"#);
    insta::assert_snapshot!(findings(r#"
agents: [{id: a, command: [x]}, {id: b, command: [x]}]
topology:
  type: dag
  connections: [{from: a, to: b}, {from: b, to: a}, {to: b}]
"#), @r#"
error[cycle]: a dag has no circle, and this one has: a → b → a
 --> job.yaml:5:3
  |
5 |   connections: [{from: a, to: b}, {from: b, to: a}, {to: b}]
  |   ^^^^^^^^^^^
  |
  = help: where it is meant, use `type: custom`

error[missing]: a connection has no `from`
 --> job.yaml:5:53
  |
5 |   connections: [{from: a, to: b}, {from: b, to: a}, {to: b}]
  |                                                     ^
"#);
    insta::assert_snapshot!(findings(r#"
agents: [{id: a, command: [x], depends_on: [b]}, {id: b, command: [x]}]
topology: {type: custom, connections: [{from: b, to: a}]}
"#), @r#"
error[cycle]: agents depend on each other in a circle: a → b → a
 --> job.yaml:2:15
  |
2 | agents: [{id: a, command: [x], depends_on: [b]}, {id: b, command: [x]}]
  |               ^
  |
  = help: take one `depends_on` of the circle away
"#);
}

#[test]
fn config_and_environment_do_not_fight() {
    insta::assert_snapshot!(findings(r#"
agents:
  - id: a
    command: [x]
    config: {log-level: x, id: 3, port: 0}
    environment: {"A B": 1, EMPTY: null}
environment: {AGENT_LOG_LEVEL: y, A2ARUN_X: 1}
"#), @r#"
error[reserved]: `config.id` would become `AGENT_ID`, which a2arun sets itself
 --> job.yaml:5:28
  |
5 |     config: {log-level: x, id: 3, port: 0}
  |                            ^^
  |
  = help: it is the agent's `id`

error[value]: `config.port` is 0
 --> job.yaml:5:41
  |
5 |     config: {log-level: x, id: 3, port: 0}
  |                                         ^
  |
  = help: for any free port write `auto`

error[value]: `A B` is no variable name
 --> job.yaml:6:19
  |
6 |     environment: {"A B": 1, EMPTY: null}
  |                   ^^^^^

error[missing]: `environment.EMPTY` has no value
 --> job.yaml:6:29
  |
6 |     environment: {"A B": 1, EMPTY: null}
  |                             ^^^^^
  |
  = help: for an empty text write `EMPTY: ""`

error[conflict]: `AGENT_LOG_LEVEL` is set twice, by `config.log-level` and by `environment`
 --> job.yaml:7:15
  |
5 |     config: {log-level: x, id: 3, port: 0}
  |              --------- and here
6 |     environment: {"A B": 1, EMPTY: null}
7 | environment: {AGENT_LOG_LEVEL: y, A2ARUN_X: 1}
  |               ^^^^^^^^^^^^^^^

error[reserved]: `A2ARUN_X` is set by a2arun itself
 --> job.yaml:7:35
  |
7 | environment: {AGENT_LOG_LEVEL: y, A2ARUN_X: 1}
  |                                   ^^^^^^^^
  |
  = help: names beginning with A2ARUN_ are a2arun's own
"#);
}
