//! `completions` and the manual pages: made from the command line's own description.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use a2arun::cli::Cli;
use clap::CommandFactory;

use crate::bed::{Bed, skipped};

/// `plan`, `trust init`, … with what each takes.
fn verbs() -> Vec<(String, clap::Command)> {
    let mut all = Vec::new();
    let mut open: Vec<(String, clap::Command)> = vec![(String::new(), Cli::command())];
    while let Some((name, command)) = open.pop() {
        for verb in command.get_subcommands() {
            open.push((format!("{name} {}", verb.get_name()).trim().to_owned(), verb.clone()));
        }
        all.push((name, command));
    }
    all
}

fn script(bed: &Bed, shell: &str) -> String {
    let output = bed.output(&["completions", shell]);
    assert!(output.status.success(), "{shell}");
    let script = String::from_utf8(output.stdout).unwrap();
    bed.write(shell, &script);
    script
}

/// What `shell` says, or `None` where it is not here.
fn run(bed: &Bed, shell: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(shell)
        .args(args)
        .current_dir(bed.path("."))
        .env("HOME", bed.path("."))
        .env("XDG_CONFIG_HOME", bed.path("."))
        .output();
    let Ok(output) = output else {
        skipped(&format!("there is no {shell}"));
        return None;
    };
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && complaint.is_empty(), "{shell} {args:?}: {complaint}");
    Some(String::from_utf8(output.stdout).unwrap())
}

#[test]
fn every_shell_knows_every_verb_and_option() {
    let bed = Bed::new(&[]);
    for shell in ["bash", "zsh", "fish"] {
        let script = script(&bed, shell);
        for (name, command) in verbs() {
            let last = name.rsplit(' ').next().unwrap();
            assert!(script.contains(last), "{shell}: {name}");
            for option in command.get_arguments().filter_map(|a| a.get_long()) {
                let written = match shell {
                    "fish" => format!("-l {option}"),
                    _ => format!("--{option}"),
                };
                assert!(script.contains(&written), "{shell}: {name} --{option}");
            }
        }
        run(&bed, shell, &["-n", shell]);
    }
}

#[test]
fn bash_and_fish_complete() {
    let bed = Bed::new(&[("weather.yaml", "")]);
    script(&bed, "bash");
    script(&bed, "fish");
    let check = |line: &str, wanted: &[&str], not: &[&str]| {
        let words: Vec<String> = line.split(' ').map(|word| format!("'{word}'")).collect();
        let bash = format!(
            "source ./bash; COMP_WORDS=({}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); \
             _a2arun a2arun \"${{COMP_WORDS[COMP_CWORD]}}\" \"${{COMP_WORDS[COMP_CWORD-1]}}\"; \
             printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            words.join(" ")
        );
        let fish = format!("source ./fish; complete -C '{line}'");
        for (shell, code) in [("bash", bash), ("fish", fish)] {
            let Some(found) = run(&bed, shell, &["-c", &code]) else { continue };
            // fish explains each behind a tab.
            let found: BTreeSet<&str> =
                found.lines().map(|l| l.split('\t').next().unwrap()).collect();
            for word in wanted {
                assert!(found.contains(word), "{shell} {line}: {word} is not in {found:?}");
            }
            for word in not {
                assert!(!found.contains(word), "{shell} {line}: {word} is in {found:?}");
            }
        }
    };
    check("a2arun pl", &["plan"], &["run"]);
    check("a2arun ", &["run", "validate", "graph", "env", "init", "completions"], &["issue"]);
    check("a2arun plan --hos", &["--host", "--hostfile"], &["--dry-run"]);
    check("a2arun run --dr", &["--dry-run"], &[]);
    check("a2arun graph --format ", &["text", "mermaid", "dot"], &["json"]);
    check("a2arun trust ", &["init", "issue"], &["plan"]);
    check("a2arun plan --output ", &["human", "json", "jsonl", "quiet"], &[]);
}

#[test]
fn every_verb_has_a_manual_page() {
    let bed = Bed::new(&[]);
    // As scripts/man does.
    clap_mangen::generate_to(Cli::command(), bed.path(".")).unwrap();
    for (name, command) in verbs() {
        let page = format!("a2arun {name}").trim().replace(' ', "-");
        let text = fs::read_to_string(bed.path(&format!("{page}.1"))).unwrap();
        assert!(text.contains(".SH SYNOPSIS"), "{page}");
        for option in command.get_arguments().filter_map(|a| a.get_long()) {
            let escaped = option.replace('-', "\\-");
            assert!(text.contains(&format!("\\-\\-{escaped}")), "{page}: --{option}");
        }
        let shown = run(&bed, "man", &["--warnings", "-l", "-Tutf8", &format!("{page}.1")]);
        assert!(shown.is_none_or(|shown| shown.contains(&page)), "{page}");
    }
}
