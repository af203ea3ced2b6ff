//! Stops: of a run without its head, of one that is told twice, of one whose output goes nowhere.

use std::fs;
use std::io::Read;
use std::process::Stdio;
use std::time::{Duration, Instant};

use a2arun_e2e::bed::Bed;
use a2arun_e2e::procs;
use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;

const READY: Duration = Duration::from_secs(30);
const END: Duration = Duration::from_secs(30);

/// P5: all hosts are told at once, each proves that nothing is left, and asking again is no error.
#[test]
fn p5_a_run_without_its_head_is_stopped_on_all_hosts() -> Result<()> {
    let bed = Bed::with_hosts("stopdead", 3)?;
    bed.allow_log("head");
    bed.allow_log("run");
    // Each host takes its grace: one after another would take three.
    let script = "trap 'sleep 1.5; exit 0' TERM; echo up; while :; do sleep 0.05; done";
    let run = bed.a2arun_on_hosts(["-np", "6", "--", "sh", "-c", script]);
    let mut head = run.spawn()?;
    head.until("all run", READY, |head| head.stdout().matches("up").count() == 6)?;
    head.signal(Signal::SIGKILL);
    drop(head);
    let at = Instant::now();
    let output = bed.a2arun(["stop", "sh"]).run()?;
    output.expect_code(0)?.expect_stderr(&["is stopped"])?;
    ensure!(at.elapsed() < Duration::from_secs(4), "{:?}", at.elapsed());
    bed.nothing_runs()?;
    bed.a2arun(["stop", "sh"]).run()?.expect_code(0)?;
    let list = bed.list()?;
    ensure!(list.len() == 1 && list[0]["state"] == "inactive", "{list:?}");
    // Now it is written down, and nobody is asked any more.
    ensure!(!list[0]["ended"].is_null() || !bed.list()?[0]["ended"].is_null(), "{list:?}");
    bed.finish()
}

/// The same here, where noded is long gone: there is nothing left to be stopped.
#[test]
fn a_stop_of_a_run_that_noded_has_forgotten_is_no_error() -> Result<()> {
    let bed = Bed::new("stopforgot")?;
    bed.allow_log("head");
    let agent = bed.agent();
    let mut head = bed.a2arun(["-np", "2", "--", &agent, "sleep"]).spawn()?;
    head.until("both run", READY, |_| procs::agents(bed.folder()).len() == 2)?;
    head.signal(Signal::SIGKILL);
    drop(head);
    bed.a2arun(["stop", "testagent"]).run()?.expect_code(0)?;
    bed.nothing_runs()?;
    bed.a2arun(["stop", "testagent"]).run()?.expect_code(0)?;
    a2arun_e2e::leftovers::end_daemons(bed.folder()).map_err(anyhow::Error::msg)?;
    bed.a2arun(["stop", "testagent"]).run()?.expect_code(0)?;
    bed.finish()
}

/// timeout(1) signals its child and then its group: one wish, delivered twice.
#[test]
fn a_term_that_comes_twice_leaves_the_grace() -> Result<()> {
    let bed = Bed::new("twice")?;
    let mark = bed.folder().join("mark");
    let script = format!(
        "trap 'sleep 0.5; echo x > {}; exit 0' TERM; echo up; while :; do sleep 0.02; done",
        mark.display()
    );
    for twice in [true, false] {
        let _ = fs::remove_file(&mark);
        let mut head = bed.a2arun(["-np", "1", "--", "sh", "-c", &script]).spawn()?;
        head.until_stdout("up", READY)?;
        if twice {
            head.signal(Signal::SIGTERM);
            head.signal(Signal::SIGHUP);
        } else {
            let stop = || bed.a2arun(["stop", "sh"]).spawn();
            let (one, other) = (stop()?, stop()?);
            one.wait(END)?.expect_code(0)?;
            other.wait(END)?.expect_code(0)?;
        }
        head.wait(END)?.expect_code(143)?;
        ensure!(mark.exists(), "the agent had no time to end (twice: {twice})");
    }
    bed.nothing_runs()?;
    bed.finish()
}

#[test]
fn a_full_disk_behind_stdout_is_said() -> Result<()> {
    let bed = Bed::new("devfull")?;
    let full = || fs::OpenOptions::new().write(true).open("/dev/full").context("/dev/full");
    let output = bed.a2arun(["-np", "2", "--", "echo", "hello"]).stdout(full()?).run()?;
    output.expect_code(70)?.expect_stderr(&["stdout", "No space left"])?;
    // An agent's own code stands.
    let args = ["-np", "1", "--", "sh", "-c", "echo hello; exit 3"];
    bed.a2arun(args).stdout(full()?).run()?.expect_code(3)?;
    bed.nothing_runs()?;
    bed.finish()
}

#[test]
fn a_reader_that_goes_away_is_no_failure() -> Result<()> {
    let bed = Bed::new("epipe")?;
    let agent = bed.agent();
    let (mut reader, writer) = std::io::pipe()?;
    let run = bed.a2arun(["-np", "2", "--", &agent, "flood", "20000", "100"]);
    let head = run.stdout(Stdio::from(writer)).spawn()?;
    let mut some = [0; 1000];
    reader.read_exact(&mut some)?;
    drop(reader);
    let output = head.wait(END)?;
    output.expect_code(0)?;
    ensure!(output.stderr.is_empty(), "{}", output.describe());
    // The same for a verb that prints at once.
    let (reader, writer) = std::io::pipe()?;
    drop(reader);
    let list = bed.a2arun(["list", "--all"]).stdout(Stdio::from(writer)).run()?;
    list.expect_code(0)?;
    ensure!(list.stderr.is_empty(), "{}", list.describe());
    bed.finish()
}
