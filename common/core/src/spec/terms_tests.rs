//! Tests of the sections that say where, with how much and under which rules an agent runs, of
//! secrets in messages, and of hostile files.

use std::time::Duration;

use crate::launch::ReadinessCheck;
use crate::source::{Code, Finding};
use crate::spec::model::*;
use crate::spec::policy::*;
use crate::spec::render::{Style, render};
use crate::spec::{load, load_bytes};

fn vars(name: &str) -> Option<String> {
    match name {
        "API_KEY" => Some("sk-live-123".to_owned()),
        "PIN_TOKEN" => Some("77".to_owned()),
        "TAB" => Some("a\tb".to_owned()),
        _ => None,
    }
}

fn all(text: &str) -> Vec<Finding> {
    match load("job.yaml", text, &vars) {
        Ok(loaded) => loaded.warnings,
        Err(all) => all,
    }
}

fn findings(text: &str) -> String {
    render("job.yaml", text, &all(text), Style::Plain)
}

#[test]
fn every_section_is_typed() {
    let text = r#"
agents:
  - id: a
    command: [x]
    venv: .venv
    setup: module load cuda
    ports: {grpc: auto, admin: 7000}
    env_file: .env
    environment: {K: {secret: {env: API_KEY}}, F: {secret: {file: ./k}}, C: {secret: {cmd: "pass show k"}}}
    placement: {host: "@head", labels: [gpu], spread: host, with: [b], apart: [a]}
    resources: {cpu: 0.5, memory: 2G, gpu: 1}
    limits: {memory: 512M, cpu: 250m, pids: 200, nofile: 4096}
    liveness: {type: tcp, port: 80, interval: 5, failures: 2}
    restart: {policy: always, delay: 2s, factor: 1.5, max_delay: 30s, max: 9, window: 1h, on_exhausted: leave}
    on_host_lost: fail-job
    on_peers_change: "http: /peers"
    readiness: {type: log, pattern: ready}
    depends_on: {b: completed}
  - {id: b, command: [x], restart: never, deployment: {target: container, image: "img:1", network: host, container_name: n}}
  - {id: e, external: "https://e.example.org"}
deployment: {ssh: {key_file: ~/.ssh/id, timeout: 30}, retry_policy: {max_retries: 3, backoff: 2}}
execution: {input: hello}
env_file: [a.env, b.env]
environment: {J: {secret: {env: API_KEY}}}
"#;
    let loaded = load("job.yaml", text, &vars).unwrap();
    let spec = loaded.spec;
    let a = &spec.agents[0];
    assert_eq!((a.venv.as_deref(), a.setup.as_deref()), (Some(".venv"), Some("module load cuda")));
    assert_eq!(a.ports, [("grpc".into(), PortSpec::Auto), ("admin".into(), PortSpec::Fixed(7000))]);
    assert_eq!(
        (&a.env_files[..], &spec.env_files[..]),
        (&[".env".into()][..], &["a.env".into(), "b.env".into()][..])
    );
    assert_eq!(a.secrets["K"], SecretSource::Env("API_KEY".into()));
    assert_eq!(a.secrets["F"], SecretSource::File("./k".into()));
    assert_eq!(a.secrets["C"], SecretSource::Cmd(["pass", "show", "k"].map(Into::into).to_vec()));
    assert_eq!(spec.secret_sources().len(), 3);
    assert_eq!(
        a.placement,
        Placement {
            host: Some(PlaceHost::Head),
            labels: vec!["gpu".into()],
            spread: Some(Spread::Host),
            with: vec![AgentIx(1)],
            apart: vec![AgentIx(0)],
        }
    );
    let wanted = Resources { cpu_milli: Some(500), memory_bytes: Some(2 << 30), gpus: Some(1) };
    assert_eq!(a.resources, wanted);
    assert_eq!((a.limits.memory_bytes, a.limits.cpu_milli), (Some(512 << 20), Some(250)));
    assert_eq!((a.limits.pids, a.limits.nofile), (Some(200), Some(4096)));
    assert_eq!((a.liveness.interval, a.liveness.failures), (Duration::from_secs(5), 2));
    assert_eq!((a.restart.when, a.restart.max), (Some(RestartWhen::Always), 9));
    assert_eq!((a.restart.factor, a.restart.on_exhausted), (1.5, OnExhausted::Leave));
    assert_eq!(a.on_host_lost, OnHostLost::FailJob);
    assert_eq!(a.on_peers_change, OnPeersChange::Http("/peers".into()));
    assert_eq!(a.readiness.check, Some(ReadinessCheck::Log { pattern: "ready".into() }));
    assert_eq!(a.depends_on, [(AgentIx(1), DependsOn::Completed)]);
    let Target::Container(container) = &spec.agents[1].target else { panic!() };
    assert_eq!(
        (container.image.as_deref(), container.network.as_deref()),
        (Some("img:1"), Some("host"))
    );
    assert_eq!(spec.agents[1].restart.when, Some(RestartWhen::Never));
    assert_eq!(spec.agents[2].external(), Some("https://e.example.org"));
    assert_eq!(spec.deployment.ssh.as_ref().unwrap().timeout, Some(Duration::from_secs(30)));
    assert_eq!(spec.deployment.retry_policy.as_ref().unwrap().backoff, Some(Backoff::Factor(2.0)));
    assert_eq!(spec.execution.input.as_deref(), Some("hello"));
    let fields: Vec<&str> = loaded.warnings.iter().filter_map(|w| w.field.as_deref()).collect();
    assert_eq!(
        fields,
        [
            "limits",
            "liveness",
            "restart",
            "on_host_lost",
            "deployment.target: container",
            "deployment.ssh",
            "deployment.retry_policy",
        ]
    );
    let unlaunchable: Vec<String> =
        spec.unlaunchable().iter().map(|u| format!("{} {}", u.agent, u.field)).collect();
    assert_eq!(unlaunchable, ["b deployment.target: container",]);
}

#[test]
fn wrong_terms_are_named_with_their_value() {
    insta::assert_snapshot!(findings(r#"
agents:
  - id: a
    command: [x]
    ports: {port: 1, g-1: 70000, g_1: auto, "a b": 1}
    environment: {K: {secret: {env: A, file: b}}, L: {secrt: 1}, M: {secret: {}}}
    placement: {host: -x, spread: rack, with: [b, nope], apart: [b]}
    resources: {cpu: many, memory: 2X, gpu: -1}
    limits: {memory: [1], pids: 0}
    liveness: {type: htp, interval: 0}
    restart: {policy: sometimes, factor: 0.5, delay: 2m}
    on_peers_change: signal
  - {id: b, external: "ftp://x", replicas: 2}
  - {id: c, deployment: {target: container}}
  - {id: d, deployment: {target: kubernetes, image: "-v x"}}
  - {id: e, command: [x], restart: maybe, readiness: {type: log}}
"#), @r#"
error[value]: `port` is no name of a port
 --> job.yaml:5:13
  |
5 |     ports: {port: 1, g-1: 70000, g_1: auto, "a b": 1}
  |             ^^^^
  |
  = help: letters, digits, `-` and `_`; the main port is `config: {port: …}`

error[value]: `ports.g-1` is `70000`; expected a number from 1 to 65535
 --> job.yaml:5:27
  |
5 |     ports: {port: 1, g-1: 70000, g_1: auto, "a b": 1}
  |                           ^^^^^

error[value]: `a b` is no name of a port
 --> job.yaml:5:45
  |
5 |     ports: {port: 1, g-1: 70000, g_1: auto, "a b": 1}
  |                                             ^^^^^
  |
  = help: letters, digits, `-` and `_`; the main port is `config: {port: …}`

error[secret]: `environment.K.secret` has 2 sources; it needs one of env, file, cmd
 --> job.yaml:6:31
  |
6 |     environment: {K: {secret: {env: A, file: b}}, L: {secrt: 1}, M: {secret: {}}}
  |                               ^

error[secret]: `environment.L` is a map, and no secret
 --> job.yaml:6:54
  |
6 |     environment: {K: {secret: {env: A, file: b}}, L: {secrt: 1}, M: {secret: {}}}
  |                                                      ^
  |
  = help: `{secret: {env: NAME}}`, `{secret: {file: PATH}}` or `{secret: {cmd: …}}`

error[unknown-key]: unknown key `secrt` under `environment.L`
 --> job.yaml:6:55
  |
6 |     environment: {K: {secret: {env: A, file: b}}, L: {secrt: 1}, M: {secret: {}}}
  |                                                       ^^^^^
  |
  = help: did you mean `secret`?

error[secret]: `environment.M.secret` has 0 sources; it needs one of env, file, cmd
 --> job.yaml:6:78
  |
6 |     environment: {K: {secret: {env: A, file: b}}, L: {secrt: 1}, M: {secret: {}}}
  |                                                                              ^

error[value]: host name `-x` contains '-'; use letters, digits, `-`, `_` and `.`, beginning with a letter, a digit or `_`
 --> job.yaml:7:23
  |
7 |     placement: {host: -x, spread: rack, with: [b, nope], apart: [b]}
  |                       ^^

error[value]: `placement.spread` is `rack`
 --> job.yaml:7:35
  |
7 |     placement: {host: -x, spread: rack, with: [b, nope], apart: [b]}
  |                                   ^^^^
  |
  = help: one of: host

error[unknown-name]: `placement.with` names `nope`, which is no agent
 --> job.yaml:7:51
  |
7 |     placement: {host: -x, spread: rack, with: [b, nope], apart: [b]}
  |                                                   ^^^^
  |
  = help: agents: a, b, c, d, e

error[conflict]: `placement` wants to be both with and apart from `b`
 --> job.yaml:7:66
  |
7 |     placement: {host: -x, spread: rack, with: [b, nope], apart: [b]}
  |                                                - with it here    ^

error[value]: `resources.cpu` is `many`
 --> job.yaml:8:22
  |
8 |     resources: {cpu: many, memory: 2X, gpu: -1}
  |                      ^^^^
  |
  = help: a number of CPUs: `2`, `0.5`, `500m`

error[value]: `resources.memory` is `2X`
 --> job.yaml:8:36
  |
8 |     resources: {cpu: many, memory: 2X, gpu: -1}
  |                                    ^^
  |
  = help: bytes: `512M`, `2G`, `1.5Gi`

error[value]: `resources.gpu` is `-1`; expected a number from 0 to 1024
 --> job.yaml:8:45
  |
8 |     resources: {cpu: many, memory: 2X, gpu: -1}
  |                                             ^^

error[type]: `limits.memory` is a list; expected bytes: `512M`, `2G`, `1.5Gi`
 --> job.yaml:9:22
  |
9 |     limits: {memory: [1], pids: 0}
  |                      ^

error[value]: `limits.pids` is `0`; expected a number from 1 to 4194304
 --> job.yaml:9:33
  |
9 |     limits: {memory: [1], pids: 0}
  |                                 ^

error[value]: `liveness.interval` is 0
  --> job.yaml:10:5
   |
10 |     liveness: {type: htp, interval: 0}
   |     ^^^^^^^^

error[value]: `liveness.type` is `htp`
  --> job.yaml:10:22
   |
10 |     liveness: {type: htp, interval: 0}
   |                      ^^^
   |
   = help: did you mean `http`?

error[conflict]: `restart.max_delay` is less than `restart.delay`
  --> job.yaml:11:5
   |
11 |     restart: {policy: sometimes, factor: 0.5, delay: 2m}
   |     ^^^^^^^

warning[not-yet]: `restart` of agent `a` is accepted but not acted on yet
  --> job.yaml:11:5
   |
11 |     restart: {policy: sometimes, factor: 0.5, delay: 2m}
   |     ^^^^^^^

error[value]: `restart.policy` is `sometimes`
  --> job.yaml:11:23
   |
11 |     restart: {policy: sometimes, factor: 0.5, delay: 2m}
   |                       ^^^^^^^^^
   |
   = help: one of: never, on-failure, always

error[value]: `restart.factor` is `0.5`
  --> job.yaml:11:42
   |
11 |     restart: {policy: sometimes, factor: 0.5, delay: 2m}
   |                                          ^^^
   |
   = help: a number from 1 to 1000

error[value]: `on_peers_change` is `signal`
  --> job.yaml:12:22
   |
12 |     on_peers_change: signal
   |                      ^^^^^^
   |
   = help: `file`, `restart`, `{signal: HUP}` or `{http: /path}`

error[value]: `external` is no URL
  --> job.yaml:13:23
   |
13 |   - {id: b, external: "ftp://x", replicas: 2}
   |                       ^^^^^^^^^
   |
   = help: `http://HOST:PORT` or `https://…`

warning[not-yet]: `deployment.target: container` of agent `c` is accepted but not acted on yet
  --> job.yaml:14:13
   |
14 |   - {id: c, deployment: {target: container}}
   |             ^^^^^^^^^^

error[missing]: `target: container` needs an `image`
  --> job.yaml:14:13
   |
14 |   - {id: c, deployment: {target: container}}
   |             ^^^^^^^^^^

warning[not-yet]: `deployment.target: kubernetes` of agent `d` is accepted but not acted on yet
  --> job.yaml:15:13
   |
15 |   - {id: d, deployment: {target: kubernetes, image: "-v x"}}
   |             ^^^^^^^^^^

error[value]: `deployment.image` is `-v x`, no image name
  --> job.yaml:15:53
   |
15 |   - {id: d, deployment: {target: kubernetes, image: "-v x"}}
   |                                                     ^^^^^^

warning[not-yet]: `restart` of agent `e` is accepted but not acted on yet
  --> job.yaml:16:27
   |
16 |   - {id: e, command: [x], restart: maybe, readiness: {type: log}}
   |                           ^^^^^^^

error[value]: `restart` is `maybe`
  --> job.yaml:16:36
   |
16 |   - {id: e, command: [x], restart: maybe, readiness: {type: log}}
   |                                    ^^^^^
   |
   = help: one of: never, on-failure, always

error[missing]: `readiness: {type: log}` needs a `pattern`
  --> job.yaml:16:43
   |
16 |   - {id: e, command: [x], restart: maybe, readiness: {type: log}}
   |                                           ^^^^^^^^^
"#);
}

#[test]
fn the_whole_job_is_looked_at() {
    insta::assert_snapshot!(findings(r#"
agents:
  - {id: hub, command: [x], replicas: 2}
  - {id: a, command: [x], depends_on: [e]}
  - {id: lone, command: [x]}
  - {id: e, external: "http://e"}
topology: {type: hub-spoke, hub: hub, spokes: [a, e]}
execution: {entry_point: hub, ends_with: e}
"#), @r#"
warning[replicas]: the hub `hub` has `replicas: 2`
 --> job.yaml:3:10
  |
3 |   - {id: hub, command: [x], replicas: 2}
  |          ^^^
  |
  = help: each copy gets the same peers

warning[replicas]: the entry point `hub` has `replicas: 2`
 --> job.yaml:3:10
  |
3 |   - {id: hub, command: [x], replicas: 2}
  |          ^^^
  |
  = help: questions go to its first copy

error[conflict]: `depends_on` names `e`, which is external: it is not launched
 --> job.yaml:4:10
  |
4 |   - {id: a, command: [x], depends_on: [e]}
  |          ^

warning[no-set]: agent `lone` stands in no set of the topology: it has no peers
 --> job.yaml:5:10
  |
5 |   - {id: lone, command: [x]}
  |          ^^^^

error[conflict]: `execution.ends_with` names `e`, which is external: it is not launched
 --> job.yaml:6:10
  |
6 |   - {id: e, external: "http://e"}
  |          ^
"#);
    insta::assert_snapshot!(findings("agents: [{id: e, external: 'http://e'}]"), @r#"
error[missing]: every agent is external: there is nothing to launch
 --> job.yaml:1:15
  |
1 | agents: [{id: e, external: 'http://e'}]
  |               ^
"#);
}

#[test]
fn no_finding_shows_a_secret() {
    let shown = findings(
        "agents:\n  - {id: a, command: [x], replicas: \"${API_KEY}\", config: {port: \"${PIN_TOKEN}x\"}, environment: {MY_KEY: sk-plain-9, PORT: 1}}\n  - {id: b, module: \"${API_KEY}!\", stop: {grace: \"${API_KEY}\"}, deployment: {password: hunter2}}\n  - {id: \"${API_KEY}\", command: [x], depends_on: [\"x${API_KEY}\"]}\n",
    );
    for secret in ["sk-live-123", "sk-plain-9", "hunter2", "77x"] {
        assert!(!shown.contains(secret), "{secret}: {shown}");
    }
    insta::assert_snapshot!(shown, @r#"
error[value]: `replicas` is `${API_KEY}`
 --> job.yaml:2:37
  |
2 |   - {id: a, command: [x], replicas: "${API_KEY}", config: {port: "${PIN_TOKEN}x"}, environment: {MY_KEY: **********, PORT: 1}}
  |                                     ^^^^^^^^^^^^
  |
  = help: a number from 1, or `auto`

error[value]: `config.port` is `${PIN_TOKEN}x`; expected a number from 1 to 65535
 --> job.yaml:2:66
  |
2 |   - {id: a, command: [x], replicas: "${API_KEY}", config: {port: "${PIN_TOKEN}x"}, environment: {MY_KEY: **********, PORT: 1}}
  |                                                                  ^^^^^^^^^^^^^^^

error[reserved]: `PORT` is set by a2arun itself
 --> job.yaml:2:118
  |
2 |   - {id: a, command: [x], replicas: "${API_KEY}", config: {port: "${PIN_TOKEN}x"}, environment: {MY_KEY: **********, PORT: 1}}
  |                                                                                                                      ^^^^
  |
  = help: use `config: {port: …}`

error[value]: `module` is no Python module name
 --> job.yaml:3:21
  |
3 |   - {id: b, module: "${API_KEY}!", stop: {grace: "${API_KEY}"}, deployment: {password: *******}}
  |                     ^^^^^^^^^^^^^
  |
  = help: write it with dots: `agents.weather_agent`

error[value]: `stop.grace` is `${API_KEY}`, which is no time
 --> job.yaml:3:50
  |
3 |   - {id: b, module: "${API_KEY}!", stop: {grace: "${API_KEY}"}, deployment: {password: *******}}
  |                                                  ^^^^^^^^^^^^
  |
  = help: write seconds, or `500ms`, `30s`, `2m`, `1h 30m`

warning[not-yet]: `deployment.password` of agent `b` is not used
 --> job.yaml:3:78
  |
3 |   - {id: b, module: "${API_KEY}!", stop: {grace: "${API_KEY}"}, deployment: {password: *******}}
  |                                                                              ^^^^^^^^
  |
  = help: a2arun uses your SSH keys and agent; take the password out of the file

error[unknown-name]: `depends_on` names `x${API_KEY}`, which is no agent
 --> job.yaml:4:51
  |
4 |   - {id: "${API_KEY}", command: [x], depends_on: ["x${API_KEY}"]}
  |                                                   ^^^^^^^^^^^^^
  |
  = help: did you mean `${API_KEY}`?
"#);
}

#[test]
fn hostile_files_are_refused_quickly() {
    let first = |text: &str| findings(text).lines().next().unwrap_or("").to_owned();
    insta::assert_snapshot!(first("agents:\n\t- id: a\n"), @r#"error[syntax]: tabs disallowed within this context (block indentation)"#);
    assert_eq!(first("\u{feff}agents:\r\n  - {id: a, command: [x]}\r\n"), "");
    assert!(first("%YAML 1.2\n---\nagents: !!binary AAAA").starts_with("error"));
    let large = vec![b'a'; 100 << 20];
    let refused = load_bytes("x", &large, &vars).unwrap_err();
    assert_eq!(refused[0].code, Code::Input);
    let keys: String = (0..150_000).map(|i| format!("k{i}: 1\n")).collect();
    assert!(!all(&keys).is_empty());
}

#[test]
fn every_code_is_known_and_explained() {
    let mut words: Vec<&str> = Code::ALL.iter().map(|c| c.as_str()).collect();
    words.sort_unstable();
    words.dedup();
    assert_eq!(words.len(), Code::ALL.len());
    assert!(Code::ALL.iter().all(|c| c.explain().len() > 20));
}

/// A value in place of every key of an agent.
fn values() -> impl proptest::strategy::Strategy<Value = (String, String)> {
    let keys: Vec<&str> = crate::spec::SECTIONS[2].fields.iter().map(|f| f.key).collect();
    let values = [
        "null",
        "1",
        "-1",
        "1.5",
        "true",
        "[]",
        "{}",
        "[a, 1]",
        "{a: b}",
        "\"\"",
        "\"${X}\"",
        "auto",
        "{secret: 1}",
        "{env: {secret: {env: a}}}",
        "{type: exec}",
        "{type: log}",
        "{host: [1]}",
        "ü",
        "{policy: never, delay: -1}",
        "{target: remote}",
        "{signal: 99}",
        "[[a]]",
        "{port: 0}",
    ];
    (proptest::sample::select(keys), proptest::sample::select(values.to_vec()))
        .prop_map(|(k, v)| (k.to_owned(), v.to_owned()))
}
use proptest::strategy::Strategy as _;

proptest::proptest! {
    #[test]
    fn no_value_of_any_key_panics(pairs in proptest::collection::vec(values(), 1..6)) {
        let body: String = pairs.iter().map(|(k, v)| format!("    {k}: {v}\n")).collect();
        let _ = findings(&format!("agents:\n  - id: a\n{body}"));
    }
}
