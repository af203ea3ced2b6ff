//! One job on four hosts, each with its own noded, address and network namespace, over mutual TLS.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use a2arun_e2e::bed::{Bed, repository};
use a2arun_e2e::{http, procs};
use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use serde_json::Value;

const READY: Duration = Duration::from_secs(60);
const END: Duration = Duration::from_secs(20);

const ELASTIC: &str = "\
agents:
  - id: hub
    command: ['{agent}', serve]
    config: {port: auto}
  - id: worker
    command: ['{agent}', serve]
    config: {port: auto}
    replicas: auto
topology: {type: hub-spoke, hub: hub, spokes: [worker]}
";

fn all_ready(bed: &Bed, job: &str, size: usize) -> Option<Value> {
    let status = bed.status(job).ok()?;
    let all = status["instances"].as_array()?;
    (all.len() == size && all.iter().all(|i| i["state"] == "ready")).then_some(status)
}

#[test]
fn an_elastic_job_spreads_and_its_agents_call_each_other() -> Result<()> {
    let bed = Bed::with_hosts("four", 4)?;
    let job = bed.job("elastic", ELASTIC)?;
    let mut head = bed.a2arun_on_hosts(["-np", "8"]).arg(job).spawn()?;
    let mut status = None;
    head.until("all ready", READY, |_| {
        status = all_ready(&bed, "elastic", 8);
        status.is_some()
    })?;
    let status = status.context("just seen")?;
    let all = status["instances"].as_array().context("no instances")?;
    let mut per_host = BTreeMap::new();
    for instance in all {
        let host = instance["host"].as_str().context("no host")?;
        *per_host.entry(host).or_insert(0) += 1;
        let number: u32 = host.strip_prefix('n').context("a host of ours")?.parse()?;
        let url = instance["url"].as_str().context("no url")?;
        let wanted = format!("http://{}:", bed.address(number));
        ensure!(url.starts_with(&wanted), "{url} is not at {wanted}");
    }
    ensure!(per_host.values().all(|n| *n == 2) && per_host.len() == 4, "{per_host:?}");

    let hub = all.iter().find(|i| i["name"] == "hub[0]").context("no hub")?;
    let answer = http::ask(hub["url"].as_str().context("no url")?, "ask-peers")?;
    let from: BTreeSet<&str> = answer.lines().filter_map(|line| line.split(": ").next()).collect();
    ensure!(from.len() == 7, "seven workers answer: {answer}");
    for k in 1..=4 {
        ensure!(answer.contains(&format!("@n{k}: hello")), "nobody on n{k} answered: {answer}");
        head.until_stdout(&format!("@n{k}]"), READY)?;
    }
    head.signal(Signal::SIGINT);
    head.wait(END)?.expect_code(130)?;
    bed.nothing_runs()?;
    bed.finish()
}

#[test]
fn the_elastic_example_runs_on_four_hosts() -> Result<()> {
    let bed = Bed::with_hosts("elastic", 4)?;
    let job = repository().join("jobs/examples/elastic.yaml");
    let mut head = bed.a2arun_on_hosts(["-np", "8"]).arg(job).spawn()?;
    head.until("all seven answers", READY, |head| {
        let said = head.stdout();
        (0..7).all(|i| said.contains(&format!("answer: worker: here is worker {i} (")))
    })?;
    head.signal(Signal::SIGTERM);
    head.wait(END)?.expect_code(143)?;
    bed.nothing_runs()?;
    bed.finish()
}

#[test]
fn stop_from_another_shell_leaves_nothing_on_any_host() -> Result<()> {
    let bed = Bed::with_hosts("stop4", 4)?;
    let job = bed.job("elastic", ELASTIC)?;
    let mut head = bed.a2arun_on_hosts(["-np", "8"]).arg(job).spawn()?;
    head.until("all ready", READY, |_| all_ready(&bed, "elastic", 8).is_some())?;
    bed.a2arun(["stop", "elastic"]).run()?.expect_code(0)?;
    let _ = head.wait(END)?;
    bed.nothing_runs()?;
    bed.finish()
}

#[test]
fn sigkill_of_the_head_empties_every_host() -> Result<()> {
    let bed = Bed::with_hosts("headkill4", 4)?;
    bed.allow_log("head");
    // It may be killed in the middle of a handshake.
    bed.allow_log("refused a connection");
    let agent = bed.agent();
    let mut head = bed.a2arun_on_hosts(["-np", "8", "--", &agent, "sleep"]).spawn()?;
    head.until("8 agents", READY, |_| procs::agents(bed.folder()).len() == 8)?;
    head.signal(Signal::SIGKILL);
    let _ = head.wait(END)?;
    // 2 s for the head to come back, then TERM, at which these agents go.
    a2arun_e2e::wait_for("every host to be empty", Duration::from_secs(5), || {
        let left = procs::agents(bed.folder());
        a2arun_e2e::Poll::when(left.is_empty(), || format!("{left:?}"))
    })?;
    bed.nothing_runs()?;
    bed.finish()
}

#[test]
fn hostfile_and_trust_may_come_from_the_environment() -> Result<()> {
    let bed = Bed::with_hosts("fromenv", 2)?;
    let run = bed.a2arun(["-np", "2", "--", "/bin/true"]).env("A2ARUN_TRUST", bed.trust());
    run.env("A2ARUN_HOSTFILE", bed.hostfile()).run()?.expect_code(0)?;
    bed.finish()
}

#[test]
fn plain_programs_on_four_hosts() -> Result<()> {
    let bed = Bed::with_hosts("plain4", 4)?;
    let script =
        "echo $A2ARUN_RANK $A2ARUN_SIZE $A2ARUN_NODE $A2ARUN_LOCAL_RANK $A2ARUN_LOCAL_SIZE";
    let output = bed.a2arun_on_hosts(["-np", "8", "--", "sh", "-c", script]).run()?;
    output.expect_code(0)?;
    let mut seen = BTreeSet::new();
    for line in output.lines() {
        let (tag, text) = line.split_once("] ").context("a tag")?;
        let words: Vec<&str> = text.split(' ').collect();
        ensure!(words.len() == 5 && words[1] == "8" && words[4] == "2", "{line}");
        ensure!(tag.starts_with(&format!("[{} ", words[0])), "{line}");
        ensure!(tag.ends_with(&format!("@{}", words[2])), "{line}");
        seen.insert((words[2].to_owned(), words[3].to_owned()));
    }
    ensure!(seen.len() == 8, "{seen:?}");
    bed.finish()
}

#[test]
fn written_slots_bind_and_say_what_is_missing() -> Result<()> {
    let bed = Bed::with_hosts("slots", 2)?;
    let text = std::fs::read_to_string(bed.hostfile())?;
    let text: Vec<String> = text.lines().map(|line| format!("{line} slots=2")).collect();
    std::fs::write(bed.hostfile(), text.join("\n") + "\n")?;
    bed.a2arun_on_hosts(["-np", "4", "--", "/bin/true"]).run()?.expect_code(0)?;
    let output = bed.a2arun_on_hosts(["-np", "5", "--", "/bin/true"]).run()?;
    output.expect_code(71)?.expect_stderr(&["5", "4"])?;
    ensure!(output.stderr.lines().count() <= 12, "{}", output.describe());
    // Without -np, the slots that somebody wrote down.
    let output = bed.a2arun_on_hosts(["--", "sh", "-c", "echo $A2ARUN_SIZE"]).run()?;
    output.expect_code(0)?;
    ensure!(output.lines().count() == 4, "{}", output.describe());
    bed.finish()
}
