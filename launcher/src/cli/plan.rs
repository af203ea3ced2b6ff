//! `a2arun validate`, `a2arun plan`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;

use crate::cli::options::OutputArgs;
use crate::cli::run::{HostArgs, ShapeArgs, VariableArgs};

/// Everything that `validate` takes.
#[derive(Debug, Clone, Args)]
pub struct ValidateArgs {
    /// The job files
    #[arg(value_name = "JOB.yaml", required_unless_present = "explain")]
    pub jobs: Vec<PathBuf>,
    /// Also what was understood, agent by agent
    #[arg(short, long)]
    pub verbose: bool,
    /// Say what a finding's code means, or all of them
    #[arg(long, value_name = "CODE", num_args = 0..=1, conflicts_with = "jobs")]
    pub explain: Option<Option<String>>,
    /// Variables.
    #[command(flatten)]
    pub variables: VariableArgs,
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
    /// Variables.
    #[command(flatten)]
    pub variables: VariableArgs,
    /// Treat warnings as errors
    #[arg(long)]
    pub strict: bool,
    /// Format and colour.
    #[command(flatten)]
    pub output: OutputArgs,
}
