//! From a command line to a planned job: everything that can be refused is refused here, before
//! any host is reached.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use a2arun_core::exit_code::LauncherCode;
use a2arun_core::hostfile::HostEntry;
use a2arun_core::ids::RunId;
use a2arun_core::machine::job::OnFailure;
use a2arun_core::mask::Mask;
use a2arun_core::plan::{
    Bindings, HostOrigin, Hosts, LaunchBuilder, LaunchFacts, LaunchInputs, LaunchWarning, Plan,
    PlannedPort, ResolvedPlan, secret_values,
};
use a2arun_core::source::{Code, Finding, nearest};
use a2arun_core::spec::{AgentIx, AgentSpec, JobSpec, PortSpec};
use a2arun_rt::tls::Credentials;
use anyhow::Context as _;
use jiff::Timestamp;

use crate::cli::RunArgs;
use crate::cmd::load::{self, JobFile, Planned, Request};
use crate::cmd::{Context, Failure, facts, secrets};
use crate::head::Job;
use crate::registry::{HostReach, SecretRef};
use crate::target::{Installed, Local, NODED_PORT, Target};

/// DESIGN §6.
const PORTS: (u16, u16) = (20_000, 29_999);

/// A job and what is said before it starts.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) job: Job,
    pub(super) warnings: Vec<String>,
    pub(super) reach: Vec<HostReach>,
    pub(super) trust: Option<PathBuf>,
    /// Where `logs` may learn what to mask.
    pub(super) secrets: Vec<SecretRef>,
}

pub(super) fn prepare(args: &RunArgs, context: &Context) -> anyhow::Result<Prepared> {
    let started = Timestamp::now();
    let program = !args.program.is_empty();
    let request = Request {
        job: args.words.first().map(Path::new),
        program: &args.program,
        shape: &args.shape,
        hosts: &args.hosts,
        strict: args.strict,
        output: args.output,
    };
    let Planned { file, hosts, plan } = load::planned(&request, context)?;
    let rendered = file.rendered();
    let JobFile { mut spec, base, dotenv, warnings: found, .. } = file;
    let plan = Arc::new(plan);
    if let Some(id) = &args.until {
        spec.execution.ends_with = Some(agent(&spec, "--until", id)?);
    }
    let stdin = args.stdin.as_deref().map(|id| agent(&spec, "--stdin", id)).transpose()?;
    if let Some(what) = spec.unlaunchable().first() {
        return Err(Failure::new(LauncherCode::InvalidJob, what.to_string())
            .hint("`a2arun validate -v` lists what is not acted on yet")
            .into());
    }
    let run = run_id(&spec)?;
    let facts = facts::read(&spec, &base, &dotenv, context)?;
    let exports = exports(args, context)?;
    let trace_id = hex(&random::<16>()?);
    let mut warnings: Vec<String> = rendered.into_iter().collect();
    let unknown = check_launch(&spec, &plan, &run, &exports, &trace_id, (stdin, &facts))?;
    if !program {
        // On a command line `$(x)` is most often meant for the shell that is run.
        let said = |w: &LaunchWarning| {
            let agent = |f: &Finding| f.agent.as_ref().is_none_or(|agent| *agent == w.agent);
            found
                .iter()
                .any(|f| f.code == Code::Variable && f.field.as_ref() == Some(&w.field) && agent(f))
        };
        warnings.extend(
            unknown
                .iter()
                .filter(|w| !said(w))
                .map(|w| format!("warning: agent `{}`: {}: {}", w.agent, w.field, w.message)),
        );
    }
    let (targets, reach, trust) = targets(&plan, &hosts, args, context)?;
    let local = targets.iter().any(|t| matches!(t, Target::Local(_)));
    let sites = spec.agents.iter().map(|a| facts::site(a, &base, local, context));
    let sites = sites.collect::<anyhow::Result<Vec<_>>>()?;
    let user = context.text("USER").unwrap_or_else(|| format!("uid {}", context.uid));
    let file = args.words.first().filter(|_| !program).map(|path| context.cwd.join(path));
    let environment = context.texts();
    let mask = Mask::new(secret_values(&spec, &facts, &exports, &environment));
    let secrets = secrets::references(&spec, &facts, args, file.as_deref(), &base, &environment);
    let job = Job {
        plan,
        run,
        targets,
        sites,
        on_failure: if args.keep_going { OnFailure::Continue } else { OnFailure::Stop },
        timeout: args.timeout,
        ports: args.ports.map_or(PORTS, |r| (r.first, r.last)),
        exports,
        stdin,
        facts,
        mask,
        environment,
        trace_id,
        head: format!("{user}@{} pid {}", context.hostname, std::process::id()),
        started,
        program,
        spec,
    };
    Ok(Prepared { job, warnings, reach, trust, secrets })
}

fn agent(spec: &JobSpec, option: &str, id: &str) -> anyhow::Result<AgentIx> {
    let launched = |a: &&AgentSpec| a.external().is_none();
    spec.find(id).filter(|ix| launched(&spec.agent(*ix))).ok_or_else(|| {
        let launched = spec.agents.iter().filter(launched);
        let known: Vec<&str> = launched.map(|a| a.id.as_str()).collect();
        let message = format!("{option} names `{id}`, which is no agent of this job");
        let failure = Failure::new(LauncherCode::Usage, message);
        match nearest(id, known.iter().copied()) {
            Some(near) => failure.hint(format!("did you mean `{near}`?")),
            None => failure.hint(format!("its agents: {}", known.join(", "))),
        }
        .into()
    })
}

fn random<const N: usize>() -> anyhow::Result<[u8; N]> {
    let mut bytes = [0; N];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())
        .context("cannot get random bytes")?;
    Ok(bytes)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// `<job, shortened>-<8 hex digits>`.
fn run_id(spec: &JobSpec) -> anyhow::Result<RunId> {
    // 64 bytes in all.
    let mut name = spec.name.as_str().to_owned();
    while name.len() > 54 {
        name.pop();
    }
    format!("{name}-{}", hex(&random::<4>()?)).parse().context("cannot name the run")
}

fn exports(args: &RunArgs, context: &Context) -> anyhow::Result<Vec<(String, String)>> {
    let mut exports = Vec::with_capacity(args.export.len());
    for (name, value) in &args.export {
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

/// What core would refuse or warn of at the launch, said now: with made-up addresses and ports.
fn check_launch(
    spec: &JobSpec,
    plan: &Arc<Plan>,
    run: &RunId,
    exports: &[(String, String)],
    trace_id: &str,
    (stdin, facts): (Option<AgentIx>, &LaunchFacts),
) -> anyhow::Result<Vec<LaunchWarning>> {
    let plain = exports.is_empty()
        && *facts == LaunchFacts::default()
        && spec.agents.iter().all(|a| is_plain(spec, a));
    if plain {
        return Ok(Vec::new());
    }
    let mut bindings = Bindings::of(plan);
    for host in plan.host_indices() {
        bindings.set_address(host, plan.host(host).name().clone());
    }
    for instance in &plan.instances {
        if instance.port == PlannedPort::Auto {
            bindings.set_port(instance.rank, PORTS.0);
        }
        for (at, (_, port)) in plan.agent(instance.agent).ports.iter().enumerate() {
            if *port == PortSpec::Auto {
                bindings.set_named_port(instance.rank, at, PORTS.0);
            }
        }
    }
    let resolved = ResolvedPlan::new(plan.clone(), bindings).context("cannot check the launch")?;
    let trace_id = Some(trace_id);
    let inputs = LaunchInputs { spec, resolved: &resolved, run, trace_id, exports, stdin, facts };
    let (_, warnings) = LaunchBuilder::new(inputs)?;
    Ok(warnings)
}

/// Nothing in it can be filled in.
fn is_plain(spec: &JobSpec, agent: &AgentSpec) -> bool {
    let has = |text: &String| text.contains("$(") && !text.contains("$$(");
    let command = match &agent.run {
        a2arun_core::spec::Run::Command(argv) => argv.iter().any(has),
        a2arun_core::spec::Run::Module { .. }
        | a2arun_core::spec::Run::External { .. }
        | a2arun_core::spec::Run::Image => true,
    };
    let env = spec.environment.values().chain(agent.environment.values()).any(has);
    !command && !env && agent.readiness.check.is_none()
}

type Targets = (Vec<Target>, Vec<HostReach>, Option<PathBuf>);

fn targets(
    plan: &Plan,
    hosts: &Hosts,
    args: &RunArgs,
    context: &Context,
) -> anyhow::Result<Targets> {
    let mut targets = Vec::with_capacity(plan.hosts.len());
    let mut reach = Vec::with_capacity(plan.hosts.len());
    let mut credentials: Option<(Arc<Credentials>, PathBuf)> = None;
    let mut local: Option<Arc<Local>> = None;
    for host in &plan.hosts {
        let here = match host.origin {
            HostOrigin::Local => true,
            HostOrigin::Listed | HostOrigin::Pinned => is_here(&host.entry, hosts, context),
        };
        if here {
            let local = match &local {
                Some(local) => local.clone(),
                None => {
                    local.insert(Arc::new(Local::new(context.paths()?, context.noded()))).clone()
                }
            };
            let control = local.paths().control_socket.clone();
            reach.push(HostReach::Local { name: host.name().clone(), control });
            targets.push(Target::Local(local));
            continue;
        }
        let credentials = match &credentials {
            Some((credentials, _)) => credentials.clone(),
            None => {
                let dir = context.trust_dir(args.hosts.trust.as_deref()).ok_or_else(|| {
                    let message =
                        "there is no trust folder: neither HOME nor XDG_CONFIG_HOME is set";
                    Failure::new(LauncherCode::Refused, message).hint("name one with --trust DIR")
                })?;
                let loaded = Arc::new(Credentials::load(&dir).context("cannot use certificates")?);
                credentials.insert((loaded, dir.path().to_owned())).0.clone()
            }
        };
        let address = host.entry.addr.as_ref().unwrap_or(host.name()).as_str().to_owned();
        let port = host.entry.noded_port.unwrap_or(NODED_PORT);
        let name = host.name().clone();
        reach.push(HostReach::Installed { name: name.clone(), address: address.clone(), port });
        targets.push(Target::Installed(Arc::new(Installed::new(name, address, port, credentials))));
    }
    Ok((targets, reach, credentials.map(|(_, dir)| dir)))
}

/// `localhost` and our own name mean this machine's noded, unless an address or a port says that
/// an installed one is meant.
fn is_here(entry: &HostEntry, hosts: &Hosts, context: &Context) -> bool {
    let named = entry.name.as_str() == "localhost" || entry.name.as_str() == context.hostname;
    let plain = entry.addr.is_none() && entry.noded_port.is_none();
    match hosts {
        Hosts::Local(_) | Hosts::List(_) => named && plain,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn run_ids_fit() {
        let long = "x".repeat(120);
        let spec = JobSpec::program(vec![long], None).unwrap();
        assert!(run_id(&spec).unwrap().as_str().len() <= 64);
        let wide = JobSpec::program(vec!["größe".repeat(20)], None).unwrap();
        assert!(run_id(&wide).is_ok());
    }
}
