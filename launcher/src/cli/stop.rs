//! `a2arun stop`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::cli::options::{JobRef, OutputArgs, duration};

/// Everything that `stop` takes.
#[derive(Debug, Clone, Args)]
pub struct StopArgs {
    /// Name, run id, or a unique prefix
    #[arg(value_name = "JOB")]
    pub job: JobRef,
    /// Kill at once
    #[arg(long)]
    pub now: bool,
    /// Wait at most this long for the end [default: the largest grace and 10 s]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub timeout: Option<Duration>,
    /// Where to find the certificates, for runs on other hosts
    #[arg(long, value_name = "DIR")]
    pub trust: Option<PathBuf>,
    /// Format and colour.
    #[command(flatten)]
    pub output: OutputArgs,
}
