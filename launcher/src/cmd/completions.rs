//! `completions`: what a shell has to know to complete our verbs and options.

use a2arun_core::exit_code::LauncherCode;
use anyhow::Context as _;
use clap::CommandFactory;
use clap_complete::{Shell, generate};

use crate::cli::{Cli, CompletionsArgs, ShellName};
use crate::output::print_line;

pub(super) fn completions(args: &CompletionsArgs) -> anyhow::Result<u8> {
    let shell = match args.shell {
        ShellName::Bash => Shell::Bash,
        ShellName::Zsh => Shell::Zsh,
        ShellName::Fish => Shell::Fish,
    };
    let mut script = Vec::new();
    generate(shell, &mut Cli::command(), "a2arun", &mut script);
    print_line(&String::from_utf8(script).context("a script is text")?)?;
    Ok(LauncherCode::Ok.code())
}
