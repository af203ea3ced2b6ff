//! `status`: one run, from its head, or from its hosts where the head is gone.

use std::path::Path;
use std::time::Duration;

use a2arun_core::exit_code::LauncherCode;
use a2arun_core::ids::Rank;
use a2arun_core::status::{ExitJson, InstanceState, InstanceStatusJson, JobState, StatusJson};
use anyhow::Context as _;
use jiff::Timestamp;
use tokio::task::JoinSet;

use crate::cli::{JobRef, OutputFormat, StatusArgs};
use crate::cmd::{Context, Failure};
use crate::output::{Table, duration, print_json, print_line, say};
use crate::registry::{Entry, Found, Life, RunJson, find, last_status, list};
use crate::session::{InstanceReport, PhaseReport, ask_status, describe};
use crate::target::{ConnectError, OnDemand, chain};

pub(super) async fn status(args: &StatusArgs, context: &Context) -> anyhow::Result<u8> {
    let job = meant(args.job.as_ref(), context)?;
    let entry = entry(&job.job, context)?;
    let (mut status, answers) = current(&entry, context).await?;
    if let Some(agent) = &job.agent {
        status.instances.retain(|i| {
            let copy = job.index.is_none_or(|n| i.name == format!("{agent}[{n}]"));
            (i.agent == *agent || i.rank.to_string() == *agent) && copy
        });
        if status.instances.is_empty() {
            return Err(super::logs::no_such_agent(&job, &entry.run));
        }
    }
    match args.output.output {
        OutputFormat::Json => print_json(&status)?,
        OutputFormat::Jsonl => print_line(&serde_json::to_string(&status)?)?,
        OutputFormat::Quiet => {}
        OutputFormat::Human => human(&status)?,
    }
    Ok(match answers {
        Answers::All => LauncherCode::Ok.code(),
        Answers::Some => LauncherCode::HostUnreachable.code(),
    })
}

/// A run as its head says it is, as it was at its end, or as its hosts know it.
pub(super) async fn current(
    entry: &Entry,
    context: &Context,
) -> anyhow::Result<(StatusJson, Answers)> {
    Ok(match &entry.life {
        Life::Alive => {
            let status = ask_status(&entry.run.socket)
                .await
                .with_context(|| format!("cannot ask the head of {}", entry.run.run))?;
            (status, Answers::All)
        }
        Life::Ended(_) => match last_status(entry)? {
            Some(status) => (status, Answers::All),
            None => from_hosts(entry, None, context).await?,
        },
        Life::HeadGone => from_hosts(entry, None, context).await?,
    })
}

/// What is named; without a name the run that lives, else the newest.
pub(super) fn meant(job: Option<&JobRef>, context: &Context) -> anyhow::Result<JobRef> {
    if let Some(job) = job {
        return Ok(job.clone());
    }
    let runs = context.runs()?;
    let (found, _) =
        list(&runs).with_context(|| format!("cannot read {}", runs.path().display()))?;
    let live: Vec<&Entry> = found.iter().filter(|e| matches!(e.life, Life::Alive)).collect();
    let one = match (live.as_slice(), found.first()) {
        ([one], _) => *one,
        ([], Some(newest)) => newest,
        ([], None) => {
            let failure = Failure::new(LauncherCode::Usage, "there are no runs on this machine");
            return Err(failure.hint("a2arun JOB.yaml starts one").into());
        }
        (several, _) => {
            let names: Vec<&str> = several.iter().map(|e| e.run.run.as_str()).collect();
            let message = format!("several runs are on; name one: {}", names.join(", "));
            return Err(Failure::new(LauncherCode::Usage, message).into());
        }
    };
    Ok(JobRef { job: one.run.run.to_string(), agent: None, index: None })
}

/// The run that a name means.
pub(super) fn entry(name: &str, context: &Context) -> anyhow::Result<Entry> {
    let runs = context.runs()?;
    let (found, damaged) =
        list(&runs).with_context(|| format!("cannot read {}", runs.path().display()))?;
    match find(found, name) {
        Found::One(entry) => Ok(*entry),
        Found::None => {
            // What cannot be read may be what was meant; otherwise `list` tells of it.
            damaged.iter().for_each(|d| say(&format!("warning: {}", chain(d))));
            Err(Failure::new(LauncherCode::Usage, format!("no run is called `{name}`"))
                .hint("a2arun list --all shows them")
                .into())
        }
        Found::Several(runs) => {
            let message = format!("`{name}` fits several runs: {}", runs.join(", "));
            let failure = Failure::new(LauncherCode::Usage, message);
            Err(failure.hint("a2arun list says since when each runs").into())
        }
    }
}

/// A run as its hosts know it. A host that does not answer is said, and its instances are shown
/// as lost: nobody knows that they are gone.
pub(super) async fn from_hosts(
    entry: &Entry,
    trust: Option<&Path>,
    context: &Context,
) -> anyhow::Result<(StatusJson, Answers)> {
    let run = &entry.run;
    // A noded of this machine that is gone may have been killed: one that is started finds what
    // runs by its records. What has ended needs no proof any more.
    let on_demand = match &entry.life {
        Life::HeadGone => OnDemand::Start,
        Life::Alive | Life::Ended(_) => OnDemand::Never,
    };
    let mut asked = JoinSet::new();
    for (at, (reach, target)) in
        super::logs::targets(entry, trust, context)?.into_iter().enumerate()
    {
        let id = run.run.clone();
        asked
            .spawn(async move { (at, reach, describe(&target, Some(&id), true, on_demand).await) });
    }
    let mut instances: Vec<InstanceStatusJson> = Vec::new();
    let mut lost = Vec::new();
    for (at, reach, answer) in asked.join_all().await {
        let host = reach.name().to_string();
        match answer {
            Ok(report) => {
                for run in report.runs.into_iter().filter(|r| r.run == run.run.as_str()) {
                    instances.extend(run.instances.iter().map(|i| instance(i, &host)));
                }
            }
            // A noded of this machine leaves when it has nothing left.
            Err(error) if error.is_local_and_gone() => {}
            Err(ConnectError::NoRun(_)) => {}
            Err(error) => {
                say(&format!("warning: {host}: {}", chain(&error)));
                lost.push((at, host));
            }
        }
    }
    for (at, host) in &lost {
        for rank in run.ranks_of(*at) {
            if instances.iter().all(|i| i.rank != rank.0) {
                instances.push(unheard(run, rank, host));
            }
        }
    }
    instances.sort_by_key(|i| i.rank);
    let (result, since) = match &entry.life {
        Life::Ended(result) => (Some(result.result), Some(result.ended)),
        Life::Alive | Life::HeadGone => (None, None),
    };
    let live = instances.iter().any(|i| i.state != InstanceState::Exited);
    let state = match (&entry.life, live) {
        (Life::Ended(_), _) | (Life::HeadGone, false) => JobState::Inactive,
        (Life::HeadGone, true) => JobState::Degraded,
        (Life::Alive, _) => JobState::Running,
    };
    let (job, run) = (run.job.to_string(), run.run.to_string());
    let answers = if lost.is_empty() { Answers::All } else { Answers::Some };
    Ok((StatusJson { job, run, state, result, since, instances }, answers))
}

/// Whether every host answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answers {
    All,
    Some,
}

/// An instance of a host that does not answer.
fn unheard(run: &RunJson, rank: Rank, host: &str) -> InstanceStatusJson {
    let (agent, index) = run.name_of(rank).unwrap_or_else(|| ("?".to_owned(), rank.0));
    InstanceStatusJson {
        name: format!("{agent}[{index}]"),
        agent,
        rank: rank.0,
        host: host.to_owned(),
        state: InstanceState::Lost,
        ready: None,
        card: None,
        net: None,
        pid: None,
        incarnation: None,
        restarts: 0,
        url: None,
        exit: None,
        since: None,
        cpu_percent: None,
        memory_bytes: None,
    }
}

fn instance(report: &InstanceReport, host: &str) -> InstanceStatusJson {
    let (state, exit) = match &report.phase {
        PhaseReport::Starting => (InstanceState::Starting, None),
        PhaseReport::Ready => (InstanceState::Ready, None),
        PhaseReport::Unready => (InstanceState::Unready, None),
        PhaseReport::Stopping => (InstanceState::Stopping, None),
        PhaseReport::Backoff => (InstanceState::Backoff, None),
        PhaseReport::Exited(record) => (InstanceState::Exited, Some(ExitJson::from(&**record))),
    };
    InstanceStatusJson {
        name: report.name.clone(),
        agent: report.name.split('[').next().unwrap_or_default().to_owned(),
        rank: report.rank.0,
        host: host.to_owned(),
        state,
        ready: Some(state == InstanceState::Ready),
        card: report.seen.as_ref().map(|seen| seen.card.is_some()),
        net: None,
        pid: report.pid,
        incarnation: Some(report.incarnation.0),
        restarts: report.incarnation.0.saturating_sub(1),
        url: None,
        exit,
        since: report.started,
        cpu_percent: report.cpu_percent,
        memory_bytes: report.memory_bytes,
    }
}

fn human(status: &StatusJson) -> anyhow::Result<()> {
    let result = status.result.map(|r| format!(", {}", r.as_str())).unwrap_or_default();
    let mut text = format!("{} {}{result}\n", status.run, status.state.as_str());
    let columns = [
        "RANK", "INSTANCE", "HOST", "STATE", "SINCE", "CARD", "NET", "READY", "PID", "EXIT", "URL",
    ];
    let mut table = Table::new(&columns);
    let dash = || "-".to_owned();
    let now = Timestamp::now();
    let mark = |seen: Option<bool>| match seen {
        Some(true) => "✓".to_owned(),
        Some(false) => "✗".to_owned(),
        None => dash(),
    };
    for i in &status.instances {
        let exit = i.exit.as_ref().map_or_else(dash, |exit| match (exit.code, exit.signal) {
            (Some(code), _) => code.to_string(),
            (None, Some(signal)) => format!("signal {signal}"),
            (None, None) => exit.reason.clone(),
        });
        table.row([
            i.rank.to_string(),
            i.name.clone(),
            i.host.clone(),
            i.state.as_str().to_owned(),
            i.since
                .and_then(|since| Duration::try_from(now.duration_since(since)).ok())
                .map_or_else(dash, duration),
            mark(i.card),
            mark(i.net),
            // Readiness is of those who live.
            if i.state == InstanceState::Exited { dash() } else { mark(i.ready) },
            i.pid.map_or_else(dash, |p| p.to_string()),
            exit,
            i.url.clone().unwrap_or_else(dash),
        ]);
    }
    text.push_str(&table.render());
    print_line(&text)?;
    Ok(())
}
