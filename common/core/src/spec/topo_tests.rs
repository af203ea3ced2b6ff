//! Topologies that are wrong.

use super::*;

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
