//! From words to [`Cli`], and from clap's errors to ours: exit code 64, `hint:` lines.

use std::ffi::{OsStr, OsString};

use a2arun_core::exit_code::LauncherCode;
use a2arun_core::source::nearest;
use clap::error::{ContextKind, ErrorKind};
use clap::{CommandFactory, Parser};

use crate::cli::{Cli, EnvOf, RunArgs, Verb, program, rewrite};

/// Why nothing is run: a refused command line, or the help that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What to print, without a final line break.
    pub text: String,
    /// What to end with; 0: the text is what was asked for and goes to stdout.
    pub code: u8,
}

impl Refusal {
    pub(crate) fn usage(text: String) -> Self {
        Self { text, code: LauncherCode::Usage.code() }
    }
}

/// Reads a command line, the program's own name first. `search` is the value of PATH.
pub fn parse(
    argv: impl IntoIterator<Item = OsString>,
    search: Option<&OsStr>,
) -> Result<Cli, Refusal> {
    let argv = rewrite(argv);
    let cli = match Cli::try_parse_from(&argv) {
        Ok(cli) => cli,
        Err(error) => {
            let unknown = error.kind() == ErrorKind::UnknownArgument;
            let meant = || mistyped_verb(&argv, search);
            let program = || program::without_dashes(&argv, search);
            let mpirun = || mpirun_option(&error, &argv);
            let better = unknown.then(|| meant().or_else(program).or_else(mpirun)).flatten();
            return Err(better.unwrap_or_else(|| from_clap(&error, &argv)));
        }
    };
    let run = match &cli.verb {
        None => Some(&cli.run),
        Some(Verb::Run(run)) => Some(&**run),
        Some(_) => None,
    };
    match run {
        Some(run) => check_run(run, &argv, search)?,
        None => check_verb(&cli)?,
    }
    Ok(cli)
}

/// What clap cannot see: options that say nothing beside others.
fn check_verb(cli: &Cli) -> Result<(), Refusal> {
    match &cli.verb {
        Some(Verb::Graph(args)) if args.format.is_some() && args.output.is_data() => {
            Err(Refusal::usage(
                "--format draws for people, --output json gives the graph as data: which?"
                    .to_owned(),
            ))
        }
        Some(Verb::Env(args)) => match &args.of {
            EnvOf::Run(job) if args.shapes_a_file() => Err(Refusal::usage(format!(
                "`{job}` is a run: sizes, hosts and variables are for job files\n\
                 hint: a2arun env JOB.yaml/AGENT"
            ))),
            EnvOf::Run(_) | EnvOf::File(..) => Ok(()),
        },
        _ => Ok(()),
    }
}

fn check_run(run: &RunArgs, argv: &[OsString], search: Option<&OsStr>) -> Result<(), Refusal> {
    if let ([_, ..], []) = (run.words.as_slice(), run.program.as_slice())
        && let Some(refusal) = mistyped_verb(argv, search)
    {
        return Err(refusal);
    }
    match (run.words.as_slice(), run.program.as_slice()) {
        ([], []) => Err(Refusal::usage(
            "no job file and no program given\n\
             hint: a2arun JOB.yaml, or a2arun -np N -- PROGRAM [ARG]...\n\
             hint: a2arun --help"
                .to_owned(),
        )),
        ([], _) => Ok(()),
        ([job, ..], [_, ..]) => Err(Refusal::usage(format!(
            "both a job file (`{}`) and a program behind `--` are given",
            job.to_string_lossy()
        ))),
        ([word], []) => match program::without_dashes(argv, search) {
            Some(refusal) => Err(refusal),
            None => check_word(word, search),
        },
        ([_, extra, ..], []) => Err(program::without_dashes(argv, search).unwrap_or_else(|| {
            Refusal::usage(format!(
                "one job file is run at a time; `{}` is one too many",
                extra.to_string_lossy()
            ))
        })),
    }
}

/// A word that is neither a file nor a program but nearly a verb was meant as one.
fn check_word(word: &OsStr, search: Option<&OsStr>) -> Result<(), Refusal> {
    let text = word.to_string_lossy();
    if text.contains(['/', '.'])
        || std::path::Path::new(word).exists()
        || program::is_installed(word, search)
    {
        return Ok(());
    }
    let command = Cli::command();
    let verbs: Vec<&str> = command.get_subcommands().map(clap::Command::get_name).collect();
    match nearest(&text, verbs.iter().copied()) {
        Some(near) => Err(Refusal::usage(format!(
            "`{text}` is neither a verb nor a job file\nhint: did you mean `a2arun {near}`?"
        ))),
        None => Ok(()),
    }
}

/// The same where words follow that only the verb would understand.
fn mistyped_verb(argv: &[OsString], search: Option<&OsStr>) -> Option<Refusal> {
    let first = argv.get(1).filter(|word| !word.to_string_lossy().starts_with('-'))?;
    let is_verb = Cli::command().find_subcommand(first).is_some();
    (!is_verb).then(|| check_word(first, search).err()).flatten()
}

/// Options of Open MPI, MPICH and Hydra that are written otherwise here, or are not needed.
const MPIRUN: [(&str, &str); 17] = [
    ("-H", "write --host LIST"),
    ("--hosts", "write --host LIST"),
    ("-hosts", "write --host LIST"),
    ("-f", "write --hostfile FILE"),
    ("-c", "write -np N"),
    ("-ppn", "write -N N"),
    ("--npernode", "write -N N"),
    ("-npernode", "write -N N"),
    ("-genv", "write -x NAME=VALUE"),
    ("-env", "write -x NAME=VALUE"),
    ("--wdir", "a program runs where a2arun is called: cd there first"),
    ("-wdir", "a program runs where a2arun is called: cd there first"),
    ("--tag-output", "leave it out: each line has its tag"),
    ("--output-filename", "write --output-dir DIR"),
    ("--bind-to", "leave it out: processors are not bound"),
    ("--allow-run-as-root", "leave it out: root may launch"),
    ("--mca", "leave it out: there are no MCA parameters"),
];

fn mpirun_option(error: &clap::Error, argv: &[OsString]) -> Option<Refusal> {
    let named = error.get(ContextKind::InvalidArg).map(ToString::to_string)?;
    // clap names `-w` of `-wdir`.
    let typed = argv.iter().skip(1).take_while(|word| *word != "--").map(|w| w.to_string_lossy());
    let mut typed = typed.filter(|word| word.starts_with(named.as_str()));
    let (option, here) = typed.find_map(|word| {
        let name = word.split('=').next().unwrap_or_default().to_owned();
        MPIRUN.into_iter().find(|(option, _)| *option == name)
    })?;
    Some(Refusal::usage(format!("there is no `{option}` here\nhint: {here}")))
}

fn from_clap(error: &clap::Error, argv: &[OsString]) -> Refusal {
    let text = error.render().to_string();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            Refusal { text: text.trim_end().to_owned(), code: 0 }
        }
        ErrorKind::MissingRequiredArgument => {
            let names = error.get(ContextKind::InvalidArg).map(ToString::to_string);
            let plain = |text: String| text.replace(['<', '>'], "").replace("...", "");
            let usage = error.get(ContextKind::Usage).map(ToString::to_string);
            let usage = usage.as_deref().and_then(|usage| usage.strip_prefix("Usage: "));
            Refusal::usage(format!(
                "missing: {}\nhint: {}\nhint: {} --help lists the options",
                plain(names.unwrap_or_default()),
                plain(usage.unwrap_or_default().trim().to_owned()),
                verb_of(argv)
            ))
        }
        _ => Refusal::usage(ours(&text, argv)),
    }
}

/// `a2arun trust init` of a line that begins so.
fn verb_of(argv: &[OsString]) -> String {
    let mut command = &Cli::command();
    let mut shown = "a2arun".to_owned();
    for word in argv.iter().skip(1) {
        let Some(verb) = command.find_subcommand(word) else { break };
        shown.push(' ');
        shown.push_str(verb.get_name());
        command = verb;
    }
    shown
}

/// clap's text without its usage block, its tips as hints.
fn ours(text: &str, argv: &[OsString]) -> String {
    let text = text.strip_prefix("error: ").unwrap_or(text);
    let mut lines = Vec::new();
    for line in text.lines() {
        if line.starts_with("Usage:") {
            break;
        }
        let trimmed = line.trim();
        match trimmed.strip_prefix("tip: ") {
            // clap offers to pass a mistyped option as a value; that is never meant.
            Some(tip) if tip.starts_with("to pass ") => {}
            Some(tip) => lines.push(format!("hint: {tip}")),
            None if trimmed.is_empty() || trimmed.starts_with("For more information") => {}
            None => lines.push(line.to_owned()),
        }
    }
    lines.push(format!("hint: {} --help lists the options", verb_of(argv)));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str) -> Result<Cli, String> {
        let words = line.split(' ').map(OsString::from);
        parse(words, Some(OsStr::new("/usr/bin:/bin")))
            .map_err(|r| format!("{} {}", r.code, r.text))
    }

    #[test]
    fn the_three_spellings_of_np_are_one() {
        for line in ["-np 3", "-n 3", "--np 3", "-n3", "-np=3"] {
            let cli = check(&format!("a2arun {line} job.yaml")).unwrap();
            assert_eq!(cli.run.shape.np, Some(3), "{line}");
        }
        let cli = check("a2arun run job.yaml -np 3").unwrap();
        assert!(matches!(cli.verb, Some(Verb::Run(run)) if run.shape.np == Some(3)));
    }

    #[test]
    fn a_program_keeps_its_options() {
        let cli = check("a2arun -np 2 --timeout 5s -- sh -np -c x --help").unwrap();
        assert_eq!(cli.run.program.len(), 5);
        assert_eq!(cli.run.timeout, Some(std::time::Duration::from_secs(5)));
    }

    #[test]
    fn refusals() {
        let lines = [
            "a2arun",
            "a2arun --hostfil x job.yaml",
            "a2arun -np x job.yaml",
            "a2arun -np -3 job.yaml",
            "a2arun --host a --hostfile b job.yaml",
            "a2arun lst",
            "a2arun a.yaml b.yaml",
            "a2arun a.yaml -- true",
            "a2arun -np 4 list",
            "a2arun --scale w job.yaml",
            "a2arun --timeout never job.yaml",
            "a2arun --output xml list",
            "a2arun -np 2 sh -c true",
            "a2arun stop",
            "a2arun stop a/",
            "a2arun -H a,b -- true",
            "a2arun -np 2 -wdir /tmp -- true",
            "a2arun -np 2 --bind-to core -- true",
            "a2arun -c 2 -- true",
        ];
        let mut text = String::new();
        for line in lines {
            text.push_str(&format!("$ {line}\n{}\n\n", check(line).unwrap_err()));
        }
        insta::assert_snapshot!(text);
    }

    #[test]
    fn help_is_what_was_asked_for() {
        let help = check("a2arun --help").unwrap_err();
        insta::assert_snapshot!(help);
        assert!(check("a2arun --version").unwrap_err().starts_with("0 a2arun "));
        assert!(check("a2arun list --help").unwrap_err().starts_with("0 "));
    }
}
