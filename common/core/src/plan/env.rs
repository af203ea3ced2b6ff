//! What each host is told to spawn: a template per agent and, per instance, only what differs.
//!
//! The environment has layers, later ones win (DESIGN §6): the base, files of variables,
//! `environment` of the job and of the agent, `-x`, and ours. `A2ARUN_INCARNATION`, `A2ARUN_RUN_DIR` and
//! `A2ARUN_PEERS_FILE` are the host's to set
//! and to fill in.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use crate::ids::{Rank, RunId};
use crate::launch::{
    HOST_NAMES, HOST_PATH, InstanceLaunch, NO_PATH, PeersHook, PortBinding, ReadinessCheck,
    Template,
};
use crate::plan::config_value;
use crate::plan::facts::{self, LaunchFacts, Venv};
use crate::plan::names::Names;
use crate::plan::reserved::{config_variable, field_for, is_launcher_internal};
use crate::plan::subst::{Pattern, Value};
use crate::plan::{HostIx, ResolvedPlan, setup};
use crate::spec::{AgentIx, JobSpec, OnPeersChange, Run};

/// Linux's limit of one `NAME=value` with its NUL (MAX_ARG_STRLEN).
const VARIABLE_BYTES_MAX: usize = 131_072;

/// What everything below is made from.
#[derive(Debug, Clone, Copy)]
pub struct LaunchInputs<'a> {
    /// The job.
    pub spec: &'a JobSpec,
    /// The plan of this very job.
    pub resolved: &'a ResolvedPlan,
    /// The run: `JOB_ID`.
    pub run: &'a RunId,
    /// `AGENT_JOB_TRACE_ID`; `None`: not set.
    pub trace_id: Option<&'a str>,
    /// `-x NAME=value`, values filled in, in order.
    pub exports: &'a [(String, String)],
    /// `--stdin AGENT`: its first instance keeps its standard input.
    pub stdin: Option<AgentIx>,
    /// What was read from files and elsewhere; [`LaunchFacts::NONE`] where nothing was asked for.
    pub facts: &'a LaunchFacts,
}

/// Layer (1) of a host's environment.
#[derive(Debug, Clone, Copy)]
pub enum BaseEnv<'a> {
    /// The head's machine, or inside an allocation: the head's environment. Variables of
    /// launchers around us are left out here.
    Head(&'a BTreeMap<String, String>),
    /// The host's own PATH, HOME, …, put under by noded.
    Host,
    /// The same, with these of the head's over them.
    HostAnd(&'a BTreeMap<String, String>),
}

/// What the launcher found out about an agent on a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    /// Absolute; `None`: the home directory of noded's user.
    pub workdir: Option<PathBuf>,
    /// `PYTHON` of module agents: a program and, for `uv run`, its arguments.
    pub python: String,
    /// `venv`, found on its host.
    pub venv: Option<Venv>,
}

impl Site {
    fn python_argv(&self) -> Vec<String> {
        match self.python.as_str() {
            "uv run" => ["uv", "run", "python"].map(str::to_owned).to_vec(),
            python => vec![python.to_owned()],
        }
    }
}

/// Templates and instances of one host, for a `LaunchBatch`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HostLaunch {
    /// What the copies share.
    pub templates: Vec<Template>,
    /// Whom to spawn, in the order of the ranks given.
    pub instances: Vec<InstanceLaunch>,
}

/// Why nothing can be launched.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LaunchError {
    /// `-x` sets what is ours.
    #[error("-x sets `{name}`, which a2arun sets itself: {instead}")]
    Reserved {
        /// The variable.
        name: String,
        /// What to do instead.
        instead: &'static str,
    },
    /// `-x` sets what a key under `config` sets.
    #[error("-x sets `{name}`, which `config.{key}` of agent `{agent}` sets")]
    Config {
        /// The variable.
        name: String,
        /// The key.
        key: String,
        /// The agent.
        agent: String,
    },
    /// A file of variables sets what is ours.
    #[error("{file} sets `{name}`, which a2arun sets itself: {instead}")]
    FileReserved {
        /// Which file.
        file: String,
        /// The variable.
        name: String,
        /// What to do instead.
        instead: &'static str,
    },
    /// A secret was not handed in.
    #[error("the secret `{name}` of {whose} is not known")]
    Secret {
        /// The variable.
        name: String,
        /// Whose it is.
        whose: String,
    },
    /// A name that execve(2) cannot carry.
    #[error("-x: `{name}` is no variable name")]
    Name {
        /// What was given.
        name: String,
    },
}

/// Something that was left as it is, for a warning.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LaunchWarning {
    /// The agent.
    pub agent: String,
    /// The field, as a dotted path.
    pub field: String,
    /// What happened.
    pub message: String,
}

/// Makes the launch data of every host. Built once per launch.
#[derive(Debug)]
pub struct LaunchBuilder<'a> {
    pub(super) inputs: LaunchInputs<'a>,
    pub(super) names: Names<'a>,
    agents: Vec<AgentPatterns>,
}

/// The `$(NAME)`s of an agent, found once.
#[derive(Debug)]
struct AgentPatterns {
    argv: Vec<Pattern>,
    env: Vec<(String, Pattern)>,
    probe: Vec<Pattern>,
}

impl<'a> LaunchBuilder<'a> {
    /// Checks `-x` and finds every `$(NAME)`; names that nobody knows are warnings.
    pub fn new(inputs: LaunchInputs<'a>) -> Result<(Self, Vec<LaunchWarning>), LaunchError> {
        check_exports(inputs.spec, inputs.exports)?;
        facts::check(inputs.spec, inputs.facts)?;
        let names = Names::new(inputs);
        let agents: Vec<AgentPatterns> =
            inputs.spec.indices().map(|ix| patterns(inputs, ix)).collect();
        let mut warnings = Vec::new();
        for (ix, found) in inputs.spec.indices().zip(&agents) {
            let id = &inputs.spec.agent(ix).id;
            let mut look = |field: &str, pattern: &Pattern| {
                let filled_there = |n: &str| field != "readiness" && HOST_NAMES.contains(&n);
                let unknown = |n: &&str| names.value(ix, n) == Value::Unknown && !filled_there(n);
                for name in pattern.names().filter(unknown) {
                    warnings.push(LaunchWarning {
                        agent: id.to_string(),
                        field: field.to_owned(),
                        message: format!("`$({name})` is no known name and stays as written"),
                    });
                }
            };
            found.argv.iter().for_each(|p| look("command", p));
            found.env.iter().for_each(|(key, p)| look(&format!("environment.{key}"), p));
            found.probe.iter().for_each(|p| look("readiness", p));
            let peers = names.connected_bytes(ix);
            if peers > VARIABLE_BYTES_MAX {
                warnings.push(LaunchWarning {
                    agent: id.to_string(),
                    field: "CONNECTED_AGENTS".to_owned(),
                    message: format!(
                        "has {peers} bytes of peers, above the kernel's {VARIABLE_BYTES_MAX}; it is \
                         not set, read A2ARUN_PEERS_FILE"
                    ),
                });
            }
        }
        warnings.dedup();
        Ok((Self { inputs, names, agents }, warnings))
    }

    /// The launch data for these ranks, all of them on `host`, in the order given.
    pub fn host(
        &self,
        host: HostIx,
        ranks: &[Rank],
        base: BaseEnv<'_>,
        site: &dyn Fn(AgentIx) -> Site,
    ) -> HostLaunch {
        let plan = self.inputs.resolved.plan();
        let stripped = match base {
            BaseEnv::Head(env) | BaseEnv::HostAnd(env) => strip(env),
            BaseEnv::Host => BTreeMap::new(),
        };
        let host_env = match base {
            BaseEnv::Head(_) => false,
            BaseEnv::Host | BaseEnv::HostAnd(_) => true,
        };
        let mut launch = HostLaunch::default();
        launch.instances.reserve(ranks.len());
        let mut shared: HashMap<AgentIx, (u32, Varying<'_>)> = HashMap::new();
        for rank in ranks {
            let ix = plan.instance(*rank).agent;
            let (template, varying) = shared.entry(ix).or_insert_with(|| {
                let (mut template, varying) =
                    self.template(host, ix, (&stripped, host_env), site(ix));
                template.host_env = host_env;
                launch.templates.push(template);
                (narrow(launch.templates.len() - 1), varying)
            });
            if varying.probe {
                // The probe itself differs per copy: such an agent has a template for each.
                let (mut own, _) = self.template(host, ix, (&stripped, host_env), site(ix));
                own.host_env = host_env;
                own.readiness.check = self.probe(ix, |name| self.names.instance(ix, *rank, name));
                launch.templates.push(own);
                *template = narrow(launch.templates.len() - 1);
            }
            launch.instances.push(self.instance(ix, *rank, *template, varying));
        }
        if launch.templates.len() > ranks.len() {
            // The shared ones of agents with a probe of their own were never used.
            drop_unused(&mut launch);
        }
        launch
    }

    fn template(
        &self,
        host: HostIx,
        ix: AgentIx,
        (base, host_env): (&BTreeMap<String, String>, bool),
        site: Site,
    ) -> (Template, Varying<'_>) {
        let spec = self.inputs.spec;
        let agent = spec.agent(ix);
        let found = &self.agents[ix.get()];
        let common = |name: &str| self.names.common(ix, name);
        let differs = |p: &Pattern| p.names().any(|n| self.names.value(ix, n) == Value::Instance);

        let mut env = base.clone();
        let mut varying = Varying {
            argv: found.argv.iter().any(&differs),
            env: Vec::new(),
            probe: found.probe.iter().any(&differs),
        };
        for (name, pattern) in &found.env {
            if differs(pattern) {
                // A value of the base under this name must not shine through.
                env.remove(name);
                varying.env.push((name, pattern));
            } else {
                env.insert(name.clone(), pattern.fill(common));
            }
        }
        let proxy = env_proxy(&env);
        for (key, value) in &agent.config {
            // `port` is ours; a null host means the default.
            if key != "port" && !(key == "host" && value.is_null()) {
                let write =
                    if agent.is_module() { config_value::python } else { config_value::plain };
                env.insert(config_variable(key), write(value));
            }
        }
        if let Some(venv) = &site.venv {
            venv.enter(&mut env, if host_env { HOST_PATH } else { NO_PATH });
        }
        self.names.put_common(ix, host, &mut env);
        for name in ["NO_PROXY", "no_proxy"] {
            env.insert(name.to_owned(), self.names.no_proxy(proxy.as_deref()));
        }
        let mut argv: Vec<String> = found.argv.iter().map(|p| p.fill(common)).collect();
        if let Run::Module { module, .. } = &agent.run {
            argv = site.python_argv();
            argv.extend(["-m".to_owned(), module.clone()]);
        }
        if let Some(setup) = &agent.setup {
            argv = setup::wrap(setup, argv);
        }
        let mut readiness = agent.readiness_of(&spec.deployment);
        if !varying.probe {
            readiness.check = self.probe(ix, common);
        }
        let template = Template {
            argv,
            env,
            host_env: false,
            workdir: site.workdir,
            umask: None,
            lifecycle: agent.lifecycle,
            stop: agent.stop.clone(),
            readiness,
            peers_hook: match &agent.on_peers_change {
                OnPeersChange::File | OnPeersChange::Restart => PeersHook::File,
                OnPeersChange::Signal(signal) => PeersHook::Signal(*signal),
                OnPeersChange::Http(path) => PeersHook::Http(path.clone()),
            },
        };
        (template, varying)
    }

    fn instance(
        &self,
        ix: AgentIx,
        rank: Rank,
        template: u32,
        varying: &Varying<'_>,
    ) -> InstanceLaunch {
        let value = |name: &str| self.names.instance(ix, rank, name);
        let mut env = BTreeMap::new();
        for (name, pattern) in &varying.env {
            env.insert((*name).clone(), pattern.fill(value));
        }
        self.names.put_instance(ix, rank, &mut env);
        let argv = if varying.argv {
            let argv = self.agents[ix.get()].argv.iter().map(|p| p.fill(value)).collect();
            match &self.inputs.spec.agent(ix).setup {
                Some(setup) => setup::wrap(setup, argv),
                None => argv,
            }
        } else {
            Vec::new()
        };
        let plan = self.inputs.resolved.plan();
        InstanceLaunch {
            rank,
            name: plan.name(rank).to_string(),
            template,
            argv,
            env,
            port: self.inputs.resolved.port(rank),
            ports: self
                .inputs
                .resolved
                .named_ports(rank)
                .map(|(name, port)| PortBinding { name, port })
                .collect(),
            stdin: self.inputs.stdin == Some(ix) && plan.instance(rank).index == 0,
        }
    }

    fn probe(&self, ix: AgentIx, value: impl Fn(&str) -> Option<String>) -> ReadinessCheck {
        let spec = self.inputs.spec;
        let mut check = spec.agent(ix).readiness_of(&spec.deployment).check;
        let found = &self.agents[ix.get()].probe;
        match &mut check {
            ReadinessCheck::Alive
            | ReadinessCheck::Tcp { .. }
            | ReadinessCheck::Card { .. }
            | ReadinessCheck::Auto { .. }
            | ReadinessCheck::Log { .. } => {}
            ReadinessCheck::Http { path, .. } => {
                if let Some(pattern) = found.first() {
                    *path = pattern.fill(value);
                }
            }
            ReadinessCheck::Exec { command } => {
                *command = found.iter().map(|p| p.fill(&value)).collect();
            }
        }
        check
    }
}

/// What an agent's copies do not share.
#[derive(Debug)]
struct Varying<'a> {
    argv: bool,
    env: Vec<(&'a String, &'a Pattern)>,
    probe: bool,
}

fn narrow(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

fn drop_unused(launch: &mut HostLaunch) {
    let mut moved: Vec<Option<u32>> = vec![None; launch.templates.len()];
    for instance in &launch.instances {
        moved[instance.template as usize] = Some(0);
    }
    for (next, slot) in moved.iter_mut().flatten().enumerate() {
        *slot = narrow(next);
    }
    let mut keep = moved.iter().map(Option::is_some);
    launch.templates.retain(|_| keep.next().unwrap_or(true));
    for instance in &mut launch.instances {
        instance.template = moved[instance.template as usize].unwrap_or(0);
    }
}

fn check_exports(spec: &JobSpec, exports: &[(String, String)]) -> Result<(), LaunchError> {
    for (name, _) in exports {
        if !crate::plan::reserved::is_variable_name(name) {
            return Err(LaunchError::Name { name: name.escape_debug().to_string() });
        }
        if let Some(instead) = field_for(name) {
            return Err(LaunchError::Reserved { name: name.clone(), instead });
        }
        for agent in &spec.agents {
            if let Some((key, _)) = agent.config.iter().find(|(k, _)| config_variable(k) == *name) {
                return Err(LaunchError::Config {
                    name: name.clone(),
                    key: key.clone(),
                    agent: agent.id.to_string(),
                });
            }
        }
    }
    Ok(())
}

fn patterns(inputs: LaunchInputs<'_>, ix: AgentIx) -> AgentPatterns {
    let agent = inputs.spec.agent(ix);
    let parse_all = |list: &[String]| list.iter().map(|t| Pattern::parse(t)).collect::<Vec<_>>();
    let argv = match &agent.run {
        Run::Command(argv) => parse_all(argv),
        Run::Module { .. } | Run::External { .. } | Run::Image => Vec::new(),
    };
    // Values of files, of secrets and of `-x` are literal: nobody wrote them for us.
    let mut env: BTreeMap<&str, Pattern> = BTreeMap::new();
    for (name, value) in inputs.facts.file_variables(ix) {
        env.insert(name, Pattern::literal(value));
    }
    let job = (&inputs.spec.environment, &inputs.spec.secrets);
    for (plain, secrets) in [job, (&agent.environment, &agent.secrets)] {
        for (name, value) in plain {
            env.insert(name, Pattern::parse(value));
        }
        for (name, source) in secrets {
            if let Some(value) = inputs.facts.secrets.get(source) {
                env.insert(name, Pattern::literal(value));
            }
        }
    }
    for (name, value) in inputs.exports {
        env.insert(name, Pattern::literal(value));
    }
    let probe = match agent.readiness_of(&inputs.spec.deployment).check {
        ReadinessCheck::Alive
        | ReadinessCheck::Tcp { .. }
        | ReadinessCheck::Card { .. }
        | ReadinessCheck::Auto { .. }
        | ReadinessCheck::Log { .. } => Vec::new(),
        ReadinessCheck::Http { path, .. } => parse_all(&[path]),
        ReadinessCheck::Exec { command } => parse_all(&command),
    };
    let env = env.into_iter().map(|(name, pattern)| (name.to_owned(), pattern)).collect();
    AgentPatterns { argv, env, probe }
}

/// The head's environment less what launchers around us set. Inside an agent of another a2arun
/// that one's variables go too.
fn strip(env: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let nested = env.contains_key("A2ARUN_RANK");
    env.iter()
        .filter(|(name, _)| !is_launcher_internal(name))
        .filter(|(name, _)| !(nested && field_for(name).is_some()))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// What NO_PROXY says so far, in either spelling.
fn env_proxy(env: &BTreeMap<String, String>) -> Option<String> {
    let set = |name: &str| env.get(name).filter(|v| !v.is_empty());
    match (set("NO_PROXY"), set("no_proxy")) {
        (Some(upper), Some(lower)) if upper != lower => Some(format!("{upper},{lower}")),
        (Some(one), _) | (None, Some(one)) => Some(one.clone()),
        (None, None) => None,
    }
}

#[cfg(test)]
#[path = "env_tests.rs"]
mod tests;
