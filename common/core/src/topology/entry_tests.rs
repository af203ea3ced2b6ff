//! Tests of whom a question goes to.

use super::*;

fn check(text: &str, deaf: &[&str]) -> Option<String> {
    let spec = crate::spec::load("job.yaml", text, &|_: &str| None).expect("a valid job").spec;
    let serves = |ix: AgentIx| !deaf.contains(&spec.agent(ix).id.as_str());
    entry_point(&spec, serves).map(|ix| spec.agent(ix).id.to_string())
}

#[test]
fn whom_a_person_means() {
    let agents = "agents: [{id: a, command: x}, {id: b, command: x}, {id: c, command: x}]\n";
    for (rest, deaf, want) in [
        ("", &[][..], Some("a")),
        ("", &["a"], Some("b")),
        ("", &["a", "b", "c"], None),
        ("execution: {entry_point: c}", &[], Some("c")),
        ("execution: {entry_point: c}", &["c"], Some("a")),
        ("topology: {type: hub-spoke, hub: b, spokes: [a, c]}", &[], Some("b")),
        ("topology: {type: hierarchical, root: c, levels: [[a, b]]}", &[], Some("c")),
        ("topology: {type: pipeline, stages: [b, c, a]}", &[], Some("b")),
        (
            "topology: {type: dag, connections: [{from: c, to: a}, {from: c, to: b}]}",
            &[],
            Some("c"),
        ),
        ("topology: {type: mesh, agents: [b, c]}", &[], Some("b")),
    ] {
        assert_eq!(check(&format!("{agents}{rest}"), deaf).as_deref(), want, "{rest} {deaf:?}");
    }
}
