//! What agents get of files, of `-x` and of the head's environment: the layers, and `--export`.

use std::collections::BTreeMap;
use std::fs;

use a2arun_e2e::bed::Bed;
use a2arun_e2e::run::Run;
use anyhow::{Result, ensure};

/// The environment of every rank that `env` printed.
fn printed(run: Run) -> Result<Vec<BTreeMap<String, String>>> {
    let output = run.run()?;
    output.expect_code(0)?;
    let mut ranks: BTreeMap<u32, BTreeMap<String, String>> = BTreeMap::new();
    for line in output.lines() {
        let Some((tag, line)) = line.strip_prefix('[').and_then(|rest| rest.split_once("] "))
        else {
            continue;
        };
        let Some(rank) = tag.split(' ').next().and_then(|rank| rank.parse().ok()) else { continue };
        if let Some((name, value)) = line.split_once('=') {
            ranks.entry(rank).or_default().insert(name.to_owned(), value.to_owned());
        }
    }
    ensure!(!ranks.is_empty(), "{}", output.describe());
    Ok(ranks.into_values().collect())
}

fn value<'a>(env: &'a BTreeMap<String, String>, name: &str) -> &'a str {
    env.get(name).map_or("", String::as_str)
}

#[test]
fn later_layers_win() -> Result<()> {
    let bed = Bed::new("layers")?;
    let names = ["L1", "L2", "L3", "L4", "L5", "L6"];
    let file = |from: usize, by: &str| -> String {
        names[from..].iter().map(|name| format!("{name}={by}\n")).collect()
    };
    // Short, because longer values of such files are masked in what is shown.
    fs::write(bed.folder().join("jobs/job.env"), file(1, "job-f"))?;
    fs::write(bed.folder().join("jobs/agent.env"), file(2, "ag-f"))?;
    fs::write(bed.folder().join("cli.env"), file(3, "cli-f"))?;
    let job = bed.job(
        "layers",
        "env_file: job.env\nenvironment: {L5: job, L6: job}\nagents:\n  \
         - {id: a, command: [env], protocol: none, env_file: agent.env, environment: {L6: agent}}\n",
    )?;
    let run = |more: &[&str]| {
        let mut run = bed.a2arun(["--env-file", "cli.env"]).args(more).arg(&job);
        for name in names {
            run = run.env(name, "shell");
        }
        printed(run)
    };
    let all = run(&[])?;
    let found: Vec<&str> = names.iter().map(|name| value(&all[0], name)).collect();
    ensure!(found == ["shell", "job-f", "ag-f", "cli-f", "job", "agent"], "{found:?}");
    let all = run(&["-x", "L6=x", "-x", "L1"])?;
    ensure!(value(&all[0], "L6") == "x" && value(&all[0], "L1") == "shell");
    bed.finish()
}

#[test]
fn export_chooses_what_agents_get_of_the_head() -> Result<()> {
    let bed = Bed::with_hosts("export", 2)?;
    let run = |on_hosts: bool, more: &[&str]| {
        let run =
            if on_hosts { bed.a2arun_on_hosts(["-np", "2"]) } else { bed.a2arun(["-np", "2"]) };
        let run = run.args(more).args(["--", "env"]);
        printed(run.env("MINE_A", "1").env("MINE_B", "2").env("OTHER", "3").env("TMPDIR", "/head"))
    };
    for (on_hosts, more, mine, other) in [
        (false, &[][..], "12", "3"),
        (false, &["--export", "all"], "12", "3"),
        (false, &["--export", "none"], "", ""),
        (false, &["--export", "MINE_A"], "1", ""),
        (false, &["--export", "MINE_*,OTHER"], "12", "3"),
        (true, &[], "", ""),
        (true, &["--export", "none"], "", ""),
        (true, &["--export", "MINE_B"], "2", ""),
        (true, &["--export", "all"], "12", "3"),
        (true, &["--export", "none", "-x", "OTHER"], "", "3"),
    ] {
        for env in run(on_hosts, more)? {
            let case = format!("{on_hosts} {more:?}: {env:?}");
            ensure!(
                format!("{}{}", value(&env, "MINE_A"), value(&env, "MINE_B")) == mine,
                "{case}"
            );
            ensure!(value(&env, "OTHER") == other, "{case}");
            // Nobody runs without these.
            ensure!(!value(&env, "PATH").is_empty() && !value(&env, "HOME").is_empty(), "{case}");
            // What every host has of its own is the head's only where all of it is.
            let all = more.contains(&"all");
            ensure!((value(&env, "TMPDIR") == "/head") == (all || !on_hosts), "{case}");
            ensure!(env.contains_key("A2ARUN_RANK") && !env.contains_key("A2ARUN_STATE_DIR"));
        }
    }
    bed.finish()
}
