//! Text to job: the one entry for job files.
//!
//! Bounds, parse, variables, then every section; nothing stops at the first finding but what
//! cannot be read at all.

use std::time::Duration;

use crate::ids::JobName;
use crate::source::{Code, Finding, Span, nearest};
use crate::spec::agent::{self, Draft};
use crate::spec::fillings::{self, Places};
use crate::spec::table::{Findings, Table};
use crate::spec::yaml::{self, Node, Value};
use crate::spec::{
    AgentIx, AgentSpec, Backoff, DeploymentSpec, ExecutionSpec, HealthCheck, JobSpec, RetryPolicy,
    SshDefaults, Strategy, Topology,
};
use crate::spec::{checks, environment, redact, terms, topo, vars};
use crate::topology::{Wiring, levels};

/// Larger files are refused before they are read. Read one byte more to find out.
pub const INPUT_BYTES_MAX: usize = 8 << 20;

pub(super) const STRATEGIES: [(&str, Strategy); 4] = [
    ("staged", Strategy::Staged),
    ("parallel", Strategy::Parallel),
    ("sequential", Strategy::Sequential),
    ("top-down", Strategy::TopDown),
];

pub(super) const BACKOFFS: [(&str, Backoff); 3] = [
    ("exponential", Backoff::Factor(2.0)),
    ("linear", Backoff::Linear),
    ("fixed", Backoff::Factor(1.0)),
];

/// A job and what its file says without effect.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// The job.
    pub spec: JobSpec,
    /// Warnings, in file order.
    pub warnings: Vec<Finding>,
}

/// Reads a job file. Spans count from behind a byte order mark, as editors do. `file_name` gives the job's name where the file does not. `vars` answers
/// `${VAR}`. Every finding comes at once, errors and warnings, in file order.
pub fn load(
    file_name: &str,
    text: &str,
    vars: &dyn Fn(&str) -> Option<String>,
) -> Result<Loaded, Vec<Finding>> {
    if text.len() > INPUT_BYTES_MAX {
        return Err(vec![too_large(text.len())]);
    }
    if let Some(at) = text.find('\0') {
        let finding = Finding::whole(
            Code::Input,
            format!("the file has a NUL byte at offset {at}: it is no text"),
        );
        return Err(vec![finding]);
    }
    let body = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut findings = Findings::default();
    let used = std::cell::RefCell::new(Vec::new());
    let look_up = |name: &str| {
        let value = vars(name)?;
        used.borrow_mut().push((name.to_owned(), value.clone()));
        Some(value)
    };
    let spec = match yaml::parse(body) {
        Ok(mut root) => {
            no_nul(&root, &mut findings);
            vars::fill(&mut root, &look_up, &mut findings.all);
            job(file_name, &root, &mut findings)
        }
        Err(all) => {
            findings.all = all;
            None
        }
    };
    let mut all = findings.all;
    all.sort_by_key(|f| f.span);
    all.iter_mut().for_each(|f| redact::finding(f, &used.borrow()));
    match spec {
        Some(spec) if !all.iter().any(Finding::is_error) => Ok(Loaded { spec, warnings: all }),
        Some(_) | None => Err(all),
    }
}

/// `"\0"` is good YAML; no argument, variable or path can carry it.
fn no_nul(node: &Node, f: &mut Findings) {
    let mut refuse = |span| {
        let finding = Finding::error(Code::Value, span, "a text contains a NUL character");
        f.push(finding.help("no argument, variable or path can carry it"));
    };
    match &node.value {
        Value::Text(text) if text.contains('\0') => refuse(node.span),
        Value::Null | Value::Bool(_) | Value::Number { .. } | Value::Text(_) => {}
        Value::List(items) => items.iter().for_each(|item| no_nul(item, f)),
        Value::Map(entries) => {
            entries.iter().filter(|(k, _)| k.text.contains('\0')).for_each(|(k, _)| refuse(k.span));
            entries.iter().for_each(|(_, value)| no_nul(value, f));
        }
    }
}

/// As [`load`], from bytes: binary and oversized files are a finding.
pub fn load_bytes(
    file_name: &str,
    bytes: &[u8],
    vars: &dyn Fn(&str) -> Option<String>,
) -> Result<Loaded, Vec<Finding>> {
    if bytes.len() > INPUT_BYTES_MAX {
        return Err(vec![too_large(bytes.len())]);
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => load(file_name, text, vars),
        Err(error) => {
            let at = error.valid_up_to();
            let message = format!("the file is no UTF-8 text: byte {at} is 0x{:02x}", bytes[at]);
            Err(vec![Finding::whole(Code::Input, message)])
        }
    }
}

fn too_large(bytes: usize) -> Finding {
    Finding::whole(
        Code::Input,
        format!("the file has {bytes} bytes; at most {INPUT_BYTES_MAX} are read"),
    )
}

/// Names and indices of the agents, for everything that refers to one.
pub(super) struct Roster {
    ids: Vec<String>,
    by_id: std::collections::HashMap<String, AgentIx>,
}

impl Roster {
    fn new(drafts: &[Draft]) -> Self {
        let ids: Vec<String> = drafts.iter().map(|d| d.spec.id.to_string()).collect();
        let index = |n: usize| AgentIx(u32::try_from(n).unwrap_or(u32::MAX));
        let by_id = ids.iter().enumerate().map(|(n, id)| (id.clone(), index(n))).collect();
        Self { ids, by_id }
    }

    pub(super) fn all(&self) -> Vec<AgentIx> {
        (0..u32::try_from(self.ids.len()).unwrap_or(u32::MAX)).map(AgentIx).collect()
    }

    pub(super) fn id(&self, ix: AgentIx) -> &str {
        &self.ids[ix.get()]
    }

    /// The agent of a name; a name that nothing has is a finding.
    pub(super) fn find(
        &self,
        id: &str,
        span: Span,
        path: &str,
        f: &mut Findings,
    ) -> Option<AgentIx> {
        let found = self.by_id.get(id).copied();
        if found.is_none() {
            let message = format!("`{path}` names `{}`, which is no agent", id.escape_debug());
            let finding = Finding::error(Code::UnknownName, span, message).about(None, path);
            f.push(match nearest(id, self.ids.iter().map(String::as_str)) {
                Some(near) => finding.help(format!("did you mean `{near}`?")),
                None => finding.help(format!("agents: {}", self.shown())),
            });
        }
        found
    }

    fn shown(&self) -> String {
        let shown = self.ids.iter().take(8).cloned().collect::<Vec<_>>().join(", ");
        if self.ids.len() > 8 { format!("{shown}, …") } else { shown }
    }
}

fn job(file_name: &str, root: &Node, f: &mut Findings) -> Option<JobSpec> {
    if root.value == Value::Null {
        f.push(Finding::whole(Code::Missing, "the file is empty").help("`a2arun init` writes one"));
        return None;
    }
    let mut table = Table::new(root, "", f)?;
    let header = header(&mut table, file_name, f);
    let drafts = agents(&mut table, f);
    let roster = Roster::new(&drafts);
    let depends_on: Vec<_> = drafts.iter().map(|d| agent::depends_on(d, &roster, f)).collect();
    let places: Vec<_> = drafts.iter().map(|d| agent::neighbours(d, &roster, f)).collect();
    let errors = |f: &Findings| f.all.iter().filter(|finding| finding.is_error()).count();
    let before = errors(f);
    let topology = topo::topology(&mut table, &roster, f);
    let topology_is_good = errors(f) == before;
    let deployment = deployment(&mut table, f);
    let mut execution = execution(&mut table, &roster, f);
    if let Topology::Single(agent) = topology {
        execution.entry_point.get_or_insert(agent);
    }
    let environment = table
        .get("environment")
        .map(|node| environment::read(node, "environment", f))
        .unwrap_or_default();
    for draft in &drafts {
        environment::check_config(draft, &environment, f);
    }
    let env_files = agent::files(&mut table, f);
    table.reserved(&RESERVED, f);
    table.finish(f);

    let filled: Vec<Places> = drafts.iter().map(Places::of).collect();
    let agents: Vec<AgentSpec> = drafts
        .into_iter()
        .zip(depends_on)
        .zip(places)
        .map(|((draft, depends_on), (with, apart))| {
            let placement = crate::spec::Placement { with, apart, ..draft.spec.placement };
            AgentSpec { depends_on, placement, ..draft.spec }
        })
        .collect();
    if agents.is_empty() {
        return None;
    }
    let (name, version, description, tags) = header?;
    let spec = JobSpec {
        name,
        version,
        description,
        tags,
        agents,
        topology,
        deployment,
        execution,
        environment: environment.plain(),
        secrets: environment.secrets(),
        env_files,
    };
    let wiring = Wiring::of(&spec);
    fillings::check(&spec, &wiring, &filled, &environment, f);
    if let Err(cycle) = levels(&spec, &wiring) {
        let span = spec.agent(cycle.agent).span;
        f.push(
            Finding::error(Code::Cycle, span, cycle.to_string())
                .about(Some(spec.agent(cycle.agent).id.as_str()), "depends_on")
                .help("take one `depends_on` of the circle away"),
        );
    }
    if topology_is_good {
        checks::sets(&spec, &wiring, f);
    }
    checks::job(&spec, f);
    Some(spec)
}

/// Keys of a job that are kept for later work.
const RESERVED: [&str; 11] = [
    "include", "extends", "when", "scale", "cost", "update", "sync", "watch", "auth", "mounts",
    "network",
];

type Header = (JobName, Option<String>, Option<String>, Vec<String>);

fn header(table: &mut Table<'_>, file_name: &str, f: &mut Findings) -> Option<Header> {
    let mut parts = (None, None, None, Vec::new());
    let mut span = Span::default();
    if let Some(node) = table.get("job")
        && let Some(mut job) = Table::new(node, "job", f)
    {
        parts.0 = job.get("name").and_then(|node| {
            span = node.span;
            super::table::scalar(node).or_else(|| {
                f.wrong_type(node, "job.name", "a text");
                None
            })
        });
        parts.1 = job.text("version", f);
        parts.2 = job.text("description", f);
        let tags = job.texts("tags", f).unwrap_or_default();
        parts.3 = tags.into_iter().map(|(tag, _)| tag).collect();
        job.finish(f);
    }
    let from_file = parts.0.is_none();
    let name = parts.0.unwrap_or_else(|| stem(file_name).to_owned());
    match name.parse() {
        Ok(name) => Some((name, parts.1, parts.2, parts.3)),
        Err(error) => {
            let error: crate::ids::IdError = error;
            let finding = Finding::error(Code::Value, span, error.to_string());
            f.push(if from_file {
                finding.help("give the job a name: `job: {name: …}`")
            } else {
                finding
            });
            None
        }
    }
}

fn stem(file_name: &str) -> &str {
    let file = file_name.rsplit('/').next().unwrap_or(file_name);
    match file.rsplit_once('.') {
        Some((stem, _)) if !stem.is_empty() => stem,
        Some(_) | None => file,
    }
}

fn agents(table: &mut Table<'_>, f: &mut Findings) -> Vec<Draft> {
    let mut drafts: Vec<Draft> = Vec::new();
    let Some(node) = table.get("agents") else {
        f.push(
            Finding::whole(Code::Missing, "`agents` is missing: a job needs at least one agent")
                .help("`agents: [{id: hello, command: [echo, hello]}]`"),
        );
        return drafts;
    };
    let Value::List(items) = &node.value else {
        f.wrong_type(node, "agents", "a list of maps");
        return drafts;
    };
    if items.is_empty() {
        f.error(Code::Missing, node.span, "`agents` is empty: a job needs at least one agent");
    }
    let mut first: std::collections::HashMap<String, Span> = std::collections::HashMap::new();
    for (n, item) in items.iter().enumerate() {
        if let Some(draft) = agent::read(item, n, f) {
            let span = draft.spec.span;
            if let Some(first) = first.insert(draft.spec.id.to_string(), span) {
                let message = format!("two agents have the id `{}`", draft.spec.id);
                f.push(Finding::error(Code::Duplicate, span, message).other(first, "first here"));
            }
            drafts.push(draft);
        }
        f.agent = None;
    }
    drafts
}

fn deployment(table: &mut Table<'_>, f: &mut Findings) -> DeploymentSpec {
    let mut spec = DeploymentSpec::default();
    let Some(node) = table.get("deployment") else { return spec };
    let Some(mut table) = Table::new(node, "deployment", f) else { return spec };
    spec.strategy = table.word("strategy", &STRATEGIES, f).unwrap_or_default();
    spec.timeout = table.duration("timeout", f);
    if let Some(node) = table.get("health_check")
        && let Some(mut check) = Table::new(node, "deployment.health_check", f)
    {
        let read = HealthCheck {
            enabled: check.boolean("enabled", f).unwrap_or(true),
            interval: check.duration("interval", f),
            retries: check.number("retries", 0, 1_000_000, f),
            timeout: check.duration("timeout", f),
        };
        if let Some((found, _)) = check.get_with_key("retries").filter(|_| read.enabled) {
            f.not_acted_on(found.span, &check.at("retries"));
        }
        check.finish(f);
        spec.health_check = Some(read);
    }
    spec.ssh = ssh(&mut table, f);
    spec.retry_policy = retry_policy(&mut table, f);
    table.reserved(&["network"], f);
    table.finish(f);
    spec
}

fn ssh(table: &mut Table<'_>, f: &mut Findings) -> Option<SshDefaults> {
    let (key, node) = table.get_with_key("ssh")?;
    let mut table = Table::new(node, "deployment.ssh", f)?;
    let spec = SshDefaults {
        key_file: table.text("key_file", f),
        timeout: table.duration("timeout", f),
        user: table.text("user", f),
        port: table.port("port", f),
    };
    table.finish(f);
    f.not_acted_on(key.span, "deployment.ssh");
    Some(spec)
}

fn retry_policy(table: &mut Table<'_>, f: &mut Findings) -> Option<RetryPolicy> {
    let (key, node) = table.get_with_key("retry_policy")?;
    let mut table = Table::new(node, "deployment.retry_policy", f)?;
    let spec = RetryPolicy {
        max_retries: table.number("max_retries", 0, 1_000_000, f),
        delay: retry_delay(&mut table, f),
        backoff: backoff(&mut table, f),
    };
    table.finish(f);
    f.not_acted_on(key.span, "deployment.retry_policy");
    Some(spec)
}

/// `initial_delay` is its other name.
fn retry_delay(table: &mut Table<'_>, f: &mut Findings) -> Option<Duration> {
    let (delay, initial) = (table.get_with_key("delay"), table.get_with_key("initial_delay"));
    if let (Some((first, _)), Some((second, _))) = (delay, initial) {
        let message = "`delay` and `initial_delay` are both given";
        f.push(
            Finding::error(Code::Conflict, second.span, message)
                .other(first.span, "the other one")
                .help("they mean the same; drop one of them"),
        );
    }
    let (delay, initial) = (table.duration("delay", f), table.duration("initial_delay", f));
    delay.or(initial)
}

/// A word of the original format, or a factor.
fn backoff(table: &mut Table<'_>, f: &mut Findings) -> Option<Backoff> {
    let word = table.get("backoff").and_then(super::table::scalar);
    match word.and_then(|word| BACKOFFS.iter().find(|(known, _)| *known == word)) {
        Some((_, backoff)) => Some(*backoff),
        None => terms::factor(table, "backoff", f).map(Backoff::Factor),
    }
}

fn execution(table: &mut Table<'_>, roster: &Roster, f: &mut Findings) -> ExecutionSpec {
    let mut spec = ExecutionSpec::default();
    let Some(node) = table.get("execution") else { return spec };
    let Some(mut table) = Table::new(node, "execution", f) else { return spec };
    let mut named = |key: &'static str, f: &mut Findings| {
        let node = table.get(key)?;
        let path = format!("execution.{key}");
        match super::table::scalar(node) {
            Some(id) => roster.find(&id, node.span, &path, f),
            None => {
                f.wrong_type(node, &path, "an agent's id");
                None
            }
        }
    };
    spec.entry_point = named("entry_point", f);
    spec.ends_with = named("ends_with", f);
    spec.auto_start = table.boolean("auto_start", f).unwrap_or(false);
    spec.input = table.text("input", f);
    table.reserved(&["routing", "collaboration"], f);
    table.finish(f);
    spec
}

#[cfg(test)]
#[path = "load_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "original_tests.rs"]
mod original;
