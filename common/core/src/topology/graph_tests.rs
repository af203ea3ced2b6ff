//! Tests of drawing.

use super::*;
use crate::spec::{AgentSpec, Connection, Run, Topology};

fn job() -> JobSpec {
    let mut spec = JobSpec::program(vec!["demo".to_owned()], None).unwrap();
    let run = || Run::Command(vec!["x".to_owned()]);
    let agent = |id: &str| AgentSpec::new(id.parse().unwrap(), run());
    let mut worker = agent("worker");
    worker.replicas = Some(Replicas::Fixed(3));
    worker.depends_on = vec![(AgentIx(3), DependsOn::Ready)];
    let mut search = agent("search");
    search.run = Run::External { url: "https://s.example.org".to_owned() };
    spec.agents = vec![agent("hub"), worker, search, agent("db")];
    let edge = |from, to| Connection { from: AgentIx(from), to: AgentIx(to) };
    spec.topology = Topology::Custom(vec![edge(0, 1), edge(0, 2)]);
    spec
}

#[test]
fn a_person_can_read_it() {
    insta::assert_snapshot!(Graph::of(&job(), None).unwrap().text(), @"
demo: custom, 4 agents, 2 edges

calls
  hub        → worker ×3, search
  search     is https://s.example.org

in no set, launched without peers
  db

waits
  worker ×3  until db is ready

starts, callees first
  0  db
  1  worker ×3
  2  hub
");
}

/// A job of agents `a`, `b`, … with this topology.
fn wired(agents: u8, topology: Topology) -> JobSpec {
    let mut spec = JobSpec::program(vec!["demo".to_owned()], None).unwrap();
    let name = |n| format!("agent-{}", char::from(b'a' + n)).parse().unwrap();
    let run = || Run::Command(vec!["x".to_owned()]);
    spec.agents = (0..agents).map(|n| AgentSpec::new(name(n), run())).collect();
    spec.topology = topology;
    spec
}

fn edges(list: &[(u32, u32)]) -> Vec<Connection> {
    list.iter().map(|(from, to)| Connection { from: AgentIx(*from), to: AgentIx(*to) }).collect()
}

#[test]
fn circles_copies_and_strangers_stand_out() {
    let list = edges(&[(0, 1), (1, 2), (2, 0), (3, 3), (0, 3)]);
    let mut spec = wired(5, Topology::Custom(list));
    spec.agents[3].replicas = Some(Replicas::Auto);
    spec.deployment.strategy = Strategy::TopDown;
    insta::assert_snapshot!(Graph::of(&spec, None).unwrap().text(), @"
demo: custom, 5 agents, 5 edges

calls
  agent-a        → agent-b, agent-d ×auto
  agent-b        → agent-c
  agent-c        → agent-a
  agent-d ×auto  → its other copies

circles: these reach each other and start together
  agent-a, agent-b, agent-c

in no set, launched without peers
  agent-e

starts, callers first
  0  agent-a, agent-b, agent-c, agent-e
  1  agent-d ×auto
");
}

#[test]
fn a_large_mesh_is_said_in_words_and_long_lines_are_broken() {
    let mesh = wired(20, Topology::Mesh { agents: (0..20).map(AgentIx).collect() });
    insta::assert_snapshot!(Graph::of(&mesh, None).unwrap().text(), @"
demo: mesh, 20 agents, 380 edges

calls
  everybody → everybody else

circles: these reach each other and start together
  everybody

starts, callees first
  0  agent-a, agent-b, agent-c, agent-d, agent-e, agent-f, agent-g, agent-h, agent-i, agent-j,
     agent-k, agent-l, agent-m, agent-n, agent-o, agent-p, agent-q, agent-r, agent-s, agent-t
");
    let alone = wired(1, Topology::Absent);
    insta::assert_snapshot!(Graph::of(&alone, None).unwrap().text(), @"
demo: no topology, 1 agent, 0 edges

starts, callees first
  0  agent-a
");
}

#[test]
fn mermaid_and_dot_are_drawn() {
    let graph = Graph::of(&job(), Some(&[1, 5, 0, 1])).unwrap();
    insta::assert_snapshot!(graph.mermaid(), @r#"
flowchart TD
  a0["hub"]
  a1["worker ×5"]
  a2(["search"])
  a3["db"]
  a0 --> a1
  a0 --> a2
  a1 -. ready .-> a3
"#);
    insta::assert_snapshot!(graph.dot(), @r#"
digraph "demo" {
  node [shape=box];
  "hub" [label="hub"];
  "worker" [label="worker ×5"];
  "search" [label="search", style=dashed];
  "db" [label="db"];
  "hub" -> "worker";
  "hub" -> "search";
  "worker" -> "db" [style=dashed, label=ready];
}
"#);
}
