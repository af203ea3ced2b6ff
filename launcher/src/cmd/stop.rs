//! `stop`: through the run's head, or, where it is gone, through its hosts.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use a2arun_core::exit_code::LauncherCode;
use a2arun_core::ids::RunId;
use a2arun_core::result::ResultJson;
use anyhow::Context as _;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout_at};

use crate::cli::{OutputFormat, StopArgs};
use crate::cmd::logs::targets;
use crate::cmd::status::entry;
use crate::cmd::{Context, Failure};
use crate::output::say;
use crate::registry::{Entry, Life, reread};
use crate::session::{PhaseReport, ask_stop, describe, stop_run};
use crate::target::{ConnectError, OnDemand, Target, chain};

/// Behind the largest grace, until a stop counts as failed.
const MARGIN: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(20);

pub(super) async fn stop(args: &StopArgs, context: &Context) -> anyhow::Result<u8> {
    let entry = entry(&args.job.job, context)?;
    if args.job.agent.is_some() {
        let message = format!("`{}` names an agent; a run is stopped as a whole", args.job);
        return Err(Failure::new(LauncherCode::Usage, message).into());
    }
    let limit = args.timeout.unwrap_or(Duration::from_millis(entry.run.grace_ms) + MARGIN);
    let until = Instant::now() + limit;
    match &entry.life {
        Life::Ended(_) => {
            tell(args, &format!("{} has ended already", entry.run.run));
            return Ok(LauncherCode::Ok.code());
        }
        Life::Alive => match ask_stop(&entry.run.socket, args.now).await {
            Ok(()) => return wait_for_head(args, &entry, until, context).await,
            // Between the look and the question it may have ended, or been killed.
            Err(error) => say(&format!("warning: {}: {}", entry.run.run, chain(&error))),
        },
        Life::HeadGone => {}
    }
    without_head(args, &entry, until, context).await
}

fn tell(args: &StopArgs, text: &str) {
    match args.output.output {
        OutputFormat::Quiet => {}
        OutputFormat::Human | OutputFormat::Json | OutputFormat::Jsonl => say(text),
    }
}

async fn wait_for_head(
    args: &StopArgs,
    asked: &Entry,
    until: Instant,
    context: &Context,
) -> anyhow::Result<u8> {
    loop {
        match reread(asked)? {
            Life::Ended(result) => return Ok(ended(args, asked, &result)),
            Life::HeadGone => return without_head(args, asked, until, context).await,
            Life::Alive if Instant::now() >= until => return Err(late(asked)),
            Life::Alive => sleep(LOOK_EVERY).await,
        }
    }
}

/// The head says how it went: what it could not stop is not stopped.
fn ended(args: &StopArgs, asked: &Entry, result: &ResultJson) -> u8 {
    let run = &asked.run.run;
    let why = result.first_cause.as_ref().map(|c| format!(": {}", c.why)).unwrap_or_default();
    let code = if result.counts.survivors > 0 {
        say(&format!("error: {run} has ended and left processes behind{why}"));
        LauncherCode::Internal
    } else if result.counts.unknown > 0 {
        let count = result.counts.unknown;
        say(&format!("error: {run} has ended; the fate of {count} instances is not known{why}"));
        LauncherCode::HostUnreachable
    } else {
        tell(args, &format!("{run} is stopped"));
        LauncherCode::Ok
    };
    code.code()
}

fn late(entry: &Entry) -> anyhow::Error {
    let message = format!("{} has not ended in time", entry.run.run);
    let hint = format!("a2arun stop --now {} kills at once", entry.run.run);
    Failure::new(LauncherCode::NotReady, message).hint(hint).into()
}

/// What a host that was asked has left.
enum Left {
    Nothing,
    /// So many instances were told.
    Told(u32),
}

/// How a host ended its part.
#[derive(Debug, Default)]
struct Gone {
    /// `pid (name)` of what could not be stopped.
    survivors: Vec<String>,
}

/// Every host is told before any is waited for: together they have one limit.
async fn without_head(
    args: &StopArgs,
    entry: &Entry,
    until: Instant,
    context: &Context,
) -> anyhow::Result<u8> {
    let run = &entry.run.run;
    let grace = args.now.then_some(Duration::ZERO);
    let mut hosts = JoinSet::new();
    let mut names = HashMap::new();
    let told = Arc::new(AtomicU32::new(0));
    for (reach, target) in targets(entry, args.trust.as_deref(), context)? {
        let (run, told) = (run.clone(), told.clone());
        let host = hosts.spawn(async move {
            if let Left::Told(count) = tell_host(&target, &run, grace).await? {
                told.fetch_add(count, Ordering::Relaxed);
                return wait_for_host(&target, &run).await;
            }
            Ok(Gone::default())
        });
        names.insert(host.id(), reach.name().to_string());
    }
    let mut worst = LauncherCode::Ok;
    // Safe to drop: a host that has not ended stays in the set.
    while let Ok(Some(joined)) = timeout_at(until, hosts.join_next_with_id()).await {
        let (id, gone) = joined.context("cannot wait for a host")?;
        let host = names.remove(&id).unwrap_or_default();
        match gone {
            Ok(gone) if gone.survivors.is_empty() => {}
            Ok(gone) => {
                let list = gone.survivors.join(", ");
                say(&format!("error: {host}: processes could not be stopped: {list}"));
                worst = LauncherCode::Internal;
            }
            Err(error) => {
                say(&format!("error: {host}: {}", chain(&error)));
                worst = error.exit_code();
            }
        }
    }
    hosts.shutdown().await;
    for host in names.values() {
        say(&format!("error: {host} has not said in time that nothing of {run} is left"));
        worst = LauncherCode::HostUnreachable;
    }
    if worst == LauncherCode::Ok {
        let told = told.load(Ordering::Relaxed);
        let plural = if told == 1 { "instance" } else { "instances" };
        tell(args, &format!("{run} is stopped ({told} {plural} were left)"));
    } else if !args.now && !names.is_empty() {
        say(&format!("hint: a2arun stop --now {run} kills at once"));
    }
    Ok(worst.code())
}

async fn tell_host(
    target: &Target,
    run: &RunId,
    grace: Option<Duration>,
) -> Result<Left, ConnectError> {
    // A noded of this machine that is gone may have been killed: one that is started finds what
    // runs by its records.
    match stop_run(target, run, grace, OnDemand::Start).await {
        Ok(count) => Ok(Left::Told(count)),
        Err(ConnectError::NoRun(_)) => Ok(Left::Nothing),
        Err(error) => Err(error),
    }
}

/// Until the host says that nothing of the run lives; one that says nothing is asked again.
async fn wait_for_host(target: &Target, run: &RunId) -> Result<Gone, ConnectError> {
    loop {
        let mut gone = Gone::default();
        let mut live = false;
        match describe(target, Some(run), false, OnDemand::Start).await {
            Ok(report) => {
                for instance in report.runs.iter().flat_map(|r| &r.instances) {
                    match &instance.phase {
                        PhaseReport::Exited(record) => gone.survivors.extend(
                            record.survivors.iter().map(|s| format!("{} ({})", s.pid, s.comm)),
                        ),
                        PhaseReport::Starting
                        | PhaseReport::Ready
                        | PhaseReport::Unready
                        | PhaseReport::Stopping
                        | PhaseReport::Backoff => live = true,
                    }
                }
            }
            Err(ConnectError::NoRun(_)) => {}
            Err(error) => {
                tracing::debug!(error = %chain(&error), "asked again");
                live = true;
            }
        }
        if !live {
            return Ok(gone);
        }
        sleep(LOOK_EVERY).await;
    }
}
