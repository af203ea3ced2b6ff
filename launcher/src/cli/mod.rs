//! The command line: types only, one file per verb. What runs is in [`crate::cmd`].

mod argv;
mod card;
mod graph;
mod init;
mod list;
mod logs;
mod options;
mod plan;
mod program;
mod query;
mod refuse;
mod run;
mod schema;
mod status;
mod stop;
mod trust;

use clap::{Parser, Subcommand};

pub use argv::rewrite;
pub use card::CardArgs;
pub use graph::{GraphArgs, GraphFormat};
pub use init::InitArgs;
pub use list::ListArgs;
pub use logs::LogsArgs;
pub use options::{ColorChoice, JobRef, OutputArgs, OutputFormat, TextError};
pub use plan::{PlanArgs, ValidateArgs};
pub use query::QueryArgs;
pub use refuse::{Refusal, parse};
pub use run::{HostArgs, RunArgs, ShapeArgs};
pub use schema::SchemaArgs;
pub use status::StatusArgs;
pub use stop::StopArgs;
pub use trust::{TrustArgs, TrustInitArgs, TrustIssueArgs, TrustVerb};

/// mpirun for AI agents: brings a job of many agents up, stays with it, takes it down.
#[derive(Debug, Parser)]
#[command(
    name = "a2arun",
    version,
    override_usage = "a2arun [-np N] [--hostfile FILE | --host LIST] [OPTIONS] JOB.yaml\n       \
                      a2arun [-np N] [--hostfile FILE | --host LIST] [OPTIONS] -- PROGRAM [ARG]...\n       \
                      a2arun VERB [OPTIONS]",
    args_conflicts_with_subcommands = true,
    disable_help_subcommand = true,
    subcommand_value_name = "VERB",
    subcommand_help_heading = "Verbs",
    max_term_width = 100
)]
pub struct Cli {
    /// A verb; without one the job is run.
    #[command(subcommand)]
    pub verb: Option<Verb>,
    /// The bare form.
    #[command(flatten)]
    pub run: RunArgs,
}

/// What `a2arun VERB` does.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Launch a job and stay with it to its end (the bare form by name)
    Run(Box<RunArgs>),
    /// Check a job file: every finding at once, with its place
    Validate(ValidateArgs),
    /// Show who would run where, without starting anything
    Plan(Box<PlanArgs>),
    /// Draw who calls whom and who starts before whom
    Graph(Box<GraphArgs>),
    /// List this machine's runs
    List(ListArgs),
    /// Show a run's instances
    Status(StatusArgs),
    /// Print the output of a run, an agent or an instance
    Logs(LogsArgs),
    /// Stop a run
    Stop(StopArgs),
    /// Ask an agent of a run, or one anywhere, and print its answer
    Query(QueryArgs),
    /// Show an agent's card, and what of it nobody could use
    Card(CardArgs),
    /// Write a job to start from
    Init(InitArgs),
    /// Print the JSON Schema of job files, for editors
    Schema(SchemaArgs),
    /// Make the certificates with which hosts and heads know each other
    Trust(TrustArgs),
}
