//! `a2arun logs`.

use clap::Args;

use crate::cli::options::{JobRef, OutputArgs};

/// Everything that `logs` takes.
#[derive(Debug, Clone, Args)]
pub struct LogsArgs {
    /// Whose output: name, run id, or a unique prefix, then an agent or one of its copies; without
    /// it that of the run that is on, else of the newest
    #[arg(value_name = "JOB[/AGENT[I]]")]
    pub job: Option<JobRef>,
    /// Go on as it comes
    #[arg(short, long)]
    pub follow: bool,
    /// Begin with the last N lines of each stream
    #[arg(short = 'n', long, value_name = "N")]
    pub lines: Option<u64>,
    /// Only standard error
    #[arg(long)]
    pub stderr: bool,
    /// Where to find the certificates, for runs on other hosts
    #[arg(long, value_name = "DIR")]
    pub trust: Option<std::path::PathBuf>,
    /// Format and colour.
    #[command(flatten)]
    pub output: OutputArgs,
}
