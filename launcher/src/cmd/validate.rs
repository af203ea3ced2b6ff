//! `validate`: every finding of every job file, with its place.

use a2arun_core::exit_code::LauncherCode;

use crate::cli::{HostArgs, OutputFormat, ShapeArgs, ValidateArgs};
use crate::cmd::Context;
use crate::cmd::load::{self, Request};
use crate::output::{print_line, say};

pub(super) fn validate(args: &ValidateArgs, context: &Context) -> anyhow::Result<u8> {
    let mut bad = 0;
    let (shape, hosts) = (ShapeArgs::default(), HostArgs::default());
    for path in &args.jobs {
        let request = Request {
            job: Some(path),
            program: &[],
            shape: &shape,
            hosts: &hosts,
            strict: args.strict,
            output: args.output,
        };
        match load::job(&request, context) {
            Ok(job) => {
                job.say_warnings();
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
