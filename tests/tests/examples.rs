//! Every job in jobs/examples runs as its first lines say, with its own agents: what they answer
//! each other is looked at, not only that they were there.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use a2arun_e2e::bed::{Bed, repository};
use a2arun_e2e::run::{Head, Run};
use a2arun_e2e::{http, procs};
use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use serde_json::Value;

const READY: Duration = Duration::from_secs(60);
const END: Duration = Duration::from_secs(20);

/// Those that a test below runs.
const RUN: [&str; 8] = [
    "collaborative-mesh.yaml",
    "distributed-dag.yaml",
    "dotenv-and-secrets/job.yaml",
    "elastic.yaml",
    "external.yaml",
    "hierarchical-tree.yaml",
    "pipeline.yaml",
    "simple-weather.yaml",
];

fn example(name: &str) -> std::path::PathBuf {
    repository().join("jobs/examples").join(name)
}

/// A job that was started and answered its own first question.
struct Running {
    bed: Bed,
    head: Head,
    status: Value,
}

/// Starts it and waits for as many lines of its answer.
fn start(bed: Bed, run: Run, job: &str, lines: usize) -> Result<Running> {
    let mut head = run.env("PYTHONDONTWRITEBYTECODE", "1").spawn()?;
    head.until("its first question is answered", READY, |head| {
        head.stdout().matches("answer: ").count() >= lines
    })?;
    let status = bed.status(job)?;
    Ok(Running { bed, head, status })
}

impl Running {
    /// The lines of the answer, without their tags, sorted.
    fn answers(&self) -> Vec<String> {
        let text = self.head.stdout();
        let lines = text.lines().filter_map(|l| Some(l.split_once("answer: ")?.1.to_owned()));
        let mut lines: Vec<String> = lines.collect();
        lines.sort();
        lines
    }

    /// What an instance answers to somebody from outside.
    fn ask(&self, name: &str, text: &str) -> Result<String> {
        let all = self.status["instances"].as_array().context("instances")?;
        let found = all.iter().find(|i| i["name"] == name).context("no such instance")?;
        http::ask(found["url"].as_str().context("no url")?, text)
    }

    fn stop(self) -> Result<()> {
        self.head.signal(Signal::SIGINT);
        let output = self.head.wait(END)?;
        output.expect_code(130)?;
        ensure!(!output.stderr.to_lowercase().contains("warn"), "{}", output.describe());
        self.bed.nothing_runs()?;
        self.bed.finish()
    }
}

/// On this machine, as its first lines say.
fn here(name: &str, lines: usize) -> Result<Running> {
    let bed = Bed::new(&format!("ex-{name}"))?;
    let run = bed.a2arun([example(&format!("{name}.yaml"))]);
    start(bed, run, name, lines)
}

fn yaml_files(folder: &Path, found: &mut BTreeSet<String>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            yaml_files(&path, found)?;
        } else if path.extension().is_some_and(|e| e == "yaml") {
            let name = path.strip_prefix(example(""))?.to_string_lossy().into_owned();
            found.insert(name);
        }
    }
    Ok(())
}

#[test]
fn every_example_is_run_here_is_listed_and_has_no_warning() -> Result<()> {
    let mut found = BTreeSet::new();
    yaml_files(&example(""), &mut found)?;
    ensure!(found == RUN.iter().map(|name| (*name).to_owned()).collect(), "{found:?}");
    let bed = Bed::new("ex-all")?;
    let readme = fs::read_to_string(example("README.md"))?;
    for name in &found {
        ensure!(readme.contains(name.as_str()), "{name} is not in README.md");
        let output = bed.a2arun(["validate", "--strict"]).arg(example(name)).run()?;
        output.expect_code(0)?;
        ensure!(output.stderr.is_empty(), "{}", output.describe());
    }
    bed.finish()
}

#[test]
fn simple_weather_answers_from_its_workers() -> Result<()> {
    let job = here("simple-weather", 2)?;
    let [maps, weather] = &job.answers()[..] else { anyhow::bail!("{:?}", job.answers()) };
    ensure!(maps == "maps: Geneva to Paris: 410 km.", "{maps}");
    ensure!(weather.contains("Geneva: 12 degrees") && weather.contains("Paris: 14"), "{weather}");
    job.stop()
}

#[test]
fn elastic_has_as_many_workers_as_asked_for() -> Result<()> {
    let bed = Bed::new("ex-elastic")?;
    let run = bed.a2arun(["-np", "4"]).arg(example("elastic.yaml"));
    let job = start(bed, run, "elastic", 3)?;
    for (index, answer) in job.answers().iter().enumerate() {
        let worker = format!("worker: here is worker {index} (rank {index} of 4) on ");
        ensure!(answer.starts_with(&worker), "{answer}");
    }
    job.stop()
}

#[test]
fn pipeline_hands_on_and_its_last_stages_work_in_parallel() -> Result<()> {
    let job = here("pipeline", 6)?;
    let answers = job.answers();
    let expected =
        ["Lima 290.15 K", "Lima 62.6 F", "Oslo 277.15 K", "Oslo 39.2 F", "Tokyo 292.15 K"];
    ensure!(answers[..5] == expected && answers[5] == "Tokyo 66.2 F", "{answers:?}");
    ensure!(job.head.stdout().contains("validate: dropped 'nonsense'"), "{}", job.head.stdout());
    let answer = job.ask("ingest[0]", "Nairobi 22, x")?;
    ensure!(answer == "Nairobi 71.6 F\nNairobi 295.15 K", "{answer}");
    // The last stage has nobody behind it: it answers itself.
    let answer = job.ask("kelvin[0]", "Nairobi 22")?;
    ensure!(answer == "Nairobi 295.15 K", "{answer}");
    job.stop()
}

#[test]
fn distributed_dag_counts_on_two_hosts() -> Result<()> {
    let bed = Bed::with_hosts("ex-dag", 2)?;
    let run = bed.a2arun_on_hosts(["--scale", "mapper=4"]).arg(example("distributed-dag.yaml"));
    let job = start(bed, run, "distributed-dag", 1)?;
    let answers = job.answers();
    ensure!(answers == ["report of 20 words: is 5, the 5, sea 2"], "{answers:?}");
    let all = job.status["instances"].as_array().context("instances")?;
    let hosts: Vec<&str> =
        all.iter().filter(|i| i["agent"] == "mapper").filter_map(|i| i["host"].as_str()).collect();
    ensure!(hosts == ["n1", "n2", "n1", "n2"], "copies go to the hosts in turn: {hosts:?}");
    let answer = job.ask("collector[0]", "a b. a c. a d. a e. a f")?;
    ensure!(answer == "report of 10 words: a 5, b 1, c 1", "{answer}");
    ensure!(job.head.stdout().contains("reporter@n"), "{}", job.head.stdout());
    job.stop()
}

#[test]
fn collaborative_mesh_agrees() -> Result<()> {
    let job = here("collaborative-mesh", 4)?;
    let expected =
        ["ada", "ben", "cleo", "dan"].map(|who| format!("{who} counts: Lima with 2 of 4 votes"));
    ensure!(job.answers() == expected, "{:?}", job.answers());
    // Each was asked by each of the other three.
    for (who, favourite) in [("ada", "Lima"), ("ben", "Oslo"), ("cleo", "Lima"), ("dan", "Tokyo")] {
        let line = format!("{who}: somebody asked; my vote is {favourite}");
        let asked = job.head.stdout().matches(&line).count();
        ensure!(asked == 3, "{who} was asked {asked} times");
    }
    job.stop()
}

#[test]
fn hierarchical_tree_calls_its_own_children_alone() -> Result<()> {
    let job = here("hierarchical-tree", 1)?;
    let (europe, overseas) = ("europe 8 (Geneva 12, Oslo 4)", "overseas 18 (Lima 17, Tokyo 19)");
    let answers = job.answers();
    ensure!(answers == [format!("world 13 ({europe}, {overseas})")], "{answers:?}");
    ensure!(job.ask("europe[0]", "How warm is it?")? == europe);
    ensure!(job.ask("tokyo[0]", "How warm is it?")? == "Tokyo 19");
    job.stop()
}

#[test]
fn external_asks_an_agent_that_somebody_else_runs() -> Result<()> {
    let bed = Bed::new("ex-external")?;
    let weather = bed.program("python3").arg(example("agents/weather_agent.py"));
    let mut weather = weather.env("PORT", "0").env("PYTHONDONTWRITEBYTECODE", "1").spawn()?;
    weather.until_stdout("reachable as http://", READY)?;
    let said = weather.stdout();
    let url = said.split("reachable as ").nth(1).context("its URL")?.trim().to_owned();
    let run = bed.a2arun([example("external.yaml")]).env("WEATHER_URL", &url);
    let job = start(bed, run, "external", 2)?;
    let answers = job.answers();
    ensure!(answers[0] == "maps: Lima to Tokyo: 15492 km.", "{answers:?}");
    ensure!(answers[1].starts_with("weather: Lima: 17 degrees"), "{answers:?}");
    ensure!(job.status["instances"].as_array().is_some_and(|all| all.len() == 2));
    job.head.signal(Signal::SIGINT);
    job.head.wait(END)?.expect_code(130)?;
    // It goes on without the job: nothing of ours stopped it.
    ensure!(!weather.has_ended() && http::ask(&url, "Oslo?")?.contains("snow"));
    weather.signal(Signal::SIGTERM);
    weather.wait(END)?.expect_code(0)?;
    job.bed.finish()
}

#[test]
fn dotenv_and_secrets_hands_over_every_value() -> Result<()> {
    let bed = Bed::new("ex-secrets")?;
    let run = bed.a2arun([example("dotenv-and-secrets/job.yaml")]);
    let output = run.run()?;
    output.expect_code(0)?;
    for line in [
        // Of the `.env` beside it.
        "keeper: Good evening",
        "keeper: KEEPER_KEY has 22 characters, mark d0241f05",
        "keeper: PASSPHRASE has 28 characters, mark c4bbcb1f",
        "keeper: SESSION_TOKEN has 20 characters, mark b8dcc4ec",
        "keeper: by mistake: my key is ******, keep it",
    ] {
        ensure!(output.stdout.contains(line), "{line}: {}", output.describe());
    }
    // The shell wins.
    let run = bed.a2arun([example("dotenv-and-secrets/job.yaml")]).env("TIME_OF_DAY", "night");
    let output = run.run()?;
    ensure!(output.stdout.contains("keeper: Good night"), "{}", output.describe());
    bed.finish()
}

#[test]
fn the_program_mode_example_adds_up() -> Result<()> {
    let bed = Bed::new("ex-program")?;
    let script = example("program-mode/partial_sum.py");
    let output = bed.a2arun(["-np", "4", "--", "python3"]).arg(script).run()?;
    output.expect_code(0)?;
    let sum: u64 =
        output.lines().filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum();
    ensure!(sum == 500_000_500_000, "{}", output.describe());
    ensure!(procs::agents(bed.folder()).is_empty());
    bed.finish()
}
