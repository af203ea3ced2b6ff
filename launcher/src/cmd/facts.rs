//! What a job asks for that lies outside its file: files of variables, secrets, prefixes of
//! Python. Read once, before any host is reached; no value gets into a message.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use a2arun_core::exit_code::LauncherCode;
use a2arun_core::plan::{EnvFile, LaunchFacts, PythonFacts, Site, Venv, VenvKind, choose_python};
use a2arun_core::spec::render::{Style, render};
use a2arun_core::spec::{AgentSpec, JobSpec, SecretSource};

use crate::cmd::dotenv::{self, DotEnv};
use crate::cmd::{Context, Failure};

/// A secret is a line or a key, not a disk.
const SECRET_BYTES_MAX: usize = 64 << 10;

/// Reads everything that `spec` refers to; paths are relative to `base`, variables come from here,
/// else from the `.env` beside the job file.
pub(super) fn read(
    spec: &JobSpec,
    base: &Path,
    dotenv: &DotEnv,
    context: &Context,
) -> anyhow::Result<LaunchFacts> {
    let variable = |name: &str| context.text(name).or_else(|| dotenv.get(name));
    let files = |list: &[String]| -> anyhow::Result<Vec<EnvFile>> {
        list.iter().map(|file| env_file(&at_home(&place(file, base), context))).collect()
    };
    let mut facts = LaunchFacts { job_files: files(&spec.env_files)?, ..LaunchFacts::default() };
    for agent in &spec.agents {
        facts.agent_files.push(files(&agent.env_files)?);
    }
    for source in spec.secret_sources() {
        facts.secrets.insert(source.clone(), secret(source, base, &variable, context)?);
    }
    if let Some(text) = dotenv.rendered(Style::Plain) {
        return Err(invalid(text));
    }
    Ok(facts)
}

fn invalid(message: String) -> anyhow::Error {
    Failure::new(LauncherCode::InvalidJob, message).into()
}

/// One file of variables.
pub(super) fn env_file(path: &Path) -> anyhow::Result<EnvFile> {
    let name = path.display().to_string();
    let bytes = dotenv::read_bytes(path)
        .map_err(|error| invalid(format!("cannot read the env_file {name}: {error}")))?;
    let variables = dotenv::parse(&bytes)
        .map_err(|(text, findings)| invalid(render(&name, &text, &findings, Style::Plain)))?;
    Ok(EnvFile { name, variables })
}

fn secret(
    source: &SecretSource,
    base: &Path,
    variable: &dyn Fn(&str) -> Option<String>,
    context: &Context,
) -> anyhow::Result<String> {
    let text = match source {
        SecretSource::Env(name) => variable(name)
            .ok_or_else(|| invalid(format!("the secret `{{env: {name}}}` is not set here")))?,
        SecretSource::File(file) => {
            let path = at_home(&place(file, base), context);
            let shown = path.display();
            std::fs::read_to_string(&path)
                .map_err(|error| invalid(format!("cannot read the secret {shown}: {error}")))?
        }
        SecretSource::Cmd(argv) => output(argv, base)?,
    };
    if text.len() > SECRET_BYTES_MAX || text.contains('\0') {
        return Err(invalid("a secret is larger than 64 KiB, or no text".to_owned()));
    }
    let text = text.strip_suffix('\n').unwrap_or(&text);
    Ok(text.strip_suffix('\r').unwrap_or(text).to_owned())
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

/// Where an agent runs and with which interpreter. What is looked at on disk is looked at here,
/// so it is only known for this machine.
pub(super) fn site(
    agent: &AgentSpec,
    base: &Path,
    local: bool,
    context: &Context,
) -> anyhow::Result<Site> {
    let workdir = match &agent.workdir {
        Some(dir) => place(dir, base),
        None => context.cwd.clone(),
    };
    let workdir: PathBuf = workdir.components().collect();
    let venv =
        agent.venv.as_deref().map(|v| venv(agent, &at_home(&place(v, base), context), local));
    let venv = venv.transpose()?;
    let python = agent.python.as_deref().map(|python| {
        if python.contains('/') {
            place(python, base).display().to_string()
        } else {
            python.to_owned()
        }
    });
    let active = local.then(|| active(context)).flatten();
    let here = at_home(&workdir, context);
    let own = local.then(|| interpreter(&here.join(".venv"))).flatten();
    let uv = local && here.join("uv.lock").exists() && finds(context, "uv");
    let choice = choose_python(&PythonFacts {
        venv: venv.as_ref(),
        explicit: python.as_deref(),
        active: active.as_deref(),
        workdir: own.as_deref(),
        uv,
    });
    Ok(Site { workdir: Some(workdir), python: choice.python, venv })
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

fn venv(agent: &AgentSpec, prefix: &Path, local: bool) -> anyhow::Result<Venv> {
    let prefix: PathBuf = prefix.components().collect();
    let conda = prefix.join("conda-meta").exists();
    let shown = prefix.display().to_string();
    if local && !conda && !prefix.join("bin").exists() {
        let message = format!("agent `{}`: `venv` {shown} is no virtual environment", agent.id);
        return Err(Failure::new(LauncherCode::InvalidJob, message)
            .hint(format!("python3 -m venv {shown} makes one"))
            .into());
    }
    let kind = if conda { VenvKind::Conda } else { VenvKind::Venv };
    Ok(Venv { prefix: shown, kind })
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
