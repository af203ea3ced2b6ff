//! Output: whole lines, in order, complete; readers that are slow cost the agents nothing.

use std::fs;
use std::io::Read;
use std::process::Stdio;
use std::time::Duration;

use a2arun_e2e::bed::Bed;
use a2arun_e2e::lines::Checker;
use a2arun_e2e::storm::check_output;
use a2arun_e2e::{Poll, procs, wait_for};
use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;

const READY: Duration = Duration::from_secs(30);
const END: Duration = Duration::from_secs(60);

/// The text after the tag.
fn untagged(line: &str) -> Option<&str> {
    line.starts_with('[').then(|| line.split_once("] ")).flatten().map(|(_, text)| text)
}

/// P4: no line is lost.
#[test]
fn p4_a_flood_arrives_complete_and_whole() -> Result<()> {
    let bed = Bed::with_hosts("flood", 4)?;
    let agent = bed.agent();
    let out = bed.folder().join("out");
    let run = bed.a2arun_on_hosts(["-np", "8", "--output-dir"]).arg(&out);
    let output = run.args(["--", &agent, "flood", "20000", "100"]).limit(END * 2).run()?;
    output.expect_code(0)?;
    let mut checker = Checker::default();
    for line in output.lines() {
        let text = untagged(line).with_context(|| format!("a line without a tag: {line:?}"))?;
        checker.line(text.as_bytes());
    }
    let screen = checker.finish();
    ensure!(screen.is_whole() && screen.whole == 160_000 && screen.ended == 8, "{screen:?}");
    let files = check_output(&out)?;
    ensure!(files.is_whole() && files.whole == 160_000 && files.ended == 8, "{files:?}");
    bed.finish()
}

#[test]
fn a_flood_on_stderr_arrives_too() -> Result<()> {
    let bed = Bed::new("flooderr")?;
    let agent = bed.agent();
    let output = bed.a2arun(["-np", "2", "--", &agent, "flood", "20000", "80", "2"]).run()?;
    output.expect_code(0)?;
    let mut checker = Checker::default();
    for text in output.stderr.lines().filter_map(untagged).filter(|text| text.starts_with('~')) {
        checker.line(text.as_bytes());
    }
    let tally = checker.finish();
    ensure!(tally.is_whole() && tally.whole == 40_000, "{tally:?}");
    ensure!(output.stdout.is_empty(), "{}", output.describe());
    bed.finish()
}

#[test]
fn half_lines_are_put_together_and_the_last_one_is_kept() -> Result<()> {
    let bed = Bed::new("halves")?;
    let agent = bed.agent();
    let output = bed.a2arun(["-np", "3", "--", &agent, "half-lines"]).run()?;
    output.expect_code(0)?;
    for line in output.lines() {
        ensure!(untagged(line).is_some(), "a line without a tag: {line:?}");
        // A tag never stands in mid-line.
        ensure!(line.matches("@").count() == 1, "{line:?}");
    }
    for round in 0..5 {
        let whole = format!("{round}-one {round}-two {round}-three");
        ensure!(output.stdout.matches(&whole).count() == 3, "{}", output.describe());
    }
    ensure!(output.stdout.matches("no newline at the end\n").count() == 3, "{}", output.describe());
    // A program that reads it is told in words of its own.
    let output = bed.a2arun(["-np", "1", "--output", "jsonl", "--", &agent, "half-lines"]).run()?;
    let events: Vec<serde_json::Value> =
        output.expect_code(0)?.lines().filter_map(|l| serde_json::from_str(l).ok()).collect();
    let partial: Vec<_> = events.iter().filter(|event| event["partial"] == true).collect();
    ensure!(
        partial.len() == 1 && partial[0]["line"] == "no newline at the end",
        "{}",
        output.describe()
    );
    bed.finish()
}

#[test]
fn bytes_that_are_no_text_do_no_harm() -> Result<()> {
    let bed = Bed::new("utf8")?;
    let agent = bed.agent();
    let out = bed.folder().join("out");
    let run = bed.a2arun(["-np", "1", "--output-dir"]).arg(&out);
    let output = run.args(["--", &agent, "invalid-utf8"]).run()?;
    output.expect_code(0)?;
    ensure!(
        output.stdout.contains("before") && output.stdout.contains("after"),
        "{}",
        output.describe()
    );
    ensure!(output.lines().count() == 3, "{}", output.describe());
    let stored = fs::read(out.join("testagent.0.out"))?;
    ensure!(stored == b"before\nbad \xff\xfe bytes \xc3\nafter\n", "{stored:?}");
    bed.finish()
}

#[test]
fn a_reader_that_does_not_read_costs_the_agents_nothing() -> Result<()> {
    let bed = Bed::new("slow")?;
    let agent = bed.agent();
    let done = bed.folder().join("done");
    // Each agent writes 4 MB into a terminal that nobody looks at, and says when it is through.
    let script = format!("'{agent}' flood 40000 100; echo x >> {}", done.display());
    let mut pipe = bed.program("sh");
    let (reader, writer) = std::io::pipe()?;
    pipe = pipe.stdout(Stdio::from(writer));
    let a2arun = bed.binary("a2arun");
    let args = ["-c", "exec \"$@\"", "sh", &a2arun, "-np", "2", "--", "sh", "-c", &script];
    let mut head = pipe.args(args).spawn()?;
    head.until("the agents are through", READY, |_| {
        fs::read_to_string(&done).is_ok_and(|text| text.lines().count() == 2)
    })?;
    ensure!(!head.has_ended(), "the head still has its output to write");
    // And a reader that comes late still gets everything.
    let mut said = Vec::new();
    let read = std::thread::spawn(move || {
        let mut reader = reader;
        reader.read_to_end(&mut said).map(|_| said)
    });
    head.wait(END)?.expect_code(0)?;
    let said = read.join().map_err(|_| anyhow::anyhow!("the reader panicked"))??;
    let mut checker = Checker::default();
    for line in String::from_utf8_lossy(&said).lines() {
        checker.line(untagged(line).with_context(|| line.to_owned())?.as_bytes());
    }
    let tally = checker.finish();
    ensure!(tally.is_whole() && tally.whole == 80_000, "{tally:?}");
    bed.finish()
}

#[test]
fn logs_of_a_running_job_can_be_read_from_another_shell() -> Result<()> {
    let bed = Bed::new("logsverb")?;
    let job = "\
agents:
  - id: talker
    command: [sh, -c, 'for i in $$(seq 20); do echo line-$$i-; done; echo oops >&2; exec sleep 600']
    replicas: 2
";
    let mut head = bed.a2arun([bed.job("talk", &job.replace("$$", "$"))?]).spawn()?;
    head.until("all lines", READY, |head| head.stdout().matches("line-20-").count() == 2)?;

    let all = bed.a2arun(["logs", "talk"]).run()?;
    all.expect_code(0)?;
    ensure!(all.stdout.matches("line-").count() == 40, "{}", all.describe());
    let one = bed.a2arun(["logs", "talk/talker[1]"]).run()?;
    one.expect_code(0)?;
    ensure!(one.stdout.matches("line-").count() == 20, "{}", one.describe());
    let last = bed.a2arun(["logs", "talk/talker[0]", "-n", "3"]).run()?;
    last.expect_code(0)?;
    let seen: Vec<_> = last.lines().filter(|line| line.contains("line-")).collect();
    ensure!(seen.len() == 3 && seen[2].contains("line-20-"), "{}", last.describe());
    let errors = bed.a2arun(["logs", "talk", "--stderr"]).run()?;
    errors.expect_code(0)?;
    ensure!(a2arun_e2e::bed::both(&errors).contains("oops"), "{}", errors.describe());

    let mut follow = bed.a2arun(["logs", "talk", "-f"]).spawn()?;
    follow.until("what is there", READY, |f| f.stdout().matches("line-").count() == 40)?;
    ensure!(!follow.has_ended(), "-f stays");
    bed.a2arun(["stop", "talk"]).run()?.expect_code(0)?;
    follow.wait(END)?.expect_code(0)?;
    head.wait(END)?;

    // What was said can still be read when it is over.
    let later = bed.a2arun(["logs", "talk"]).run()?;
    later.expect_code(0)?;
    ensure!(later.stdout.matches("line-").count() == 40, "{}", later.describe());
    bed.finish()
}

#[test]
fn list_status_and_stop_work_from_another_shell() -> Result<()> {
    let bed = Bed::new("verbs")?;
    let agent = bed.agent();
    ensure!(bed.list()?.is_empty(), "nothing runs yet");
    let mut head = bed.a2arun(["-np", "2", "--", &agent, "sleep"]).spawn()?;
    head.until("both run", READY, |_| procs::agents(bed.folder()).len() == 2)?;
    // They run before the head has heard of it.
    let list = wait_for("the list to say so", READY, || match bed.list() {
        Ok(list) if list.len() == 1 && list[0]["state"] == "running" => Poll::Ready(list),
        Ok(list) => Poll::NotYet(format!("{list:?}")),
        Err(error) => Poll::Hopeless(format!("{error:#}")),
    })?;
    let run = list[0]["run"].as_str().context("no run id")?;
    ensure!(list[0]["ended"].is_null(), "{list:?}");
    let status = bed.status(run)?;
    ensure!(status["run"] == run && status["job"] == "testagent", "{status}");
    let pids: Vec<_> = procs::agents(bed.folder()).iter().map(|(_, p)| p.pid).collect();
    for (rank, instance) in status["instances"].as_array().context("instances")?.iter().enumerate()
    {
        ensure!(instance["rank"] == rank && instance["pid"] == pids[rank], "{instance}");
        for key in
            ["card", "net", "restarts", "exit", "since", "cpu_percent", "memory_bytes", "url"]
        {
            ensure!(instance.get(key).is_some(), "{key} is missing in {instance}");
        }
    }
    // A unique prefix is a name.
    bed.a2arun(["status", &run[..run.len() - 2]]).run()?.expect_code(0)?;
    let unknown = bed.a2arun(["status", "no-such-job"]).run()?;
    unknown.expect_code(64)?.expect_stderr(&["no-such-job"])?;
    let nobody = bed.a2arun(["status", &format!("{run}/nobody")]).run()?;
    nobody.expect_code(64)?.expect_stderr(&["nobody", "testagent"])?;
    bed.a2arun(["stop", run]).run()?.expect_code(0)?;
    head.wait(END)?;
    bed.nothing_runs()?;
    let list = bed.list()?;
    ensure!(list.iter().all(|run| run["state"] == "inactive"), "{list:?}");
    bed.finish()
}

#[test]
fn the_status_of_an_ended_run_shows_how_each_instance_ended() -> Result<()> {
    let bed = Bed::new("endedstatus")?;
    let args = ["-np", "4", "--continue", "--", "sh", "-c", "exit $A2ARUN_RANK"];
    let output = bed.a2arun(args).run()?;
    ensure!((1..4).contains(&output.code), "{}", output.describe());
    let status = bed.status("sh")?;
    ensure!(status["state"] == "inactive" && status["result"] == "failed", "{status}");
    let instances = status["instances"].as_array().context("instances")?;
    ensure!(instances.len() == 4, "{status}");
    for instance in instances {
        ensure!(instance["state"] == "exited", "{instance}");
        ensure!(instance["exit"]["code"] == instance["rank"], "{instance}");
    }
    bed.finish()
}

/// A reader from another shell is not disturbed by a noded that dies.
#[test]
fn following_goes_on_when_noded_dies() -> Result<()> {
    let bed = Bed::new("followkill")?;
    bed.allow_log("");
    let gate = bed.folder().join("gate");
    let script = format!(
        "echo before; while [ ! -e {} ]; do sleep 0.02; done; echo after; sleep 0.2",
        gate.display()
    );
    let mut head = bed.a2arun(["-np", "1", "--", "sh", "-c", &script]).spawn()?;
    head.until_stdout("before", READY)?;
    let mut follow = bed.a2arun(["logs", "sh", "-f"]).spawn()?;
    follow.until_stdout("before", READY)?;
    let noded = procs::of_folder(bed.folder()).into_iter().find(|p| p.comm == "noded");
    noded.context("a noded")?.signal(Signal::SIGKILL);
    fs::write(&gate, "")?;
    let output = follow.wait(END)?;
    output.expect_code(0)?;
    ensure!(output.lines().count() == 2, "{}", output.describe());
    ensure!(output.stdout.ends_with("after\n"), "{}", output.describe());
    head.wait(END)?.expect_code(0)?;
    bed.finish()
}

/// A head whose output nobody takes is still there, and can be stopped.
#[test]
fn a_head_that_waits_for_its_reader_is_listed_and_stopped() -> Result<()> {
    let bed = Bed::new("drainstop")?;
    let agent = bed.agent();
    let (reader, writer) = std::io::pipe()?;
    let run = bed.a2arun(["-np", "2", "--", &agent, "flood", "40000", "100"]);
    let mut head = run.stdout(Stdio::from(writer)).spawn()?;
    head.until("the agents to be through", READY, |_| {
        let list = bed.list().unwrap_or_default();
        list.len() == 1 && list[0]["state"] == "cleanup" && procs::agents(bed.folder()).is_empty()
    })?;
    bed.a2arun(["stop", "testagent"]).run()?.expect_code(0)?;
    head.wait(END)?;
    drop(reader);
    bed.finish()
}

/// P14: stale is never shown as live.
#[test]
fn p14_a_run_whose_head_died_is_not_shown_as_running() -> Result<()> {
    let bed = Bed::new("p14")?;
    bed.allow_log("head");
    let agent = bed.agent();
    let mut head = bed.a2arun(["-np", "2", "--", &agent, "sleep"]).spawn()?;
    head.until("both run", READY, |_| procs::agents(bed.folder()).len() == 2)?;
    head.signal(Signal::SIGKILL);
    drop(head);
    wait_for("the agents to be gone", Duration::from_secs(8), || {
        let left = procs::agents(bed.folder());
        Poll::when(left.is_empty(), || format!("{left:?}"))
    })?;
    wait_for("the list to say so", Duration::from_secs(5), || match bed.list() {
        Ok(list) => {
            Poll::when(list.iter().all(|run| run["state"] == "inactive"), || format!("{list:?}"))
        }
        Err(error) => Poll::NotYet(format!("{error:#}")),
    })?;
    bed.finish()
}

/// P14, and P5: a host that does not answer has nobody said to be gone.
#[test]
fn p14_a_host_that_does_not_answer_is_not_taken_for_empty() -> Result<()> {
    let bed = Bed::with_hosts("p14hosts", 2)?;
    bed.allow_log("");
    let agent = bed.agent();
    let mut head = bed.a2arun_on_hosts(["-np", "4", "--", &agent, "sleep"]).spawn()?;
    head.until("all run", READY, |_| procs::agents(bed.folder()).len() == 4)?;
    head.signal(Signal::SIGKILL);
    drop(head);
    bed.testbed("kill", &["n2"])?;
    let output = bed.a2arun(["status", "testagent", "--output", "json"]).run()?;
    output.expect_code(68)?.expect_stderr(&["n2"])?;
    let status = output.json()?;
    ensure!(status["state"] == "degraded", "{status}");
    let instances = status["instances"].as_array().context("instances")?;
    ensure!(instances.len() == 4, "{status}");
    for instance in instances {
        ensure!((instance["host"] == "n2") == (instance["state"] == "lost"), "{instance}");
    }
    let list = bed.list()?;
    ensure!(list[0]["state"] == "degraded", "{list:?}");
    let stop = bed.a2arun(["stop", "testagent", "--timeout", "3s"]).run()?;
    stop.expect_code(68)?.expect_stderr(&["n2"])?;
    bed.testbed("start", &["n2"])?;
    bed.a2arun(["stop", "testagent"]).run()?.expect_code(0)?;
    bed.nothing_runs()?;
    bed.finish()
}

#[test]
fn escape_sequences_reach_no_file_damaged() -> Result<()> {
    let bed = Bed::new("escapes")?;
    let out = bed.folder().join("out");
    let run = bed.a2arun(["-np", "1", "--output-dir"]).arg(&out);
    run.args(["--", "printf", "\\033[31mred\\033[0m\\n"]).run()?.expect_code(0)?;
    let stored = fs::read(out.join("printf.0.out"))?;
    ensure!(stored == b"\x1b[31mred\x1b[0m\n", "{stored:?}");
    bed.finish()
}

#[test]
fn last_words_are_those_of_the_one_that_failed() -> Result<()> {
    let bed = Bed::new("words")?;
    let job = bed.job(
        "words",
        "\
agents:
  - {id: noisy, command: [sh, -c, 'echo noise >&2; echo noise; sleep 1000'], protocol: none, lifecycle: service}
  - {id: w, command: [sh, -c, 'echo to stdout; echo my last word >&2; exit 7'], protocol: none, depends_on: [noisy]}
",
    )?;
    let failed = bed.a2arun([&job]).run()?;
    failed.expect_code(7)?;
    let (_, block) = failed.stderr.split_once("its last").context("no block")?;
    ensure!(block.starts_with(" 1 line on stderr:\n  my last word\n"), "{}", failed.describe());
    let result = bed.a2arun(["--output", "json"]).arg(&job).run()?.json()?;
    ensure!(result["first_cause"]["stderr"] == serde_json::json!(["my last word"]), "{result}");
    bed.nothing_runs()?;
    bed.finish()
}

#[test]
fn without_a_name_the_run_that_is_on_or_the_newest_is_meant() -> Result<()> {
    let bed = Bed::new("nameless")?;
    bed.a2arun(["status"]).run()?.expect_code(64)?.expect_stderr(&["no runs on this machine"])?;
    let failed = bed.a2arun(["-np", "1", "--", "sh", "-c", "echo no >&2; exit 3"]).run()?;
    failed.expect_code(3)?;
    let why = bed.a2arun(["why"]).run()?;
    why.expect_code(0)?;
    ensure!(why.stdout.contains("sh[0]@") && why.stdout.contains("    no"), "{}", why.describe());
    let list = bed.a2arun(["list", "--all"]).run()?;
    ensure!(list.stdout.contains("failed, 3"), "{}", list.describe());
    ensure!(bed.list()?[0]["result"] == "failed" && bed.list()?[0]["exit_code"] == 3);

    let job = bed.job("on", "agents: [{id: a, command: [sleep, '1000']}]")?;
    let mut head = bed.a2arun([&job]).spawn()?;
    head.until_stderr("on is ready after", READY)?;
    let status = bed.a2arun(["status"]).run()?;
    status.expect_code(0)?;
    ensure!(status.stdout.starts_with("on-"), "{}", status.describe());
    // A folder that cannot be read is told of where runs are listed, with how to be rid of it.
    let runs = fs::read_dir(bed.folder().join("st/a2arun"))?.next().context("a host")??;
    let torn = runs.path().join("runs/torn-00000001");
    fs::create_dir_all(&torn)?;
    fs::write(torn.join("run.json"), "{")?;
    let status = bed.a2arun(["status"]).run()?;
    ensure!(status.stderr.is_empty(), "{}", status.describe());
    let list = bed.a2arun(["list"]).run()?;
    list.expect_code(0)?.expect_stderr(&["is damaged", &format!("rm -r {}", torn.display())])?;
    let torn = bed.a2arun(["status", "torn"]).run()?;
    torn.expect_code(64)?.expect_stderr(&["is damaged", "no run is called `torn`"])?;
    head.signal(Signal::SIGINT);
    head.wait(END)?.expect_code(130)?;
    bed.finish()
}

#[test]
fn a_job_that_is_complete_before_all_were_started_says_so() -> Result<()> {
    let bed = Bed::new("early")?;
    let job = bed.job(
        "early",
        "\
agents:
  - {id: slow, command: [sleep, '1000'], config: {port: auto}}
  - {id: caller, command: [sleep, '1000'], config: {port: auto}}
  - {id: report, command: ['true'], lifecycle: task, protocol: none}
topology: {type: hub-spoke, hub: caller, spokes: [slow]}
",
    )?;
    let output = bed.a2arun([job]).run()?;
    output.expect_code(0)?;
    output.expect_stderr(&["the job is complete and never started caller[0]@", "`depends_on`"])?;
    let why = bed.a2arun(["why", "early/caller"]).run()?;
    ensure!(why.stdout.contains("ended before its stage began"), "{}", why.describe());
    bed.finish()
}
