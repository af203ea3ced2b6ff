//! The command line of noded.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

/// The node daemon of a2arun: spawns, supervises and stops agents on this host.
#[derive(Debug, Parser)]
#[command(name = "noded", version, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve this user's runs on this host, in the foreground.
    Serve(Serve),
    /// Started by noded itself; its listening socket is standard input.
    #[command(hide = true)]
    Spawner,
}

/// How to serve.
#[derive(Debug, Clone, Args)]
pub struct Serve {
    /// Also listen on this TCP address, with TLS 1.3 and client certificates only.
    #[arg(long, value_name = "ADDR:PORT", requires = "trust")]
    pub listen: Option<SocketAddr>,
    /// The folder with ca.pem, host.pem and host.key.
    #[arg(long, value_name = "DIR", env = "A2ARUN_TRUST")]
    pub trust: Option<PathBuf>,
    /// Where records and output are kept; must be on a local filesystem.
    #[arg(long, value_name = "DIR", env = "A2ARUN_STATE_DIR")]
    pub state_dir: Option<PathBuf>,
    /// This host's name, for messages.
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Serve although this is root: agents will run as root.
    #[arg(long)]
    pub allow_root: bool,
    /// Leave some time after the last instance; log to a file in the state folder.
    #[arg(long)]
    pub on_demand: bool,
    /// That time, in seconds.
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    pub linger: Duration,
    /// Write `ready` to this descriptor when listening.
    #[arg(long, value_name = "FD")]
    pub ready_fd: Option<i32>,
    /// The soft limit of open files that agents get; noded has raised its own.
    #[arg(long, hide = true, value_name = "N")]
    pub agents_nofile: Option<u64>,
    /// Somebody else starts noded again when it dies (a service manager).
    #[arg(long)]
    pub no_restart: bool,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let digits = text.strip_suffix('s').unwrap_or(text);
    let value: f64 = digits.parse().map_err(|_| format!("`{text}` is no number of seconds"))?;
    Duration::try_from_secs_f64(value).map_err(|_| format!("`{text}` is no number of seconds"))
}
