//! `a2arun JOB.yaml`, `a2arun -- PROGRAM`, `a2arun run …`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use a2arun_core::hostfile::PortRange;
use a2arun_core::plan::MapBy;
use clap::Args;

use crate::cli::options::{Export, OutputArgs, count, duration, scale, variable};

/// Where a job runs.
#[derive(Debug, Clone, Default, Args)]
pub struct HostArgs {
    /// File with one host a line: `HOST [slots=N] [addr=A]` [env: A2ARUN_HOSTFILE]
    #[arg(
        long,
        visible_alias = "machinefile",
        value_name = "FILE",
        conflicts_with = "host",
        help_heading = "Hosts"
    )]
    pub hostfile: Option<PathBuf>,
    /// Hosts, comma-separated, with slots behind a colon: `a,b:4`
    #[arg(long, value_name = "LIST", help_heading = "Hosts")]
    pub host: Option<String>,
    /// Folder with ca.pem, head.pem and head.key [default: ~/.config/a2arun/trust]
    #[arg(long, value_name = "DIR", help_heading = "Hosts")]
    pub trust: Option<PathBuf>,
}

impl HostArgs {
    /// Whether hosts are named.
    pub(crate) fn is_said(&self) -> bool {
        self.hostfile.is_some() || self.host.is_some()
    }
}

/// How large a job is.
#[derive(Debug, Clone, Default, Args)]
pub struct ShapeArgs {
    /// Number of instances in all; also written -np N
    #[arg(
        short = 'n',
        long = "np",
        value_name = "N",
        value_parser = count,
        allow_negative_numbers = true,
        help_heading = "Size"
    )]
    pub np: Option<u32>,
    /// At most N instances on each host
    #[arg(
        short = 'N',
        long = "per-host",
        value_name = "N",
        value_parser = count,
        allow_negative_numbers = true,
        help_heading = "Size"
    )]
    pub per_host: Option<u32>,
    /// Which host gets which: slot, node, span or ppr:N:host
    #[arg(
        long,
        value_name = "HOW",
        default_value = "slot",
        hide_default_value = true,
        help_heading = "Size"
    )]
    pub map_by: MapBy,
    /// At most N instances on each host, without counting as written slots
    #[arg(long, value_name = "N", value_parser = count, help_heading = "Size")]
    pub max_per_host: Option<u32>,
    /// Go beyond written slots
    #[arg(long, help_heading = "Size")]
    pub oversubscribe: bool,
    /// Number of copies of an agent; may be given several times
    #[arg(long, value_name = "AGENT=N", value_parser = scale, help_heading = "Size")]
    pub scale: Vec<(String, u32)>,
}

impl ShapeArgs {
    /// Whether anything is said.
    pub(crate) fn is_said(&self) -> bool {
        let Self { np, per_host, map_by, max_per_host, oversubscribe, scale } = self;
        let numbers = [np, per_host, max_per_host].into_iter().any(Option::is_some);
        numbers || *oversubscribe || !scale.is_empty() || *map_by != MapBy::default()
    }
}

/// What agents get beside what the job file says.
#[derive(Debug, Clone, Default, Args)]
pub struct VariableArgs {
    /// A variable for every agent; without a value it is taken from here
    #[arg(
        short = 'x',
        value_name = "VAR[=VALUE]",
        value_parser = variable,
        help_heading = "Variables"
    )]
    pub set: Vec<(String, Option<String>)>,
    /// File of variables for every agent; may be given several times, later ones win
    #[arg(long, value_name = "FILE", help_heading = "Variables")]
    pub env_file: Vec<PathBuf>,
    /// What agents get of our environment: all, none or names, e.g. LANG,AWS_* [default: all here,
    /// none on other hosts]
    #[arg(long, value_name = "all|none|NAMES", help_heading = "Variables")]
    pub export: Option<Export>,
}

impl VariableArgs {
    /// Whether anything is said.
    pub(crate) fn is_said(&self) -> bool {
        !self.set.is_empty() || !self.env_file.is_empty() || self.export.is_some()
    }
}

/// Everything that `run` takes.
#[derive(Debug, Clone, Default, Args)]
pub struct RunArgs {
    /// The job file
    #[arg(value_name = "JOB.yaml", num_args = 0..)]
    pub words: Vec<OsString>,
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
    /// Let the others finish when an agent fails
    #[arg(long = "continue")]
    pub keep_going: bool,
    /// The job ends when this agent ends, with its code
    #[arg(long, value_name = "AGENT")]
    pub until: Option<String>,
    /// Stop the job after this long, with code 124
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub timeout: Option<Duration>,
    /// Print what `plan` prints and start nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Where `auto` ports are taken from [default: 20000-29999]
    #[arg(long, value_name = "A-B")]
    pub ports: Option<PortRange>,
    /// Ask the entry point this once the job is ready, print its answer, and stop
    #[arg(long, value_name = "TEXT")]
    pub query: Option<String>,
    /// Give this agent our standard input
    #[arg(long, value_name = "AGENT")]
    pub stdin: Option<String>,
    /// Treat warnings about the job file as errors
    #[arg(long)]
    pub strict: bool,
    /// Write each instance's output to DIR/AGENT.INDEX.out and .err, and result.json
    #[arg(long, value_name = "DIR", help_heading = "Output")]
    pub output_dir: Option<PathBuf>,
    /// Say more; for a program, also what a job says
    #[arg(short = 'v', long, help_heading = "Output")]
    pub verbose: bool,
    /// Format and colour.
    #[command(flatten)]
    pub output: OutputArgs,
}
