//! What a job would meet, found out without reaching any host: what `plan` shows and what a launch
//! refuses before it starts anything.

use std::collections::BTreeMap;
use std::path::Path;

use a2arun_core::exit_code::LauncherCode;
use a2arun_core::hostfile::HostEntry;
use a2arun_core::ids::RunId;
use a2arun_core::plan::reserved::HOST_VARIABLES;
use a2arun_core::plan::{
    Bindings, HostOrigin, Hosts, LaunchBuilder, LaunchFacts, LaunchInputs, LaunchWarning, Plan,
    PlanHost, ResolvedPlan,
};
use a2arun_core::source::{Code, Finding};
use a2arun_core::spec::{AgentSpec, JobSpec, Run};
use anyhow::Context as _;

use crate::cli::{Export, VariableArgs};
use crate::cmd::facts::{self, Located};
use crate::cmd::load::{JobFile, Planned, Request};
use crate::cmd::{Context, Failure};
use crate::head::Elsewhere;

/// A port for what has to be filled in before there is one.
const ANY_PORT: u16 = 20_000;

/// What was found out.
#[derive(Debug)]
pub(super) struct Survey {
    pub(super) facts: LaunchFacts,
    pub(super) exports: Vec<(String, String)>,
    /// What agents on this machine start from, and what those on others do.
    pub(super) base: (BTreeMap<String, String>, Elsewhere),
    /// By agent.
    pub(super) sites: Vec<Located>,
}

/// Which agents run on this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Here {
    All,
    Some,
    None,
}

impl Here {
    /// By host.
    pub(super) fn of(hosts: &[bool]) -> Self {
        match (hosts.contains(&true), hosts.contains(&false)) {
            (true, false) => Self::All,
            (true, true) => Self::Some,
            (false, _) => Self::None,
        }
    }

    /// Where an agent runs, with what can be seen of that from here.
    pub(super) fn site(self, agent: &AgentSpec, base: &Path, context: &Context) -> Located {
        let located = facts::site(agent, base, self != Self::None, context);
        match self {
            Self::All => located.with_workdir(agent, context),
            Self::Some | Self::None => located,
        }
    }
}

/// Looks at everything that a plan refers to. What is missing joins the warnings of its file;
/// with `--strict` they are an error.
pub(super) fn survey(
    planned: &mut Planned,
    request: &Request<'_>,
    context: &Context,
) -> anyhow::Result<Survey> {
    let here = Here::of(&here(planned, context));
    let survey = beside(&mut planned.file, here, request.variables, context)?;
    let run = planned.file.spec.name.as_str().parse().or_else(|_| "run".parse());
    let run = run.context("cannot name the run")?;
    check(planned, &survey.facts, &survey.exports, &run, None)?;
    planned.file.check_strict(request.strict)?;
    Ok(survey)
}

/// Looks at what lies beside a job file. `here`: who runs on this machine.
pub(super) fn beside(
    file: &mut JobFile,
    here: Here,
    variables: &VariableArgs,
    context: &Context,
) -> anyhow::Result<Survey> {
    let (facts, mut missing) = facts::look(file, &variables.env_file, context)?;
    let exports = exports(variables, context)?;
    let base = base_env(variables, context)?;
    let agents = &file.spec.agents;
    let site = |a: &AgentSpec| here.site(a, &file.base, context);
    let sites: Vec<Located> = agents.iter().map(site).collect();
    missing.extend(agents.iter().zip(&sites).filter_map(|(a, s)| s.warning(a)));
    file.warnings.extend(missing);
    Ok(Survey { facts, exports, base, sites })
}

/// `-x`, with the values that are taken from here.
pub(super) fn exports(
    variables: &VariableArgs,
    context: &Context,
) -> anyhow::Result<Vec<(String, String)>> {
    let mut exports = Vec::with_capacity(variables.set.len());
    for (name, value) in &variables.set {
        let value = match value {
            Some(value) => value.clone(),
            None => context.text(name).ok_or_else(|| {
                let message = format!("-x {name}: there is no such variable here");
                Failure::new(LauncherCode::Usage, message).hint(format!("-x {name}=VALUE sets it"))
            })?,
        };
        exports.push((name.clone(), value));
    }
    Ok(exports)
}

/// What agents start from: here, and on other hosts.
pub(super) fn base_env(
    variables: &VariableArgs,
    context: &Context,
) -> anyhow::Result<(BTreeMap<String, String>, Elsewhere)> {
    let mut all = context.texts();
    let names = match &variables.export {
        None => return Ok((all, Elsewhere::Host)),
        Some(Export::All) => return Ok((all, Elsewhere::Head)),
        Some(Export::None) => &[][..],
        Some(Export::Names(names)) => names.as_slice(),
    };
    let mut chosen = BTreeMap::new();
    for name in names {
        let found: Vec<_> = match name.strip_suffix('*') {
            Some(start) => all.iter().filter(|(n, _)| n.starts_with(start)).collect(),
            None => all.get_key_value(name).into_iter().collect(),
        };
        if found.is_empty() && !name.ends_with('*') {
            let message = format!("--export {name}: there is no such variable here");
            return Err(Failure::new(LauncherCode::Usage, message)
                .hint(format!("-x {name}=VALUE sets it"))
                .into());
        }
        chosen.extend(found.into_iter().map(|(name, value)| (name.clone(), value.clone())));
    }
    all.retain(|name, _| HOST_VARIABLES.contains(&name.as_str()) || chosen.contains_key(name));
    Ok((all, Elsewhere::HostAnd(chosen)))
}

/// What core would refuse or warn of at the launch, found now: with made-up addresses and ports.
pub(super) fn check(
    planned: &mut Planned,
    facts: &LaunchFacts,
    exports: &[(String, String)],
    run: &RunId,
    trace_id: Option<&str>,
) -> anyhow::Result<()> {
    let (spec, plan) = (&planned.file.spec, &planned.plan);
    let plain = exports.is_empty()
        && *facts == LaunchFacts::default()
        && spec.agents.iter().all(|a| is_plain(spec, a));
    if plain {
        return Ok(());
    }
    let bindings = Bindings::assumed(plan, ANY_PORT);
    let resolved = ResolvedPlan::new(plan.clone(), bindings).context("cannot check the launch")?;
    let stdin = planned.stdin;
    let inputs = LaunchInputs { spec, resolved: &resolved, run, trace_id, exports, stdin, facts };
    let (_, unknown) = LaunchBuilder::new(inputs)?;
    // On a command line `$(x)` is most often meant for the shell that is run.
    if !planned.file.is_program() {
        let known = &planned.file.warnings;
        let said = |w: &LaunchWarning| {
            let agent = |f: &Finding| f.agent.as_ref().is_none_or(|agent| *agent == w.agent);
            let same = |f: &Finding| f.field.as_ref() == Some(&w.field) && agent(f);
            known.iter().any(|f| f.code == Code::Variable && same(f))
        };
        let new = unknown.into_iter().filter(|w| !said(w));
        let found: Vec<Finding> = new.map(|w| finding(spec, w)).collect();
        planned.file.warnings.extend(found);
    }
    Ok(())
}

fn finding(spec: &JobSpec, warning: LaunchWarning) -> Finding {
    let LaunchWarning { agent, field, message } = warning;
    let span = spec.find(&agent).map(|ix| spec.agent(ix).span);
    let text = format!("`{field}` of agent `{agent}`: {message}");
    let finding = Finding::warning(Code::UnknownName, span.unwrap_or_default(), text);
    Finding { span, ..finding }.about(Some(&agent), field)
}

/// Nothing in it can be filled in.
fn is_plain(spec: &JobSpec, agent: &AgentSpec) -> bool {
    let has = |text: &String| text.contains("$(") && !text.contains("$$(");
    let command = match &agent.run {
        Run::Command(argv) => argv.iter().any(has),
        Run::Module { .. } | Run::External { .. } | Run::Image => true,
    };
    let env = spec.environment.values().chain(agent.environment.values()).any(has);
    !command && !env && agent.readiness.check.is_none()
}

/// Which hosts of a plan are served by this machine's own noded.
pub(super) fn here(planned: &Planned, context: &Context) -> Vec<bool> {
    let Plan { hosts, .. } = &*planned.plan;
    let is_here = |host: &PlanHost| match host.origin {
        HostOrigin::Local => true,
        HostOrigin::Listed | HostOrigin::Pinned => is_us(&host.entry, &planned.hosts, context),
    };
    hosts.iter().map(is_here).collect()
}

/// `localhost` and our own name mean this machine's noded, unless an address or a port says that
/// an installed one is meant.
fn is_us(entry: &HostEntry, hosts: &Hosts, context: &Context) -> bool {
    let named = entry.name.as_str() == "localhost" || entry.name.as_str() == context.hostname;
    let plain = entry.addr.is_none() && entry.noded_port.is_none();
    match hosts {
        Hosts::Local(_) | Hosts::List(_) => named && plain,
    }
}
