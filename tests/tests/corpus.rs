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

fn corpus(name: &str) -> Option<PathBuf> {
    let folder = match std::env::var_os("A2ARUN_CORPUS") {
        Some(folder) => PathBuf::from(folder),
        None => repository().join("../shared/corpus"),
    };
    let path = folder.join("jobs").join(name);
    if path.exists() {
        return Some(path);
    }
    skipped(&format!("{name}: not in {}", folder.display()));
    None
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
