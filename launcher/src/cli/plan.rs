//! `a2arun validate`, `a2arun plan`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;

use crate::cli::options::OutputArgs;
use crate::cli::run::{HostArgs, ShapeArgs};

/// Everything that `validate` takes.
#[derive(Debug, Clone, Args)]
pub struct ValidateArgs {
    /// The job files
    #[arg(value_name = "JOB.yaml", required = true)]
    pub jobs: Vec<PathBuf>,
    /// Treat warnings as errors
    #[arg(long)]
    pub strict: bool,
    /// Format and colour.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// Everything that `plan` takes.
#[derive(Debug, Clone, Args)]
pub struct PlanArgs {
    /// The job file
    #[arg(value_name = "JOB.yaml")]
    pub job: Option<PathBuf>,
    /// A program and its arguments instead of a job file
    #[arg(last = true, value_name = "PROGRAM [ARG]", num_args = 0..)]
    pub program: Vec<OsString>,
    /// Size.
    #[command(flatten)]
    pub shape: ShapeArgs,
    /// Hosts.
    #[command(flatten)]
    pub hosts: HostArgs,
    /// Treat warnings as errors
    #[arg(long)]
    pub strict: bool,
    /// Format and colour.
    #[command(flatten)]
    pub output: OutputArgs,
}
