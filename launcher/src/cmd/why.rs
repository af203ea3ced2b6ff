//! `why`: what is known of why an instance is as it is, the last first cause at the top.

use std::collections::BTreeMap;
use std::time::Duration;

use a2arun_core::exit_code::LauncherCode;
use a2arun_core::ids::{Incarnation, Rank};
use a2arun_core::lines::visible;
use a2arun_core::status::{EventJson, InstanceState, InstanceStatusJson, JobState, StatusJson};
use anyhow::Context as _;
use jiff::Timestamp;
use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::cli::{OutputFormat, WhyArgs};
use crate::cmd::status::{Answers, current, entry, meant};
use crate::cmd::{Context, secrets};
use crate::output::{duration, print_json, print_line, say};
use crate::registry::{Entry, Events, Life};
use crate::session::{Chunk, ChunkSink, LogRequest, StreamKind, read_logs};

/// How much of its last words is shown.
const TAIL_LINES: usize = 20;
const TAIL_BYTES: u64 = 16 << 10;
const TAIL_LIMIT: Duration = Duration::from_secs(2);
/// How many instances are told of where nobody was named.
const TOLD_MAX: usize = 8;

/// `why --output json`: a list of these.
#[derive(Debug, Serialize)]
struct WhyJson<'a> {
    name: &'a str,
    rank: u32,
    host: &'a str,
    state: InstanceState,
    since: Option<Timestamp>,
    because: Vec<String>,
    stderr: Vec<String>,
}

pub(super) async fn why(args: &WhyArgs, context: &Context) -> anyhow::Result<u8> {
    let job = meant(args.job.as_ref(), context)?;
    let entry = entry(&job.job, context)?;
    let ranks = super::logs::ranks(&job, &entry.run)?;
    let (status, answers) = current(&entry, context).await?;
    let events = Events::of(&entry.path)
        .next()
        .with_context(|| format!("cannot read the events in {}", entry.path.display()))?;
    let meant = |i: &&InstanceStatusJson| match &ranks {
        Some(ranks) => ranks.contains(&Rank(i.rank)),
        None => !is_well(i),
    };
    let told: Vec<&InstanceStatusJson> = status.instances.iter().filter(meant).collect();
    let shown = if ranks.is_some() { told.len() } else { told.len().min(TOLD_MAX) };
    let mut words = last_words(&told[..shown], &entry, context).await;
    let mut whys = Vec::with_capacity(shown);
    for instance in &told[..shown] {
        let stderr = words.remove(&instance.rank).unwrap_or_default();
        whys.push(WhyJson {
            name: &instance.name,
            rank: instance.rank,
            host: &instance.host,
            state: instance.state,
            since: instance.since,
            because: because(instance, &status, &events),
            stderr,
        });
    }
    match args.output.output {
        OutputFormat::Json => print_json(&whys)?,
        OutputFormat::Jsonl => {
            for why in &whys {
                print_line(&serde_json::to_string(why)?)?;
            }
        }
        OutputFormat::Quiet => {}
        OutputFormat::Human => {
            if let Life::HeadGone = entry.life {
                let pid = entry.run.pid;
                print_line(&format!(
                    "{}: its head (pid {pid}) is gone without a word",
                    status.run
                ))?;
            }
            human(&whys, told.len() - shown, &status)?;
        }
    }
    Ok(match answers {
        Answers::All => LauncherCode::Ok.code(),
        Answers::Some => LauncherCode::HostUnreachable.code(),
    })
}

/// Nothing needs to be explained.
fn is_well(instance: &InstanceStatusJson) -> bool {
    match instance.state {
        InstanceState::Ready => instance.net != Some(false),
        InstanceState::Exited => {
            let orderly = |reason: &str| matches!(reason, "completed" | "stopped");
            instance.exit.as_ref().is_some_and(|exit| orderly(&exit.reason))
        }
        InstanceState::Pending
        | InstanceState::Assigned
        | InstanceState::Starting
        | InstanceState::Unready
        | InstanceState::Stopping
        | InstanceState::Backoff
        | InstanceState::Lost => false,
    }
}

/// What is known, in sentences.
fn because(
    instance: &InstanceStatusJson,
    status: &StatusJson,
    events: &[EventJson],
) -> Vec<String> {
    let own = |kind: &str| {
        let of_it = |e: &&EventJson| e.rank == Some(instance.rank) && e.kind == kind;
        events.iter().rev().find(of_it)
    };
    let text = |event: &EventJson, key: &str| {
        event.more.get(key).and_then(|v| v.as_str()).map(str::to_owned)
    };
    let last = |kind: &str| own(kind).and_then(|e| text(e, "message"));
    let mut found = Vec::new();
    match instance.state {
        InstanceState::Pending => {
            let before: Vec<String> = status
                .instances
                .iter()
                .filter(|i| matches!(i.state, InstanceState::Starting | InstanceState::Assigned))
                .take(TOLD_MAX)
                .map(|i| format!("{}@{} ({})", i.name, i.host, i.state.as_str()))
                .collect();
            found.push(match before.is_empty() {
                _ if status.state == JobState::Inactive => {
                    "the job ended before its stage began".to_owned()
                }
                true => "its stage has not begun".to_owned(),
                false => format!("its stage has not begun; waited for: {}", before.join(", ")),
            });
        }
        InstanceState::Assigned => {
            found.push("its host was told and has not started it".to_owned())
        }
        InstanceState::Starting => {
            found.push(last("look").unwrap_or_else(|| "nothing was seen of it yet".to_owned()));
        }
        InstanceState::Unready => found.extend(last("unready")),
        InstanceState::Stopping => found.push("it was told to stop".to_owned()),
        InstanceState::Lost => found.push(format!("nothing is heard of {}", instance.host)),
        InstanceState::Backoff => found.push("it waits for its restart".to_owned()),
        InstanceState::Ready => {}
        InstanceState::Exited => {
            let exit = own("exited");
            let words = instance.exit.as_ref().map(|exit| match (exit.code, exit.signal) {
                (Some(code), _) => format!("{}: exited with {code}", exit.reason),
                (None, Some(signal)) => format!("{}: ended by signal {signal}", exit.reason),
                (None, None) => exit.reason.clone(),
            });
            let detail = exit.and_then(|e| text(e, "detail")).map(|d| format!(": {d}"));
            found.extend(words.map(|words| words + &detail.unwrap_or_default()));
        }
    }
    for kind in ["edge-broken", "card", "port-retry", "notice"] {
        found.extend(last(kind));
    }
    found.dedup();
    found
}

/// Their last lines on standard error, by rank; none of those that nobody has any more.
async fn last_words(
    told: &[&InstanceStatusJson],
    entry: &Entry,
    context: &Context,
) -> BTreeMap<u32, Vec<String>> {
    let Ok(targets) = super::logs::targets(entry, None, context) else { return BTreeMap::new() };
    let mut asked = JoinSet::new();
    for (reach, target) in targets {
        let of_host = told.iter().filter(|i| i.host == reach.name().as_str());
        let tails: BTreeMap<_, _> = of_host
            .filter_map(|i| Some(((Rank(i.rank), Incarnation(i.incarnation?)), Vec::new())))
            .collect();
        if tails.is_empty() {
            continue;
        }
        let request = LogRequest::all(entry.run.run.clone(), Some(TAIL_LINES as u64));
        asked.spawn(async move {
            let mut tails = Tails(tails);
            // Whatever came until then is better than nothing.
            let _ = timeout(TAIL_LIMIT, read_logs(&target, request, &mut tails)).await;
            tails.0
        });
    }
    let (mask, gone) = secrets::known(&entry.run, context);
    let mut words = BTreeMap::new();
    for ((rank, _), bytes) in asked.join_all().await.into_iter().flatten() {
        let masked = mask.bytes(&bytes);
        let text = String::from_utf8_lossy(&masked);
        // A first line that was cut may begin with the half of a secret.
        let cut = usize::from(bytes.len() as u64 >= TAIL_BYTES);
        let lines: Vec<&str> = text.lines().skip(cut).collect();
        let lines: Vec<String> =
            lines[lines.len().saturating_sub(TAIL_LINES)..].iter().map(|l| visible(l)).collect();
        words.insert(rank.0, lines);
    }
    if words.values().any(|lines| !lines.is_empty())
        && let Some(warning) = secrets::warning(&gone)
    {
        say(&warning);
    }
    words
}

/// The last bytes of stderr, by rank and incarnation; of nobody else.
struct Tails(BTreeMap<(Rank, Incarnation), Vec<u8>>);

impl ChunkSink for Tails {
    async fn chunk(&mut self, chunk: Chunk) {
        let key = (chunk.rank, chunk.incarnation);
        let wanted = self.0.get_mut(&key).filter(|_| chunk.stream == StreamKind::Stderr);
        if let Some(tail) = wanted {
            tail.extend_from_slice(&chunk.data);
            let max = usize::try_from(TAIL_BYTES).unwrap_or(usize::MAX);
            let surplus = tail.len().saturating_sub(max);
            tail.drain(..surplus);
        }
    }

    fn has_partial(&self) -> bool {
        false
    }

    async fn flush_partial(&mut self) {}
}

fn human(whys: &[WhyJson<'_>], more: usize, status: &StatusJson) -> anyhow::Result<()> {
    if status.instances.is_empty() {
        print_line(&format!("{} is {}: no host knows of it", status.run, status.state.as_str()))?;
        return Ok(());
    }
    if whys.is_empty() {
        print_line(&format!("{} is {}: nobody is unwell", status.run, status.state.as_str()))?;
        return Ok(());
    }
    let now = Timestamp::now();
    for why in whys {
        let age = why.since.and_then(|since| now.duration_since(since).try_into().ok());
        let age = age.map(|age: Duration| format!(" for {}", duration(age))).unwrap_or_default();
        print_line(&format!("{}@{} is {}{age}", why.name, why.host, why.state.as_str()))?;
        for line in &why.because {
            print_line(&format!("  {}", visible(line)))?;
        }
        if !why.stderr.is_empty() {
            print_line("  its last lines on stderr:")?;
            for line in &why.stderr {
                print_line(&format!("    {line}"))?;
            }
        }
    }
    if more > 0 {
        print_line(&format!("and {more} more: name one, e.g. a2arun why {}/RANK", status.run))?;
    }
    Ok(())
}
