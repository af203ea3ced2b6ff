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
mod runtime;
mod schema;
mod secrets;
mod status;
mod stop;
mod survey;
mod trust;
mod understood;
mod validate;
mod why;

use crate::cli::{Cli, EnvOf, RunArgs, Verb};
use crate::cmd::runtime::in_runtime;

pub use context::Context;
pub use error::{Failure, report};

/// Runs a command line; gives the exit code.
///
/// # Errors
/// When it cannot be done; [`report`] has words and code for it.
pub fn execute(cli: Cli, context: &Context) -> anyhow::Result<u8> {
    let run = |args: RunArgs| match args.dry_run {
        true => plan::show(&prepare::request(&args), context),
        false => in_runtime(run::run(args, context)),
    };
    match cli.verb {
        None => run(cli.run),
        Some(Verb::Run(args)) => run(*args),
        Some(Verb::Validate(args)) => validate::validate(&args, context),
        Some(Verb::Plan(args)) => plan::plan(&args, context),
        Some(Verb::Graph(args)) => graph::graph(&args, context),
        Some(Verb::Env(args)) => match &args.of {
            EnvOf::File(path, agent) => env::of_file(path, agent.as_ref(), &args, context),
            EnvOf::Run(job) => in_runtime(env::of_run(job, &args, context)),
        },
        Some(Verb::List(args)) => in_runtime(list::list(&args, context)),
        Some(Verb::Status(args)) => in_runtime(status::status(&args, context)),
        Some(Verb::Logs(args)) => in_runtime(logs::logs(&args, context)),
        Some(Verb::Events(args)) => in_runtime(events::events(&args, context)),
        Some(Verb::Why(args)) => in_runtime(why::why(&args, context)),
        Some(Verb::Query(args)) => in_runtime(query::query(&args, context)),
        Some(Verb::Card(args)) => in_runtime(card::card(&args, context)),
        Some(Verb::Stop(args)) => in_runtime(stop::stop(&args, context)),
        Some(Verb::Init(args)) => init::init(&args, context),
        Some(Verb::Schema(args)) => schema::schema(&args),
        Some(Verb::Completions(args)) => completions::completions(&args),
        Some(Verb::Trust(args)) => trust::trust(&args.verb, context),
    }
}

#[cfg(test)]
mod map_tests;
