//! The messages that no other snapshot shows, each with its help.

use super::*;

/// `code: message — help` of every finding.
fn short(text: &str) -> String {
    let all = match load("job.yaml", text, &vars) {
        Ok(loaded) => loaded.warnings,
        Err(all) => all,
    };
    let lines = all.iter().map(|f| {
        let help = f.help.as_ref().map_or_else(String::new, |help| format!(" — {help}"));
        format!("{}: {}{help}", f.code, f.message)
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// An agent with these fields.
fn agent(fields: &str) -> String {
    short(&format!("agents: [{{id: a, command: [x], {fields}}}]"))
}

#[test]
fn of_the_file() {
    let mut all = vec![
        short("job: {name: x}"),
        short("job: {name: [x]}\nagents: [{id: a, command: [x]}]"),
        short("agents: [{id: a, command: [x], zzz: 1}]"),
        short("execution: {auto_start: maybe}\nagents: [{id: a, command: [x]}]"),
        short("agents: [{id: a, command: [x]}]\nenv_file: ['', [y]]"),
        short("agents: [{id: a, command: [x]}]\nenvironment: [A]"),
        short(
            "agents: [{id: a, command: [x]}]\ndeployment: {retry_policy: {delay: 1, initial_delay: 2, backoff: never}}",
        ),
    ];
    let bomb: String = (1..12)
        .map(|i| format!("b{i}: &a{i} [*a{0}, *a{0}, *a{0}, *a{0}, *a{0}]\n", i - 1))
        .collect();
    all.push(short(&format!("a: &a0 [x, x, x, x, x]\n{bomb}")));
    all.push(short("agents: \"x"));
    all.push(short("agents:\n  - {id: a"));
    let bad_stem = load("a b.yaml", "agents: [{id: a, command: [x]}]", &vars).unwrap_err();
    all.push(format!("{} — {}", bad_stem[0].message, bad_stem[0].help.clone().unwrap()));
    insta::assert_snapshot!(all.join("\n"), @r#"
missing: `agents` is missing: a job needs at least one agent — `agents: [{id: hello, command: [echo, hello]}]`
type: `job.name` is a list; expected a text
unknown-key: unknown key `zzz` of agent `a` — known keys: command, config, depends_on, deployment, env_file, environment, external, health_check, id, lifecycle, limits, liveness, module, on_host_lost, on_peers_change, placement, ports, protocol, python, readiness, replicas, resources, restart, setup, stop, type, venv, workdir
type: `execution.auto_start` is a text; expected `true` or `false`
value: `env_file` is no path
type: `env_file` is a list; expected a list of texts
type: `environment` is a list; expected a map of variables
not-yet: `deployment.retry_policy` is accepted but not acted on yet
conflict: `delay` and `initial_delay` are both given — they mean the same; drop one of them
value: `deployment.retry_policy.backoff` is `never` — a number from 1 to 1000
input: the file repeats itself too often by aliases — a job file is small: use `replicas` instead of repeating agents
syntax: unclosed quote
syntax: unclosed bracket '{'
job name `a b` contains ' '; use letters, digits, `-`, `_` and `.`, beginning with a letter, a digit or `_` — give the job a name: `job: {name: …}`
"#);
}

#[test]
fn of_variables() {
    let all = [
        agent("environment: {A: \"${NOPE:?}\"}"),
        agent("environment: {A: \"${NOPE:?give it}\"}"),
        agent("environment: {A: \"${NOPE\"}"),
        agent("environment: {A: \"${1}\"}"),
        agent("environment: {A: \"$(PORT)\", B: \"$(NOPE)\"}"),
    ];
    insta::assert_snapshot!(all.join("\n"), @r#"
variable: `NOPE` is required and not set
variable: `NOPE` is not set: give it
variable: `${` without its `}` — for a literal `$` write `$$`
variable: `${1}` is no variable — write `${NAME}`, `${NAME:-default}` or `${NAME:?message}`; for a literal `$` write `$$`
variable: `$(PORT)` in `environment.A` of agent `a` is no known name and stays as written — it has no port; give it `config: {port: auto}`
variable: `$(NOPE)` in `environment.B` of agent `a` is no known name and stays as written — where that is meant, write `$$(NOPE)`
"#);
}

#[test]
fn of_what_an_agent_runs() {
    let all = [
        short("agents: [{id: a, command: {x: 1}}]"),
        short("agents: [{id: a, command: []}]"),
        short("agents: [{id: a, command: ['', x]}]"),
        short("agents: [{id: a, command: 'x \\'}]"),
        short("agents: [{id: a, command: 'x \"y'}]"),
        short("agents: [{id: a, module: a-/b}]"),
        short(
            "agents: [{id: a, external: 'http://x', workdir: y, python: z}, {id: b, command: [x]}]",
        ),
        agent("config: {'': 1}"),
        agent("config: {a-b: 1, a_b: 2}"),
        agent("environment: {A: {secret: {env: 'a b'}}}"),
        agent("depends_on: {a: done}"),
        agent("ports: {g-1: 1, g_1: 2}"),
        agent("on_peers_change: {a: 1, b: 2}"),
        agent("readiness: {type: exec}"),
        agent("readiness: {timeout: 0, pattern: x}"),
        agent("config: {port: 1}, readiness: {type: tcp, path: /x}, health_check: {}"),
        agent("replicas: many"),
        agent("readiness: {period: 0}"),
        agent("readiness: {type: log, pattern: '('}"),
    ];
    insta::assert_snapshot!(all.join("\n"), @r#"
type: `command` is a map; expected a list of words, or one text
value: `command` is empty
value: `command` begins with an empty word
value: cannot split `command` into words: a backslash at the end escapes nothing — write it as a list: `[python3, agent.py]`
value: cannot split `command` into words: the quote " is not closed — write it as a list: `[python3, agent.py]`
value: `module` is no Python module name — write it with dots: `agents.weather_agent`
no-effect: `workdir` of agent `a` has no effect beside `external`: nothing is launched
no-effect: `python` of agent `a` has no effect beside `external`: nothing is launched
value: a key under `config` is empty
conflict: `config.a-b` and `config.a_b` both become `AGENT_A_B`
secret: `environment.A.secret` names no variable and no file
value: `depends_on.a` is `done` — one of: started, ready, completed
conflict: `ports.g_1` and another name both become `PORT_G_1`
value: `on_peers_change` is none of its forms — `file`, `restart`, `{signal: HUP}` or `{http: /path}`
missing: `readiness: {type: exec}` needs a `command`
value: `readiness.timeout` is 0
no-effect: `readiness.pattern` of agent `a` has no effect with this `readiness.type`
no-effect: `readiness.path` of agent `a` has no effect with this `readiness.type`
no-effect: `health_check` of agent `a` has no effect beside `readiness`
value: `replicas` is `many` — a number from 1, or `auto`
value: `readiness.period` is 0
value: `readiness.pattern` is no regular expression: found open group without closing ')' — a `\` before one of `.^$*+?()[]{}|` takes it as it is
"#);
}

#[test]
fn of_targets() {
    let all = [
        agent("deployment: {target: remote}"),
        agent("deployment: {target: remote, host: h, user: -x}"),
        agent("deployment: {target: 'host:h', host: h2}"),
        agent("deployment: {target: 'host:'}"),
        agent("deployment: {target: kubernetes, image: ''}"),
        short("agents: [{id: a, deployment: {target: kubernetes}}]"),
    ];
    insta::assert_snapshot!(all.join("\n"), @r#"
missing: `target: remote` needs a `host`
value: `deployment.user` is `-x`, no user name
conflict: `target: host:NAME` and `host` both name a host
value: `deployment.target` is `host:` — one of: localhost, remote, container, kubernetes
not-yet: `deployment.target: kubernetes` of agent `a` is accepted but not acted on yet
value: `deployment.image` is ``, no image name
not-yet: `deployment.target: kubernetes` of agent `a` is accepted but not acted on yet
missing: `target: kubernetes` needs an `image`
"#);
}

#[test]
fn of_topologies() {
    let topology = |text: &str| {
        short(&format!(
            "agents: [{{id: a, command: [x]}}, {{id: b, command: [x]}}]\ntopology: {text}"
        ))
    };
    let all = [
        topology("{hub: a}"),
        topology("{type: hub-spoke}"),
        topology("{type: pipeline, stages: a}"),
        topology("{type: custom, connections: {from: a}}"),
        topology("{type: hierarchical, root: a, levels: a}"),
        topology("{type: hierarchical, root: a, levels: [{children: [b]}, {parent: a}]}"),
        topology("{type: hierarchical, root: [a], levels: []}"),
        topology("{type: mesh, agents: [{x: 1}]}"),
        topology("{type: single}"),
    ];
    insta::assert_snapshot!(all.join("\n"), @r#"
missing: `topology` has no `type` — one of: hub-spoke, pipeline, dag, custom, mesh, hierarchical, single, dynamic
missing: `topology.hub` is missing
missing: `topology.spokes` is missing
type: `topology.stages` is a text; expected a list of agents, or of lists of them
type: `topology.connections` is a map; expected a list of `{from, to}`
type: `topology.levels` is a text; expected a list of `{parent, children}`, or of lists
missing: a level has no `parent`
missing: a level has no `children`
type: `topology.root` is a list; expected an agent's id
no-effect: `topology.levels` has no effect as long as it is empty: nobody is named
type: `topology.agents` is a map; expected a list of texts
missing: `topology.entry` is missing
"#);
    let many: String = (0..12).map(|n| format!("  - {{id: a{n}, command: [x]}}\n")).collect();
    let alone = short(&format!("agents:\n{many}topology: {{type: mesh, agents: [a0]}}"));
    insta::assert_snapshot!(alone.lines().last().unwrap(), @"no-set: agent `a8` stands in no set of the topology: it has no peers; nor have 3 more");
    let unknown = short(&format!("agents:\n{many}topology: {{type: mesh, agents: [zzz]}}"));
    insta::assert_snapshot!(unknown.lines().next().unwrap(), @"unknown-name: `topology.agents` names `zzz`, which is no agent — agents: a0, a1, a2, a3, a4, a5, a6, a7, …");
}

#[test]
fn of_command_lines_and_launches() {
    use crate::spec::ProgramError;
    let mut spec = JobSpec::program(vec!["x".to_owned()], None).unwrap();
    spec.agents[0].depends_on = Vec::new();
    spec.agents[0].target = Target::Container(crate::spec::Container::default());
    let error = JobSpec::program(vec!["\u{7}".repeat(3)], None).map(|j| j.name.to_string());
    let all = [
        ProgramError::Empty.to_string(),
        ProgramError::NoName.to_string(),
        format!("{error:?}"),
        spec.unlaunchable()[0].to_string(),
        crate::plan::PlanError::NoHosts.to_string(),
        crate::plan::PlanError::NoHosts.hints().join(", "),
    ];
    insta::assert_snapshot!(all.join("\n"), @r#"
no program given after `--`
the program's name is empty
Ok("___")
agent `x`: `deployment.target: container` cannot be launched by this version yet
the list of hosts is empty
give --host or --hostfile, or neither
"#);
}

#[test]
fn of_env_files() {
    let of = |text: &str| match crate::spec::parse_env_file(text) {
        Ok(all) => format!("{} variables", all.len()),
        Err(all) => {
            let lines = all.iter().map(|f| {
                let help = f.help.as_ref().map_or_else(String::new, |help| format!(" — {help}"));
                format!("{}: {}{help}", f.code, f.message)
            });
            lines.collect::<Vec<_>>().join("\n")
        }
    };
    let all =
        [of("A"), of("A B=1"), of("A='x' y"), of("A=\"x"), of("A\0=1"), of(&"a".repeat(2 << 20))];
    insta::assert_snapshot!(all.join("\n"), @r#"
syntax: a line without `=` — `NAME=value`; a comment begins with `#`
value: no variable name stands before `=`
syntax: `A`: text behind the closing quote
syntax: `A`: the quote " is not closed
input: the file has a NUL byte at offset 1: it is no text
input: the file has 2097152 bytes; at most 1048576 are read
"#);
}
