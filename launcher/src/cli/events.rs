//! `a2arun events`, `a2arun why`.

use clap::Args;

use crate::cli::options::{JobRef, OutputArgs};

/// Everything that `events` takes.
#[derive(Debug, Clone, Args)]
pub struct EventsArgs {
    /// `JOB`, `JOB/AGENT` or `JOB/AGENT[I]`; JOB is a name, a run id, or a unique prefix; without
    /// it the run that is on, else the newest
    #[arg(value_name = "JOB[/AGENT[I]]")]
    pub job: Option<JobRef>,
    /// Go on until the run is over
    #[arg(short = 'f', long)]
    pub follow: bool,
    /// Only the last N
    #[arg(short = 'n', long, value_name = "N")]
    pub lines: Option<usize>,
    /// Format and colour.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// Everything that `why` takes.
#[derive(Debug, Clone, Args)]
pub struct WhyArgs {
    /// `JOB`, `JOB/AGENT` or `JOB/AGENT[I]`; JOB is a name, a run id, or a unique prefix; without
    /// it the run that is on, else the newest
    #[arg(value_name = "JOB[/AGENT[I]]")]
    pub job: Option<JobRef>,
    /// Format and colour.
    #[command(flatten)]
    pub output: OutputArgs,
}
