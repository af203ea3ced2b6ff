//! `logs`: what instances wrote, read from their hosts. The head is not needed.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use a2arun_core::exit_code::LauncherCode;
use a2arun_core::ids::{Rank, RunId};
use a2arun_core::lines::Sink;
use a2arun_rt::tls::Credentials;
use anyhow::Context as _;
use tokio::task::JoinSet;

use crate::cli::{JobRef, LogsArgs, OutputFormat};
use crate::cmd::status::{entry, meant};
use crate::cmd::{Context, Failure, secrets};
use crate::head::listen;
use crate::output::{Activity, LogFormat, LogSink, Names, Printer, Written, say};
use crate::registry::{Entry, HostReach, RunJson};
use crate::session::{Chunk, ChunkSink, LogRequest, StreamKind, Until, follow_logs, read_logs};
use crate::target::{ConnectError, Installed, Local, Target, chain};

pub(super) async fn logs(args: &LogsArgs, context: &Context) -> anyhow::Result<u8> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mut signals = listen(&status).context("cannot listen for signals")?;
    let job = meant(args.job.as_ref(), context)?;
    let entry = entry(&job.job, context)?;
    let ranks = ranks(&job, &entry.run)?;
    let run = Arc::new(entry.run.clone());
    let names: Names = Arc::new(move |rank| run.name_of(rank));
    let targets = targets(&entry, args.trust.as_deref(), context)?;
    let (mask, gone) = secrets::known(&entry.run, context);
    if let Some(warning) = secrets::warning(&gone) {
        say(&warning);
    }
    let (printer, sinks) = Printer::start().context("cannot write to stdout or stderr")?;
    let mut readers = JoinSet::new();
    for (reach, target) in targets {
        let host = reach.name().to_string();
        let sink = LogSink::new(
            host.clone(),
            names.clone(),
            format(args, context),
            sinks.clone(),
            None,
            Arc::new(Activity::default()),
            mask.clone(),
        );
        let filter = Filter { sink, ranks: ranks.clone(), only_stderr: args.stderr };
        let run = entry.run.run.clone();
        let reader = Reader { host, target, run, lines: args.lines, filter };
        if args.follow {
            readers.spawn(reader.follow());
        } else {
            readers.spawn(reader.read());
        }
    }
    let gone = sinks.clone();
    drop(sinks);
    let mut worst = LauncherCode::Ok;
    let mut look = tokio::time::interval(LOOK_EVERY);
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
                Ok((_, Ok(()))) => {}
                // It keeps the output of so many runs: there is nothing left to be read.
                Ok((host, Err(error @ ConnectError::NoRun(_)))) => {
                    say(&format!("warning: {host}: {}", chain(&error)));
                }
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
    if printer.drain().await == Written::Partly && worst == LauncherCode::Ok {
        worst = LauncherCode::Internal;
    }
    Ok(worst.code())
}

/// How often it is looked whether anybody still reads.
const LOOK_EVERY: Duration = Duration::from_millis(200);

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
    run: RunId,
    lines: Option<u64>,
    filter: Filter,
}

impl Reader {
    /// What is there.
    async fn read(mut self) -> (String, Result<(), ConnectError>) {
        let request = LogRequest::all(self.run, self.lines);
        let read = read_logs(&self.target, request, &mut self.filter).await;
        self.filter.sink.finish().await;
        (self.host, read)
    }

    /// And what comes, until the run is over.
    async fn follow(self) -> (String, Result<(), ConnectError>) {
        let until = Until::Over { tail_lines: self.lines };
        let (filter, read) = follow_logs(self.target, self.run, self.filter, until).await;
        filter.sink.finish().await;
        (self.host, read)
    }
}

/// The ranks that are meant; `None`: all of them.
pub(super) fn ranks(wanted: &JobRef, run: &RunJson) -> anyhow::Result<Option<Vec<Rank>>> {
    let Some(agent) = &wanted.agent else { return Ok(None) };
    let all = (0..run.size).map(Rank).filter(|rank| {
        let by_rank = wanted.index.is_none() && rank.to_string() == *agent;
        by_rank
            || run.name_of(*rank).is_some_and(|(name, index)| {
                name == *agent && wanted.index.is_none_or(|n| n == index)
            })
    });
    let ranks: Vec<Rank> = all.collect();
    if ranks.is_empty() {
        return Err(no_such_agent(wanted, run));
    }
    Ok(Some(ranks))
}

pub(super) fn no_such_agent(wanted: &JobRef, run: &RunJson) -> anyhow::Error {
    let known: Vec<&str> = run.agents.iter().map(|a| a.id.as_str()).collect();
    let message = format!("nothing of run {} is called `{wanted}`", run.run);
    let hint = format!("its agents: {}", known.join(", "));
    Failure::new(LauncherCode::Usage, message).hint(hint).into()
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
