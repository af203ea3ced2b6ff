//! `a2arun card`.

use clap::Args;
use http::{HeaderName, HeaderValue};

use crate::cli::options::OutputArgs;
use crate::cli::query::header;

/// Everything that `card` takes.
#[derive(Debug, Clone, Args)]
pub struct CardArgs {
    /// RUN/AGENT[I], a run (then its entry point), or an agent's http URL
    #[arg(value_name = "RUN[/AGENT[I]]|URL")]
    pub target: String,
    /// Send this header along, once for each
    #[arg(long, value_name = "NAME:VALUE", value_parser = header)]
    pub header: Vec<(HeaderName, HeaderValue)>,
    /// Print the card as it came
    #[arg(long)]
    pub raw: bool,
    /// Format and colour.
    #[command(flatten)]
    pub output: OutputArgs,
}
