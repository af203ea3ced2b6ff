//! `init`: a job to start from, with the small programs that it runs.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use a2arun_core::exit_code::LauncherCode;
use a2arun_core::ids::JobName;
use a2arun_core::source::nearest;
use anyhow::Context as _;
use serde::Serialize;

use crate::cli::{InitArgs, OutputArgs, OutputFormat};
use crate::cmd::{Context, Failure};
use crate::output::{Table, print_json, print_line, say};

/// A job and what it brings along.
#[derive(Debug, Clone, Copy)]
struct Template {
    name: &'static str,
    about: &'static str,
    job: &'static str,
    files: &'static [(&'static str, &'static str)],
    /// Whether this version launches it.
    launched: bool,
}

const AGENT: (&str, &str) = ("agent.py", include_str!("../../../jobs/templates/agent.py"));
const WORK: (&str, &str) = ("work.py", include_str!("../../../jobs/templates/work.py"));
const HOSTS: (&str, &str) = ("hosts", include_str!("../../../jobs/templates/hosts"));

macro_rules! template {
    ($name:literal, $about:literal, $files:expr, $launched:literal) => {
        Template {
            name: $name,
            about: $about,
            job: include_str!(concat!("../../../jobs/templates/", $name, ".yaml")),
            files: $files,
            launched: $launched,
        }
    };
}

const TEMPLATES: [Template; 12] = [
    template!("hub-spoke", "a hub that calls its workers", &[AGENT], true),
    template!("pipeline", "stages, each of which calls the next", &[AGENT], true),
    template!("dag", "any edges without a circle", &[AGENT], true),
    template!("mesh", "everybody calls everybody else", &[AGENT], true),
    template!("hierarchical", "a tree of parents and children", &[AGENT], true),
    template!("custom", "any edges, circles too", &[AGENT], true),
    template!(
        "dynamic",
        "agents that find each other; launched without that so far",
        &[AGENT],
        true
    ),
    template!("program", "plain programs, as with mpirun", &[WORK], true),
    template!("local", "one agent on this machine, with what is most often needed", &[AGENT], true),
    template!(
        "hosts",
        "a hub and workers on several hosts, with a hostfile",
        &[AGENT, HOSTS],
        true
    ),
    template!("container", "an agent in a container; not launched yet", &[], false),
    template!("kubernetes", "an agent in pods; not launched yet", &[], false),
];

#[derive(Debug, Serialize)]
struct TemplateJson {
    name: &'static str,
    about: &'static str,
    launched: bool,
}

#[derive(Debug, Serialize)]
struct WrittenJson {
    template: &'static str,
    job: String,
    files: Vec<PathBuf>,
}

pub(super) fn init(args: &InitArgs, context: &Context) -> anyhow::Result<u8> {
    let Some(name) = &args.template else {
        list(args.output)?;
        return Ok(LauncherCode::Ok.code());
    };
    let template = TEMPLATES.iter().find(|t| t.name == name).ok_or_else(|| unknown(name))?;
    let (folder, file, job) = place(args, template)?;
    let path = folder.join(&file);
    let shown = path.display().to_string();
    // A folder with a blank in its name still makes a line that can be typed.
    let typed = if shown.contains([' ', '\'']) { format!("{shown:?}") } else { shown };
    let text = template.job.replace("__NAME__", job.as_str()).replace("__FILE__", &typed);
    let mut files: Vec<(PathBuf, &str)> = vec![(path, &text)];
    files.extend(template.files.iter().map(|(name, text)| (folder.join(name), *text)));
    if !args.force {
        refuse_to_replace(&files, context)?;
    }
    fs::create_dir_all(context.cwd.join(&folder))
        .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    for (path, text) in &files {
        write(&context.cwd.join(path), text, args.force)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    let files: Vec<PathBuf> = files.into_iter().map(|(path, _)| path).collect();
    let json = WrittenJson { template: template.name, job: job.to_string(), files };
    match args.output.output {
        OutputFormat::Human => {
            for path in &json.files {
                print_line(&path.display().to_string())?;
            }
            say(&match template.launched {
                true => format!("next: a2arun {typed}"),
                false => format!("next: a2arun plan {typed}; this version does not launch it yet"),
            });
        }
        OutputFormat::Json => print_json(&json)?,
        OutputFormat::Jsonl => print_line(&serde_json::to_string(&json)?)?,
        OutputFormat::Quiet => {}
    }
    Ok(LauncherCode::Ok.code())
}

fn list(output: OutputArgs) -> anyhow::Result<()> {
    let json =
        || TEMPLATES.map(|t| TemplateJson { name: t.name, about: t.about, launched: t.launched });
    match output.output {
        OutputFormat::Human => {
            let mut table = Table::new(&["TEMPLATE", "WRITES"]);
            TEMPLATES.iter().for_each(|t| table.row([t.name.to_owned(), t.about.to_owned()]));
            print_line(&table.render())?;
            say("hint: a2arun init TEMPLATE [DIR|FILE] writes one");
        }
        OutputFormat::Json => print_json(&json())?,
        OutputFormat::Jsonl => {
            for template in json() {
                print_line(&serde_json::to_string(&template)?)?;
            }
        }
        OutputFormat::Quiet => {}
    }
    Ok(())
}

fn unknown(name: &str) -> Failure {
    let failure = Failure::new(LauncherCode::Usage, format!("there is no template `{name}`"));
    match nearest(name, TEMPLATES.map(|t| t.name)) {
        Some(near) => failure.hint(format!("did you mean `{near}`?")),
        None => failure.hint("a2arun init lists the templates"),
    }
}

/// The folder, the job file in it, and the job's name.
fn place(args: &InitArgs, template: &Template) -> anyhow::Result<(PathBuf, PathBuf, JobName)> {
    let given = args.path.clone().unwrap_or_default();
    let text = given.to_string_lossy();
    let is_file = text.ends_with(".yaml") || text.ends_with(".yml");
    if !is_file && given.is_file() {
        let message =
            format!("{} is a file; give a folder, or a job file `NAME.yaml`", given.display());
        return Err(Failure::new(LauncherCode::Usage, message).into());
    }
    if is_file {
        let job = match &args.name {
            Some(name) => name.clone(),
            None => {
                let stem = given.file_stem().unwrap_or_default().to_string_lossy();
                stem.parse().map_err(|error| {
                    Failure::new(LauncherCode::Usage, format!("the file names the job: {error}"))
                        .hint("--name NAME gives the job another name")
                })?
            }
        };
        let folder = given.parent().map(Path::to_owned).unwrap_or_default();
        let file = given.file_name().map(PathBuf::from).unwrap_or_default();
        return Ok((folder, file, job));
    }
    let job = match &args.name {
        Some(name) => name.clone(),
        None => template.name.parse().context("a template's name is a job's")?,
    };
    Ok((given, PathBuf::from(format!("{job}.yaml")), job))
}

/// A file that says the same already is no obstacle: several templates share one folder.
fn refuse_to_replace(files: &[(PathBuf, &str)], context: &Context) -> anyhow::Result<()> {
    let differs = |(path, text): &&(PathBuf, &str)| match fs::read(context.cwd.join(path)) {
        Ok(found) => found != text.as_bytes(),
        Err(error) => error.kind() != io::ErrorKind::NotFound,
    };
    let there: Vec<String> =
        files.iter().filter(differs).map(|(path, _)| path.display().to_string()).collect();
    if there.is_empty() {
        return Ok(());
    }
    let are = if there.len() == 1 { "is" } else { "are" };
    let message = format!("{} {are} there already; nothing was written", there.join(" and "));
    Err(Failure::new(LauncherCode::Usage, message)
        .hint("--name NAME or another DIR writes beside it; --force replaces it")
        .into())
}

fn write(path: &Path, text: &str, force: bool) -> io::Result<()> {
    if fs::read(path).is_ok_and(|found| found == text.as_bytes()) {
        return Ok(());
    }
    let mut options = OpenOptions::new();
    // Whoever wrote it since we looked keeps it.
    options.write(true).create_new(!force).create(force).truncate(force);
    options.open(path)?.write_all(text.as_bytes())
}
