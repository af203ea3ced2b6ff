//! `graph`.

use crate::bed::Bed;

const JOB: &str = "\
agents:
  - {id: planner, command: [x], config: {port: auto}}
  - {id: coder, command: [x], config: {port: auto}, replicas: auto}
  - {id: critic, command: [x], config: {port: auto}}
  - {id: search, external: https://search.example.org}
  - {id: db, command: [x], config: {port: 7000}}
topology:
  type: custom
  connections:
    - {from: planner, to: [coder, search]}
    - {from: coder, to: critic}
    - {from: critic, to: coder}
";

#[test]
fn a_job_is_drawn_in_three_languages() {
    let bed = Bed::new(&[("team.yaml", JOB), ("hosts", "n1 slots=4\nn2 slots=4\n")]);
    let lines = [
        "graph team.yaml",
        "graph team.yaml -np 6",
        "graph team.yaml --hostfile hosts --output quiet --strict",
        "graph team.yaml --hostfile hosts --format mermaid",
        "graph team.yaml --scale coder=3 --format dot",
        "graph team.yaml --output json",
    ];
    insta::assert_snapshot!(lines.map(|line| bed.run(line)).concat());
}

#[test]
fn what_cannot_be_drawn_is_refused() {
    let circle = "\
agents:
  - {id: a, command: [x], depends_on: [b]}
  - {id: b, command: [x], depends_on: [a]}
";
    let bed = Bed::new(&[("circle.yaml", circle), ("team.yaml", JOB)]);
    let lines = [
        "graph circle.yaml",
        "graph none.yaml",
        "graph",
        "graph team.yaml -np 2",
        "graph team.yaml --format svg",
        "graph team.yaml --scale codr=2",
    ];
    insta::assert_snapshot!(lines.map(|line| bed.run(line)).concat());
}
