//! What a job asks for that lies outside its file: files of variables, secrets, prefixes of
//! Python. Read before any host is reached; no value gets into a message.
//!
//! A launch needs all of it ([`read`]). Who only shows what would be ([`look`]) is told what is
//! missing, runs no command and opens no secret.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use a2arun_core::plan::{
    EnvFile, LaunchFacts, PythonFacts, PythonSource, Site, Venv, VenvKind, choose_python,
};
use a2arun_core::source::{Code, Finding};
use a2arun_core::spec::render::Style;
use a2arun_core::spec::{AgentIx, AgentSpec, JobSpec, SecretSource};

use crate::cmd::dotenv;
use crate::cmd::found::Refused;
use crate::cmd::load::{JobFile, invalid};
use crate::cmd::{Context, Failure};

/// A secret is a line or a key, not a disk.
const SECRET_BYTES_MAX: usize = 64 << 10;
/// Stands where a secret would, for who only looks.
pub(super) const UNREAD: &str = "***";

/// Something that is not there.
struct Absent {
    agent: Option<AgentIx>,
    field: String,
    message: String,
}

/// Reads everything that a job refers to; the first thing that is missing is the error.
pub(super) fn read(
    file: &JobFile,
    env_files: &[PathBuf],
    context: &Context,
) -> anyhow::Result<LaunchFacts> {
    let secret = |source: &SecretSource| secret(source, file, context);
    gather(file, env_files, context, &secret, &mut |absent| Err(invalid(absent.message)))
}

/// Looks at everything that a job refers to; what is missing is a warning each.
pub(super) fn look(
    file: &JobFile,
    env_files: &[PathBuf],
    context: &Context,
) -> anyhow::Result<(LaunchFacts, Vec<Finding>)> {
    let mut warnings = Vec::new();
    let secret = |source: &SecretSource| Ok(look_at_secret(source, file, context));
    let facts = gather(file, env_files, context, &secret, &mut |absent| {
        let agent = absent.agent.map(|ix| file.spec.agent(ix));
        let finding = Finding::warning(Code::Missing, Default::default(), absent.message);
        let id = agent.map(|a| a.id.as_str());
        warnings.push(Finding { span: agent.map(|a| a.span), ..finding }.about(id, absent.field));
        Ok(())
    })?;
    Ok((facts, warnings))
}

pub(super) type Found<T> = anyhow::Result<Result<T, String>>;

fn gather(
    file: &JobFile,
    env_files: &[PathBuf],
    context: &Context,
    secret: &dyn Fn(&SecretSource) -> Found<String>,
    absent: &mut dyn FnMut(Absent) -> anyhow::Result<()>,
) -> anyhow::Result<LaunchFacts> {
    let spec = &file.spec;
    let mut files = |list: &[String], agent: Option<AgentIx>| -> anyhow::Result<Vec<EnvFile>> {
        let mut found = Vec::with_capacity(list.len());
        for path in list {
            match env_file(&at_home(&place(path, &file.base), context), "env_file")? {
                Ok(read) => found.push(read),
                Err(message) => {
                    absent(Absent { agent, field: "env_file".to_owned(), message })?;
                }
            }
        }
        Ok(found)
    };
    let mut facts =
        LaunchFacts { job_files: files(&spec.env_files, None)?, ..LaunchFacts::default() };
    for ix in spec.indices() {
        facts.agent_files.push(files(&spec.agent(ix).env_files, Some(ix))?);
    }
    for path in env_files {
        // Somebody typed it: it has to be there, whatever is to be done.
        let read = env_file(&context.cwd.join(path), "--env-file")?.map_err(invalid)?;
        facts.cli_files.push(read);
    }
    for source in spec.secret_sources() {
        let found = secret(source)?;
        if let Some(wrong) = file.dotenv.wrong() {
            return Err(Refused::new(vec![wrong.clone()], Style::Plain).into());
        }
        let value = match found {
            Ok(value) => value,
            Err(message) => {
                let (agent, name) = user_of(spec, source);
                absent(Absent { agent, field: format!("environment.{name}"), message })?;
                UNREAD.to_owned()
            }
        };
        facts.secrets.insert(source.clone(), value);
    }
    Ok(facts)
}

/// Whose variable is filled from a secret, the first of several.
fn user_of<'a>(spec: &'a JobSpec, source: &SecretSource) -> (Option<AgentIx>, &'a str) {
    let own = spec.indices().map(|ix| (Some(ix), &spec.agent(ix).secrets));
    std::iter::once((None, &spec.secrets))
        .chain(own)
        .find_map(|(agent, secrets)| {
            let (name, _) = secrets.iter().find(|(_, used)| *used == source)?;
            Some((agent, name.as_str()))
        })
        .unwrap_or((None, ""))
}

/// One file of variables. What is wrong in it is an error for everybody.
pub(super) fn env_file(path: &Path, what: &str) -> Found<EnvFile> {
    let name = path.display().to_string();
    let bytes = match dotenv::read_bytes(path) {
        Ok(bytes) => bytes,
        Err(error) => return Ok(Err(format!("cannot read the {what} {name}: {error}"))),
    };
    let variables =
        dotenv::parse(&name, &bytes).map_err(|wrong| Refused::new(vec![wrong], Style::Plain))?;
    Ok(Ok(EnvFile { name, variables }))
}

fn secret(source: &SecretSource, file: &JobFile, context: &Context) -> Found<String> {
    let text = match source {
        SecretSource::Env(name) => match file.variable(name, context) {
            Some(value) => value,
            None => return Ok(Err(not_set(name))),
        },
        SecretSource::File(path) => {
            let path = at_home(&place(path, &file.base), context);
            match std::fs::read_to_string(&path) {
                Ok(text) => text,
                Err(error) => return Ok(Err(unreadable(&path, &error))),
            }
        }
        SecretSource::Cmd(argv) => output(argv, &file.base)?,
    };
    if text.len() > SECRET_BYTES_MAX || text.contains('\0') {
        return Err(invalid("a secret is larger than 64 KiB, or no text".to_owned()));
    }
    let text = text.strip_suffix('\n').unwrap_or(&text);
    Ok(Ok(text.strip_suffix('\r').unwrap_or(text).to_owned()))
}

/// Whether it could be had.
fn look_at_secret(
    source: &SecretSource,
    file: &JobFile,
    context: &Context,
) -> Result<String, String> {
    match source {
        SecretSource::Env(name) => {
            file.variable(name, context).ok_or_else(|| not_set(name))?;
        }
        SecretSource::File(path) => {
            let path = at_home(&place(path, &file.base), context);
            path.metadata().map_err(|error| unreadable(&path, &error))?;
        }
        SecretSource::Cmd(_) => {}
    }
    Ok(UNREAD.to_owned())
}

fn not_set(name: &str) -> String {
    format!("the secret `{{env: {name}}}` is set neither here nor in `.env`")
}

fn unreadable(path: &Path, error: &std::io::Error) -> String {
    format!("cannot read the secret {}: {error}", path.display())
}

fn output(argv: &[String], base: &Path) -> anyhow::Result<String> {
    let program = argv.first().map(String::as_str).unwrap_or_default();
    let output = Command::new(program)
        .args(argv.iter().skip(1))
        .current_dir(base)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| invalid(format!("cannot run the secret's command {program}: {error}")))?;
    if !output.status.success() {
        let status = output.status;
        return Err(invalid(format!("the secret's command {program} failed: {status}")));
    }
    String::from_utf8(output.stdout)
        .map_err(|_| invalid(format!("the secret's command {program} printed no text")))
}

/// Where an agent runs and with which interpreter.
#[derive(Debug, Clone)]
pub(super) struct Located {
    pub(super) site: Site,
    /// Why this interpreter.
    pub(super) source: PythonSource,
    /// What is missing for it.
    missing: Option<Missing>,
}

#[derive(Debug, Clone)]
struct Missing {
    field: &'static str,
    message: String,
    hint: String,
}

impl Located {
    /// Where everything runs on this machine, looks for the working directory too.
    pub(super) fn with_workdir(mut self, agent: &AgentSpec, context: &Context) -> Self {
        let Some(dir) = self.site.workdir.as_ref().filter(|_| agent.workdir.is_some()) else {
            return self;
        };
        let dir = at_home(dir, context);
        if self.missing.is_none() && agent.external().is_none() && !dir.is_dir() {
            self.missing = Some(Missing {
                field: "workdir",
                message: format!("agent `{}`: there is no folder {}", agent.id, dir.display()),
                hint: "`workdir` is relative to the job file".to_owned(),
            });
        }
        self
    }

    /// For a launch, which needs all of it.
    pub(super) fn needed(self) -> anyhow::Result<Site> {
        match self.missing {
            Some(Missing { message, hint, .. }) => {
                let code = a2arun_core::exit_code::LauncherCode::InvalidJob;
                Err(Failure::new(code, message).hint(hint).into())
            }
            None => Ok(self.site),
        }
    }

    /// What is missing, as a warning.
    pub(super) fn warning(&self, agent: &AgentSpec) -> Option<Finding> {
        let Missing { field, message, hint } = self.missing.as_ref()?;
        let finding = Finding::warning(Code::Missing, agent.span, message.as_str());
        Some(finding.about(Some(agent.id.as_str()), *field).help(hint.as_str()))
    }
}

/// Finds it out. What is looked at on disk is looked at here, so it is only known for this
/// machine.
pub(super) fn site(agent: &AgentSpec, base: &Path, here: bool, context: &Context) -> Located {
    let workdir = match &agent.workdir {
        Some(dir) => place(dir, base),
        None => context.cwd.clone(),
    };
    let workdir: PathBuf = workdir.components().collect();
    let mut missing = None;
    let prefix = |v: &str| at_home(&place(v, base), context);
    let venv = agent.venv.as_deref().map(|v| venv(agent, &prefix(v), here, &mut missing));
    let python = agent.python.as_deref().map(|python| {
        if python.contains('/') {
            place(python, base).display().to_string()
        } else {
            python.to_owned()
        }
    });
    let active = here.then(|| active(context)).flatten();
    let there = at_home(&workdir, context);
    let own = here.then(|| interpreter(&there.join(".venv"))).flatten();
    let uv = here && there.join("uv.lock").exists() && finds(context, "uv");
    let choice = choose_python(&PythonFacts {
        venv: venv.as_ref(),
        explicit: python.as_deref(),
        active: active.as_deref(),
        workdir: own.as_deref(),
        uv,
    });
    let site = Site { workdir: Some(workdir), python: choice.python, venv };
    Located { site, source: choice.source, missing }
}

/// A path of a job file. `~/…` stays as it is: the host it is on knows its home.
pub(super) fn place(path: &str, base: &Path) -> PathBuf {
    if path == "~" || path.starts_with("~/") { PathBuf::from(path) } else { base.join(path) }
}

/// `~/…` on this machine.
pub(super) fn at_home(path: &Path, context: &Context) -> PathBuf {
    match (path.strip_prefix("~"), context.text("HOME")) {
        (Ok(rest), Some(home)) => Path::new(&home).join(rest),
        _ => path.to_owned(),
    }
}

fn venv(agent: &AgentSpec, prefix: &Path, here: bool, missing: &mut Option<Missing>) -> Venv {
    let prefix: PathBuf = prefix.components().collect();
    let conda = prefix.join("conda-meta").exists();
    let shown = prefix.display().to_string();
    if here && !conda && !prefix.join("bin").exists() {
        let message = format!("agent `{}`: there is no venv in {shown}", agent.id);
        let hint = format!("python3 -m venv {shown} makes one");
        *missing = Some(Missing { field: "venv", message, hint });
    }
    let kind = if conda { VenvKind::Conda } else { VenvKind::Venv };
    Venv { prefix: shown, kind }
}

fn active(context: &Context) -> Option<String> {
    let names = ["VIRTUAL_ENV", "CONDA_PREFIX"];
    let mut prefixes = names.iter().filter_map(|n| context.text(n)).filter(|v| !v.is_empty());
    prefixes.find_map(|prefix| interpreter(Path::new(&prefix)))
}

fn interpreter(prefix: &Path) -> Option<String> {
    let python = prefix.join("bin/python");
    python.exists().then(|| python.display().to_string())
}

fn finds(context: &Context, program: &str) -> bool {
    let path = context.text("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(program).is_file())
}
