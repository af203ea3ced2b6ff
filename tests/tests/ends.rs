//! How a job ends: Ctrl-C once and twice, TERM in every phase, HUP, the head's death.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use a2arun_e2e::bed::Bed;
use a2arun_e2e::{Head, Poll, procs, wait_for};
use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use serde_json::Value;

const READY: Duration = Duration::from_secs(30);
const END: Duration = Duration::from_secs(20);

fn running(bed: &Bed, count: usize, args: &[&str]) -> Result<Head> {
    let np = count.to_string();
    let agent = bed.agent();
    let mut head = bed.a2arun(["-np", &np, "--", &agent]).args(args).spawn()?;
    head.until("the agents run", READY, |_| procs::agents(bed.folder()).len() == count)?;
    Ok(head)
}

fn result(folder: &Path) -> Result<Value> {
    let path = folder.join("result.json");
    let text = fs::read(&path).with_context(|| path.display().to_string())?;
    Ok(serde_json::from_slice(&text)?)
}

#[test]
fn ctrl_c_once_is_a_graceful_stop() -> Result<()> {
    let bed = Bed::new("ctrlc")?;
    let head = running(&bed, 4, &["sleep"])?;
    let at = Instant::now();
    head.signal(Signal::SIGINT);
    let output = head.wait(END)?;
    output.expect_code(130)?;
    // The bar is 0.03 s; this only guards against waiting for the grace.
    ensure!(at.elapsed() < Duration::from_secs(2), "{:?}", at.elapsed());
    bed.nothing_runs()?;
    bed.finish()
}

#[test]
fn ctrl_c_twice_kills_at_once() -> Result<()> {
    let bed = Bed::new("ctrlc2")?;
    let mut head = running(&bed, 3, &["ignore-term"])?;
    head.until("all ignore TERM", READY, |head| head.stdout().matches("ignoring").count() == 3)?;
    let at = Instant::now();
    head.signal(Signal::SIGINT);
    // The first one is seen to work: the head says who is left.
    head.until("the stop is announced", READY, |head| !head.stderr().is_empty())?;
    ensure!(!head.has_ended(), "{}", head.stderr());
    head.signal(Signal::SIGINT);
    head.wait(END)?.expect_code(130)?;
    ensure!(at.elapsed() < Duration::from_secs(5), "{:?}", at.elapsed());
    bed.nothing_runs()?;
    bed.finish()
}

#[test]
fn who_ignores_term_is_killed_after_the_grace() -> Result<()> {
    let bed = Bed::new("grace")?;
    let job = "\
agents:
  - id: stubborn
    command: ['{agent}', ignore-term]
    replicas: 2
    stop: {grace: 1s}
";
    let mut head = bed.a2arun([bed.job("grace", job)?]).spawn()?;
    head.until("both ignore TERM", READY, |head| head.stdout().matches("ignoring").count() == 2)?;
    let at = Instant::now();
    head.signal(Signal::SIGINT);
    head.wait(END)?.expect_code(130)?;
    let took = at.elapsed();
    ensure!(took >= Duration::from_millis(900) && took < Duration::from_secs(3), "{took:?}");
    bed.nothing_runs()?;
    bed.finish()
}

#[test]
fn hup_is_term_and_nohup_is_kept() -> Result<()> {
    let bed = Bed::new("hup")?;
    let head = running(&bed, 1, &["sleep"])?;
    head.signal(Signal::SIGHUP);
    head.wait(END)?.expect_code(143)?;
    bed.nothing_runs()?;

    let (a2arun, agent) = (bed.binary("a2arun"), bed.agent());
    let mut head = bed
        .program("sh")
        .args([
            "-c",
            "trap '' HUP; exec \"$@\"",
            "sh",
            &a2arun,
            "-np",
            "1",
            "--",
            &agent,
            "sleep",
            "1500",
        ])
        .spawn()?;
    head.until("the agent runs", READY, |_| procs::agents(bed.folder()).len() == 1)?;
    head.signal(Signal::SIGHUP);
    head.wait(END)?.expect_code(0)?;
    bed.finish()
}

#[test]
fn term_is_obeyed_in_every_phase() -> Result<()> {
    let bed = Bed::new("phases")?;
    let job = "\
agents:
  - id: slow
    command: ['{agent}', serve, --start-ms, '400']
    config: {port: auto}
  - id: late
    command: ['{agent}', serve]
    config: {port: auto}
topology: {type: hub-spoke, hub: late, spokes: [slow]}
";
    let job = bed.job("phases", job)?;
    // From before the first agent to after the last is ready; the moments are spread over the
    // launch, so each phase is hit whatever the machine's speed.
    for step in 0..12_u32 {
        let started = Instant::now();
        let head = bed.a2arun([&job]).spawn()?;
        wait_for("the moment", READY, || {
            Poll::when(started.elapsed() >= Duration::from_millis(2) * step * step, String::new)
        })?;
        head.signal(Signal::SIGTERM);
        let output = head.wait(END)?;
        // Before the handler is there, the signal's default does the same.
        output.expect_code(143).with_context(|| format!("step {step}"))?;
        bed.nothing_runs().with_context(|| format!("step {step}: {}", output.describe()))?;
    }
    bed.finish()
}

/// P7: no agent outlives its control plane beyond its limit.
#[test]
fn p7_sigkill_of_the_head_takes_everything_down() -> Result<()> {
    let bed = Bed::new("p7head")?;
    let head = running(&bed, 4, &["setsid-children", "2"])?;
    let at = Instant::now();
    head.signal(Signal::SIGKILL);
    wait_for("nothing to be left", Duration::from_secs(2 + 10 + 3), || {
        let mut left = procs::of_folder(bed.folder());
        left.retain(|p| !p.is_daemon());
        Poll::when(left.is_empty(), || format!("{left:?}"))
    })?;
    ensure!(
        at.elapsed() >= Duration::from_secs(1),
        "a head may come back for 2 s: {:?}",
        at.elapsed()
    );
    drop(head);
    bed.allow_log("head");
    bed.finish()
}

#[test]
fn result_json_says_how_it_ended() -> Result<()> {
    let bed = Bed::new("result")?;
    let out = bed.folder().join("ok");
    bed.a2arun(["-np", "2", "--output-dir"])
        .arg(&out)
        .args(["--", "true"])
        .run()?
        .expect_code(0)?;
    let ok = result(&out)?;
    ensure!(ok["result"] == "completed" && ok["exit_code"] == 0, "{ok}");
    ensure!(ok["first_cause"].is_null() && ok["counts"]["completed"] == 2, "{ok}");

    let out = bed.folder().join("failed");
    let script = "echo the reason >&2; exit 5";
    let run = bed.a2arun(["-np", "1", "--output-dir"]).arg(&out).args(["--", "sh", "-c", script]);
    run.run()?.expect_code(5)?;
    let failed = result(&out)?;
    ensure!(failed["origin"] == "agent" && failed["first_cause"]["code"] == 5, "{failed}");
    ensure!(failed["first_cause"]["stderr"][0] == "the reason", "{failed}");

    let out = bed.folder().join("canceled");
    let mut head =
        bed.a2arun(["-np", "1", "--output-dir"]).arg(&out).args(["--", "sleep", "60"]).spawn()?;
    head.until("it runs", READY, |_| procs::agents(bed.folder()).len() == 1)?;
    head.signal(Signal::SIGINT);
    head.wait(END)?.expect_code(130)?;
    let canceled = result(&out)?;
    ensure!(canceled["result"] == "canceled" && canceled["origin"] == "launcher", "{canceled}");
    ensure!(canceled["exit_code"] == 130 && canceled["counts"]["stopped"] == 1, "{canceled}");
    bed.finish()
}

#[test]
fn a_service_that_dies_later_ends_the_job_with_its_code() -> Result<()> {
    let bed = Bed::new("dies")?;
    let job = "\
agents:
  - id: mortal
    command: ['{agent}', serve, --die-after, '300', '7']
    config: {port: auto}
  - id: other
    command: ['{agent}', serve]
    config: {port: auto}
";
    let output = bed.a2arun([bed.job("dies", job)?]).run()?;
    output.expect_code(7)?.expect_stderr(&["mortal", "dying with 7"])?;
    bed.nothing_runs()?;
    bed.finish()
}

#[test]
fn tasks_complete_and_services_are_stopped_then() -> Result<()> {
    let bed = Bed::new("tasks")?;
    let job = "\
agents:
  - id: server
    command: ['{agent}', serve]
    config: {port: auto}
  - id: work
    command: [sh, -c, 'echo done']
    lifecycle: task
    protocol: none
topology: {type: hub-spoke, hub: work, spokes: [server]}
";
    let output = bed.a2arun([bed.job("tasks", job)?]).run()?;
    output.expect_code(0)?;
    ensure!(output.stdout.contains("done"), "{}", output.describe());
    bed.nothing_runs()?;
    bed.finish()
}
