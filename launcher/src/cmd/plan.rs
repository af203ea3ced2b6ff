//! `plan`: nothing is started, nobody is asked.

use a2arun_core::exit_code::LauncherCode;
use a2arun_core::plan::{Bindings, PlanJson, PlannedPort};

use crate::cli::{OutputFormat, PlanArgs};
use crate::cmd::Context;
use crate::cmd::load::{self, Request};
use crate::output::{Table, print_json, print_line};

pub(super) fn plan(args: &PlanArgs, context: &Context) -> anyhow::Result<u8> {
    let request = Request {
        job: args.job.as_deref(),
        program: &args.program,
        shape: &args.shape,
        hosts: &args.hosts,
        strict: args.strict,
        output: args.output,
    };
    let load::Planned { file: job, plan, .. } = load::planned(&request, context)?;
    job.say_warnings();
    let bindings = Bindings::of(&plan);
    match args.output.output {
        OutputFormat::Json => print_json(&PlanJson::new(&plan, &bindings, &job.warnings))?,
        OutputFormat::Jsonl => {
            let json = PlanJson::new(&plan, &bindings, &job.warnings);
            print_line(&serde_json::to_string(&json)?)?;
        }
        OutputFormat::Quiet => {}
        OutputFormat::Human => {
            let mut table = Table::new(&["RANK", "INSTANCE", "HOST", "STAGE", "PORT", "CALLS"]);
            for instance in &plan.instances {
                let port = match instance.port {
                    PlannedPort::None => "-".to_owned(),
                    PlannedPort::Auto => "auto".to_owned(),
                    PlannedPort::Fixed(port) => port.to_string(),
                };
                table.row([
                    instance.rank.to_string(),
                    plan.name(instance.rank).to_string(),
                    plan.host(instance.host).name().to_string(),
                    instance.stage.0.to_string(),
                    port,
                    plan.peers(instance.rank).count().to_string(),
                ]);
            }
            print_line(&table.render())?;
        }
    }
    Ok(LauncherCode::Ok.code())
}
