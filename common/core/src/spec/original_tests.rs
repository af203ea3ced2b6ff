//! The original format: what its documents and files allow loads here, with a warning for what is
//! not acted on. The texts are ours; files of its users are in `corpus_tests.rs`.

use std::time::Duration;

use crate::launch::ReadinessCheck;
use crate::spec::model::*;
use crate::spec::policy::*;
use crate::spec::{Loaded, load};

/// A file with its warnings as `agent field`.
fn read(text: &str) -> (JobSpec, Vec<String>) {
    let Loaded { spec, warnings } = match load("job.yaml", text, &|_| None) {
        Ok(loaded) => loaded,
        Err(all) => panic!("{all:#?}"),
    };
    let shown = warnings.iter().map(|w| {
        let of = |part: &Option<String>| part.clone().unwrap_or_else(|| "-".to_owned());
        format!("{} {}", of(&w.agent), of(&w.field))
    });
    (spec, shown.collect())
}

/// An agent as every file of that format has it, with its `deployment`.
fn agent(id: &str, port: u16, deployment: &str) -> String {
    format!(
        "  - id: {id}\n    type: {id}Agent\n    module: agents.{id}\n    config: {{port: {port}}}\n    \
         deployment: {deployment}\n"
    )
}

fn agents(ids: &[&str]) -> String {
    let all: String =
        ids.iter().zip(9001..).map(|(id, port)| agent(id, port, "{target: localhost}")).collect();
    format!("job: {{name: j, version: 1.0, description: d, tags: null}}\nagents:\n{all}")
}

#[test]
fn every_target_has_its_fields() {
    let text = format!(
        "agents:\n{}{}{}{}{}{}{}",
        agent(
            "full",
            9001,
            "{target: remote, host: 192.168.1.100, user: deploy, ssh_key: ~/.ssh/key, port: 2222, \
             python: /usr/bin/python3.11, workdir: ~/agents, environment: {RETRIES: 3, DEBUG: true}}"
        ),
        agent("short", 9001, "{target: 'host:worker-1'}"),
        agent("image", 9001, "{target: container, image: a:1, network: n, container_name: c}"),
        agent("named", 9001, "{target: 'container:web'}"),
        agent("pod", 9001, "{target: kubernetes, namespace: agents, service_type: ClusterIP}"),
        agent("old", 9002, "{target: remote, host: h, password: hunter2}"),
        agent("bare", 9003, "{target: localhost, python: python3, port: 22}"),
    );
    let (spec, warnings) = read(&text);
    let Target::Remote(remote) = &spec.agents[0].target else { panic!() };
    assert_eq!((remote.host.as_str(), remote.ssh_port), ("192.168.1.100", Some(2222)));
    assert_eq!(remote.ssh_key.as_deref(), Some("~/.ssh/key"));
    assert_eq!(spec.agents[0].workdir.as_deref(), Some("~/agents"));
    assert_eq!(spec.agents[0].environment["RETRIES"], "3");
    assert_eq!(spec.agents[0].environment["DEBUG"], "true");
    let Target::Remote(short) = &spec.agents[1].target else { panic!() };
    assert_eq!(short.host.as_str(), "worker-1");
    let Target::Container(named) = &spec.agents[3].target else { panic!() };
    assert_eq!((&named.image, named.name.as_deref()), (&None, Some("web")));
    let Target::Kubernetes(pod) = &spec.agents[4].target else { panic!() };
    assert_eq!((pod.namespace.as_deref(), &pod.image), (Some("agents"), &None));
    assert_eq!(spec.agents[6].python, None);
    assert_eq!(
        warnings,
        [
            "image deployment.target: container",
            "named deployment.target: container",
            "pod deployment.target: kubernetes",
            "old deployment.password",
            "bare deployment.port",
        ]
    );
    assert_eq!(spec.unlaunchable().len(), 3);
}

#[test]
fn every_topology_is_read() {
    let head = agents(&["a", "b", "c", "d"]);
    for (topology, edges) in [
        ("{type: hub-spoke, hub: a, spokes: [b, c, d]}", "a→b a→c a→d"),
        ("{type: pipeline, stages: [a, [b, c], d]}", "a→b a→c b→d c→d"),
        ("{type: dag, connections: [{from: a, to: [b, c]}, {from: b, to: d}]}", "a→b a→c b→d"),
        ("{type: custom, connections: [{from: a, to: b}, {from: b, to: a}]}", "a→b b→a"),
        ("{type: mesh, agents: [a, b, c]}", "a→b a→c b→a b→c c→a c→b"),
        ("{type: hierarchical, root: a, levels: [[b, c], [d]]}", "a→b a→c b→d c→d"),
        (
            "{type: hierarchical, root: a, levels: [{parent: a, children: [b]}, {parent: b, children: [c, d]}]}",
            "a→b b→c b→d",
        ),
        ("{type: single, entry: c}", ""),
        ("{type: dynamic}", ""),
    ] {
        let (spec, _) = read(&format!("{head}topology: {topology}\n"));
        let id = |ix: AgentIx| spec.agent(ix).id.to_string();
        let wiring = crate::topology::Wiring::of(&spec);
        let shown: Vec<String> = wiring
            .edges()
            .filter(|e| e.from != e.to)
            .map(|e| format!("{}→{}", id(e.from), id(e.to)))
            .collect();
        assert_eq!(shown.join(" "), edges, "{topology}");
    }
}

#[test]
fn a_single_agent_is_its_own_entry_point() {
    let (spec, warnings) = read(&format!("{}topology: {{type: single}}\n", agents(&["a"])));
    assert_eq!(spec.execution.entry_point, Some(AgentIx(0)));
    assert!(warnings.is_empty(), "{warnings:?}");
    let two = agents(&["a", "b"]);
    let (spec, warnings) = read(&format!("{two}topology: {{type: single, entry: b}}\n"));
    assert_eq!(spec.execution.entry_point, Some(AgentIx(1)));
    assert_eq!(warnings, ["a topology"]);
    assert!(load("job.yaml", &format!("{two}topology: {{type: single}}\n"), &|_| None).is_err());
}

#[test]
fn health_checks_of_agents_are_readiness() {
    let health = |more: &str| {
        let agent = agent("a", 9001, "{target: localhost}");
        let (spec, warnings) = read(&format!("agents:\n{agent}    {more}\n"));
        (spec.agents[0].readiness.check.clone(), warnings.join(" "))
    };
    let http = |path: &str, status| {
        Some(ReadinessCheck::Http { port: None, path: path.to_owned(), status })
    };
    assert_eq!(
        health("health_check: {endpoint: /up, method: GET, expected_status: 204}"),
        (http("/up", Some(204)), String::new())
    );
    assert_eq!(health("health_check: {}"), (http("/health", None), String::new()));
    let (check, warned) = health("health_check: {endpoint: /up, method: POST}");
    assert_eq!((check, warned.as_str()), (http("/up", None), "a health_check.method"));
    let both = "health_check: {endpoint: /up}\n    readiness: {type: tcp}";
    assert_eq!(
        health(both),
        (Some(ReadinessCheck::Tcp { port: None }), "a health_check".to_owned())
    );
}

#[test]
fn what_it_says_of_the_launch_is_read() {
    let text = format!(
        "{}topology:\n  type: custom\n  connections:\n    \
         - {{from: a, to: b, type: query, address: 'h:1', condition: b.available}}\n\
         deployment:\n  strategy: top-down\n  timeout: 90\n  \
         health_check: {{enabled: true, interval: 5, retries: 3, timeout: 7}}\n  \
         ssh: {{key_file: ~/.ssh/id_rsa, timeout: 30}}\n  \
         network: {{allow_cross_host: true, firewall_rules: [{{allow_port_range: 9001-9004}}]}}\n  \
         retry_policy: {{max_retries: 3, backoff: exponential, initial_delay: 5}}\n\
         execution: {{entry_point: null, auto_start: true, routing: {{mode: nearest}}, \
         collaboration: {{quorum: 3}}}}\n\
         environment: {{ATTEMPTS: 3, RATIO: 0.50, ON: true, VERSION: '1.0'}}\n",
        agents(&["a", "b"])
    );
    let (spec, warnings) = read(&text);
    assert_eq!(spec.version.as_deref(), Some("1.0"));
    assert_eq!(spec.deployment.strategy, Strategy::TopDown);
    let readiness = spec.agents[0].readiness_of(&spec.deployment);
    assert_eq!(
        (readiness.deadline, readiness.timeout),
        (Duration::from_secs(90), Duration::from_secs(7))
    );
    let retry = spec.deployment.retry_policy.unwrap();
    assert_eq!(
        (retry.max_retries, retry.delay, retry.backoff),
        (Some(3), Some(Duration::from_secs(5)), Some(Backoff::Factor(2.0)))
    );
    let shown: Vec<String> = spec.environment.iter().map(|(k, v)| format!("{k}={v}")).collect();
    assert_eq!(shown, ["ATTEMPTS=3", "ON=true", "RATIO=0.50", "VERSION=1.0"]);
    assert_eq!(
        warnings,
        [
            "a topology.connections[].type",
            "a topology.connections[].address",
            "a topology.connections[].condition",
            "- deployment.health_check.retries",
            "- deployment.ssh",
            "- deployment.network",
            "- deployment.retry_policy",
            "- execution.routing",
            "- execution.collaboration",
        ]
    );
}
