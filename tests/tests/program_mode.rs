//! `a2arun -- PROGRAM`: plain programs, as with mpirun.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::time::{Duration, Instant};

use a2arun_e2e::bed::Bed;
use a2arun_e2e::procs;
use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use serde_json::Value;

const READY: Duration = Duration::from_secs(30);
const LONG: Duration = Duration::from_secs(120);

#[test]
fn a_thousand_on_four_hosts_end_with_0_every_time() -> Result<()> {
    let bed = Bed::with_hosts("np1024", 4)?;
    for _ in 0..5 {
        let args = ["-np", "1024", "--", "/bin/true"];
        bed.a2arun_on_hosts(args).limit(LONG).run()?.expect_code(0)?;
    }
    bed.nothing_runs()?;
    bed.finish()
}

#[test]
fn a_thousand_here_each_with_a_line() -> Result<()> {
    let bed = Bed::new("np1024here")?;
    let args = ["-np", "1024", "--", "sh", "-c", "echo $A2ARUN_RANK"];
    let output = bed.a2arun(args).limit(LONG).run()?;
    output.expect_code(0)?;
    let ranks: BTreeSet<u32> = output
        .lines()
        .map(|line| line.rsplit(' ').next().unwrap_or_default().parse().unwrap_or(u32::MAX))
        .collect();
    ensure!(ranks == (0..1024).collect(), "{} different ranks", ranks.len());
    bed.finish()
}

#[test]
fn the_code_is_that_of_the_first_failure() -> Result<()> {
    let bed = Bed::with_hosts("firstcode", 4)?;
    let out = bed.folder().join("out");
    let args = ["-np", "8", "--output-dir"];
    let output =
        bed.a2arun_on_hosts(args).arg(&out).args(["--", "sh", "-c", "exit $A2ARUN_RANK"]).run()?;
    ensure!((1..8).contains(&output.code), "{}", output.describe());
    let result: Value = serde_json::from_slice(&fs::read(out.join("result.json"))?)?;
    ensure!(result["origin"] == "agent" && result["result"] == "failed", "{result}");
    ensure!(result["exit_code"] == output.code, "{result}");
    ensure!(result["first_cause"]["rank"] == output.code, "{result}");
    ensure!(result["first_cause"]["host"].as_str().is_some_and(|h| h.starts_with('n')), "{result}");
    bed.finish()
}

#[test]
fn codes_and_signals() -> Result<()> {
    let bed = Bed::new("codes")?;
    for (script, code) in [
        ("exit 0", 0),
        ("exit 3", 3),
        ("exit 255", 255),
        ("kill -KILL $$", 137),
        ("kill -SEGV $$", 139),
    ] {
        let output = bed.a2arun(["-np", "1", "--", "sh", "-c", script]).run()?;
        output.expect_code(code).with_context(|| script.to_owned())?;
    }
    bed.finish()
}

#[test]
fn a_failure_stops_the_others_and_continue_lets_them_finish() -> Result<()> {
    let bed = Bed::new("continue")?;
    let script = "if [ $A2ARUN_RANK = 1 ]; then echo boom >&2; exit 9; fi; exec sleep 60";
    let at = Instant::now();
    let output = bed.a2arun(["-np", "4", "--", "sh", "-c", script]).run()?;
    output.expect_code(9)?.expect_stderr(&["boom"])?;
    ensure!(at.elapsed() < Duration::from_secs(10), "{:?}", at.elapsed());
    bed.nothing_runs()?;

    let script = "if [ $A2ARUN_RANK = 1 ]; then exit 9; fi; sleep 0.5; echo finished";
    let output = bed.a2arun(["-np", "4", "--continue", "--", "sh", "-c", script]).run()?;
    output.expect_code(9)?;
    ensure!(output.stdout.matches("finished").count() == 3, "{}", output.describe());
    bed.finish()
}

#[test]
fn the_last_stderr_lines_of_a_failed_agent_come_once() -> Result<()> {
    let bed = Bed::new("laststderr")?;
    let script = "for i in $(seq 100); do echo line-$i- >&2; done; exit 4";
    let output = bed.a2arun(["-np", "1", "--", "sh", "-c", script]).run()?;
    output.expect_code(4)?;
    let times = |text: &str| output.stderr.matches(text).count();
    // Once while running, once in the block of the last 40.
    ensure!(times("line-10-") == 1 && times("line-100-") == 2, "{}", output.describe());
    ensure!(times("line-60-") == 1 && times("line-61-") == 2, "{}", output.describe());
    bed.finish()
}

#[test]
fn a_timeout_ends_with_124() -> Result<()> {
    let bed = Bed::new("timeout")?;
    let at = Instant::now();
    let out = bed.folder().join("out");
    let args = ["-np", "2", "--timeout", "1s", "--output-dir"];
    let output = bed.a2arun(args).arg(&out).args(["--", "sleep", "60"]).run()?;
    output.expect_code(124)?;
    let took = at.elapsed();
    ensure!((1..5).contains(&took.as_secs()), "{took:?}");
    let result: Value = serde_json::from_slice(&fs::read(out.join("result.json"))?)?;
    ensure!(result["result"] == "timed-out" && result["origin"] == "launcher", "{result}");
    bed.nothing_runs()?;
    bed.finish()
}

#[test]
fn output_dir_has_every_stream_complete() -> Result<()> {
    let bed = Bed::with_hosts("outdir", 2)?;
    let out = bed.folder().join("out");
    let script = "echo out-$A2ARUN_RANK; echo err-$A2ARUN_RANK >&2; printf tail";
    let args = ["-np", "4", "--output-dir"];
    bed.a2arun_on_hosts(args).arg(&out).args(["--", "sh", "-c", script]).run()?.expect_code(0)?;
    for rank in 0..4 {
        let read = |kind| fs::read_to_string(out.join(format!("sh.{rank}.{kind}")));
        ensure!(read("out")? == format!("out-{rank}\ntail"), "{:?}", read("out"));
        ensure!(read("err")? == format!("err-{rank}\n"), "{:?}", read("err"));
    }
    bed.finish()
}

#[test]
fn stdout_and_stderr_stay_apart() -> Result<()> {
    let bed = Bed::new("apart")?;
    let agent = bed.agent();
    let output = bed.a2arun(["-np", "2", "--", &agent, "both-streams"]).run()?;
    output.expect_code(0)?;
    ensure!(output.stdout.matches("to stdout").count() == 2, "{}", output.describe());
    ensure!(output.stderr.matches("to stderr").count() == 2, "{}", output.describe());
    ensure!(!output.stdout.contains("to stderr"), "{}", output.describe());
    ensure!(!output.stderr.contains("to stdout"), "{}", output.describe());
    bed.finish()
}

#[test]
fn stdin_goes_to_the_one_that_was_named() -> Result<()> {
    let bed = Bed::new("stdin")?;
    let agent = bed.agent();
    let input = bed.folder().join("input");
    fs::write(&input, "first\nsecond\n")?;
    let run = bed.a2arun(["-np", "1", "--stdin", "testagent", "--", &agent, "echo-stdin"]);
    let output = run.stdin(fs::File::open(&input)?).run()?;
    output.expect_code(0)?;
    for text in ["first", "second", "end of input after 13 bytes"] {
        ensure!(output.stdout.contains(text), "{}", output.describe());
    }
    // Without it: /dev/null, even though there is something to read.
    let run = bed.a2arun(["-np", "1", "--", &agent, "echo-stdin"]);
    let output = run.stdin(fs::File::open(&input)?).run()?;
    ensure!(output.stdout.contains("end of input after 0 bytes"), "{}", output.describe());
    bed.finish()
}

/// The input breaks with its noded: that is said, the agent sees the end, and nobody hangs.
#[test]
fn stdin_ends_with_the_noded_that_forwards_it() -> Result<()> {
    let bed = Bed::new("stdinkill")?;
    bed.allow_log("");
    let agent = bed.agent();
    let (reader, mut writer) = std::io::pipe()?;
    let run = bed.a2arun(["-np", "1", "--stdin", "testagent", "--", &agent, "echo-stdin"]);
    let mut head = run.stdin(reader).spawn()?;
    writer.write_all(b"first\n")?;
    head.until_stdout("first", READY)?;
    let noded = procs::of_folder(bed.folder()).into_iter().find(|p| p.comm == "noded");
    noded.context("a noded")?.signal(Signal::SIGKILL);
    head.until_stderr("standard input", READY)?;
    let output = head.wait(READY)?;
    output.expect_code(0)?.expect_stderr(&["warning: standard input is not forwarded any more"])?;
    ensure!(output.stdout.contains("end of input after 6 bytes"), "{}", output.describe());
    drop(writer);
    bed.finish()
}

#[test]
fn without_the_dashes_it_is_refused_with_the_corrected_line() -> Result<()> {
    let bed = Bed::new("dashes")?;
    let output = bed.a2arun(["-np", "2", "/bin/true"]).run()?;
    output.expect_code(64)?.expect_stderr(&["-- /bin/true"])?;
    bed.finish()
}

#[test]
fn the_number_of_copies_can_be_written_in_every_way() -> Result<()> {
    let bed = Bed::new("np")?;
    for flag in ["-np", "-n", "--np"] {
        let output = bed.a2arun([flag, "3", "--", "sh", "-c", "echo one"]).run()?;
        output.expect_code(0)?;
        ensure!(output.lines().count() == 3, "{}", output.describe());
    }
    let output = bed.a2arun(["-np", "0", "--", "true"]).run()?;
    output.expect_code(64)?;
    let output = bed.a2arun(["-np", "1", "--timout", "1s", "--", "true"]).run()?;
    output.expect_code(64)?.expect_stderr(&["--timeout"])?;
    bed.finish()
}
