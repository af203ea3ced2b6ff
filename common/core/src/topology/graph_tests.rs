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
    insta::assert_snapshot!(Graph::of(&job(), None).unwrap().text(), @r#"
demo: custom, 4 agents, 2 edges, 3 stages (staged)

calls
  hub        → worker ×3, search
  worker ×3  nobody
  search     is https://s.example.org
  db         nobody

waits
  worker ×3  until db is ready

stages
  0  search, db
  1  worker ×3
  2  hub
"#);
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
