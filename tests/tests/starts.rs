//! How a job comes up: strategies in event times, slow agents, keys that are missing elsewhere.

use std::collections::BTreeMap;
use std::time::Duration;

use a2arun_e2e::bed::Bed;
use anyhow::{Context, Result, ensure};
use jiff::Timestamp;
use nix::sys::signal::Signal;
use serde_json::Value;

const READY: Duration = Duration::from_secs(30);
const END: Duration = Duration::from_secs(20);

/// When each instance was spawned and ready, by its host's clock.
struct Times {
    spawned: BTreeMap<u64, Timestamp>,
    ready: BTreeMap<u64, Timestamp>,
}

impl Times {
    fn of(bed: &Bed, job: &str) -> Result<Self> {
        let events = bed.a2arun(["events", job, "--output", "jsonl"]).run()?;
        events.expect_code(0)?;
        let mut times = Self { spawned: BTreeMap::new(), ready: BTreeMap::new() };
        for line in events.stdout.lines() {
            let event: Value = serde_json::from_str(line)?;
            let Some(rank) = event["rank"].as_u64() else { continue };
            let at: Timestamp = event["time"].as_str().context("no time")?.parse()?;
            match event["kind"].as_str() {
                Some("spawned") => times.spawned.insert(rank, at),
                Some("ready") => times.ready.insert(rank, at),
                _ => None,
            };
        }
        Ok(times)
    }

    /// Everybody of the first group was ready before anybody of the second was spawned.
    fn after(&self, first: &[u64], second: &[u64]) -> Result<()> {
        let last = first.iter().filter_map(|r| self.ready.get(r)).max().context("nobody ready")?;
        let begin = second.iter().filter_map(|r| self.spawned.get(r)).min().context("nobody")?;
        ensure!(last <= begin, "{second:?} spawned at {begin}, {first:?} ready at {last}");
        Ok(())
    }

    /// All of them were spawned before the first was ready.
    fn at_once(&self, group: &[u64]) -> Result<()> {
        let last = group.iter().filter_map(|r| self.spawned.get(r)).max().context("nobody")?;
        let ready = group.iter().filter_map(|r| self.ready.get(r)).min().context("nobody")?;
        ensure!(last < ready, "{group:?}: the last was spawned at {last}, one ready at {ready}");
        Ok(())
    }
}

#[test]
fn strategies_start_in_their_order_and_a_stage_at_once() -> Result<()> {
    let bed = Bed::new("strategy")?;
    for strategy in ["staged", "parallel", "sequential", "top-down"] {
        let job = bed.job(
            strategy,
            &format!(
                "\
agents:
  - {{id: hub, command: ['{{agent}}', serve, --start-ms, '400'], config: {{port: auto}}}}
  - {{id: mid, command: ['{{agent}}', serve, --start-ms, '400'], config: {{port: auto}}, replicas: 3}}
  - {{id: llm, command: ['{{agent}}', serve, --start-ms, '400'], config: {{port: auto}}}}
topology: {{type: custom, connections: [{{from: hub, to: mid}}, {{from: mid, to: llm}}]}}
deployment: {{strategy: {strategy}}}
"
            ),
        )?;
        let mut head = bed.a2arun([&job]).spawn()?;
        head.until_stderr(&format!("{strategy} is ready"), READY)?;
        let times = Times::of(&bed, strategy)?;
        let (hub, mid, llm) = ([0], [1, 2, 3], [4]);
        let checked = match strategy {
            "staged" => times
                .after(&llm, &mid)
                .and_then(|()| times.after(&mid, &hub))
                .and_then(|()| times.at_once(&mid)),
            "parallel" => times.at_once(&[0, 1, 2, 3, 4]),
            "sequential" => {
                [4, 1, 2, 3, 0].windows(2).try_for_each(|pair| times.after(&pair[..1], &pair[1..]))
            }
            _ => times
                .after(&hub, &mid)
                .and_then(|()| times.after(&mid, &llm))
                .and_then(|()| times.at_once(&mid)),
        };
        checked.with_context(|| strategy.to_owned())?;
        head.signal(Signal::SIGINT);
        head.wait(END)?.expect_code(130)?;
    }
    bed.nothing_runs()?;
    bed.finish()
}

#[test]
fn slow_agents_are_shown_with_their_last_line() -> Result<()> {
    let bed = Bed::new("slow")?;
    let job = bed.job(
        "slow",
        "\
agents:
  - id: llm
    command: [sh, -c, 'echo \"loading shard 3 of 9\"; exec {agent} serve --start-ms 4500']
    config: {port: auto}
    readiness: {deadline: 10m}
",
    )?;
    let mut head = bed.a2arun([&job]).spawn()?;
    head.until_stderr("llm[0]@", READY)?;
    head.until_stderr(" / 10:00  loading shard 3 of 9", READY)?;
    head.until_stderr("slow is ready", READY)?;
    head.signal(Signal::SIGINT);
    head.wait(END)?.expect_code(130)?;
    bed.finish()
}

#[test]
fn a_key_that_is_here_and_not_there_is_named() -> Result<()> {
    let bed = Bed::with_hosts("keys", 1)?;
    let job = bed.job(
        "keys",
        "agents: [{id: w, command: [sh, -c, 'echo no key >&2; exit 4'], config: {port: auto}}]\n",
    )?;
    let run = bed.a2arun_on_hosts([&job]).env("MY_API_KEY", "sk-not-shown-123456");
    let failed = run.run()?;
    failed.expect_code(4)?.expect_stderr(&[
        "exited with 4 before it was ready",
        "hint: w has no MY_API_KEY, which is set here: -x MY_API_KEY gives it",
    ])?;
    ensure!(!failed.stderr.contains("sk-not-shown"), "{}", failed.describe());
    let run = bed.a2arun_on_hosts(["-x", "MY_API_KEY"]).arg(&job);
    let failed = run.env("MY_API_KEY", "sk-not-shown-123456").run()?;
    ensure!(!failed.stderr.contains("has no MY_API_KEY"), "{}", failed.describe());
    bed.nothing_runs()?;
    bed.finish()
}

#[test]
fn agents_under_a_wrapper_are_ready_and_gone_in_time() -> Result<()> {
    let bed = Bed::new("wrapped")?;
    let job = bed.job(
        "wrapped",
        "\
agents:
  - id: sh
    command: [sh, -c, '{agent} serve & wait']
    config: {port: auto}
  - id: stubborn
    command: [sh, -c, 'trap \"\" TERM; {agent} serve --ignore-term & wait; wait']
    config: {port: auto}
    stop: {grace: 500ms}
  - id: env
    command: [env, -i, 'PORT=$(PORT)', 'A2A_BIND_HOST=$(A2A_BIND_HOST)', setsid, -w, '{agent}', serve]
    config: {port: auto}
    stop: {grace: 500ms}
",
    )?;
    let mut head = bed.a2arun([&job]).spawn()?;
    head.until_stderr("wrapped is ready", READY)?;
    head.signal(Signal::SIGINT);
    head.wait(END)?.expect_code(130)?;
    bed.nothing_runs()?;
    bed.finish()
}
