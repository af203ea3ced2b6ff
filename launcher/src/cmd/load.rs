//! Job files and hostfiles, read and checked; findings are rendered with their place.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use a2arun_core::exit_code::LauncherCode;
use a2arun_core::hostfile::{self, HostEntry};
use a2arun_core::ids::HostName;
use a2arun_core::plan::{Hosts, Plan, PlanOptions, plan};
use a2arun_core::source::Finding;
use a2arun_core::spec::render::{self, render};
use a2arun_core::spec::{INPUT_BYTES_MAX, JobSpec, load_bytes};

use crate::cli::{HostArgs, OutputArgs, ShapeArgs};
use crate::cmd::{Context, Failure};
use crate::output::Style;

/// A job with what was said about it.
#[derive(Debug)]
pub(super) struct JobFile {
    pub(super) spec: JobSpec,
    pub(super) warnings: Vec<Finding>,
    /// The warnings as text, where there are any.
    pub(super) rendered: Option<String>,
    /// What relative paths in it are relative to.
    pub(super) base: PathBuf,
}

fn style(context: &Context, output: OutputArgs) -> render::Style {
    match context.stderr_style(output) {
        Style::Plain => render::Style::Plain,
        Style::Colour => render::Style::Colour,
    }
}

fn invalid(message: String) -> anyhow::Error {
    Failure::new(LauncherCode::InvalidJob, message).into()
}

/// Reads a job file. `strict` makes warnings errors.
pub(super) fn job_file(
    path: &Path,
    strict: bool,
    context: &Context,
    output: OutputArgs,
) -> anyhow::Result<JobFile> {
    let shown = path.display().to_string();
    let bytes = read(path)
        .map_err(|error| invalid(format!("cannot read the job file {shown}: {error}")))?;
    let file = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let vars = |name: &str| context.text(name);
    let style = style(context, output);
    let text = String::from_utf8_lossy(&bytes);
    let loaded = load_bytes(&file, &bytes, &vars)
        .map_err(|findings| invalid(render(&shown, &text, &findings, style)))?;
    let rendered =
        (!loaded.warnings.is_empty()).then(|| render(&shown, &text, &loaded.warnings, style));
    if strict && let Some(rendered) = rendered {
        return Err(invalid(format!("{rendered}\n\nerror: warnings are errors with --strict")));
    }
    let base = context.cwd.join(path).parent().map_or_else(|| context.cwd.clone(), Path::to_owned);
    Ok(JobFile { spec: loaded.spec, warnings: loaded.warnings, rendered, base })
}

/// Not more than a job file may have, and one byte to tell that it has.
fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(INPUT_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The job of a command line.
pub(super) fn program(argv: &[OsString], context: &Context) -> anyhow::Result<JobFile> {
    let mut words = Vec::with_capacity(argv.len());
    for word in argv {
        let text = word.to_str().ok_or_else(|| {
            let shown = word.to_string_lossy();
            Failure::new(LauncherCode::Usage, format!("`{shown}` is not UTF-8"))
        })?;
        words.push(text.to_owned());
    }
    let spec = JobSpec::program(words, None)?;
    Ok(JobFile { spec, warnings: Vec::new(), rendered: None, base: context.cwd.clone() })
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
pub(super) fn make_plan(
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
