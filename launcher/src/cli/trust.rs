//! `a2arun trust init`, `a2arun trust issue`.

use std::path::PathBuf;

use a2arun_core::ids::HostName;
use clap::{Args, Subcommand};

/// Everything that `trust` takes.
#[derive(Debug, Clone, Args)]
pub struct TrustArgs {
    /// Which of them.
    #[command(subcommand)]
    pub verb: TrustVerb,
}

/// What `a2arun trust` does.
#[derive(Debug, Clone, Subcommand)]
pub enum TrustVerb {
    /// Make an authority and this head's certificate
    Init(TrustInitArgs),
    /// Make certificates for hosts, or for a viewer
    Issue(TrustIssueArgs),
}

/// Everything that `trust init` takes.
#[derive(Debug, Clone, Args)]
pub struct TrustInitArgs {
    /// The folder to make [default: ~/.config/a2arun/trust]
    #[arg(long, visible_alias = "trust", value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Replace an authority that is there; hosts with the old one will refuse this head
    #[arg(long)]
    pub force: bool,
}

/// Everything that `trust issue` takes.
#[derive(Debug, Clone, Args)]
pub struct TrustIssueArgs {
    /// Hosts, named as in hostfiles
    #[arg(value_name = "HOST", required_unless_present = "role")]
    pub hosts: Vec<HostName>,
    /// The folder with ca.pem and ca.key [default: ~/.config/a2arun/trust]
    #[arg(long, visible_alias = "trust", value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Where to write a folder for each [default: DIR/issued]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Make one certificate with another role instead
    #[arg(long, num_args = 2, value_names = ["viewer", "NAME"], conflicts_with = "hosts")]
    pub role: Option<Vec<String>>,
    /// Replace certificates that are there
    #[arg(long)]
    pub force: bool,
}
