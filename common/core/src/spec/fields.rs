//! Every field of a job file, declared once: the schema and the documentation are made of this
//! table, and every test that reads a section checks that the reader asks for exactly its keys.

use crate::spec::{agent, load, probe, terms, topo};

/// A map of the job file.
#[derive(Debug, Clone, Copy)]
pub struct Section {
    /// Its path, `[]` for the items of a list; empty: the file itself.
    pub name: &'static str,
    /// What it is, one line.
    pub doc: &'static str,
    /// Its keys, in the order of the documentation.
    pub fields: &'static [Field],
}

/// One key.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// The key.
    pub key: &'static str,
    /// What may stand behind it.
    pub kind: FieldKind,
    /// What it does, one line.
    pub doc: &'static str,
    /// What holds where it is absent; empty: nothing.
    pub default: &'static str,
    /// What has to be there, is acted on, or is only kept.
    pub status: Status,
}

/// How far a field goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It has to be there.
    Required,
    /// It is acted on.
    Active,
    /// It is checked and gives one warning: not acted on yet.
    NotYet,
    /// Its name is kept; it gives one warning and is not looked into.
    Reserved,
}

/// What may stand behind a key.
#[derive(Debug, Clone, Copy)]
pub enum FieldKind {
    /// A scalar, taken as text.
    Text,
    /// `true` or `false`.
    Bool,
    /// A whole number within bounds.
    Number(u32, u32),
    /// A factor from 1 to 1000.
    Factor,
    /// A factor, or one of some words.
    FactorOrWords(fn() -> Vec<&'static str>),
    /// `localhost`, `remote`, `container`, `kubernetes`, `host:NAME`, `container:NAME`.
    Target,
    /// A port.
    Port,
    /// Seconds, or `30s`, `2m`.
    Duration,
    /// `512M`, `2G`.
    Bytes,
    /// `2`, `0.5`, `500m`.
    Cpu,
    /// One of some words.
    Words(fn() -> Vec<&'static str>),
    /// A list of texts, or one.
    Texts,
    /// argv, or a text that is split into words.
    Command,
    /// A number from 1, or `auto`.
    Replicas,
    /// An agent's id.
    Agent,
    /// Ids of agents, or one.
    Agents,
    /// Ids, and lists of ids.
    Stages,
    /// Lists of ids, or `{parent, children}` maps.
    Levels,
    /// Ids, or a map from ids to started, ready, completed.
    DependsOn,
    /// Variables: scalars or secrets.
    Environment,
    /// Any keys; `port` is a port or `auto`.
    Config,
    /// Names to ports or `auto`.
    Ports,
    /// `file`, `restart`, `{signal: …}` or `{http: …}`.
    PeersChange,
    /// A section, by its name.
    Map(&'static str),
    /// A section, or one of some words.
    MapOrWords(&'static str, fn() -> Vec<&'static str>),
    /// A list of a section, by its name.
    List(&'static str),
    /// Anything.
    Any,
}

fn first<T: Copy>(list: &[(&'static str, T)]) -> Vec<&'static str> {
    list.iter().map(|(word, _)| *word).collect()
}

const fn field(
    key: &'static str,
    kind: FieldKind,
    default: &'static str,
    doc: &'static str,
) -> Field {
    Field { key, kind, doc, default, status: Status::Active }
}

const fn required(key: &'static str, kind: FieldKind, doc: &'static str) -> Field {
    Field { key, kind, doc, default: "", status: Status::Required }
}

const fn not_yet(
    key: &'static str,
    kind: FieldKind,
    default: &'static str,
    doc: &'static str,
) -> Field {
    Field { key, kind, doc, default, status: Status::NotYet }
}

const fn reserved(key: &'static str, doc: &'static str) -> Field {
    Field { key, kind: FieldKind::Any, doc, default: "", status: Status::Reserved }
}

use FieldKind as K;

const KEPT: [(&str, &str); 11] = [
    ("include", "other job files"),
    ("extends", "a job file to start from"),
    ("when", "a condition"),
    ("scale", "copies by load: `{min, max, on, target, cooldown}`"),
    ("cost", "what it may cost"),
    ("update", "how a change is rolled out"),
    ("sync", "files to bring along"),
    ("watch", "files whose change restarts"),
    ("auth", "who may call"),
    ("mounts", "folders to mount"),
    ("network", "rules of the network"),
];

macro_rules! with_kept {
    ($name:ident: $len:literal = [$($field:expr),* $(,)?]) => {
        const $name: [Field; $len] = [
            $($field,)*
            reserved(KEPT[0].0, KEPT[0].1), reserved(KEPT[1].0, KEPT[1].1),
            reserved(KEPT[2].0, KEPT[2].1), reserved(KEPT[3].0, KEPT[3].1),
            reserved(KEPT[4].0, KEPT[4].1), reserved(KEPT[5].0, KEPT[5].1),
            reserved(KEPT[6].0, KEPT[6].1), reserved(KEPT[7].0, KEPT[7].1),
            reserved(KEPT[8].0, KEPT[8].1), reserved(KEPT[9].0, KEPT[9].1),
            reserved(KEPT[10].0, KEPT[10].1),
        ];
    };
}

with_kept!(FILE: 18 = [
    field("job", K::Map("job"), "", "what the job is called"),
    required("agents", K::List("agents[]"), "the agents; at least one"),
    field("topology", K::Map("topology"), "none: nobody knows anybody", "who calls whom"),
    field("deployment", K::Map("deployment"), "", "how the job is launched"),
    field("execution", K::Map("execution"), "", "who is asked, and when the job ends"),
    field("environment", K::Environment, "", "variables of every agent"),
    field("env_file", K::Texts, "", "files of variables for every agent, relative to the job file; later ones win"),
]);

with_kept!(AGENT: 39 = [
    required("id", K::Text, "its name: letters, digits, `-`, `_`, `.`"),
    field("command", K::Command, "", "what is run; a text is split into words, without a shell"),
    field("module", K::Text, "", "run as `PYTHON -m MODULE`"),
    field("type", K::Text, "", "the class in the module, for people"),
    field("external", K::Text, "", "the URL of a peer that is not launched"),
    field("workdir", K::Text, "the head's", "working directory, relative to the job file"),
    field("venv", K::Text, "", "a venv or conda prefix: sets PATH and VIRTUAL_ENV or CONDA_PREFIX"),
    field("python", K::Text, "found, see PYTHON", "the interpreter of `module`"),
    field("setup", K::Text, "", "bash code that is sourced before exec"),
    field("replicas", K::Replicas, "1; auto where the agent is alone", "how many copies"),
    field("lifecycle", K::Words(|| first(&agent::LIFECYCLES)), "service; task with `protocol: none`", "a task's exit 0 is success"),
    field("protocol", K::Words(|| first(&agent::PROTOCOLS)), "auto", "what it speaks"),
    field("config", K::Config, "", "its port, and values that become `AGENT_<KEY>`"),
    field("ports", K::Ports, "", "more ports by name: `$(PORT_<NAME>)`"),
    field("environment", K::Environment, "", "its variables"),
    field("env_file", K::Texts, "", "files of variables, relative to the job file; later ones win"),
    field("deployment", K::Map("agents[].deployment"), "", "where it is launched"),
    field("placement", K::Map("placement"), "", "which hosts it may go to"),
    field("resources", K::Map("resources"), "", "what it needs, for placing where a host's amount is known"),
    not_yet("limits", K::Map("limits"), "none", "what it may use"),
    field("readiness", K::Map("readiness"), "", "when it is ready"),
    field("health_check", K::Map("agents[].health_check"), "", "of the original format: `readiness` by http"),
    not_yet("liveness", K::Map("liveness"), "", "when it is dead"),
    not_yet("restart", K::MapOrWords("restart", || first(&terms::RESTARTS)), "", "whether it is started again"),
    field("stop", K::Map("stop"), "", "how it is stopped"),
    field("depends_on", K::DependsOn, "", "whom it waits for"),
    not_yet("on_host_lost", K::Words(|| first(&terms::HOST_LOST)), "wait", "what happens when its host is lost"),
    field("on_peers_change", K::PeersChange, "file", "how it learns of other peers"),
]);

const JOB: [Field; 4] = [
    field("name", K::Text, "the file's stem", "its name"),
    field("version", K::Text, "", "its version"),
    field("description", K::Text, "", "what it is for"),
    field("tags", K::Texts, "", "words to find it by"),
];
const TARGET: [Field; 14] = [
    field(
        "target",
        K::Target,
        "localhost",
        "`localhost`: where the job is launched; `host:NAME` is `remote` with its `host`; containers and pods are not acted on yet",
    ),
    field("host", K::Text, "", "`remote` needs it: the host"),
    field("user", K::Text, "ssh's", "SSH user"),
    field("ssh_key", K::Text, "ssh's", "SSH private key"),
    field("port", K::Port, "ssh's", "SSH port"),
    field("workdir", K::Text, "", "as `workdir` of the agent"),
    field("python", K::Text, "", "as `python` of the agent"),
    field("environment", K::Environment, "", "as `environment` of the agent, which wins"),
    reserved("password", "not used: SSH keys and agents are"),
    field(
        "image",
        K::Text,
        "",
        "the image; `container` needs it, and `kubernetes` where nothing else is run",
    ),
    field("network", K::Text, "", "the container's network"),
    field("container_name", K::Text, "", "the container's name"),
    field("namespace", K::Text, "the context's", "the pod's namespace"),
    field("service_type", K::Text, "", "the service's type"),
];
const SECRET_OUTER: [Field; 1] =
    [required("secret", K::Map("environment[].secret"), "where the value comes from")];
const SECRET: [Field; 3] = [
    field("env", K::Text, "", "a variable of the head or of `.env`"),
    field("file", K::Text, "", "a file, relative to the job file"),
    field("cmd", K::Command, "", "a command whose output it is"),
];
const PLACEMENT: [Field; 5] = [
    field("host", K::Text, "", "a host of the list; `@head`: the launching machine"),
    field("labels", K::Texts, "", "labels or groups that the host must have"),
    field(
        "spread",
        K::Words(|| first(&terms::SPREADS)),
        "",
        "`host`: copies go to the hosts in turn",
    ),
    field("with", K::Agents, "", "on a host that has one of each of these"),
    field("apart", K::Agents, "", "on a host that has none of these; itself: one copy a host"),
];
const RESOURCES: [Field; 3] = [
    field("cpu", K::Cpu, "", "CPUs"),
    field("memory", K::Bytes, "", "memory; K, M, G are powers of 1024"),
    field("gpu", K::Number(0, 1024), "", "GPUs"),
];
const LIMITS: [Field; 4] = [
    field("memory", K::Bytes, "", "memory"),
    field("cpu", K::Cpu, "", "CPUs"),
    field("pids", K::Number(1, 4_194_304), "", "processes and threads"),
    field("nofile", K::Number(16, 1_073_741_816), "", "open files"),
];
const READINESS: [Field; 9] = [
    field("type", K::Words(|| first(&probe::PROBES)), "auto", "what is looked at"),
    field("deadline", K::Duration, "`deployment.timeout`, else 120s", "from its spawn to failure"),
    field("timeout", K::Duration, "2s", "the limit of one look"),
    field(
        "period",
        K::Duration,
        "`deployment.health_check.interval`, else 10s",
        "from look to look once it is ready",
    ),
    field("port", K::Port, "its own", "the port that is looked at"),
    field("path", K::Text, "/", "http: the path"),
    field("status", K::Number(100, 599), "2xx, 401, 403", "http: the status that counts"),
    field("command", K::Command, "", "exec: what has to exit with 0"),
    field("pattern", K::Text, "", "log: a regular expression that a line of output matches"),
];
const AGENT_HEALTH: [Field; 3] = [
    field("endpoint", K::Text, "/health", "the path, as `readiness.path`"),
    field("expected_status", K::Number(100, 599), "2xx, 401, 403", "as `readiness.status`"),
    field("method", K::Words(|| first(&probe::METHODS)), "GET", "how it is asked"),
];
const LIVENESS: [Field; 8] = [
    field("type", K::Words(|| first(&probe::LIVENESS)), "none", "what is looked at"),
    field("interval", K::Duration, "10s", "from look to look"),
    field("timeout", K::Duration, "2s", "the limit of one look"),
    field("failures", K::Number(1, 1000), "3", "this many in a row are a verdict"),
    field("port", K::Port, "its own", "the port that is looked at"),
    field("path", K::Text, "/", "http: the path"),
    field("status", K::Number(100, 599), "2xx, 401, 403", "http: the status that counts"),
    field("command", K::Command, "", "exec: what has to exit with 0"),
];
const RESTART: [Field; 7] = [
    field(
        "policy",
        K::Words(|| first(&terms::RESTARTS)),
        "on-failure for started services, else never",
        "after which ends",
    ),
    field("delay", K::Duration, "1s", "before the first restart"),
    field("factor", K::Factor, "2", "from one delay to the next"),
    field("max_delay", K::Duration, "60s", "no delay is longer"),
    field("max", K::Number(0, 1_000_000), "5", "restarts within `window`"),
    field("window", K::Duration, "10m", "the time over which they are counted"),
    field(
        "on_exhausted",
        K::Words(|| first(&terms::EXHAUSTED)),
        "fail-job",
        "what happens after the last one",
    ),
];
const STOP: [Field; 2] = [
    field("signal", K::Text, "TERM", "the first signal, by name or number"),
    field("grace", K::Duration, "10s", "from the signal to KILL"),
];
const TOPOLOGY: [Field; 9] = [
    required("type", K::Words(|| first(&topo::KINDS)), "its shape"),
    field("hub", K::Agent, "", "hub-spoke: who calls"),
    field("spokes", K::Agents, "", "hub-spoke: who is called"),
    field("stages", K::Stages, "", "pipeline: each calls the next; a list within is parallel"),
    field("connections", K::List("topology.connections[]"), "", "dag, custom: caller and callee"),
    field("agents", K::Agents, "all", "mesh: everybody calls everybody"),
    field("root", K::Agent, "", "hierarchical: the top"),
    field("levels", K::Levels, "", "hierarchical: `{parent, children}`, or lists, level by level"),
    field("entry", K::Agent, "the only agent", "single: who is asked"),
];
const CONNECTION: [Field; 5] = [
    required("from", K::Agents, "the caller"),
    required("to", K::Agents, "the callee"),
    reserved("type", "query, stream, bidirectional"),
    reserved("address", "another address of the callee"),
    reserved("condition", "when it is used"),
];
const LEVEL: [Field; 2] =
    [required("parent", K::Agent, "who calls"), required("children", K::Agents, "who is called")];
const DEPLOYMENT: [Field; 6] = [
    field(
        "strategy",
        K::Words(|| first(&load::STRATEGIES)),
        "staged",
        "in which order agents start",
    ),
    field("timeout", K::Duration, "120s", "default of `readiness.deadline`"),
    field("health_check", K::Map("deployment.health_check"), "", "of the original format"),
    not_yet("ssh", K::Map("deployment.ssh"), "", "of the original format"),
    not_yet("retry_policy", K::Map("deployment.retry_policy"), "", "of the original format"),
    reserved("network", "of the original format"),
];
const HEALTH: [Field; 4] = [
    field("enabled", K::Bool, "true", "whether it counts"),
    field("interval", K::Duration, "10s", "`readiness.period` of every agent"),
    not_yet("retries", K::Number(0, 1_000_000), "", "how many looks"),
    field("timeout", K::Duration, "", "default of `readiness.timeout`"),
];
const SSH: [Field; 4] = [
    field("key_file", K::Text, "", "private key"),
    field("timeout", K::Duration, "", "to connect"),
    field("user", K::Text, "", "user"),
    field("port", K::Port, "", "port"),
];
const RETRY: [Field; 4] = [
    field("max_retries", K::Number(0, 1_000_000), "", "how often"),
    field("delay", K::Duration, "", "before the first"),
    field("initial_delay", K::Duration, "", "as `delay`"),
    field("backoff", K::FactorOrWords(|| first(&load::BACKOFFS)), "", "from one delay to the next"),
];
const EXECUTION: [Field; 6] = [
    field("entry_point", K::Agent, "", "who is asked"),
    field("ends_with", K::Agent, "", "the job ends with this agent"),
    field("auto_start", K::Bool, "false", "of the original format"),
    field("input", K::Text, "", "what the entry point is asked; its answer ends the job"),
    reserved("routing", "how questions are routed"),
    reserved("collaboration", "how agents agree"),
];

/// Every section; the first is the file.
pub const SECTIONS: &[Section] = &[
    Section { name: "", doc: "a job file", fields: &FILE },
    Section { name: "job", doc: "what the job is called", fields: &JOB },
    Section { name: "agents[]", doc: "an agent", fields: &AGENT },
    Section { name: "agents[].deployment", doc: "where an agent is launched", fields: &TARGET },
    Section { name: "environment[]", doc: "a secret", fields: &SECRET_OUTER },
    Section { name: "environment[].secret", doc: "one of these", fields: &SECRET },
    Section { name: "placement", doc: "which hosts an agent may go to", fields: &PLACEMENT },
    Section { name: "resources", doc: "what an agent needs", fields: &RESOURCES },
    Section { name: "limits", doc: "what an agent may use", fields: &LIMITS },
    Section { name: "readiness", doc: "when an agent is ready", fields: &READINESS },
    Section {
        name: "agents[].health_check",
        doc: "of the original format: when an agent is ready",
        fields: &AGENT_HEALTH,
    },
    Section { name: "liveness", doc: "when an agent is dead", fields: &LIVENESS },
    Section { name: "restart", doc: "whether an agent is started again", fields: &RESTART },
    Section { name: "stop", doc: "how an agent is stopped", fields: &STOP },
    Section { name: "topology", doc: "who calls whom", fields: &TOPOLOGY },
    Section { name: "topology.connections[]", doc: "an edge", fields: &CONNECTION },
    Section { name: "topology.levels[]", doc: "a parent and its children", fields: &LEVEL },
    Section { name: "deployment", doc: "how the job is launched", fields: &DEPLOYMENT },
    Section { name: "deployment.health_check", doc: "of the original format", fields: &HEALTH },
    Section { name: "deployment.ssh", doc: "of the original format", fields: &SSH },
    Section { name: "deployment.retry_policy", doc: "of the original format", fields: &RETRY },
    Section { name: "execution", doc: "who is asked, and when the job ends", fields: &EXECUTION },
];

/// Fails the test in which a reader asks for other keys than the table declares.
#[cfg(test)]
pub(super) fn check(section: &str, asked: &[&'static str]) {
    let Some(declared) = SECTIONS.iter().find(|s| s.name == section) else {
        panic!("section `{section}` is not declared");
    };
    let asked: std::collections::BTreeSet<&str> = asked.iter().copied().collect();
    let known: std::collections::BTreeSet<&str> = declared.fields.iter().map(|f| f.key).collect();
    assert_eq!(asked, known, "keys of section `{section}`");
}
