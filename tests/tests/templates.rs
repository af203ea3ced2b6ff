//! What `a2arun init` writes runs as written, from an empty folder.

use std::time::Duration;

use a2arun_e2e::bed::Bed;
use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;

const READY: Duration = Duration::from_secs(30);
const END: Duration = Duration::from_secs(20);

/// Writes a template into a folder of its own and gives the job file's path.
fn init(bed: &Bed, template: &str) -> Result<String> {
    let written = bed.a2arun(["init", template, template, "--output", "json"]).run()?;
    let written = written.expect_code(0)?.json()?;
    Ok(written["files"][0].as_str().context("a job file")?.to_owned())
}

/// Runs it until the question that it asks itself is answered, and takes it down.
fn answered(bed: &Bed, template: &str, args: &[&str], by: &[&str]) -> Result<()> {
    let job = init(bed, template)?;
    let mut head = bed.a2arun(args).arg(&job).env("PYTHONDONTWRITEBYTECODE", "1").spawn()?;
    head.until("an answer", READY, |head| head.stdout().contains("] answer: "))?;
    let stdout = head.stdout();
    let line = stdout.lines().find(|line| line.contains("] answer: ")).context("an answer")?;
    for agent in by {
        ensure!(line.contains(&format!("{agent}: ")), "{template}: {agent} is not in: {line}");
    }
    head.signal(Signal::SIGINT);
    let output = head.wait(END)?;
    output.expect_code(130)?;
    let warns = output.stderr.contains("warning");
    ensure!(warns == (template == "dynamic"), "{}", output.describe());
    bed.nothing_runs()
}

#[test]
fn every_template_that_is_launched_runs() -> Result<()> {
    let bed = Bed::new("templates")?;
    let listed = bed.a2arun(["init", "--output", "json"]).run()?;
    let listed = listed.expect_code(0)?.json()?;
    for template in listed.as_array().context("a list")? {
        if template["launched"] != true {
            continue;
        }
        let name = template["name"].as_str().context("a name")?;
        match name {
            "hub-spoke" => answered(&bed, name, &[], &["hub", "worker"])?,
            "pipeline" => answered(
                &bed,
                name,
                &[],
                &["writer", "fact-checker", "style-checker", "publisher"],
            )?,
            "dag" => answered(&bed, name, &[], &["planner", "researcher", "coder", "archive"])?,
            "mesh" => answered(&bed, name, &["--scale", "member=3"], &["chair", "member"])?,
            "hierarchical" => {
                answered(&bed, name, &[], &["director", "lead-a", "lead-b", "team-a", "team-b"])?
            }
            "custom" => answered(&bed, name, &[], &["editor", "writer", "critic"])?,
            "dynamic" => answered(&bed, name, &[], &["finder"])?,
            "local" => answered(&bed, name, &[], &["assistant"])?,
            "hosts" => answered(&bed, name, &["--hostfile", "hosts/hosts"], &["hub", "worker"])?,
            "program" => adds_up(&bed)?,
            other => anyhow::bail!("nobody runs the template {other}"),
        }
    }
    bed.finish()
}

fn adds_up(bed: &Bed) -> Result<()> {
    let job = init(bed, "program")?;
    let output = bed.a2arun(["-np", "4"]).arg(&job).run()?;
    output.expect_code(0)?;
    let sums = output.lines().filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
    ensure!(sums.sum::<u64>() == 500_000_500_000, "{}", output.describe());
    bed.nothing_runs()
}
