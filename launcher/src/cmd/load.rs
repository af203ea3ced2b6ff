//! Job files and hostfiles, read and checked; findings are rendered with their place.
//!
//! One road for every verb: what `plan` shows, `run --dry-run` shows and `run` launches is made
//! by [`planned`].

use std::ffi::OsString;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use a2arun_core::exit_code::LauncherCode;
use a2arun_core::hostfile::{self, HostEntry};
use a2arun_core::ids::HostName;
use a2arun_core::plan::{Hosts, Plan, PlanOptions, plan};
use a2arun_core::source::{Code, Finding};
use a2arun_core::spec::render::{self, render};
use a2arun_core::spec::{INPUT_BYTES_MAX, JobSpec, Loaded, load_bytes};

use crate::cli::{HostArgs, OutputArgs, ShapeArgs};
use crate::cmd::dotenv::DotEnv;
use crate::cmd::{Context, Failure};
use crate::output::{Style, say};

/// What a command line says of a job, whatever is to be done with it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Request<'a> {
    pub(super) job: Option<&'a Path>,
    pub(super) program: &'a [OsString],
    pub(super) shape: &'a ShapeArgs,
    pub(super) hosts: &'a HostArgs,
    /// Warnings are errors.
    pub(super) strict: bool,
    pub(super) output: OutputArgs,
}

/// A job with what was said about it.
#[derive(Debug)]
pub(super) struct JobFile {
    pub(super) spec: JobSpec,
    pub(super) warnings: Vec<Finding>,
    /// What relative paths in it are relative to.
    pub(super) base: PathBuf,
    /// The `.env` beside it.
    pub(super) dotenv: DotEnv,
    /// Its path as given and its text, to show places in it.
    shown: String,
    text: String,
    style: render::Style,
}

impl JobFile {
    /// The warnings as text, where there are any.
    pub(super) fn rendered(&self) -> Option<String> {
        let any = !self.warnings.is_empty();
        any.then(|| render(&self.shown, &self.text, &self.warnings, self.style))
    }

    pub(super) fn say_warnings(&self) {
        if let Some(text) = self.rendered() {
            say(&text);
        }
    }

    /// With `--strict` a warning is an error.
    pub(super) fn check_strict(&self, strict: bool) -> anyhow::Result<()> {
        match self.rendered().filter(|_| strict) {
            Some(text) => {
                Err(invalid(format!("{text}\n\nerror: warnings are errors with --strict")))
            }
            None => Ok(()),
        }
    }
}

/// A job file that was read, good or not.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) shown: String,
    pub(super) text: String,
    pub(super) dotenv: DotEnv,
    pub(super) loaded: Result<Loaded, Vec<Finding>>,
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

/// Reads a job file; only one that cannot be read at all is an error here.
pub(super) fn read_job(path: &Path, context: &Context) -> anyhow::Result<Read> {
    let shown = path.display().to_string();
    let bytes =
        read(path).map_err(|e| invalid(format!("cannot read the job file {shown}: {e}")))?;
    let file = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let dotenv = DotEnv::beside(path);
    let vars = |name: &str| context.text(name).or_else(|| dotenv.get(name));
    let mut loaded = load_bytes(&file, &bytes, &vars);
    if dotenv.findings().is_some()
        && let Err(findings) = &mut loaded
    {
        // What is not set stands in the file that could not be read, as likely as not.
        findings.retain(|f| f.code != Code::Variable);
    }
    let text = String::from_utf8_lossy(&bytes).into_owned();
    Ok(Read { shown, text, dotenv, loaded })
}

/// Reads the job of a request; findings that refuse it are the error's text.
pub(super) fn job(request: &Request<'_>, context: &Context) -> anyhow::Result<JobFile> {
    let path = match (request.job, request.program) {
        (Some(path), []) => path,
        (None, [_, ..]) => return program(request, context),
        (Some(_), [_, ..]) | (None, []) => {
            let message = "give a job file, or a program behind `--`";
            return Err(Failure::new(LauncherCode::Usage, message).into());
        }
    };
    let style = style(context, request.output);
    let Read { shown, text, dotenv, loaded } = read_job(path, context)?;
    let mut errors: Vec<String> = dotenv.rendered(style).into_iter().collect();
    let loaded = match loaded {
        Ok(loaded) if errors.is_empty() => loaded,
        Ok(_) => return Err(invalid(errors.join("\n\n"))),
        Err(findings) => {
            if !findings.is_empty() {
                errors.push(render(&shown, &text, &findings, style));
            }
            return Err(invalid(errors.join("\n\n")));
        }
    };
    let base = context.cwd.join(path).parent().map_or_else(|| context.cwd.clone(), Path::to_owned);
    let Loaded { spec, warnings } = loaded;
    let file = JobFile { spec, warnings, base, dotenv, shown, text, style };
    file.check_strict(request.strict)?;
    Ok(file)
}

/// A job and where it would run.
#[derive(Debug)]
pub(super) struct Planned {
    pub(super) file: JobFile,
    pub(super) hosts: Hosts,
    pub(super) plan: Plan,
}

/// Reads the job of a request and plans it.
pub(super) fn planned(request: &Request<'_>, context: &Context) -> anyhow::Result<Planned> {
    let file = job(request, context)?;
    let hosts = hosts(request.hosts, context, request.output)?;
    let plan = make_plan(&file.spec, &hosts, request.shape, &context.local_name())?;
    Ok(Planned { file, hosts, plan })
}

/// Not more than a job file may have, and one byte to tell that it has.
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
    hostfile::parse(&text)
        .map_err(|findings| invalid(render(&shown, &text, &findings, style(context, output))))
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
