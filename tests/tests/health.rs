//! What was ready is looked at again, and people are told what happened and why.

use std::fs;
use std::time::Duration;

use a2arun_e2e::bed::Bed;
use a2arun_e2e::looks::{ends, instance, until};
use a2arun_e2e::{Poll, procs, wait_for};
use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use serde_json::Value;

const READY: Duration = Duration::from_secs(30);
const SOON: Duration = Duration::from_secs(15);
const END: Duration = Duration::from_secs(20);

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
