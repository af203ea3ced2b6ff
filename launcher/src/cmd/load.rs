//! Job files and hostfiles, read and checked; findings are rendered with their place.
//!
//! One road for every verb: what `plan` shows, `run --dry-run` shows and `run` launches is made
//! by [`planned`].

use std::cell::RefCell;
use std::cmp::Reverse;
use std::ffi::OsString;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use a2arun_core::exit_code::LauncherCode;
use a2arun_core::hostfile::{self, HostEntry};
use a2arun_core::ids::HostName;
use a2arun_core::plan::reserved::is_secret_name;
use a2arun_core::plan::{Hosts, Plan, PlanOptions, plan};
use a2arun_core::source::{Code, Finding, Severity, nearest};
use a2arun_core::spec::render::{self, render};
use a2arun_core::spec::{AgentIx, AgentSpec, INPUT_BYTES_MAX, JobSpec, Loaded, load_bytes};

use crate::cli::{HostArgs, OutputArgs, ShapeArgs, VariableArgs};
use crate::cmd::dotenv::DotEnv;
use crate::cmd::found::{Found, Refused};
use crate::cmd::{Context, Failure};
use crate::output::{Style, say};

/// What a command line says of a job, whatever is to be done with it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Request<'a> {
    pub(super) job: Option<&'a Path>,
    pub(super) program: &'a [OsString],
    pub(super) shape: &'a ShapeArgs,
    pub(super) hosts: &'a HostArgs,
    pub(super) variables: &'a VariableArgs,
    /// `--until`.
    pub(super) until: Option<&'a str>,
    /// `--stdin`.
    pub(super) stdin: Option<&'a str>,
    /// Warnings are errors.
    pub(super) strict: bool,
    pub(super) output: OutputArgs,
}

/// A job with what was said about it.
pub(super) struct JobFile {
    pub(super) spec: JobSpec,
    pub(super) warnings: Vec<Finding>,
    /// What relative paths in it are relative to.
    pub(super) base: PathBuf,
    /// The `.env` beside it.
    pub(super) dotenv: DotEnv,
    /// Secrets that `${VAR}` brought into it, to be kept from what is shown.
    filled: Vec<(String, String)>,
    /// Its path as given and its text, to show places in it. A command line has neither.
    shown: String,
    text: String,
    style: render::Style,
}

/// Values are secrets.
impl std::fmt::Debug for JobFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JobFile").field("shown", &self.shown).finish_non_exhaustive()
    }
}

impl JobFile {
    /// The warnings as text, where there are any.
    pub(super) fn rendered(&self) -> Option<String> {
        let any = !self.warnings.is_empty();
        any.then(|| render(&self.shown, &self.text, &self.warnings, self.style))
    }

    /// Whether it is a program of the command line.
    pub(super) fn is_program(&self) -> bool {
        self.text.is_empty()
    }

    /// A text of the job without the secrets that `${VAR}` brought into it.
    pub(super) fn masked(&self, text: &str) -> String {
        let filled = self.filled.iter();
        filled.fold(text.to_owned(), |text, (name, value)| {
            text.replace(value, &format!("${{{name}}}"))
        })
    }

    /// A variable of this shell, else of the `.env` beside the file.
    pub(super) fn variable(&self, name: &str, context: &Context) -> Option<String> {
        context.text(name).or_else(|| self.dotenv.get(name))
    }

    pub(super) fn say_warnings(&self) {
        if let Some(text) = self.rendered() {
            say(&text);
        }
    }

    /// The file with its warnings.
    pub(super) fn found(&self) -> Found {
        let findings = self.warnings.clone();
        Found { shown: self.shown.clone(), text: self.text.clone(), findings }
    }

    /// With `--strict` a warning is an error.
    pub(super) fn check_strict(&self, strict: bool) -> anyhow::Result<()> {
        if !strict || self.warnings.is_empty() {
            return Ok(());
        }
        let mut found = self.found();
        found.findings.iter_mut().for_each(|f| f.severity = Severity::Error);
        let because = Some(match found.findings.len() {
            1 => "1 warning is an error with --strict".to_owned(),
            count => format!("{count} warnings are errors with --strict"),
        });
        Err(Refused { found: vec![found], style: self.style, because }.into())
    }
}

pub(super) fn style(context: &Context, output: OutputArgs) -> render::Style {
    match context.stderr_style(output) {
        Style::Plain => render::Style::Plain,
        Style::Colour => render::Style::Colour,
    }
}

pub(super) fn invalid(message: String) -> anyhow::Error {
    Failure::new(LauncherCode::InvalidJob, message).into()
}

/// Reads the job of a request. What is wrong with it, and with the `.env` beside it, comes as
/// [`Refused`], all at once.
pub(super) fn job(request: &Request<'_>, context: &Context) -> anyhow::Result<JobFile> {
    let path = match (request.job, request.program) {
        (Some(path), []) => path,
        (None, [_, ..]) => return program(request, context),
        (Some(_), [_, ..]) | (None, []) => {
            let message = "give a job file, or a program behind `--`";
            return Err(Failure::new(LauncherCode::Usage, message).into());
        }
    };
    let shown = path.display().to_string();
    let bytes = read(path).map_err(|error| unreadable(path, &error))?;
    let file = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let dotenv = DotEnv::beside(path);
    let filled = RefCell::new(Vec::new());
    let vars = |name: &str| {
        let value = context.text(name).or_else(|| dotenv.get(name))?;
        if is_secret_name(name) && !value.is_empty() {
            filled.borrow_mut().push((name.to_owned(), value.clone()));
        }
        Some(value)
    };
    let loaded = load_bytes(&file, &bytes, &vars);
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let style = style(context, request.output);
    let (loaded, mut findings) = match loaded {
        Ok(loaded) => (Some(loaded), Vec::new()),
        Err(findings) => (None, findings),
    };
    let wrong = dotenv.wrong().cloned();
    if wrong.is_some() {
        // What is not set stands in the file that could not be read, as likely as not.
        findings.retain(|f| f.code != Code::Variable);
    }
    let (Some(Loaded { spec, warnings }), None) = (loaded, &wrong) else {
        let found = wrong.into_iter().chain([Found { shown, text, findings }]).collect();
        return Err(Refused::new(found, style).into());
    };
    let base = context.cwd.join(path).parent().map_or_else(|| context.cwd.clone(), Path::to_owned);
    let mut filled = filled.into_inner();
    // The longest first: one may be part of another.
    filled.sort_by_key(|(name, value)| (Reverse(value.len()), name.clone()));
    filled.dedup();
    Ok(JobFile { spec, warnings, base, dotenv, filled, shown, text, style })
}

/// A job and where it would run.
#[derive(Debug)]
pub(super) struct Planned {
    pub(super) file: JobFile,
    pub(super) hosts: Hosts,
    pub(super) plan: Arc<Plan>,
    /// Who gets our standard input.
    pub(super) stdin: Option<AgentIx>,
}

/// Reads the job of a request and plans it.
pub(super) fn planned(request: &Request<'_>, context: &Context) -> anyhow::Result<Planned> {
    let mut file = job(request, context)?;
    if let Some(id) = request.until {
        file.spec.execution.ends_with = Some(agent(&file.spec, "--until", id)?);
    }
    let stdin = request.stdin.map(|id| agent(&file.spec, "--stdin", id)).transpose()?;
    let (hosts, plan) = plan_of(&file.spec, request, context)?;
    Ok(Planned { file, hosts, plan, stdin })
}

/// Where a job would run, and its plan.
pub(super) fn plan_of(
    spec: &JobSpec,
    request: &Request<'_>,
    context: &Context,
) -> anyhow::Result<(Hosts, Arc<Plan>)> {
    let hosts = hosts(request.hosts, context, request.output)?;
    let plan = make_plan(spec, &hosts, request.shape, &context.local_name())?;
    Ok((hosts, Arc::new(plan)))
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

/// Not more than a job file may have, and one byte to tell that it has.
/// With the file that was meant, where one has nearly this name.
fn unreadable(path: &Path, error: &std::io::Error) -> anyhow::Error {
    let shown = path.display();
    let failure = Failure::new(
        LauncherCode::InvalidJob,
        format!("cannot read the job file {shown}: {error}"),
    );
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty());
    let folder = std::fs::read_dir(parent.unwrap_or(Path::new("."))).into_iter().flatten();
    let is_job = |name: &String| name.ends_with(".yaml") || name.ends_with(".yml");
    let names = folder.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let names: Vec<String> = names.filter(is_job).collect();
    let wanted = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let stem = |name: &str| name.rsplit_once('.').map_or(name, |(stem, _)| stem).to_owned();
    let stems: Vec<String> = names.iter().map(|name| stem(name)).collect();
    let near = nearest(&stem(&wanted), stems.iter().map(String::as_str));
    let near = near.and_then(|near| names.iter().find(|name| stem(name) == near));
    match near {
        Some(near) if error.kind() == std::io::ErrorKind::NotFound => {
            let near = parent.unwrap_or(Path::new("")).join(near);
            failure.hint(format!("did you mean {}?", near.display())).into()
        }
        _ => failure.into(),
    }
}

fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(INPUT_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The job of a command line.
fn program(request: &Request<'_>, context: &Context) -> anyhow::Result<JobFile> {
    let mut words = Vec::with_capacity(request.program.len());
    for word in request.program {
        let text = word.to_str().ok_or_else(|| {
            let shown = word.to_string_lossy();
            Failure::new(LauncherCode::Usage, format!("`{shown}` is not UTF-8"))
        })?;
        words.push(text.to_owned());
    }
    Ok(JobFile {
        spec: JobSpec::program(words, None)?,
        warnings: Vec::new(),
        base: context.cwd.clone(),
        dotenv: DotEnv::none(),
        filled: Vec::new(),
        shown: "command line".to_owned(),
        text: String::new(),
        style: style(context, request.output),
    })
}

/// Where the job runs.
pub(super) fn hosts(
    args: &HostArgs,
    context: &Context,
    output: OutputArgs,
) -> anyhow::Result<Hosts> {
    let list = match (&args.host, &args.hostfile) {
        (Some(list), _) => {
            let style = style(context, output);
            hostfile::parse_hosts(list).map_err(|f| invalid(render("--host", list, &f, style)))?
        }
        (None, Some(path)) => hostfile(path, context, output)?,
        (None, None) => match context.var("A2ARUN_HOSTFILE").filter(|v| !v.is_empty()) {
            Some(path) => hostfile(Path::new(path), context, output)?,
            None => return Ok(Hosts::Local(context.local_name())),
        },
    };
    Ok(Hosts::List(list))
}

fn hostfile(path: &Path, context: &Context, output: OutputArgs) -> anyhow::Result<Vec<HostEntry>> {
    let shown = path.display().to_string();
    let bytes = read(path)
        .map_err(|error| invalid(format!("cannot read the hostfile {shown}: {error}")))?;
    let text = String::from_utf8(bytes)
        .map_err(|_| invalid(format!("the hostfile {shown} is no text: it is not UTF-8")))?;
    let list = hostfile::parse(&text)
        .map_err(|findings| invalid(render(&shown, &text, &findings, style(context, output))))?;
    let for_ssh = |host: &&HostEntry| host.user.is_some() || host.ssh_port.is_some();
    if let Some(host) = list.iter().find(for_ssh) {
        let name = &host.name;
        say(&format!(
            "warning: {shown}: `user=` and `port=` of {name} are for SSH, which is not used yet\n\
             hint: `noded_port=` is the port of its noded"
        ));
    }
    Ok(list)
}

/// The plan of a job.
fn make_plan(
    spec: &JobSpec,
    hosts: &Hosts,
    shape: &ShapeArgs,
    head: &HostName,
) -> anyhow::Result<Plan> {
    for (at, (agent, count)) in shape.scale.iter().enumerate() {
        if let Some((_, other)) = shape.scale[..at].iter().find(|(name, _)| name == agent) {
            let message = format!("--scale {agent}={other} and --scale {agent}={count}: which?");
            return Err(Failure::new(LauncherCode::Usage, message).into());
        }
    }
    let options = PlanOptions {
        np: shape.np,
        scale: shape.scale.clone(),
        per_host: shape.per_host,
        map_by: shape.map_by,
        max_per_host: shape.max_per_host,
        oversubscribe: shape.oversubscribe,
        head: Some(head.clone()),
        generation: a2arun_core::ids::Generation(1),
        ..PlanOptions::default()
    };
    Ok(plan(spec, hosts, &options)?)
}
