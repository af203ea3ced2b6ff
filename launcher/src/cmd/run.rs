//! `a2arun JOB.yaml`, `a2arun -- PROGRAM`: prepared, launched, held to its end.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use a2arun_core::exit_code::LauncherCode;
use a2arun_core::lines::Sink;
use a2arun_core::machine::job::StopBy;
use anyhow::Context as _;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::cli::{OutputFormat, RunArgs};
use crate::cmd::prepare::{Prepared, prepare};
use crate::cmd::{Context, Failure};
use crate::head::{self, Drained, Io, Job, Outcome, Signals, listen};
use crate::output::{
    Activity, FileWriter, Files, Kept, LogFormat, Printer, Sinks, Talk, Volume, Written,
    print_json, print_line, say,
};
use crate::registry::{
    self, AgentRanks, Journal, JournalWriter, RunFolder, RunJson, boot_id, process_start, prune,
};
use crate::session::serve_head;

/// Questions of other shells that wait for the head.
const ASKS_DEPTH: usize = 16;
/// What a reader that was given up may still take.
const ABANDONED_LIMIT: Duration = Duration::from_millis(100);

pub(super) async fn run(args: RunArgs, context: &Context) -> anyhow::Result<u8> {
    // From here on a Ctrl-C is an orderly end, whatever is being done.
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mut signals = listen(&status).context("cannot listen for signals")?;
    let (args, ready) = match prepare_all(args, context, &mut signals).await {
        Ok(prepared) => prepared,
        Err(stopped) => return Ok(stopped.code()),
    };
    let Ready { prepared, writer, files } = ready?;
    let Prepared { job, warnings, reach, trust, secrets } = prepared;
    if let Some(warnings) = warnings {
        say(&warnings);
    }
    let (printer, sinks) = Printer::start().context("cannot write to stdout or stderr")?;
    let (asks_in, asks) = mpsc::channel(ASKS_DEPTH);
    let folder = open_folder(&job, &reach, trust.as_deref(), secrets, context);
    let mut servers = JoinSet::new();
    let folder = match folder {
        Ok((folder, socket)) => {
            match serve_head(&socket, context.uid, asks_in.clone()) {
                Ok(server) => {
                    servers.spawn(server);
                }
                Err(error) => say(&format!(
                    "warning: other shells cannot reach this run: {}: {error}",
                    socket.display()
                )),
            }
            Some((folder, socket))
        }
        Err(error) => {
            // The job is worth more than its entry in a list.
            say(&format!("warning: this run is not listed: {error:#}"));
            None
        }
    };
    let (journal, journal_writer) = open_journal(folder.as_ref().map(|(folder, _)| folder), &job);
    let (io, kept) = make_io(&args, context, &job, sinks, (files, journal), asks);
    let mut outcome = head::run(job, io, signals).await;
    servers.shutdown().await;
    if let Some(Err(error)) = journal_writer.map(JournalWriter::drain) {
        say(&format!("warning: not every event is written down: {error}"));
    }
    finish_files(writer, args.output_dir.as_deref(), context, &mut outcome).await;
    if let Some((folder, socket)) = folder {
        let written = folder
            .write_status(&outcome.status)
            .and_then(|()| folder.write_result(&outcome.result));
        if let Err(error) = written {
            say(&format!("warning: cannot write {}: {error}", folder.path().display()));
        }
        // It may lie outside of the folder.
        let _ = std::fs::remove_file(socket);
        // Looking at every folder costs more than a short job: now and then is enough.
        if outcome.result.run.ends_with(['0', '8'])
            && let Ok(runs) = context.runs()
        {
            prune(&runs);
        }
    }
    let abandoned = outcome.drained == Drained::Abandoned;
    let printed = drain(printer, abandoned, &status).await?;
    conclude(&args, context, &outcome, kept)?;
    Ok(match (outcome.exit_code, printed) {
        (0, Written::Partly) => LauncherCode::Internal.code(),
        (code, _) => code,
    })
}

/// A job and the files of its output.
struct Ready {
    prepared: Prepared,
    writer: Option<FileWriter>,
    files: Option<Files>,
}

/// Reads, plans and makes files on a thread of its own: a job file may be a pipe, a folder on a
/// file system that does not answer, and a Ctrl-C is to end that too. `Err`: it did.
async fn prepare_all(
    args: RunArgs,
    context: &Context,
    signals: &mut Signals,
) -> Result<(RunArgs, anyhow::Result<Ready>), LauncherCode> {
    let context = context.clone();
    let preparing = tokio::task::spawn_blocking(move || {
        let ready = make_ready(&args, &context);
        (args, ready)
    });
    // No loop around it: whichever comes first. A thread that hangs ends with the process.
    tokio::select! {
        by = signals.next() => Err(match by {
            StopBy::Interrupt => LauncherCode::Interrupted,
            StopBy::Terminate | StopBy::Request | StopBy::RequestNow | StopBy::Done => {
                LauncherCode::Terminated
            }
        }),
        prepared = preparing => match prepared {
            Ok(ready) => Ok(ready),
            Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
        },
    }
}

fn make_ready(args: &RunArgs, context: &Context) -> anyhow::Result<Ready> {
    let prepared = prepare(args, context)?;
    let (writer, files) = match &args.output_dir {
        Some(dir) => {
            let dir = context.cwd.join(dir);
            let (writer, files) = FileWriter::start(&dir, &prepared.job.plan)
                .with_context(|| format!("cannot write to {}", dir.display()))?;
            (Some(writer), Some(files))
        }
        None => (None, None),
    };
    Ok(Ready { prepared, writer, files })
}

/// The printing threads end when the head, which held their other ends, is gone, and our reader
/// has taken everything; a reader that stands still can be left behind by a Ctrl-C.
async fn drain(printer: Printer, abandoned: bool, status: &str) -> anyhow::Result<Written> {
    let mut signals = listen(status).context("cannot listen for signals")?;
    // No loop around it: whichever comes first is the end. The threads go on writing until the
    // process is gone.
    let written = tokio::select! {
        written = printer.drain() => written,
        // Who does not want to wait does not want to be told either.
        _ = signals.next() => Written::All,
        () = sleep(ABANDONED_LIMIT), if abandoned => Written::All,
    };
    Ok(written)
}

fn make_io(
    args: &RunArgs,
    context: &Context,
    job: &Job,
    sinks: Sinks,
    (files, journal): (Option<Files>, Journal),
    asks: mpsc::Receiver<head::Ask>,
) -> (Io, Kept) {
    let volume = match (args.output.output, job.program, args.verbose) {
        (OutputFormat::Quiet, _, _) => Volume::Errors,
        (_, true, false) => Volume::Errors,
        (OutputFormat::Human | OutputFormat::Json | OutputFormat::Jsonl, _, _) => Volume::Progress,
    };
    let (talk, kept) =
        Talk::new(&sinks, context.stderr_style(args.output), volume, job.mask.clone());
    let sink = |terminal: bool| if terminal { Sink::Terminal } else { Sink::Raw };
    let format = match args.output.output {
        OutputFormat::Jsonl => LogFormat::Jsonl { seq: Arc::new(AtomicU64::new(1)) },
        format @ (OutputFormat::Human | OutputFormat::Json | OutputFormat::Quiet) => {
            LogFormat::Tagged {
                stdout: sink(context.stdout_terminal),
                stderr: sink(context.stderr_terminal),
                style: context.log_style(args.output),
                // stdout is for the result, or for the answer, then.
                all_to_stderr: format == OutputFormat::Json || job.question.is_some(),
            }
        }
    };
    let activity = Arc::new(Activity::default());
    let io = Io { sinks, talk, format, files, activity, journal, asks };
    (io, kept)
}

/// The job is worth more than its journal.
fn open_journal(folder: Option<&RunFolder>, job: &Job) -> (Journal, Option<JournalWriter>) {
    match folder.map(|folder| Journal::start(folder.path(), job.mask.clone())) {
        Some(Ok((journal, writer))) => (journal, Some(writer)),
        Some(Err(error)) => {
            say(&format!("warning: no events of this run are written down: {error}"));
            (Journal::nowhere(), None)
        }
        None => (Journal::nowhere(), None),
    }
}

fn open_folder(
    job: &Job,
    reach: &[registry::HostReach],
    trust: Option<&Path>,
    secrets: Vec<registry::SecretRef>,
    context: &Context,
) -> anyhow::Result<(RunFolder, std::path::PathBuf)> {
    let runs = context.runs()?;
    let folder = RunFolder::create(&runs, &job.run)
        .with_context(|| format!("cannot make a folder in {}", runs.path().display()))?;
    let paths = context.paths()?;
    let socket = folder.socket(&paths.runtime_dir, &job.run);
    if !socket.starts_with(folder.path()) {
        paths.create()?;
    }
    let grace = job.spec.agents.iter().map(|a| a.stop.grace).max().unwrap_or(Duration::ZERO);
    let pid = std::process::id();
    let run = RunJson {
        version: registry::VERSION,
        job: job.plan.job.clone(),
        run: job.run.clone(),
        size: job.plan.size(),
        started: job.started,
        pid,
        pid_started: process_start(pid).unwrap_or(0),
        boot_id: boot_id(),
        socket: socket.clone(),
        grace_ms: u64::try_from(grace.as_millis()).unwrap_or(u64::MAX),
        hosts: reach.to_vec(),
        agents: job
            .plan
            .agents
            .iter()
            .map(|a| AgentRanks {
                id: a.id.clone(),
                first: a.first,
                count: a.count,
                external: a.external.clone(),
            })
            .collect(),
        placed: job.plan.instances.iter().map(|i| i.host.0).collect(),
        trust: trust.map(Path::to_owned),
        entry: job.entry_point().map(|ix| job.spec.agent(ix).id.clone()),
        secrets,
        secret_names: job.facts.secret_names(&job.spec).into_iter().map(str::to_owned).collect(),
    };
    folder
        .write_run(&run)
        .with_context(|| format!("cannot write to {}", folder.path().display()))?;
    Ok((folder, socket))
}

/// What was to be written must be there, or the command has failed; a code that is none of ours
/// stands. The result is written in any case: what is there must say how it ended.
async fn finish_files(
    writer: Option<FileWriter>,
    dir: Option<&Path>,
    context: &Context,
    outcome: &mut Outcome,
) {
    let (Some(writer), Some(dir)) = (writer, dir) else { return };
    if writer.drain().await == Written::Partly {
        failed(outcome);
    }
    let dir = context.cwd.join(dir);
    let result = outcome.result.clone();
    let path = dir.clone();
    let write = move || registry::write_result(&path, &result, 0o644);
    let written = tokio::task::spawn_blocking(write).await;
    if let Err(error) = written.unwrap_or_else(|e| Err(std::io::Error::other(e))) {
        say(&format!("error: cannot write the result to {}: {error}", dir.display()));
        failed(outcome);
    }
}

/// The launcher could not do its part.
fn failed(outcome: &mut Outcome) {
    if outcome.exit_code == 0 {
        outcome.exit_code = LauncherCode::Internal.code();
        outcome.result.exit_code = outcome.exit_code;
    }
}

/// The last words: what went wrong, once, and the result where it was asked for.
fn conclude(
    args: &RunArgs,
    context: &Context,
    outcome: &Outcome,
    mut kept: Kept,
) -> anyhow::Result<()> {
    let style = context.stderr_style(args.output);
    while let Some(text) = kept.take() {
        say(&text);
    }
    if let Some(cause) = &outcome.cause {
        if !outcome.last_words.is_empty() {
            let count = outcome.last_words.len();
            let plural = if count == 1 { "line" } else { "lines" };
            let mut block = style.bold(&format!("its last {count} {plural} on stderr:"));
            for line in &outcome.last_words {
                block.push_str("\n  ");
                block.push_str(line);
            }
            say(&block);
        }
        say(&format!("{} {cause}", style.error("error:")));
        outcome.hints.iter().for_each(|h| say(&format!("{} {h}", style.bold("hint:"))));
    }
    match args.output.output {
        OutputFormat::Json => print_json(&outcome.result),
        OutputFormat::Jsonl => print_line(&serde_json::to_string(&outcome.result)?),
        OutputFormat::Human | OutputFormat::Quiet => Ok(()),
    }
    .map_err(|error| {
        Failure::new(LauncherCode::Internal, format!("cannot write the result: {error}")).into()
    })
}
