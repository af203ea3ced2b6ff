//! The storm: agents write numbered lines while noded, steps and the spawner are killed over and
//! over. Afterwards every line is there once and whole, every agent is the process that it was,
//! and every exit code is right or says unknown.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;

use crate::bed::Bed;
use crate::lines::{Checker, Tally};
use crate::procs::{self, Proc};
use crate::wait::{Poll, pause, wait_for};

/// Whom the storm kills.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Victims {
    Noded,
    Steps,
    Spawner,
    /// Any of the three, noded and steps more often.
    Random,
}

impl Victims {
    /// By its name on the command line.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "noded" => Self::Noded,
            "steps" => Self::Steps,
            "spawner" => Self::Spawner,
            "random" => Self::Random,
            _ => return None,
        })
    }

    /// As on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Noded => "noded",
            Self::Steps => "steps",
            Self::Spawner => "spawner",
            Self::Random => "random",
        }
    }
}

/// What to do.
#[derive(Debug, Clone)]
pub struct Storm {
    pub victims: Victims,
    pub kills: u32,
    pub seed: u64,
    pub agents: u32,
    pub lines_per_second: u32,
}

/// What came of it.
#[derive(Debug)]
pub struct Outcome {
    pub tally: Tally,
    pub kills: BTreeMap<String, u32>,
    /// Exit codes that were right.
    pub codes_right: u32,
    /// Exit codes that said unknown.
    pub codes_unknown: u32,
    /// Anything that was not as promised, in words.
    pub wrong: Vec<String>,
    /// From a kill until everybody was back and every pipe held twice.
    pub recovery: Vec<Duration>,
    pub took: Duration,
}

impl Outcome {
    /// A row for docs/RELIABILITY.md.
    pub fn row(&self, storm: &Storm) -> String {
        let mut recovery = self.recovery.clone();
        recovery.sort();
        let at = |part: usize| {
            recovery.get((recovery.len() * part / 100).min(recovery.len().max(1) - 1))
        };
        let ms = |part| at(part).map_or(0.0, |t: &Duration| t.as_secs_f64() * 1e3);
        let kills: Vec<String> = self.kills.iter().map(|(who, n)| format!("{who} {n}")).collect();
        format!(
            "| {} | {} | {} | {} | {} | {} | {} | {} right, {} unknown | {:.0} / {:.0} ms | {:.0} s |",
            storm.victims.name(),
            kills.join(", "),
            storm.seed,
            self.tally.whole,
            self.tally.lost,
            self.tally.doubled,
            self.tally.torn,
            self.codes_right,
            self.codes_unknown,
            ms(50),
            ms(99),
            self.took.as_secs_f64()
        )
    }
}

/// How long everybody may take to be back after one kill.
const RECOVERY_MAX: Duration = Duration::from_secs(20);
/// The longest pause between a recovery and the next kill.
const CALM_MAX_MS: u64 = 20;

/// Runs one storm in `bed` (on this machine).
///
/// # Errors
/// When it cannot be carried out; what the product did wrong is in [`Outcome::wrong`].
pub fn run(bed: &Bed, storm: &Storm) -> Result<Outcome> {
    let start = Instant::now();
    let out = bed.folder().join("out");
    let end = bed.folder().join("end-of-storm");
    let (count, per_second) = (storm.agents.to_string(), storm.lines_per_second.to_string());
    let head = bed
        .a2arun(["-np", &count, "--continue", "--output-dir"])
        .arg(&out)
        .arg("--")
        .args([&bed.agent(), "rate", &per_second, "100"])
        .arg(&end);
    let mut head = head.spawn()?;
    let mut agents = Vec::new();
    head.until("all agents run and every pipe is held twice", Duration::from_secs(60), |_| {
        agents = procs::agents(bed.folder());
        agents.len() == storm.agents as usize && unguarded(bed.folder()).is_none()
    })?;

    let mut rng = Rng(storm.seed);
    let mut kills = BTreeMap::new();
    let mut recovery = Vec::new();
    let mut wrong = Vec::new();
    for number in 0..storm.kills {
        if number + 1 == storm.kills {
            // The last kills fall among the exits.
            fs::write(&end, "")?;
        }
        let victim = choose(bed.folder(), storm.victims, &mut rng)?;
        *kills.entry(victim.comm.clone()).or_insert(0) += 1;
        let at = Instant::now();
        victim.signal(Signal::SIGKILL);
        if number + 1 == storm.kills {
            break;
        }
        let back = wait_for("everybody to be back", RECOVERY_MAX, || {
            // Before the others are looked at: it is not among them any more.
            if victim.lives() {
                return Poll::NotYet("the victim lives".to_owned());
            }
            match unguarded(bed.folder()) {
                None => Poll::Ready(()),
                Some(why) => Poll::NotYet(why),
            }
        });
        if let Err(error) = back {
            wrong.push(format!("after kill {number} of {}: {error}", victim.comm));
            break;
        }
        recovery.push(at.elapsed());
        for (rank, agent) in &agents {
            if !agent.lives() {
                let of = victim.env("A2ARUN_RANK").unwrap_or_default();
                wrong.push(format!(
                    "rank {rank} (pid {}) died in kill {number} of {} {of} (pid {})",
                    agent.pid, victim.comm, victim.pid
                ));
            }
        }
        if !wrong.is_empty() {
            break;
        }
        pause(Duration::from_millis(rng.below(CALM_MAX_MS)));
    }
    fs::write(&end, "")?;
    let output = head.wait(Duration::from_secs(120))?;
    let tally = check_output(&out)?;
    let mut outcome = Outcome {
        tally,
        kills,
        codes_right: 0,
        codes_unknown: 0,
        wrong,
        recovery,
        took: start.elapsed(),
    };
    judge(bed, storm, &output, &mut outcome)?;
    Ok(outcome)
}

fn judge(bed: &Bed, storm: &Storm, output: &crate::Output, outcome: &mut Outcome) -> Result<()> {
    let tally = &outcome.tally;
    if !tally.is_whole() {
        outcome.wrong.push(format!("lines are damaged: {tally:?}"));
    }
    if tally.ended != storm.agents {
        let text = format!("{} of {} agents wrote their last line", tally.ended, storm.agents);
        outcome.wrong.push(text);
    }
    let exits = bed.exit_records()?;
    ensure!(exits.len() == storm.agents as usize, "{} exit records", exits.len());
    for (rank, exit) in exits {
        if exit["code"] == rank % 8 {
            outcome.codes_right += 1;
        } else if exit["reason"] == "unknown" {
            outcome.codes_unknown += 1;
        } else {
            outcome.wrong.push(format!("rank {rank}: exit {exit} instead of {}", rank % 8));
        }
    }
    if output.code == 0 {
        outcome.wrong.push("the command's code is 0 though agents failed".to_owned());
    }
    Ok(())
}

/// Checks every `.out` file of a folder.
///
/// # Errors
/// When the folder cannot be read.
pub fn check_output(folder: &Path) -> Result<Tally> {
    let mut checker = Checker::default();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "out") {
            checker.content(&fs::read(path)?);
        }
    }
    Ok(checker.finish())
}

/// Why some agent's output would be lost if one more process died: one noded, one spawner, and
/// each agent's pipe is held by noded and by a step. `None` when all is well.
fn unguarded(folder: &Path) -> Option<String> {
    let all = procs::of_folder(folder);
    let of = |comm: &str| all.iter().filter(|p| p.comm == comm).collect::<Vec<_>>();
    let (nodeds, spawners, steps) = (of("noded"), of("a2arun-spawner"), of("a2arun-step"));
    if nodeds.len() != 1 || spawners.len() != 1 {
        return Some(format!("{} noded, {} spawners", nodeds.len(), spawners.len()));
    }
    let by_noded = procs::pipes(nodeds[0].pid);
    let by_steps: Vec<_> = steps.iter().map(|step| procs::pipes(step.pid)).collect();
    for (rank, agent) in procs::agents(folder) {
        let Ok(out) = fs::read_link(format!("/proc/{}/fd/1", agent.pid)) else { continue };
        let out = out.to_string_lossy().into_owned();
        if !by_noded.contains_key(&out) {
            return Some(format!("noded does not hold the output of rank {rank}"));
        }
        if !by_steps.iter().any(|pipes| pipes.contains_key(&out)) {
            return Some(format!("no step holds the output of rank {rank}"));
        }
    }
    None
}

fn choose(folder: &Path, victims: Victims, rng: &mut Rng) -> Result<Proc> {
    let comm = match victims {
        Victims::Noded => "noded",
        Victims::Steps => "a2arun-step",
        Victims::Spawner => "a2arun-spawner",
        Victims::Random => match rng.below(10) {
            0..4 => "noded",
            4..9 => "a2arun-step",
            _ => "a2arun-spawner",
        },
    };
    // A process that execs has no environment for a moment.
    let found = wait_for(comm, Duration::from_secs(5), || {
        let mut found = procs::of_folder(folder);
        found.retain(|p| p.comm == comm);
        if found.is_empty() { Poll::NotYet(roles(folder)) } else { Poll::Ready(found) }
    })?;
    let at = usize::try_from(rng.below(found.len() as u64))?;
    Ok(found[at].clone())
}

fn roles(folder: &Path) -> String {
    let mut count = BTreeMap::new();
    for proc in procs::of_folder(folder) {
        *count.entry(proc.comm).or_insert(0) += 1;
    }
    format!("{count:?}")
}

/// SplitMix64 (Steele, Lea, Flood 2014): the same seed gives the same storm.
#[derive(Debug)]
struct Rng(u64);

impl Rng {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit.max(1)
    }
}
