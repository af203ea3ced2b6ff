//! `a2arun list`.

use clap::Args;

use crate::cli::options::OutputArgs;

/// Everything that `list` takes.
#[derive(Debug, Clone, Args)]
pub struct ListArgs {
    /// Also the runs that have ended
    #[arg(short, long)]
    pub all: bool,
    /// Format and colour.
    #[command(flatten)]
    pub output: OutputArgs,
}
