//! The storm by hand: `storm [--victims noded|steps|spawner|random|all] [--kills N] [--seed N]
//! [--agents N] [--rate LINES_PER_SECOND]`. Prints one row per storm for docs/RELIABILITY.md.
#![expect(clippy::print_stdout, reason = "the rows are its output")]
#![expect(clippy::print_stderr, reason = "what went wrong is for the caller to see")]

use std::process::ExitCode;

use a2arun_e2e::Bed;
use a2arun_e2e::storm::{Storm, Victims, run};
use anyhow::{Context, Result, bail};

fn main() -> Result<ExitCode> {
    let mut storm =
        Storm { victims: Victims::Random, kills: 20, seed: 1, agents: 32, lines_per_second: 200 };
    let mut victims = vec![Victims::Noded, Victims::Steps, Victims::Spawner, Victims::Random];
    let mut args = std::env::args().skip(1);
    while let Some(option) = args.next() {
        let value = args.next().with_context(|| format!("{option} wants a value"))?;
        match option.as_str() {
            "--victims" if value == "all" => {}
            "--victims" => {
                let one =
                    Victims::named(&value).with_context(|| format!("unknown victims {value}"))?;
                victims = vec![one];
            }
            "--kills" => storm.kills = value.parse()?,
            "--seed" => storm.seed = value.parse()?,
            "--agents" => storm.agents = value.parse()?,
            "--rate" => storm.lines_per_second = value.parse()?,
            _ => bail!("unknown option {option}"),
        }
    }
    println!(
        "| storm | kills | seed | lines whole | lost | doubled | torn | exit codes | recovery p50 / p99 | took |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    let mut failed = false;
    for one in victims {
        storm.victims = one;
        let bed = Bed::new(&format!("storm-{}", one.name()))?;
        let outcome = run(&bed, &storm)?;
        println!("{}", outcome.row(&storm));
        for line in &outcome.wrong {
            eprintln!("storm {}: {line}", one.name());
            failed = true;
        }
        if !outcome.wrong.is_empty() {
            eprintln!("storm {}: see {}", one.name(), bed.folder().display());
            continue;
        }
        // Killing is this program's doing, so noded's warnings about it are no finding.
        bed.allow_log("");
        if let Err(error) = bed.finish() {
            eprintln!("storm {}: {error:#}", one.name());
            failed = true;
        }
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
