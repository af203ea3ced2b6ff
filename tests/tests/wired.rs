//! Wired: edges are proven before a job runs and again while it does, callers read of their peers,
//! cards are held against how agents are called.

use std::fs;
use std::time::Duration;

use a2arun_e2e::bed::Bed;
use a2arun_e2e::looks::{ends, instance, until};
use a2arun_e2e::procs;
use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;

const READY: Duration = Duration::from_secs(30);
const SOON: Duration = Duration::from_secs(15);
const END: Duration = Duration::from_secs(20);

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
fn a_peer_outside_is_warned_of_and_one_that_has_ended_is_not() -> Result<()> {
    let bed = Bed::new("outside")?;
    let job = bed.job(
        "outside",
        "\
agents:
  - {id: hub, command: ['{agent}', serve], config: {port: auto}}
  - {id: far, external: 'http://127.0.0.1:1/'}
topology: {type: hub-spoke, hub: hub, spokes: [far]}
",
    )?;
    let mut head = bed.a2arun([&job]).spawn()?;
    head.until_stderr("outside is ready", READY)?;
    // Nobody waits for it.
    head.until_stderr("✗ far (http://127.0.0.1:1/): refused", SOON)?;
    let said = head.stderr();
    ensure!(said.contains("warning: hub[0]@") && !said.contains("error:"), "{said}");
    ends(head, &bed)?;
    // Ready, deaf, and over while others try to connect: it has done what it was for.
    let once = "\
import os, socket, time
s = socket.socket()
s.bind(('127.0.0.1', int(os.environ['PORT'])))
s.listen(5)
s.accept()
time.sleep(0.3)
s.close()
time.sleep(1.5)
";
    fs::write(bed.folder().join("jobs/once.py"), once)?;
    let job = bed.job(
        "brief",
        "\
agents:
  - {id: hub, command: ['{agent}', serve, --start-ms, '900'], config: {port: auto}}
  - id: once
    command: [python3, once.py]
    workdir: .
    config: {port: auto}
    readiness: {type: tcp}
topology: {type: hub-spoke, hub: hub, spokes: [once]}
deployment: {strategy: parallel}
",
    )?;
    let mut head = bed.a2arun([&job]).spawn()?;
    head.until_stderr("brief is ready", READY)?;
    ensure!(!head.stderr().contains('✗'), "{}", head.stderr());
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
fn an_edge_that_breaks_while_the_job_runs_is_seen_and_its_mending_too() -> Result<()> {
    let bed = Bed::with_hosts("cut", 2)?;
    if !bed.has_namespaces("a network that breaks between two hosts") {
        return bed.finish();
    }
    let job = bed.job(
        "cut",
        "\
agents:
  - id: weather
    command: ['{agent}', serve]
    config: {port: auto}
    readiness: {period: 1s}
    placement: {host: n2}
  - {id: controller, command: ['{agent}', serve], config: {port: auto}, placement: {host: n1}}
topology: {type: hub-spoke, hub: controller, spokes: [weather]}
",
    )?;
    let mut head = bed.a2arun_on_hosts([&job]).spawn()?;
    head.until_stderr("cut is ready", READY)?;
    let there = bed.address(2);
    // The head still hears both.
    bed.testbed("exec", &["n1", "ip", "route", "add", "unreachable", &there])?;
    head.until_stderr("controller[0]@n1 ✗ weather[0]@n2:", SOON)?;
    until(&bed, "cut", "weather[0]", "NET is not stale", |w| {
        w["net"] == false && w["ready"] == true
    })?;
    bed.testbed("exec", &["n1", "ip", "route", "del", "unreachable", &there])?;
    head.until_stderr("controller[0]@n1 ✓ weather[0]@n2:", SOON)?;
    until(&bed, "cut", "weather[0]", "NET is good again", |w| w["net"] == true)?;
    ends(head, &bed)?;
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
