//! Every page of docs/guide is run as a reader would type it: see `a2arun_e2e::pages`.

use std::collections::BTreeSet;
use std::fs;

use a2arun_e2e::bed::{Bed, repository, skipped};
use a2arun_e2e::pages;
use anyhow::{Result, ensure};

/// Those that a test below runs.
const PAGES: [&str; 5] =
    ["first-job.md", "wiring.md", "many-hosts.md", "batch.md", "talking-to-agents.md"];

/// A page whose commands are too few is not looked at.
fn page(bed: Bed, name: &str, at_least: usize) -> Result<()> {
    let commands = pages::run(&bed, name)?;
    ensure!(commands >= at_least, "only {commands} commands are left in {name}");
    bed.nothing_runs()?;
    bed.finish()
}

#[test]
fn every_page_is_run_and_listed() -> Result<()> {
    let folder = repository().join("docs/guide");
    let index = fs::read_to_string(folder.join("README.md"))?;
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(&folder)? {
        found.insert(entry?.file_name().to_string_lossy().into_owned());
    }
    ensure!(found.remove("README.md"), "the guide has an index");
    ensure!(found == PAGES.iter().map(|name| (*name).to_owned()).collect(), "{found:?}");
    for name in PAGES {
        ensure!(index.contains(&format!("({name})")), "{name} is not in the index");
    }
    Ok(())
}

#[test]
fn first_job() -> Result<()> {
    let bed = Bed::new("g-first")?;
    let venv = bed.program("python3").args(["-c", "import ensurepip, venv"]).run()?;
    if venv.code != 0 {
        skipped("the guide's first job: python3 cannot make virtual environments here");
        return bed.finish();
    }
    page(bed, "first-job.md", 10)
}

#[test]
fn talking_to_agents() -> Result<()> {
    page(Bed::new("g-talk")?, "talking-to-agents.md", 12)
}

#[test]
fn wiring() -> Result<()> {
    page(Bed::new("g-wiring")?, "wiring.md", 15)
}

#[test]
fn many_hosts() -> Result<()> {
    page(Bed::new("g-hosts")?, "many-hosts.md", 15)
}

#[test]
fn batch() -> Result<()> {
    page(Bed::new("g-batch")?, "batch.md", 12)
}
