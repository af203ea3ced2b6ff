//! Ready and wired: edges are proven before a job runs, callers read of their peers, what was
//! ready is looked at again, and people are told why.

use std::fs;
use std::time::Duration;

use a2arun_e2e::bed::{Bed, repository};
use a2arun_e2e::run::Head;
use a2arun_e2e::{Poll, procs, wait_for};
use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use serde_json::Value;

const READY: Duration = Duration::from_secs(30);
const SOON: Duration = Duration::from_secs(15);
const END: Duration = Duration::from_secs(20);

fn instance(bed: &Bed, job: &str, name: &str) -> Result<Value> {
    let status = bed.status(job)?;
    let all = status["instances"].as_array().context("no instances")?;
    all.iter().find(|i| i["name"] == name).cloned().with_context(|| format!("no {name}: {status}"))
}

fn until(
    bed: &Bed,
    job: &str,
    name: &str,
    what: &str,
    good: impl Fn(&Value) -> bool,
) -> Result<()> {
    wait_for(what, SOON, || match instance(bed, job, name) {
        Ok(found) if good(&found) => Poll::Ready(()),
        Ok(found) => Poll::NotYet(found.to_string()),
        Err(error) => Poll::NotYet(format!("{error:#}")),
    })
}

fn ends(head: Head, bed: &Bed) -> Result<()> {
    head.signal(Signal::SIGINT);
    head.wait(END)?.expect_code(130)?;
    bed.nothing_runs()
}

#[test]
fn callers_read_of_their_peers_and_are_told_of_changes() -> Result<()> {
    let bed = Bed::new("peers")?;
    let job = bed.job(
        "peers",
        "\
agents:
  - {id: w, command: ['{agent}', serve], config: {port: auto}, replicas: 2}
  - {id: file, command: ['{agent}', peers-task], protocol: none, lifecycle: service}
  - {id: hup, command: ['{agent}', serve, --hup], config: {port: auto}, on_peers_change: {signal: HUP}}
  - {id: post, command: ['{agent}', serve], config: {port: auto}, on_peers_change: {http: /peers}}
  - {id: alone, command: [sh, -c, 'cat $A2ARUN_PEERS_FILE; sleep 1000'], lifecycle: service}
topology: {type: custom, connections: [{from: file, to: w}, {from: hup, to: w}, {from: post, to: w}]}
",
    )?;
    let mut head = bed.a2arun(["--continue".as_ref(), job.as_path()]).spawn()?;
    head.until_stderr("peers is ready", READY)?;
    head.until_stdout("peers: {\"generation\"", SOON)?;
    let said = head.stdout();
    let first = said.lines().find(|l| l.contains("peers: {")).context("no peers")?;
    ensure!(first.matches("\"ready\":true").count() == 2, "callees start first: {first}");
    ensure!(first.contains("\"w[0]\"") && first.contains("\"w[1]\""), "{first}");
    head.until_stdout("\"peers\": []", SOON)?;
    let victim = instance(&bed, "peers", "w[1]")?["pid"].as_i64().context("no pid")?;
    let victim = procs::Proc::read(i32::try_from(victim)?).context("w[1] is gone")?;
    victim.signal(Signal::SIGKILL);
    head.until_stdout("changed: {\"generation\"", SOON)?;
    head.until_stdout("hup: {\"generation\"", SOON)?;
    head.until_stdout("told: {\"generation\"", SOON)?;
    let said = head.stdout();
    for line in said.lines().filter(|l| l.contains("changed: {") || l.contains("hup: {")) {
        ensure!(line.matches("\"ready\":false").count() == 1, "{line}");
    }
    head.signal(Signal::SIGINT);
    head.wait(END)?;
    bed.nothing_runs()?;
    bed.finish()
}

const LOOPBACK: &str = "\
agents:
  - {id: weather, command: ['{agent}', serve, --bind, 127.0.0.1], config: {port: auto}, placement: {host: n2}}
  - {id: controller, command: ['{agent}', serve], config: {port: auto}, placement: {host: n1}}
topology: {type: hub-spoke, hub: controller, spokes: [weather]}
";

#[test]
fn an_edge_that_does_not_hold_fails_the_launch_and_is_named() -> Result<()> {
    let bed = Bed::with_hosts("edge", 2)?;
    if !bed.has_namespaces("a listener that others cannot reach") {
        return bed.finish();
    }
    let job = bed.job("edge", LOOPBACK)?;
    let failed = bed.a2arun_on_hosts([job.as_path()]).run()?;
    failed.expect_code(75)?.expect_stderr(&[
        "controller[0]@n1 ✗ weather[0]@n2:",
        "refused",
        "listens on 127.0.0.1:",
        "hint: let it bind $A2A_BIND_HOST",
    ])?;
    bed.nothing_runs()?;
    // Who wants it all the same can have it, and sees it.
    let mut head = bed.a2arun_on_hosts(["--continue".as_ref(), job.as_path()]).spawn()?;
    head.until_stderr("edge is ready", READY)?;
    let weather = instance(&bed, "edge", "weather[0]")?;
    ensure!(weather["net"] == false && weather["ready"] == true, "{weather}");
    let controller = instance(&bed, "edge", "controller[0]")?;
    ensure!(controller["net"] == true && controller["card"] == true, "{controller}");
    let why = bed.a2arun(["why", "edge"]).run()?;
    ensure!(why.stdout.contains("weather[0]@n2 is ready"), "{}", why.describe());
    ensure!(why.stdout.contains("controller[0]@n1 ✗ weather[0]@n2"), "{}", why.describe());
    ends(head, &bed)?;
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
fn what_was_ready_is_looked_at_again() -> Result<()> {
    let bed = Bed::new("fade")?;
    let deaf = bed.folder().join("deaf");
    let job = bed.job(
        "fade",
        &format!(
            "\
agents:
  - id: w
    command: ['{{agent}}', serve, --deaf-while, '{}']
    config: {{port: auto}}
    readiness: {{type: tcp, period: 200ms}}
  - {{id: hub, command: ['{{agent}}', serve, --hup], config: {{port: auto}}, on_peers_change: {{signal: HUP}}}}
topology: {{type: hub-spoke, hub: hub, spokes: [w]}}
",
            deaf.display()
        ),
    )?;
    let mut head = bed.a2arun([&job]).spawn()?;
    head.until_stderr("fade is ready", READY)?;
    fs::write(&deaf, "")?;
    until(&bed, "fade", "w[0]", "w is not ready any more", |w| {
        w["state"] == "unready" && w["ready"] == false && w["net"] == false
    })?;
    ensure!(bed.status("fade")?["state"] == "degraded", "{}", bed.status("fade")?);
    head.until_stderr("w[0]@", SOON)?;
    head.until_stderr("is not ready any more: nothing listens on port", SOON)?;
    head.until_stdout("\"ready\":false", SOON)?;
    let why = bed.a2arun(["why", "fade/w"]).run()?;
    ensure!(why.stdout.contains("is unready"), "{}", why.describe());
    ensure!(why.stdout.contains("nothing listens on port"), "{}", why.describe());
    fs::remove_file(&deaf)?;
    until(&bed, "fade", "w[0]", "w is ready again", |w| w["state"] == "ready")?;
    wait_for("the job runs again", SOON, || match bed.status("fade") {
        Ok(status) if status["state"] == "running" => Poll::Ready(()),
        other => Poll::NotYet(format!("{other:?}")),
    })?;
    let events = bed.a2arun(["events", "fade/w", "--output", "jsonl"]).run()?;
    let kinds: Vec<String> = events
        .stdout
        .lines()
        .map(|line| {
            Ok(serde_json::from_str::<Value>(line)?["kind"].as_str().unwrap_or("").to_owned())
        })
        .collect::<Result<_>>()?;
    ensure!(kinds == ["spawned", "ready", "unready", "ready"], "{kinds:?}");
    ends(head, &bed)?;
    bed.finish()
}

#[test]
fn events_are_followed_to_the_end() -> Result<()> {
    let bed = Bed::new("events")?;
    let job = bed.job(
        "events",
        "agents: [{id: w, command: ['{agent}', serve, --die-after, '700', '3'], config: {port: auto}}]\n",
    )?;
    let mut head = bed.a2arun([&job]).spawn()?;
    head.until_stderr("listening", READY).or_else(|_| head.until_stderr("ready", READY))?;
    let follow = bed.a2arun(["events", "-f", "events", "--output", "jsonl"]).run()?;
    follow.expect_code(0)?;
    let events: Vec<Value> =
        follow.stdout.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let seqs: Vec<u64> = events.iter().filter_map(|e| e["seq"].as_u64()).collect();
    ensure!(seqs == (1..=seqs.len() as u64).collect::<Vec<_>>(), "{seqs:?}");
    let last = events.last().context("no events")?;
    ensure!(last["kind"] == "job" && last["state"] == "inactive", "{last}");
    ensure!(last["exit_code"] == 3, "{last}");
    let exited = events.iter().find(|e| e["kind"] == "exited").context("no end")?;
    ensure!(exited["code"] == 3 && exited["rank"] == 0, "{exited}");
    head.wait(END)?.expect_code(3)?;
    let why = bed.a2arun(["why", "events/w"]).run()?;
    ensure!(why.stdout.contains("failed: exited with 3"), "{}", why.describe());
    ensure!(why.stdout.contains("dying with 3"), "its last words: {}", why.describe());
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
    command: [sh, -c, 'echo migrating; sleep 0.3; echo migrated']
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
fn a_card_that_leads_nowhere_is_warned_of() -> Result<()> {
    let bed = Bed::new("card")?;
    let job = bed.job(
        "card",
        "\
agents:
  - {id: w, command: ['{agent}', serve, --card-url, 'http://0.0.0.0:1/'], config: {port: auto}, replicas: 2}
  - {id: v, command: ['{agent}', serve, --card-url, 'http://0.0.0.0:2/'], config: {port: auto}}
",
    )?;
    let mut head = bed.a2arun([&job]).spawn()?;
    head.until_stderr("card is ready", READY)?;
    let said = head.stderr();
    ensure!(said.contains("its card says http://0.0.0.0:1/"), "{said}");
    ensure!(said.contains("it is called at http://127.0.0.1:"), "names both: {said}");
    ensure!(said.matches("its card says").count() == 2, "once for both copies: {said}");
    ensure!(said.matches("A2A_PUBLIC_URL").count() == 1, "helps once: {said}");
    ends(head, &bed)?;
    bed.finish()
}

#[test]
fn a_job_is_asked_and_ends_with_its_answer() -> Result<()> {
    let bed = Bed::new("question")?;
    let job = repository().join("jobs/examples/simple-weather.yaml");
    let asked = bed.a2arun(["--query", "Tokyo, coming from Oslo?"]).arg(&job).run()?;
    asked.expect_code(0)?;
    ensure!(asked.stdout.starts_with("weather: Tokyo: 19 degrees"), "{}", asked.describe());
    ensure!(asked.stdout.contains("maps: Tokyo to Oslo: 8406 km."), "{}", asked.describe());
    ensure!(!asked.stdout.contains('['), "the answer alone: {}", asked.stdout);
    bed.nothing_runs()?;
    let asked = bed.a2arun(["--query", "Lima?", "--output", "json"]).arg(&job).run()?;
    asked.expect_code(0)?;
    let result = asked.json()?;
    ensure!(result["result"] == "completed", "{result}");
    ensure!(result["answer"].as_str().unwrap_or_default().contains("Lima: 17"), "{result}");
    let job = bed.job(
        "input",
        "\
agents:
  - {id: w, command: ['{agent}', serve], config: {port: auto}}
execution: {entry_point: w, input: 'are you there?'}
",
    )?;
    let asked = bed.a2arun([&job]).run()?;
    asked.expect_code(0)?;
    ensure!(asked.stdout.contains("are you there?"), "{}", asked.describe());
    let job = bed.job(
        "mute",
        "agents: [{id: w, command: [sleep, '1000'], protocol: none, lifecycle: service}]\n",
    )?;
    let asked = bed.a2arun(["--query", "x"]).arg(&job).run()?;
    asked.expect_code(65)?.expect_stderr(&["nobody in this job can be asked"])?;
    bed.nothing_runs()?;
    bed.finish()
}

#[test]
fn a_card_of_the_original_format_is_read_as_one() -> Result<()> {
    let bed = Bed::new("origcard")?;
    let agent = r#"
import os
from http.server import BaseHTTPRequestHandler, HTTPServer
class Agent(BaseHTTPRequestHandler):
    def do_GET(self):
        here = self.path.endswith("/agent-configuration")
        self.send_response(200 if here else 404)
        self.end_headers()
        if here:
            self.wfile.write(b'{"name": "old", "url": "http://elsewhere.invalid:1", "skills": []}')
HTTPServer((os.environ["A2A_BIND_HOST"], int(os.environ["PORT"])), Agent).serve_forever()
"#;
    std::fs::write(bed.folder().join("jobs/old.py"), agent)?;
    let text = "agents: [{id: a, command: [python3, old.py], workdir: ., config: {port: auto}}]";
    let mut head = bed.a2arun([bed.job("origcard", text)?]).spawn()?;
    head.until_stderr("origcard is ready", READY)?;
    let said = head.stderr();
    ensure!(said.contains("its card says http://elsewhere.invalid:1 (query)"), "{said}");
    ends(head, &bed)?;
    bed.finish()
}
