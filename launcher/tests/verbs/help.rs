//! Every `--help`, and what is said of options that cannot be.

use a2arun::cli::Cli;
use clap::CommandFactory;

use crate::bed::Bed;

fn each(bed: &Bed, path: &str, command: &clap::Command) {
    let line = format!("{path} --help");
    insta::assert_snapshot!(format!("help_{}", path.replace(' ', "_")), bed.run(line.trim()));
    for verb in command.get_subcommands() {
        each(bed, format!("{path} {}", verb.get_name()).trim(), verb);
    }
}

#[test]
fn every_verb_explains_itself() {
    let bed = Bed::new(&[]);
    each(&bed, "", &Cli::command());
}

#[test]
fn what_cannot_be_is_refused_with_what_was_meant() {
    let bed = Bed::new(&[("job.yaml", "agents: [{id: a, command: [x]}]")]);
    let lines = [
        // Unknown.
        "grpah job.yaml",
        "validte -v job.yaml",
        "plan --hostfil h job.yaml",
        "validate --stric job.yaml",
        "env --exprt all job.yaml",
        "graph --fromat dot job.yaml",
        "init --nmae x dag",
        "completions tcsh",
        "completions zs",
        "schema job",
        "trust isue n1",
        "plan --output jsn job.yaml",
        "plan --map-by slots job.yaml",
        "--dryrun job.yaml",
        // Contradictory.
        "plan --host a --hostfile b job.yaml",
        "graph --format dot --output json job.yaml",
        "validate --explain cycle job.yaml",
        "env web/hub -np 4",
        "env web/hub -x A=1",
        "init --force",
        "run --scale a=2 --scale a=3 job.yaml",
        // Out of range.
        "plan -np 0 job.yaml",
        "plan -np -1 job.yaml",
        "plan -np 5000000000 job.yaml",
        "plan -N 0 job.yaml",
        "plan --max-per-host 0 job.yaml",
        "plan --scale a=0 job.yaml",
        "plan --map-by ppr:0:host job.yaml",
        "run --timeout 0 job.yaml",
        "run --ports 5-4 job.yaml",
        "run --ports 0-99999 job.yaml",
        "plan --export A,,B job.yaml",
        "plan -x =1 job.yaml",
        "logs -n -1 web",
        "stop --timeout soon web",
        "validate --color red job.yaml",
    ];
    let text = lines.map(|line| bed.run(line));
    for (line, said) in lines.iter().zip(&text) {
        assert!(said.contains("--- code 6") || said.contains("--- code 71"), "{line}: {said}");
    }
    insta::assert_snapshot!(text.concat());
}
