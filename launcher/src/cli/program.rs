//! Was a program meant where a job file stands? mpirun takes one without `--`; we don't, because
//! then every option behind it would be read twice, and say how to write it.

use std::ffi::{OsStr, OsString};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use clap::{Command, CommandFactory};

use crate::cli::{Cli, Refusal};

/// The refusal with the corrected line, where `argv` (already rewritten) names a program without
/// `--`. `search` is the value of PATH.
pub(super) fn without_dashes(argv: &[OsString], search: Option<&OsStr>) -> Option<Refusal> {
    let (at, words) = bare_words(argv)?;
    let first = argv.get(at)?;
    if !is_program(first, words, search) {
        return None;
    }
    let mut line = String::new();
    for (i, word) in argv.iter().enumerate() {
        if i == at {
            line.push_str("-- ");
        }
        line.push_str(&shown(word, i < at));
        line.push(' ');
    }
    let name = first.to_string_lossy();
    Some(Refusal::usage(format!(
        "`{name}` is a program, not a job file: put `--` before it\nhint: {}",
        line.trim_end()
    )))
}

/// Where the first word that is neither option nor option's value stands, and how many words
/// there are from it on. `None`: there is none, a verb stands first, or `--` comes before.
fn bare_words(argv: &[OsString]) -> Option<(usize, usize)> {
    let mut command = Cli::command();
    command.build();
    let mut at = 1;
    if argv.get(1).is_some_and(|word| word == "run") {
        at = 2;
    }
    while let Some(word) = argv.get(at) {
        let text = word.to_string_lossy();
        if text == "--" {
            return None;
        }
        if !text.starts_with('-') || text == "-" {
            let verb = at == 1 && command.find_subcommand(word).is_some();
            let end = argv.iter().position(|w| w == "--").unwrap_or(argv.len());
            return (!verb).then_some((at, end.saturating_sub(at)));
        }
        at += 1 + usize::from(takes_next(&command, &text)?);
    }
    None
}

/// `None`: the option is not known, so neither is what stands behind it.
fn takes_next(command: &Command, option: &str) -> Option<bool> {
    let found = match option.strip_prefix("--") {
        Some(long) if long.contains('=') => return Some(false),
        Some(long) => command.get_arguments().find(|a| {
            a.get_long() == Some(long)
                || a.get_all_aliases().is_some_and(|aliases| aliases.contains(&long))
        }),
        // `-n4` has its value with it.
        None if option.chars().count() > 2 => return Some(false),
        None => command.get_arguments().find(|a| a.get_short() == option.chars().nth(1)),
    };
    found.map(|a| a.get_action().takes_values())
}

fn is_program(word: &OsStr, words: usize, search: Option<&OsStr>) -> bool {
    let path = Path::new(word);
    let job_like = path
        .extension()
        .is_some_and(|e| ["yaml", "yml", "json"].iter().any(|known| e.eq_ignore_ascii_case(known)));
    if job_like {
        return false;
    }
    words > 1 || executable(path) || in_path(path, search)
}

fn executable(path: &Path) -> bool {
    path.metadata().is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
}

/// Whether PATH has a program of this name.
pub(super) fn is_installed(word: &OsStr, search: Option<&OsStr>) -> bool {
    in_path(Path::new(word), search)
}

fn in_path(path: &Path, search: Option<&OsStr>) -> bool {
    path.components().count() == 1
        && search.is_some_and(|s| std::env::split_paths(s).any(|dir| executable(&dir.join(path))))
}

/// As one would type it.
fn shown(word: &OsStr, ours: bool) -> String {
    let text = word.to_string_lossy();
    if ours && text == "--np" {
        return "-np".to_owned();
    }
    let plain = |c: char| c.is_alphanumeric() || "-_./=:,@%+[]".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.into_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &[&str]) -> Option<String> {
        let argv: Vec<OsString> = line.iter().map(OsString::from).collect();
        without_dashes(&argv, Some(OsStr::new("/usr/bin:/bin"))).map(|r| r.text)
    }

    #[test]
    fn programs_without_dashes_get_the_corrected_line() {
        insta::assert_snapshot!(
            check(&["a2arun", "--np", "4", "/bin/sh", "-c", "echo $A2ARUN_RANK"]).unwrap(),
            @r"
        `/bin/sh` is a program, not a job file: put `--` before it
        hint: a2arun -np 4 -- /bin/sh -c 'echo $A2ARUN_RANK'
        "
        );
        assert!(check(&["a2arun", "-n4", "true"]).is_some());
        assert!(check(&["a2arun", "run", "--host", "a,b", "true", "x"]).is_some());
    }

    #[test]
    fn job_files_verbs_and_written_dashes_are_left_alone() {
        for line in [
            &["a2arun", "job.yaml"][..],
            &["a2arun", "job.yaml", "--np", "4"],
            &["a2arun", "list"],
            &["a2arun", "--", "true", "x"],
            &["a2arun", "no-such-thing-anywhere"],
            &["a2arun"],
        ] {
            assert_eq!(check(line), None, "{line:?}");
        }
    }
}
