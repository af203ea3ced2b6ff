//! From a command line to a planned job: everything that can be refused is refused here, before
//! any host is reached.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use a2arun_core::exit_code::LauncherCode;
use a2arun_core::ids::RunId;
use a2arun_core::machine::job::OnFailure;
use a2arun_core::mask::Mask;
use a2arun_core::plan::{Plan, secret_values};
use a2arun_core::spec::JobSpec;
use a2arun_rt::tls::Credentials;
use anyhow::Context as _;
use jiff::Timestamp;

use crate::cli::{OutputFormat, RunArgs};
use crate::cmd::facts::{self, Located};
use crate::cmd::load::{self, Planned, Request};
use crate::cmd::survey::Here;
use crate::cmd::{Context, Failure, secrets, survey};
use crate::head::Job;
use crate::registry::{HostReach, SecretRef};
use crate::target::{Installed, Local, NODED_PORT, Target};

/// DESIGN §6.
const PORTS: (u16, u16) = (20_000, 29_999);

/// A job and what is said before it starts.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) job: Job,
    /// As text, where there are any.
    pub(super) warnings: Option<String>,
    pub(super) reach: Vec<HostReach>,
    pub(super) trust: Option<PathBuf>,
    /// Where `logs` may learn what to mask.
    pub(super) secrets: Vec<SecretRef>,
}

/// What `run`'s options say of a job.
pub(super) fn request(args: &RunArgs) -> Request<'_> {
    Request {
        job: args.words.first().map(Path::new),
        program: &args.program,
        shape: &args.shape,
        hosts: &args.hosts,
        variables: &args.variables,
        until: args.until.as_deref(),
        stdin: args.stdin.as_deref(),
        strict: args.strict,
        output: args.output,
    }
}

pub(super) fn prepare(args: &RunArgs, context: &Context) -> anyhow::Result<Prepared> {
    let started = Timestamp::now();
    let mut planned = load::planned(&request(args), context)?;
    if let Some(what) = planned.file.spec.unlaunchable().first() {
        return Err(Failure::new(LauncherCode::InvalidJob, what.to_string())
            .hint("`a2arun validate -v` lists what is not acted on yet")
            .into());
    }
    let run = run_id(&planned.file.spec)?;
    let facts = facts::read(&planned.file, &args.variables.env_file, context)?;
    let exports = survey::exports(&args.variables, context)?;
    let trace_id = match context.text("TRACEPARENT").as_deref().and_then(trace_of) {
        Some(trace) => trace.to_owned(),
        None => hex(&random::<16>()?),
    };
    survey::check(&mut planned, &facts, &exports, &run, Some(&trace_id))?;
    planned.file.check_strict(args.strict)?;
    let (environment, elsewhere) = survey::base_env(&args.variables, context)?;
    let here = survey::here(&planned, context);
    let (targets, reach, trust) = targets(&planned.plan, &here, args, context)?;
    let Planned { file, plan, stdin, .. } = planned;
    let sites = file.spec.agents.iter().map(|a| Here::of(&here).site(a, &file.base, context));
    let sites = sites.map(Located::needed).collect::<anyhow::Result<Vec<_>>>()?;
    let warnings = file.rendered();
    let user = context.text("USER").unwrap_or_else(|| format!("uid {}", context.uid));
    let spec = &file.spec;
    let mask = Mask::new(secret_values(spec, &facts, &exports, &environment));
    let path = args.words.first().filter(|_| !file.is_program());
    let path = path.map(|path| context.cwd.join(path));
    let secrets =
        secrets::references(spec, &facts, args, path.as_deref(), &file.base, &environment);
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
        elsewhere,
        trace_id,
        question: args.query.clone().or_else(|| file.spec.execution.input.clone()),
        prints_answer: matches!(args.output.output, OutputFormat::Human | OutputFormat::Quiet),
        ssl_cert_file: context
            .var("SSL_CERT_FILE")
            .filter(|file| !file.is_empty())
            .map(PathBuf::from),
        head: format!("{user}@{} pid {}", context.hostname, std::process::id()),
        started,
        program: file.is_program(),
        spec: file.spec,
    };
    Ok(Prepared { job, warnings, reach, trust, secrets })
}

/// The trace that we are called in (W3C Trace Context §3.2).
fn trace_of(traceparent: &str) -> Option<&str> {
    let mut parts = traceparent.split('-');
    let (version, trace) = (parts.next()?, parts.next()?);
    let hex = |text: &str| text.bytes().all(|b| b.is_ascii_hexdigit() && !b.is_ascii_uppercase());
    let good = version.len() == 2 && trace.len() == 32 && hex(trace) && hex(version);
    (good && trace.bytes().any(|b| b != b'0')).then_some(trace)
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

type Targets = (Vec<Target>, Vec<HostReach>, Option<PathBuf>);

fn targets(
    plan: &Plan,
    here: &[bool],
    args: &RunArgs,
    context: &Context,
) -> anyhow::Result<Targets> {
    let mut targets = Vec::with_capacity(plan.hosts.len());
    let mut reach = Vec::with_capacity(plan.hosts.len());
    let mut credentials: Option<(Arc<Credentials>, PathBuf)> = None;
    let mut local: Option<Arc<Local>> = None;
    for (host, here) in plan.hosts.iter().zip(here) {
        if *here {
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
