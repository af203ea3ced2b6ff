//! What a start waits for: ports, lines of output, ends of others.

use std::fs;
use std::time::{Duration, Instant};

use a2arun_e2e::bed::Bed;
use a2arun_e2e::looks::{ends, instance};
use a2arun_e2e::{Poll, wait_for};
use anyhow::{Context, Result, ensure};
use serde_json::Value;

const READY: Duration = Duration::from_secs(30);
const SOON: Duration = Duration::from_secs(15);
const END: Duration = Duration::from_secs(20);

#[test]
fn without_another_port_the_first_end_is_told_at_once() -> Result<()> {
    let bed = Bed::new("inuse2")?;
    let (started, taken) = (bed.folder().join("started"), bed.folder().join("taken"));
    let job = bed.job(
        "inuse2",
        &format!(
            "\
agents:
  - id: w
    command:
      - sh
      - -c
      - 'echo $PORT > {started}.new; mv {started}.new {started}; while [ ! -e {taken} ]; do sleep 0.02; done; echo EADDRINUSE >&2; exit 9'
    config: {{port: auto}}
",
            started = started.display(),
            taken = taken.display()
        ),
    )?;
    let head = bed.a2arun(["--ports", "28131-28131"]).arg(&job).spawn()?;
    wait_for("the agent runs", READY, || match fs::read_to_string(&started) {
        Ok(port) => Poll::Ready(port),
        Err(error) => Poll::NotYet(error.to_string()),
    })?;
    let _holder = std::net::TcpListener::bind("127.0.0.1:28131")?;
    fs::write(&taken, "")?;
    let before = Instant::now();
    let ended = head.wait(END)?;
    ended.expect_code(9)?.expect_stderr(&["trying another port", "no other port is free"])?;
    ensure!(before.elapsed() < Duration::from_secs(5), "{:?}", before.elapsed());
    ensure!(!ended.stderr.contains("not complete"), "{}", ended.describe());
    bed.nothing_runs()?;
    bed.finish()
}

#[test]
fn a_port_that_was_taken_is_tried_once_more_elsewhere() -> Result<()> {
    let bed = Bed::new("inuse")?;
    let text = |port: &str| {
        format!(
            "\
agents:
  - {{id: w, command: ['{{agent}}', serve, --in-use-once], config: {{port: {port}}}}}
  - {{id: hub, command: ['{{agent}}', serve], config: {{port: auto}}}}
topology: {{type: hub-spoke, hub: hub, spokes: [w]}}
"
        )
    };
    let job = bed.job("inuse", &text("auto"))?;
    let mut head = bed.a2arun([&job]).spawn()?;
    head.until_stderr("inuse is ready", READY)?;
    ensure!(head.stderr().contains("trying another port"), "{}", head.stderr());
    let w = instance(&bed, "inuse", "w[0]")?;
    ensure!(w["incarnation"] == 2 && w["state"] == "ready", "{w}");
    // Both incarnations' words are there.
    head.until_stderr("Address already in use", SOON)?;
    head.until_stdout("listening on 127.0.0.1:", SOON)?;
    let hub = instance(&bed, "inuse", "hub[0]")?["url"].as_str().unwrap_or_default().to_owned();
    let answer = a2arun_e2e::http::ask(&hub, "ask-peers")?;
    ensure!(answer.contains("w[0]"), "the hub has its new URL: {answer}");
    ends(head, &bed)?;
    // Once, not for ever: one that never gets a port ends the job.
    let job = bed.job(
        "never",
        "agents: [{id: w, command: [sh, -c, 'echo EADDRINUSE >&2; exit 7'], config: {port: auto}}]\n",
    )?;
    let failed = bed.a2arun([&job]).run()?;
    failed.expect_code(7)?;
    ensure!(failed.stderr.matches("trying another port").count() == 1, "{}", failed.describe());
    let job = bed.job("fixed", &text("28123"))?;
    let failed = bed.a2arun([&job]).run()?;
    failed.expect_code(1)?.expect_stderr(&[
        "w[0] on",
        "exited with 1 before it was ready",
        "28123",
    ])?;
    bed.nothing_runs()?;
    bed.finish()
}

#[test]
fn readiness_by_log_named_ports_and_completed_dependencies() -> Result<()> {
    let bed = Bed::new("waits")?;
    let job = bed.job(
        "waits",
        "\
agents:
  - id: migrate
    command: [sh, -c, 'echo migrating; sleep 1.5; echo migrated']
    protocol: none
  - id: model
    command: [sh, -c, 'echo \"loading 10%\"; sleep 0.2; echo \"server listening on :$PORT_GRPC\"; sleep 1000']
    ports: {grpc: auto}
    readiness: {type: log, pattern: 'listening on :\\d+$'}
  - id: web
    command: [sh, -c, 'echo \"web calls $(PORT_GRPC)\"; sleep 1000']
    lifecycle: service
    ports: {grpc: auto, admin: 28234}
    depends_on: {migrate: completed, model: ready}
",
    )?;
    let mut head = bed.a2arun([&job]).spawn()?;
    head.until_stderr("waits is ready", READY)?;
    head.until_stdout("web calls 2", SOON)?;
    let events = bed.a2arun(["events", "waits", "--output", "jsonl"]).run()?;
    let at = |kind: &str, agent: &str| {
        let found = |line: &str| {
            let event: Value = serde_json::from_str(line).unwrap_or_default();
            event["kind"] == kind && event["agent"] == agent
        };
        events.stdout.lines().position(found).with_context(|| format!("no {kind} of {agent}"))
    };
    ensure!(at("exited", "migrate")? < at("spawned", "web")?, "{}", events.stdout);
    ensure!(at("ready", "model")? < at("spawned", "web")?, "{}", events.stdout);
    // It prepared the services; its end is not theirs.
    ensure!(bed.status("waits")?["state"] == "running", "{}", bed.status("waits")?);
    ends(head, &bed)?;
    bed.finish()
}

#[test]
fn what_waits_for_a_failed_preparation_is_never_started() -> Result<()> {
    let bed = Bed::new("needed")?;
    let job = bed.job(
        "needed",
        "\
agents:
  - {id: migrate, command: ['{agent}', crash, '6'], protocol: none}
  - {id: web, command: [sh, -c, 'echo web was started'], protocol: none, depends_on: {migrate: completed}}
",
    )?;
    for more in [&[][..], &["--continue"]] {
        let failed = bed.a2arun(more).arg(&job).run()?;
        failed.expect_code(6)?.expect_stderr(&["migrate[0] on", "exited with 6"])?;
        ensure!(!failed.stdout.contains("web was started"), "{}", failed.describe());
    }
    bed.nothing_runs()?;
    bed.finish()
}

#[test]
fn who_waits_for_a_start_does_not_wait_for_more() -> Result<()> {
    let bed = Bed::new("started")?;
    let job = bed.job(
        "started",
        "\
agents:
  - {id: slow, command: ['{agent}', serve, --start-ms, '1500'], config: {port: auto}}
  - {id: web, command: ['{agent}', serve], config: {port: auto}, depends_on: {slow: started}}
",
    )?;
    let mut head = bed.a2arun([&job]).spawn()?;
    head.until_stderr("started is ready", READY)?;
    let events = bed.a2arun(["events", "started", "--output", "jsonl"]).run()?;
    let at = |what: &str, agent: Option<&str>| {
        let found = |line: &str| {
            let event: Value = serde_json::from_str(line).unwrap_or_default();
            (event["kind"] == what || event["state"] == what) && event["agent"].as_str() == agent
        };
        events.stdout.lines().position(found).with_context(|| format!("no {what} of {agent:?}"))
    };
    ensure!(at("spawned", Some("slow"))? < at("spawned", Some("web"))?, "{}", events.stdout);
    ensure!(at("ready", Some("web"))? < at("ready", Some("slow"))?, "{}", events.stdout);
    ensure!(at("ready", Some("slow"))? < at("running", None)?, "{}", events.stdout);
    ends(head, &bed)?;
    bed.finish()
}
