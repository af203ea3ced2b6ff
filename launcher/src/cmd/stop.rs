//! `stop`: through the run's head, or, where it is gone, through its hosts.

use std::time::Duration;

use a2arun_core::exit_code::LauncherCode;
use tokio::time::{Instant, sleep};

use crate::cli::{OutputFormat, StopArgs};
use crate::cmd::logs::targets;
use crate::cmd::status::entry;
use crate::cmd::{Context, Failure};
use crate::output::say;
use crate::registry::{Entry, Life};
use crate::session::{PhaseReport, ask_stop, describe, stop_run};
use crate::target::chain;

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
        match entry(asked.run.run.as_str(), context)?.life {
            Life::Ended(_) => {
                tell(args, &format!("{} is stopped", asked.run.run));
                return Ok(LauncherCode::Ok.code());
            }
            Life::HeadGone => return without_head(args, asked, until, context).await,
            Life::Alive if Instant::now() >= until => return Err(late(asked)),
            Life::Alive => sleep(LOOK_EVERY).await,
        }
    }
}

fn late(entry: &Entry) -> anyhow::Error {
    let message = format!("{} has not ended in time", entry.run.run);
    let hint = format!("a2arun stop --now {} kills at once", entry.run.run);
    Failure::new(LauncherCode::NotReady, message).hint(hint).into()
}

async fn without_head(
    args: &StopArgs,
    entry: &Entry,
    until: Instant,
    context: &Context,
) -> anyhow::Result<u8> {
    let mut worst = LauncherCode::Ok;
    let mut told = 0;
    let grace = args.now.then_some(Duration::ZERO);
    for (reach, target) in targets(entry, args.trust.as_deref(), context)? {
        let host = reach.name();
        match stop_run(&target, &entry.run.run, grace).await {
            Ok(count) => told += count,
            // A noded of this machine that is gone has nothing running: it leaves last.
            Err(error) if error.is_local_and_gone() => continue,
            Err(error) => {
                say(&format!("error: {host}: {}", chain(&error)));
                worst = error.exit_code();
                continue;
            }
        }
        loop {
            let report = describe(&target, Some(&entry.run.run), false).await;
            let live = match report {
                Ok(report) => report
                    .runs
                    .iter()
                    .flat_map(|r| &r.instances)
                    .any(|i| !matches!(i.phase, PhaseReport::Exited(_))),
                Err(_) => false,
            };
            if !live {
                break;
            }
            if Instant::now() >= until {
                return Err(late(entry));
            }
            sleep(LOOK_EVERY).await;
        }
    }
    if worst == LauncherCode::Ok {
        let plural = if told == 1 { "instance" } else { "instances" };
        tell(args, &format!("{} is stopped ({told} {plural} were left)", entry.run.run));
    }
    Ok(worst.code())
}
