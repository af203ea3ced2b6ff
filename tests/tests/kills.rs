//! Any of noded, spawner, step may die alone: agents go on, and nothing is lost.

use std::fs;
use std::time::Duration;

use a2arun_e2e::bed::{Bed, skipped};
use a2arun_e2e::storm::{Storm, Victims, run};
use a2arun_e2e::{Poll, procs, wait_for};
use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;

const READY: Duration = Duration::from_secs(30);
const END: Duration = Duration::from_secs(30);

/// P2 and P4: death of noded, spawner or step never stops, restarts or mutes an agent.
fn storm(victims: Victims, kills: u32) -> Result<()> {
    let bed = Bed::new(&format!("kill-{}", victims.name()))?;
    bed.allow_log("");
    let storm = Storm { victims, kills, seed: 42, agents: 16, lines_per_second: 200 };
    let outcome = run(&bed, &storm)?;
    ensure!(outcome.wrong.is_empty(), "{:#?}\n{}", outcome.wrong, outcome.row(&storm));
    ensure!(outcome.kills.values().sum::<u32>() == kills, "{:?}", outcome.kills);
    bed.nothing_runs()?;
    bed.finish()
}

#[test]
fn p2_noded_may_die() -> Result<()> {
    storm(Victims::Noded, 20)
}

#[test]
fn p2_steps_may_die() -> Result<()> {
    storm(Victims::Steps, 20)
}

#[test]
fn p2_the_spawner_may_die() -> Result<()> {
    storm(Victims::Spawner, 20)
}

#[test]
fn p2_anyone_may_die() -> Result<()> {
    storm(Victims::Random, 20)
}

/// P3: the exit code is right or says unknown. Here nothing else dies, so it is right.
#[test]
fn p3_codes_are_right_after_noded_was_replaced() -> Result<()> {
    let bed = Bed::new("p3")?;
    bed.allow_log("");
    let gate = bed.folder().join("gate");
    let script =
        format!("while [ ! -e {} ]; do sleep 0.02; done; exit $A2ARUN_RANK", gate.display());
    let out = bed.folder().join("out");
    let run = bed.a2arun(["-np", "6", "--continue", "--output-dir"]).arg(&out);
    let mut head = run.args(["--", "sh", "-c", &script]).spawn()?;
    head.until("all run", READY, |_| procs::agents(bed.folder()).len() == 6)?;
    let noded = || procs::of_folder(bed.folder()).into_iter().find(|p| p.comm == "noded");
    let before = noded().context("a noded")?;
    before.signal(Signal::SIGKILL);
    // They end while nobody is there.
    fs::write(&gate, "")?;
    let output = head.wait(END)?;
    ensure!((1..6).contains(&output.code), "{}", output.describe());
    let exits = bed.exit_records()?;
    ensure!(exits.len() == 6, "{exits:?}");
    for (rank, exit) in exits {
        ensure!(exit["code"] == rank, "rank {rank}: {exit}");
    }
    bed.finish()
}

/// P1: an accepted spawn runs at most once, also when noded dies in the middle of a launch.
#[test]
fn p1_a_launch_that_noded_dies_in_starts_nothing_twice() -> Result<()> {
    let bed = Bed::new("p1")?;
    bed.allow_log("");
    let marks = bed.folder().join("marks");
    fs::create_dir(&marks)?;
    let script = format!("echo x >> {}/$A2ARUN_JOB.$A2ARUN_RANK; sleep 0.2", marks.display());
    // A daemon is there already, so that it can be hit at any point of the launch.
    bed.a2arun(["-np", "1", "--", "true"]).run()?.expect_code(0)?;
    for round in 0..8 {
        for mark in fs::read_dir(&marks)? {
            fs::remove_file(mark?.path())?;
        }
        let args = ["-np", "64", "--", "sh", "-c", &script];
        let head = bed.a2arun(args).spawn()?;
        let wanted = round * 8;
        let _ = wait_for("some to run", Duration::from_secs(5), || {
            let count = fs::read_dir(&marks).map_or(0, Iterator::count);
            Poll::when(count > wanted, || count.to_string())
        });
        for noded in procs::of_folder(bed.folder()).iter().filter(|p| p.comm == "noded") {
            noded.signal(Signal::SIGKILL);
        }
        let output = head.wait(END)?;
        for mark in fs::read_dir(&marks)? {
            let path = mark?.path();
            let times = fs::read_to_string(&path)?.lines().count();
            ensure!(times == 1, "{} ran {times} times (round {round})", path.display());
        }
        // The head launches again what nobody wrote down: the launch survives in every round.
        let ran = fs::read_dir(&marks)?.count();
        ensure!(ran == 64, "round {round}: {ran} of 64 ran\n{}", output.describe());
        output.expect_code(0)?;
        bed.nothing_runs()?;
    }
    bed.finish()
}

/// Starts a process with exactly this pid, by the kernel's own counter (proc(5), ns_last_pid).
fn stranger_with(pid: i32, program: &str) -> Option<std::process::Child> {
    for _ in 0..50 {
        fs::write("/proc/sys/kernel/ns_last_pid", (pid - 1).to_string()).ok()?;
        let mut child = std::process::Command::new(program).arg("sleep").spawn().ok()?;
        if child.id() == pid.unsigned_abs() {
            return Some(child);
        }
        let _ = child.kill();
        let _ = child.wait();
    }
    None
}

/// P6: nothing is signalled by a stale pid. Everything of ours dies at once, a stranger gets the
/// pid that a record names, and the next daemon reads that record.
#[test]
fn p6_a_stale_record_signals_nobody() -> Result<()> {
    let bed = Bed::new("p6")?;
    bed.allow_log("");
    let agent = bed.agent();
    let mut head = bed.a2arun(["-np", "1", "--", &agent, "sleep"]).spawn()?;
    head.until("it runs", READY, |_| procs::agents(bed.folder()).len() == 1)?;
    let pid = procs::agents(bed.folder())[0].1.pid;
    let all = procs::of_folder(bed.folder());
    for proc in all.iter().filter(|p| p.is_daemon()).chain(all.iter().filter(|p| !p.is_daemon())) {
        proc.signal(Signal::SIGKILL);
    }
    drop(head);
    wait_for("all to be gone, the pid too", READY, || {
        let left = procs::of_folder(bed.folder());
        left.iter().for_each(|proc| proc.signal(Signal::SIGKILL));
        // A zombie keeps its pid until somebody reaps it.
        let free = !std::path::Path::new(&format!("/proc/{pid}")).exists();
        Poll::when(left.is_empty() && free, || format!("{left:?}"))
    })?;
    let Some(mut stranger) = stranger_with(pid, &agent) else {
        skipped("a stale pid: the kernel's pid counter cannot be set here");
        return bed.finish();
    };
    bed.a2arun(["-np", "1", "--", "true"]).run()?.expect_code(0)?;
    for run in bed.list()? {
        let run = run["run"].as_str().context("a run id")?.to_owned();
        bed.a2arun(["stop", &run]).run()?.expect_code(0)?;
    }
    let untouched = stranger.try_wait()?.is_none();
    stranger.kill()?;
    stranger.wait()?;
    ensure!(untouched, "a stranger was signalled");
    bed.finish()
}

/// P10: noded starts with any torn record.
#[test]
fn p10_torn_records_stop_no_start() -> Result<()> {
    let bed = Bed::new("p10")?;
    bed.allow_log("");
    bed.a2arun(["-np", "2", "--", "true"]).run()?.expect_code(0)?;
    a2arun_e2e::leftovers::end_daemons(bed.folder()).ok();
    let mut torn = 0;
    let mut folders = vec![bed.state()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            let path = entry.path();
            if entry.file_type()?.is_dir() {
                folders.push(path);
            } else if path.file_name().is_some_and(|name| name == "spawn" || name == "exit") {
                let content = fs::read(&path)?;
                // Cut in half, emptied, turned to noise: by turns.
                match torn % 3 {
                    0 => fs::write(&path, &content[..content.len() / 2])?,
                    1 => fs::write(&path, b"")?,
                    _ => fs::write(&path, vec![0xa5; content.len()])?,
                }
                torn += 1;
            }
        }
    }
    ensure!(torn > 0, "no record was found in {}", bed.state().display());
    let output = bed.a2arun(["-np", "2", "--", "echo", "well"]).run()?;
    output.expect_code(0)?;
    ensure!(output.stdout.matches("well").count() == 2, "{}", output.describe());
    bed.list()?;
    bed.finish()
}

/// P12: descriptors stay bounded: a daemon has as many after 30 jobs as after 3.
#[test]
fn p12_descriptors_and_memory_stay_bounded() -> Result<()> {
    let bed = Bed::new("p12")?;
    let noded = || procs::of_folder(bed.folder()).into_iter().find(|p| p.comm == "noded");
    let open = |pid: i32| fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count);
    let jobs = |count: u32| -> Result<(usize, u64)> {
        for _ in 0..count {
            bed.a2arun(["-np", "8", "--", "echo", "x"]).run()?.expect_code(0)?;
        }
        let pid = noded().context("a noded")?.pid;
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("VmRSS")?;
        Ok((open(pid), rss.trim().trim_end_matches(" kB").parse()?))
    };
    let (first, rss_first) = jobs(3)?;
    let (later, rss_later) = jobs(30)?;
    ensure!(later <= first + 4, "{first} descriptors after 3 jobs, {later} after 33");
    ensure!(rss_later < rss_first + 4096, "{rss_first} kB after 3 jobs, {rss_later} kB after 33");
    bed.finish()
}

/// P7: without noded, steps stop their agents after the orphan limit; a foreground job whose
/// spawner and noded are gone for good is such a case. The limit is 60 s, so this test is slow.
#[test]
fn p7_without_noded_and_spawner_agents_end_at_the_orphan_limit() -> Result<()> {
    let bed = Bed::new("p7noded")?;
    bed.allow_log("");
    let agent = bed.agent();
    let mut head = bed.a2arun(["-np", "2", "--", &agent, "sleep"]).spawn()?;
    head.until("both run", READY, |_| procs::agents(bed.folder()).len() == 2)?;
    // The head would start a daemon again; it goes first.
    head.signal(Signal::SIGKILL);
    for proc in procs::of_folder(bed.folder()).iter().filter(|p| p.comm == "a2arun-spawner") {
        proc.signal(Signal::SIGKILL);
    }
    for proc in procs::of_folder(bed.folder()).iter().filter(|p| p.is_daemon()) {
        proc.signal(Signal::SIGKILL);
    }
    drop(head);
    ensure!(procs::agents(bed.folder()).len() == 2, "the agents go on for now");
    wait_for("the agents to be gone", Duration::from_secs(75), || {
        let left = procs::agents(bed.folder());
        Poll::when(left.is_empty(), || format!("{left:?}"))
    })?;
    bed.nothing_runs()?;
    bed.finish()
}

/// A step that does not answer (its disk blocks it; here it is stopped) never blocks a stop:
/// noded carries it out, and what is known is marked as weak.
#[test]
fn a_step_that_hangs_does_not_block_a_stop() -> Result<()> {
    let bed = Bed::new("hung")?;
    bed.allow_log("does not answer a stop");
    let agent = bed.agent();
    let mut head = bed.a2arun(["-np", "2", "--", &agent, "sleep"]).spawn()?;
    head.until("both run", READY, |_| procs::agents(bed.folder()).len() == 2)?;
    let steps = || procs::of_folder(bed.folder()).into_iter().filter(|p| p.comm == "a2arun-step");
    for step in steps() {
        step.signal(Signal::SIGSTOP);
    }
    head.signal(Signal::SIGINT);
    let output = head.wait(END)?;
    output.expect_code(130)?;
    // The agents are gone; the steps are not, and end when they can.
    for step in steps() {
        step.signal(Signal::SIGCONT);
    }
    bed.nothing_runs()?;
    bed.finish()
}

/// A spawner that dies with a launch in its queue: the next one carries it out.
#[test]
fn p2_the_spawner_may_die_in_a_launch() -> Result<()> {
    let bed = Bed::new("spawnerlaunch")?;
    bed.allow_log("");
    bed.a2arun(["-np", "1", "--", "true"]).run()?.expect_code(0)?;
    let spawner = || {
        let all = procs::of_folder(bed.folder());
        all.into_iter().find(|p| p.comm == "a2arun-spawner").context("a spawner")
    };
    let first = spawner()?;
    first.signal(Signal::SIGSTOP);
    let head = bed.a2arun(["-np", "4", "--", "echo", "here"]).spawn()?;
    // noded has asked when its descriptors for the four are there.
    let noded = procs::of_folder(bed.folder()).into_iter().find(|p| p.comm == "noded");
    let noded = noded.context("a noded")?.pid;
    let pipes = || {
        let fds = fs::read_dir(format!("/proc/{noded}/fd")).into_iter().flatten().flatten();
        fds.filter_map(|fd| fs::read_link(fd.path()).ok())
            .filter(|link| link.to_string_lossy().starts_with("pipe:"))
            .count()
    };
    wait_for("the launch to be under way", READY, || {
        let count = pipes();
        Poll::when(count >= 8, || format!("{count} pipes"))
    })?;
    first.signal(Signal::SIGKILL);
    let output = head.wait(END)?;
    output.expect_code(0)?;
    ensure!(output.stdout.matches("here").count() == 4, "{}", output.describe());
    bed.finish()
}

/// Step and leader die at once: what they leave behind is ended, and the end is no guess.
#[test]
fn p5_a_tree_that_loses_step_and_leader_is_ended() -> Result<()> {
    let bed = Bed::new("treeless")?;
    bed.allow_log("");
    let script = "setsid sleep 1000 & sleep 1000";
    let mut head = bed.a2arun(["-np", "1", "--", "sh", "-c", script]).spawn()?;
    let named = |comm: &str| -> Vec<procs::Proc> {
        procs::of_folder(bed.folder()).into_iter().filter(|p| p.comm == comm).collect()
    };
    head.until("all three run", READY, |_| {
        named("sleep").len() == 2 && named("sh").len() == 1 && named("a2arun-step").len() == 1
    })?;
    for victim in named("a2arun-step").iter().chain(&named("sh")) {
        victim.signal(Signal::SIGKILL);
    }
    let output = head.wait(END)?;
    ensure!(output.code == 137, "{}", output.describe());
    bed.nothing_runs()?;
    bed.finish()
}

/// The agent ended by itself, its child holds out: Ctrl-C changes nothing of how it ended.
#[test]
fn p3_a_stop_after_the_end_does_not_change_it() -> Result<()> {
    let bed = Bed::new("endedfirst")?;
    let deaf = bed.folder().join("deaf");
    let script = format!(
        "(trap '' TERM; : > {0}; exec sleep 1000) & until [ -e {0} ]; do :; done; exit 3",
        deaf.display()
    );
    let mut head = bed.a2arun(["-np", "1", "--", "sh", "-c", &script]).spawn()?;
    let named = |comm: &str| -> Vec<procs::Proc> {
        procs::of_folder(bed.folder()).into_iter().filter(|p| p.comm == comm).collect()
    };
    // The subshell has become the sleep.
    head.until("the child is all that is left", READY, |_| {
        deaf.exists() && named("sh").is_empty() && named("a2arun-step").len() == 1
    })?;
    head.signal(Signal::SIGINT);
    head.wait(END)?;
    let exits = bed.exit_records()?;
    ensure!(exits.len() == 1, "{exits:?}");
    for exit in exits.values() {
        ensure!(exit["reason"] == "failed" && exit["code"] == 3, "{exit}");
    }
    bed.finish()
}
