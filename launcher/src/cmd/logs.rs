//! `logs`: what instances wrote, read from their hosts. The head is not needed.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use a2arun_core::exit_code::LauncherCode;
use a2arun_core::ids::Rank;
use a2arun_core::lines::Sink;
use a2arun_rt::tls::Credentials;
use anyhow::Context as _;
use tokio::task::JoinSet;

use crate::cli::{JobRef, LogsArgs, OutputFormat};
use crate::cmd::status::entry;
use crate::cmd::{Context, Failure};
use crate::head::listen;
use crate::output::{Activity, LogFormat, LogSink, Names, Printer, Sinks, say};
use crate::registry::{Entry, HostReach};
use crate::session::{
    Chunk, ChunkSink, InstanceReport, LogRequest, StreamKind, describe, read_logs,
};
use crate::target::{ConnectError, Installed, Local, Target, chain};

pub(super) async fn logs(args: &LogsArgs, context: &Context) -> anyhow::Result<u8> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mut signals = listen(&status).context("cannot listen for signals")?;
    let entry = entry(&args.job.job, context)?;
    let (printer, sinks) = Printer::start().context("cannot write to stdout or stderr")?;
    let mut readers = JoinSet::new();
    for (reach, target) in targets(&entry, args.trust.as_deref(), context)? {
        let reader = Reader {
            host: reach.name().to_string(),
            target,
            run: entry.run.run.clone(),
            wanted: args.job.clone(),
            follow: args.follow,
            lines: args.lines,
            only_stderr: args.stderr,
            format: format(args, context),
            sinks: sinks.clone(),
        };
        readers.spawn(reader.read());
    }
    let gone = sinks.clone();
    drop(sinks);
    let mut matched = 0;
    let mut worst = LauncherCode::Ok;
    let mut look = tokio::time::interval(std::time::Duration::from_millis(200));
    while !readers.is_empty() {
        // A reader's result is kept by the set, a signal by its stream.
        tokio::select! {
            _ = signals.next() => break,
            _ = look.tick(), if args.follow => {
                // `logs -f | head`: nobody reads any more.
                if gone.stdout_gone() {
                    break;
                }
            }
            Some(joined) = readers.join_next() => match joined {
                Ok((_, Ok(count))) => matched += count,
                Ok((host, Err(error))) => {
                    say(&format!("error: {host}: {}", chain(&error)));
                    worst = error.exit_code();
                }
                Err(error) => return Err(anyhow::Error::from(error).context("cannot read output")),
            },
        }
    }
    readers.shutdown().await;
    drop(gone);
    printer.drain();
    if matched == 0 && worst == LauncherCode::Ok && args.job.agent.is_some() && !args.follow {
        let message = format!("nothing of run {} is called `{}`", entry.run.run, args.job);
        return Err(Failure::new(LauncherCode::Usage, message).into());
    }
    Ok(worst.code())
}

fn format(args: &LogsArgs, context: &Context) -> LogFormat {
    let sink = |terminal: bool| if terminal { Sink::Terminal } else { Sink::Raw };
    match args.output.output {
        OutputFormat::Json | OutputFormat::Jsonl => LogFormat::Jsonl { seq: Arc::default() },
        OutputFormat::Human | OutputFormat::Quiet => LogFormat::Tagged {
            stdout: sink(context.stdout_terminal),
            stderr: sink(context.stderr_terminal),
            style: context.log_style(args.output),
            all_to_stderr: false,
        },
    }
}

/// How the hosts of a run are reached.
pub(super) fn targets(
    entry: &Entry,
    trust: Option<&Path>,
    context: &Context,
) -> anyhow::Result<Vec<(HostReach, Target)>> {
    let mut credentials: Option<Arc<Credentials>> = None;
    let mut targets = Vec::with_capacity(entry.run.hosts.len());
    for reach in &entry.run.hosts {
        let target = match reach {
            HostReach::Local { .. } => {
                Target::Local(Arc::new(Local::new(context.paths()?, context.noded())))
            }
            HostReach::Installed { name, address, port } => {
                let credentials = match &credentials {
                    Some(credentials) => credentials.clone(),
                    None => {
                        let dir = context.trust_dir(trust.or(entry.run.trust.as_deref()));
                        let dir = dir.ok_or_else(|| {
                            Failure::new(LauncherCode::Refused, "there is no trust folder")
                                .hint("name one with --trust DIR")
                        })?;
                        let loaded = Credentials::load(&dir).context("cannot use certificates")?;
                        credentials.insert(Arc::new(loaded)).clone()
                    }
                };
                let (name, address) = (name.clone(), address.clone());
                Target::Installed(Arc::new(Installed::new(name, address, *port, credentials)))
            }
        };
        targets.push((reach.clone(), target));
    }
    Ok(targets)
}

struct Reader {
    host: String,
    target: Target,
    run: a2arun_core::ids::RunId,
    wanted: JobRef,
    follow: bool,
    lines: Option<u64>,
    only_stderr: bool,
    format: LogFormat,
    sinks: Sinks,
}

impl Reader {
    async fn read(self) -> (String, Result<usize, ConnectError>) {
        let host = self.host.clone();
        (host, self.read_all().await)
    }

    /// Gives how many instances were meant.
    async fn read_all(self) -> Result<usize, ConnectError> {
        let report = describe(&self.target, Some(&self.run), false).await?;
        let instances: Vec<InstanceReport> =
            report.runs.into_iter().flat_map(|r| r.instances).collect();
        let wanted: Vec<&InstanceReport> =
            instances.iter().filter(|i| is_meant(&self.wanted, i)).collect();
        let count = wanted.len();
        if count == 0 && !self.follow {
            return Ok(0);
        }
        let names: HashMap<Rank, (String, u32)> =
            instances.iter().map(|i| (i.rank, split_name(&i.name))).collect();
        let ranks = self.wanted.agent.as_ref().map(|_| wanted.iter().map(|i| i.rank).collect());
        let names: Names = Arc::new(move |rank| names.get(&rank).cloned());
        let sink = LogSink::new(
            self.host,
            names,
            self.format,
            self.sinks,
            None,
            Arc::new(Activity::default()),
        );
        let mut filter = Filter { sink, ranks, only_stderr: self.only_stderr };
        let request = LogRequest::all(self.run, self.lines, self.follow);
        let read = read_logs(&self.target, request, &mut filter).await;
        filter.sink.finish().await;
        read.map(|()| count)
    }
}

fn is_meant(wanted: &JobRef, instance: &InstanceReport) -> bool {
    let Some(agent) = &wanted.agent else { return true };
    let (name, index) = split_name(&instance.name);
    let by_name = name == *agent && wanted.index.is_none_or(|n| n == index);
    by_name || (wanted.index.is_none() && instance.rank.to_string() == *agent)
}

fn split_name(name: &str) -> (String, u32) {
    let (agent, index) = name.split_once('[').unwrap_or((name, ""));
    (agent.to_owned(), index.trim_end_matches(']').parse().unwrap_or(0))
}

/// Lets through what was asked for.
struct Filter {
    sink: LogSink,
    ranks: Option<Vec<Rank>>,
    only_stderr: bool,
}

impl ChunkSink for Filter {
    async fn chunk(&mut self, chunk: Chunk) {
        let meant = self.ranks.as_ref().is_none_or(|ranks| ranks.contains(&chunk.rank));
        let stream = !self.only_stderr || chunk.stream == StreamKind::Stderr;
        if meant && stream {
            self.sink.chunk(chunk).await;
        }
    }

    fn has_partial(&self) -> bool {
        self.sink.has_partial()
    }

    async fn flush_partial(&mut self) {
        self.sink.flush_partial().await;
    }
}
