//! `events`: what happened to a run, from its journal.

use std::time::Duration;

use a2arun_core::exit_code::LauncherCode;
use a2arun_core::ids::Rank;
use a2arun_core::lines::visible;
use a2arun_core::status::EventJson;
use anyhow::Context as _;
use serde_json::Value;
use tokio::time::sleep;

use crate::cli::{EventsArgs, OutputFormat};
use crate::cmd::Context;
use crate::cmd::status::{entry, meant};
use crate::output::{print_json, print_line};
use crate::registry::{Entry, Events, Life, reread};

/// How often it is looked for more.
const LOOK_EVERY: Duration = Duration::from_millis(100);

pub(super) async fn events(args: &EventsArgs, context: &Context) -> anyhow::Result<u8> {
    let job = meant(args.job.as_ref(), context)?;
    let entry = entry(&job.job, context)?;
    let ranks = super::logs::ranks(&job, &entry.run)?;
    let mut reader = Events::of(&entry.path);
    let mut first = read(&mut reader, ranks.as_deref(), &entry)?;
    if let Some(lines) = args.lines {
        first.drain(..first.len().saturating_sub(lines));
    }
    if args.output.output == OutputFormat::Json && !args.follow {
        print_json(&first)?;
        return Ok(LauncherCode::Ok.code());
    }
    print(&first, args)?;
    if args.follow {
        loop {
            // In this order: what was written before the end was seen is read.
            let over = matches!(reread(&entry)?, Life::Ended(_) | Life::HeadGone);
            print(&read(&mut reader, ranks.as_deref(), &entry)?, args)?;
            if over {
                break;
            }
            sleep(LOOK_EVERY).await;
        }
    }
    Ok(LauncherCode::Ok.code())
}

fn read(
    reader: &mut Events,
    ranks: Option<&[Rank]>,
    entry: &Entry,
) -> anyhow::Result<Vec<EventJson>> {
    let mut events = reader
        .next()
        .with_context(|| format!("cannot read the events in {}", entry.path.display()))?;
    if let Some(ranks) = ranks {
        events.retain(|event| event.rank.is_some_and(|rank| ranks.contains(&Rank(rank))));
    }
    Ok(events)
}

fn print(events: &[EventJson], args: &EventsArgs) -> anyhow::Result<()> {
    for event in events {
        match args.output.output {
            OutputFormat::Json | OutputFormat::Jsonl => {
                print_line(&serde_json::to_string(event)?)?;
            }
            OutputFormat::Human => print_line(&human(event))?,
            OutputFormat::Quiet => {}
        }
    }
    Ok(())
}

fn one_line(text: &str) -> String {
    let mut lines = text.lines();
    let first = visible(lines.next().unwrap_or_default());
    if lines.next().is_some() { format!("{first} …") } else { first }
}

/// `07:32:52.199 spawned      0 w@vm  pid 6805`.
pub(super) fn human(event: &EventJson) -> String {
    let time = event.time.to_zoned(jiff::tz::TimeZone::system()).strftime("%H:%M:%S%.3f");
    let whom = match (event.rank, &event.agent, &event.host) {
        (Some(rank), Some(agent), Some(host)) => format!("{rank} {agent}@{host}"),
        (_, _, Some(host)) => host.clone(),
        _ => "-".to_owned(),
    };
    let mut text = format!("{time} {:<12} {whom}", event.kind);
    for (key, value) in &event.more {
        let shown = match value {
            Value::Null => continue,
            Value::String(text) => one_line(text),
            other => other.to_string(),
        };
        text.push_str("  ");
        match (key.as_str(), event.kind.as_str()) {
            ("message" | "detail" | "state" | "result" | "reason", _) => text.push_str(&shown),
            ("after_ms", _) => text.push_str(&format!("after {shown} ms")),
            ("url", _) => text.push_str(&shown),
            (key, _) => text.push_str(&format!("{} {shown}", key.replace('_', " "))),
        }
    }
    text
}
