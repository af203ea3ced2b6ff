//! `a2arun completions`.

use clap::{Args, ValueEnum};

/// Everything that `completions` takes.
#[derive(Debug, Clone, Args)]
pub struct CompletionsArgs {
    /// For which shell: bash, zsh or fish
    #[arg(value_enum, value_name = "SHELL", hide_possible_values = true)]
    pub shell: ShellName,
}

/// A shell that completes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ShellName {
    /// `source <(a2arun completions bash)`.
    Bash,
    /// A file `_a2arun` in a folder of `$fpath`.
    Zsh,
    /// `a2arun completions fish | source`.
    Fish,
}
