//! Ready and wired: edges are proven before a job runs, callers read of their peers, what was
//! ready is looked at again, and people are told why.

use std::fs;
use std::time::{Duration, Instant};

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

/// Listens and takes no connection, as an agent that computes; on SIGUSR1 it listens no more.
const BUSY: &str = "\
import os, signal, socket, time
s = socket.socket()
s.bind(('127.0.0.1', int(os.environ['PORT'])))
s.listen(1)
signal.signal(signal.SIGUSR1, lambda *_: s.close())
while True:
    time.sleep(100)
";

#[test]
fn busy_is_ready_and_closed_is_not() -> Result<()> {
    let bed = Bed::new("busy")?;
    fs::write(bed.folder().join("jobs/busy.py"), BUSY)?;
    let job = bed.job(
        "busy",
        "\
agents:
  - id: w
    command: [python3, busy.py]
    workdir: .
    config: {port: auto}
    readiness: {type: tcp, period: 100ms, timeout: 100ms}
",
    )?;
    let mut head = bed.a2arun([&job]).spawn()?;
    head.until_stderr("busy is ready", READY)?;
    let w = instance(&bed, "busy", "w[0]")?;
    let url = w["url"].as_str().context("no url")?.trim_start_matches("http://").to_owned();
    let address = url.trim_end_matches('/').parse()?;
    // Its queue is soon full: whoever connects waits. So do the looks, again and again.
    let mut waited = 0;
    wait_for("nobody gets through", SOON, || {
        match std::net::TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
            Err(_) => waited += 1,
            Ok(_) => waited = 0,
        }
        if waited > 10 { Poll::Ready(()) } else { Poll::NotYet(waited.to_string()) }
    })?;
    let pid = i32::try_from(w["pid"].as_i64().context("no pid")?)?;
    procs::Proc::read(pid).context("w is gone")?.signal(Signal::SIGUSR1);
    until(&bed, "busy", "w[0]", "w is not ready any more", |w| w["state"] == "unready")?;
    let events = bed.a2arun(["events", "busy/w"]).run()?;
    let unready: Vec<&str> = events.stdout.lines().filter(|l| l.contains(" unready ")).collect();
    ensure!(unready.len() == 1, "{}", events.describe());
    ensure!(unready[0].contains("nothing listens on port"), "{}", unready[0]);
    ends(head, &bed)?;
    bed.finish()
}

#[test]
fn a_new_noded_knows_where_to_look_and_how_to_tell() -> Result<()> {
    let bed = Bed::with_hosts("renoded", 1)?;
    bed.allow_log("");
    let deaf = bed.folder().join("deaf");
    let job = bed.job(
        "renoded",
        &format!(
            "\
agents:
  - id: w
    command: ['{{agent}}', serve, --deaf-while, '{}']
    config: {{port: auto}}
    readiness: {{type: tcp, period: 200ms}}
  - id: hub
    command: ['{{agent}}', serve, --hup, --bind, $(AGENT_HOST)]
    config: {{port: auto}}
    readiness: {{type: tcp, period: 200ms}}
    on_peers_change: {{signal: HUP}}
topology: {{type: hub-spoke, hub: hub, spokes: [w]}}
",
            deaf.display()
        ),
    )?;
    let mut head = bed.a2arun_on_hosts([&job]).spawn()?;
    head.until_stderr("renoded is ready", READY)?;
    let noded = || procs::of_folder(bed.folder()).into_iter().find(|p| p.comm == "noded");
    let before = noded().context("a noded")?;
    before.signal(Signal::SIGKILL);
    head.until("another noded", READY, |_| noded().is_some_and(|now| now != before))?;
    // What it sees of w it tells to hub, whose address it has to know to see that it is well.
    fs::write(&deaf, "")?;
    until(&bed, "renoded", "w[0]", "w is not ready any more", |w| w["state"] == "unready")?;
    head.until_stdout("hup: {\"generation\"", SOON)?;
    fs::remove_file(&deaf)?;
    until(&bed, "renoded", "w[0]", "w is ready again", |w| w["state"] == "ready")?;
    let hub = instance(&bed, "renoded", "hub[0]")?;
    ensure!(hub["state"] == "ready", "{hub}");
    let events = bed.a2arun(["events", "renoded/hub"]).run()?;
    ensure!(!events.stdout.contains("unready"), "{}", events.describe());
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
    ensure!(!why.stdout.contains("listening on"), "on stderr alone: {}", why.describe());
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
fn an_end_in_the_moment_of_being_ready_comes_after_it() -> Result<()> {
    let bed = Bed::new("moment")?;
    let agent = "\
import os, socket, time
def wait_for(name):
    while not os.path.exists(name):
        time.sleep(0.01)
wait_for('go')
s = socket.socket()
s.bind(('127.0.0.1', int(os.environ['PORT'])))
s.listen(5)
wait_for('die')
os._exit(3)
";
    fs::write(bed.folder().join("jobs/moment.py"), agent)?;
    let job = bed.job(
        "moment",
        "\
agents:
  - id: w
    command: [python3, moment.py]
    workdir: .
    config: {port: auto}
    readiness: {type: tcp}
",
    )?;
    let mut head = bed.a2arun([&job]).spawn()?;
    until(&bed, "moment", "w[0]", "w runs", |w| w["state"] == "starting")?;
    let step = procs::of_folder(bed.folder()).into_iter().find(|p| p.comm == "a2arun-step");
    let step = step.context("a step")?;
    // Busy elsewhere while its agent becomes ready and ends, it learns of both at once.
    step.signal(Signal::SIGSTOP);
    fs::write(bed.folder().join("jobs/go"), "")?;
    head.until_stderr("moment is ready", READY)?;
    let pid = instance(&bed, "moment", "w[0]")?["pid"].as_i64().context("no pid")?;
    fs::write(bed.folder().join("jobs/die"), "")?;
    wait_for("w has ended", SOON, || {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        if stat.contains(") Z ") { Poll::Ready(()) } else { Poll::NotYet(stat) }
    })?;
    step.signal(Signal::SIGCONT);
    let ended = head.wait(END)?;
    ended.expect_code(3)?.expect_stderr(&["exited with 3"])?;
    ensure!(!ended.stderr.contains("before it was ready"), "{}", ended.describe());
    bed.nothing_runs()?;
    bed.finish()
}

#[test]
fn why_says_that_the_head_is_gone() -> Result<()> {
    let bed = Bed::new("headless")?;
    bed.allow_log("no head: stopping the run");
    let job = bed.job(
        "headless",
        "agents: [{id: w, command: ['{agent}', serve], config: {port: auto}}]\n",
    )?;
    let mut head = bed.a2arun([&job]).spawn()?;
    head.until_stderr("headless is ready", READY)?;
    head.signal(Signal::SIGKILL);
    head.wait(END)?;
    let gone = |what: &str| {
        let why = bed.a2arun(["why", "headless"]).run()?;
        ensure!(why.stdout.contains("is gone without a word"), "{what}: {}", why.describe());
        Ok(why)
    };
    gone("at once")?;
    wait_for("its agent is taken down", SOON, || match procs::agents(bed.folder()).len() {
        0 => Poll::Ready(()),
        left => Poll::NotYet(left.to_string()),
    })?;
    let why = gone("later")?;
    ensure!(!why.stdout.contains("nobody is unwell"), "{}", why.describe());
    bed.nothing_runs()?;
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

#[test]
fn a_card_that_leads_nowhere_is_warned_of() -> Result<()> {
    let bed = Bed::new("card")?;
    let job = bed.job(
        "card",
        "\
agents:
  - {id: w, command: ['{agent}', serve, --card-url, 'http://0.0.0.0:1/'], config: {port: auto}, replicas: 2}
",
    )?;
    let mut head = bed.a2arun([&job]).spawn()?;
    head.until_stderr("card is ready", READY)?;
    let said = head.stderr();
    ensure!(said.contains("its card says http://0.0.0.0:1/"), "{said}");
    ensure!(said.contains("it is called at http://127.0.0.1:"), "names both: {said}");
    ensure!(said.matches("its card says").count() == 1, "once for both copies: {said}");
    ensure!(said.contains("A2A_PUBLIC_URL"), "{said}");
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
fn a_question_is_answered_or_the_command_fails() -> Result<()> {
    let bed = Bed::new("unanswered")?;
    // A task that is done long before does not end a job that was started to be asked.
    let job = bed.job(
        "mixed",
        "\
agents:
  - {id: w, command: ['{agent}', serve, --start-ms, '300'], config: {port: auto}}
  - {id: t, command: ['true'], protocol: none}
",
    )?;
    let asked = bed.a2arun(["--query", "are you there?"]).arg(&job).run()?;
    asked.expect_code(0)?;
    ensure!(asked.stdout.contains("are you there?"), "{}", asked.describe());
    // Whoever is asked leaves without a word, as if all were well.
    let leaves = "\
import http.server, os
class Leaves(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_error(404)
    def do_POST(self):
        os._exit(0)
http.server.HTTPServer(('127.0.0.1', int(os.environ['PORT'])), Leaves).serve_forever()
";
    fs::write(bed.folder().join("jobs/leaves.py"), leaves)?;
    let job = bed.job(
        "leaves",
        "agents: [{id: w, command: [python3, leaves.py], workdir: ., config: {port: auto}}]\n",
    )?;
    // Or as if not: its end is the cause then, not the connection that broke with it.
    let crash = leaves.replace("_exit(0)", "_exit(5)");
    fs::write(bed.folder().join("jobs/crash.py"), crash)?;
    let text =
        "agents: [{id: w, command: [python3, crash.py], workdir: ., config: {port: auto}}]\n";
    let asked = bed.a2arun(["--query", "x"]).arg(&bed.job("crash", text)?).run()?;
    asked.expect_code(5)?.expect_stderr(&["w[0] on", "exited with 5"])?;
    ensure!(!asked.stderr.contains("before it was ready"), "{}", asked.describe());
    let asked = bed.a2arun(["--query", "are you there?", "--output", "json"]).arg(&job).run()?;
    ensure!(asked.code != 0, "{}", asked.describe());
    let result = asked.json()?;
    ensure!(result["result"] == "failed" && result["answer"].is_null(), "{result}");
    ensure!(result["first_cause"]["why"].is_string(), "{result}");
    bed.nothing_runs()?;
    bed.finish()
}
