//! `a2arun schema`.

use clap::Args;

use crate::cli::options::OutputArgs;

/// Everything that `schema` takes.
#[derive(Debug, Clone, Args)]
pub struct SchemaArgs {
    /// Format and colour.
    #[command(flatten)]
    pub output: OutputArgs,
}
