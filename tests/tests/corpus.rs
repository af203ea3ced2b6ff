//! Job files of the format's first users run unchanged, with stand-in modules for their agents.
//!
//! They are not part of the project: A2ARUN_CORPUS names their folder, else ../shared/corpus
//! beside the repository is looked at; without them the tests say so and end.

use std::path::{Path, PathBuf};
use std::time::Duration;

use a2arun_e2e::bed::{Bed, repository, skipped};
use a2arun_e2e::http;
use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use serde_json::Value;

const READY: Duration = Duration::from_secs(60);
const END: Duration = Duration::from_secs(20);

fn folder() -> PathBuf {
    let folder = std::env::var_os("A2ARUN_CORPUS").map(PathBuf::from);
    folder.unwrap_or_else(|| repository().join("../shared/corpus")).join("jobs")
}

fn corpus(name: &str) -> Option<PathBuf> {
    let path = folder().join(name);
    if path.exists() {
        return Some(path);
    }
    skipped(&format!("{name}: not in {}", folder().display()));
    None
}

/// Agents, edges and stages of a plan.
fn shape(plan: &Value) -> Result<(usize, usize, usize)> {
    let list = |value: &Value| value.as_array().map_or(0, Vec::len);
    let instances = plan["instances"].as_array().context("instances")?;
    let edges = instances.iter().map(|i| list(&i["peers"])).sum();
    Ok((instances.len(), edges, list(&plan["stages"])))
}

/// Each loads and plans; what of it is not acted on is a warning, and with --strict an error.
#[test]
fn every_file_of_the_first_users_loads_and_plans() -> Result<()> {
    let Ok(files) = std::fs::read_dir(folder()) else {
        skipped(&format!("no folder {}", folder().display()));
        return Ok(());
    };
    let bed = Bed::new("corpus-plan")?;
    let mut read = 0;
    for file in files {
        let path = file?.path();
        if path.extension().is_none_or(|e| e != "yaml") {
            continue;
        }
        read += 1;
        bed.a2arun(["validate"]).arg(&path).run()?.expect_code(0)?;
        let strict = bed.a2arun(["validate", "--strict"]).arg(&path).run()?;
        ensure!(strict.stderr.contains("not acted on"), "{}", strict.describe());
        strict.expect_code(65)?;
        let planned = bed.a2arun(["plan", "--output", "json"]).arg(&path).run()?;
        let plan = planned.expect_code(0)?.json()?;
        let (agents, edges, stages) = shape(&plan)?;
        let stem = path.file_stem().context("a name")?.to_string_lossy().into_owned();
        let expected = match stem.as_str() {
            "simple-weather" => (3, 2, 3),
            "hierarchical-tree" => (10, 9, 3),
            "collaborative-mesh" => (5, 20, 1),
            "distributed-dag" => (6, 7, 4),
            "large-mesh" => (11, 10, 11),
            "pipeline" => (4, 3, 4),
            _ => (agents, edges, stages),
        };
        ensure!((agents, edges, stages) == expected, "{stem}: {agents} {edges} {stages}");
        let instances = plan["instances"].as_array().context("instances")?;
        // Beside another host, addresses are known when it was reached.
        let alone = instances.iter().all(|i| i["target"] == "localhost");
        for instance in instances {
            ensure!(instance["url"].is_string() == alone, "{stem}: {instance}");
            ensure!(instance["ports"]["port"].is_u64(), "{stem}: {instance}");
        }
    }
    ensure!(read > 0, "no file in {}", folder().display());
    bed.finish()
}

/// Runs one with its fixed ports and asks the hub.
fn run(name: &str, job: &Path, agents: usize) -> Result<()> {
    let bed = Bed::new(&format!("corpus{agents}"))?;
    // As its users did: from the folder that the modules are found from.
    let stand_ins = repository().join("tests/stand-ins");
    let run = bed.a2arun([job]).cwd(&stand_ins).env("PYTHONDONTWRITEBYTECODE", "1");
    let mut head = run.spawn()?;
    let mut status = Value::Null;
    head.until("all ready", READY, |_| {
        status = bed.status(name).unwrap_or_default();
        status["instances"]
            .as_array()
            .is_some_and(|all| all.len() == agents && all.iter().all(|i| i["state"] == "ready"))
    })?;
    let all = status["instances"].as_array().context("instances")?;
    let hub = all.iter().find(|i| i["agent"] == "controller").context("the controller")?;
    ensure!(hub["url"] == "http://127.0.0.1:9000", "{hub}");
    let (code, peers) = http::get("http://127.0.0.1:9000", "/peers")?;
    ensure!(code == 200 && peers.split(',').count() == agents - 1, "{peers}");
    ensure!(peers.contains("http://127.0.0.1:9001"), "{peers}");
    // What the original's agents read from their environment.
    let (_, environment) = http::get("http://127.0.0.1:9001", "/environment")?;
    let environment: Value = serde_json::from_str(&environment)?;
    ensure!(environment["AGENT_NAME"] == "Weather Agent", "{environment}");
    ensure!(
        environment["AGENT_PORT"] == "9001" && environment["AGENT_ID"] == "weather",
        "{environment}"
    );
    head.signal(Signal::SIGINT);
    head.wait(END)?.expect_code(130)?;
    bed.nothing_runs()?;
    bed.finish()
}

/// One test, because both files want the same ports.
#[test]
fn files_of_the_first_users_run_unchanged() -> Result<()> {
    if let Some(job) = corpus("simple-weather.yaml") {
        run("simple-weather-workflow", &job, 3)?;
    }
    if let Some(job) = corpus("large-mesh.yaml") {
        run("large-mesh", &job, 11)?;
    }
    Ok(())
}

/// As those files have it for other hosts, where only the host knows whose home it is.
#[test]
fn a_path_at_home_is_at_home() -> Result<()> {
    let bed = Bed::new("tilde")?;
    let folder = bed.folder().join("home/agents/w");
    std::fs::create_dir_all(&folder)?;
    let text = "agents: [{id: w, command: [pwd], protocol: none, workdir: ~/agents/w}]";
    let job = bed.job("tilde", text)?;
    let output = bed.a2arun([&job]).run()?;
    output.expect_code(0)?;
    ensure!(output.stdout.contains(&folder.display().to_string()), "{}", output.describe());
    bed.finish()
}

/// What cannot be launched as written is checked, planned and drawn, and refused by the launch.
#[test]
fn targets_of_the_format_that_are_not_launched_yet_are_refused_clearly() -> Result<()> {
    let bed = Bed::new("targets")?;
    for (target, deployment) in [
        ("container", "{target: container, image: agent-runtime:1, network: n}"),
        ("kubernetes", "{target: kubernetes, namespace: agents, service_type: ClusterIP}"),
    ] {
        let text = format!(
            "agents: [{{id: w, type: W, module: agents.w, config: {{port: 9001}}, deployment: {deployment}}}]"
        );
        let job = bed.job(target, &text)?;
        for verb in ["validate", "plan", "graph"] {
            let output = bed.a2arun([verb]).arg(&job).run()?;
            output.expect_code(0)?;
            let warning = format!("`deployment.target: {target}` of agent `w` is accepted");
            ensure!(output.stderr.contains(&warning), "{}", output.describe());
        }
        let output = bed.a2arun([&job]).run()?;
        output.expect_code(65)?;
        let line = format!("error: agent `w`: `deployment.target: {target}` cannot be launched");
        ensure!(output.stderr.contains(&line), "{}", output.describe());
    }
    ensure!(bed.list()?.is_empty(), "nothing was started");
    bed.finish()
}
