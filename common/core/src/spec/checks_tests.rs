//! Tests of what only the whole job shows.

use crate::spec::load;
use crate::spec::render::{Style, render};

fn findings(text: &str) -> String {
    let all = match load("job.yaml", text, &|_| None) {
        Ok(loaded) => loaded.warnings,
        Err(all) => all,
    };
    render("job.yaml", text, &all, Style::Plain)
}

#[test]
fn ports_that_clash_wherever_it_is_mapped_to_are_found_early() {
    insta::assert_snapshot!(findings(r#"
agents:
  - {id: twice, command: [x], config: {port: 9000}, ports: {g: 9000}}
  - {id: b, command: [x], config: {port: 65534}, replicas: 3, placement: {host: n1}}
  - id: c
    command: [x]
    config: {port: 65533}
    replicas: 2
    deployment: {target: remote, host: n1}
"#), @r#"
error[port-clash]: `config.port` and `ports.g` of agent `twice` both take port 9000
 --> job.yaml:3:10
  |
3 |   - {id: twice, command: [x], config: {port: 9000}, ports: {g: 9000}}
  |          ^^^^^

error[port-clash]: agent `b` would get port 65536 of host `n1`
 --> job.yaml:4:10
  |
4 |   - {id: b, command: [x], config: {port: 65534}, replicas: 3, placement: {host: n1}}
  |          ^
  |
  = help: ports end at 65535; use a lower one, or `auto`

error[port-clash]: agents `c` and `b` both take port 65534 of host `n1`
 --> job.yaml:4:10
  |
4 |   - {id: b, command: [x], config: {port: 65534}, replicas: 3, placement: {host: n1}}
  |          ^
5 |   - id: c
  |         - the other one
"#);
    // Copies, and agents that are free to go elsewhere, clash only once hosts are known.
    insta::assert_snapshot!(findings(r#"
agents:
  - {id: a, command: [x], config: {port: 9000}, ports: {g: 9001}, replicas: 2}
  - {id: b, command: [x], config: {port: 9000}}
  - {id: c, command: [x], config: {port: 9000}, deployment: {target: remote, host: n1}}
  - {id: d, command: [x], config: {port: 9000}, deployment: {target: remote, host: n2}}
  - {id: e, deployment: {target: container, image: i}, config: {port: 9000}, ports: {g: auto}}
"#), @r#"
warning[not-yet]: `deployment.target: container` of agent `e` is accepted but not acted on yet
 --> job.yaml:7:13
  |
7 |   - {id: e, deployment: {target: container, image: i}, config: {port: 9000}, ports: {g: auto}}
  |             ^^^^^^^^^^
"#);
}

#[test]
fn a_hierarchy_hangs_together() {
    insta::assert_snapshot!(findings(r#"
agents: [{id: a, command: [x]}, {id: b, command: [x]}, {id: c, command: [x]}]
topology: {type: hierarchical, root: a, levels: [{parent: b, children: [c]}]}
"#), @r#"
warning[no-set]: the root `a` does not reach agent `b`
 --> job.yaml:2:38
  |
2 | agents: [{id: a, command: [x]}, {id: b, command: [x]}, {id: c, command: [x]}]
  |                                      ^
  |
  = help: name it among the children of `a`, or of who is below it

warning[no-set]: the root `a` does not reach agent `c`
 --> job.yaml:2:61
  |
2 | agents: [{id: a, command: [x]}, {id: b, command: [x]}, {id: c, command: [x]}]
  |                                                             ^
  |
  = help: name it among the children of `a`, or of who is below it
"#);
    insta::assert_snapshot!(findings(r#"
agents: [{id: a, command: [x]}, {id: b, command: [x]}]
topology:
  type: hierarchical
  root: a
  levels: [{parent: a, children: [b]}, {parent: b, children: [a]}]
"#), @r#"
error[cycle]: a hierarchy has no circle, and this one has: a → b → a
 --> job.yaml:6:3
  |
6 |   levels: [{parent: a, children: [b]}, {parent: b, children: [a]}]
  |   ^^^^^^
  |
  = help: where it is meant, use `type: custom`
"#);
}

#[test]
fn empty_sets_are_said() {
    insta::assert_snapshot!(findings(r#"
agents: [{id: a, command: [x], workdir: "", setup: "a\0b"}]
topology: {type: pipeline, stages: [a, []]}
"#), @r#"
error[value]: `workdir` is empty
 --> job.yaml:2:41
  |
2 | agents: [{id: a, command: [x], workdir: "", setup: "a\0b"}]
  |                                         ^^

error[value]: a text contains a NUL character
 --> job.yaml:2:52
  |
2 | agents: [{id: a, command: [x], workdir: "", setup: "a\0b"}]
  |                                                    ^^^^^^
  |
  = help: no argument, variable or path can carry it

error[value]: a stage of `topology.stages` is empty
 --> job.yaml:3:40
  |
3 | topology: {type: pipeline, stages: [a, []]}
  |                                        ^
  |
  = help: the stages before and behind it would not call each other
"#);
    for (topology, field) in [
        ("{type: hub-spoke, hub: a, spokes: []}", "topology.spokes"),
        ("{type: mesh, agents: []}", "topology.agents"),
        ("{type: custom, connections: []}", "topology.connections"),
        ("{type: hierarchical, root: a, levels: []}", "topology.levels"),
        ("{type: pipeline, stages: []}", "topology.stages"),
    ] {
        let text = format!("agents: [{{id: a, command: [x]}}]\ntopology: {topology}\n");
        let loaded = load("job.yaml", &text, &|_| None).unwrap();
        let first = loaded.warnings.iter().find(|w| w.field.as_deref() == Some(field));
        let message = format!("`{field}` has no effect as long as it is empty: nobody is named");
        assert_eq!(first.map(|w| w.message.as_str()), Some(message.as_str()), "{topology}");
    }
}

#[test]
fn who_is_called_without_a_port_is_named() {
    insta::assert_snapshot!(findings(r#"
agents:
  - {id: hub, command: [x], config: {port: auto}}
  - {id: spoke, command: [x]}
  - {id: quiet, command: [x], protocol: none}
topology: {type: hub-spoke, hub: hub, spokes: [spoke, quiet]}
"#), @r#"
warning[missing]: `hub` calls agent `spoke`, which has no port
 --> job.yaml:4:10
  |
4 |   - {id: spoke, command: [x]}
  |          ^^^^^
  |
  = help: `config: {port: auto}` gives it one; `protocol: none` says that it needs none
"#);
}

#[test]
fn mistakes_of_indentation_have_a_help() {
    let last = |text: &str| findings(text).lines().last().unwrap_or_default().trim().to_owned();
    insta::assert_snapshot!(last("agents:\n\t- id: a\n"), @"= help: indent with spaces");
    insta::assert_snapshot!(last("agents:\n  - id: a\n    command: [x]\n   workdir: y\n"), @"= help: is it indented as the lines it belongs to?");
}

#[test]
fn words_of_a_shell_are_said_to_be_words() {
    insta::assert_snapshot!(findings("agents: [{id: a, command: cd x && python3 a.py}]"), @r#"
warning[value]: `&&` in `command` is given to the program: there is no shell
 --> job.yaml:1:27
  |
1 | agents: [{id: a, command: cd x && python3 a.py}]
  |                           ^^^^^^^^^^^^^^^^^^^^
  |
  = help: `[sh, -c, "..."]` runs one
"#);
    assert_eq!(findings("agents: [{id: a, command: [sh, -c, 'cd x && python3 a.py']}]"), "");
}
