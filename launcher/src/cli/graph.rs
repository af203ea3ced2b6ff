//! `a2arun graph`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::cli::options::OutputArgs;
use crate::cli::run::{HostArgs, ShapeArgs};

/// In which language a topology is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum GraphFormat {
    /// Lines for people.
    #[default]
    Text,
    /// A Mermaid flow chart.
    Mermaid,
    /// Graphviz.
    Dot,
}

/// Everything that `graph` takes.
#[derive(Debug, Clone, Args)]
pub struct GraphArgs {
    /// The job file
    #[arg(value_name = "JOB.yaml")]
    pub job: PathBuf,
    /// How it is drawn: text, mermaid or dot
    #[arg(long, value_enum, value_name = "FORMAT", hide_possible_values = true)]
    pub format: Option<GraphFormat>,
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
