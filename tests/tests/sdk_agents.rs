//! Real agents on the official SDKs, started and asked by a2arun in every dialect, on one machine
//! and across four hosts.

use std::time::Duration;

use a2arun_e2e::Head;
use a2arun_e2e::bed::Bed;
use a2arun_e2e::real_agents::{Kind, command};
use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use serde_json::Value;

/// Nine interpreters at once on a busy machine take their time.
const READY: Duration = Duration::from_secs(120);
const END: Duration = Duration::from_secs(30);

/// Id, environment, script, arguments, how it is asked, whether it streams.
type Agent = (&'static str, Kind, &'static str, &'static [&'static str], &'static str, bool);

const AGENTS: [Agent; 9] = [
    ("new", Kind::Py1, "py1/agent.py", &[], "A2A 1.0 JSON-RPC", true),
    ("rest", Kind::Py1, "py1/agent.py", &["--bindings", "HTTP+JSON"], "A2A 1.0 HTTP+JSON", true),
    (
        "compat",
        Kind::Py1,
        "py1/agent.py",
        &["--bindings", "GRPC,JSONRPC", "--compat"],
        "A2A 1.0 gRPC",
        true,
    ),
    ("grpc", Kind::Py1, "py1/agent.py", &["--bindings", "GRPC"], "A2A 1.0 gRPC", true),
    ("old", Kind::Py03, "py03/agent.py", &[], "A2A 0.3 JSON-RPC", true),
    ("oldrest", Kind::Py03, "py03/agent.py", &["--rest"], "A2A 0.3 HTTP+JSON", true),
    ("script", Kind::Js, "js/agent.ts", &[], "A2A 1.0 JSON-RPC", true),
    ("scriptrest", Kind::Js, "js/agent.ts", &["HTTP+JSON"], "A2A 1.0 HTTP+JSON", true),
    ("original", Kind::Py1, "query/agent.py", &[], "POST /query", false),
];

/// Those whose environment is there.
fn there() -> Vec<Agent> {
    let made: Vec<Kind> =
        [Kind::Py1, Kind::Py03, Kind::Js].into_iter().filter(|kind| kind.is_made()).collect();
    AGENTS.into_iter().filter(|agent| made.contains(&agent.1)).collect()
}

fn job(bed: &Bed, name: &str, agents: &[Agent], topology: &str) -> Result<std::path::PathBuf> {
    let mut text = "agents:\n".to_owned();
    for (id, kind, script, args, _, _) in agents {
        let command = command(bed, *kind, script, args)?;
        text.push_str(&format!("  - {{id: {id}, command: {command}, config: {{port: auto}}}}\n"));
    }
    text.push_str(topology);
    bed.job(name, &text)
}

struct Said {
    answer: String,
    json: Value,
    stderr: String,
}

fn ask_with(bed: &Bed, agent: &str, text: &str, more: &[&str], code: i32) -> Result<Said> {
    let run = bed.a2arun(["query", agent, text, "--timeout", "60", "--output", "json"]).args(more);
    let output = run.run()?;
    output.expect_code(code)?;
    let json = output.json()?;
    let answer = json["answer"].as_str().context("no answer")?.to_owned();
    Ok(Said { answer, json, stderr: output.stderr })
}

fn ask(bed: &Bed, agent: &str, text: &str) -> Result<Said> {
    ask_with(bed, agent, text, &[], 0)
}

/// Everything that a person asks one agent.
fn interview(bed: &Bed, agent: &Agent, node: &str) -> Result<()> {
    let (id, _, _, _, dialect, streams) = *agent;
    let name = format!("sdk/{id}");
    let said = ask(bed, &name, "hello")?;
    ensure!(said.answer == format!("{id}[0]@{node}: hello"), "{}", said.answer);
    ensure!(said.json["dialect"] == dialect, "{}", said.json);
    let again = ask(bed, &name, "again")?;
    ensure!(again.answer == "question 1", "{}", again.answer);
    let session = again.json["session"].as_str().context("no session")?;
    let again = ask_with(bed, &name, "again", &["--session", session], 0)?;
    ensure!(again.answer == "question 2", "the conversation goes on: {}", again.answer);
    let card = bed.a2arun(["card", &name, "--output", "json"]).run()?;
    let card = card.expect_code(0)?.json()?;
    ensure!(card["name"] == id && card["skills"][0]["id"] == "echo", "{card}");
    if !streams {
        return Ok(());
    }
    let direct = ask(bed, &name, "direct hi")?;
    ensure!(direct.answer == format!("{id}[0]@{node}: hi"), "{}", direct.answer);
    ensure!(direct.json["state"].is_null(), "a message has no task: {}", direct.json);
    let numbers = "1 2 3 4 5 6 7 8 ";
    for more in [&[][..], &["--no-stream"]] {
        let counted = ask_with(bed, &name, "count 8", more, 0)?;
        ensure!(counted.answer == numbers, "{more:?}: {:?}", counted.answer);
        ensure!(counted.json["state"] == "completed", "{}", counted.json);
    }
    // Each piece is an event of its own: it came as a stream.
    let raw = bed.a2arun(["query", &name, "count 8", "--raw"]).run()?;
    let pieces = raw.expect_code(0)?.lines().filter(|line| line.contains("numbers")).count();
    ensure!(pieces >= 8, "{pieces} events of {id}: {}", raw.describe());
    let failed = ask_with(bed, &name, "fail", &[], 1)?;
    ensure!(failed.answer == "it broke" && failed.json["state"] == "failed", "{}", failed.json);
    ensure!(
        failed.stderr.contains(&format!("error: the task of {id}[0] is failed")),
        "{}",
        failed.stderr
    );
    let which = ask(bed, &name, "which")?;
    ensure!(which.answer == "which one?", "{}", which.answer);
    ensure!(which.json["state"] == "input-required", "{}", which.json);
    let value = |key: &str| which.json[key].as_str().context("no id");
    let (session, task) = (value("session")?, value("task")?);
    let more = ["--session", session, "--task", task];
    let told = ask_with(bed, &name, "the blue one", &more, 0)?;
    ensure!(told.answer == "you said the blue one", "{}", told.answer);
    ensure!(told.json["task"] == which.json["task"], "the same task: {}", told.json);
    Ok(())
}

fn stop(bed: Bed, mut head: Head) -> Result<()> {
    ensure!(!head.has_ended(), "the job ended by itself");
    head.signal(Signal::SIGINT);
    head.wait(END)?.expect_code(130)?;
    bed.nothing_runs()?;
    bed.finish()
}

#[test]
fn agents_of_every_sdk_are_asked_in_their_dialects() -> Result<()> {
    let agents = there();
    if agents.is_empty() {
        return Ok(());
    }
    let bed = Bed::new("sdk")?;
    let path = job(&bed, "sdk", &agents, "")?;
    let mut head = bed.a2arun([path]).spawn()?;
    head.until_stderr("sdk is ready after", READY)?;
    let status = bed.status("sdk")?;
    let node = status["instances"][0]["host"].as_str().context("no host")?;
    for agent in &agents {
        interview(&bed, agent, node).with_context(|| format!("asking {}", agent.0))?;
    }
    stop(bed, head)
}

/// What each agent's own client makes of the peers that a2arun wired it to.
#[test]
fn agents_of_every_sdk_call_each_other_across_four_hosts() -> Result<()> {
    let agents: Vec<Agent> =
        there().into_iter().filter(|a| ["new", "compat", "old", "script"].contains(&a.0)).collect();
    if agents.len() < 4 {
        return Ok(());
    }
    let bed = Bed::with_hosts("sdk4", 4)?;
    let topology = "topology: {type: mesh, agents: [new, compat, old, script]}\n\
                    execution: {entry_point: new}\n";
    let path = job(&bed, "sdk", &agents, topology)?;
    let mut head = bed.a2arun_on_hosts([path]).spawn()?;
    head.until_stderr("sdk is ready after", READY)?;
    let status = bed.status("sdk")?;
    let host = |id: &str| -> Result<String> {
        let all = status["instances"].as_array().context("no instances")?;
        let found = all.iter().find(|i| i["agent"] == id).context("no such agent")?;
        Ok(found["host"].as_str().context("no host")?.to_owned())
    };
    let hosts = ["new", "compat", "old", "script"].map(|id| host(id).unwrap_or_default());
    let different: std::collections::BTreeSet<&String> = hosts.iter().collect();
    ensure!(different.len() == 4, "one on each host: {hosts:?}");

    // A client of 0.3 cannot read a card that is 1.0 alone; all others can be called by all.
    for (caller, callees) in [
        ("new", &["compat", "old", "script"][..]),
        ("compat", &["new", "old", "script"]),
        ("script", &["new", "compat", "old"]),
        ("old", &["compat"]),
    ] {
        let said = ask(&bed, &format!("sdk/{caller}"), "ask-peers")?;
        for callee in callees {
            let line = format!("{callee}[0]@{}: hello", host(callee)?);
            ensure!(said.answer.lines().any(|l| l == line), "no {line:?} in {}", said.answer);
        }
    }
    let entry = ask(&bed, "sdk", "hello")?;
    ensure!(entry.answer == format!("new[0]@{}: hello", host("new")?), "{}", entry.answer);
    for agent in &agents {
        interview(&bed, agent, &host(agent.0)?).with_context(|| format!("asking {}", agent.0))?;
    }
    stop(bed, head)
}
