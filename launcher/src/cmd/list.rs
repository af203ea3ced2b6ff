//! `list`: this machine's runs.

use a2arun_core::exit_code::LauncherCode;
use a2arun_core::status::{InstanceState, JobState, ListJson, StatusJson};
use anyhow::Context as _;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use tokio::task::JoinSet;

use crate::cli::{ListArgs, OutputFormat};
use crate::cmd::Context;
use crate::cmd::status::{Answers, from_hosts};
use crate::output::{Table, print_json, print_line, say};
use crate::registry::{Entry, Life, list as entries, write_closed};
use crate::session::ask_status;
use crate::target::chain;

pub(super) async fn list(args: &ListArgs, context: &Context) -> anyhow::Result<u8> {
    let runs = context.runs()?;
    let (found, damaged) =
        entries(&runs).with_context(|| format!("cannot read {}", runs.path().display()))?;
    for damage in &damaged {
        say(&format!("warning: {}", chain(damage)));
        say(&format!("hint: rm -r {} forgets that run", damage.folder().display()));
    }
    let mut asked = JoinSet::new();
    for (at, entry) in found.into_iter().enumerate() {
        if args.all || !matches!(entry.life, Life::Ended(_)) {
            let context = context.clone();
            asked.spawn(async move { (at, row(&entry, &context).await) });
        }
    }
    let mut rows = asked.join_all().await;
    rows.sort_by_key(|(at, _)| *at);
    let rows: Vec<ListJson> = rows
        .into_iter()
        .map(|(_, row)| row)
        .filter(|row| args.all || row.state != JobState::Inactive)
        .collect();
    match args.output.output {
        OutputFormat::Json => print_json(&rows)?,
        OutputFormat::Jsonl => {
            for row in &rows {
                print_line(&serde_json::to_string(row)?)?;
            }
        }
        OutputFormat::Quiet => {
            for row in &rows {
                print_line(&row.run)?;
            }
        }
        OutputFormat::Human => human(&rows, args.all)?,
    }
    Ok(LauncherCode::Ok.code())
}

async fn row(entry: &Entry, context: &Context) -> ListJson {
    let run = &entry.run;
    let mut row = ListJson {
        job: run.job.to_string(),
        run: run.run.to_string(),
        state: JobState::Inactive,
        size: run.size,
        ready: None,
        hosts: run.hosts.iter().map(|h| h.name().to_string()).collect(),
        started: Some(run.started),
        ended: None,
        result: None,
        exit_code: None,
    };
    match &entry.life {
        Life::Ended(result) => {
            row.ended = Some(result.ended);
            row.result = Some(result.result);
            row.exit_code = Some(result.exit_code);
        }
        // Without a head its hosts still have it for a while, or to its end.
        Life::HeadGone => match from_hosts(entry, None, context).await {
            Ok((status, answers)) => {
                row.state = status.state;
                row.ready = Some(ready_in(&status));
                if status.state == JobState::Inactive && answers == Answers::All {
                    close(entry, &status);
                }
            }
            // Nobody could be asked: that is not to say that it is over.
            Err(error) => {
                say(&format!("warning: {}: {error:#}", run.run));
                row.state = JobState::Degraded;
            }
        },
        Life::Alive => match ask_status(&run.socket).await {
            Ok(status) => {
                row.state = status.state;
                row.ready = Some(ready_in(&status));
            }
            Err(error) => {
                say(&format!("warning: {}: {}", run.run, chain(&error)));
                row.state = JobState::Degraded;
            }
        },
    }
    row
}

/// Every host says that nothing of a run without a head is left: that is how it ended.
fn close(entry: &Entry, status: &StatusJson) {
    if let Err(error) = write_closed(entry, status) {
        tracing::warn!(run = %entry.run.run, %error, "cannot write down that a run is over");
    }
}

fn ready_in(status: &StatusJson) -> u32 {
    let ready = status.instances.iter().filter(|i| i.state == InstanceState::Ready);
    u32::try_from(ready.count()).unwrap_or(u32::MAX)
}

/// `running`, `completed`, `failed, 3`.
fn state(row: &ListJson) -> String {
    match (row.result, row.exit_code) {
        (Some(result), None | Some(0)) => result.as_str().to_owned(),
        (Some(result), Some(code)) => format!("{}, {code}", result.as_str()),
        (None, _) => row.state.as_str().to_owned(),
    }
}

/// In the zone of who reads it; JSON has UTC.
fn local_time(time: Timestamp) -> String {
    time.to_zoned(TimeZone::system()).strftime("%F %T").to_string()
}

fn human(rows: &[ListJson], all: bool) -> anyhow::Result<()> {
    if rows.is_empty() {
        let hint = if all { "" } else { "; `a2arun list --all` shows ended ones" };
        say(&format!("no runs on this machine{hint}"));
        return Ok(());
    }
    let mut table = Table::new(&["RUN", "STATE", "READY", "HOSTS", "STARTED"]);
    for row in rows {
        let ready = row.ready.map_or_else(|| "-".to_owned(), |n| n.to_string());
        let hosts = match row.hosts.as_slice() {
            [one] => one.clone(),
            many => many.len().to_string(),
        };
        table.row([
            row.run.clone(),
            state(row),
            format!("{ready}/{}", row.size),
            hosts,
            row.started.map(local_time).unwrap_or_default(),
        ]);
    }
    print_line(&table.render())?;
    Ok(())
}
