//! `validate`, `plan`: nothing is started, nobody is asked.

use a2arun_core::exit_code::LauncherCode;
use a2arun_core::plan::{Bindings, PlanJson, PlannedPort};

use crate::cli::{OutputFormat, PlanArgs, ValidateArgs};
use crate::cmd::{Context, Failure, load};
use crate::output::{Table, print_json, print_line, say};

pub(super) fn validate(args: &ValidateArgs, context: &Context) -> anyhow::Result<u8> {
    let mut bad = 0;
    for path in &args.jobs {
        match load::job_file(path, args.strict, context, args.output) {
            Ok(job) => {
                if let Some(warnings) = &job.rendered {
                    say(warnings);
                }
                if args.output.output == OutputFormat::Human {
                    let count = job.spec.agents.len();
                    let plural = if count == 1 { "agent" } else { "agents" };
                    print_line(&format!(
                        "{}: {} with {count} {plural}: good",
                        path.display(),
                        job.spec.name
                    ))?;
                }
            }
            Err(error) => {
                bad += 1;
                say(&crate::cmd::report(&error).0);
            }
        }
    }
    Ok(if bad == 0 { LauncherCode::Ok.code() } else { LauncherCode::InvalidJob.code() })
}

pub(super) fn plan(args: &PlanArgs, context: &Context) -> anyhow::Result<u8> {
    let job = match (&args.job, args.program.is_empty()) {
        (Some(path), true) => load::job_file(path, args.strict, context, args.output)?,
        (None, false) => load::program(&args.program, context)?,
        (Some(_), false) | (None, true) => {
            let message = "give a job file, or a program behind `--`";
            return Err(Failure::new(LauncherCode::Usage, message).into());
        }
    };
    let hosts = load::hosts(&args.hosts, context, args.output)?;
    let plan = load::make_plan(&job.spec, &hosts, &args.shape, &context.local_name())?;
    if let Some(warnings) = &job.rendered {
        say(warnings);
    }
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
