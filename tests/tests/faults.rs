//! Faults, each with one clear message, the right code, and nothing left running.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use a2arun_e2e::bed::{Bed, both, skipped};
use a2arun_e2e::{Poll, procs, wait_for};
use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use serde_json::Value;

const READY: Duration = Duration::from_secs(30);
const END: Duration = Duration::from_secs(30);

fn program(bed: &Bed, args: &[&str]) -> Result<a2arun_e2e::Output> {
    bed.a2arun(["-np", "2", "--"]).args(args).run()
}

/// A job of one service with these lines added.
fn service(bed: &Bed, name: &str, mode: &str, more: &str) -> Result<std::path::PathBuf> {
    let text = format!(
        "agents:\n  - id: svc\n    command: ['{{agent}}', {mode}]\n    config: {{port: auto}}\n{more}"
    );
    bed.job(name, &text)
}

#[test]
fn an_unreachable_host_is_named_and_the_others_are_known() -> Result<()> {
    let bed = Bed::with_hosts("unreach", 3)?;
    // The head gives the others up in the middle of their handshakes.
    bed.allow_log("refused a connection");
    bed.testbed("kill", &["n2"])?;
    let at = Instant::now();
    let output = bed.a2arun_on_hosts(["-np", "3", "--", "/bin/true"]).run()?;
    output.expect_code(68)?.expect_stderr(&["n2", &bed.address(2)])?;
    ensure!(at.elapsed() < Duration::from_secs(8), "{:?}", at.elapsed());
    output.expect_stderr(&["n1, n3 answered", "nothing was started"])?;
    bed.nothing_runs()?;
    bed.finish()
}

#[test]
fn a_host_that_swallows_packets_is_unreachable_after_5_s() -> Result<()> {
    let bed = Bed::with_hosts("blackhole", 2)?;
    if !bed.has_namespaces("a host whose link is cut") {
        return bed.finish();
    }
    bed.testbed("cut", &["n2"])?;
    let at = Instant::now();
    let output = bed.a2arun_on_hosts(["-np", "2", "--", "/bin/true"]).run()?;
    output.expect_code(68)?.expect_stderr(&["n2"])?;
    ensure!(at.elapsed() < Duration::from_secs(9), "{:?}", at.elapsed());
    bed.testbed("heal", &["n2"])?;
    bed.nothing_runs()?;
    bed.finish()
}

#[test]
fn a_link_that_is_cut_while_launching_ends_the_launch() -> Result<()> {
    let bed = Bed::with_hosts("cutlaunch", 2)?;
    if !bed.has_namespaces("a link that is cut while launching") {
        return bed.finish();
    }
    for text in ["head", "session", "run", "orphan", "connection"] {
        bed.allow_log(text);
    }
    let job = "\
agents:
  - id: slow
    command: ['{agent}', serve, --start-ms, '3000']
    config: {port: auto}
    replicas: auto
    readiness: {deadline: 20s}
    stop: {grace: 1s}
";
    let mut head = bed.a2arun_on_hosts(["-np", "2"]).arg(bed.job("cut", job)?).spawn()?;
    head.until("both are spawned", READY, |_| procs::agents(bed.folder()).len() == 2)?;
    bed.testbed("cut", &["n2"])?;
    let output = head.wait(Duration::from_secs(90))?;
    output.expect_code(68)?;
    output.expect_stderr(&["error: n2: lost"])?;
    bed.testbed("heal", &["n2"])?;
    // The host alone takes its agent down: nothing was heard from the head for 60 s.
    wait_for("n2 to be empty", Duration::from_secs(80), || {
        let left = procs::agents(bed.folder());
        Poll::when(left.is_empty(), || format!("{left:?}"))
    })?;
    bed.finish()
}

#[test]
fn a_foreign_certificate_is_refused() -> Result<()> {
    let bed = Bed::with_hosts("foreign", 1)?;
    bed.allow_log("handshake");
    bed.allow_log("refused");
    bed.allow_log("certificate");
    let other = bed.folder().join("othertrust");
    bed.a2arun(["trust", "init", "--trust"]).arg(&other).run()?.expect_code(0)?;
    let output = bed.a2arun_trusting(&other, ["-np", "1", "--", "/bin/true"]).run()?;
    output.expect_code(77)?.expect_stderr(&["n1", "certificate"])?;
    bed.nothing_runs()?;
    bed.finish()
}

#[test]
fn another_hosts_certificate_is_refused() -> Result<()> {
    let bed = Bed::with_hosts("swapped", 2)?;
    bed.allow_log("handshake");
    bed.allow_log("certificate");
    bed.allow_log("connection");
    // n1's name, n2's address.
    fs::write(bed.hostfile(), format!("n1 addr={}\n", bed.address(2)))?;
    let output = bed.a2arun_on_hosts(["-np", "1", "--", "/bin/true"]).run()?;
    output.expect_code(77)?.expect_stderr(&["n1", "n2"])?;
    bed.nothing_runs()?;
    bed.finish()
}

/// Whoever listens there instead of noded is no noded, and is not dialled for ever.
#[test]
fn a_port_that_speaks_no_tls_is_unreachable_within_seconds() -> Result<()> {
    let bed = Bed::with_hosts("notls", 1)?;
    let stranger = TcpListener::bind("127.0.0.1:0")?;
    let port = stranger.local_addr()?.port();
    let answers = std::thread::spawn(move || {
        // Three dials, then the launcher has had enough.
        for stream in stranger.incoming().take(3).flatten() {
            let mut stream = stream;
            let _ = std::io::Write::write_all(&mut stream, b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
    });
    fs::write(bed.hostfile(), format!("n1 addr=127.0.0.1 noded_port={port}\n"))?;
    let at = Instant::now();
    let output = bed.a2arun_on_hosts(["-np", "1", "--", "/bin/true"]).run()?;
    output.expect_code(68)?.expect_stderr(&["n1", "nothing was started"])?;
    ensure!(at.elapsed() < Duration::from_secs(5), "{:?}", at.elapsed());
    answers.join().map_err(|_| anyhow::anyhow!("the stranger panicked"))?;
    bed.finish()
}

/// A host that has no room says so, in its own words, and nothing is left.
#[test]
fn more_instances_than_descriptors_are_refused_with_the_numbers() -> Result<()> {
    let bed = Bed::new("nofile")?;
    let a2arun = bed.binary("a2arun");
    let out = bed.folder().join("out");
    let run = bed.program("sh").args(["-c", "ulimit -n 300; exec \"$@\"", "sh", &a2arun]);
    let run = run.args(["-np", "200", "--output-dir"]).arg(&out).args(["--", "true"]);
    let output = run.run()?;
    output.expect_code(71)?.expect_stderr(&["error:", "200 more instances", "ulimit"])?;
    let result: Value = serde_json::from_slice(&fs::read(out.join("result.json"))?)?;
    ensure!(result["result"] == "launch-failed" && result["origin"] == "launcher", "{result}");
    ensure!(result["counts"]["not_started"] == 200, "{result}");
    bed.nothing_runs()?;
    bed.finish()
}

/// Reading a job may take for ever; a Ctrl-C ends that too.
#[test]
fn a_job_file_that_nobody_writes_can_be_interrupted() -> Result<()> {
    let bed = Bed::new("fifo")?;
    let fifo = bed.folder().join("jobs/fifo.yaml");
    ensure!(Command::new("mkfifo").arg(&fifo).status()?.success(), "mkfifo");
    for (signal, code) in [(Signal::SIGINT, 130), (Signal::SIGTERM, 143)] {
        let head = bed.a2arun([&fifo]).spawn()?;
        let blocked = |name: &str| {
            let tasks = fs::read_dir(format!("/proc/{}/task", head.pid())).into_iter().flatten();
            tasks.flatten().any(|task| {
                let wchan = fs::read_to_string(task.path().join("syscall")).unwrap_or_default();
                wchan.starts_with(name)
            })
        };
        // openat(2) is 257 on x86_64 and 56 on aarch64.
        let number = if cfg!(target_arch = "x86_64") { "257 " } else { "56 " };
        wait_for("it to open the file", READY, || {
            Poll::when(blocked(number), || "it does something else".to_owned())
        })?;
        head.signal(signal);
        head.wait(Duration::from_secs(3))?.expect_code(code)?;
    }
    bed.finish()
}

/// What cannot be written is said, and an agent's own code stands.
#[test]
fn an_output_folder_that_is_full_is_said() -> Result<()> {
    let bed = Bed::new("outfull")?;
    let out = bed.folder().join("out");
    fs::create_dir(&out)?;
    let Some(disk) = Tmpfs::on(&out) else {
        skipped("a full disk: mount is refused here");
        return bed.finish();
    };
    let script = "head -c 4000000 /dev/zero | tr '\\0' x; exit $1";
    for (code, wanted) in [("0", 70), ("3", 3)] {
        let run = bed.a2arun(["-np", "1", "--output-dir"]).arg(&out);
        let output = run.args(["--", "sh", "-c", script, "sh", code]).run()?;
        output.expect_code(wanted)?.expect_stderr(&["cannot write the output", "No space left"])?;
    }
    drop(disk);
    bed.finish()
}

#[test]
fn a_program_that_is_missing() -> Result<()> {
    let bed = Bed::new("missing")?;
    let output = program(&bed, &["/no/such/program"])?;
    output.expect_code(127)?.expect_stderr(&["/no/such/program"])?;
    let output = program(&bed, &["no-such-program-anywhere"])?;
    output.expect_code(127)?.expect_stderr(&["no-such-program-anywhere"])?;
    bed.nothing_runs()?;
    bed.finish()
}

#[test]
fn a_program_that_is_not_executable() -> Result<()> {
    let bed = Bed::new("noexec")?;
    let path = bed.folder().join("plain-file");
    fs::write(&path, "no program")?;
    let path = path.to_string_lossy().into_owned();
    let output = program(&bed, &[&path])?;
    output.expect_code(126)?.expect_stderr(&[&path])?;
    bed.nothing_runs()?;
    bed.finish()
}

#[test]
fn a_folder_that_is_missing_on_a_host() -> Result<()> {
    let bed = Bed::with_hosts("nocwd", 1)?;
    let job = service(&bed, "nocwd", "serve", "    workdir: /no/such/folder\n")?;
    let output = bed.a2arun_on_hosts([job]).run()?;
    output.expect_code(126)?;
    output.expect_stderr(&["/no/such/folder", "svc"])?;
    bed.nothing_runs()?;
    bed.finish()
}

#[test]
fn a_fixed_port_taken_by_a_stranger_names_pid_and_program() -> Result<()> {
    let bed = Bed::new("porttaken")?;
    let stranger = TcpListener::bind("127.0.0.1:0")?;
    let port = stranger.local_addr()?.port();
    let job = format!(
        "agents:\n  - id: svc\n    command: ['{{agent}}', serve]\n    config: {{port: {port}}}\n"
    );
    let output = bed.a2arun([bed.job("porttaken", &job)?]).run()?;
    output.expect_code(71)?;
    let me = std::process::id().to_string();
    output.expect_stderr(&["svc", &port.to_string(), &me, "faults"])?;
    bed.nothing_runs()?;
    bed.finish()
}

#[test]
fn an_agent_that_exits_during_start() -> Result<()> {
    let bed = Bed::new("exitstart")?;
    let job = service(&bed, "exitstart", "exit-before-ready, '3'", "")?;
    let output = bed.a2arun([job]).run()?;
    output.expect_code(3)?.expect_stderr(&["svc", "no configuration: giving up"])?;
    bed.nothing_runs()?;
    bed.finish()
}

#[test]
fn a_service_that_exits_with_0_before_it_is_ready_failed() -> Result<()> {
    let bed = Bed::new("exit0")?;
    let job = service(&bed, "exit0", "exit-before-ready, '0'", "")?;
    let output = bed.a2arun([job]).run()?;
    output.expect_code(75)?;
    output.expect_stderr(&["svc"])?;
    bed.finish()
}

#[test]
fn an_agent_that_never_gets_ready() -> Result<()> {
    let bed = Bed::new("never")?;
    let job = service(&bed, "never", "never-ready", "    readiness: {deadline: 1s}\n")?;
    let at = Instant::now();
    let output = bed.a2arun([job]).run()?;
    output.expect_code(75)?.expect_stderr(&["svc"])?;
    ensure!(at.elapsed() < Duration::from_secs(6), "{:?}", at.elapsed());
    bed.nothing_runs()?;
    bed.finish()
}

/// Each of a card's paths may take the whole limit of an answer; the deadline is one all the same.
#[test]
fn an_agent_that_never_answers_is_late_at_its_deadline() -> Result<()> {
    let bed = Bed::new("mute")?;
    let mute = "\
import os, socket, time
s = socket.socket()
s.bind(('127.0.0.1', int(os.environ['PORT'])))
s.listen(50)
time.sleep(1000)
";
    std::fs::write(bed.folder().join("jobs/mute.py"), mute)?;
    let job = bed.job(
        "mute",
        "\
agents:
  - id: w
    command: [python3, mute.py]
    workdir: .
    config: {port: auto}
    readiness: {type: card, deadline: 3s, timeout: 3s}
",
    )?;
    let before = std::time::Instant::now();
    let failed = bed.a2arun([&job]).run()?;
    failed.expect_code(75)?.expect_stderr(&["not ready within 3 s"])?;
    ensure!(before.elapsed() < Duration::from_secs(8), "{:?}", before.elapsed());
    bed.nothing_runs()?;
    bed.finish()
}

#[test]
fn an_agent_that_listens_elsewhere_is_told_where() -> Result<()> {
    let bed = Bed::new("elsewhere")?;
    let job = service(&bed, "elsewhere", "listen-elsewhere", "    readiness: {deadline: 2s}\n")?;
    let output = bed.a2arun([job]).run()?;
    output.expect_code(75)?;
    let listening = output.stdout.lines().find_map(|l| l.rsplit_once("listening on 127.0.0.1:"));
    let port = listening.context("the agent says where it listens")?.1;
    output.expect_stderr(&["svc", port])?;
    bed.nothing_runs()?;
    bed.finish()
}

#[test]
fn a_launch_that_fails_is_rolled_back() -> Result<()> {
    let bed = Bed::with_hosts("rollback", 2)?;
    let job = "\
agents:
  - id: good
    command: ['{agent}', serve, --children, '2']
    config: {port: auto}
    replicas: 4
    stop: {grace: 1s}
  - id: bad
    command: ['{agent}', exit-before-ready, '6']
    config: {port: auto}
topology: {type: hub-spoke, hub: bad, spokes: [good]}
";
    let out = bed.folder().join("out");
    let run = bed.a2arun_on_hosts(["--output-dir"]).arg(&out).arg(bed.job("rollback", job)?);
    run.run()?.expect_code(6)?.expect_stderr(&["bad[0]", "giving up"])?;
    bed.nothing_runs()?;
    let result: Value = serde_json::from_slice(&fs::read(out.join("result.json"))?)?;
    ensure!(result["first_cause"]["agent"] == "bad[0]", "{result}");
    ensure!(result["result"] == "launch-failed", "{result}");
    ensure!(result["counts"]["stopped"] == 4, "{result}");
    bed.finish()
}

#[test]
fn six_hundred_instances_as_an_ordinary_user() -> Result<()> {
    let bed = Bed::new("user600")?;
    if !nix::unistd::geteuid().is_root() {
        let output = bed.a2arun(["-np", "600", "--", "/bin/true"]).run()?;
        output.expect_code(0)?;
        return bed.finish();
    }
    let args = ["-np", "600", "--", "sh", "-c", "id -u; exec sleep 2"];
    let output = bed.a2arun_as(23_456, &args)?.limit(Duration::from_secs(120)).run()?;
    output.expect_code(0)?;
    let said = output.lines().filter(|line| line.ends_with(" 23456")).count();
    ensure!(said == 600, "{said} of 600 said who they are\n{}", output.describe());
    bed.nothing_runs()?;
    bed.finish()
}

/// A file system of 1 MiB, gone when dropped.
struct Tmpfs<'a>(&'a Path);

impl<'a> Tmpfs<'a> {
    fn on(path: &'a Path) -> Option<Self> {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=1m,mode=700", "tmpfs"]).arg(path);
        mount.status().is_ok_and(|status| status.success()).then_some(Self(path))
    }
}

impl Drop for Tmpfs<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

#[test]
fn a_full_disk_stops_no_agent_and_is_said() -> Result<()> {
    let bed = Bed::new("diskfull")?;
    bed.allow_log("disk");
    bed.allow_log("space");
    let state = bed.state();
    let Some(disk) = Tmpfs::on(&state) else {
        skipped("a full disk: mount is refused here");
        return bed.finish();
    };
    let agent = bed.agent();
    let args = ["-np", "1", "--", &agent, "flood", "40000", "100"];
    let output = bed.a2arun(args).run()?;
    // 4 MB into 1 MiB: the agent ends as if nothing was, and somebody is told.
    output.expect_code(0)?;
    let said = both(&output).to_lowercase();
    ensure!(said.contains("full") || said.contains("no space"), "{}", output.describe());
    bed.nothing_runs()?;
    a2arun_e2e::leftovers::end_daemons(bed.folder()).map_err(anyhow::Error::msg)?;
    drop(disk);
    bed.finish()
}

#[test]
fn a_bad_hostfile_shows_the_place() -> Result<()> {
    let bed = Bed::new("badhosts")?;
    let hosts = bed.folder().join("hosts");
    fs::write(&hosts, "n1 slots=2\nn2 slots=many\n")?;
    let run = bed.a2arun(["--hostfile"]).arg(&hosts).args(["-np", "1", "--", "true"]);
    let output = run.run()?;
    output.expect_code(65)?.expect_stderr(&["hosts:2", "many"])?;
    let run = bed.a2arun(["--hostfile", "/no/such/hosts", "-np", "1", "--", "true"]);
    let output = run.run()?;
    output.expect_code(65)?;
    output.expect_stderr(&["/no/such/hosts"])?;
    bed.finish()
}

#[test]
fn a_bad_job_file_shows_every_finding_with_its_place() -> Result<()> {
    let bed = Bed::new("badjob")?;
    let job = "\
agents:
  - id: one
    comand: [true]
  - id: two
    command: [true]
    replicas: lots
topology: {type: hub-spoke, hub: nobody, spokes: [two]}
";
    let output = bed.a2arun([bed.job("badjob", job)?]).run()?;
    output.expect_code(65)?;
    output.expect_stderr(&[
        "badjob.yaml:3:",
        "command",
        "badjob.yaml:6:",
        "badjob.yaml:7:",
        "nobody",
    ])?;
    let output = bed.a2arun([bed.job("noyaml", "agents: [{id: x\n")?]).run()?;
    output.expect_code(65)?.expect_stderr(&["noyaml.yaml:"])?;
    let output = bed.a2arun(["no-such-job.yaml"]).run()?;
    output.expect_code(65)?;
    output.expect_stderr(&["no-such-job.yaml"])?;
    // Nothing was started for any of it.
    ensure!(procs::of_folder(bed.folder()).is_empty(), "a daemon runs");
    bed.finish()
}

#[test]
fn the_same_port_twice_and_an_impossible_number() -> Result<()> {
    let bed = Bed::new("numbers")?;
    let job = "\
agents:
  - id: one
    command: ['{agent}', serve]
    config: {port: 24001}
  - id: two
    command: ['{agent}', serve]
    config: {port: 24001}
";
    let output = bed.a2arun([bed.job("twice", job)?]).run()?;
    output.expect_code(65)?;
    output.expect_stderr(&["24001"])?;
    let job = "agents: [{id: a, command: [true], replicas: 2}, {id: b, command: [true]}]\n";
    let job = bed.job("sum", job)?;
    for np in ["2", "4"] {
        let output = bed.a2arun(["-np", np]).arg(&job).run()?;
        output.expect_code(64)?;
        output.expect_stderr(&["3", np])?;
    }
    bed.finish()
}

/// A host whose noded dies and stays away: its agents go on, and end when the head says so.
#[test]
fn a_noded_that_was_killed_is_started_again() -> Result<()> {
    let bed = Bed::with_hosts("nodedback", 1)?;
    bed.allow_log("");
    let agent = bed.agent();
    let mut head = bed.a2arun_on_hosts(["-np", "2", "--", &agent, "sleep"]).spawn()?;
    head.until("both run", READY, |_| procs::agents(bed.folder()).len() == 2)?;
    let noded = || procs::of_folder(bed.folder()).into_iter().find(|p| p.comm == "noded");
    let before = noded().context("a noded")?;
    before.signal(Signal::SIGKILL);
    head.until("another noded", READY, |_| noded().is_some_and(|now| now != before))?;
    ensure!(procs::agents(bed.folder()).len() == 2, "the agents go on");
    head.signal(Signal::SIGINT);
    head.wait(END)?.expect_code(130)?;
    bed.nothing_runs()?;
    bed.finish()
}

#[test]
fn a_folder_that_is_missing_here_is_told_before_anybody_starts() -> Result<()> {
    let bed = Bed::new("nofolder")?;
    let text = "\
agents:
  - {id: good, command: [touch, started], workdir: ., protocol: none}
  - {id: lost, command: ['true'], workdir: nowhere, protocol: none}
";
    let job = bed.job("nofolder", text)?;
    let output = bed.a2arun([&job]).run()?;
    output.expect_code(65)?.expect_stderr(&["agent `lost`: there is no folder", "jobs/nowhere"])?;
    ensure!(!bed.folder().join("jobs/started").exists(), "somebody was started");
    let checked = bed.a2arun(["validate"]).arg(&job).run()?;
    checked.expect_code(0)?.expect_stderr(&["there is no folder", "--> "])?;
    bed.finish()
}

#[test]
fn one_failure_is_one_error_and_a_module_elsewhere_is_explained() -> Result<()> {
    let bed = Bed::new("module")?;
    let job =
        bed.job("module", "agents: [{id: a, module: examples.nowhere, config: {port: auto}}]")?;
    let output = bed.a2arun([&job]).run()?;
    output.expect_code(1)?;
    let said = output.stderr.matches("a[0] on ").count();
    ensure!(said == 1, "said {said} times: {}", output.describe());
    output.expect_stderr(&["call a2arun in the folder that has it", "set `workdir`"])?;
    bed.finish()
}

#[test]
fn a_hostfile_says_what_of_it_has_no_effect() -> Result<()> {
    let bed = Bed::new("forssh")?;
    let hosts = bed.folder().join("hosts");
    fs::write(&hosts, "no-such-name.invalid user=joe port=2222\n")?;
    let run = bed.a2arun(["plan", "--hostfile"]).arg(&hosts).args(["-np", "1", "--", "true"]);
    run.run()?.expect_code(0)?.expect_stderr(&["of no-such-name.invalid are for SSH"])?;
    bed.finish()
}
