//! Every page of docs/guide is run as a reader would type it: see `a2arun_e2e::pages`.

use std::collections::BTreeSet;
use std::fs;

use a2arun_e2e::bed::{Bed, repository, skipped};
use a2arun_e2e::pages;
use anyhow::{Context, Result, ensure};

/// Those that a test below runs.
const PAGES: [&str; 6] = [
    "first-job.md",
    "wiring.md",
    "many-hosts.md",
    "batch.md",
    "talking-to-agents.md",
    "when-it-does-not-work.md",
];

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

#[test]
fn when_it_does_not_work() -> Result<()> {
    page(Bed::new("g-sick")?, "when-it-does-not-work.md", 12)
}

/// Relative links of every page, and their anchors.
#[test]
fn links_lead_somewhere() -> Result<()> {
    let mut pages = Vec::new();
    for folder in ["", "docs", "docs/guide", "docs/design", "jobs/spec", "jobs/examples"] {
        for entry in fs::read_dir(repository().join(folder))? {
            let path = entry?.path();
            if path.extension().is_some_and(|e| e == "md") {
                pages.push(path);
            }
        }
    }
    ensure!(pages.len() > 25, "{pages:?}");
    let mut wrong = Vec::new();
    for page in &pages {
        let text = fs::read_to_string(page)?;
        for link in text.split("](").skip(1).filter_map(|rest| rest.split_once(')')) {
            let (file, anchor) = link.0.split_once('#').unwrap_or((link.0, ""));
            if file.contains("://") {
                continue;
            }
            let folder = page.parent().context("a page is in a folder")?;
            let target = if file.is_empty() { page.clone() } else { folder.join(file) };
            let leads = target.exists()
                && (anchor.is_empty() || anchors(&fs::read_to_string(&target)?).contains(anchor));
            if !leads {
                wrong.push(format!("{}: {}", page.display(), link.0));
            }
        }
    }
    ensure!(wrong.is_empty(), "lead nowhere:\n{}", wrong.join("\n"));
    Ok(())
}

/// What headings are called in links.
fn anchors(page: &str) -> BTreeSet<String> {
    let headings = page.lines().filter(|line| line.starts_with('#'));
    let slug = |heading: &str| -> String {
        let words = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = words.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    headings.map(slug).collect()
}
