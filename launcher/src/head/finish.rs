//! The end of a job: its output is read to the last byte, the hosts are released, the result is
//! put together.

use std::time::Duration;

use a2arun_core::exit_code::LauncherCode;
use a2arun_core::ids::Rank;
use a2arun_core::machine::job::{Failure, JobResult};
use a2arun_core::outcome::ExitReason;
use a2arun_core::plan::HostIx;
use a2arun_core::result::{Counts, FirstCause, ResultJson};
use a2arun_core::spec::Run;
use a2arun_core::status::StatusJson;
use jiff::Timestamp;
use tokio::time::{Instant, timeout, timeout_at};

use crate::head::actor::{Head, HostFailure, Input, Told};
use crate::head::hosts::Host;
use crate::head::job::Ask;
use crate::output::{cause_line, why};
use crate::session::{
    Chunk, ChunkSink, Command, Contact, LogEnd, LogRequest, StreamKind, read_logs,
};
use crate::target::Target;

/// A host that has output for us and sends none of it for this long has none.
const OUTPUT_SILENCE: Duration = Duration::from_secs(10);
/// A host that is not connected is waited for this long with its output.
const OUTPUT_AWAY: Duration = Duration::from_secs(3);
/// Sessions end within their own limit, which is shorter.
const RELEASE_LIMIT: Duration = Duration::from_secs(3);
/// A failed agent's last words.
const TAIL_LINES: usize = 40;
const TAIL_BYTES: u64 = 32 * 1024;
const TAIL_LIMIT: Duration = Duration::from_secs(2);

/// How many keys are named that an agent may have missed.
const MISSING_KEYS_MAX: usize = 4;

/// How a job ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) exit_code: u8,
    pub(crate) result: ResultJson,
    /// Every instance as it was at last.
    pub(crate) status: StatusJson,
    /// One line that says what went wrong; `None`: nothing did, or it was said.
    pub(crate) cause: Option<String>,
    /// What would help.
    pub(crate) hints: Vec<String>,
    /// What the failed agent wrote to stderr at last.
    pub(crate) last_words: Vec<String>,
    pub(crate) drained: Drained,
}

/// What became of the instances' output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Drained {
    All,
    /// A host did not send it.
    Partly,
    /// The user did not want to wait for the rest of it.
    Abandoned,
}

pub(super) async fn finish(mut head: Head) -> Outcome {
    let ended = Timestamp::now();
    let drained = drain_output(&mut head).await;
    let first = head.state.result().and_then(|(result, _)| result.first());
    let last_words = match first.and_then(|f| f.rank) {
        Some(rank) => last_words(&head, rank).await,
        None => Vec::new(),
    };
    release(&mut head).await;
    head.stdin.abort_all();
    head.asking.abort_all();
    outcome(&head, ended, first, last_words, drained)
}

/// Tells every log reader where its streams end and waits for all of it, however slow our own
/// reader is; only a host that sends nothing is not waited for.
async fn drain_output(head: &mut Head) -> Drained {
    let mut abandoned = false;
    let mut ends: Vec<Vec<LogEnd>> = vec![Vec::new(); head.hosts.0.len()];
    for (rank, instance) in head.instances.iter() {
        let host = head.job.plan.instance(rank).host;
        if let Some((incarnation, stdout, stderr)) = instance.retired
            && stdout + stderr > 0
        {
            ends[host.get()].push(LogEnd { rank, incarnation, stdout, stderr });
        }
        if let Some((incarnation, record)) = &instance.exit
            && record.stdout_bytes + record.stderr_bytes > 0
        {
            ends[host.get()].push(LogEnd {
                rank,
                incarnation: *incarnation,
                stdout: record.stdout_bytes,
                stderr: record.stderr_bytes,
            });
        }
    }
    for (host, ends) in head.hosts.0.iter_mut().zip(ends) {
        if let Some(sender) = host.ends.take() {
            // A reader that is gone has ended.
            let _ = sender.send(ends);
        }
    }
    let activity = head.io.activity.clone();
    let mut quiet_since = Instant::now();
    let mut seen = activity.chunks();
    while !head.logs.is_empty() {
        match head.next().await {
            Input::Logs(sink) => {
                sink.finish().await;
                continue;
            }
            // Another Ctrl-C: what is left of the output stays where it is.
            Input::Stop(_) => {
                abandoned = true;
                break;
            }
            Input::Ask(Some(Ask::Stop { done, .. })) => {
                let _ = done.send(());
                abandoned = true;
                break;
            }
            input @ (Input::Session(..) | Input::Ask(_) | Input::Answered(_) | Input::Clock) => {
                head.take(input)
            }
        }
        if activity.chunks() != seen || activity.is_blocked() {
            seen = activity.chunks();
            quiet_since = Instant::now();
        }
        let away = head.hosts.0.iter().all(|h| !h.reading || !is_heard(h));
        let limit = if away { OUTPUT_AWAY } else { OUTPUT_SILENCE };
        if quiet_since.elapsed() >= limit {
            break;
        }
    }
    head.logs.abort_all();
    let missing: Vec<HostIx> =
        head.hosts.iter().filter(|(_, h)| h.reading).map(|(ix, _)| ix).collect();
    let complete = missing.is_empty();
    for host in missing {
        head.show.output_missing(host);
    }
    match (abandoned, complete) {
        (true, _) => Drained::Abandoned,
        (false, true) => Drained::All,
        (false, false) => Drained::Partly,
    }
}

fn is_heard(host: &Host) -> bool {
    host.connected && host.contact != Contact::Lost
}

/// Tells every host that everything was read.
async fn release(head: &mut Head) {
    let limit = Instant::now() + RELEASE_LIMIT;
    for host in &mut head.hosts.0 {
        if host.closed.is_none() && (!host.was_reached() || !host.send(Command::Release)) {
            host.closed = Some(false);
            host.drop_session();
        }
    }
    while head.hosts.0.iter().any(|h| h.closed.is_none()) {
        // Safe to drop: what was not taken is not wanted any more.
        match timeout_at(limit, head.next()).await {
            Ok(Input::Stop(_)) | Err(_) => break,
            Ok(input) => head.take(input),
        }
    }
    let untold: Vec<HostIx> = head
        .hosts
        .iter()
        .filter(|(_, h)| h.was_reached() && h.closed != Some(true))
        .map(|(ix, _)| ix)
        .collect();
    // A host on which nothing was started has nothing to be told.
    if head.instances.iter().any(|(_, i)| i.mirror.report().is_some()) {
        head.show.not_told(&untold);
    }
    head.sessions.abort_all();
}

/// The last lines that a failed instance wrote to stderr.
async fn last_words(head: &Head, rank: Rank) -> Vec<String> {
    let Some((incarnation, record)) = head.instances.get(rank).and_then(|i| i.exit.as_ref()) else {
        return Vec::new();
    };
    if record.stderr_bytes == 0 {
        return Vec::new();
    }
    let host = head.job.plan.instance(rank).host;
    let target = &head.job.targets[host.get()];
    let offset = record.stderr_bytes.saturating_sub(TAIL_BYTES);
    let request = LogRequest::from(head.run_id(), rank, *incarnation, StreamKind::Stderr, offset);
    let mut tail = Tail(Vec::new());
    // Whatever came until then is better than nothing.
    if timeout(TAIL_LIMIT, read_logs(target, request, &mut tail)).await.is_err() {
        tracing::debug!(%rank, "its last lines did not come in time");
    }
    let masked = head.job.mask.bytes(&tail.0);
    let text = String::from_utf8_lossy(&masked);
    let mut lines: Vec<&str> = text.lines().collect();
    if offset > 0 && !lines.is_empty() {
        lines.remove(0);
    }
    let skip = lines.len().saturating_sub(TAIL_LINES);
    lines[skip..].iter().map(|line| printable(line)).collect()
}

fn printable(line: &str) -> String {
    line.chars().map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c }).collect()
}

struct Tail(Vec<u8>);

impl ChunkSink for Tail {
    async fn chunk(&mut self, chunk: Chunk) {
        self.0.extend_from_slice(&chunk.data);
    }

    fn has_partial(&self) -> bool {
        false
    }

    async fn flush_partial(&mut self) {}
}

fn outcome(
    head: &Head,
    ended: Timestamp,
    first: Option<Failure>,
    last_words: Vec<String>,
    drained: Drained,
) -> Outcome {
    let (result, mut exit_code) =
        head.state.result().unwrap_or((JobResult::Canceled, LauncherCode::Internal.code()));
    // Who wants the output in files wants all of it.
    let output_missing = drained == Drained::Partly && head.io.files.is_some();
    if exit_code == 0 && (!head.given_up.is_empty() || output_missing) {
        exit_code = LauncherCode::HostUnreachable.code();
    }
    let plan = &head.job.plan;
    let mut counts = Counts::default();
    for (rank, instance) in head.instances.iter() {
        // A host that was told to launch and was not heard of again may have done so.
        let gone = instance.mirror.report().is_some() || head.given_up.contains(&rank);
        let gone = gone.then_some(ExitReason::Unknown);
        let exit = instance.exit.as_ref().filter(|_| !instance.refused);
        counts.add(exit.map(|(_, exit)| exit.reason).or(gone.filter(|_| !instance.refused)));
        counts.survivors += instance
            .exit
            .as_ref()
            .map_or(0, |(_, exit)| u32::try_from(exit.survivors.len()).unwrap_or(u32::MAX));
    }
    let cause = first
        .map(|failure| first_cause(head, failure, last_words.clone()))
        .or_else(|| left_behind(head, exit_code, &counts, ended));
    let line = match (&result, first) {
        (JobResult::Failed { .. } | JobResult::LaunchFailed { .. }, Some(failure)) => {
            cause_text(head, failure)
        }
        _ => None,
    };
    let result = ResultJson {
        job: plan.job.to_string(),
        run: head.job.run.to_string(),
        result: result.word(),
        exit_code,
        origin: first.map_or(a2arun_core::result::Origin::Launcher, |f| f.origin),
        first_cause: cause,
        answer: head.answer.clone(),
        started: head.job.started,
        ready: head.ready,
        ended,
        counts,
    };
    let mut hints = first.map(|failure| missing_keys(head, failure)).unwrap_or_default();
    hints.extend(first.and_then(|failure| missing_module(head, failure, &last_words)));
    Outcome { exit_code, result, status: head.status(), cause: line, hints, last_words, drained }
}

/// Keys of the head's environment that an agent elsewhere did not get before it gave up.
fn missing_keys(head: &Head, failure: Failure) -> Vec<String> {
    let Some(rank) = failure.rank else { return Vec::new() };
    let exit = head.instances.get(rank).and_then(|i| i.exit.as_ref());
    let early = exit.is_some_and(|(_, exit)| exit.ready.is_none() && exit.started.is_some());
    let instance = head.job.plan.instance(rank);
    let elsewhere = match head.job.targets[instance.host.get()] {
        Target::Local(_) => false,
        Target::Installed(_) => true,
    };
    if !early || !elsewhere {
        return Vec::new();
    }
    let agent = head.job.spec.agent(instance.agent);
    let given = |name: &str| {
        let spec = &head.job.spec;
        spec.environment.contains_key(name)
            || spec.secrets.contains_key(name)
            || agent.environment.contains_key(name)
            || agent.secrets.contains_key(name)
            || head.job.exports.iter().any(|(known, _)| known == name)
            || head.job.facts.has_variable(instance.agent, name)
            || head.job.elsewhere.has(name)
    };
    let is_key = |name: &&String| name.ends_with("_KEY") || name.ends_with("_TOKEN");
    let missing = head.job.environment.keys().filter(is_key).filter(|name| !given(name));
    let hint = |name: &String| {
        format!("{} has no {name}, which is set here: -x {name} gives it", agent.id)
    };
    missing.take(MISSING_KEYS_MAX).map(hint).collect()
}

/// Python looks for the job's modules where it runs, and that is not where they are.
fn missing_module(head: &Head, failure: Failure, last_words: &[String]) -> Option<String> {
    let instance = head.job.plan.instance(failure.rank?);
    let agent = head.job.spec.agent(instance.agent);
    let Run::Module { module, .. } = &agent.run else { return None };
    let package = module.split('.').next().unwrap_or_default();
    let said = format!("No module named '{package}");
    if !last_words.iter().any(|line| line.contains(&said)) {
        return None;
    }
    let folder = head.job.sites[instance.agent.get()].workdir.as_ref()?.display();
    Some(match agent.workdir {
        Some(_) => format!("`{module}` is looked for in the `workdir` {folder}, and by its Python"),
        None => format!(
            "`{module}` is looked for in {folder}: call a2arun in the folder that has it, or set \
             `workdir`"
        ),
    })
}

/// A job that went well and cannot be said to be gone has not gone well.
fn left_behind(head: &Head, exit_code: u8, counts: &Counts, when: Timestamp) -> Option<FirstCause> {
    let why = match (head.given_up.len(), counts.survivors) {
        _ if exit_code == 0 => return None,
        (0, 0) => return None,
        (0, left) => format!("{left} processes could not be stopped"),
        (lost, _) => format!("nobody said that {lost} instances ended"),
    };
    let rank = head.given_up.first().copied();
    let plan = &head.job.plan;
    Some(FirstCause {
        agent: rank.map(|rank| plan.name(rank).to_string()),
        rank: rank.map(|rank| rank.0),
        host: rank.map(|rank| plan.host(plan.instance(rank).host).name().to_string()),
        when,
        why,
        reason: None,
        code: None,
        signal: None,
        stderr: Vec::new(),
    })
}

fn cause_text(head: &Head, failure: Failure) -> Option<String> {
    let Some(rank) = failure.rank else {
        let said = host_failure(head, failure).filter(|said| said.told == Told::NotYet)?;
        return Some(format!("{}: {}", head.job.plan.host(said.host).name(), said.text));
    };
    let (_, record) = head.instances.get(rank)?.exit.as_ref()?;
    let plan = &head.job.plan;
    let host = plan.host(plan.instance(rank).host).name();
    let line = cause_line(&plan.name(rank).to_string(), host.as_str(), record);
    Some(head.job.mask.text(&line))
}

fn host_failure(head: &Head, failure: Failure) -> Option<&HostFailure> {
    head.host_failure.as_ref().filter(|said| Some(said.host) == failure.host)
}

fn first_cause(head: &Head, failure: Failure, stderr: Vec<String>) -> FirstCause {
    let plan = &head.job.plan;
    let instance = failure.rank.and_then(|rank| head.instances.get(rank));
    let record = instance.and_then(|i| i.exit.as_ref()).map(|(_, record)| record);
    let host = failure.host.or_else(|| failure.rank.map(|rank| plan.instance(rank).host));
    let said = host_failure(head, failure);
    let text = match (record, said) {
        (Some(record), _) => why(record),
        (None, Some(said)) => said.text.clone(),
        (None, None) => "no cause is known".to_owned(),
    };
    FirstCause {
        agent: failure.rank.map(|rank| plan.name(rank).to_string()),
        rank: failure.rank.map(|rank| rank.0),
        host: host.map(|h| plan.host(h).name().to_string()),
        when: failure.when,
        why: head.job.mask.text(&text),
        reason: record.map(|r| r.reason.to_string()),
        code: record.and_then(|r| r.code),
        signal: record.and_then(|r| r.signal).map(|s| s.0),
        stderr,
    }
}
