//! `a2arun init`.

use std::path::PathBuf;

use a2arun_core::ids::JobName;
use clap::Args;

use crate::cli::options::OutputArgs;

/// Everything that `init` takes.
#[derive(Debug, Clone, Args)]
pub struct InitArgs {
    /// Which template; without one they are listed
    #[arg(value_name = "TEMPLATE")]
    pub template: Option<String>,
    /// A folder for the files, or the job file itself (`.yaml`) [default: here]
    #[arg(value_name = "DIR|FILE")]
    pub path: Option<PathBuf>,
    /// The job's name [default: the file's, else the template's]
    #[arg(long, value_name = "NAME", requires = "template")]
    pub name: Option<JobName>,
    /// Replace files that are there
    #[arg(long, requires = "template")]
    pub force: bool,
    /// Format and colour.
    #[command(flatten)]
    pub output: OutputArgs,
}
