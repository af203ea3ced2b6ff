//! A small file for each kind of finding.

use a2arun_core::source::Code;

/// Which reader it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Job,
    Hosts,
}

#[derive(Debug)]
pub(crate) struct Example {
    pub(crate) code: Code,
    pub(crate) kind: Kind,
    pub(crate) text: &'static str,
}

const fn job(code: Code, text: &'static str) -> Example {
    Example { code, kind: Kind::Job, text }
}

pub(crate) const EXAMPLES: [Example; 19] = [
    job(Code::Input, "agents: [{id: a, command: [x]}]\n# \0\n"),
    job(Code::Syntax, "agents:\n  - id: a\n    command: [x\n"),
    job(Code::UnknownKey, "agents:\n  - id: worker\n    command: [x]\n    replica: 3\n"),
    job(
        Code::Duplicate,
        "agents:\n  - {id: worker, command: [x]}\n  - {id: worker, command: [y]}\n",
    ),
    job(Code::Missing, "agents:\n  - {id: worker, config: {port: auto}}\n"),
    job(Code::Type, "agents:\n  worker: {command: [x]}\n"),
    job(Code::Value, "agents:\n  - {id: worker, command: [x], config: {port: 70000}}\n"),
    job(
        Code::UnknownName,
        "agents: [{id: hub, command: [x]}, {id: worker, command: [x]}]\n\
         topology: {type: hub-spoke, hub: hub, spokes: [wroker]}\n",
    ),
    job(Code::Variable, "agents:\n  - {id: llm, command: [serve, \"${MODEL}\"]}\n"),
    job(Code::Conflict, "agents:\n  - {id: a, command: [x], module: agents.a}\n"),
    job(Code::Reserved, "agents:\n  - {id: a, command: [x], environment: {PORT: 9001}}\n"),
    job(
        Code::Cycle,
        "agents:\n  - {id: a, command: [x], depends_on: [b]}\n  \
         - {id: b, command: [x], depends_on: [a]}\n",
    ),
    job(Code::NotYet, "agents:\n  - {id: a, command: [x], scale: {min: 1, max: 8}}\n"),
    job(
        Code::NoEffect,
        "agents:\n  - {id: a, command: [x], deployment: {target: localhost, host: n1}}\n",
    ),
    job(
        Code::NoSet,
        "agents: [{id: hub, command: [x]}, {id: worker, command: [x]}, {id: lone, command: [x]}]\n\
         topology: {type: hub-spoke, hub: hub, spokes: [worker]}\n",
    ),
    job(
        Code::Replicas,
        "agents: [{id: hub, command: [x], replicas: 2}, {id: worker, command: [x]}]\n\
         topology: {type: hub-spoke, hub: hub, spokes: [worker]}\n",
    ),
    job(
        Code::PortClash,
        "agents:\n  - {id: a, command: [x], config: {port: 9000}, ports: {grpc: 9000}}\n",
    ),
    job(Code::Secret, "agents:\n  - {id: a, command: [x], environment: {API_KEY: {secret: {}}}}\n"),
    Example { code: Code::Ambiguous, kind: Kind::Hosts, text: "n1 4 n2 2\n" },
];
