//! `a2arun status`.

use clap::Args;

use crate::cli::options::{JobRef, OutputArgs};

/// Everything that `status` takes.
#[derive(Debug, Clone, Args)]
pub struct StatusArgs {
    /// `JOB`, `JOB/AGENT` or `JOB/AGENT[I]`; JOB is a name, a run id, or a unique prefix
    #[arg(value_name = "JOB[/AGENT[I]]")]
    pub job: JobRef,
    /// Format and colour.
    #[command(flatten)]
    pub output: OutputArgs,
}
