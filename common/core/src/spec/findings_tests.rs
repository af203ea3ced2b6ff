//! Findings of whole files, as a user sees them.

use super::*;

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
