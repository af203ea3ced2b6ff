//! The values of our own variables, the same for the environment and for `$(NAME)`.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::ids::Rank;
use crate::plan::HostIx;
use crate::plan::config_value;
use crate::plan::env::LaunchInputs;
use crate::plan::reserved::{config_variable, id_variable, port_variable};
use crate::plan::subst::Value;
use crate::spec::AgentIx;

const VARIABLE_BYTES_MAX: usize = 131_072;

/// Everything that is computed once per launch.
#[derive(Debug)]
pub(super) struct Names<'a> {
    inputs: LaunchInputs<'a>,
    /// `<ID>` of `URL_<ID>`; `None`: two agents share it.
    by_variable: HashMap<String, Option<AgentIx>>,
    /// Whom each agent calls, where its copies agree.
    connected: Vec<String>,
    allowed_hosts: String,
    min_port: Option<u16>,
    max_port: Option<u16>,
    no_proxy: String,
}

/// Which variable of ours a name is, apart from those of `config`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ours {
    Id,
    Host,
    BindHost,
    Connected,
    AllowedHosts,
    MinPort,
    MaxPort,
    TraceId,
    TraceParent,
    ServiceName,
    ResourceAttributes,
    JobId,
    Job,
    Size,
    LocalSize,
    Node,
    Port,
    PublicUrl,
    Rank,
    LocalRank,
    Index,
}

/// Every variable of ours; those that differ per copy behind those that do not.
const OURS: [(&str, Ours); 23] = [
    ("AGENT_ID", Ours::Id),
    ("AGENT_HOST", Ours::Host),
    ("A2A_BIND_HOST", Ours::BindHost),
    ("CONNECTED_AGENTS", Ours::Connected),
    ("AGENT_ALLOWED_HOSTS", Ours::AllowedHosts),
    ("AGENT_MIN_PORT", Ours::MinPort),
    ("AGENT_MAX_PORT", Ours::MaxPort),
    ("AGENT_JOB_TRACE_ID", Ours::TraceId),
    ("TRACEPARENT", Ours::TraceParent),
    ("OTEL_SERVICE_NAME", Ours::ServiceName),
    ("OTEL_RESOURCE_ATTRIBUTES", Ours::ResourceAttributes),
    ("JOB_ID", Ours::JobId),
    ("A2ARUN_JOB", Ours::Job),
    ("A2ARUN_SIZE", Ours::Size),
    ("A2ARUN_LOCAL_SIZE", Ours::LocalSize),
    ("A2ARUN_NODE", Ours::Node),
    ("AGENT_PORT", Ours::Port),
    ("PORT", Ours::Port),
    ("A2A_PORT", Ours::Port),
    ("A2A_PUBLIC_URL", Ours::PublicUrl),
    ("A2ARUN_RANK", Ours::Rank),
    ("A2ARUN_LOCAL_RANK", Ours::LocalRank),
    ("A2ARUN_INDEX", Ours::Index),
];

fn ours(name: &str) -> Option<Ours> {
    OURS.iter().find(|(known, _)| *known == name).map(|(_, which)| *which)
}

/// Whether a variable is one of ours, where the agent has what it stands for.
#[cfg(feature = "spec")]
pub(super) fn is_ours(name: &str) -> bool {
    ours(name).is_some()
}

impl<'a> Names<'a> {
    pub(super) fn new(inputs: LaunchInputs<'a>) -> Self {
        let (spec, resolved) = (inputs.spec, inputs.resolved);
        let plan = resolved.plan();
        let mut by_variable = HashMap::new();
        for ix in spec.indices() {
            by_variable
                .entry(id_variable(spec.agent(ix).id.as_str()))
                .and_modify(|slot| *slot = None)
                .or_insert(Some(ix));
        }
        let connected = spec
            .indices()
            .map(|ix| {
                let agent = plan.agent(ix);
                if agent.count == 0 || plan.peers_differ(ix) {
                    String::new()
                } else {
                    resolved.peer_urls(agent.first)
                }
            })
            .collect();
        let mut hosts: BTreeSet<&str> = BTreeSet::from(["localhost", "127.0.0.1"]);
        if !plan.loopback {
            for host in plan.host_indices() {
                hosts.insert(resolved.address(host));
                hosts.insert(plan.host(host).name().as_str());
            }
        }
        let join = |set: &BTreeSet<&str>| set.iter().copied().collect::<Vec<_>>().join(",");
        // What is outside the job is allowed, and is not kept from a proxy.
        let outside = plan.agents.iter().filter_map(|a| a.external.as_deref()).filter_map(host_of);
        let allowed_hosts = join(&hosts.iter().copied().chain(outside).collect());
        hosts.insert("::1");
        let no_proxy = join(&hosts);
        let ports = || plan.instances.iter().filter_map(|i| resolved.port(i.rank));
        let (min_port, max_port) = (ports().min(), ports().max());
        Self { inputs, by_variable, connected, allowed_hosts, min_port, max_port, no_proxy }
    }

    /// What a name in a `$(…)` of this agent stands for.
    pub(super) fn value(&self, ix: AgentIx, name: &str) -> Value {
        if let Some(which) = ours(name) {
            return match self.own(ix, None, which) {
                Some(value) => Value::Common(value),
                None if self.varies(ix, which) => Value::Instance,
                None => Value::Unknown,
            };
        }
        if let Some(value) = self.config(ix, name) {
            return Value::Common(value);
        }
        if self.named_port(ix, name).is_some() {
            return Value::Instance;
        }
        match self.url_name(ix, name) {
            Some(UrlName::Common(value)) => Value::Common(value),
            Some(UrlName::OwnCopies) => Value::Instance,
            None => Value::Unknown,
        }
    }

    /// The value where all copies on the host share it.
    pub(super) fn common(&self, ix: AgentIx, name: &str) -> Option<String> {
        match self.value(ix, name) {
            Value::Common(value) => Some(value),
            Value::Instance | Value::Unknown => None,
        }
    }

    /// The value for one copy.
    pub(super) fn instance(&self, ix: AgentIx, rank: Rank, name: &str) -> Option<String> {
        if let Some(which) = ours(name) {
            return self.own(ix, Some(rank), which);
        }
        if let Some(at) = self.named_port(ix, name) {
            let resolved = self.inputs.resolved;
            let port = resolved.bindings().named_port(resolved.plan(), rank, at);
            return port.map(|p| p.to_string());
        }
        match self.value(ix, name) {
            Value::Common(value) => Some(value),
            Value::Instance => {
                let plan = self.inputs.resolved.plan();
                let copies = plan.agent(ix).ranks().filter(|r| *r != rank);
                Some(self.inputs.resolved.urls(copies))
            }
            Value::Unknown => None,
        }
    }

    /// Whether a variable of this copy is ours.
    pub(super) fn sets(&self, ix: AgentIx, rank: Rank, name: &str) -> bool {
        match ours(name) {
            Some(which) => self.own(ix, Some(rank), which).is_some(),
            None => self.named_port(ix, name).is_some(),
        }
    }

    /// Puts what all copies on a host share over `env`.
    pub(super) fn put_common(&self, ix: AgentIx, host: HostIx, env: &mut BTreeMap<String, String>) {
        let plan = self.inputs.resolved.plan();
        for (name, which) in OURS {
            let value = match which {
                Ours::Node => Some(plan.host(host).name().to_string()),
                Ours::LocalSize => Some(plan.host(host).instances.to_string()),
                Ours::AllowedHosts => Some(self.allowed_with(env.get(name))),
                Ours::MinPort => widen(env.get(name), self.min_port, u16::min),
                Ours::MaxPort => widen(env.get(name), self.max_port, u16::max),
                // Not set where there is nobody: agents of the original format look whether it is.
                Ours::Connected => {
                    env.remove(name);
                    let value = self.own(ix, None, which);
                    value.filter(|v| !v.is_empty() && fits(name, v))
                }
                // What somebody gave this service stands.
                Ours::ServiceName if env.contains_key(name) => continue,
                Ours::ResourceAttributes => self.own(ix, None, which).map(|own| {
                    match env.get(name).filter(|given| !given.is_empty()) {
                        Some(given) => format!("{given},{own}"),
                        None => own,
                    }
                }),
                Ours::Host if env.contains_key(name) && self.config(ix, name).is_some() => continue,
                Ours::Id
                | Ours::Host
                | Ours::BindHost
                | Ours::TraceId
                | Ours::TraceParent
                | Ours::ServiceName
                | Ours::JobId
                | Ours::Job
                | Ours::Size
                | Ours::Port
                | Ours::PublicUrl
                | Ours::Rank
                | Ours::LocalRank
                | Ours::Index => self.own(ix, None, which),
            };
            if let Some(value) = value {
                env.insert(name.to_owned(), value);
            }
        }
    }

    /// Puts what differs per copy into `env`.
    pub(super) fn put_instance(&self, ix: AgentIx, rank: Rank, env: &mut BTreeMap<String, String>) {
        for (name, which) in OURS {
            let per_host = matches!(which, Ours::LocalSize | Ours::Node);
            if !per_host
                && self.varies(ix, which)
                && let Some(value) = self.own(ix, Some(rank), which)
                && fits(name, &value)
            {
                env.insert(name.to_owned(), value);
            }
        }
        for (name, port) in self.inputs.resolved.named_ports(rank) {
            env.insert(port_variable(&name), port.to_string());
        }
    }

    /// The place in `ports:` of a variable `PORT_<NAME>`.
    fn named_port(&self, ix: AgentIx, name: &str) -> Option<usize> {
        let ports = &self.inputs.spec.agent(ix).ports;
        ports.iter().position(|(port, _)| name.starts_with("PORT_") && port_variable(port) == name)
    }

    /// Whether the value differs between the copies on a host, or between hosts.
    fn varies(&self, ix: AgentIx, which: Ours) -> bool {
        match which {
            Ours::Port | Ours::PublicUrl => self.inputs.spec.agent(ix).has_port(),
            Ours::Rank | Ours::LocalRank | Ours::Index => true,
            Ours::Connected => self.inputs.resolved.plan().peers_differ(ix),
            // The same on one host, but `$(…)` is looked up without one.
            Ours::LocalSize | Ours::Node => true,
            Ours::Id
            | Ours::Host
            | Ours::BindHost
            | Ours::AllowedHosts
            | Ours::MinPort
            | Ours::MaxPort
            | Ours::TraceId
            | Ours::TraceParent
            | Ours::ServiceName
            | Ours::ResourceAttributes
            | Ours::JobId
            | Ours::Job
            | Ours::Size => false,
        }
    }

    fn own(&self, ix: AgentIx, rank: Option<Rank>, which: Ours) -> Option<String> {
        let LaunchInputs { spec, resolved, run, trace_id, .. } = self.inputs;
        let plan = resolved.plan();
        let bind = if plan.loopback { "127.0.0.1" } else { "0.0.0.0" };
        let instance = rank.map(|r| plan.instance(r));
        match which {
            Ours::Id => Some(spec.agent(ix).id.to_string()),
            Ours::Host => self.config(ix, "AGENT_HOST").or_else(|| Some(bind.to_owned())),
            Ours::BindHost => Some(bind.to_owned()),
            Ours::Connected if plan.peers_differ(ix) => rank.map(|r| resolved.peer_urls(r)),
            Ours::Connected => Some(self.connected[ix.get()].clone()),
            Ours::AllowedHosts => Some(self.allowed_hosts.clone()),
            Ours::MinPort => self.min_port.map(|p| p.to_string()),
            Ours::MaxPort => self.max_port.map(|p| p.to_string()),
            Ours::TraceId => trace_id.map(str::to_owned),
            // W3C Trace Context §3.2: version, trace, span, sampled. The run is the span.
            Ours::TraceParent => trace_id.and_then(|trace| {
                let span = trace.get(..16).filter(|span| span.bytes().any(|b| b != b'0'))?;
                Some(format!("00-{trace}-{span}-01"))
            }),
            Ours::ServiceName => Some(spec.agent(ix).id.to_string()),
            Ours::ResourceAttributes => Some(format!(
                "service.namespace={},a2arun.run={}",
                escaped(spec.name.as_str()),
                escaped(run.as_str())
            )),
            Ours::JobId => Some(run.to_string()),
            Ours::Job => Some(spec.name.to_string()),
            Ours::Size => Some(plan.size().to_string()),
            Ours::LocalSize => instance.map(|i| plan.host(i.host).instances.to_string()),
            Ours::Node => instance.map(|i| plan.host(i.host).name().to_string()),
            Ours::Port => rank.and_then(|r| resolved.port(r)).map(|p| p.to_string()),
            Ours::PublicUrl => rank.and_then(|r| resolved.url(r)),
            Ours::Rank => rank.map(|r| r.to_string()),
            Ours::LocalRank => instance.map(|i| i.local_rank.to_string()),
            Ours::Index => instance.map(|i| i.index.to_string()),
        }
    }

    fn config(&self, ix: AgentIx, name: &str) -> Option<String> {
        let agent = self.inputs.spec.agent(ix);
        let (_, value) = agent
            .config
            .iter()
            .find(|(key, value)| !value.is_null() && config_variable(key) == name)?;
        let write = if agent.is_module() { config_value::python } else { config_value::plain };
        Some(write(value))
    }

    /// `URL_<ID>`, `URL_<ID>_<I>` of every agent, `PEER_<ID>_URL`, `PEER_<ID>_URL_<I>` of peers.
    fn url_name(&self, ix: AgentIx, name: &str) -> Option<UrlName> {
        let plan = self.inputs.resolved.plan();
        if let Some(id) = name.strip_prefix("URL_") {
            if let Some(agent) = self.by_id(id).filter(|a| self.has_url(*a)) {
                return Some(UrlName::Common(self.agent_urls(agent)));
            }
            let (id, index) = id.rsplit_once('_')?;
            return self.copy_url(self.by_id(id)?, index).map(UrlName::Common);
        }
        let rest = name.strip_prefix("PEER_")?;
        let (id, index) = match rest.strip_suffix("_URL") {
            Some(id) => (id, None),
            None => {
                let (head, index) = rest.rsplit_once('_')?;
                (head.strip_suffix("_URL")?, Some(index))
            }
        };
        let peer = self.by_id(id).filter(|a| self.has_url(*a))?;
        plan.wiring.callees(ix).binary_search(&peer).ok()?;
        match index {
            Some(index) => self.copy_url(peer, index).map(UrlName::Common),
            None if peer == ix => Some(UrlName::OwnCopies),
            None => Some(UrlName::Common(self.agent_urls(peer))),
        }
    }

    fn has_url(&self, agent: AgentIx) -> bool {
        let agent = self.inputs.spec.agent(agent);
        agent.has_port() || agent.external().is_some()
    }

    fn agent_urls(&self, agent: AgentIx) -> String {
        let resolved = self.inputs.resolved;
        let planned = resolved.plan().agent(agent);
        planned.external.clone().unwrap_or_else(|| resolved.urls(planned.ranks()))
    }

    fn by_id(&self, variable: &str) -> Option<AgentIx> {
        self.by_variable.get(variable).copied().flatten()
    }

    fn copy_url(&self, agent: AgentIx, index: &str) -> Option<String> {
        let planned = self.inputs.resolved.plan().agent(agent);
        let index: u32 = index.parse().ok().filter(|i| *i < planned.count)?;
        self.inputs.resolved.url(Rank(planned.first.0 + index))
    }

    /// Bytes of `CONNECTED_AGENTS=…` with its NUL, at most, of an agent.
    pub(super) fn connected_bytes(&self, ix: AgentIx) -> usize {
        let plan = self.inputs.resolved.plan();
        let value = if plan.peers_differ(ix) {
            // The last copy's list is as long as any other's, give or take one URL.
            self.inputs.resolved.urls(plan.agent(ix).ranks()).len()
        } else {
            self.connected[ix.get()].len()
        };
        "CONNECTED_AGENTS=".len() + value + 1
    }

    /// What was set so far, and the job's hosts and loopback behind it.
    pub(super) fn no_proxy(&self, before: Option<&str>) -> String {
        match before {
            Some(before) => merged(before, &self.no_proxy),
            None => self.no_proxy.clone(),
        }
    }

    fn allowed_with(&self, before: Option<&String>) -> String {
        match before {
            Some(before) => merged(before, &self.allowed_hosts),
            None => self.allowed_hosts.clone(),
        }
    }
}

enum UrlName {
    Common(String),
    /// The other copies of the agent itself: different for each.
    OwnCopies,
}

/// As values of OTEL_RESOURCE_ATTRIBUTES are written: percent-encoded but for what a name is
/// made of (OpenTelemetry, Resource SDK; W3C Baggage §3.3.1.3).
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.') {
            out.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = std::fmt::Write::write_fmt(&mut out, format_args!("%{byte:02X}"));
        }
    }
    out
}

/// The host of a URL, without user, port and brackets.
fn host_of(url: &str) -> Option<&str> {
    let rest = url.split_once("://")?.1;
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority.rsplit('@').next()?;
    match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next(),
        None => host.split(':').next(),
    }
    .filter(|h| !h.is_empty())
}

fn fits(name: &str, value: &str) -> bool {
    name.len() + value.len() + 2 <= VARIABLE_BYTES_MAX
}

/// Both comma lists, each item once, in order.
fn merged(first: &str, second: &str) -> String {
    let mut seen = BTreeSet::new();
    let items = first.split(',').chain(second.split(',')).map(str::trim);
    items.filter(|i| !i.is_empty() && seen.insert(*i)).collect::<Vec<_>>().join(",")
}

/// The user's bound, moved as far as the job needs; something else than a number stays.
fn widen(before: Option<&String>, ours: Option<u16>, pick: fn(u16, u16) -> u16) -> Option<String> {
    let parsed = before.map(|b| b.trim().parse::<u16>());
    match (parsed, ours) {
        (Some(Ok(user)), Some(ours)) => Some(pick(user, ours).to_string()),
        (Some(_), _) => None,
        (None, ours) => ours.map(|p| p.to_string()),
    }
}
