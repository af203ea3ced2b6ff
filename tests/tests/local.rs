//! One job on this machine, with nothing set up.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use a2arun_e2e::bed::{Bed, repository};
use a2arun_e2e::{Poll, http, procs, wait_for};
use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use serde_json::Value;

const READY: Duration = Duration::from_secs(30);
const END: Duration = Duration::from_secs(15);

const HUB: &str = "\
agents:
  - id: hub
    command: ['{agent}', serve]
    config: {port: auto}
  - id: worker
    command: ['{agent}', serve]
    config: {port: auto}
    replicas: 3
topology: {type: hub-spoke, hub: hub, spokes: [worker]}
";

/// The instance of a status by its name.
fn instance<'a>(status: &'a Value, name: &str) -> Result<&'a Value> {
    let all = status["instances"].as_array().context("no instances")?;
    all.iter().find(|i| i["name"] == name).with_context(|| format!("no {name} in {status}"))
}

fn url(status: &Value, name: &str) -> Result<String> {
    Ok(instance(status, name)?["url"].as_str().context("no url")?.to_owned())
}

#[test]
fn the_quick_example_answers_and_ends_at_ctrl_c() -> Result<()> {
    let bed = Bed::new("quick")?;
    let job = repository().join("jobs/examples/simple-weather.yaml");
    let mut head = bed.a2arun([job]).spawn()?;
    head.until_stdout("answer: maps", READY)?;
    head.until_stderr("simple-weather is ready after", READY)?;
    let said = head.stdout();
    ensure!(said.contains("answer: weather: Geneva: 12 degrees"), "{said}");
    ensure!(said.contains("answer: maps: Geneva to Paris: 410 km"), "{said}");
    let status = bed.status("simple-weather")?;
    for name in ["controller[0]", "weather[0]", "maps[0]"] {
        let instance = instance(&status, name)?;
        ensure!(instance["state"] == "ready", "{instance}");
        let url = instance["url"].as_str().context("no url")?;
        ensure!(url.starts_with("http://127.0.0.1:"), "{url}");
        ensure!(head.stderr().contains(url), "its URL is shown while launching: {}", head.stderr());
        ensure!(http::card(url)?["supportedInterfaces"][0]["protocolVersion"] == "1.0", "{url}");
    }
    let answer = http::ask(&url(&status, "controller[0]")?, "Tokyo and Oslo, please")?;
    ensure!(answer.contains("Tokyo to Oslo: 8406 km"), "{answer}");
    let answer = http::ask_v03(&url(&status, "controller[0]")?, "Lima?")?;
    ensure!(answer.contains("Lima: 17 degrees"), "{answer}");
    for line in said.lines() {
        ensure!(line.starts_with('['), "a line without a tag: {line:?}");
    }
    head.signal(Signal::SIGINT);
    head.wait(END)?.expect_code(130)?;
    bed.nothing_runs()?;
    bed.finish()
}

#[test]
fn the_ask_script_of_the_example_gets_an_answer() -> Result<()> {
    let bed = Bed::new("ask")?;
    let examples = repository().join("jobs/examples");
    let mut head = bed.a2arun([examples.join("simple-weather.yaml")]).spawn()?;
    head.until_stdout("answer: maps", READY)?;
    let url = url(&bed.status("simple-weather")?, "controller[0]")?;
    let asked = bed.program("python3").arg(examples.join("agents/ask.py"));
    let asked = asked.args([&url, "London, coming from Chicago"]).run()?;
    asked.expect_code(0)?;
    ensure!(asked.stdout.contains("London to Chicago: "), "{}", asked.describe());
    head.signal(Signal::SIGTERM);
    head.wait(END)?.expect_code(143)?;
    bed.finish()
}

#[test]
fn a_hub_calls_its_workers_through_the_urls_it_was_handed() -> Result<()> {
    let bed = Bed::new("hub")?;
    let job = bed.job("hub", HUB)?;
    let mut head = bed.a2arun([job]).spawn()?;
    let mut status = Value::Null;
    head.until("all ready", READY, |_| {
        status = bed.status("hub").unwrap_or_default();
        status["instances"]
            .as_array()
            .is_some_and(|all| all.len() == 4 && all.iter().all(|i| i["state"] == "ready"))
    })?;
    let answer = http::ask(&url(&status, "hub[0]")?, "ask-peers")?;
    for index in 0..3 {
        ensure!(answer.contains(&format!("worker[{index}]@")), "{answer}");
    }
    let list = bed.list()?;
    ensure!(list.len() == 1 && list[0]["job"] == "hub", "{list:?}");
    ensure!(list[0]["size"] == 4 && list[0]["ready"] == 4, "{list:?}");
    bed.a2arun(["stop", "hub"]).run()?.expect_code(0)?;
    let output = head.wait(END)?;
    ensure!(output.code == 0 || output.code == 143, "{}", output.describe());
    bed.nothing_runs()?;
    bed.finish()
}

#[test]
fn stages_wait_for_each_other_and_callees_start_first() -> Result<()> {
    let bed = Bed::new("stages")?;
    let job = HUB.replace(
        "  - id: worker\n    command: ['{agent}', serve]",
        "  - id: worker\n    command: ['{agent}', serve, --start-ms, '400']",
    );
    let mut head = bed.a2arun([bed.job("stages", &job)?]).spawn()?;
    let mut hub_came_early = false;
    head.until("the hub runs", READY, |_| {
        let agents = procs::agents(bed.folder());
        let hub = agents.iter().any(|(_, p)| p.env("AGENT_ID").as_deref() == Some("hub"));
        let status = if hub { bed.status("stages").unwrap_or_default() } else { Value::Null };
        let ready = |name: &str| instance(&status, name).is_ok_and(|i| i["state"] == "ready");
        hub_came_early = hub && !(0..3).all(|i| ready(&format!("worker[{i}]")));
        hub
    })?;
    ensure!(!hub_came_early, "the hub was started before its workers were ready");
    head.signal(Signal::SIGINT);
    head.wait(END)?.expect_code(130)?;
    bed.finish()
}

/// Where a process listens, by proc_pid_fd(5) and the paths that unix(7) sockets are bound to.
fn folder_of_sockets(pid: i32) -> Result<PathBuf> {
    let held = fs::read_dir(format!("/proc/{pid}/fd"))?;
    let held: Vec<String> = held
        .filter_map(|fd| fs::read_link(fd.ok()?.path()).ok()?.to_str().map(str::to_owned))
        .collect();
    let all = fs::read_to_string("/proc/net/unix")?;
    let bound = all.lines().find_map(|line| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let path = columns.get(7).filter(|path| path.ends_with("/control.sock"))?;
        held.contains(&format!("socket:[{}]", columns[6])).then(|| PathBuf::from(path))
    });
    let socket = bound.context("noded is bound to nothing")?;
    Ok(socket.parent().context("a socket stands in a folder")?.to_owned())
}

#[test]
fn the_daemon_leaves_when_nothing_is_left_to_do() -> Result<()> {
    let bed = Bed::new("linger")?;
    bed.a2arun(["-np", "2", "--", "/bin/true"]).run()?.expect_code(0)?;
    let daemon = procs::of_folder(bed.folder()).into_iter().find(|p| p.comm == "noded");
    let place = folder_of_sockets(daemon.context("no noded after a job")?.pid)?;
    ensure!(place.is_dir(), "{}", place.display());
    wait_for("the daemon to leave", Duration::from_secs(20), || {
        let left = procs::of_folder(bed.folder());
        Poll::when(left.is_empty(), || format!("{left:?}"))
    })?;
    // With its folder of sockets.
    ensure!(!place.exists(), "{} is left", place.display());
    // And the next command starts another.
    bed.a2arun(["-np", "2", "--", "/bin/true"]).run()?.expect_code(0)?;
    bed.finish()
}

#[test]
fn the_same_daemon_serves_the_next_job() -> Result<()> {
    let bed = Bed::new("same")?;
    let daemon = || procs::of_folder(bed.folder()).into_iter().find(|p| p.comm == "noded");
    bed.a2arun(["-np", "1", "--", "/bin/true"]).run()?.expect_code(0)?;
    let first = daemon();
    ensure!(first.is_some(), "no noded after a job");
    bed.a2arun(["-np", "1", "--", "/bin/true"]).run()?.expect_code(0)?;
    ensure!(daemon() == first, "another noded: {first:?}, {:?}", daemon());
    bed.finish()
}

#[test]
fn jobs_started_at_once_share_one_daemon() -> Result<()> {
    let bed = Bed::new("atonce")?;
    let args = ["-np", "4", "--", "sh", "-c", "echo $A2ARUN_RANK"];
    let heads: Vec<_> = (0..6).map(|_| bed.a2arun(args).spawn()).collect::<Result<_>>()?;
    for head in heads {
        let output = head.wait(READY)?;
        output.expect_code(0)?;
        ensure!(output.lines().count() == 4, "{}", output.describe());
    }
    let daemons = procs::of_folder(bed.folder());
    let daemons = daemons.iter().filter(|p| p.comm == "noded").count();
    ensure!(daemons == 1, "{daemons} nodeds");
    bed.finish()
}

/// P5: stop leaves no process.
#[test]
fn p5_children_in_sessions_of_their_own_go_too() -> Result<()> {
    let bed = Bed::new("p5")?;
    let agent = bed.agent();
    let args = ["-np", "4", "--", &agent, "setsid-children", "4"];
    let mut head = bed.a2arun(args).spawn()?;
    head.until("16 children", READY, |_| {
        let all = procs::of_folder(bed.folder());
        all.iter().filter(|p| p.args.contains("child-in-own-session")).count() == 16
            && procs::agents(bed.folder()).len() == 4
    })?;
    head.until_stdout("children started", READY)?;
    let at = Instant::now();
    head.signal(Signal::SIGINT);
    head.wait(END)?.expect_code(130)?;
    // The children ignore TERM, so all of the default grace may pass, and not more.
    ensure!(at.elapsed() < Duration::from_secs(12), "{:?}", at.elapsed());
    bed.nothing_runs()?;
    bed.finish()
}

#[test]
fn agents_get_their_environment() -> Result<()> {
    let bed = Bed::new("env")?;
    let agent = bed.agent();
    let job = "\
agents:
  - id: one
    command: ['{agent}', env]
    lifecycle: task
    protocol: none
    config: {port: auto, region: eu, tries: 3}
    environment:
      LOG_LEVEL: INFO
      WHERE: 'port $(PORT) of $(AGENT_ID)'
      LOG_FILE: '$(A2ARUN_RUN_DIR)/log.$(A2ARUN_INCARNATION) of $$(A2ARUN_RUN_DIR)'
environment: {CLUSTER: dev}
";
    ensure!(!agent.is_empty());
    let output = bed
        .a2arun([bed.job("env", job)?])
        .env("FROM_HEAD", "yes")
        .env("A2ARUN_TEST_INTERNAL", "no")
        .run()?;
    output.expect_code(0)?;
    let has = |text: &str| output.lines().any(|line| line.ends_with(text));
    for text in [
        " AGENT_ID=one",
        " AGENT_REGION=eu",
        " AGENT_TRIES=3",
        " LOG_LEVEL=INFO",
        " CLUSTER=dev",
        " A2ARUN_RANK=0",
        " A2ARUN_SIZE=1",
        " A2ARUN_INDEX=0",
        " A2ARUN_JOB=env",
        " FROM_HEAD=yes",
        " A2A_BIND_HOST=127.0.0.1",
        " A2ARUN_INCARNATION=1",
    ] {
        ensure!(has(text), "{text:?} is missing\n{}", output.describe());
    }
    let folder = output.lines().find_map(|line| line.split_once("] A2ARUN_RUN_DIR="));
    let folder = folder.context("no folder")?.1;
    let file = format!(" LOG_FILE={folder}/log.1 of $(A2ARUN_RUN_DIR)");
    ensure!(has(&file), "{file:?} is missing\n{}", output.describe());
    ensure!(!output.stderr.contains("no known name"), "{}", output.describe());
    let port = output.lines().find_map(|line| line.split_once("] PORT=")).context("no PORT")?.1;
    ensure!(has(&format!(" WHERE=port {port} of one")), "{}", output.describe());
    ensure!(has(&format!(" A2A_PUBLIC_URL=http://127.0.0.1:{port}")), "{}", output.describe());
    let number: u16 = port.parse()?;
    ensure!((20_000..30_000).contains(&number), "{number}");
    ensure!(!output.stdout.contains("A2ARUN_TEST_INTERNAL"), "{}", output.describe());
    bed.finish()
}
