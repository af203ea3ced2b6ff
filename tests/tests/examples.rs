//! Every file in jobs/examples loads and runs.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use a2arun_e2e::bed::{Bed, repository};
use a2arun_e2e::procs;
use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;

const READY: Duration = Duration::from_secs(30);
const END: Duration = Duration::from_secs(20);

#[test]
fn every_example_loads_and_runs() -> Result<()> {
    let mut seen = BTreeSet::new();
    for entry in fs::read_dir(repository().join("jobs/examples"))? {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        let name = path.file_stem().context("a name")?.to_string_lossy().into_owned();
        let bed = Bed::new(&format!("ex-{name}"))?;
        let mut head = bed.a2arun([&path]).spawn()?;
        head.until("the first question is answered", READY, |head| {
            head.stdout().contains("answer: ")
        })?;
        head.signal(Signal::SIGINT);
        let output = head.wait(END)?;
        output.expect_code(130)?;
        ensure!(!output.stderr.to_lowercase().contains("warn"), "{}", output.describe());
        bed.nothing_runs()?;
        bed.finish()?;
        seen.insert(name);
    }
    ensure!(seen.contains("simple-weather") && seen.contains("elastic"), "{seen:?}");
    Ok(())
}

#[test]
fn the_program_mode_example_adds_up() -> Result<()> {
    let bed = Bed::new("ex-program")?;
    let script = repository().join("jobs/examples/program-mode/partial_sum.py");
    let output = bed.a2arun(["-np", "4", "--", "python3"]).arg(script).run()?;
    output.expect_code(0)?;
    let sum: u64 =
        output.lines().filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum();
    ensure!(sum == 500_000_500_000, "{}", output.describe());
    ensure!(procs::agents(bed.folder()).is_empty());
    bed.finish()
}
