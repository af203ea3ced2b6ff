//! What the verbs do. Errors are `anyhow` here and become an exit code in one place.

mod asked;
mod card;
mod completions;
mod context;
mod dotenv;
mod env;
mod error;
mod events;
mod facts;
mod found;
mod graph;
mod init;
mod list;
mod load;
mod logs;
mod plan;
mod prepare;
mod query;
mod run;
mod schema;
mod secrets;
mod status;
mod stop;
mod survey;
mod trust;
mod understood;
mod validate;
mod why;

use crate::cli::{Cli, Verb};

pub use context::Context;
pub use error::{Failure, report};

/// Runs a command line; gives the exit code.
///
/// # Cancel safety
/// Dropping it in the middle of a run leaves the stopping to the nodeds.
pub async fn execute(cli: Cli, context: &Context) -> anyhow::Result<u8> {
    match cli.verb {
        None => run::run(cli.run, context).await,
        Some(Verb::Run(args)) => run::run(*args, context).await,
        Some(Verb::Validate(args)) => validate::validate(&args, context),
        Some(Verb::Plan(args)) => plan::plan(&args, context),
        Some(Verb::Graph(args)) => graph::graph(&args, context),
        Some(Verb::Env(args)) => env::env(&args, context).await,
        Some(Verb::List(args)) => list::list(&args, context).await,
        Some(Verb::Status(args)) => status::status(&args, context).await,
        Some(Verb::Logs(args)) => logs::logs(&args, context).await,
        Some(Verb::Query(args)) => query::query(&args, context).await,
        Some(Verb::Card(args)) => card::card(&args, context).await,
        Some(Verb::Stop(args)) => stop::stop(&args, context).await,
        Some(Verb::Init(args)) => init::init(&args, context),
        Some(Verb::Schema(args)) => schema::schema(&args),
        Some(Verb::Events(args)) => events::events(&args, context).await,
        Some(Verb::Why(args)) => why::why(&args, context).await,
        Some(Verb::Completions(args)) => completions::completions(&args),
        Some(Verb::Trust(args)) => trust::trust(&args.verb, context),
    }
}

#[cfg(test)]
mod map_tests;
