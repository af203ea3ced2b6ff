//! `plan` and `run --dry-run`: who would run where. Nothing is started, nobody is asked.

use a2arun_core::exit_code::LauncherCode;
use a2arun_core::plan::{Bindings, Plan, PlanInstance, PlanJson, PlannedPort, PythonSource};
use a2arun_core::spec::Run;

use crate::cli::{OutputFormat, PlanArgs};
use crate::cmd::Context;
use crate::cmd::load::{self, Planned, Request};
use crate::cmd::survey::{Survey, survey};
use crate::output::{Table, print_json, print_line};

pub(super) fn plan(args: &PlanArgs, context: &Context) -> anyhow::Result<u8> {
    show(&request(args), context)
}

/// What `plan`'s options say of a job.
pub(super) fn request(args: &PlanArgs) -> Request<'_> {
    Request {
        job: args.job.as_deref(),
        program: &args.program,
        shape: &args.shape,
        hosts: &args.hosts,
        variables: &args.variables,
        until: None,
        stdin: None,
        strict: args.strict,
        output: args.output,
    }
}

/// Prints the plan of a request.
pub(super) fn show(request: &Request<'_>, context: &Context) -> anyhow::Result<u8> {
    let (planned, survey) = make(request, context)?;
    planned.file.say_warnings();
    match request.output.output {
        OutputFormat::Json => print_json(&json(&planned))?,
        OutputFormat::Jsonl => print_line(&serde_json::to_string(&json(&planned))?)?,
        OutputFormat::Quiet => {}
        OutputFormat::Human => print_line(&text(&planned, &survey))?,
    }
    Ok(LauncherCode::Ok.code())
}

/// Plans, and looks at what the plan refers to.
pub(super) fn make(request: &Request<'_>, context: &Context) -> anyhow::Result<(Planned, Survey)> {
    let mut planned = load::planned(request, context)?;
    let survey = survey(&mut planned, request, context)?;
    Ok((planned, survey))
}

/// What DESIGN §11 says.
pub(super) fn json(planned: &Planned) -> PlanJson {
    PlanJson::new(&planned.plan, &Bindings::of(&planned.plan), &planned.file.warnings)
}

fn text(planned: &Planned, survey: &Survey) -> String {
    let plan = &planned.plan;
    let bindings = Bindings::of(plan);
    let mut text = format!(
        "{}: {} on {}, {}\n\n",
        plan.job,
        counted(plan.instances.len(), "instance"),
        counted(plan.hosts.len(), "host"),
        counted(plan.stages.len(), "stage"),
    );
    let mut table = Table::new(&["RANK", "INSTANCE", "HOST", "STAGE", "URL", "CALLS"]);
    for instance in &plan.instances {
        let calls = plan.peers(instance.rank).count() + plan.external_peers(instance.rank).count();
        table.row([
            instance.rank.to_string(),
            plan.name(instance.rank).to_string(),
            plan.host(instance.host).name().to_string(),
            instance.stage.0.to_string(),
            url(plan, &bindings, instance),
            calls.to_string(),
        ]);
    }
    text.push_str(&table.render());
    let mut pythons = Table::new(&["AGENT", "PYTHON", "CHOSEN BY"]);
    let mut any = false;
    for (agent, located) in planned.file.spec.agents.iter().zip(&survey.sites) {
        let uses = match agent.run {
            Run::Module { .. } => true,
            Run::Command(_) | Run::External { .. } | Run::Image => agent.venv.is_some(),
        };
        if uses {
            any = true;
            let (python, by) = (located.site.python.clone(), source(located.source).to_owned());
            pythons.row([agent.id.to_string(), python, by]);
        }
    }
    if any {
        text.push('\n');
        text.push_str(&pythons.render());
    }
    text
}

/// The URL as far as it is known: the host's name where its address is not, `auto` for a port.
fn url(plan: &Plan, bindings: &Bindings, instance: &PlanInstance) -> String {
    if let Some(url) = bindings.url(plan, instance.rank) {
        return url;
    }
    let host = plan.host(instance.host);
    let address = match (plan.loopback, &host.entry.addr) {
        (true, _) => "127.0.0.1",
        (false, Some(address)) => address.as_str(),
        (false, None) => host.name().as_str(),
    };
    let address = if address.contains(':') { format!("[{address}]") } else { address.to_owned() };
    match instance.port {
        PlannedPort::None => "-".to_owned(),
        PlannedPort::Auto => format!("http://{address}:auto"),
        PlannedPort::Fixed(port) => format!("http://{address}:{port}"),
    }
}

/// What in the job or around it chose an interpreter.
pub(super) fn source(source: PythonSource) -> &'static str {
    match source {
        PythonSource::Venv => "venv",
        PythonSource::Explicit => "python",
        PythonSource::Active => "the active environment",
        PythonSource::WorkdirVenv => "workdir/.venv",
        PythonSource::Uv => "uv.lock in workdir",
        PythonSource::Path => "PATH",
    }
}

pub(super) fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}
